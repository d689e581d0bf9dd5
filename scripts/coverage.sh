#!/bin/sh
# Build the core with gcov, run its tests, and report the covered lines and branches of each file: by the C tests
# alone, then with the readable cases of pytest.
#
# usage: scripts/coverage.sh [--lines]     --lines: also list the lines and branches that were not covered
set -eu
cd "$(dirname "$0")/.."
[ ! -d .venv/bin ] || PATH=$PWD/.venv/bin:$PATH
build=$PWD/.build/coverage

[ -d "$build" ] || meson setup "$build" -Dtests=true -Dfuzz=true -Db_coverage=true -Dbuildtype=debug \
    -Dpython.allow_limited_api=true >/dev/null
ninja -C "$build" --quiet
find "$build" -name '*.gcda' -delete

# Only the core's objects. Compile-time checks are excluded.
report() {
    gcovr --root . --filter 'src/auditsense/_ring' --object-directory "$build" "$build/libcore.a.p" \
        --exclude-branches-by-pattern '^\s*_Static_assert' "$@"
}
table() {
    printf '\n== %s: lines\n' "$1"
    report --txt | sed -n '/^File/,/^TOTAL/p'
    printf '\n== %s: branches\n' "$1"
    report --txt --txt-metric branch | sed -n '/^File/,/^TOTAL/p'
}

meson test -C "$build" --no-rebuild --quiet --suite core
table 'C tests'

# The same core inside Python: the package from the checkout, with the compiled module of this build.
site=$build/site
rm -rf "$site"
mkdir -p "$site"
cp -r src/auditsense "$site/auditsense"
rm -f "$site"/auditsense/_ffi.*.so
cp "$build"/_ffi.*so "$site/auditsense/"
# The loader of an editable install would come before every path.
printf 'import sys\nsys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]\n' \
    >"$site/sitecustomize.py"
PYTHONPATH=$site python3 -m pytest -q -p no:cacheprovider tests/core/test_cases.py
meson test -C "$build" --no-rebuild --quiet --suite fuzz
table 'C tests, readable cases and fuzz corpus'

if [ "${1:-}" = --lines ]; then
    printf '\n== not reached by any of them\n'
    report --json-pretty | python3 -c '
import json, sys
for file in json.load(sys.stdin)["files"]:
    for line in file["lines"]:
        missed = [n for n, branch in enumerate(line["branches"]) if branch["count"] == 0]
        if line["count"] == 0 or missed:
            text = open(file["file"]).read().splitlines()[line["line_number"] - 1].strip()
            what = "line" if line["count"] == 0 else "%d of %d branches" % (len(missed), len(line["branches"]))
            print("%s:%d: %s: %s" % (file["file"], line["line_number"], what, text))
'
fi
