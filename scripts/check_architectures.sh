#!/bin/sh
# Compile the core for other processors and run its tests and the fuzz corpora there, under emulation (qemu-user).
# Then compare audit rules with those of that processor's auditctl, byte for byte (check_rules.py, as root).
#
#   scripts/check_architectures.sh                arm64 s390x (big-endian) riscv64 armhf (32 bits)
#   scripts/check_architectures.sh s390x
#
# On Debian: apt-get install qemu-user-static, and of each of them gcc-12-aarch64-linux-gnu and libc6-dev-arm64-cross.
# Results go to packaging/results/architectures.txt, of which scripts/write_compatibility.py makes docs/compatibility.md.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
. scripts/cross.sh
[ -x .venv/bin/meson ] || die ".venv is missing; run scripts/test.sh or: . scripts/setup.sh; setup build test"
PATH=$(pwd)/.venv/bin:$PATH
results=packaging/results/architectures.txt
version=$(scripts/version.sh) # before the results change a file of the checkout
mkdir -p .build/architectures packaging/results
[ $# -gt 0 ] || set -- arm64 s390x riscv64 armhf

failed=
for arch in "$@"; do
    gnu=$(gnu_name "$arch")
    emulator=$(command -v "qemu-${gnu%%-*}-static" || command -v "qemu-${gnu%%-*}") || die "qemu-${gnu%%-*} is missing (Debian: qemu-user-static)"
    folder=.build/architectures/$arch
    cross_file "$arch" "$emulator" >"$folder.ini"
    # Without the Python module, which would need that architecture's Python.
    if [ ! -f "$folder/build.ninja" ]; then # none, or of a set-up that was stopped
        rm -rf "$folder"
        meson setup "$folder" --cross-file "$folder.ini" -Dlibrary=true -Dtests=true -Dfuzz=true \
            --buildtype=debugoptimized --werror >"$folder.log" || { cat "$folder.log" >&2; die "meson cannot set up $arch"; }
    fi
    say "== $arch"
    if AUDITSENSE_EMULATED=1 meson test -C "$folder" --timeout-multiplier 10 --print-errorlogs --num-processes 1 >"$folder.log" 2>&1; then
        verdict=passed
    else
        verdict=failed failed="$failed $arch"
        tail -n 60 "$folder.log" >&2
    fi
    tests=$(sed -n 's/^Ok: *//p' "$folder.log")
    cases=$(grep -ch '^ok ' "$folder/meson-logs/testlog.txt" || :)
    endian=$(sed -n "s/^endian = '\(.*\)'/\1/p" "$folder.ini")
    if ! .venv/bin/python scripts/check_rules.py "$arch" >"$folder.rules" 2>&1; then
        verdict=failed failed="$failed $arch"
        cat "$folder.rules" >&2
    fi
    rules=$(sed -n 's/^\([0-9]*\) lines the same.*/\1/p' "$folder.rules")
    say "$arch: $verdict, ${tests:-0} programs, ${cases:-0} cases, ${rules:-0} rules"
    grep -v "^$arch " "$results" >"$folder.results" 2>/dev/null || :
    echo "$arch $verdict $endian ${tests:-0} ${cases:-0} ${rules:-0} $version $(date -u +%Y-%m-%d)" >>"$folder.results"
    sort "$folder.results" >"$results"
done
[ -z "$failed" ] || die "failed:$failed"
