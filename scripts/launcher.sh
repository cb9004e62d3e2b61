#!/bin/sh
# staps @VERSION@ for @TARGET@ in one file: this script, a runtime (Deno @DENO@)
# and the program. When it runs for the first time it unpacks them into a
# cache folder; it needs nothing but a POSIX shell, coreutils and gzip for that.
#
# The folder is the first usable one of: $STAPS_CACHE alone if that is set;
# /var/cache/staps-program, where root unpacks, and which all users share then;
# staps/ in $CACHE_DIRECTORY (systemd); $XDG_CACHE_HOME/staps; ~/.cache/staps;
# staps-UID in $TMPDIR or /tmp. It has to be ours or, if it is shared, root's, and
# nobody else may write to it. It may be removed at any time when staps doesn't run.

set -u
# The files in here: name, first byte, number of bytes, and the SHA-256 of what
# gzip makes of them.
files='@FILES@'
names='@NAMES@'
# Names them all.
content=@CONTENT@
self=$0
# Where root unpacks for all users.
shared=/var/cache/staps-program
# A server outlives signals that come before it can act on them, or mean nothing
# to it. A terminal that hangs up still ends it.
hup=HUP
case ${1-} in
  '' | serve | -*)
    trap '' USR1 USR2
    [ -t 0 ] || { trap '' HUP; hup=; }
    ;;
esac
reasons=
old_umask=

fail() {
  printf 'staps: error: %s\n' "$1" >&2
  shift
  for line; do printf 'staps: hint: %s\n' "$line" >&2; done
  exit 1
}

# Remembers why the folder $1 can't be used.
unusable() {
  reasons="$reasons
$1: $2"
  return 1
}

# Whether the folder $1 is ours, and nobody else may write to it.
is_ours_alone() {
  [ -O "$1" ] && [ ! -L "$1" ] || return 1
  case $(stat -c %A -- "$1") in
    d????-??-?) return 0 ;;
    *) return 1 ;;
  esac
}

# Whether the folder $1 has the files' content.
has_right_hashes() (
  cd -- "$1" &&
    printf '%s\n' "$files" | while read -r name _ _ hash; do
      printf '%s  %s\n' "$hash" "$name"
    done | sha256sum -c --status 2>/dev/null
)

# Prints what changes when somebody touches one of the files in the folder $1:
# permissions, inode, size, and the time of the last change, which nobody can
# set. Comparing it costs a millisecond, hashing 100 MB half a second. Further
# arguments are further files.
state_of() (
  cd -- "$1" && shift && stat -c '%A %i %s %.9Z' -- "$@" $names
) 2>/dev/null

# Whether the files $@ are all ours or, if they are shared, all root's.
are_trusted() {
  owner=us
  for file; do
    [ -e "$file" ] && [ ! -L "$file" ] || return 1
    [ -O "$file" ] || owner=other
  done
  [ "$owner" = other ] || return 0
  [ "$1" = "$shared" ] && [ "$(stat -c %u -- "$@" | sort -u)" = 0 ]
}

# Whether nobody else may write to the folder $1 and $1/$content, and what is in
# there is what was unpacked.
is_intact() {
  folder=$1/$content
  set -- "$1" "$folder"
  for name in $names seal; do set -- "$@" "$folder/$name"; done
  are_trusted "$@" || return 1
  [ -x "$folder/staps" ] || return 1
  state=$(state_of "$folder" .. .) || return 1
  case $state in
    d????-??-?\ *"
"d????-??-?\ *"
"-*) ;;
    *) return 1 ;;
  esac
  now=${state#*"
"*"
"}
  # Not by cat(1): each program that is started here is a millisecond.
  seal=
  while read -r line; do
    seal="$seal${seal:+
}$line"
  done <"$folder/seal"
  [ "$now" != "$seal" ] || return 0
  # Touched, perhaps by a backup that was restored: what counts is the content.
  has_right_hashes "$folder" || return 1
  { printf '%s\n' "$now" >"$folder/seal"; } 2>/dev/null || :
}

# Puts the files into the folder $1.
extract() {
  printf '%s\n' "$files" | while read -r name at bytes _; do
    tail -c "+$at" -- "$self" | head -c "$bytes" | gzip -dc >"$1/$name" || exit 1
    chmod 400 -- "$1/$name" || exit 1
  done
}

# Unpacks into $1/$content, in one step for everybody who looks.
unpack() {
  find "$1" -maxdepth 1 -name 'unpack.*' -mmin +60 -exec rm -rf -- {} + 2>/dev/null
  new=$(mktemp -d "$1/unpack.XXXXXX" 2>/dev/null) ||
    { unusable "$1" "can't be written to"; return 1; }
  unpacked=no
  trap 'rm -rf -- "$new"' EXIT
  # shellcheck disable=SC2086 # none, or one
  trap 'exit 1' $hup INT TERM
  if ! extract "$new" 2>/dev/null; then
    unusable "$1" "no room for 120 MB, or $self is damaged"
  elif ! has_right_hashes "$new"; then
    fail "$self is damaged: what is in it has another checksum" \
      "get the file again"
  elif ! chmod 500 -- "$new/staps"; then
    unusable "$1" "permissions can't be set"
  elif [ ! -x "$new/staps" ]; then
    unusable "$1" "programs can't be run there (noexec)"
  elif ! "$new/staps" --version >/dev/null 2>&1; then
    fail "the runtime doesn't run here: expected Linux with glibc on @ARCH@"
  else
    unpacked=yes
    [ "$1" != "$shared" ] || chmod -R a+rX -- "$new"
    # After a power cut a name without its content would be worse than nothing.
    (cd -- "$new" && sync -- $names) 2>/dev/null
    state_of "$new" >"$new/seal"
    # Another start may have been faster, or what is there is damaged.
    if ! mv -T -- "$new" "$1/$content" 2>/dev/null && ! is_intact "$1"; then
      old=$(mktemp -d "$1/unpack.XXXXXX") &&
        mv -T -- "$1/$content" "$old" && mv -T -- "$new" "$1/$content" &&
        rm -rf -- "$old"
    fi
  fi
  rm -rf -- "$new"
  # shellcheck disable=SC2086 # none, or one
  trap - EXIT $hup INT TERM
  [ "$unpacked" = yes ] || return 1
  is_intact "$1" || unusable "$1" "what is there can't be replaced"
}

# Makes $1/$content usable, if the folder $1 can be.
use() {
  case $1 in
    /*) ;;
    *) unusable "$1" "expected a path that begins with /"; return 1 ;;
  esac
  if is_intact "$1"; then return 0; fi
  [ -n "$old_umask" ] || old_umask=$(umask)
  umask 077
  mode=700
  if [ "$1" = "$shared" ]; then
    umask 022
    mode=755
  fi
  if [ ! -d "$1" ]; then
    mkdir -p -- "${1%/*}" 2>/dev/null
    mkdir -m "$mode" -- "$1" 2>/dev/null ||
      { [ -d "$1" ] || unusable "$1" "can't be made"; } || return 1
  fi
  is_ours_alone "$1" ||
    { unusable "$1" "belongs to somebody else, or others may write to it"; return 1; }
  # Whoever may rename the folder could put another in its place.
  case $(stat -L -c %A -- "${1%/*}/") in
    d????-??-? | d????????[tT]) ;;
    *) unusable "$1" "others may write to the folder above"; return 1 ;;
  esac
  unpack "$1"
}

use_any() {
  if [ -n "${STAPS_CACHE-}" ]; then
    use "$STAPS_CACHE"
    return
  fi
  if is_intact "$shared"; then return; fi
  # The owner of / is root.
  if [ -O / ] && use "$shared"; then return; fi
  if [ -n "${CACHE_DIRECTORY-}" ] && use "${CACHE_DIRECTORY%%:*}/staps"; then return; fi
  if [ -n "${XDG_CACHE_HOME-}" ]; then
    if use "$XDG_CACHE_HOME/staps"; then return; fi
  elif [ -n "${HOME-}" ]; then
    if use "${HOME%/}/.cache/staps"; then return; fi
  fi
  use "${TMPDIR:-/tmp}/staps-$(id -u)"
}

[ -r "$self" ] || fail "Cannot find myself at \"$self\"" "run me by my whole path"
if ! use_any; then
  set -f
  IFS='
'
  # shellcheck disable=SC2086 # one argument a line
  fail "Cannot unpack: no folder can be used" $reasons \
    "set STAPS_CACHE to a folder of yours, which may be missing yet"
fi
[ -z "$old_umask" ] || umask "$old_umask"

# What the runtime remembers of the program's code, for the next start.
run=$folder/run
if [ ! -O "$folder" ]; then
  if [ -n "${CACHE_DIRECTORY-}" ]; then
    run=${CACHE_DIRECTORY%%:*}/deno
  elif [ -n "${XDG_CACHE_HOME-}" ]; then
    run=$XDG_CACHE_HOME/staps/deno
  elif [ -n "${HOME-}" ] && [ "$HOME" != / ]; then
    run=$HOME/.cache/staps/deno
  else
    run=/nonexistent
  fi
fi
export DENO_DIR="$run" DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1
export @ENVIRONMENT@
exec "$folder/staps" @FLAGS@ "$folder/staps.js" "$@"
