"""Detect audit rules that take events from a later rule.

The kernel checks the rules of a list in order and takes the first that matches. The rules do not always show
which calls two of them match, so a condition that may hold counts as one that does. Only successful calls
matter, unless the rule is about failures. For a rule on /proc only opens for reading matter: nothing else can
be done to its root.

The calls that a permission (`-p`, `-F perm=`) matches are the kernel's: opens by their mode, execve by x, and
all other calls by fixed classes (include/asm-generic/audit_*.h, `audit_match_perm` in kernel/auditsc.c). The
classes have grown; the tables hold the calls of every version.
"""

from __future__ import annotations

import operator
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense.kernel.rules.constants import Action, FieldId, Filter, Operator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from auditsense.kernel.rules.rule import AuditRule

# linux/audit.h
EXEC: Final = 1
WRITE: Final = 2
READ: Final = 4
CHANGE_ATTRIBUTES: Final = 8

OPENS: Final = ("open", "openat", "openat2")
_EXECS: Final = ("execve", "execveat")
_READS: Final = (
    "readlink readlinkat quotactl listxattr llistxattr flistxattr listxattrat getxattr lgetxattr fgetxattr "
    "getxattrat file_getattr"
)
_WRITES: Final = (
    "rename renameat renameat2 mkdir mkdirat rmdir creat link linkat unlink unlinkat symlink symlinkat mknod "
    "mknodat acct swapon quotactl truncate truncate64 ftruncate ftruncate64 bind fallocate socketcall"
)
_CHANGES: Final = (
    "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat chown32 fchown32 lchown32 setxattr "
    "lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat link linkat "
    "file_setattr"
)

DERIVED_KEY: Final = b"auditsense"
"""Key of the audit rules that are derived from detections (`detections.derive_requirements.KEY`)."""
_ROOT_INODE: Final = 1  # of every procfs
# The argument with the flags of an open; that of openat2 is a pointer to them.
_FLAGS: Final = MappingProxyType({"open": FieldId.ARG1, "openat": FieldId.ARG2})
# An open with one of these flags never succeeds on a folder, unless O_PATH makes it unreadable: O_WRONLY and
# O_RDWR, and on most machines O_CREAT and O_TRUNC.
_ACCESS_FLAGS: Final = 0x3
_WRITE_FLAGS: Final = _ACCESS_FLAGS | 0x40 | 0x200
_OTHER_FLAGS: Final = ("alpha", "mips", "parisc", "sparc")
_SIGN: Final = 0x8000_0000
_NEEDED_RECORDS: Final = frozenset({1300, 1302})  # SYSCALL, PATH: detections find nothing without them
_ENDING_RECORDS: Final = frozenset({1320, 1327})  # EOE, PROCTITLE: either one ends an event (ADR 35)
_COMPARE: Final = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_EQUAL: operator.ge,
}
_SAME_SUBJECT: Final = frozenset(
    {
        FieldId.UID,
        FieldId.EUID,
        FieldId.SUID,
        FieldId.FSUID,
        FieldId.GID,
        FieldId.EGID,
        FieldId.SGID,
        FieldId.FSGID,
    }
    | {FieldId.PID, FieldId.PPID, FieldId.LOGINUID, FieldId.ARCH, FieldId.SESSIONID, FieldId.EXE}
)


def hides(earlier: AuditRule, wanted: AuditRule) -> bool:
    """Return whether *earlier*, a rule before *wanted*, keeps events from being reported at all."""
    return earlier.action is Action.NEVER and _meet(earlier, wanted)


def steals(earlier: AuditRule, wanted: AuditRule) -> bool:
    """Return whether *earlier*, a rule before *wanted*, gives its own key to events of both.

    The key of a derived rule says nothing that anything compares: another one does as well.
    """
    if _keys(wanted) == [DERIVED_KEY]:
        return False
    return earlier.action is Action.ALWAYS and _keys(earlier) != _keys(wanted) and _meet(earlier, wanted)


def silencing_rules(rules: Iterable[AuditRule]) -> list[AuditRule]:
    """Return the rules of the exclude list that together drop records which events need.

    An event needs SYSCALL, PATH, and one of PROCTITLE and EOE.
    """
    excluding = [rule for rule in rules if rule.filter is Filter.EXCLUDE]
    dropped = {kind for kind in _ENDING_RECORDS if any(excludes_record(rule, kind) for rule in excluding)}
    needed = _NEEDED_RECORDS | (_ENDING_RECORDS if dropped == _ENDING_RECORDS else frozenset())
    return [rule for rule in excluding if any(excludes_record(rule, kind) for kind in needed)]


def excludes_record(rule: AuditRule, kind: int) -> bool:
    """Return whether a rule of the exclude list drops records of a type."""
    if rule.filter is not Filter.EXCLUDE:
        return False
    return all(
        _COMPARE[field.op](kind, field.value)
        for field in rule.fields
        if field.field is FieldId.MSGTYPE and field.op in _COMPARE and isinstance(field.value, int)
    )


def _keys(rule: AuditRule) -> list[int | bytes]:
    return [field.value for field in rule.fields if field.field is FieldId.FILTERKEY]


def _meet(earlier: AuditRule, wanted: AuditRule) -> bool:
    """Return whether there may be a call that both rules match."""
    if earlier.filter is not Filter.EXIT or wanted.filter is not Filter.EXIT:
        return False
    return _outcomes_meet(earlier, wanted) and _fields_meet(earlier, wanted) and _calls_meet(earlier, wanted)


def _values(rule: AuditRule, which: FieldId) -> list[int]:
    """Return the numbers that a field of a rule has to be equal to."""
    return [
        field.value
        for field in rule.fields
        if field.field is which and field.op is Operator.EQUAL and isinstance(field.value, int)
    ]


def _about_proc(rule: AuditRule) -> bool:
    """Return whether a rule exists that reports opens of the root of procfs."""
    places = [bytes(field.value) for field in rule.fields if field.field is FieldId.DIR]
    return b"/proc" in [place.rstrip(b"/") for place in places] or _ROOT_INODE in _values(rule, FieldId.INODE)


def _about_failures(rule: AuditRule) -> bool:
    """Return whether a rule matches only calls that fail."""
    return 0 in _values(rule, FieldId.SUCCESS) or any(value & _SIGN for value in _values(rule, FieldId.EXIT))


def _outcomes_meet(earlier: AuditRule, wanted: AuditRule) -> bool:
    if _about_failures(earlier) and not _about_failures(wanted):
        return False
    return not _about_proc(wanted) or all(inode == _ROOT_INODE for inode in _values(earlier, FieldId.INODE))


def _calls_meet(earlier: AuditRule, wanted: AuditRule) -> bool:
    """Return whether there is a call that both rules are about, by their call lists and permissions."""
    masks = [rule.syscalls for rule in (earlier, wanted) if rule.syscalls is not None]
    perms = _values(earlier, FieldId.PERM) + _values(wanted, FieldId.PERM)
    only_opens = _about_proc(wanted)
    if not perms and not only_opens:
        return not masks or bool(frozenset.intersection(*masks))
    return any(
        _calls_meet_on(arch, masks, perms, only_opens=only_opens, earlier=earlier)
        for arch in _arches(earlier, wanted)
    )


def _arches(earlier: AuditRule, wanted: AuditRule) -> list[str]:
    named = _values(earlier, FieldId.ARCH) + _values(wanted, FieldId.ARCH)
    known = [name for value in named if (name := syscalls.arch_name(value)) is not None]
    if known:
        return known[:1]  # if both rules name an arch, it is the same: see _fields_meet
    native = syscalls.native_arch()  # a rule without one is for all programs that this host runs
    return [arch for arch in (native, syscalls.narrow_arch(native)) if arch is not None]


def _calls_meet_on(
    arch: str,
    masks: list[frozenset[int]],
    perms: list[int],
    *,
    only_opens: bool,
    earlier: AuditRule | None = None,
) -> bool:
    ways = matched(arch)
    if not ways:  # no table of this architecture
        return not masks or bool(frozenset.intersection(*masks))
    if only_opens:
        opens = {
            syscalls.number(name, arch)
            for name in OPENS
            if earlier is None or not _only_writes(earlier, name, arch)
        }
        ways = {number: (READ,) for number in ways if number in opens}
    return any(
        all(number in mask for mask in masks) and any(all(perm & way for perm in perms) for way in possible)
        for number, possible in ways.items()
    )


def _only_writes(rule: AuditRule, call: str, arch: str) -> bool:
    """Return whether the flags that a rule requires of an open exclude opening a folder, as of `a2&01003`."""
    writes = _ACCESS_FLAGS if arch.startswith(_OTHER_FLAGS) else _WRITE_FLAGS
    for field in rule.fields:
        if field.field is not _FLAGS.get(call) or not isinstance(field.value, int):
            continue
        if field.op is Operator.BIT_MASK and not field.value & ~writes:
            return True
        if field.op in (Operator.BIT_TEST, Operator.EQUAL) and field.value & writes:
            return True
    return False


def _fields_meet(earlier: AuditRule, wanted: AuditRule) -> bool:
    for mine in earlier.fields:
        for theirs in wanted.fields:
            if mine.op is not Operator.EQUAL or theirs.op is not Operator.EQUAL:
                continue
            if mine.field in _SAME_SUBJECT and mine.field is theirs.field and mine.value != theirs.value:
                return False
            if not _places_meet(mine.field, mine.value, theirs.field, theirs.value):
                return False
    return True


def _places_meet(mine: FieldId, my_value: int | bytes, theirs: FieldId, their_value: int | bytes) -> bool:
    """Return whether two places may be one: each a tree (DIR) or a file (WATCH)."""
    places = {FieldId.DIR, FieldId.WATCH}
    if mine not in places or theirs not in places:
        return True
    my_path, their_path = bytes(my_value).rstrip(b"/"), bytes(their_value).rstrip(b"/")
    within = (my_path + b"/").startswith(their_path + b"/"), (their_path + b"/").startswith(my_path + b"/")
    if mine is theirs is FieldId.DIR:
        return any(within)
    if mine is theirs:
        return my_path == their_path
    return within[0] if mine is FieldId.WATCH else within[1]


@cache
def matched(arch: str) -> Mapping[int, tuple[int, ...]]:
    """Return the calls that a permission can match on *arch*: number to the ways in which it can be made.

    A way is a set of bits. A rule with the permissions *perm* matches a call made in that way when they
    have a bit in common. Calls that are not here match no permission.

    >>> matched("x86_64")[59], matched("x86_64")[257]
    ((1,), (4, 2, 6))
    """
    bits_of: dict[int, int] = {}
    for bit, names in ((READ, _READS), (WRITE, _WRITES), (CHANGE_ATTRIBUTES, _CHANGES)):
        for name in names.split():
            number = syscalls.number(name, arch)
            if number is not None:
                bits_of[number] = bits_of.get(number, 0) | bit
    ways: dict[int, tuple[int, ...]] = {number: (bits,) for number, bits in bits_of.items()}
    for name in _EXECS:
        if (number := syscalls.number(name, arch)) is not None:
            ways[number] = (EXEC,)
    for name in OPENS:
        if (number := syscalls.number(name, arch)) is not None:
            ways[number] = (READ, WRITE, READ | WRITE)
    return MappingProxyType(ways)
