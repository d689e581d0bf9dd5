"""Events that satisfy a query, by a value for each of its comparisons; and events that just miss it."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from auditsense.detections.expression import And, Not, Operator, Or, Query, QueryKind, Test
from tests.support.audit_events import CALLS, RECORDS, AuditEvent, Process, fields_of, learn
from tests.support.eql_model import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from random import Random

    from auditsense.detections.expression import Expression, Step

Literal = tuple[Test, bool]
_TRIES: Final = 60
_KIND_FIELDS: Final = frozenset(
    {"event.action", "event.category", "event.type", "auditd.data.syscall", "network.direction"}
)
_PARENT: Final = "process.parent."


def witnesses(query: Query, random: Random, pid: int) -> list[AuditEvent] | None:
    """Return events that complete a query, with the execs of parents before them; None: none was found.

    Args:
        query: it.
        random: chooses among alternatives.
        pid: first of the process ids that no other case uses.
    """
    events: list[AuditEvent] = []
    chosen: list[AuditEvent] = []
    for step in query.steps:
        found = _witness(step, random, pid)
        if found is None:
            return None
        event, parent = found
        if parent is not None:
            events.append(parent)
        for _ in range(step.runs):
            events.append(event)
            chosen.append(event)
    if query.kind is not QueryKind.EVENT:
        _link(query, events, pid)
    return _in_order(events)


def _in_order(events: Sequence[AuditEvent]) -> list[AuditEvent]:
    return [
        replace(event, ms=events[0].ms + 10 * number, serial=events[0].serial + number)
        for number, event in enumerate(events)
    ]


def _link(query: Query, events: list[AuditEvent], pid: int) -> None:
    """Make the last event the child of the others where the keys ask for that."""
    keys = [[key.name for key in step.by] for step in query.steps]
    for first, last in zip(keys[0], keys[-1], strict=True):
        if first.startswith("process.") and first != last and last.startswith(_PARENT):
            events[-1] = replace(events[-1], ppid=pid + 1, pid=pid + 2)


def variations(events: Sequence[AuditEvent], random: Random) -> Iterator[list[AuditEvent]]:
    """Yield cases that differ a little, so that some of them miss the query."""
    last = events[-1]
    changes: list[AuditEvent] = [
        replace(last, comm=last.comm.upper()),
        replace(last, comm=f"{last.comm} "[:15]),
        replace(last, exe=f"{last.exe}2"),
        replace(last, uid=0),
        replace(last, uid=1000, euid=1000),
        replace(last, euid=0),
        replace(last, success=not last.success),
        replace(last, cwd="/"),
        replace(last, title=""),
        replace(last, call=random.choice(CALLS))
        if not last.alone
        else replace(last, call=random.choice(RECORDS)),
    ]
    if last.args:
        changes += [
            replace(last, args=last.args[:-1] or None),
            replace(last, args=tuple(text.upper() for text in last.args)),
            replace(last, args=(*last.args, "--help")),
            replace(last, args=tuple(f"{text}x" for text in last.args)),
            replace(last, args=None),
        ]
    if last.paths:
        name, kind = last.paths[-1]
        changes += [
            replace(last, paths=((f"{name}x", kind),)),
            replace(last, paths=(("/", "PARENT"), (name, "CREATE"))),
            replace(last, paths=((name.rpartition("/")[2], kind),), cwd=name.rpartition("/")[0] or "/"),
            replace(last, paths=()),
        ]
    for change in changes:
        yield [*events[:-1], change]
    yield [*events[:-1], last, replace(last, ms=last.ms + 5000, serial=last.serial + 1)]
    if len(events) > 1:
        yield [*events[1:]]
        yield [*events[:-1], replace(last, ms=last.ms + 3_600_000)]
        yield _in_order([replace(event, ms=last.ms, serial=last.serial) for event in reversed(events)])
        yield _in_order([*events, *events])


# --- one event -------------------------------------------------------------------------


def _witness(step: Step, random: Random, pid: int) -> tuple[AuditEvent, AuditEvent | None] | None:
    for _ in range(_TRIES):
        literals = _choose(step.where, random)
        if literals is None:
            return None
        found = _event(step, literals, random, pid)
        if found is None:
            continue
        event, parent = found
        processes: dict[int, Process] = {}
        if parent is not None:
            learn(parent, processes)
        if matches(step, fields_of(event, processes, native=True)):
            return event, parent
    return None


def _choose(tree: Expression, random: Random) -> list[Literal] | None:
    """Return comparisons that make a tree hold if they have these results."""
    match tree:
        case Test():
            return [(tree, True)]
        case Not(Test() as test):
            return [(test, False)]
        case And(terms):
            chosen = [_choose(term, random) for term in terms]
            return None if None in chosen else [literal for part in chosen if part for literal in part]
        case Or(terms):
            for term in random.sample(terms, len(terms)):
                part = _choose(term, random)
                if part is not None:
                    return part
            return None
        case _:
            return [] if getattr(tree, "value", False) else None


def _event(
    step: Step, literals: list[Literal], random: Random, pid: int
) -> tuple[AuditEvent, AuditEvent | None] | None:
    kinds = _kinds(step, literals)
    if not kinds:
        return None
    event = replace(random.choice(kinds), pid=pid + 1, ppid=pid)
    positive = [test for test, wanted in literals if wanted and test.field not in _KIND_FIELDS]
    parent: dict[str, list[str]] = {}
    words: list[str] = []
    for test in sorted(positive, key=lambda test: test.field != "process.command_line"):
        if test.field.startswith(_PARENT) and test.field != "process.parent.pid":
            parent.setdefault(test.field, []).append(_sample(test, random))
        elif test.field in ("process.command_line", "process.args"):
            more = _sample(test, random)
            words += more.split(" ") if test.field == "process.command_line" else [more]
        elif test.field == "process.args_count":
            words += ["pad"] * 6
        else:
            event = _set(event, test, random)
    if event.call in ("execve", "execveat") and event.success:
        first = [] if any(test.field == "process.command_line" for test in positive) else [event.comm]
        event = replace(event, args=(*first, *words), paths=((event.exe, "NORMAL"),))
    started = _parent(parent, pid) if parent or random.random() < 0.5 else None
    if words and event.call not in ("execve", "execveat"):
        started = AuditEvent(pid=event.pid, ppid=pid, comm=event.comm, exe=event.exe, args=tuple(words))
    return event, started


def _parent(wanted: dict[str, list[str]], pid: int) -> AuditEvent:
    line = wanted.get("process.parent.command_line", [""])[0]
    args = (*line.split(" "), *wanted.get("process.parent.args", []))
    return AuditEvent(
        pid=pid,
        ppid=1,
        comm=wanted.get("process.parent.name", ["parent"])[0][:15],
        exe=wanted.get("process.parent.executable", ["/opt/parent"])[0],
        args=args if args != ("",) else ("parent",),
    )


def _kinds(step: Step, literals: list[Literal]) -> list[AuditEvent]:
    """Return an event of each call or record that the words of the query allow."""
    candidates = [
        AuditEvent(call=call, socket=("ipv4", "10.1.2.3", 443)) for call in CALLS if _has_socket(call)
    ]
    candidates += [
        AuditEvent(call=call, paths=(("/etc/x", "NORMAL"),)) for call in CALLS if not _has_socket(call)
    ]
    candidates += [AuditEvent(call="openat", first="APPARMOR", paths=(("/etc/x", "NORMAL"),))]
    candidates += [AuditEvent(call="write", first="APPARMOR", paths=(("/etc/x", "NORMAL"),))]
    candidates += [AuditEvent(call="openat", paths=(("/etc", "PARENT"), ("/etc/x", "CREATE")))]
    message = {"op": "PAM:x", "acct": '"root"', "exe": '"/usr/bin/sudo"', "hostname": "?", "addr": "?"}
    candidates += [
        AuditEvent(call=record, message={**message, "terminal": "tty", "res": "success"})
        for record in RECORDS
    ]
    about_kind = [(test, wanted) for test, wanted in literals if test.field in _KIND_FIELDS]
    kept: list[AuditEvent] = []
    for event in candidates:
        fields = fields_of(event, {}, native=True)
        of_step = replace(
            step, where=And(tuple(test if wanted else Not(test) for test, wanted in about_kind))
        )
        if matches(of_step, fields):
            kept.append(event)
    return kept


def _has_socket(call: str) -> bool:
    return call in ("connect", "accept4", "bind", "sendto")


_SETTERS: Final[dict[str, Callable[[AuditEvent, str], AuditEvent]]] = {
    "process.name": lambda event, value: event if event.alone else replace(event, comm=value[:15]),
    "process.executable": lambda event, value: replace(event, exe=value),
    "process.title": lambda event, value: replace(event, title=value),
    "process.working_directory": lambda event, value: replace(event, cwd=value),
    "user.id": lambda event, value: (
        replace(event, uid=int(value), auid=int(value)) if value.isdigit() else event
    ),
    "user.effective.id": lambda event, value: replace(event, euid=int(value)) if value.isdigit() else event,
    "file.path": lambda event, value: replace(
        event,
        paths=(
            *(path for path in event.paths if path[1] == "PARENT"),
            (value, event.paths[-1][1] if event.paths else "NORMAL"),
        ),
    ),
    "event.outcome": lambda event, value: _with_result(event, success=value == "success"),
    "auditd.result": lambda event, value: _with_result(event, success=value == "success"),
    "destination.ip": lambda event, value: replace(
        event, socket=("ipv6" if ":" in value else "ipv4", value, event.socket[2] if event.socket else 443)
    ),
    "destination.port": lambda event, value: replace(
        event, socket=(*(event.socket or ("ipv4", "10.1.2.3", 0))[:2], int(value))
    ),
    "destination.address": lambda event, value: replace(event, socket=("unix", value, 0)),
    "auditd.data.socket.family": lambda event, value: replace(event, socket=(value, "", 0)),
    "process.thread.capabilities.effective": lambda event, value: replace(event, capabilities=(value,)),
}


def _set(event: AuditEvent, test: Test, random: Random) -> AuditEvent:
    value = _sample(test, random)
    if test.field in _SETTERS:
        return _SETTERS[test.field](event, value)
    register = re.fullmatch(r"auditd\.data\.a([0-3])", test.field)
    if register:
        values = list(event.registers)
        values[int(register[1])] = value
        return replace(event, registers=(values[0], values[1], values[2], values[3]))
    if event.alone and test.field.startswith("auditd.data."):
        return replace(event, message={**event.message, test.field.removeprefix("auditd.data."): value})
    return event


def _with_result(event: AuditEvent, *, success: bool) -> AuditEvent:
    return replace(
        event, success=success, message={**event.message, "res": "success" if success else "failed"}
    )


def _sample(test: Test, random: Random) -> str:
    """Return a value that passes a test."""
    if not test.values:
        return "/opt/x" if test.field.endswith("executable") else "192.0.2.9"
    value = str(random.choice(test.values))
    if test.operator in (Operator.GREATER, Operator.LESS):
        return str(int(value) + (1 if test.operator is Operator.GREATER else -1))
    if test.operator is Operator.NETWORK:
        network = ip_network(value, strict=False)
        return str(network[min(1, network.num_addresses - 1)])
    if test.operator is Operator.WILDCARD:
        return value.replace("*", random.choice(["", "q", "q/r"])).replace("?", "q")
    if test.operator is Operator.LENGTH:
        return "q" * (int(value) + 1)
    return _of_regex(value, random) if test.operator is Operator.REGEX else value


def _of_regex(pattern: str, random: Random) -> str:
    """Return a text that fits a regular expression of literals, classes, alternatives and repeats."""
    pattern = re.sub(r"\(([^()]*)\)", lambda group: random.choice(group[1].split("|")), pattern)
    text: list[str] = []
    for atom in re.finditer(r"(\\.|\[[^\]]+\]|\.|[^{*+?])(\{(\d+),?\d*\}|[*+?])?", pattern):
        least = int(atom[3]) if atom[3] else 0 if atom[2] in ("*", "?") else 1
        text.append(_of_atom(atom[1], random) * least)
    return "".join(text)


def _of_atom(atom: str, random: Random) -> str:
    if atom.startswith("[^"):
        return "q"
    if atom.startswith("["):
        inside = atom[1:-1]
        ranges = re.findall(r"(.)-(.)", inside)
        firsts: list[str] = [first for first, _ in ranges] or list(inside)
        return random.choice(firsts)
    return "q" if atom in (".", r"\w") else atom.removeprefix("\\")
