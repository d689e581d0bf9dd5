"""One condition of an audit rule as text: what stands after -F or -C."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditsense import syscalls
from auditsense.errors import AuditRuleError
from auditsense.kernel.rules import value_text
from auditsense.kernel.rules.constants import (
    COMPARISONS,
    FIELDS,
    KEY_SEPARATOR,
    OPERATOR_SIGNS,
    OPERATORS,
    Field,
    Operator,
)
from auditsense.kernel.rules.field import STRING_FIELDS, RuleField
from auditsense.kernel.rules.value_text import hint

if TYPE_CHECKING:
    from collections.abc import Iterable

_CONDITION = re.compile(
    rf"(?P<name>[^!<>=&]*)(?P<sign>{'|'.join(OPERATORS)})(?P<value>.*)",
    re.DOTALL,
)
_BARE_ARCH = re.compile(r"[a-f][0-9a-f]{7}")  # c000003e, as a record shows it
_64BIT = 0x8000_0000


def to_bytes(text: str) -> bytes:
    """Return the bytes that a path or key of the command line stands for (surrogateescape)."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise AuditRuleError(f"{text!a} cannot be written as bytes") from None


def from_bytes(value: bytes) -> str:
    """Return text that `to_bytes` turns back into `value`."""
    return value.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class FieldText:
    """Reads and writes conditions for one machine.

    Attributes:
        machine: Its architecture by audit's name: what b64 and b32 are taken from.
    """

    machine: str

    def read(self, text: str) -> RuleField:
        """Read what follows -F, such as ``a0=0xffffff9c``.

        Raises:
            AuditRuleError: no such field, or an operator or a value it does not take.
        """
        name, op, value = _split(text, "-F")
        field = FIELDS.get(name)
        if field is None:
            raise AuditRuleError(f"unknown field {name!r}{hint(name, FIELDS)}")
        if field is Field.ARCH:
            return RuleField(field, op, self.arch(value))
        if field not in STRING_FIELDS:
            return RuleField(field, op, value_text.read(field, value))
        string = to_bytes(value)
        if field is Field.FILTERKEY and KEY_SEPARATOR in string:
            raise AuditRuleError(f"key {value!r} contains byte 0x01: give each key its own -k")
        return RuleField(field, op, string)

    def read_comparison(self, text: str) -> RuleField:
        """Read what follows -C, such as ``uid!=euid``; the order of the two is free."""
        name, op, other = _split(text, "-C")
        for number, fields in COMPARISONS.items():
            if {name, other} == set(fields):
                return RuleField(Field.FIELD_COMPARE, op, number)
        known = {one for fields in COMPARISONS.values() for one in fields}
        for one in (name, other):
            if one not in known:
                raise AuditRuleError(f"-C cannot compare {one!r}{hint(one, known)}")
        raise AuditRuleError(f"-C cannot compare {name} with {other}")

    def write(self, field: RuleField) -> str:
        """Return the text that `read` (`read_comparison` for -C) makes `field` of."""
        sign = OPERATOR_SIGNS[field.op]
        if isinstance(field.value, bytes):
            return f"{field.name}{sign}{from_bytes(field.value)}"
        if field.field is Field.FIELD_COMPARE:
            return sign.join(COMPARISONS[field.value])
        if field.field is Field.ARCH:
            return f"{field.name}{sign}{self.written_arch(field.value)}"
        return f"{field.name}{sign}{value_text.write(field.field, field.value)}"

    def arch(self, text: str) -> int:
        """Return the AUDIT_ARCH value of b64, b32, a name of `syscalls.ARCHES` or a number."""
        if text in {"b32", "b64"}:
            name = self._of_width(text)
            if name is None:
                raise AuditRuleError(f"{self.machine} has no {text}: name the arch itself")
            return syscalls.ARCHES[name]
        name = syscalls.canonical_arch(text)
        if name in syscalls.ARCHES:
            return syscalls.ARCHES[name]
        number = int(text, 16) if _BARE_ARCH.fullmatch(text) else value_text.number(text)
        if number is None:
            known = ["b64", "b32", *syscalls.ARCHES]
            raise AuditRuleError(f"unknown arch {text!r}{hint(text, known)}")
        return number

    def written_arch(self, value: int) -> str:
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
            if field.field is Field.ARCH and isinstance(field.value, int):
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
