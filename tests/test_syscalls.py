"""Syscall names and numbers: `auditsense.syscalls`."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from auditsense import syscalls

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("arch", "openat", "openat2"),
    [
        ("x86_64", 257, 437),
        ("i386", 295, 437),
        ("aarch64", 56, 437),
        ("arm", 322, 437),
        ("riscv64", 56, 437),
        ("ppc64le", 286, 437),
        ("s390x", 288, 437),
        ("loongarch64", 56, 437),
    ],
)
def test_openat_has_the_number_of_the_architecture(arch: str, openat: int, openat2: int) -> None:
    assert syscalls.number("openat", arch) == openat
    assert syscalls.number("openat2", arch) == openat2
    assert syscalls.name(openat, arch) == "openat"


# openat on architectures whose audit names need separate tables: AUDIT_ARCH_*, number.
OTHER_OPENATS = {
    "armeb": (0x28, 322),
    "ppc64": (0x80000015, 286),
    "ppc": (0x14, 286),
    "s390": (0x16, 288),
    "riscv32": (0x400000F3, 56),
    "mips": (0x8, 4288),
    "mipsel": (0x40000008, 4288),
    "mips64": (0x80000008, 5247),
    "mipsel64": (0xC0000008, 5247),
    "mips64n32": (0xA0000008, 6251),
    "mipsel64n32": (0xE0000008, 6251),
    "sparc": (0x2, 284),
    "sparc64": (0x8000002B, 284),
    "parisc": (0xF, 275),
    "parisc64": (0x8000000F, 275),
    "alpha": (0xC0009026, 450),
    "ia64": (0xC0000032, 1281),
    "m68k": (0x4, 288),
    "sh": (0x2A, 295),
    "shel": (0x4000002A, 295),
    "arcv2": (0x400000C3, 56),
    "csky": (0x400000FC, 56),
    "hexagon": (0xA4, 56),
    "microblaze": (0xBD, 295),
    "nios2": (0x40000071, 56),
    "openrisc": (0x5C, 56),
    "xtensa": (0x5E, 288),
    "loongarch32": (0x40000102, 56),
}


@pytest.mark.parametrize("arch", OTHER_OPENATS)
def test_openat_of_rare_architectures(arch: str) -> None:
    audit_arch, openat = OTHER_OPENATS[arch]
    assert syscalls.ARCHES[arch] == audit_arch
    assert syscalls.number("openat", arch) == openat
    assert syscalls.name(openat, arch) == "openat"
    assert (audit_arch, openat) in syscalls.calls("openat")


def test_every_audit_architecture_of_the_kernel_has_a_table() -> None:
    header = Path("/usr/include/linux/audit.h")
    if not header.exists():
        pytest.skip("no kernel headers here")
    wanted = {name.lower() for name in re.findall(r"#define AUDIT_ARCH_(\w+)", header.read_text("utf-8"))}
    assert wanted <= set(syscalls.ARCHES)
    assert all(syscalls.number("openat", arch) is not None for arch in syscalls.ARCHES)


def test_x32_calls_have_the_architecture_of_x86_64() -> None:
    assert syscalls.name(0x4000_0101, "x86_64") == "openat"
    assert syscalls.name(0x4000_0208, "x86_64") == "execve"
    assert syscalls.name(0x4000_0101, "i386") is None
    assert (0xC000003E, 0x4000_0101) in syscalls.calls("openat")


@pytest.mark.parametrize(
    ("name", "arch", "number"),
    [
        ("create_module", "x86_64", 174),
        ("query_module", "x86_64", 178),
        ("uselib", "x86_64", 134),
        ("_sysctl", "x86_64", 156),
        ("uselib", "i386", 86),
        ("create_module", "i386", 127),
        ("create_module", "s390x", 127),
        ("query_module", "ppc64le", 166),
        ("uselib", "arm", 86),
        ("nfsservctl", "aarch64", 42),
    ],
)
def test_removed_calls_keep_their_names(name: str, arch: str, number: int) -> None:
    assert syscalls.number(name, arch) == number
    assert syscalls.name(number, arch) == name


def test_other_names_of_auditctl_are_read_only() -> None:
    assert syscalls.number("pread", "x86_64") == 17
    assert syscalls.name(17, "x86_64") == "pread64"
    assert "pread" not in syscalls.names("x86_64")


def test_open_exists_only_where_the_kernel_had_it() -> None:
    without = {
        "aarch64",
        "riscv64",
        "riscv32",
        "loongarch64",
        "arcv2",
        "csky",
        "hexagon",
        "nios2",
        "openrisc",
    }
    for arch in ("x86_64", "i386", "arm", "ppc64le", "s390x", "mips", "sparc64", "alpha", *without):
        assert (syscalls.number("open", arch) is None) == (arch in without), arch


def test_number_zero_is_a_syscall() -> None:
    assert syscalls.number("read", "x86_64") == 0
    assert syscalls.name(0, "x86_64") == "read"


def test_unknown_names_and_numbers_return_none() -> None:
    assert syscalls.number("opnat", "x86_64") is None
    assert syscalls.number("openat", "vax") is None
    assert syscalls.name(9999, "x86_64") is None
    assert syscalls.name(0, "vax") is None
    assert syscalls.arch_name(0xDEADBEEF) is None
    assert syscalls.names("vax") == frozenset()


@pytest.mark.parametrize(
    ("audit_arch", "arch"),
    [
        (0xC000003E, "x86_64"),
        (0x40000003, "i386"),
        (0xC00000B7, "aarch64"),
        (0x40000028, "arm"),
        (0xC00000F3, "riscv64"),
        (0xC0000015, "ppc64le"),
        (0x80000016, "s390x"),
        (0xC0000102, "loongarch64"),
    ],
)
def test_arch_of_record_has_a_name(audit_arch: int, arch: str) -> None:
    assert syscalls.ARCHES[arch] == audit_arch
    assert syscalls.arch_name(audit_arch) == arch


@pytest.mark.parametrize("arch", list(syscalls.ARCHES))
def test_names_and_numbers_are_one_to_one(arch: str) -> None:
    names = syscalls.names(arch)
    assert len(names) > 250
    for name in names:
        number = syscalls.number(name, arch)
        assert number is not None
        assert syscalls.name(number, arch) == name


@pytest.mark.parametrize("arch", ["x86_64", "i386", "aarch64", "riscv64", "ppc64le", "s390x", "loongarch64"])
def test_numbers_fit_a_rule_mask(arch: str) -> None:
    assert max(syscalls.number(name, arch) or 0 for name in syscalls.names(arch)) < 2032


@pytest.mark.parametrize(
    ("machine", "arch"),
    [
        ("x86_64", "x86_64"),
        ("i686", "i386"),
        ("armv7l", "arm"),
        ("armv7b", "armeb"),
        ("aarch64", "aarch64"),
        ("mips64", "mipsel64" if sys.byteorder == "little" else "mips64"),
        ("mips", "mipsel" if sys.byteorder == "little" else "mips"),
        ("ppc64", "ppc64"),
        ("sh4", "shel" if sys.byteorder == "little" else "sh"),
        ("s390x", "s390x"),
        ("vax", "vax"),
    ],
)
def test_native_arch_is_audits_name_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, machine: str, arch: str
) -> None:
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(machine=machine))
    assert syscalls.native_arch() == arch


def test_table_is_sorted_and_names_its_source() -> None:
    lines = (ROOT / "src/auditsense/syscalls.csv").read_text(encoding="ascii").splitlines()
    assert lines[0].startswith("# made by scripts/generate_syscalls.py from system-calls ")
    assert lines[1].startswith("name,x86_64,i386,")
    others = lines.index("# other names")
    for part in (lines[2:others], lines[others + 1 :]):
        names = [line.partition(",")[0] for line in part]
        assert names == sorted(set(names))


@pytest.mark.skipif(
    importlib.util.find_spec("system_calls") is None,
    reason="the package system-calls is not installed",
)
def test_table_equals_generator_output() -> None:
    script = ROOT / "scripts/generate_syscalls.py"
    done = subprocess.run([sys.executable, "-E", "-s", script, "--check"], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
