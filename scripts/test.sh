#!/bin/sh
# Set up everything and run everything: style, types, C tests under ASan and UBSan, pytest with the live
# tests (as root on a host with kernel audit; elsewhere they are skipped and listed).
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
can_compile -fsanitize=address,undefined || need_system gcc libc6-dev
# CI asks a second type checker too, builds the docs site, lets each fuzz target search, and boots a kernel.
more="" fuzz_seconds=${FUZZ_SECONDS:-0} kernel=${AUDITSENSE_KERNEL:-}
if [ "${CI:-}" = true ]; then
    more="docs pyright" fuzz_seconds=${FUZZ_SECONDS:-30} kernel=${AUDITSENSE_KERNEL:-6.1-amd64}
    export HYPOTHESIS_PROFILE="${HYPOTHESIS_PROFILE:-ci}"
    # tests/core/test_c_library.py and test_32_bit.py are skipped without them, which CI must not do.
    packages=""
    command -v pkg-config >/dev/null 2>&1 || packages="$packages pkg-config"
    command -v g++ >/dev/null 2>&1 || packages="$packages g++"
    [ "$(uname -m)" != x86_64 ] || can_compile -m32 || packages="$packages gcc-multilib"
    command -v qemu-system-x86_64 >/dev/null 2>&1 || packages="$packages qemu-system-x86" # for the kernel
    command -v cpio >/dev/null 2>&1 || packages="$packages cpio"
    # shellcheck disable=SC2086 # the packages are words
    [ -z "$packages" ] || need_system $packages
fi
can_fuzz() { printf 'int LLVMFuzzerTestOneInput(void){return 0;}\n' | clang -x c -o /dev/null -fsanitize=fuzzer - 2>/dev/null; }
if [ "$fuzz_seconds" -gt 0 ] && ! can_fuzz; then
    ! can_install || update_index
    need_system clang "$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/libclang-rt-\1-dev/p')"
fi
setup build

began=$(date +%s)
step() { say "== $* ($(($(date +%s) - began)) s since the setup)"; }
# Processes in the background; they end with this script.
background=
# shellcheck disable=SC2329 # the trap calls it
end_background() {
    for one in $background; do # one that has ended may have left its number to another process
        ! grep -qs "^PPid:[[:space:]]*$$\$" "/proc/$one/status" || kill "$one"
    done
}
trap end_background EXIT
trap 'exit 1' INT TERM
mkdir -p .build
rm -f .build/pytest-*.log

style_and_types() {
    # shellcheck disable=SC2086 # the groups are words
    install_groups test lint $more
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

boot_kernel() {
    python scripts/kernels/boot.py --checkout --folder "${XDG_CACHE_HOME:-$HOME/.cache}/auditsense/kernels" "$@" "$kernel"
}

step "style and types; C tests under ASan and UBSan"
style_and_types >.build/style.log 2>&1 &
style=$! background="$background $!"
if [ -n "$kernel" ]; then # downloads, mostly
    boot_kernel --prepare >.build/kernel.log 2>&1 &
    preparing=$! background="$background $!"
fi
[ -d .build/sanitized ] || meson setup .build/sanitized -Dtests=true -Db_sanitize=address,undefined \
    --buildtype=debugoptimized --werror >/dev/null
meson test -C .build/sanitized --print-errorlogs --quiet

targets="record stream text regex table"
if [ "$fuzz_seconds" -gt 0 ]; then
    [ -d .build/fuzz ] || CC=clang meson setup .build/fuzz -Dfuzz=true -Db_sanitize=address,undefined \
        --buildtype=debugoptimized >/dev/null
    # shellcheck disable=SC2046,SC2086 # the targets are words
    ninja -C .build/fuzz $(printf 'fuzz/fuzz_%s ' $targets) >/dev/null
fi
wait "$style" || { cat .build/style.log >&2; die "the check of style and types failed"; }
cat .build/style.log >&2
if [ -n "$kernel" ]; then
    wait "$preparing" && ended=0 || ended=$?
    cat .build/kernel.log >&2
    case $ended in
        0) ;;
        3) kernel="" ;; # something that it needs is missing; the line above names it
        *) die "the kernel $kernel cannot be prepared" ;;
    esac
fi

# Kernel, fuzz targets and, in CI, tests that only compute run alongside the live tests. Of those one runs at a time,
# which leaves a processor idle. Fuzz targets never take one from another program; the others get a small share.
computing=
[ "${CI:-}" != true ] || [ $# != 0 ] || computing="tests/detect tests/detections"
idle="chrt --idle 0"
$idle true 2>/dev/null || idle="nice -n 19"
found=.build/found
start_background() {
    if [ -n "$computing" ]; then
        # shellcheck disable=SC2086 # the folders are words
        nice -n 10 pytest --color=$color -m "not live" $computing >.build/pytest-computing.log 2>&1 &
        computed=$! background="$background $!"
    fi
    if [ -n "$kernel" ]; then
        boot_kernel --prepared >.build/kernel.log 2>&1 &
        booting=$! background="$background $!"
    fi
    [ "$fuzz_seconds" -gt 0 ] || return 0
    for target in $targets; do
        mkdir -p "$found/$target"
        $idle .build/fuzz/fuzz/fuzz_"$target" -max_total_time="$fuzz_seconds" -max_len=4096 \
            -dict=fuzz/audit.dict -artifact_prefix="$found/$target-" -verbosity=0 "$found/$target" \
            "fuzz/corpus/$target" >"$found/$target.log" 2>&1 &
        eval "fuzzing_$target=$!" && background="$background $!"
    done
}
# Set $code to 1 where one of them has failed, and show its output.
wait_for_background() {
    if [ -n "$computing" ]; then
        wait "$computed" || code=$?
        cat .build/pytest-computing.log
    fi
    if [ -n "$kernel" ]; then
        if ! wait "$booting" || ! grep -q '^pass alert:.every field of the alert as expected' .build/kernel.log; then
            cat .build/kernel.log >&2
            say "== the sensor does not work on kernel $kernel"
            code=1
        fi
    fi
    [ "$fuzz_seconds" -gt 0 ] || return 0
    for target in $targets; do
        eval "wait \$fuzzing_$target" || { cat "$found/$target.log" >&2; say "== fuzz_$target has found something"; code=1; }
    done
}
alongside="alongside, ${computing:-no other tests}, kernel ${kernel:-(none)}, fuzz targets (${fuzz_seconds} s each)"

# run_tests NAME ARGUMENT…: run pytest, keep its output in .build, and set $code to its exit code.
color=no
[ ! -t 1 ] || color=yes
exec 4>&1
run_tests() {
    log=.build/pytest-$1.log
    shift
    code=$({ { pytest --color=$color "$@" && ended=0 || ended=$?; echo "$ended" >&3; } | tee "$log" >&4; } 3>&1)
}

case " $* " in
    *" -m"*) # the caller chooses among live tests and others
        step "pytest; $alongside"
        start_background
        run_tests chosen "$@"
        wait_for_background
        exit "$code"
        ;;
esac

no_tests=5 # pytest's exit code where nothing was selected
step "pytest: all tests but the live ones, in more processes than processors, for the tests that wait"
# A file stays in one process, for its fixtures; in the order of folders the last files are short.
# shellcheck disable=SC2046,SC2086 # the folders are words
run_tests parallel -n $(($(nproc) + 1)) --dist loadfile --no-loadscope-reorder -m "not live" \
    $([ -z "$computing" ] || printf -- '--ignore=%s ' $computing) "$@"
parallel=$code
step "pytest: live tests, which share the kernel's audit, one at a time; $alongside"
start_background
run_tests live -m live "$@"
[ "$code" != $no_tests ] || code=$parallel
[ "$parallel" = 0 ] || [ "$parallel" = $no_tests ] || code=$parallel
step "what runs alongside comes to its end"
wait_for_background
[ "$code" = 0 ] || {
    say "== failed tests"
    grep -ahE '^(.\[[0-9;]*m)*(FAILED|ERROR) ' .build/pytest-*.log >&2 || true
}
step "end, code $code"
exit "$code"
