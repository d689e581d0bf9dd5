#!/bin/sh
# one_object.sh OUTPUT.a OBJCOPY AR LTO CC… -- OBJECT…
# Make a static library of one object that exports only the public functions: an agent may define its own
# as_window_add. LTO is yes if the objects hold code that the linker can inline across files.
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
