#!/bin/sh
# Runs staps with the runtime that comes with it. What the runtime remembers of
# the program's code for the next start goes into a cache folder.
if [ -n "${CACHE_DIRECTORY-}" ]; then
  cache=${CACHE_DIRECTORY%%:*}
elif [ -n "${XDG_CACHE_HOME-}" ]; then
  cache=$XDG_CACHE_HOME/staps
elif [ -n "${HOME-}" ] && [ "$HOME" != / ]; then
  cache=$HOME/.cache/staps
else
  cache=/nonexistent
fi
export DENO_DIR="$cache/deno" DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1
export @ENVIRONMENT@
exec /usr/lib/staps/deno @FLAGS@ /usr/lib/staps/staps.js "$@"
