"""Boot kernels in emulation with the .deb of dist/ in a root file system, and run checks.py in each.

Usage: python scripts/kernels/boot.py [--checks short|full|off|locked] [--folder FOLDER] [NAME]...

NAME is one of KERNELS below; none: all of them. It needs no root, no KVM, no network and no disk: the root
file system is the initramfs. On Debian: apt-get install qemu-system-x86 qemu-system-arm qemu-system-misc cpio
gcc libc6-dev, and for other processors gcc-12-aarch64-linux-gnu and gcc-12-s390x-linux-gnu. Kernels and the
files of the root are downloaded once, as packages of Debian, which are unpacked and never installed.
The results go to packaging/results/kernels.json, for scripts/write_compatibility.py.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
DIST: Final = ROOT / "dist"
RESULTS: Final = ROOT / "packaging" / "results" / "kernels.json"
DEBIAN: Final = "http://deb.debian.org/debian"
SECURITY: Final = "http://deb.debian.org/debian-security"
KEYS: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Of the root, whatever the kernel: Debian 12 with Python 3.11, the oldest that is supported.
ROOT_SUITE: Final = "bookworm"
ROOT_PYTHON: Final = "python3.11"
ROOT_PACKAGES: Final = ("python3", "auditd", "busybox-static", "util-linux", "libcap2-bin")
NOT_UNPACKED: Final = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/perl*",
    "usr/lib/*/perl*",
    "dev/*",
)
LIMIT_S: Final = 1800


@dataclass(frozen=True, slots=True)
class Machine:
    """An emulated processor.

    Attributes:
        qemu: command that emulates it.
        console: name of its serial line in the kernel.
        compiler: builds scan.c for it.
    """

    qemu: tuple[str, ...]
    console: str
    compiler: str


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel of Debian's.

    Attributes:
        machine: by Debian's name of the architecture.
        suite: of Debian that has it.
        package: pattern of the package's name; the newest one is taken.
        mirror: of the suite.
    """

    machine: str
    suite: str
    package: str
    mirror: str = DEBIAN


MACHINES: Final = {
    "amd64": Machine(("qemu-system-x86_64", "-cpu", "max"), "ttyS0", "gcc"),
    "arm64": Machine(
        ("qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on"),
        "ttyAMA0",
        "aarch64-linux-gnu-gcc",
    ),
    "s390x": Machine(
        ("qemu-system-s390x", "-M", "s390-ccw-virtio", "-cpu", "max"), "ttyS0", "s390x-linux-gnu-gcc"
    ),
}
KERNELS: Final = {
    "5.10-amd64": Kernel("amd64", "bullseye-security", r"linux-image-5\.10.*-cloud-amd64-unsigned", SECURITY),
    "6.1-amd64": Kernel("amd64", "bookworm", r"linux-image-6\.1.*-cloud-amd64-unsigned"),
    "6.12-amd64": Kernel("amd64", "trixie", r"linux-image-6\.12.*-cloud-amd64-unsigned"),
    "newest-amd64": Kernel("amd64", "sid", r"linux-binary-unsigned-[0-9].*-cloud-amd64"),
    "6.1-arm64": Kernel("arm64", "bookworm", r"linux-image-6\.1.*-cloud-arm64-unsigned"),
    "6.1-s390x": Kernel("s390x", "bookworm", r"linux-image-6\.1[0-9.-]*-s390x"),
}


class BootError(Exception):
    """Something needed is missing, or could not be made."""


def run(*words: str, **options: object) -> str:
    """Run a program, return its standard output.

    Raises:
        BootError: it failed.
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise BootError(f"{' '.join(words)}: exit code {done.returncode}: {done.stderr[-1000:]}")
    text: str = done.stdout
    return text


class Apt:
    """An apt with its files in a folder: it uses this machine's keys, and changes nothing of it."""

    def __init__(self, folder: Path, suite: str, machine: str, mirror: str) -> None:
        self.folder = folder
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
        return sorted((self.folder / "cache" / "archives").glob("*.deb"))


def unpack(package: Path, folder: Path, *more: str) -> None:
    """Unpack the files of a .deb, as any user: without owners and devices."""
    archive = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE)
    done = subprocess.run(
        ["tar", "-x", "-C", str(folder), "--keep-directory-symlink", "--no-same-owner", *more],
        stdin=archive.stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if archive.wait() or done.returncode:
        raise BootError(f"{package.name} cannot be unpacked: {done.stderr[-500:]}")


def kernel_file(name: str, folder: Path) -> Path:
    """Return the bootable file of a kernel, downloaded where it is missing.

    Raises:
        BootError: the mirror has none.
    """
    kernel, place = KERNELS[name], folder / f"kernel-{name}"
    found = sorted([*place.glob("boot/vmlinuz-*"), *place.glob("usr/lib/modules/*/vmlinuz*")])
    if found:
        return found[0]
    apt = Apt(folder / f"apt-{kernel.suite}-{kernel.machine}", kernel.suite, kernel.machine, kernel.mirror)
    problems = []
    for package in apt.names(kernel.package):  # an index may name what the pool has no longer
        try:
            file = apt.download(package)
        except BootError as problem:
            problems.append(str(problem))
            continue
        place.mkdir(parents=True, exist_ok=True)
        unpack(file, place)
        file.unlink()
        return kernel_file(name, folder)
    raise BootError(f"no kernel for {name}: {problems or 'no package has such a name'}")


def compiler(machine: str) -> str:
    """Return the C compiler for a machine: the default one, else the newest by number.

    Raises:
        BootError: there is none.
    """
    name = MACHINES[machine].compiler
    numbered = sorted(
        Path("/usr/bin").glob(f"{name}-[0-9]*"), key=lambda path: int(path.name.rpartition("-")[2])
    )
    found = shutil.which(name) or (str(numbered[-1]) if numbered else None)
    if found is None:
        raise BootError(f"{name} is not installed")
    return found


def the_package(machine: str) -> Path:
    """Return the .deb under test.

    Raises:
        BootError: there is none, or there are several.
    """
    found = [*DIST.glob(f"auditsense_*_{machine}.deb")]
    if len(found) != 1:
        raise BootError(
            f"{len(found)} packages for {machine} in dist/, not 1: ARCHES={machine} scripts/build_packages.sh"
        )
    return found[0]


def add_accounts(root: Path) -> None:
    """Write the accounts of a host, and those that the package brings for systemd-sysusers."""
    accounts = {"root": 0, "another": 65534}
    wanted = (root / "usr/lib/sysusers.d/auditsense.conf").read_text(encoding="utf-8")
    for number, account in enumerate(re.findall(r"^u\s+(\S+)", wanted, re.MULTILINE)):
        accounts[account] = 900 + number
    etc = root / "etc"
    (etc / "passwd").write_text(
        "".join(f"{name}:x:{number}:{number}::/:/bin/sh\n" for name, number in accounts.items()),
        encoding="ascii",
    )
    (etc / "group").write_text(
        "".join(f"{name}:x:{number}:\n" for name, number in {**accounts, "adm": 4}.items()), encoding="ascii"
    )
    (etc / "hostname").write_text("guest\n", encoding="ascii")
    (etc / "machine-id").write_text("0123456789abcdef" * 2 + "\n", encoding="ascii")


def make_root(machine: str, folder: Path) -> Path:
    """Return the archive of a root file system with the package under test, made where it is out of date."""
    package, archive = the_package(machine), folder / f"root-{machine}.cpio"
    if archive.exists() and archive.stat().st_mtime > package.stat().st_mtime:
        return archive
    root = folder / f"root-{machine}"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in (
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "root",
        "etc/audit",
        "var/log/audit",
        "var/log/auditsense",
    ):
        (root / name).mkdir(parents=True)
    (root / "var/run").symlink_to("/run")
    apt = Apt(folder / f"apt-root-{machine}", ROOT_SUITE, machine, DEBIAN)
    for file in apt.download_all(ROOT_PACKAGES):
        unpack(file, root, *(f"--exclude=./{pattern}" for pattern in NOT_UNPACKED))
    unpack(package, root)
    add_accounts(root)
    (root / "usr/bin/sh").unlink(missing_ok=True)
    (root / "usr/bin/sh").symlink_to("busybox")
    run(compiler(machine), "-O2", "-static", "-o", str(root / "usr/bin/scan"), str(HERE / "scan.c"))
    compile_python(root)
    shutil.copy(HERE / "init", root / "init")
    (root / "init").chmod(0o755)
    write_archive(root, archive)
    return archive


def compile_python(root: Path) -> None:
    """Write byte code as an installation does: without it each start takes minutes in emulation.

    Raises:
        BootError: this machine has no Python of the same version.
    """
    python = shutil.which(ROOT_PYTHON)
    if python is None:
        raise BootError(f"{ROOT_PYTHON} is not installed, which compiles for the Python of the guest")
    folders = [str(root / "usr/lib" / name) for name in (ROOT_PYTHON, "auditsense")]
    words = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(root)]
    run(python, *words, *folders)


def write_archive(folder: Path, archive: Path) -> None:
    """Write a folder as the kernel reads it. Uncompressed: emulated processors unpack slowly."""
    names = run("find", ".", cwd=folder)
    with archive.open("wb") as file:
        subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"],
            input=names.encode(),
            cwd=folder,
            stdout=file,
            check=True,
        )


def boot(name: str, checks: str, folder: Path) -> tuple[list[str], float]:
    """Boot a kernel; return the lines of the checks and the seconds that it took.

    Raises:
        BootError: the guest did not come to its end.
    """
    kernel, machine = kernel_file(name, folder), MACHINES[KERNELS[name].machine]
    root, work = make_root(KERNELS[name].machine, folder), folder / f"boot-{name}"
    shutil.rmtree(work, ignore_errors=True)
    (work / "more").mkdir(parents=True)
    shutil.copy(HERE / "checks.py", work / "more")
    shutil.copy(ROOT / "tests/kernel/rules/golden/rules.txt", work / "more")
    write_archive(work / "more", work / "more.cpio")
    with (work / "initrd").open("wb") as file:  # the kernel reads one archive after the other
        for part in (root, work / "more.cpio"):
            with part.open("rb") as content:
                shutil.copyfileobj(content, file)
    audit = "audit=0" if checks == "off" else "audit=1 audit_backlog_limit=8192"
    words = [
        *machine.qemu,
        *(
            "-accel",
            "tcg,thread=multi",
            "-smp",
            "2" if KERNELS[name].machine != "s390x" else "1",
            "-m",
            "1536",
        ),
        *("-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-kernel", str(kernel), "-initrd", str(work / "initrd")),
        *("-append", f"console={machine.console} loglevel=3 panic=-1 checks={checks} {audit}"),
    ]
    started = time.monotonic()
    try:
        done = subprocess.run(
            words, capture_output=True, timeout=LIMIT_S, check=False, stdin=subprocess.DEVNULL
        )
        console, problem = done.stdout + done.stderr, ""
    except FileNotFoundError:
        raise BootError(f"{machine.qemu[0]} is not installed") from None
    except subprocess.TimeoutExpired as expired:
        console, problem = expired.stdout or b"", f"no end within {LIMIT_S} s"
    lines = console.decode(errors="replace").replace("\r", "").splitlines()
    (work / "console").write_text("\n".join(lines), encoding="utf-8")
    (work / "initrd").unlink()
    if problem or not any(line.startswith("guest: end") for line in lines):
        raise BootError(f"{name}: {problem or 'the guest stopped'}: {lines[-15:]}")
    return lines[lines.index("guest: begin") + 1 :], time.monotonic() - started


def judge(lines: list[str]) -> dict[str, object]:
    """Return facts, and the names of the checks that passed and failed."""
    told = [
        line.split(": ", 1) for line in lines if line.startswith(("pass ", "fail ", "fact ")) and ": " in line
    ]
    return {
        "facts": {name.removeprefix("fact "): seen for name, seen in told if name.startswith("fact ")},
        "passed": [name.removeprefix("pass ") for name, _ in told if name.startswith("pass ")],
        "failed": {name.removeprefix("fail "): seen for name, seen in told if name.startswith("fail ")},
    }


def main() -> int:
    """Boot the kernels; returns 1 when a check failed or a kernel did not boot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(KERNELS))
    parser.add_argument("--checks", choices=["short", "full", "off", "locked"], default="short")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / ".build" / "kernels", help="for downloads and roots"
    )
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(KERNELS)):
        parser.error(f"unknown kernel {unknown[0]}; there are {', '.join(KERNELS)}")
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in arguments.names or KERNELS:
        try:
            lines, seconds = boot(name, arguments.checks, folder)
            result = judge(lines)
        except BootError as problem:
            lines, seconds, result = [], 0.0, {"facts": {}, "passed": [], "failed": {"boot": str(problem)}}
        print(f"== {name}, {arguments.checks}, {seconds:.0f} s", *lines, sep="\n", flush=True)
        if result["failed"]:
            print(f"{name} FAILED: {result['failed']}", file=sys.stderr, flush=True)
            failed = True
        results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        results[f"{name} {arguments.checks}"] = {
            **result,
            "seconds": round(seconds),
            "day": time.strftime("%Y-%m-%d"),
        }
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
