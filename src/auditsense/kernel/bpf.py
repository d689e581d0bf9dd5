"""Programs of classic BPF: for socket filters (socket(7)) and seccomp filters (seccomp(2))."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

Instruction = tuple[int, int, int, int]
"""struct sock_filter: code, instructions to skip when true, when false, operand."""

# linux/filter.h, linux/bpf_common.h
LOAD_WORD: Final = 0x20
LOAD_HALF: Final = 0x28
IF_EQUAL: Final = 0x15
IF_GREATER: Final = 0x25
IF_AT_LEAST: Final = 0x35
IF_ANY_BIT: Final = 0x45
RETURN: Final = 0x06

_INSTRUCTION: Final = struct.Struct("=HBBI")


class Program(ctypes.Structure):
    """struct sock_fprog: a program as the kernel reads it."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    def __init__(self, code: bytes) -> None:
        """Point to a program as `pack` returns it."""
        self._code = ctypes.create_string_buffer(code, len(code))  # must live as long as the pointer
        super().__init__(len(code) // _INSTRUCTION.size, ctypes.addressof(self._code))


def pack(instructions: Iterable[Instruction]) -> bytes:
    """Return a program as the kernel reads it."""
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)
