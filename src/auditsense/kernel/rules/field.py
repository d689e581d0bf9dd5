"""One condition of an audit rule, checked as the kernel would check it.

The checks turn the kernel's bare EINVAL into a sentence. They also refuse conditions that the kernel accepts
and can never match, such as a key on the exclude list or a syscall argument on the task list: such a rule
would appear to work.
"""

from __future__ import annotations

from dataclasses import dataclass

from auditsense.errors import AuditRuleError
from auditsense.kernel.rules.constants import (
    COMPARISONS,
    FIELD_NAMES,
    FILETYPES,
    MAX_KEY_LEN,
    MAX_STRING_LEN,
    OPERATOR_SIGNS,
    UNSET,
    FieldId,
    Filter,
    Operator,
)

PATH_FIELDS = frozenset({FieldId.DIR, FieldId.WATCH, FieldId.EXE})
SUBJECT_FIELDS = frozenset(
    {FieldId.SUBJ_USER, FieldId.SUBJ_ROLE, FieldId.SUBJ_TYPE, FieldId.SUBJ_SEN, FieldId.SUBJ_CLR},
)
OBJECT_FIELDS = frozenset(
    {
        FieldId.OBJ_USER,
        FieldId.OBJ_ROLE,
        FieldId.OBJ_TYPE,
        FieldId.OBJ_LEV_LOW,
        FieldId.OBJ_LEV_HIGH,
    },
)
# Their value is the length of a piece of the rule's string buffer.
STRING_FIELDS = PATH_FIELDS | SUBJECT_FIELDS | OBJECT_FIELDS | {FieldId.FILTERKEY}

UID_FIELDS = frozenset(
    {FieldId.UID, FieldId.EUID, FieldId.SUID, FieldId.FSUID, FieldId.LOGINUID, FieldId.OBJ_UID},
)
GID_FIELDS = frozenset({FieldId.GID, FieldId.EGID, FieldId.SGID, FieldId.FSGID, FieldId.OBJ_GID})
ARGUMENT_FIELDS = frozenset({FieldId.ARG0, FieldId.ARG1, FieldId.ARG2, FieldId.ARG3})

_EQUAL = frozenset({Operator.EQUAL})
_EQUALITY = frozenset({Operator.EQUAL, Operator.NOT_EQUAL})
_EVERY = frozenset(Operator)
_ORDER = _EVERY - {Operator.BIT_MASK, Operator.BIT_TEST}
_EQUAL_ONLY = frozenset({FieldId.DIR, FieldId.WATCH, FieldId.PERM})
_EQUALITY_ONLY = frozenset(
    {
        FieldId.SUBJ_USER,
        FieldId.SUBJ_ROLE,
        FieldId.SUBJ_TYPE,
        FieldId.OBJ_USER,
        FieldId.OBJ_ROLE,
        FieldId.OBJ_TYPE,
        FieldId.FILTERKEY,
        FieldId.LOGINUID_SET,
        FieldId.ARCH,
        FieldId.FSTYPE,
        FieldId.FILETYPE,
        FieldId.FIELD_COMPARE,
        FieldId.EXE,
        FieldId.INODE,
    },
)
_EVERY_OPERATOR = ARGUMENT_FIELDS | {FieldId.PERS, FieldId.DEVMINOR}

# A user or exclude rule sees one record and its task; any other field makes the kernel
# skip the whole list (audit_filter). A task rule sees no syscall, hence no context.
_RECORD_FIELDS = SUBJECT_FIELDS | {
    FieldId.PID,
    FieldId.UID,
    FieldId.GID,
    FieldId.LOGINUID,
    FieldId.LOGINUID_SET,
    FieldId.MSGTYPE,
    FieldId.EXE,
}
_SYSCALL_FIELDS = frozenset(FieldId) - {FieldId.MSGTYPE, FieldId.FSTYPE}
_FIELDS_OF = {
    Filter.USER: _RECORD_FIELDS,
    Filter.EXCLUDE: _RECORD_FIELDS,
    Filter.TASK: SUBJECT_FIELDS
    | UID_FIELDS - {FieldId.OBJ_UID}
    | GID_FIELDS - {FieldId.OBJ_GID}
    | {FieldId.PID, FieldId.PERS, FieldId.LOGINUID_SET, FieldId.EXE},
    Filter.EXIT: _SYSCALL_FIELDS,
    Filter.IO_URING: _SYSCALL_FIELDS - {FieldId.PERM},
    Filter.FILESYSTEM: frozenset({FieldId.FSTYPE, FieldId.FILTERKEY}),
}


@dataclass(frozen=True, slots=True)
class RuleField:
    """A field, how it compares, and with what.

    Attributes:
        field: `audit_rule_data.fields[i]`.
        op: `audit_rule_data.fieldflags[i]`.
        value: For a field of `STRING_FIELDS` its bytes, 1 to 4,096 (a key 1 to 256), cut
            from `audit_rule_data.buf`; no NUL. For any other `values[i]`, unsigned 32
            bits: a negative exit or argument is kept as the kernel gets it, modulo 2**32.

    Raises:
        AuditRuleError: the kernel would refuse the field, or it could match nothing.
    """

    field: FieldId
    op: Operator
    value: int | bytes

    def __post_init__(self) -> None:
        """Refuse what the kernel would refuse."""
        _check_operator(self)
        if isinstance(self.value, bytes):
            _check_string(self, self.value)
        else:
            _check_number(self, self.value)

    @property
    def name(self) -> str:
        """The field's name in auditctl text."""
        return FIELD_NAMES[self.field]

    def check_filter(self, which: Filter) -> None:
        """Raise AuditRuleError when a rule of that list cannot have this field."""
        if self.field not in _FIELDS_OF[which]:
            lists = [other.name.lower() for other in Filter if self.field in _FIELDS_OF[other]]
            raise AuditRuleError(
                f"{self.name} cannot be used on the {which.name.lower()} list, only on: {', '.join(lists)}",
            )


def _check_operator(field: RuleField) -> None:
    allowed = _ORDER
    if field.field in _EQUAL_ONLY:
        allowed = _EQUAL
    elif field.field in _EQUALITY_ONLY:
        allowed = _EQUALITY
    elif field.field in _EVERY_OPERATOR:
        allowed = _EVERY
    if field.op not in allowed:
        signs = " ".join(OPERATOR_SIGNS[op] for op in Operator if op in allowed)
        raise AuditRuleError(f"{field.name} takes {signs} only, not {OPERATOR_SIGNS[field.op]}")


def _check_string(field: RuleField, value: bytes) -> None:
    if field.field not in STRING_FIELDS:
        raise AuditRuleError(f"{field.name} takes a number, not {value!r}")
    if not value:
        raise AuditRuleError(f"{field.name} is empty")
    if b"\0" in value:
        raise AuditRuleError(f"{field.name} contains a NUL byte: {value!r}")
    limit = MAX_KEY_LEN if field.field is FieldId.FILTERKEY else MAX_STRING_LEN
    if len(value) > limit:
        raise AuditRuleError(f"{field.name} is {len(value)} bytes long, the kernel takes {limit}")
    if field.field in PATH_FIELDS:
        _check_path(field, value)


def _check_path(field: RuleField, path: bytes) -> None:
    shown = f"{field.name} {path.decode(errors='surrogateescape')!r}"
    if not path.startswith(b"/"):
        raise AuditRuleError(f"{shown} is relative: write the absolute path")
    if b".." in path.split(b"/"):
        raise AuditRuleError(f"{shown} contains '..': write the path it leads to")
    # A directory tree may end in a slash, though "/proc" and "/proc/" are two rules then.
    if field.field is not FieldId.DIR and path.endswith(b"/"):
        raise AuditRuleError(f"{shown} ends in '/': leave it out, or use dir")


def _check_number(field: RuleField, value: int) -> None:
    if field.field in STRING_FIELDS:
        raise AuditRuleError(f"{field.name} takes text, not the number {value}")
    if not 0 <= value <= UNSET:
        raise AuditRuleError(f"{field.name} {value} does not fit the kernel's 32 bits")
    if value == UNSET and field.field in UID_FIELDS | GID_FIELDS:
        if field.field is not FieldId.LOGINUID:
            raise AuditRuleError(f"{field.name} cannot be unset: only auid and sessionid can")
        if field.op not in _EQUALITY:
            raise AuditRuleError("auid can be compared with unset by = and != only")
    choices = {
        FieldId.PERM: range(1, 16),
        FieldId.FILETYPE: FILETYPES.values(),
        FieldId.FIELD_COMPARE: COMPARISONS.keys(),
        FieldId.LOGINUID_SET: range(2),
        FieldId.SUCCESS: range(2),
    }
    if field.field in choices and value not in choices[field.field]:
        raise AuditRuleError(f"{field.name} {value:#x} is not a value that the kernel knows")
