"""Syscall names and numbers of every architecture the sensor knows.

The numbers are in `syscalls.csv`, which `scripts/generate_syscalls.py` writes; nothing
is read before the first lookup. An architecture goes by audit's name for it, which for
all of `ARCHES` but i386 and arm is what ``uname -m`` prints.
"""

from __future__ import annotations

import os
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from auditsense.packaged import packaged_text

if TYPE_CHECKING:
    from collections.abc import Mapping

# Name to AUDIT_ARCH_* (linux/audit.h): the ELF machine, 0x80000000 for 64 bits,
# 0x40000000 for little endian. It is the `arch=` of a SYSCALL record.
ARCHES: Mapping[str, int] = MappingProxyType(
    {
        "x86_64": 0xC000003E,
        "i386": 0x40000003,
        "aarch64": 0xC00000B7,
        "arm": 0x40000028,
        "riscv64": 0xC00000F3,
        "ppc64le": 0xC0000015,
        "s390x": 0x80000016,
        "loongarch64": 0xC0000102,
    },
)
_NAMES = MappingProxyType({value: name for name, value in ARCHES.items()})


def number(name: str, arch: str) -> int | None:
    """Return the number of the syscall called `name` on `arch`, or None where it has none.

    >>> number("openat", "x86_64"), number("openat", "aarch64"), number("open", "aarch64")
    (257, 56, None)
    """
    return _tables().get(arch, {}).get(name)


def name(number: int, arch: str) -> str | None:
    """Return the name of syscall `number` on `arch`, or None when either is unknown.

    >>> name(257, "x86_64"), name(9999, "x86_64")
    ('openat', None)
    """
    return _reversed(arch).get(number)


def names(arch: str) -> frozenset[str]:
    """Return the name of every syscall of `arch`; empty for an unknown one."""
    return frozenset(_tables().get(arch, ()))


def arch_name(audit_arch: int) -> str | None:
    """Return the name of an AUDIT_ARCH value, or None when it is none of `ARCHES`.

    >>> arch_name(0xC000003E)
    'x86_64'
    """
    return _NAMES.get(audit_arch)


def native_arch() -> str:
    """Return this machine's architecture by audit's name.

    An architecture that is not in `ARCHES` comes back as ``uname -m`` calls it; the
    lookups above answer None for it.
    """
    return canonical_arch(os.uname().machine)


def canonical_arch(machine: str) -> str:
    """Return audit's name for what ``uname -m`` calls `machine`.

    >>> canonical_arch("i686"), canonical_arch("armv7l"), canonical_arch("x86_64")
    ('i386', 'arm', 'x86_64')
    """
    if machine in {"i486", "i586", "i686"}:
        return "i386"
    # armv5tejl, armv7l, armv8l: one table for them all. Big-endian kernels end in b.
    if machine.startswith("armv") and not machine.endswith("b"):
        return "arm"
    return machine


@cache
def _tables() -> Mapping[str, Mapping[str, int]]:
    text = packaged_text("syscalls.csv")  # the module csv takes longer to load than this to read
    head, *rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
    columns = [head.index(arch) for arch in ARCHES]
    tables: dict[str, dict[str, int]] = {arch: {} for arch in ARCHES}
    for row in rows:
        for column, table in zip(columns, tables.values(), strict=True):
            if row[column]:
                table[row[0]] = int(row[column])
    return tables


@cache
def _reversed(arch: str) -> Mapping[int, str]:
    return {value: key for key, value in _tables().get(arch, {}).items()}
