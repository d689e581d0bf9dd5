#!/bin/sh
# Write requirements/: one file per dependency group, each package with its version and the hashes of its files.
# --upgrade takes the newest versions that pyproject.toml allows; without it, only what changed there changes.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
command -v uv >/dev/null 2>&1 || die "uv is missing; pip install --group lock"
groups="build test lint pyright docs package vulnerabilities lock"
# The time is not written, so that two runs write the same.
compile() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
        --no-emit-index-url --output-file "$@" </dev/null
}

mkdir -p requirements
# All groups in one: then a package that two of them use has one version.
all=
for group in $groups; do all="$all --group $group"; done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ "${1:-}" = --upgrade ]; then
    rm -f requirements/*.txt
else # uv keeps what its output names already
    cat requirements/*.txt 2>/dev/null | sed -n 's/^\([a-zA-Z0-9._-]*==[^ ]*\).*/\1/p' | sort -u >"$work/all.txt"
fi
# shellcheck disable=SC2086 # the groups are words
compile "$work/all.txt" $all pyproject.toml --all-extras
for group in $groups; do
    compile "requirements/$group.txt" --constraint "$work/all.txt" --group "$group"
done
compile requirements/runtime.txt --constraint "$work/all.txt" pyproject.toml
