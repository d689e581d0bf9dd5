#!/bin/sh
# Set up everything and run everything: style, types, C tests under ASan and UBSan, pytest with the live
# tests (as root on a host with kernel audit; elsewhere they are skipped and listed).
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
can_compile -fsanitize=address,undefined || need_system gcc libc6-dev
# tests/core/test_c_library.py is skipped without them, which CI must not do.
if [ "${CI:-}" = true ]; then
    command -v pkg-config >/dev/null 2>&1 || need_system pkg-config
    command -v g++ >/dev/null 2>&1 || need_system g++
    [ "$(uname -m)" != x86_64 ] || can_compile -m32 || need_system gcc-multilib # tests/core/test_32_bit.py
    # tests/project/test_packaging.py boots this kernel; elsewhere the caller names one.
    command -v qemu-system-x86_64 >/dev/null 2>&1 || need_system qemu-system-x86
    command -v cpio >/dev/null 2>&1 || need_system cpio
    export AUDITSENSE_KERNEL="${AUDITSENSE_KERNEL:-6.1-amd64}"
fi
# CI builds the docs site and asks a second type checker too; elsewhere both are used where they are.
more=
[ "${CI:-}" != true ] || more="docs pyright"
# shellcheck disable=SC2086 # the groups are words
setup build test lint $more

step() { say "== $*"; }

style_and_types() {
    ruff format --check --quiet .
    ruff check --quiet .
    # shellcheck disable=SC2046 # no file name has a blank
    clang-format --dry-run -Werror $(git ls-files '*.c' '*.h')
    mypy --no-error-summary
    python scripts/check_language.py
    if [ -x .venv/bin/basedpyright ]; then
        basedpyright --level error
    else
        say "basedpyright is not installed, so the examples are checked by mypy alone (pip install --group pyright)"
    fi
    shellcheck -x scripts/*.sh library/*.sh packaging/*.sh packaging/deb/* packaging/rpm/*
}

# Style and types use one processor. The C tests are compiled and run at the same time.
step "style and types; C tests under ASan and UBSan"
mkdir -p .build
style_and_types >.build/style.log 2>&1 &
style=$!
trap 'kill "$style" 2>/dev/null || true' EXIT
[ -d .build/sanitized ] || meson setup .build/sanitized -Dtests=true -Db_sanitize=address,undefined \
    --buildtype=debugoptimized --werror >/dev/null
meson test -C .build/sanitized --print-errorlogs --quiet
wait "$style" || { cat .build/style.log >&2; die "the check of style and types failed"; }
cat .build/style.log >&2
trap - EXIT

# In CI, or for as many seconds as FUZZ_SECONDS says, each fuzz target searches as well.
fuzz_seconds=${FUZZ_SECONDS:-0}
[ "${CI:-}" != true ] || fuzz_seconds=${FUZZ_SECONDS:-30}
if [ "$fuzz_seconds" -gt 0 ]; then
    step "fuzz targets, $fuzz_seconds s each"
    can_fuzz() { printf 'int LLVMFuzzerTestOneInput(void){return 0;}\n' | clang -x c -o /dev/null -fsanitize=fuzzer - 2>/dev/null; }
    can_fuzz || need_system clang "$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/libclang-rt-\1-dev/p')"
    [ -d .build/fuzz ] || CC=clang meson setup .build/fuzz -Dfuzz=true -Db_sanitize=address,undefined \
        --buildtype=debugoptimized >/dev/null
    ninja -C .build/fuzz >/dev/null
    # All at once; each has its output in a file, which is shown when it has found something.
    found=.build/found
    for target in record stream text regex table; do
        mkdir -p "$found/$target"
        .build/fuzz/fuzz/fuzz_$target -max_total_time="$fuzz_seconds" -max_len=4096 -dict=fuzz/audit.dict \
            -artifact_prefix="$found/$target-" -verbosity=0 "$found/$target" "fuzz/corpus/$target" \
            >"$found/$target.log" 2>&1 &
        eval "fuzzing_$target=$!"
    done
    for target in record stream text regex table; do
        eval "wait \$fuzzing_$target" || { cat "$found/$target.log" >&2; die "fuzz_$target has found something"; }
    done
fi

if [ "${CI:-}" = true ]; then
    export HYPOTHESIS_PROFILE="${HYPOTHESIS_PROFILE:-ci}"
fi
case " $* " in
    *" -m"*) step "pytest" && exec pytest "$@" ;; # the caller chooses among live tests and others
esac

# run_tests NAME ARGUMENT…: run pytest, keep its output in .build, and set $code to its exit code.
color=no
[ ! -t 1 ] || color=yes
exec 4>&1
run_tests() {
    log=.build/pytest-$1.log
    shift
    code=$({ { pytest --color=$color "$@" && ended=0 || ended=$?; echo "$ended" >&3; } | tee "$log" >&4; } 3>&1)
}

no_tests=5 # pytest's exit code where nothing was selected
step "pytest: all tests but the live ones, in a process for each processor"
# A file stays in one process, for its fixtures; in the order of folders the last files are short.
run_tests parallel -n auto --dist loadfile --no-loadscope-reorder -m "not live" "$@"
parallel=$code
step "pytest: live tests, which share the kernel's audit, one at a time"
run_tests live -m live "$@"
[ "$code" != $no_tests ] || code=$parallel
[ "$parallel" = 0 ] || [ "$parallel" = $no_tests ] || code=$parallel
[ "$code" = 0 ] || {
    say "== failed tests"
    grep -ahE '^(.\[[0-9;]*m)*(FAILED|ERROR) ' .build/pytest-parallel.log .build/pytest-live.log >&2 || true
}
exit "$code"
