"""Whether an audit rule takes events from one that stands behind it.

The kernel asks the rules of a list in order and takes the first that matches. Which calls two rules
both match cannot always be told from the rules, so the answers lean one way: a condition that may
hold counts as one that does. Only opens that read matter here, and calls that succeed.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense.kernel.vocabulary import Action, Field, Filter, Operator

if TYPE_CHECKING:
    from auditsense.kernel.audit_rule import AuditRule

_OPENS: Final = ("open", "openat", "openat2")
_PERM_READ: Final = 4
_ROOT_INODE: Final = 1  # of every procfs
_SIGN: Final = 0x8000_0000
# Without one of these records there is no event to detect anything in: SYSCALL, PATH, EOE.
_NEEDED_RECORDS: Final = frozenset({1300, 1302, 1320})
_COMPARE: Final = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_EQUAL: operator.ge,
}
_SAME_SUBJECT: Final = frozenset(
    {Field.UID, Field.EUID, Field.SUID, Field.FSUID, Field.GID, Field.EGID, Field.SGID, Field.FSGID}
    | {Field.PID, Field.PPID, Field.LOGINUID, Field.ARCH, Field.SESSIONID, Field.EXE}
)


def hides(earlier: AuditRule, wanted: AuditRule) -> bool:
    """Tell whether *earlier*, a rule before *wanted*, keeps events from being reported at all."""
    return earlier.action is Action.NEVER and _meet(earlier, wanted)


def steals(earlier: AuditRule, wanted: AuditRule) -> bool:
    """Tell whether *earlier*, a rule before *wanted*, gives its own key to events of both."""
    return earlier.action is Action.ALWAYS and _keys(earlier) != _keys(wanted) and _meet(earlier, wanted)


def silences_records(rule: AuditRule) -> bool:
    """Tell whether a rule of the exclude list drops records that every event needs."""
    if rule.filter is not Filter.EXCLUDE:
        return False
    tests = [
        (_COMPARE[field.op], field.value)
        for field in rule.fields
        if field.field is Field.MSGTYPE and field.op in _COMPARE and isinstance(field.value, int)
    ]
    return any(all(holds(kind, value) for holds, value in tests) for kind in _NEEDED_RECORDS)


def _keys(rule: AuditRule) -> list[int | bytes]:
    return [field.value for field in rule.fields if field.field is Field.FILTERKEY]


def _meet(one: AuditRule, other: AuditRule) -> bool:
    """Tell whether there may be a successful reading open that both rules match."""
    if one.filter is not Filter.EXIT or other.filter is not Filter.EXIT:
        return False
    return _of_opens(one) and _calls_meet(one, other) and _fields_meet(one, other)


def _of_opens(rule: AuditRule) -> bool:
    """Tell whether a rule may match an open that reads and succeeds."""
    for field in rule.fields:
        equal, value = field.op is Operator.EQUAL, field.value
        if not isinstance(value, int):
            continue
        match field.field:
            case Field.PERM if not value & _PERM_READ:
                return False
            case Field.SUCCESS if equal and value == 0:
                return False
            case Field.EXIT if equal and value & _SIGN:  # a negative one: an error
                return False
            case Field.INODE if equal and value != _ROOT_INODE:
                return False
            case _:
                pass
    if rule.syscalls is None:
        return True
    arch = next((field.value for field in rule.fields if field.field is Field.ARCH), None)
    names = [syscalls.arch_name(arch)] if isinstance(arch, int) else _host_arches()
    opens = {syscalls.number(call, name) for name in names if name is not None for call in _OPENS}
    return bool(opens & rule.syscalls)


def _host_arches() -> list[str | None]:
    """Return the architectures whose programs this host runs: a rule without one is for all of them."""
    native = syscalls.native_arch()
    return [native, syscalls.narrow_arch(native)]


def _calls_meet(one: AuditRule, other: AuditRule) -> bool:
    return one.syscalls is None or other.syscalls is None or bool(one.syscalls & other.syscalls)


def _fields_meet(one: AuditRule, other: AuditRule) -> bool:
    for mine in one.fields:
        for theirs in other.fields:
            if mine.op is not Operator.EQUAL or theirs.op is not Operator.EQUAL:
                continue
            if mine.field in _SAME_SUBJECT and mine.field is theirs.field and mine.value != theirs.value:
                return False
            if not _places_meet(mine.field, mine.value, theirs.field, theirs.value):
                return False
    return True


def _places_meet(mine: Field, my_value: int | bytes, theirs: Field, their_value: int | bytes) -> bool:
    """Tell whether two places may be one: each a tree (DIR) or a file (WATCH)."""
    places = {Field.DIR, Field.WATCH}
    if mine not in places or theirs not in places:
        return True
    one, other = bytes(my_value).rstrip(b"/"), bytes(their_value).rstrip(b"/")
    within = (one + b"/").startswith(other + b"/"), (other + b"/").startswith(one + b"/")
    if mine is theirs is Field.DIR:
        return any(within)
    if mine is theirs:
        return one == other
    return within[0] if mine is Field.WATCH else within[1]
