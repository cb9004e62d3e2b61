#!/bin/sh
# staps @VERSION@ for @TARGET@ in one file: this script, a runtime (Deno @DENO@)
# and the program. When it runs for the first time it unpacks the two into a
# cache folder; it needs nothing but a POSIX shell, coreutils and gzip for that.
#
# The folder is the first usable one of: $STAPS_CACHE alone if that is set;
# staps/ in $CACHE_DIRECTORY (systemd); /var/cache/staps for root;
# $XDG_CACHE_HOME/staps; ~/.cache/staps; staps-UID in $TMPDIR or /tmp.
# It has to be ours, and nobody else may write to it. It may be removed at any
# time when staps doesn't run.

set -u
# The bytes of this file in which the two are, each compressed with gzip, and
# their SHA-256.
deno_at=@DENO_AT@ deno_bytes=@DENO_BYTES@ deno_hash=@DENO_HASH@
program_at=@PROGRAM_AT@ program_bytes=@PROGRAM_BYTES@ program_hash=@PROGRAM_HASH@
# Names both.
content=@CONTENT@
self=$0
reasons=

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

has_right_hashes() {
  printf '%s  %s\n' "$deno_hash" "$1/deno" "$program_hash" "$1/staps.js" |
    sha256sum -c --status 2>/dev/null
}

# Prints what changes when somebody touches one of the files: permissions,
# inode, size, and the time of the last change, which nobody can set. Comparing
# it costs a millisecond, hashing 100 MB half a second.
state_of() {
  stat -c '%A %i %s %.9Z' -- "$@" 2>/dev/null
}

# Whether the folder $1 and $1/$content are ours alone, and what is in there is
# what was unpacked.
is_intact() {
  folder=$1/$content
  for file in "$1" "$folder" "$folder/deno" "$folder/staps.js" "$folder/seal"; do
    [ -O "$file" ] && [ ! -L "$file" ] || return 1
  done
  [ -x "$folder/deno" ] || return 1
  state=$(state_of "$1" "$folder" "$folder/deno" "$folder/staps.js") || return 1
  case $state in
    d????-??-?\ *"
"d????-??-?\ *"
"-*) ;;
    *) return 1 ;;
  esac
  files=${state#*"
"*"
"}
  seal=$(cat -- "$folder/seal")
  [ "$files" != "$seal" ] || return 0
  # Touched, perhaps by a backup that was restored: what counts is the content.
  has_right_hashes "$folder" || return 1
  printf '%s\n' "$files" 2>/dev/null >"$folder/seal" || :
}

extract() {
  tail -c "+$1" -- "$self" | head -c "$2" | gzip -dc
}

# Unpacks into $1/$content, in one step for everybody who looks.
unpack() {
  find "$1" -maxdepth 1 -name 'unpack.*' -mmin +60 -exec rm -rf -- {} + 2>/dev/null
  new=$(mktemp -d "$1/unpack.XXXXXX" 2>/dev/null) ||
    { unusable "$1" "can't be written to"; return 1; }
  unpacked=no
  trap 'rm -rf -- "$new"' EXIT
  trap 'exit 1' HUP INT TERM
  if ! { extract "$deno_at" "$deno_bytes" >"$new/deno" &&
    extract "$program_at" "$program_bytes" >"$new/staps.js"; } 2>/dev/null; then
    unusable "$1" "no room for 120 MB, or $self is damaged"
  elif ! has_right_hashes "$new"; then
    fail "$self is damaged: what is in it has another checksum" \
      "get the file again"
  elif ! { chmod 500 "$new/deno" && chmod 400 "$new/staps.js"; }; then
    unusable "$1" "permissions can't be set"
  elif [ ! -x "$new/deno" ]; then
    unusable "$1" "programs can't be run there (noexec)"
  elif ! "$new/deno" --version >/dev/null 2>&1; then
    fail "the runtime doesn't run here: expected Linux with glibc on @ARCH@"
  else
    unpacked=yes
    # After a power cut a name without its content would be worse than nothing.
    sync -- "$new/deno" "$new/staps.js" 2>/dev/null
    state_of "$new/deno" "$new/staps.js" >"$new/seal"
    # Another start may have been faster, or what is there is damaged.
    if ! mv -T -- "$new" "$1/$content" 2>/dev/null && ! is_intact "$1"; then
      old=$(mktemp -d "$1/unpack.XXXXXX") &&
        mv -T -- "$1/$content" "$old" && mv -T -- "$new" "$1/$content" &&
        rm -rf -- "$old"
    fi
  fi
  rm -rf -- "$new"
  trap - EXIT HUP INT TERM
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
  if [ ! -d "$1" ]; then
    mkdir -p -- "${1%/*}" 2>/dev/null
    mkdir -m 700 -- "$1" 2>/dev/null ||
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
  if [ -n "${CACHE_DIRECTORY-}" ] && use "${CACHE_DIRECTORY%%:*}/staps"; then return; fi
  uid=$(id -u)
  if [ "$uid" = 0 ] && use /var/cache/staps; then return; fi
  if [ -n "${XDG_CACHE_HOME-}" ]; then
    if use "$XDG_CACHE_HOME/staps"; then return; fi
  elif [ -n "${HOME-}" ]; then
    if use "${HOME%/}/.cache/staps"; then return; fi
  fi
  use "${TMPDIR:-/tmp}/staps-$uid"
}

[ -r "$self" ] || fail "Cannot find myself at \"$self\"" "run me by my whole path"
old_umask=$(umask)
umask 077
if ! use_any; then
  set -f
  IFS='
'
  # shellcheck disable=SC2086 # one argument a line
  fail "Cannot unpack: no folder can be used" $reasons \
    "set STAPS_CACHE to a folder of yours, which may be missing yet"
fi
umask "$old_umask"

export DENO_DIR="$folder/run" DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1
export @ENVIRONMENT@
exec "$folder/deno" @FLAGS@ "$folder/staps.js" "$@"
