"""Let a rule table remember processes: what feeds the core's process table, and what begins a session."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense.core.rule_table import Call, Class, Field, Filter, RuleTable, Session, stands_alone

if TYPE_CHECKING:
    from collections.abc import Iterable

PROCESS_FIELDS: Final = frozenset(field for field in Field if Field.PARENT_NAME <= field <= Field.LEADER_TYPE)
"""Fields whose values come from the process table alone."""

OWN_FIELDS: Final = frozenset({Field.ARGS, Field.COMMAND_LINE})
"""Fields that an event of another kind than exec has from the last exec of its process."""

_CALLS: Final = ("execve", "execveat")

SESSIONS: Final = (
    Session(b"", b"init"),
    *(Session(name, b"sshd") for name in (b"sshd", b"dropbear")),
    *(
        Session(name, b"container")
        for name in (
            b"containerd-shim",
            b"docker-containe",
            b"runc",
            b"crun",
            b"youki",
            b"conmon",
            b"lxc-start",
        )
    ),
    Session(b"kthreadd", b"kthread"),
)
"""Processes whose children lead a session: process 1, servers of logins, runtimes of containers."""


def read_fields(table: RuleTable) -> set[Field]:
    """Return the fields that the rules of a table read."""
    fields = {node.predicate.field for program in table.programs() for node in program}
    return fields.union(*(filter_.keys for filter_ in table.filters()))


def _fields_of(filter_: Filter) -> set[Field]:
    return {*filter_.keys, *(node.predicate.field for node in filter_.program)}


def _filters_of_messages(table: RuleTable) -> list[Filter]:
    """Return the filters of records of user space, which do not name their process."""
    classes = {main.class_index for main in table.mains if stands_alone(main.type)}
    return [filter_ for index in sorted(classes) for filter_ in table.classes[index].filters]


def needs_processes(table: RuleTable, selected: Iterable[Field] = ()) -> bool:
    """Return whether rules, or the fields that hits carry, need the process table."""
    if not PROCESS_FIELDS.isdisjoint({*read_fields(table), *selected}):
        return True
    if any(
        OWN_FIELDS & _fields_of(filter_)
        for row in table.classes
        if not row.executes
        for filter_ in row.filters
    ):
        return True
    return any(Field.COMM in _fields_of(filter_) for filter_ in _filters_of_messages(table))


def remember_processes(table: RuleTable) -> RuleTable:
    """Return the table with the process table: its execs are wanted, whether a rule is about them or not."""
    classes = list(table.classes)
    moved: dict[int, int] = {}

    def executing(index: int) -> int:
        """Return the class that execs have instead of this one."""
        if classes[index].executes and classes[index].kept:
            return index
        if index not in moved:
            moved[index] = len(classes)
            classes.append(replace(classes[index] if index else Class(), executes=True, kept=True))
        return moved[index]

    execs = {call for name in _CALLS for call in syscalls.calls(name)}
    listed = {(call.arch, call.syscall): call.class_index for call in table.calls}
    calls = [call for call in table.calls if (call.arch, call.syscall) not in execs]
    calls += [Call(*call, executing(listed.get(call, table.other_call_class))) for call in sorted(execs)]
    mains = [
        replace(main, call_class=moved[main.call_class])
        for main in table.mains
        if main.call_class is not None and main.call_class in moved
    ]
    return replace(
        table,
        classes=tuple(classes),
        calls=tuple(calls),
        mains=(*table.mains, *mains),
        sessions=SESSIONS,
        processes=True,
    )
