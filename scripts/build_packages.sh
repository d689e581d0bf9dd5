#!/bin/sh
# Build everything that a release consists of into dist/: sources, wheel, .deb, .rpm, an archive with its own Python,
# a bill of materials of each and SHA256SUMS. Needs no root.
#
#   scripts/build_packages.sh                    for x86-64
#   ARCHES="amd64 arm64 s390x" scripts/build_packages.sh
#   STEPS="sdist wheel" scripts/build_packages.sh       only these; all: sdist wheel packages portable
#   TWICE=no scripts/build_packages.sh                  without the second build: to try something, not for a release
#
# The same commit gives the same files: every wheel, .deb and .rpm is built twice and compared, and every time stamp is
# that of the commit (SOURCE_DATE_EPOCH). All tools are locked: requirements/package.txt, and NFPM_MODULE below.
set -eu
umask 022
LC_ALL=C
TZ=UTC
export LC_ALL TZ
cd "$(dirname "$0")/.."
. scripts/setup.sh
. scripts/cross.sh

NFPM_VERSION=v2.43.0
NFPM_MODULE=h1:o5oureuZkhu55RK0M9WSN8JLW7hu6MymtMh7LypInlk= # what the Go checksum database has for it
ARCHES=${ARCHES:-amd64} # by Debian's name
STEPS=${STEPS:-sdist wheel packages portable}
TIMES="1 2"
[ "${TWICE:-yes}" = yes ] || TIMES=1
PYTHONS="3.11 3.12 3.13 3.14 3.15" # that the .deb and the .rpm run with: packaging/nfpm.yaml has the same bounds
MIRROR=${MIRROR:-http://deb.debian.org/debian}

root=$(pwd)
dist=$root/dist
work=$root/.build/packages
. packaging/portable.sh

step() { say "== $*"; }
wants() { case " $STEPS " in *" $1 "*) true ;; *) false ;; esac; }

machine() { # of an architecture of Debian, as Python and rpm name it
    case $1 in
        amd64) echo x86_64 ;;
        arm64) echo aarch64 ;;
        s390x) echo s390x ;;
        *) die "no packages are built for $1" ;;
    esac
}

install_tools() {
    tools=$work/tools
    if [ "$(cat "$tools/.installed" 2>/dev/null)" != "$(cat requirements/package.txt requirements/runtime.txt | cksum)" ]; then
        step "tools, by requirements/package.txt"
        python=$(find_python) || die "Python 3.11 or newer with venv and headers is needed"
        rm -rf "$tools"
        "$python" -m venv "$tools"
        "$tools/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: \
            -r requirements/package.txt || die "the tools cannot be installed"
        cat requirements/package.txt requirements/runtime.txt | cksum >"$tools/.installed"
    fi
    PATH=$tools/bin:$PATH
    if wants packages; then install_nfpm; fi
    export PATH
}

install_nfpm() {
    if [ ! -x "$work/nfpm/nfpm" ]; then
        command -v go >/dev/null 2>&1 || die "Go is missing, which builds nfpm $NFPM_VERSION (Debian: apt-get install golang)"
        step "nfpm $NFPM_VERSION"
        GOBIN="$work/nfpm" GOFLAGS=-p=2 go install "github.com/goreleaser/nfpm/v2/cmd/nfpm@$NFPM_VERSION" ||
            die "nfpm cannot be built"
    fi
    go version -m "$work/nfpm/nfpm" | grep -qF "$NFPM_VERSION	$NFPM_MODULE" ||
        die "$work/nfpm/nfpm is not the pinned one; remove it and try again"
    PATH=$work/nfpm:$PATH
}

# same WHAT FILE FILE: the second build of anything must give the first one's bytes.
same() { [ "$TIMES" = 1 ] || cmp -s "$2" "$3" || die "$1 is not reproducible: $2 and $3 differ"; }

# archive_of FOLDER NAME: print a tar archive of NAME in FOLDER that depends on nothing else.
archive_of() {
    tar -C "$1" --sort=name --owner=0 --group=0 --numeric-owner --mode=u+w,go+r-w --mtime="@$SOURCE_DATE_EPOCH" --format=gnu -c "$2"
}

build_sdist() {
    step "sources"
    for time in $TIMES; do
        rm -rf "$work/sdist$time"
        mkdir -p "$work/sdist$time/tree"
        python -m build --sdist --no-isolation --outdir "$work/sdist$time" . >"$work/sdist.log" 2>&1 ||
            { cat "$work/sdist.log" >&2; die "the archive of sources cannot be built"; }
        # meson stamps what it generates with the present time, so the archive is made again.
        tar -xzf "$work/sdist$time/"*.tar.gz -C "$work/sdist$time/tree"
        archive=$(basename "$work/sdist$time/"*.tar.gz)
        archive_of "$work/sdist$time/tree" "${archive%.tar.gz}" | gzip -9n >"$work/sdist$time/$archive"
    done
    same "the archive of sources" "$work/sdist1/$archive" "$work/sdist2/$archive"
    cp "$work/sdist1/$archive" "$dist/"
}

# build_wheel ARCH: from the archive of sources, in two folders of different names.
build_wheel() {
    arch=$1
    step "wheel for $arch"
    set -- "$dist"/auditsense-*.tar.gz
    [ -f "$1" ] || die "no archive of sources in dist/; STEPS has to have sdist"
    options=
    if [ "$arch" != "$(dpkg --print-architecture 2>/dev/null || echo amd64)" ]; then
        cross_file "$arch" >"$work/$arch.ini"
        options="-Csetup-args=--cross-file=$work/$arch.ini"
        _PYTHON_HOST_PLATFORM=linux-$(machine "$arch")
        export _PYTHON_HOST_PLATFORM
    fi
    for time in $TIMES; do
        rm -rf "$work/wheel-$time-$arch"
        mkdir -p "$work/wheel-$time-$arch/source"
        tar -xzf "$1" -C "$work/wheel-$time-$arch/source" --strip-components 1
        # shellcheck disable=SC2086 # one option or none
        python -m build --wheel --no-isolation $options --outdir "$work/wheel-$time-$arch" \
            "$work/wheel-$time-$arch/source" >"$work/wheel.log" 2>&1 ||
            { cat "$work/wheel.log" >&2; die "the wheel cannot be built"; }
        # auditwheel knows the policies of the machine that it runs on, so it is given the wheel's.
        python -c 'import platform, sys; name = sys.argv.pop(1); platform.machine = lambda: name; from auditwheel.main import main; sys.exit(main())' \
            "$(machine "$arch")" repair --plat "manylinux_2_17_$(machine "$arch")" \
            --wheel-dir "$work/wheel-$time-$arch/repaired" "$work/wheel-$time-$arch/"*.whl >"$work/wheel.log" 2>&1 ||
            { cat "$work/wheel.log" >&2; die "this is no manylinux_2_17 wheel"; }
    done
    unset _PYTHON_HOST_PLATFORM
    same "the wheel" "$work/wheel-1-$arch/repaired/"*.whl "$work/wheel-2-$arch/repaired/"*.whl
    abi3audit --strict "$work/wheel-1-$arch/repaired/"*.whl >"$work/wheel.log" 2>&1 ||
        { cat "$work/wheel.log" >&2; die "the wheel uses more than Python's stable ABI"; }
    cp "$work/wheel-1-$arch/repaired/"*.whl "$dist/"
}

the_wheel() { # of ARCH
    set -- "$dist"/auditsense-*_"$(machine "$1")".whl
    [ -f "$1" ] || die "no wheel for this architecture in dist/; STEPS has to have wheel"
    echo "$1"
}

# stage_python ARCH FOLDER VERSION…: the package and what it needs at run time, without pip's traces.
stage_python() {
    arch=$1 folder=$2
    shift 2
    wheels=$work/wheels-$arch
    mkdir -p "$wheels" "$folder"
    for version in "$@"; do
        pip download -q --disable-pip-version-check --require-hashes --no-deps --only-binary :all: --dest "$wheels" \
            --implementation cp --python-version "$version" --abi "cp$(echo "$version" | tr -d .)" --abi abi3 --abi none \
            --platform "manylinux2014_$(machine "$arch")" --platform "manylinux_2_17_$(machine "$arch")" \
            -r "$work/vendored.txt" || die "cffi and pyroute2 cannot be downloaded"
    done
    for version in "$@"; do
        python -m zipfile -e "$wheels"/cffi-*-cp"$(echo "$version" | tr -d .)"-cp*.whl "$folder"
    done
    rm -r "$folder/cffi" # generates code; only its module in C is used at run time
    python -m zipfile -e "$wheels"/pyroute2-*.whl "$folder"
    python -m zipfile -e "$(the_wheel "$arch")" "$folder"
    mv "$folder"/auditsense-*.data/data/share "$folder.share"
    rm -r "$folder"/auditsense-*.data
    rm -f "$folder"/*.dist-info/RECORD "$folder"/*.dist-info/entry_points.txt
    find "$folder" "$folder.share" -type d -exec chmod 755 {} +
    find "$folder" "$folder.share" -type f -exec chmod 644 {} +
}

# Without pycparser, which cffi needs only to generate code.
write_vendored() {
    awk '/^[a-z]/ { take = /^(cffi|pyroute2)==/ } take' requirements/runtime.txt >"$work/vendored.txt"
}

version() { basename "$(echo "$dist"/auditsense-*.tar.gz)" .tar.gz | sed 's/^auditsense-//'; }

build_packages() {
    arch=$1
    step ".deb and .rpm for $arch"
    stage=$work/stage-$arch
    rm -rf "$stage"
    mkdir -p "$stage/usr/bin" "$stage/usr/lib" "$stage/units" "$stage/etc"
    # shellcheck disable=SC2086 # the versions are words
    stage_python "$arch" "$stage/usr/lib/auditsense" $PYTHONS
    mv "$stage/usr/lib/auditsense.share" "$stage/share"
    cp packaging/launcher "$stage/usr/bin/auditsense"
    cp "$stage/usr/lib/auditsense/auditsense/systemd/"*.service "$stage/units/"
    cp docs/auditsense.toml "$stage/etc/"
    cp packaging/copyright "$stage/share/doc/auditsense/copyright"
    gzip -9nc CHANGELOG.md >"$stage/share/doc/auditsense/changelog.gz"
    gzip -9n "$stage/share/man/man1/auditsense.1" "$stage/share/man/man5/auditsense.toml.5"
    # A version under development comes before its release: ~ in both.
    packaged=$(version | sed 's/\.dev/~dev/')
    sed -e "s|@VERSION@|$packaged|; s|@MTIME@|$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)|" \
        -e "s|@STAGE@|$stage|; s|@PACKAGING@|$root/packaging|" packaging/nfpm.yaml >"$work/nfpm-$arch.in"
    for kind in deb rpm; do
        case $kind in deb) name=$arch ;; rpm) name=$(machine "$arch") ;; esac
        sed "s|@ARCH@|$name|" "$work/nfpm-$arch.in" >"$work/nfpm-$arch.$kind.yaml"
        for time in $TIMES; do
            rm -rf "$work/$kind-$time"
            mkdir -p "$work/$kind-$time"
            nfpm package --config "$work/nfpm-$arch.$kind.yaml" --packager "$kind" --target "$work/$kind-$time/" \
                >"$work/nfpm.log" 2>&1 || { cat "$work/nfpm.log" >&2; die "the .$kind cannot be built"; }
        done
        same "the .$kind" "$work/$kind-1/"*."$kind" "$work/$kind-2/"*."$kind"
        cp "$work/$kind-1/"*."$kind" "$dist/"
    done
}

main() {
    mkdir -p "$dist" "$work"
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
    export SOURCE_DATE_EPOCH
    install_tools
    write_vendored
    rm -f "$dist"/*.cdx.json "$dist/SHA256SUMS"
    if wants packages; then rm -f "$dist"/auditsense*.deb "$dist"/auditsense*.rpm; fi
    if wants portable; then rm -f "$dist"/*-portable-*; fi
    if wants sdist; then
        rm -f "$dist"/auditsense-*.tar.gz "$dist"/auditsense-*.whl
        build_sdist
    fi
    for one in $ARCHES; do
        if wants wheel; then build_wheel "$one"; fi
        if wants packages; then build_packages "$one"; fi
        if wants portable; then build_portable "$one"; fi
    done
    step "bills of materials, sums"
    python scripts/write_sbom.py "$dist"
    (cd "$dist" && sha256sum -- auditsense* >SHA256SUMS)
    ls -l "$dist" >&2
}

main
