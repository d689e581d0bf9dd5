"""Boot kernels in emulation with the .deb of dist/ in a root file system, and run checks.py in each.

Usage: python scripts/kernels/boot.py [--checks CHECKS] [--folder FOLDER] [--checkout]
                                      [--prepare | --prepared] [NAME]...

NAME is one of KERNELS below; none: all. CHECKS is short, full, off (audit=0), locked, archive, or systemd.
archive is short with the archive with its own Python; dist/ must have it for that processor. With systemd
as the first process of the guest, service.py installs, upgrades and purges the package by dpkg.
It needs no root, no KVM, no network and no disk: the root file system is the initramfs. On Debian: apt-get
install qemu-system-x86 qemu-system-arm qemu-system-misc cpio gcc libc6-dev, and for other processors
gcc-12-aarch64-linux-gnu and gcc-12-s390x-linux-gnu. Kernels and the files of the root are downloaded once, as
packages of Debian, which are unpacked and never installed.
The results go to packaging/results/kernels.json, for scripts/write_compatibility.py. With --checkout the
guest has the package that this Python imports, which needs no dist/, and nothing is written.
With --prepare nothing is booted yet: downloads and the root are made. With --prepared a boot takes what is
there, at low priority.
Exit code 1: a check failed; 3: something is missing that a boot needs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT))

from scripts.kernels.root import (  # noqa: E402 - the folder above has to be found first
    DEBIAN,
    Apt,
    BootError,
    MissingError,
    make_archive_root,
    make_root,
    make_service_root,
    unpack,
    write_archive,
)

RESULTS: Final = PROJECT / "packaging" / "results" / "kernels.json"
SECURITY: Final = "http://deb.debian.org/debian-security"
CHECKS: Final = ("short", "full", "off", "locked", "archive", "systemd")
LIMIT_S: Final = 2400
LOW: Final = 10
"""Niceness with --prepared. Not idle priority: a guest that gets no time for a while fails by itself."""


@dataclass(frozen=True, slots=True)
class Machine:
    """An emulated processor.

    Attributes:
        qemu: command that emulates it.
        console: name of its serial line in the kernel.
    """

    qemu: tuple[str, ...]
    console: str


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
    "amd64": Machine(("qemu-system-x86_64", "-cpu", "max"), "ttyS0"),
    "arm64": Machine(
        ("qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on"),
        "ttyAMA0",
    ),
    "s390x": Machine(("qemu-system-s390x", "-M", "s390-ccw-virtio", "-cpu", "max"), "ttyS0"),
}
KERNELS: Final = {
    "5.10-amd64": Kernel("amd64", "bullseye-security", r"linux-image-5\.10.*-cloud-amd64-unsigned", SECURITY),
    "6.1-amd64": Kernel("amd64", "bookworm", r"linux-image-6\.1.*-cloud-amd64-unsigned"),
    "6.12-amd64": Kernel("amd64", "trixie", r"linux-image-6\.12.*-cloud-amd64-unsigned"),
    "newest-amd64": Kernel("amd64", "sid", r"linux-binary-unsigned-[0-9].*-cloud-amd64"),
    "6.1-arm64": Kernel("arm64", "bookworm", r"linux-image-6\.1.*-cloud-arm64-unsigned"),
    "6.1-s390x": Kernel("s390x", "bookworm", r"linux-image-6\.1[0-9.-]*-s390x"),
}


def kernel_file(name: str, folder: Path) -> Path:
    """Return the bootable file of a kernel, downloaded where it is missing.

    Raises:
        MissingError: the mirror has none.
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
        except MissingError as problem:
            problems.append(str(problem))
            continue
        place.mkdir(parents=True, exist_ok=True)
        unpack(file, place, "--exclude=*.ko", "--exclude=*.ko.xz")
        file.unlink()
        return kernel_file(name, folder)
    raise MissingError(f"no kernel for {name}: {problems or 'no package has such a name'}")


def initrd_file(name: str, folder: Path) -> Path:
    """Return the file that `make_initrd` writes."""
    return folder / f"boot-{name}" / "initrd"


def make_initrd(name: str, checks: str, folder: Path, *, checkout: bool) -> Path:
    """Write what the kernel unpacks as its root: the files of Debian and the package, and the checks.

    Raises:
        MissingError: something that it consists of.
    """
    machine, initrd = KERNELS[name].machine, initrd_file(name, folder)
    work = initrd.parent
    if checks == "systemd":
        root = make_service_root(machine, folder)
    elif checks == "archive":
        root = make_archive_root(machine, folder)
    else:
        root = make_root(machine, folder, checkout=checkout)
    shutil.rmtree(work, ignore_errors=True)
    own = work / "more" / "scripts" / "kernels"
    own.mkdir(parents=True)
    for file in ("checks.py", "service.py"):
        shutil.copy(PROJECT / "scripts/kernels" / file, own)
    shutil.copy(PROJECT / "tests/kernel/rules/golden/rules.txt", work / "more")
    write_archive(work / "more", work / "more.cpio")
    with initrd.open("wb") as written:  # the kernel reads one archive after the other
        for part in (root, work / "more.cpio"):
            with part.open("rb") as content:
                shutil.copyfileobj(content, written)
    return initrd


def prepare(name: str, checks: str, folder: Path, *, checkout: bool) -> tuple[Path, Path]:
    """Download and make what a boot needs; return the kernel and what it unpacks as its root.

    Raises:
        MissingError: something cannot be had.
    """
    emulator = MACHINES[KERNELS[name].machine].qemu[0]
    if shutil.which(emulator) is None:
        raise MissingError(f"{emulator} is not installed")
    return kernel_file(name, folder), make_initrd(name, checks, folder, checkout=checkout)


def boot(name: str, checks: str, kernel: Path, initrd: Path) -> tuple[list[str], float]:
    """Boot a kernel; return the lines of the checks and the seconds that it took.

    Raises:
        BootError: the guest did not come to its end.
    """
    machine = MACHINES[KERNELS[name].machine]
    settings = [
        f"console={machine.console} loglevel=3 panic=-1 checks={checks}",
        "audit=0" if checks == "off" else "audit=1 audit_backlog_limit=8192",
    ]
    if KERNELS[name].machine == "amd64":
        settings.append("no_timer_check")  # which fails where the emulator has to wait for a processor
    if checks == "systemd":
        settings.append("rdinit=/usr/lib/systemd/systemd systemd.getty_auto=0 systemd.show_status=0")
    words = [
        *(*machine.qemu, "-accel", "tcg,thread=multi"),
        *("-smp", "2" if KERNELS[name].machine != "s390x" else "1", "-m", "1536"),
        *("-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-kernel", str(kernel), "-initrd", str(initrd), "-append", " ".join(settings)),
    ]
    started, problem, console = time.monotonic(), "", initrd.parent / "console"
    try:
        with console.open("wb") as written:
            subprocess.run(
                words, stdout=written, stderr=written, timeout=LIMIT_S, check=False, stdin=subprocess.DEVNULL
            )
    except subprocess.TimeoutExpired:
        problem = f"no end within {LIMIT_S} s"
    lines = console.read_text(encoding="utf-8", errors="replace").replace("\r", "").splitlines()
    initrd.unlink()
    if problem or "guest: begin" not in lines or not any(line.startswith("guest: end") for line in lines):
        raise BootError(f"{name}: {problem or 'the guest stopped'}; see {console}: {lines[-15:]}")
    return lines[lines.index("guest: begin") + 1 :], time.monotonic() - started


def judge(lines: list[str]) -> dict[str, object]:
    """Return facts, and the names of the checks that passed and failed."""
    told = [
        line.split(":\t", 1)
        for line in lines
        if line.startswith(("pass ", "fail ", "fact ")) and ":\t" in line
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
    parser.add_argument("--checks", choices=CHECKS, default="short")
    parser.add_argument("--checkout", action="store_true", help="the package of this Python, not of dist/")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--prepare", action="store_true", help="boot nothing yet")
    when.add_argument("--prepared", action="store_true", help="boot what --prepare has made, at low priority")
    parser.add_argument(
        "--folder", type=Path, default=PROJECT / ".build" / "kernels", help="for downloads and roots"
    )
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(KERNELS)):
        parser.error(f"unknown kernel {unknown[0]}; there are {', '.join(KERNELS)}")
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the emulator as well
    if arguments.prepared:
        os.nice(LOW)
    codes = [0]
    for name in arguments.names or KERNELS:
        try:
            if arguments.prepared:
                files = kernel_file(name, folder), initrd_file(name, folder)
            else:
                files = prepare(name, arguments.checks, folder, checkout=arguments.checkout)
            if arguments.prepare:
                continue
            lines, seconds = boot(name, arguments.checks, *files)
            result = judge(lines)
        except MissingError as problem:
            print(f"{name} was not booted: {problem}", file=sys.stderr, flush=True)
            codes.append(3)
            continue
        except BootError as problem:
            lines, seconds, result = [], 0.0, {"facts": {}, "passed": [], "failed": {"boot": str(problem)}}
        print(f"== {name}, {arguments.checks}, {seconds:.0f} s", *lines, sep="\n", flush=True)
        if result["failed"]:
            print(f"{name} FAILED: {result['failed']}", file=sys.stderr, flush=True)
            codes.append(1)
        if not arguments.checkout:
            record(f"{name} {arguments.checks}", {**result, "seconds": round(seconds)})
    return 1 if 1 in codes else max(codes)


def record(key: str, result: dict[str, object]) -> None:
    """Write a result to the file of results."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    results[key] = {**result, "day": time.strftime("%Y-%m-%d", time.gmtime())}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
