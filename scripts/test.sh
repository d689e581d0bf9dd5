#!/bin/sh
# Set up everything and run everything: style, types, C tests under ASan and UBSan, pytest with the live
# tests (as root on a host with kernel audit; elsewhere they are skipped, and say so).
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
can_compile -fsanitize=address,undefined || need_system gcc libc6-dev
setup build test lint

step() { say "== $*"; }

step "style and types"
ruff format --check --quiet .
ruff check --quiet .
mypy --no-error-summary
shellcheck -x scripts/*.sh

step "C tests under ASan and UBSan"
[ -d .build/sanitized ] || meson setup .build/sanitized -Dtests=true -Db_sanitize=address,undefined \
    --buildtype=debugoptimized --werror >/dev/null
meson test -C .build/sanitized --print-errorlogs --quiet

step "pytest"
exec pytest "$@"
