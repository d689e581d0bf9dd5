# shellcheck shell=sh disable=SC2154
# Sourced by scripts/build_packages.sh: an archive for hosts whose Python is older than 3.11, or that have none. It holds
# Python and the C library of Debian, unchanged but for the path of the loader in the interpreter's file, so it runs
# on any kernel and any distribution, in /opt/auditsense and nowhere else.

PORTABLE_SUITE=trixie
PORTABLE_PYTHON=3.13
PORTABLE_PACKAGES="libc6 libgcc-s1 zlib1g libssl3t64 libexpat1 libsqlite3-0 libffi8 libbz2-1.0 liblzma5 libuuid1
    libzstd1 gcc-14-base
    python3.13-minimal libpython3.13-minimal libpython3.13-stdlib"

# An apt of the archive's: it reads and changes nothing of this machine, but uses Debian's keys from it.
download_debian() { # ARCH FOLDER
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    if ! command -v apt-get >/dev/null 2>&1 || [ ! -f "$keys" ]; then
        die "the archive with its own Python needs apt-get and Debian's keys (debian-archive-keyring); STEPS can leave out portable"
    fi
    mkdir -p "$2/lists/partial" "$2/cache/archives/partial" "$2/packages"
    : >"$2/status"
    echo "deb [signed-by=$keys] $MIRROR $PORTABLE_SUITE main" >"$2/sources.list"
    cat >"$2/apt.conf" <<CONF
Dir::State::lists "$2/lists";
Dir::State::status "$2/status";
Dir::Cache "$2/cache";
Dir::Etc::sourcelist "$2/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Architecture "$1";
APT::Architectures { "$1"; };
APT::Sandbox::User "";
Acquire::Languages "none";
CONF
    rm -f "$2/packages/"*.deb
    # shellcheck disable=SC2086 # the packages are words
    (APT_CONFIG=$2/apt.conf && export APT_CONFIG && apt-get -qq update && cd "$2/packages" && apt-get -qq download $PORTABLE_PACKAGES) ||
        die "Debian's packages cannot be downloaded"
}

build_portable() { # ARCH
    arch=$1
    step "archive with its own Python for $arch"
    machine=$(machine "$arch")
    debian=$work/debian-$arch
    tree=$work/portable-$arch
    into=$tree/opt/auditsense
    rm -rf "$tree"
    mkdir -p "$into/bin" "$into/lib" "$into/share/licenses"
    download_debian "$arch" "$debian"
    for package in "$debian/packages/"*.deb; do
        name=$(dpkg-deb -f "$package" Package)
        rm -rf "$work/unpacked"
        dpkg-deb -x "$package" "$work/unpacked"
        cp "$work/unpacked/usr/share/doc/$name/copyright" "$into/share/licenses/$name" 2>/dev/null ||
            [ -L "$work/unpacked/usr/share/doc/$name" ] || die "$name has no licence file" # a link: that package's is taken too
        [ ! -d "$work/unpacked/usr/lib/python$PORTABLE_PYTHON" ] || cp -a "$work/unpacked/usr/lib/python$PORTABLE_PYTHON" "$into/lib/"
        [ ! -f "$work/unpacked/usr/bin/python$PORTABLE_PYTHON" ] || cp "$work/unpacked/usr/bin/python$PORTABLE_PYTHON" "$into/bin/"
        find "$work/unpacked" \( -name 'lib*.so.*' -o -name 'ld*.so.*' \) -path "*$machine-linux-gnu*" ! -path '*/gconv/*' \
            ! -path '*/audit/*' -exec cp -P {} "$into/lib/" \;
    done
    rm -rf "$work/unpacked"
    loader=$(basename "$(patchelf --print-interpreter "$into/bin/python$PORTABLE_PYTHON")")
    [ -e "$into/lib/$loader" ] || die "the loader $loader is in none of the packages"
    # DT_RPATH of the program holds for the libraries of its modules too.
    patchelf --set-interpreter "/opt/auditsense/lib/$loader" --force-rpath --set-rpath /opt/auditsense/lib \
        "$into/bin/python$PORTABLE_PYTHON"
    # Modules for terminals and old databases, whose libraries would come along for nothing.
    rm -f "$into/lib/python$PORTABLE_PYTHON/lib-dynload"/_dbm.* "$into/lib/python$PORTABLE_PYTHON/lib-dynload"/_curses* \
        "$into/lib/python$PORTABLE_PYTHON/lib-dynload"/readline.*
    find "$into" -name '*.so*' -type f -exec patchelf --print-needed {} + | sort -u | while read -r library; do
        [ -e "$into/lib/$library" ] || die "$library is in none of the packages"
    done
    rm -rf "$into/lib/python$PORTABLE_PYTHON"/config-* "$into/lib/python$PORTABLE_PYTHON/pydoc_data"
    find "$into" -type l ! -exec test -e {} \; -delete
    ln -s "python$PORTABLE_PYTHON" "$into/bin/python3"
    stage_python "$arch" "$into/lib/auditsense" "$PORTABLE_PYTHON"
    cp -r "$into/lib/auditsense.share/." "$into/share/"
    rm -r "$into/lib/auditsense.share"
    sed 's|/usr/bin/python3|/opt/auditsense/bin/python3|; s|/usr/lib/auditsense|/opt/auditsense/lib/auditsense|' \
        packaging/launcher >"$into/bin/auditsense"
    cp LICENSE "$into/share/licenses/auditsense"
    chmod 755 "$into/bin/auditsense" "$into/bin/python$PORTABLE_PYTHON"
    for package in "$debian/packages/"*.deb; do
        # shellcheck disable=SC2016 # names of dpkg-deb
        dpkg-deb -W --showformat '${Package} ${Version} ${Architecture} ' "$package"
        sha256sum <"$package" | cut -d' ' -f1
    done | sort >"$work/portable-$arch.packages"
    archive_of "$tree" opt | xz -6 -T1 >"$dist/auditsense-$(version)-portable-$machine.tar.xz"
}
