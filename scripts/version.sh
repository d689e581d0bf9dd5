#!/bin/sh
# Print the version of this source tree: X.Y.Z at a tag vX.Y.Z, else NEXT.devN+gCOMMIT with N commits since the
# last tag, so that `pip install --upgrade` replaces an older checkout. An archive of sources holds version.txt.
set -eu
next=0.1.0 # the release that this tree becomes

cd "$(dirname "$0")/.."
if [ -f version.txt ]; then
    cat version.txt
    exit
fi
# A build as root may read a checkout of another user: only names and counts are read from it.
repository() { git -c safe.directory="$PWD" "$@" 2>/dev/null; }
if ! [ -e .git ] || ! commit=$(repository rev-parse --short=9 HEAD); then
    printf '%s.dev0\n' "$next"
    exit
fi
changed=$(repository status --porcelain --untracked-files=no | head -n 1)
if [ -z "$changed" ] && tag=$(repository describe --tags --exact-match --match 'v[0-9]*'); then
    printf '%s\n' "${tag#v}"
    exit
fi
if last=$(repository describe --tags --abbrev=0 --match 'v[0-9]*'); then
    commits=$(repository rev-list --count "$last..HEAD")
else
    commits=$(repository rev-list --count HEAD)
fi
printf '%s.dev%s+g%s%s\n' "$next" "$commits" "$commit" "${changed:+.modified}"
