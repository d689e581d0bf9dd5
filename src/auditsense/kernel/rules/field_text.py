"""The parts of an audit rule as text: conditions (-F, -C), their values, and system calls (-S).

Read as auditctl reads them, except what it accepts and the kernel then misreads: a number that does not
fit 32 bits, characters after a number, and a leading zero (octal). Every reader raises AuditRuleError for
text that is not a value of its field.
"""

from __future__ import annotations

import errno
import grp
import pwd
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from auditsense import syscalls
from auditsense._frozen import Frozen
from auditsense.errors import AuditRuleError
from auditsense.kernel.rules.constants import (
    COMPARISONS,
    FIELD_NAMES,
    FIELDS,
    FILETYPES,
    FSTYPES,
    IO_URING_OPS,
    KEY_SEPARATOR,
    MAX_SYSCALL,
    MSGTYPES,
    OPERATOR_SIGNS,
    OPERATORS,
    PERMS,
    UNSET,
    FieldId,
    Filter,
    Operator,
)
from auditsense.kernel.rules.field import ARGUMENT_FIELDS, GID_FIELDS, STRING_FIELDS, UID_FIELDS, RuleField

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# --- values

# 20 digits hold any 64-bit number; int() would raise at some thousand.
_NUMBER = re.compile(r"-?(0[xX][0-9a-fA-F]{1,20}|0|[1-9][0-9]{0,19})")
_OCTAL = re.compile(r"-?0[0-9]+")
_BITS = 32
_MODULUS = 1 << _BITS
_HALF = _MODULUS // 2
_SIGN_EXTENSION = (1 << _BITS + 1) - 1  # the upper 33 bits of a negative int in 64
_SIGNED = ARGUMENT_FIELDS | {FieldId.EXIT}
_NAMED: Mapping[FieldId, Mapping[str, int]] = {
    FieldId.FILETYPE: FILETYPES,
    FieldId.FSTYPE: FSTYPES,
    FieldId.MSGTYPE: MSGTYPES,
    FieldId.SUCCESS: {"1": 1, "0": 0},
}


def hint(text: str, known: Iterable[str]) -> str:
    """Return ``: did you mean NEAREST?`` or nothing, to end an error message with."""
    close = get_close_matches(text, list(known), n=1)
    return f": did you mean {close[0]}?" if close else ""


def read_value(field: FieldId, text: str) -> int:
    """Return the unsigned 32 bits `text` means for a numeric field other than arch.

    Account names are looked up in the host's databases (pwd, grp).
    """
    if field is FieldId.PERM:
        return read_perm(text)
    if field in UID_FIELDS | {FieldId.SESSIONID} and text in {"unset", "-1"}:
        return UNSET
    names = _NAMED.get(field, {})
    if text in names:
        return names[text]
    number = None if field is FieldId.FILETYPE else read_number(text)
    if number is not None:
        return _fitted(field, number)
    if field in _LOOKUPS:
        return _LOOKUPS[field](text)
    advice = hint(text, names) or (f": one of {', '.join(names)}" if names else ": not a number")
    raise AuditRuleError(f"{FIELD_NAMES[field]} cannot be {text!r}{advice}")


def write_value(field: FieldId, value: int) -> str:
    """Return the text that `read_value` turns into `value`: a name where there is a fixed one."""
    if field is FieldId.PERM:
        return write_perm(value)
    if field in {FieldId.LOGINUID, FieldId.SESSIONID} and value == UNSET:
        return "unset"
    if field in ARGUMENT_FIELDS:
        return f"{value:#x}"
    if field is FieldId.EXIT and value >= _HALF:
        code = _MODULUS - value
        return f"-{errno.errorcode.get(code, code)}"
    for name, known in _NAMED.get(field, {}).items():
        if known == value:
            return name
    return str(value)


def read_number(text: str) -> int | None:
    """Return the number that `text` is, decimal or 0x, or None when it is none."""
    if _NUMBER.fullmatch(text):
        return int(text, 0)
    if _OCTAL.fullmatch(text):
        raise AuditRuleError(f"{text} would be octal: write it decimal, or hexadecimal with 0x")
    return None


def read_perm(text: str) -> int:
    """Return the bits of r, w, x, a, in any case and order: 1 to 15."""
    bits = 0
    for letter in text.lower():
        if letter not in PERMS:
            raise AuditRuleError(f"permission {letter!r} in {text!r} is not one of r w x a")
        bits |= PERMS[letter]
    if not bits:
        raise AuditRuleError("no permission given: one or more of r w x a")
    return bits


def write_perm(bits: int) -> str:
    """Return the letters of permission bits 1 to 15, in the order rwxa."""
    return "".join(letter for letter, bit in PERMS.items() if bits & bit)


def _fitted(field: FieldId, number: int) -> int:
    if field in _SIGNED and -_HALF <= number < 0:
        return number % _MODULUS
    if field in ARGUMENT_FIELDS and number >= _MODULUS:
        # A record shows the whole register: ffffffffffffff9c is -100 for the kernel as well.
        if number >> (_BITS - 1) == _SIGN_EXTENSION:
            return number % _MODULUS
        raise AuditRuleError(f"{number:#x}: the kernel compares the low 32 bits of an argument")
    if not 0 <= number < _MODULUS:
        low = -_HALF if field in _SIGNED else 0
        raise AuditRuleError(
            f"{FIELD_NAMES[field]} {number} is not within {low} to {_MODULUS - 1}",
        )
    return number


def _user(text: str) -> int:
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):  # ValueError: a NUL byte in the name
        raise AuditRuleError(f"no user {text!r} on this host: use the number") from None


def _group(text: str) -> int:
    try:
        return grp.getgrnam(text).gr_gid
    except (KeyError, ValueError):
        raise AuditRuleError(f"no group {text!r} on this host: use the number") from None


def _exit_code(text: str) -> int:
    name = text.removeprefix("-")
    # The module knows EWOULDBLOCK and other second names, which errorcode leaves out.
    code = getattr(errno, name, None) if name.startswith("E") else None
    if not isinstance(code, int):
        raise AuditRuleError(f"no errno {text!r}{hint(name, errno.errorcode.values())}")
    return -code % _MODULUS if text.startswith("-") else code


_LOOKUPS: Mapping[FieldId, Callable[[str], int]] = {
    **dict.fromkeys(UID_FIELDS, _user),
    **dict.fromkeys(GID_FIELDS, _group),
    FieldId.EXIT: _exit_code,
}


# --- conditions

_CONDITION = re.compile(
    rf"(?P<name>[^!<>=&]*)(?P<sign>{'|'.join(OPERATORS)})(?P<value>.*)",
    re.DOTALL,
)
_BARE_ARCH = re.compile(r"[a-f][0-9a-f]{7}")  # c000003e, as a record shows it
_64BIT = 0x8000_0000


def encode_text(text: str) -> bytes:
    """Return the bytes that a path or key of the command line stands for (surrogateescape)."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise AuditRuleError(f"{text!a} cannot be written as bytes") from None


def decode_text(value: bytes) -> str:
    """Return text that `encode_text` turns back into `value`."""
    return value.decode("utf-8", "surrogateescape")


@dataclass(slots=True, eq=False, repr=False)
class FieldText(Frozen):
    """Reads and writes conditions for one machine.

    Attributes:
        machine: Its architecture by audit's name: what b64 and b32 are taken from.
    """

    machine: str

    def read_field(self, text: str) -> RuleField:
        """Read what follows -F, such as ``a0=0xffffff9c``.

        Raises:
            AuditRuleError: no such field, or an operator or a value it does not take.
        """
        name, op, value = _split(text, "-F")
        field = FIELDS.get(name)
        if field is None:
            raise AuditRuleError(f"unknown field {name!r}{hint(name, FIELDS)}")
        if field is FieldId.ARCH:
            return RuleField(field, op, self.read_arch(value))
        if field not in STRING_FIELDS:
            return RuleField(field, op, read_value(field, value))
        string = encode_text(value)
        if field is FieldId.FILTERKEY and KEY_SEPARATOR in string:
            raise AuditRuleError(f"key {value!r} contains byte 0x01: give each key its own -k")
        return RuleField(field, op, string)

    def read_comparison(self, text: str) -> RuleField:
        """Read what follows -C, such as ``uid!=euid``; the order of the two is free."""
        name, op, other = _split(text, "-C")
        for number, fields in COMPARISONS.items():
            if {name, other} == set(fields):
                return RuleField(FieldId.FIELD_COMPARE, op, number)
        known = {operand for fields in COMPARISONS.values() for operand in fields}
        for operand in (name, other):
            if operand not in known:
                raise AuditRuleError(f"-C cannot compare {operand!r}{hint(operand, known)}")
        raise AuditRuleError(f"-C cannot compare {name} with {other}")

    def write_field(self, field: RuleField) -> str:
        """Return the text that `read_field` (`read_comparison` for -C) makes `field` of."""
        sign = OPERATOR_SIGNS[field.op]
        if isinstance(field.value, bytes):
            return f"{field.name}{sign}{decode_text(field.value)}"
        if field.field is FieldId.FIELD_COMPARE:
            return sign.join(COMPARISONS[field.value])
        if field.field is FieldId.ARCH:
            return f"{field.name}{sign}{self.write_arch(field.value)}"
        return f"{field.name}{sign}{write_value(field.field, field.value)}"

    def read_arch(self, text: str) -> int:
        """Return the AUDIT_ARCH value of b64, b32, a name of `syscalls.ARCHES` or a number."""
        if text in {"b32", "b64"}:
            name = self._of_width(text)
            if name is None:
                raise AuditRuleError(f"{self.machine} has no {text}: name the arch itself")
            return syscalls.ARCHES[name]
        name = syscalls.canonical_arch(text)
        if name in syscalls.ARCHES:
            return syscalls.ARCHES[name]
        number = int(text, 16) if _BARE_ARCH.fullmatch(text) else read_number(text)
        if number is None:
            known = ["b64", "b32", *syscalls.ARCHES]
            raise AuditRuleError(f"unknown arch {text!r}{hint(text, known)}")
        return number

    def write_arch(self, value: int) -> str:
        """Return b64 or b32 where it is this machine's, else the name, else 0x and hex."""
        name = syscalls.arch_name(value)
        if name is None:
            return f"{value:#010x}"
        for width in ("b64", "b32"):
            if name == self._of_width(width):
                return width
        return name

    def arch_of(self, fields: Iterable[RuleField]) -> str:
        """Return whose syscall names a rule with these fields means: its arch, else this one.

        An arch without a name is returned as its number; no syscall names are known for it.
        """
        for field in fields:
            if field.field is FieldId.ARCH and isinstance(field.value, int):
                return syscalls.arch_name(field.value) or f"arch {field.value:#010x}"
        return self.machine

    def _of_width(self, width: str) -> str | None:
        """Return the name of this machine's b64 or b32, None where it has none."""
        wide = bool(syscalls.ARCHES.get(self.machine, 0) & _64BIT)
        if self.machine not in syscalls.ARCHES:
            return None
        return self.machine if wide == (width == "b64") else syscalls.narrow_arch(self.machine)


def _split(text: str, option: str) -> tuple[str, Operator, str]:
    parts = _CONDITION.fullmatch(text)
    if parts is None:
        raise AuditRuleError(f"{option} {text!r} has no operator: {' '.join(OPERATORS)}")
    name, sign, value = parts.group("name", "sign", "value")
    if not value:
        raise AuditRuleError(f"{option} {text!r} has no value after {sign}")
    return name, OPERATORS[sign], value


# --- system calls

_OPERATIONS = {value: name for name, value in IO_URING_OPS.items()}


def read_syscalls(text: str, filter_: Filter, arch: str) -> frozenset[int] | None:
    """Read names, numbers or ``all``, comma separated.

    Args:
        text: Such as ``open,openat,437``; empty pieces are skipped.
        filter_: The rule's list: on io_uring the names are of its operations.
        arch: Whose syscalls, by audit's name; unknown ones have numbers only.

    Returns:
        The numbers; None for every syscall.

    Raises:
        AuditRuleError: a name that `arch` has not, or a number that no mask can hold.
    """
    numbers = set()
    for name in filter(None, text.split(",")):
        if name == "all":
            return None
        numbers.add(_syscall_number(name, filter_, arch))
    return frozenset(numbers)


def write_syscalls(numbers: frozenset[int] | None, filter_: Filter, arch: str) -> str:
    """Return the text `read_syscalls` makes `numbers` of, in the order of the numbers."""
    if numbers is None:
        return "all"
    return ",".join(_syscall_name(value, filter_, arch) or str(value) for value in sorted(numbers))


def _syscall_name(value: int, filter_: Filter, arch: str) -> str | None:
    if filter_ is Filter.IO_URING:
        return _OPERATIONS.get(value)
    return syscalls.name(value, arch)


def _syscall_number(name: str, filter_: Filter, arch: str) -> int:
    value = read_number(name)
    if value is None:
        uring = filter_ is Filter.IO_URING
        value = IO_URING_OPS.get(name) if uring else syscalls.number(name, arch)
    if value is None:
        raise AuditRuleError(_unknown_syscall(name, filter_, arch))
    if not 0 <= value <= MAX_SYSCALL:
        raise AuditRuleError(f"syscall {value} is not within 0 to {MAX_SYSCALL}")
    return value


def _unknown_syscall(name: str, filter_: Filter, arch: str) -> str:
    if filter_ is Filter.IO_URING:
        return f"unknown io_uring operation {name!r}{hint(name, IO_URING_OPS)}"
    if arch not in syscalls.ARCHES:
        return f"no syscall names are known for {arch}: use the number of {name!r}"
    if syscalls.calls(name):
        return f"{arch} has no syscall {name!r}: other architectures have"
    return f"unknown syscall {name!r}{hint(name, syscalls.names(arch))}"
