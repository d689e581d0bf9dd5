"""The kernel's filter of audit rules as a few lines: whether a rule of the exit list reports a call."""

from __future__ import annotations

import operator
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense.kernel.rules.constants import FieldId, Operator

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.kernel.rules.rule import AuditRule

_BITS: Final = 0xFFFF_FFFF
_COMPARE: Final[dict[Operator, Callable[[int, int], bool]]] = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_EQUAL: operator.ge,
    Operator.BIT_MASK: lambda value, mask: bool(value & mask),
    Operator.BIT_TEST: lambda value, mask: value & mask == mask,
}


@dataclass(frozen=True)
class MadeCall:
    """A system call as the kernel sees it when it ends.

    Attributes:
        name: of the call.
        arch: that of the program, by audit's name.
        registers: a0 to a3, 64 bits.
        ids: uid, euid, suid, fsuid, gid, egid, auid.
        exit: what it returned; negative: an errno.
        family: of the address that it passed; None: it passed none.
        path: the absolute name of its file; "": it has none.
    """

    name: str
    arch: str = "x86_64"
    registers: tuple[int, int, int, int] = (0, 0, 0, 0)
    ids: tuple[int, int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0, _BITS)
    exit: int = 0
    family: int | None = None
    path: str = ""

    @property
    def inode(self) -> int:
        """Number of the inode: 1 for the root of procfs; for other files none that a rule names."""
        return 1 if self.path.rstrip("/") == "/proc" else 1000


def reports(rule: AuditRule, call: MadeCall) -> bool:
    """Return whether a rule reports a call."""
    number = syscalls.number(call.name, call.arch)
    if number is None or (rule.syscalls is not None and number not in rule.syscalls):
        return False
    return all(_holds(field.field, field.op, field.value, call) for field in rule.fields)


def _holds(field: FieldId, sign: Operator, wanted: int | bytes, call: MadeCall) -> bool:
    path = posixpath.normpath(call.path) if call.path else ""
    match field:
        case FieldId.FILTERKEY:
            return True
        case FieldId.WATCH:
            return path == wanted.decode() if isinstance(wanted, bytes) else False
        case FieldId.DIR:
            return isinstance(wanted, bytes) and (path + "/").startswith(wanted.decode() + "/")
    assert isinstance(wanted, int)
    return (value := _value(field, call)) is not None and _COMPARE[sign](value, wanted)


def _value(field: FieldId, call: MadeCall) -> int | None:
    ids = (
        FieldId.UID,
        FieldId.EUID,
        FieldId.SUID,
        FieldId.FSUID,
        FieldId.GID,
        FieldId.EGID,
        FieldId.LOGINUID,
    )
    registers = (FieldId.ARG0, FieldId.ARG1, FieldId.ARG2, FieldId.ARG3)
    if field in ids:
        return call.ids[ids.index(field)]
    if field in registers:
        return call.registers[registers.index(field)] & _BITS
    return {
        FieldId.ARCH: syscalls.ARCHES[call.arch],
        FieldId.SUCCESS: int(call.exit >= 0),
        FieldId.EXIT: call.exit & _BITS,
        FieldId.INODE: call.inode if call.path else None,
        FieldId.SADDR_FAM: call.family,
    }[field]
