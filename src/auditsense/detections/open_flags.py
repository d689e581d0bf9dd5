"""The flags of open(2) as SYSCALL records print them: their numbers differ between architectures.

Owns: the numbers of the uapi headers asm/fcntl.h, by ELF machine: the low half of the arch of a record.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense._values import did_you_mean
from auditsense.core.rule_table import ArchText
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MACHINE: Final = 0xFFFF

_COMMON: Final = {
    "O_RDONLY": 0,
    "O_WRONLY": 1,
    "O_RDWR": 2,
    "O_CREAT": 0x40,
    "O_EXCL": 0x80,
    "O_NOCTTY": 0x100,
    "O_TRUNC": 0x200,
    "O_APPEND": 0x400,
    "O_NONBLOCK": 0x800,
    "O_DIRECT": 0x4000,
    "O_LARGEFILE": 0x8000,
    "O_DIRECTORY": 0x10000,
    "O_NOFOLLOW": 0x20000,
    "O_NOATIME": 0x40000,
    "O_CLOEXEC": 0x80000,
    "O_PATH": 0x200000,
}
_ARM = {"O_DIRECTORY": 0x4000, "O_NOFOLLOW": 0x8000, "O_DIRECT": 0x10000, "O_LARGEFILE": 0x20000}
_POWER = {"O_DIRECTORY": 0x4000, "O_NOFOLLOW": 0x8000, "O_LARGEFILE": 0x10000, "O_DIRECT": 0x20000}
_MIPS = {
    "O_APPEND": 0x8,
    "O_NONBLOCK": 0x80,
    "O_CREAT": 0x100,
    "O_TRUNC": 0x200,
    "O_EXCL": 0x400,
    "O_NOCTTY": 0x800,
    "O_LARGEFILE": 0x2000,
    "O_DIRECT": 0x8000,
}
_SPARC = {
    "O_APPEND": 0x8,
    "O_CREAT": 0x200,
    "O_TRUNC": 0x400,
    "O_EXCL": 0x800,
    "O_NONBLOCK": 0x4000,
    "O_NOCTTY": 0x8000,
    "O_LARGEFILE": 0x40000,
    "O_DIRECT": 0x100000,
    "O_NOATIME": 0x200000,
    "O_CLOEXEC": 0x400000,
    "O_PATH": 0x1000000,
}
_PARISC = {
    "O_APPEND": 0x8,
    "O_NOFOLLOW": 0x80,
    "O_CREAT": 0x100,
    "O_EXCL": 0x400,
    "O_LARGEFILE": 0x800,
    "O_DIRECTORY": 0x1000,
    "O_NONBLOCK": 0x10000,
    "O_NOCTTY": 0x20000,
    "O_NOATIME": 0x100000,
    "O_CLOEXEC": 0x200000,
    "O_PATH": 0x400000,
}
_ALPHA = {
    "O_NONBLOCK": 0x4,
    "O_APPEND": 0x8,
    "O_CREAT": 0x200,
    "O_TRUNC": 0x400,
    "O_EXCL": 0x800,
    "O_NOCTTY": 0x1000,
    "O_DIRECTORY": 0x8000,
    "O_NOFOLLOW": 0x10000,
    "O_LARGEFILE": 0x20000,
    "O_DIRECT": 0x80000,
    "O_NOATIME": 0x100000,
    "O_CLOEXEC": 0x200000,
    "O_PATH": 0x800000,
}
_OTHER: Final[Mapping[str, Mapping[str, int]]] = {
    **dict.fromkeys(("arm", "aarch64", "m68k"), _ARM),
    **dict.fromkeys(("ppc", "ppc64"), _POWER),
    "mips": _MIPS,
    **dict.fromkeys(("sparc", "sparc64"), _SPARC),
    "parisc": _PARISC,
    "alpha": _ALPHA,
}


def on_arch(text: str, arch: str) -> str:
    """Return flags as the kernel prints them on an architecture.

    >>> on_arch("O_CLOEXEC|O_LARGEFILE", "x86_64"), on_arch("O_CLOEXEC|O_LARGEFILE", "arm")
    ('88000', 'a0000')
    >>> on_arch("88000", "arm")
    '88000'

    Raises:
        DetectionError: there is no such flag.
    """
    return _printed(text, _of_machine(syscalls.ARCHES[arch] & _MACHINE))


def operands(values: Sequence[str]) -> tuple[bytes | ArchText, ...]:
    """Return what flags are compared with, first the values that hold on every architecture.

    Raises:
        DetectionError: a value is neither flags nor a number in the kernel's hex.
    """
    return _operands(tuple(values))


@cache
def _operands(values: tuple[str, ...]) -> tuple[bytes | ArchText, ...]:
    same = [text for text in values if _is_number(text)]
    compared: dict[bytes | ArchText, None] = dict.fromkeys(text.encode() for text in same)
    for text in values:
        if _is_number(text):
            continue
        for machine in dict.fromkeys(arch & _MACHINE for arch in syscalls.ARCHES.values()):
            operand = ArchText(_printed(text, _of_machine(machine)).encode(), machine, _MACHINE)
            if operand.text.decode() not in same:
                compared[operand] = None
    return tuple(compared)


def _of_machine(machine: int) -> Mapping[str, int]:
    for arch, flags in _OTHER.items():
        if syscalls.ARCHES[arch] & _MACHINE == machine:
            return {**_COMMON, **flags}
    return _COMMON


def _is_number(text: str) -> bool:
    return bool(text) and not text.strip("0123456789abcdef") and (text == "0" or text[0] != "0")


def _printed(text: str, flags: Mapping[str, int]) -> str:
    if _is_number(text):
        return text
    number = 0
    for name in text.split("|"):
        if name not in flags:
            hint = did_you_mean(name, flags)
            raise DetectionError(
                f"{text!r}: {name!r} is neither a flag of open(2) nor a number in the kernel's hex{hint}"
            )
        number |= flags[name]
    return f"{number:x}"
