#!/bin/sh
# one_object.sh OUTPUT.a OBJCOPY AR LTO CC… -- OBJECT…
# A static library of one object in which only the public functions are left to be seen: an agent may have an
# as_window_add of its own. LTO is yes where the objects hold what the linker can still inline across files.
set -eu
out=$1 objcopy=$2 ar=$3 lto=$4
shift 4
compiler=
while [ "$1" != -- ]; do compiler="$compiler $1"; shift; done
shift
one="$out.p.o"
flags=
[ "$lto" = no ] || flags='-O2 -flto -flinker-output=nolto-rel'
# shellcheck disable=SC2086 # both are words
$compiler -r -nostdlib $flags -o "$one" "$@"
"$objcopy" --localize-hidden "$one"
rm -f "$out"
"$ar" rcs "$out" "$one"
rm -f "$one"
