# shellcheck shell=sh
# Sourced by run.sh and test.sh: everything they need, in a virtual environment of the checkout.
# System packages are installed only where something is missing, and only as root with apt-get.

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# The first Python that is new enough, with what a virtual environment and a C extension need.
find_python() {
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        command -v "$candidate" >/dev/null 2>&1 || continue
        "$candidate" - <<'PYTHON' 2>/dev/null || continue
import ensurepip, os, sys, sysconfig, venv
assert sys.version_info >= (3, 11)
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
PYTHON
        printf '%s\n' "$candidate"
        return 0
    done
    return 1
}

# can_compile FLAG: is there a C compiler that understands it?
can_compile() {
    printf 'int main(void){return 0;}\n' | cc -x c -o /dev/null "$1" - >/dev/null 2>&1
}

# need_system PACKAGE…: install, or print what to install.
need_system() {
    if can_install; then
        say "installing system packages: $*"
        update_index
        apt-get install -y -qq --no-install-recommends "$@" >&2 || die "apt-get could not install: $*"
    else
        die "missing system packages; install them and run this again (Debian, Ubuntu: apt-get install $*)"
    fi
}

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

# Once: what is available.
update_index() {
    [ "${index_updated:-}" != yes ] || return 0
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    apt-get update -qq >&2 || die "apt-get update failed"
    index_updated=yes
}

# install_groups GROUP…: install these dependency groups, where what asks for them changed.
install_groups() {
    record=.venv/.installed-$(printf '%s\n' "$*" | tr ' ' '-')
    wanted="$(cat pyproject.toml requirements/*.txt | cksum)"
    [ "$(cat "$record" 2>/dev/null)" != "$wanted" ] || return 0
    say "installing Python packages into .venv: $*"
    # Locked, with the hash of each file: scripts/lock.sh writes requirements/ from pyproject.toml.
    locked="-r requirements/runtime.txt"
    for group in "$@"; do locked="$locked -r requirements/$group.txt"; done
    # shellcheck disable=SC2086 # the files are words
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: $locked ||
        die "packages cannot be installed"
    printf '%s\n' "$wanted" >"$record"
}

# setup GROUP…: make .venv with these dependency groups and the package itself, built from this checkout.
setup() {
    can_compile -O2 || need_system gcc libc6-dev
    python=$(find_python) || {
        need_system python3 python3-venv python3-dev
        python=$(find_python) || die "Python 3.11 or newer with venv and headers is needed (Debian 12, Ubuntu 24.04)"
    }
    [ -x .venv/bin/python ] || "$python" -m venv .venv || die "cannot create .venv in $(pwd)"
    install_groups "$@"
    PATH="$(pwd)/.venv/bin:$PATH"
    export PATH
    # Not editable: an editable one would build again in the middle of a test that runs as another user.
    say "building auditsense"
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps . || die "the build failed"
}
