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
# A server outlives signals that come before it can act on them, or mean nothing
# to it. A terminal that hangs up still ends it.
case ${1-} in
  '' | serve | -*)
    trap '' USR1 USR2
    [ -t 0 ] || trap '' HUP
    ;;
esac
export DENO_DIR="$cache/deno" DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1
export @ENVIRONMENT@
exec /usr/lib/staps/staps @FLAGS@ /usr/lib/staps/staps.js "$@"
