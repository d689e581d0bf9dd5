"""Compare audit rules with those of auditctl on another processor, byte for byte, under emulation.

Usage: sudo python scripts/check_rules.py ARCH [--folder FOLDER]

For each line of tests/kernel/rules/golden/rules.txt, Debian's auditctl of that processor and this package in
Python of that processor have to make the same bytes, or both refuse it. tests/kernel/rules/test_auditctl.py
lists the exceptions. Nothing is sent to a kernel: golden/shim.c stands between.
Prints the number of equal lines. Exit code 1: a line differs, or something is missing.
On Debian: apt-get install qemu-user-static, and a compiler as for scripts/check_architectures.sh.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from scripts.kernels.root import Apt, MissingError, unpack  # noqa: E402 - the folder above has to be found first
from tests.kernel.rules.golden import capture  # noqa: E402
from tests.kernel.rules.test_auditctl import LOOSER, STRICTER  # noqa: E402

RULES: Final = PROJECT / "tests/kernel/rules/golden/rules.txt"
# Debian's name: that of GNU, the suite, byte order.
ARCHES: Final = {
    "arm64": ("aarch64-linux-gnu", "bookworm", "<"),
    "armhf": ("arm-linux-gnueabihf", "bookworm", "<"),
    "riscv64": ("riscv64-linux-gnu", "trixie", "<"),
    "s390x": ("s390x-linux-gnu", "bookworm", ">"),
}
# Lines that auditctl of that processor makes something else of, with the reason.
_LONG: Final = "auditctl reads a number into 32 bits, and takes the largest when it does not fit"
_LIST: Final = "auditctl 4 takes fields and lists that the kernel refuses or never reads"
_PERM: Final = "auditctl 4 refuses system calls and perm in one rule"
OTHERWISE: Final = {
    "armhf": {
        "-a always,exit -S openat -F a0=0xffffffffffffff9c": _LONG,
        "-a always,exit -S openat -F pid=4294967295": _LONG,
    },
    "riscv64": {
        "-a always,entry -S openat": _LIST,
        "-a always,exclude -F euid=0": _LIST,
        "-a always,exclude -F a0=1": _LIST,
        "-a always,exclude -F sessionid=1": _LIST,
        "-a always,exclude -F arch=b64": _LIST,
        "-a always,exclude -F perm=r": _LIST,
        "-a always,exit -S openat -F perm=rwxa": _PERM,
        "-a always,exit -S openat -F inode=1 -F perm=r -k proc_root": _PERM,
        "-a always,exit -F arch=b64 -S openat -F inode=1 -F perm=r -F a0=0xffffff9c -F a2=0x80000"
        " -k proc_root": _PERM,
        "-a always,exit -F arch=b64 -F perm=x -k run": "auditctl 4 replaces every system call by execve",
    },
}
# What Python of that processor runs: one line of hexadecimal digits for each rule, or why there is none.
OURS: Final = """
import sys, types
package = types.ModuleType("auditsense")  # its __init__ would load the compiled core, which rules do without
package.__path__ = [sys.argv[1]]
sys.modules["auditsense"] = package
from auditsense.errors import AuditSenseError
from auditsense.kernel.rules import auditctl
for line in sys.stdin.read().splitlines():
    try:
        print(auditctl.parse(line).to_bytes().hex())
    except AuditSenseError as error:
        print("refused:", error)
"""


class RulesError(Exception):
    """The comparison cannot be made."""


def make_root(arch: str, folder: Path) -> Path:
    """Return a root with auditctl and Python of a processor."""
    _, suite, _ = ARCHES[arch]
    root = folder / f"root-{arch}"
    if not (root / ".complete").exists():
        shutil.rmtree(root, ignore_errors=True)
        for name in ("bin", "sbin", "lib"):
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        for package in Apt(folder / f"apt-{arch}", suite, arch).download_all(("python3", "auditd")):
            unpack(package, root, "--exclude=./dev/*", "--exclude=./etc/*")
        (root / ".complete").touch()
    return root


def theirs(lines: list[str], arch: str, emulator: str, compiler: str, root: Path) -> list[bytes | None]:
    """Return what auditctl of a processor sends for each line; None: it refuses."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        place.chmod(0o755)
        shim = capture.build_shim(place, compiler)
        words = [emulator, "-L", str(root), "-E", f"LD_PRELOAD={shim}", str(root / "sbin/auditctl")]
        return [capture.sent(words, {}, line, place / "sent", ARCHES[arch][2]) for line in lines]


def ours(lines: list[str], emulator: str, root: Path) -> list[str]:
    """Return what the package in Python of a processor makes of each line.

    Raises:
        RulesError: it failed.
    """
    (python,) = root.glob("usr/bin/python3.[0-9]*[0-9]")
    done = subprocess.run(
        [emulator, "-L", str(root), str(python), "-B", "-I", "-c", OURS, str(PROJECT / "src/auditsense")],
        env={"PYTHONHOME": str(root / "usr")},
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RulesError(done.stderr[-1500:])
    return done.stdout.splitlines()


def answers(lines: list[str], arch: str, folder: Path) -> list[tuple[bytes | None, str]]:
    """Return for each line what auditctl sends, and what the package makes of it.

    Raises:
        RulesError: there is no emulator or no compiler, or Python failed.
    """
    gnu = ARCHES[arch][0]
    name = gnu.partition("-")[0]
    emulator = shutil.which(f"qemu-{name}-static") or shutil.which(f"qemu-{name}")
    compilers = sorted(str(path) for path in Path("/usr/bin").glob(f"{gnu}-gcc-[0-9]*"))
    compiler = shutil.which(f"{gnu}-gcc") or next(iter(compilers[-1:]), None)
    if emulator is None or compiler is None:
        raise RulesError(f"qemu-{name} or {gnu}-gcc is missing; install qemu-user-static and gcc-12-{gnu}")
    root = make_root(arch, folder)
    return [*zip(theirs(lines, arch, emulator, compiler, root), ours(lines, emulator, root), strict=True)]


def main() -> int:
    """Compare; returns 1 when a line differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("arch", choices=ARCHES)
    parser.add_argument("--folder", type=Path, default=PROJECT / ".build" / "rules")
    arguments = parser.parse_args()
    text = RULES.read_text(encoding="utf-8").splitlines()
    lines = [line for line in text if line and not line.startswith("#")]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        pairs = answers(lines, arguments.arch, arguments.folder.resolve())
    except (RulesError, MissingError) as problem:
        print(f"rules of {arguments.arch} were not compared: {problem}", file=sys.stderr)
        return 1
    known = OTHERWISE.get(arguments.arch, {})
    same, refused, failed = 0, 0, []
    for line, (sent, made) in zip(lines, pairs, strict=True):
        if (made.startswith("refused") and sent is None) or (sent is not None and sent.hex() == made):
            refused += sent is None
            same += sent is not None
            failed += [f"no longer other than auditctl's: {line}"] * (line in known)
        elif line not in known and not (line in LOOSER if sent is None else line in STRICTER):
            failed.append(f"{line}: auditctl: {sent and sent.hex()}; here: {made}")
    print(*failed, f"{same} lines the same as auditctl's, {refused} refused by both", sep="\n")
    return int(bool(failed) or not same)


if __name__ == "__main__":
    raise SystemExit(main())
