"""Syscall names and numbers of every architecture that audit names.

`syscalls.csv` holds the numbers, and `scripts/generate_syscalls.py` writes it. The first lookup reads the
file; a lookup by name parses one line of it, a lookup by number one column.

An architecture goes by the name of its constant in linux/audit.h, in lower case. For the common ones that is
what ``uname -m`` prints; `canonical_arch` translates the others.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from auditsense._resources import packaged_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_WIDE, _LITTLE, _N32 = 0x8000_0000, 0x4000_0000, 0x2000_0000
_ARCHES: tuple[tuple[str, int, str], ...] = (  # name, AUDIT_ARCH_* of linux/audit.h, table in syscalls.csv
    ("x86_64", 62 | _WIDE | _LITTLE, "x86_64"),
    ("i386", 3 | _LITTLE, "i386"),
    ("aarch64", 183 | _WIDE | _LITTLE, "aarch64"),
    ("arm", 40 | _LITTLE, "arm"),
    ("armeb", 40, "arm"),
    ("riscv64", 243 | _WIDE | _LITTLE, "riscv64"),
    ("riscv32", 243 | _LITTLE, "riscv32"),
    ("ppc64le", 21 | _WIDE | _LITTLE, "ppc64"),
    ("ppc64", 21 | _WIDE, "ppc64"),
    ("ppc", 20, "ppc"),
    ("s390x", 22 | _WIDE, "s390x"),
    ("s390", 22, "s390"),
    ("loongarch64", 258 | _WIDE | _LITTLE, "loongarch64"),
    ("loongarch32", 258 | _LITTLE, "loongarch32"),
    ("mips", 8, "mips"),
    ("mipsel", 8 | _LITTLE, "mips"),
    ("mips64", 8 | _WIDE, "mips64"),
    ("mipsel64", 8 | _WIDE | _LITTLE, "mips64"),
    ("mips64n32", 8 | _WIDE | _N32, "mips64n32"),
    ("mipsel64n32", 8 | _WIDE | _LITTLE | _N32, "mips64n32"),
    ("sparc", 2, "sparc"),
    ("sparc64", 43 | _WIDE, "sparc64"),
    ("parisc", 15, "parisc"),
    ("parisc64", 15 | _WIDE, "parisc64"),
    ("alpha", 0x9026 | _WIDE | _LITTLE, "alpha"),
    ("ia64", 50 | _WIDE | _LITTLE, "ia64"),
    ("m68k", 4, "m68k"),
    ("sh", 42, "sh"),
    ("shel", 42 | _LITTLE, "sh"),
    ("sh64", 42 | _WIDE, "sh64"),
    ("shel64", 42 | _WIDE | _LITTLE, "sh64"),
    ("arcompact", 93 | _LITTLE, "arc"),
    ("arcompactbe", 93, "arc"),
    ("arcv2", 195 | _LITTLE, "arc"),
    ("arcv2be", 195, "arc"),
    ("csky", 252 | _LITTLE, "csky"),
    ("hexagon", 164, "hexagon"),
    ("microblaze", 189, "microblaze"),
    ("nios2", 113 | _LITTLE, "nios2"),
    ("openrisc", 92, "openrisc"),
    ("xtensa", 94, "xtensa"),
    ("c6x", 140 | _LITTLE, "c6x"),
    ("c6xbe", 140, "c6x"),
    ("cris", 76 | _LITTLE, "cris"),
    ("frv", 0x5441, "frv"),
    ("h8300", 46, "h8300"),
    ("m32r", 88, "m32r"),
    ("nds32", 167 | _LITTLE, "nds32"),
    ("nds32be", 167, "nds32"),
    ("tilegx", 191 | _WIDE | _LITTLE, "tilegx"),
    ("tilegx32", 191 | _LITTLE, "tile"),
    ("tilepro", 188 | _LITTLE, "tile"),
    ("unicore", 110 | _LITTLE, "unicore"),
)

ARCHES: Mapping[str, int] = MappingProxyType({name: value for name, value, _ in _ARCHES})
"""Name to AUDIT_ARCH_*, the `arch=` of a SYSCALL record: machine, word size and byte order."""

_TABLES = {name: table for name, _, table in _ARCHES}
_NAMES = MappingProxyType({value: name for name, value in ARCHES.items()})
_32_BIT = {
    "x86_64": "i386",
    "aarch64": "arm",
    "riscv64": "riscv32",
    "ppc64": "ppc",
    "s390x": "s390",
    "mips64": "mips",
    "mipsel64": "mipsel",
    "sparc64": "sparc",
    "parisc64": "parisc",
}
RING_ARCH = 0
"""Stands for the architecture of the operations of io_uring in calls: their records name none."""

_RING_OPERATIONS = MappingProxyType(
    {  # linux/io_uring.h: those that the kernel audits and that do what a call does
        "accept": 13,
        "bind": 56,
        "connect": 16,
        "fallocate": 17,
        "fgetxattr": 43,
        "fsetxattr": 41,
        "ftruncate": 55,
        "getxattr": 44,
        "linkat": 39,
        "listen": 57,
        "mkdirat": 37,
        "openat": 18,
        "openat2": 28,
        "renameat2": 35,
        "setxattr": 42,
        "socket": 45,
        "symlinkat": 38,
        "unlinkat": 36,
    }
)
_NAMES_OF_OPERATIONS = MappingProxyType({number: name for name, number in _RING_OPERATIONS.items()})
_X32 = 0x4000_0000  # of a call's number on x86_64: the x32 ABI, which has audit's arch of x86_64
_OTHER_NAMES = "# other names"

# What uname -m prints for a machine of either byte order, or for one of several models.
_BY_BYTE_ORDER = {
    "mips": ("mipsel", "mips"),
    "mips64": ("mipsel64", "mips64"),
    "arc": ("arcv2", "arcv2be"),
    "sh": ("shel", "sh"),
}
_MACHINES = {
    "i486": "i386",
    "i586": "i386",
    "i686": "i386",
    "mips64el": "mipsel64",
    "mips64n32el": "mipsel64n32",
    "unicore32": "unicore",
}


def number(name: str, arch: str) -> int | None:
    """Return the number of the syscall called `name` on `arch`, or None where it has none.

    >>> number("openat", "x86_64"), number("openat", "aarch64"), number("open", "aarch64")
    (257, 56, None)

    Names that only auditctl has are known as well:

    >>> number("pread", "x86_64"), number("pread64", "x86_64")
    (17, 17)
    """
    return _row(name).get(_TABLES.get(arch, ""))


def calls(name: str) -> list[tuple[int, int]]:
    """Return `arch` and `syscall` of the call as records write them, for each architecture that has it.

    Calls of the x32 ABI have the architecture of x86_64 and separate numbers.

    >>> [(hex(arch), number) for arch, number in calls("arch_prctl")]
    [('0xc000003e', 158), ('0x40000003', 384), ('0xc000003e', 1073741982)]
    """
    row = _row(name)
    pairs = [(value, row[table]) for _, value, table in _ARCHES if table in row]
    if "x32" in row:
        pairs.append((ARCHES["x86_64"], row["x32"]))
    return pairs


def ring_operation(name: str) -> int | None:
    """Return the number of the operation of io_uring that does what a call does, or None.

    >>> ring_operation("openat"), ring_operation("open")
    (18, None)
    """
    return _RING_OPERATIONS.get(name)


def ring_operation_name(number: int) -> str | None:
    """Return the call that does what an operation of io_uring does, or None.

    >>> ring_operation_name(28)
    'openat2'
    """
    return _NAMES_OF_OPERATIONS.get(number)


def name(number: int, arch: str) -> str | None:
    """Return the name of syscall `number` on `arch`, or None when either is unknown.

    >>> name(257, "x86_64"), name(0x4000_0101, "x86_64"), name(9999, "x86_64")
    ('openat', 'openat', None)
    """
    table = "x32" if arch == "x86_64" and number >= _X32 else _TABLES.get(arch, "")
    return _column(table).get(number)


def numbers(arch: str) -> dict[str, int]:
    """Return the number of every syscall of `arch` by the kernel's name; empty for an unknown one."""
    return {name: number for number, name in _column(_TABLES.get(arch, "")).items()}


def names(arch: str) -> frozenset[str]:
    """Return the name of every syscall of `arch`; empty for an unknown one."""
    return frozenset(_column(_TABLES.get(arch, "")).values())


@cache
def all_names() -> frozenset[str]:
    """Return the name of every syscall of any architecture."""
    shown, _ = _lines()
    return frozenset(line.partition(",")[0] for line in shown)


def arch_name(audit_arch: int) -> str | None:
    """Return the name of an AUDIT_ARCH value, or None if `ARCHES` lacks it.

    >>> arch_name(0xC000003E)
    'x86_64'
    """
    return _NAMES.get(audit_arch)


def native_arch() -> str:
    """Return this machine's architecture by audit's name.

    An architecture that is not in `ARCHES` keeps the name of ``uname -m``; the
    lookups above return None for it.
    """
    return canonical_arch(os.uname().machine)


def canonical_arch(machine: str) -> str:
    """Return audit's name for what ``uname -m`` calls `machine`.

    Where the name does not tell the byte order, it is this machine's.

    >>> canonical_arch("i686"), canonical_arch("armv7l"), canonical_arch("x86_64")
    ('i386', 'arm', 'x86_64')
    """
    if machine in _MACHINES:
        return _MACHINES[machine]
    if machine.startswith("armv"):  # armv5tejl, armv7l, armv8l: one table for all
        return "armeb" if machine.endswith("b") else "arm"
    if machine.startswith("sh") and machine[2:3] in {"2", "3", "4"}:  # sh4, sh4a
        machine = "sh"
    if machine in _BY_BYTE_ORDER and os.uname().machine.startswith(machine):
        return _BY_BYTE_ORDER[machine][sys.byteorder == "big"]
    return machine


def narrow_arch(arch: str) -> str | None:
    """Return the architecture of the 32-bit programs of a 64-bit one; None where audit knows none.

    >>> narrow_arch("s390x"), narrow_arch("ppc64le"), narrow_arch("i386")
    ('s390', None, None)
    """
    return _32_BIT.get(arch)


@cache
def _text() -> str:
    return packaged_text("syscalls.csv")  # the module csv takes longer to load than this to read


def _lines() -> tuple[list[str], list[str]]:
    """Return the lines of kernel names, and those of other names."""
    shown, _, others = _text().partition(f"\n{_OTHER_NAMES}\n")
    return shown.splitlines()[2:], others.splitlines()


@cache
def _head() -> list[str]:
    """Return the names of the tables, in the order of the columns; the first is the name's."""
    return _text().split("\n", 2)[1].split(",")


@cache
def _row(name: str) -> Mapping[str, int]:
    """Return the numbers of a name by table."""
    text, row = _text(), dict[str, int]()
    at = -1
    while name and (at := text.find(f"\n{name},", at + 1)) >= 0:
        cells = text[at + 1 : text.index("\n", at + 1)].split(",")
        row |= {table: int(cell) for table, cell in zip(_head()[1:], cells[1:], strict=False) if cell}
    return row


@cache
def _column(table: str) -> Mapping[int, str]:
    """Return the names of a table by number."""
    if table not in _head()[1:]:
        return {}
    at = _head().index(table)
    rows = (line.split(",", at + 1) for line in _lines()[0])
    return {int(cells[at]): cells[0] for cells in rows if len(cells) > at and cells[at]}
