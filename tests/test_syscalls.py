"""Syscall names and numbers: `auditsense.syscalls`."""

from __future__ import annotations

import csv
import importlib.util
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


def test_open_does_not_exist_where_the_kernel_never_had_it() -> None:
    with_open = {arch for arch in syscalls.ARCHES if syscalls.number("open", arch) is not None}
    assert with_open == {"x86_64", "i386", "arm", "ppc64le", "s390x"}


def test_number_zero_is_a_syscall_and_not_an_absence() -> None:
    assert syscalls.number("read", "x86_64") == 0
    assert syscalls.name(0, "x86_64") == "read"


def test_the_unknown_is_none() -> None:
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
def test_the_arch_of_a_record_has_a_name(audit_arch: int, arch: str) -> None:
    assert syscalls.ARCHES[arch] == audit_arch
    assert syscalls.arch_name(audit_arch) == arch


@pytest.mark.parametrize("arch", list(syscalls.ARCHES))
def test_names_and_numbers_are_one_to_one_and_fit_a_rule_mask(arch: str) -> None:
    names = syscalls.names(arch)
    assert len(names) > 300
    for name in names:
        number = syscalls.number(name, arch)
        assert number is not None
        assert 0 <= number < 2032
        assert syscalls.name(number, arch) == name


@pytest.mark.parametrize(
    ("machine", "arch"),
    [
        ("x86_64", "x86_64"),
        ("i686", "i386"),
        ("armv7l", "arm"),
        ("armv7b", "armv7b"),
        ("aarch64", "aarch64"),
        ("mips64", "mips64"),
    ],
)
def test_the_native_arch_is_the_machine_by_audit_s_name(
    monkeypatch: pytest.MonkeyPatch, machine: str, arch: str
) -> None:
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(machine=machine))
    assert syscalls.native_arch() == arch


def test_the_table_is_sorted_and_says_where_it_is_from() -> None:
    lines = (ROOT / "src/auditsense/syscalls.csv").read_text(encoding="ascii").splitlines()
    assert lines[0].startswith("# made by scripts/generate_syscalls.py from system-calls ")
    rows = list(csv.DictReader(lines[1:]))
    names = [row["name"] for row in rows]
    assert names == sorted(set(names))
    assert list(rows[0]) == ["name", *syscalls.ARCHES]


@pytest.mark.skipif(
    importlib.util.find_spec("system_calls") is None,
    reason="the package system-calls is not installed",
)
def test_the_table_is_what_the_generator_makes() -> None:
    script = ROOT / "scripts/generate_syscalls.py"
    done = subprocess.run([sys.executable, script, "--check"], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
