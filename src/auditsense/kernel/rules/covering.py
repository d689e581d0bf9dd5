"""Tell whether an audit rule reports everything that another one reports.

Only what is certain counts: where the fields do not show it, the answer is no.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense.kernel.rules.constants import Action, FieldId, Filter, Operator
from auditsense.kernel.rules.shadowing import matched

if TYPE_CHECKING:
    from auditsense.kernel.rules.field import RuleField
    from auditsense.kernel.rules.rule import AuditRule

_ORDER: Final = {
    Operator.LESS: operator.lt,
    Operator.LESS_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_EQUAL: operator.ge,
    Operator.NOT_EQUAL: operator.ne,
}


def covers(wide: AuditRule, narrow: AuditRule) -> bool:
    """Return whether *wide* reports every call that *narrow* reports.

    >>> from auditsense.kernel.rules.auditctl import parse
    >>> covers(parse("-w /etc -p wa"), parse("-a always,exit -F path=/etc/shadow -F perm=w"))
    True
    """
    kinds = {(rule.filter, rule.action) for rule in (wide, narrow)}
    if kinds != {(Filter.EXIT, Action.ALWAYS)} or not _covers_calls(wide, narrow):
        return False
    return all(_follows(field, narrow) for field in wide.fields)


def _covers_calls(wide: AuditRule, narrow: AuditRule) -> bool:
    if wide.syscalls is None:
        return True
    # Without the same architecture the numbers are those of other calls.
    same_arch = _arch(wide) == _arch(narrow) is not None
    return same_arch and narrow.syscalls is not None and narrow.syscalls <= wide.syscalls


def _arch(rule: AuditRule) -> int | None:
    for field in rule.fields:
        if field.field is FieldId.ARCH and field.op is Operator.EQUAL and isinstance(field.value, int):
            return field.value
    return None


def _follows(wanted: RuleField, narrow: AuditRule) -> bool:
    """Return whether a field holds for every call that a rule reports."""
    if wanted.field is FieldId.FILTERKEY or any(_implies(field, wanted) for field in narrow.fields):
        return True
    return wanted.field is FieldId.PERM and isinstance(wanted.value, int) and _made_so(wanted.value, narrow)


def _implies(field: RuleField, wanted: RuleField) -> bool:
    if field == wanted:
        return True
    if isinstance(field.value, bytes) and isinstance(wanted.value, bytes):
        below = field.field in (FieldId.WATCH, FieldId.DIR) and wanted.field is FieldId.DIR
        return below and (field.value + b"/").startswith(wanted.value.rstrip(b"/") + b"/")
    if field.field is not wanted.field or field.op is not Operator.EQUAL:
        return False
    if not isinstance(field.value, int) or not isinstance(wanted.value, int):
        return False
    if wanted.field is FieldId.PERM:
        return field.value & wanted.value == field.value
    return wanted.op in _ORDER and bool(_ORDER[wanted.op](field.value, wanted.value))


def _made_so(perm: int, narrow: AuditRule) -> bool:
    """Return whether each call of a rule needs one of these permissions, in whichever way it is made."""
    arch = _arch(narrow)
    ways = matched(syscalls.arch_name(arch) or "") if arch is not None else {}
    calls = narrow.syscalls
    return calls is not None and all(call in ways and all(way & perm for way in ways[call]) for call in calls)
