"""An audit rule as a value and as bytes.

The bytes are `struct audit_rule_data` of linux/audit.h, in host byte order: flags,
action, field_count, mask[64], fields[64], values[64], fieldflags[64], buflen, then buf
with the strings one after the other, unterminated. For text see `auditctl`.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

from auditsense.errors import AuditRuleError
from auditsense.kernel.rules.constants import (
    FIELD_NAMES,
    MASK_WORDS,
    MAX_FIELDS,
    MAX_SYSCALL,
    PREPEND,
    SYSCALL_LISTS,
    Action,
    FieldId,
    Filter,
    Operator,
)
from auditsense.kernel.rules.field import STRING_FIELDS, RuleField

if TYPE_CHECKING:
    from collections.abc import Iterable

_FIXED = struct.Struct(f"=III{MASK_WORDS}I{MAX_FIELDS}I{MAX_FIELDS}I{MAX_FIELDS}II")
_WORD_BITS = 32
_FULL_WORD = 0xFFFF_FFFF
# A rule for every syscall comes back without the 16 class bits, which the kernel has
# used up; that is still every syscall.
_LAST_WORD = 0x0000_FFFF
_CLASS_BITS = _FULL_WORD ^ _LAST_WORD
_MAX_PADDING = 3  # netlink aligns to 4 bytes; recvmsg may give the filling as well

_SINGLE = frozenset({FieldId.ARCH, FieldId.EXE, FieldId.FILTERKEY})
# The kernel indexes a rule by one of these, so it can have only one.
_PLACING = frozenset({FieldId.INODE, FieldId.WATCH, FieldId.DIR})


@dataclass(frozen=True, slots=True)
class AuditRule:
    """One audit rule, such that the kernel has no reason to refuse it.

    Attributes:
        filter: The kernel's list it goes to: `audit_rule_data.flags` without PREPEND.
        action: `audit_rule_data.action`.
        fields: Up to 64 conditions in order, all of which must hold.
        syscalls: Numbers 0 to 2,031, of the arch the rule names or of any; on the io_uring
            list numbers of operations. None stands for every one: `mask` all ones.
        prepend: Put before the rules already on the list, PREPEND of `flags`. The first
            rule that matches decides, so this can take events from other rules.

    Raises:
        AuditRuleError: the kernel would refuse the rule, or it could match nothing.
    """

    filter: Filter
    action: Action
    fields: tuple[RuleField, ...] = ()
    syscalls: frozenset[int] | None = None
    prepend: bool = False

    def __post_init__(self) -> None:
        """Refuse what the kernel would refuse."""
        if len(self.fields) > MAX_FIELDS:
            raise AuditRuleError(
                f"{len(self.fields)} fields, the kernel takes {MAX_FIELDS}: make two rules of it",
            )
        for field in self.fields:
            field.check_filter(self.filter)
        self._check_company()
        self._check_syscalls()

    def same_as(self, other: AuditRule) -> bool:
        """Return whether the kernel holds both for one rule.

        This is how a rule that was sent is found among those that LIST_RULES returns.
        All but `prepend` counts, the order of fields as well: the kernel compares so.
        """
        return self.identity == other.identity

    @property
    def identity(self) -> tuple[object, ...]:
        """Identity of a rule: the kernel treats rules with the same one as duplicates. Hashable."""
        return self.filter, self.action, self.syscalls, self.fields

    def to_bytes(self) -> bytes:
        """Return `struct audit_rule_data`: 1,040 bytes and the strings."""
        strings = [field.value for field in self.fields if isinstance(field.value, bytes)]
        values = [
            len(field.value) if isinstance(field.value, bytes) else field.value for field in self.fields
        ]
        unused = [0] * (MAX_FIELDS - len(self.fields))
        fixed = _FIXED.pack(
            self.filter | (PREPEND if self.prepend else 0),
            self.action,
            len(self.fields),
            *_mask(self.syscalls),
            *(field.field for field in self.fields),
            *unused,
            *values,
            *unused,
            *(field.op for field in self.fields),
            *unused,
            sum(map(len, strings)),
        )
        return b"".join([fixed, *strings])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read `struct audit_rule_data`, as LIST_RULES returns it.

        Up to three bytes after the strings are taken for netlink's padding. Nothing is
        read outside `data`, whatever the lengths in it say.

        Raises:
            AuditRuleError: these bytes are not a rule, or one that this class cannot
                represent. Another program's rule can be one: skip it and read on.
        """
        if len(data) < _FIXED.size:
            raise AuditRuleError(f"an audit rule is {_FIXED.size} bytes or more, not {len(data)}")
        words = iter(_FIXED.unpack_from(data))
        flags, action, count = itertools.islice(words, 3)
        mask, fields, values, ops = (
            list(itertools.islice(words, length))
            for length in (MASK_WORDS, MAX_FIELDS, MAX_FIELDS, MAX_FIELDS)
        )
        (buflen,) = words
        if count > MAX_FIELDS:
            raise AuditRuleError(f"the rule claims {count} fields, the limit is {MAX_FIELDS}")
        if not buflen <= len(data) - _FIXED.size <= buflen + _MAX_PADDING:
            raise AuditRuleError(
                f"the rule claims {buflen} bytes of text, it has {len(data) - _FIXED.size}",
            )
        return cls(
            filter=_member(Filter, flags & ~PREPEND, "list"),
            action=_member(Action, action, "action"),
            fields=_fields(
                zip(fields[:count], ops, values, strict=False),
                data[_FIXED.size : _FIXED.size + buflen],
            ),
            syscalls=_syscalls(mask),
            prepend=bool(flags & PREPEND),
        )

    def _check_company(self) -> None:
        """Check what fields may not be in one rule together."""
        kinds = [field.field for field in self.fields]
        for kind in _SINGLE:
            if kinds.count(kind) > 1:
                name = FIELD_NAMES[kind]
                raise AuditRuleError(f"{name} is given twice: a rule can have one")
        placing = [FIELD_NAMES[kind] for kind in kinds if kind in _PLACING]
        if len(placing) > 1:
            raise AuditRuleError(
                f"{' and '.join(placing)} in one rule: of path, dir and inode it can have one",
            )

    def _check_syscalls(self) -> None:
        if self.syscalls is None:
            return
        for number in self.syscalls:
            if not 0 <= number <= MAX_SYSCALL:
                raise AuditRuleError(f"syscall {number} is not within 0 to {MAX_SYSCALL}")
        if not self.syscalls and self.filter in SYSCALL_LISTS:
            raise AuditRuleError("the rule is for no syscall: name one, or all")
        if len(self.syscalls) > MAX_SYSCALL:
            raise AuditRuleError("the rule lists every syscall: write all (None) instead")


def _mask(syscalls: frozenset[int] | None) -> list[int]:
    if syscalls is None:
        return [_FULL_WORD] * MASK_WORDS
    words = [0] * MASK_WORDS
    for number in syscalls:
        words[number // _WORD_BITS] |= 1 << number % _WORD_BITS
    return words


def _syscalls(mask: list[int]) -> frozenset[int] | None:
    if all(word == _FULL_WORD for word in mask[:-1]) and mask[-1] | _CLASS_BITS == _FULL_WORD:
        return None
    if mask[-1] & _CLASS_BITS:
        raise AuditRuleError("the rule asks for a class of syscalls, which only the kernel knows")
    return frozenset(
        index * _WORD_BITS + bit
        for index, word in enumerate(mask)
        for bit in range(_WORD_BITS)
        if word >> bit & 1
    )


def _fields(triples: Iterable[tuple[int, int, int]], strings: bytes) -> tuple[RuleField, ...]:
    """Make fields of their numbers; those with text take theirs from the front of `strings`."""
    fields = []
    for kind, sign, number in triples:
        field = _member(FieldId, kind, "field")
        op = _member(Operator, sign, "operator")
        value: int | bytes = number
        if field in STRING_FIELDS:
            if number > len(strings):
                raise AuditRuleError(
                    f"{FIELD_NAMES[field]} claims {number} bytes, {len(strings)} are left",
                )
            value, strings = strings[:number], strings[number:]
        fields.append(RuleField(field, op, value))
    if strings:
        raise AuditRuleError(f"{len(strings)} bytes of text belong to no field of the rule")
    return tuple(fields)


_Number = TypeVar("_Number", Filter, Action, FieldId, Operator)


def _member(numbers: type[_Number], value: int, name: str) -> _Number:
    try:
        return numbers(value)
    except ValueError:
        raise AuditRuleError(f"the rule has {name} {value:#x}, which is unknown here") from None
