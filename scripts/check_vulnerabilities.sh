#!/bin/sh
# Look up every locked package in the database of known vulnerabilities, with pip-audit. Exit code 1: one is affected, or
# the database did not answer about all of them, which must not be taken for a clean result.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

folder=.build/vulnerabilities
if [ ! -x "$folder/bin/pip-audit" ]; then
    python=$(find_python) || die "Python 3.11 or newer with venv is needed"
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: \
        -r requirements/vulnerabilities.txt || die "pip-audit cannot be installed"
fi
failed=
for file in requirements/*.txt; do
    say "== $file"
    # --strict: a package that could not be looked up is a failure, not a footnote.
    "$folder/bin/pip-audit" --strict --disable-pip --require-hashes --progress-spinner off -r "$file" >&2 || failed="$failed $file"
done
[ -z "$failed" ] || die "affected, or not looked up:$failed"
say "no known vulnerability in what requirements/ locks"
