"""Root file systems for boot.py: packages of Debian, unpacked and never installed, and the sensor in them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.check_distributions import older

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE: Final = Path(__file__).resolve().parent
PROJECT: Final = HERE.parents[1]
DIST: Final = PROJECT / "dist"
DEBIAN: Final = "http://deb.debian.org/debian"
KEYS: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Whatever the kernel: Debian 12 with Python 3.11, the oldest that is supported.
SUITE: Final = "bookworm"
PYTHON: Final = "python3.11"
PACKAGES: Final = ("python3", "auditd", "busybox-static", "util-linux", "libcap2-bin")
# More for systemd as the first process, where dpkg installs the package under test.
SERVICE_PACKAGES: Final = (
    *("systemd", "systemd-sysv", "mount", "procps", "passwd", "base-files", "base-passwd"),
    *("dpkg", "tar", "coreutils", "diffutils", "findutils", "grep", "sed", "dash", "libc-bin"),
)
NOT_UNPACKED: Final = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/perl*",
    "usr/lib/*/perl*",
    "usr/lib/udev/hwdb.d",
    "dev/*",
)
COMPILERS: Final = {"amd64": "gcc", "arm64": "aarch64-linux-gnu-gcc", "s390x": "s390x-linux-gnu-gcc"}
GNU_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64", "s390x": "s390x"}


class BootError(Exception):
    """The guest did not come to its end."""


class MissingError(BootError):
    """Something needed is not installed, or cannot be downloaded."""


def run(*words: str, **options: object) -> str:
    """Run a program, return its standard output.

    Raises:
        MissingError: it failed.
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise MissingError(f"{' '.join(words)}: exit code {done.returncode}: {done.stderr[-1000:]}")
    text: str = done.stdout
    return text


class Apt:
    """An apt with its files in a folder: it uses this machine's keys, and changes nothing of it.

    Args:
        folder: of its files.
        suite: of Debian.
        machine: Debian's name of the architecture.
        mirror: of the suite.

    Raises:
        MissingError: there is no apt-get, or no index.
    """

    def __init__(self, folder: Path, suite: str, machine: str, mirror: str = DEBIAN) -> None:
        self.folder = folder
        if shutil.which("apt-get") is None or not Path(KEYS).exists():
            raise MissingError(f"there is no apt-get or no {KEYS}; install debian-archive-keyring")
        (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (folder / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        (folder / "status").write_text("", encoding="ascii")
        (folder / "sources.list").write_text(
            f"deb [signed-by={KEYS}] {mirror} {suite} main\n", encoding="ascii"
        )
        settings = {
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "APT::Architecture": machine,
            "APT::Install-Recommends": "0",
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
        }
        lines = [f'{name} "{value}";' for name, value in settings.items()]
        (folder / "apt.conf").write_text(
            "\n".join([*lines, f'APT::Architectures {{ "{machine}"; }};', ""]), encoding="ascii"
        )
        self.environment = {"APT_CONFIG": str(folder / "apt.conf"), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
        self._run("apt-get", "-qq", "update")

    def _run(self, *words: str, cwd: Path | None = None) -> str:
        return run(*words, env=self.environment, cwd=cwd)

    def names(self, pattern: str) -> list[str]:
        """Return the packages whose whole name fits, the newest version first."""
        names = [name for name in self._run("apt-cache", "pkgnames").split() if re.fullmatch(pattern, name)]
        return sorted(names, key=lambda name: [int(part) for part in re.findall(r"\d+", name)], reverse=True)

    def download(self, name: str) -> Path:
        """Download one package without what it depends on; return its file."""
        self._run("apt-get", "-qq", "download", name, cwd=self.folder)
        (file,) = self.folder.glob(f"{name}_*.deb")
        return file

    def download_all(self, names: Iterable[str]) -> list[Path]:
        """Download packages and what they depend on; return their files."""
        self._run("apt-get", "-qq", "-y", "--download-only", "install", *names)
        self._run("apt-get", "-qq", "autoclean")  # of versions that the suite has no longer
        return sorted((self.folder / "cache" / "archives").glob("*.deb"))


def unpack(package: Path, folder: Path, *more: str) -> None:
    """Unpack the files of a .deb, as any user: without owners and devices.

    Raises:
        MissingError: it cannot be read.
    """
    archive = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE)
    done = subprocess.run(
        ["tar", "-x", "-C", str(folder), "--keep-directory-symlink", "--no-same-owner", *more],
        stdin=archive.stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if archive.wait() or done.returncode:
        raise MissingError(f"{package.name} cannot be unpacked: {done.stderr[-500:]}")


def compiler(machine: str) -> str:
    """Return the C compiler for a machine: the default one, else the newest by number.

    Raises:
        MissingError: there is none.
    """
    name = COMPILERS[machine]
    numbered = sorted(
        Path("/usr/bin").glob(f"{name}-[0-9]*"), key=lambda path: int(path.name.rpartition("-")[2])
    )
    found = shutil.which(name) or (str(numbered[-1]) if numbered else None)
    if found is None:
        raise MissingError(f"{name} is not installed")
    return found


def the_package(machine: str) -> Path:
    """Return the .deb under test.

    Raises:
        MissingError: there is none, or there are several.
    """
    found = [*DIST.glob(f"auditsense_*_{machine}.deb")]
    if len(found) != 1:
        raise MissingError(
            f"{len(found)} packages for {machine} in dist/, not 1: ARCHES={machine} scripts/build_packages.sh"
        )
    return found[0]


def add_accounts(root: Path, accounts: dict[str, int]) -> None:
    """Write the accounts of a host."""
    etc = root / "etc"
    (etc / "passwd").write_text(
        "".join(f"{name}:x:{number}:{number}::/:/bin/sh\n" for name, number in accounts.items()),
        encoding="ascii",
    )
    (etc / "group").write_text(
        "".join(f"{name}:x:{number}:\n" for name, number in {**accounts, "adm": 4}.items()), encoding="ascii"
    )


def lay_out(root: Path, packages: list[Path]) -> None:
    """Make the folders and files of a host, and unpack packages."""
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    folders = "proc sys dev run tmp root packages etc/audit var/log/audit var/log/auditsense"
    for name in folders.split():
        (root / name).mkdir(parents=True)
    (root / "var/run").symlink_to("/run")
    for file in packages:
        unpack(file, root, *(f"--exclude=./{pattern}" for pattern in NOT_UNPACKED))
    (root / "etc/hostname").write_text("guest\n", encoding="ascii")
    (root / "etc/machine-id").write_text("0123456789abcdef" * 2 + "\n", encoding="ascii")


def install_package(root: Path, package: Path) -> dict[str, int]:
    """Unpack the package under test; return the accounts that it brings for systemd-sysusers."""
    unpack(package, root)
    wanted = (root / "usr/lib/sysusers.d/auditsense.conf").read_text(encoding="utf-8")
    names = re.findall(r"^u\s+(\S+)", wanted, re.MULTILINE)
    return {account: 900 + number for number, account in enumerate(names)}


def install_checkout(root: Path) -> dict[str, int]:
    """Copy the package and what it needs from this Python's packages, as the .deb has them; return accounts.

    Raises:
        MissingError: this Python's version is not the guest's, so its module of cffi does not load there.
    """
    if f"python{sys.version_info.major}.{sys.version_info.minor}" != PYTHON:
        raise MissingError(f"this is Python {sys.version.split()[0]}, and the guest has {PYTHON}; use that")
    packages = Path(sysconfig.get_paths()["platlib"])
    library = root / "usr/lib/auditsense"
    library.mkdir()
    for name in ("auditsense", "pyroute2", "_cffi_backend.*", "auditsense-*.dist-info"):
        for found in packages.glob(name):
            if found.is_dir():
                shutil.copytree(found, library / found.name)
            else:
                shutil.copy(found, library)
    launcher = root / "usr/bin/auditsense"
    shutil.copy(PROJECT / "packaging/launcher", launcher)
    launcher.chmod(0o755)
    return {"auditsense": 900}


def is_current(archive: Path, package: Path) -> bool:
    """Tell whether a root was made after the package under test and the files of this folder."""
    sources = [package, *HERE.iterdir()]
    return archive.exists() and archive.stat().st_mtime > max(
        file.stat().st_mtime for file in sources if file.is_file()
    )


def make_root(machine: str, folder: Path, *, checkout: bool) -> Path:
    """Return the archive of a root with the sensor in it and a script as the first process.

    Args:
        machine: Debian's name of the architecture.
        folder: of roots and downloads.
        checkout: the installed package of this Python, not the .deb of dist/.

    Raises:
        MissingError: something that it consists of.
    """
    kind = "checkout" if checkout else "root"
    root, archive = folder / f"{kind}-{machine}", folder / f"{kind}-{machine}.cpio"
    package = None if checkout else the_package(machine)
    if package is not None and is_current(archive, package):
        return archive
    lay_out(root, Apt(folder / f"apt-root-{machine}", SUITE, machine).download_all(PACKAGES))
    own = install_checkout(root) if package is None else install_package(root, package)
    add_accounts(root, {"root": 0, "another": 65534, **own})
    (root / "usr/bin/sh").unlink(missing_ok=True)
    (root / "usr/bin/sh").symlink_to("busybox")
    finish(root, archive, machine, "usr/lib/auditsense")
    return archive


def make_archive_root(machine: str, folder: Path) -> Path:
    """Return the archive of a root where the sensor runs with its own Python, next to that of the checks.

    Raises:
        MissingError: something that it consists of.
    """
    packages = [*DIST.glob(f"auditsense-*-portable-{GNU_MACHINES[machine]}.tar.xz")]
    if len(packages) != 1:
        steps = f"ARCHES={machine} STEPS=portable scripts/build_packages.sh"
        raise MissingError(f"{len(packages)} archives for {machine} in dist/, not 1: {steps}")
    root, archive = folder / f"archive-{machine}", folder / f"archive-{machine}.cpio"
    if is_current(archive, packages[0]):
        return archive
    lay_out(root, Apt(folder / f"apt-root-{machine}", SUITE, machine).download_all(PACKAGES))
    run("tar", "-C", str(root), "-xJf", str(packages[0]))
    (root / "usr/bin/auditsense").symlink_to("/opt/auditsense/bin/auditsense")
    add_accounts(root, {"root": 0, "another": 65534, "auditsense": 900})
    (root / "usr/bin/sh").unlink(missing_ok=True)
    (root / "usr/bin/sh").symlink_to("busybox")
    (own,) = (root / "opt/auditsense/lib").glob("python3.*")
    compile_python(root, own.name, "opt/auditsense/lib/" + own.name, "opt/auditsense/lib/auditsense")
    finish(root, archive, machine)
    return archive


def make_service_root(machine: str, folder: Path) -> Path:
    """Return the archive of a root with systemd, where the guest installs the package under test.

    Raises:
        MissingError: something that it consists of.
    """
    package, archive = the_package(machine), folder / f"service-{machine}.cpio"
    if is_current(archive, package):
        return archive
    root, apt = folder / f"service-{machine}", Apt(folder / f"apt-service-{machine}", SUITE, machine)
    packages = apt.download_all([*PACKAGES, *SERVICE_PACKAGES])
    lay_out(root, packages)
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / f"etc/{name}")
    write_database(root / "var/lib/dpkg", packages)
    shutil.copy(package, root / "packages/auditsense.deb")
    shutil.move(older(package, folder), root / "packages/older.deb")
    units = root / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True, exist_ok=True)
    (units / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    shutil.copy(HERE / "checks.service", units)
    slow = root / "usr/lib/systemd/system/auditsense.service.d"
    slow.mkdir()
    # An emulated processor may need longer than the 30 s of the unit. Nothing else of it is changed.
    (slow / "emulation.conf").write_text(
        "[Service]\nTimeoutStartSec=10min\nWatchdogSec=10min\n", encoding="ascii"
    )
    (units / "multi-user.target.wants/checks.service").symlink_to("../checks.service")
    finish(root, archive, machine)
    return archive


def write_database(folder: Path, packages: list[Path]) -> None:
    """Write what dpkg knows of packages, as if it had installed them."""
    for name in ("info", "updates", "triggers", "alternatives"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    entries = []
    for package in packages:
        name, _, fields = run("dpkg-deb", "-f", str(package)).partition("\n")
        entries.append(f"{name}\nStatus: install ok installed\n{fields}")
    (folder / "status").write_text("\n".join(entries), encoding="utf-8")
    (folder / "available").touch()


def finish(root: Path, archive: Path, machine: str, *compiled: str) -> None:
    """Add the scanner, the first process and byte code, and write the archive."""
    run(compiler(machine), "-O2", "-static", "-o", str(root / "usr/bin/scan"), str(HERE / "scan.c"))
    compile_python(root, PYTHON, "usr/lib/" + PYTHON, *compiled)
    shutil.copy(HERE / "init", root / "init")
    (root / "init").chmod(0o755)
    write_archive(root, archive)


def compile_python(root: Path, version: str, *folders: str) -> None:
    """Write byte code as an installation does: without it each start takes minutes in emulation.

    Raises:
        MissingError: this machine has no Python of the same version.
    """
    python = shutil.which(version)
    if python is None:
        raise MissingError(f"{version} is not installed, which compiles for the Python of the guest")
    words = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(root)]
    run(python, *words, *(str(root / name) for name in folders))


def write_archive(folder: Path, archive: Path) -> None:
    """Write a folder as the kernel reads it. Uncompressed: emulated processors unpack slowly."""
    names = run("find", ".", cwd=folder)
    try:
        with archive.open("wb") as file:
            subprocess.run(
                ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"],
                input=names.encode(),
                cwd=folder,
                stdout=file,
                check=True,
            )
    except FileNotFoundError:
        raise MissingError("cpio is not installed") from None
