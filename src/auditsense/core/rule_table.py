"""The rule table of the core as plain values.

`detections.compiler` compiles detections to such a table, and a ring copies it into the core at creation.

    call ─► class ─► filters ─► rule
                       └─► program ─► predicates
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from auditsense._frozen import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Field(enum.IntEnum):
    """Fields of an event, in the core's order; `_ring.cdef.h` names the source of each."""

    ARCH = 0
    SYSCALL = 1
    SUCCESS = 2
    EXIT = 3
    A0 = 4
    A1 = 5
    A2 = 6
    A3 = 7
    ITEMS = 8
    PPID = 9
    PID = 10
    AUID = 11
    UID = 12
    GID = 13
    EUID = 14
    SUID = 15
    FSUID = 16
    EGID = 17
    SGID = 18
    FSGID = 19
    TTY = 20
    SES = 21
    COMM = 22
    EXE = 23
    SUBJ = 24
    KEY = 25
    CWD = 26
    PATH_NAME = 27
    PATH_INODE = 28
    PATH_DEV = 29
    PATH_MODE = 30
    PATH_OUID = 31
    PATH_OGID = 32
    PATH_RDEV = 33
    PATH_OBJ = 34
    PATH_NAMETYPE = 35
    PROCTITLE = 36
    NODE = 37
    ARGC = 38
    ARGS = 39
    COMMAND_LINE = 40
    SOCKET_FAMILY = 41
    SOCKET_IP = 42
    SOCKET_PORT = 43
    SOCKET_PATH = 44
    CAPABILITIES = 45
    ACCT = 46
    TERMINAL = 47
    HOSTNAME = 48
    ADDR = 49
    GRANTORS = 50
    RESULT = 51
    UNIT = 52
    PARENT_NAME = 53
    PARENT_EXECUTABLE = 54
    PARENT_ARGS = 55
    PARENT_COMMAND_LINE = 56
    PARENT_ENTITY_ID = 57
    ENTITY_ID = 58
    LEADER_EXECUTABLE = 59
    LEADER_ARGS = 60
    LEADER_TYPE = 61
    PATHS = 62


ACTOR = (Field.EXE, Field.UID, Field.AUID, Field.SES)
"""Fields that distinguish actors under one pid: after an exec, another user or session, a reused pid."""


class EventEnd(enum.IntEnum):
    """Record that ends an event of datagrams. In log text it is always PROCTITLE."""

    EOE = 0
    """The kernel's end-of-event record."""
    PROCTITLE = 1
    """The last record before EOE."""
    PATHS = 2
    """As many PATH records as SYSCALL announces, if the kernel filters out all later records."""


class Op(enum.IntEnum):
    """Comparison of a field with the operands of a predicate; any of them is enough."""

    TEXT = 0
    """The bytes are equal."""
    LIKE = 1
    """Wildcards: `*` matches any run of bytes, `?` any byte."""
    REGEX = 2
    """The whole text matches; operands are compiled programs."""
    NUMBER = 3
    """`value & mask == number`, in the base the kernel prints the field in."""
    PRESENT = 4
    """The field is present. No operands."""
    NETWORK = 5
    """An address inside a network."""
    LENGTH = 6
    """The number of characters of the text, compared by `Predicate.length_op`."""
    LESS = 7
    """Signed comparison of a number."""
    AT_MOST = 8
    GREATER = 9
    AT_LEAST = 10


@dataclass(slots=True, eq=False, repr=False)
class MaskedNumber(Frozen):
    """A number to compare with the value's bits of *mask* (64 bits); `Op.NUMBER` alone has a mask.

    A negative number has its two's complement.
    """

    number: int
    mask: int = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(slots=True, eq=False, repr=False)
class ArchText(Frozen):
    """A text to compare with in events whose SYSCALL arch is *arch* in the bits of *mask*."""

    text: bytes
    arch: int
    mask: int


@dataclass(slots=True, eq=False, repr=False)
class Network(Frozen):
    """A network: 16 bytes of *address*, IPv4 mapped into IPv6, and the bits of *prefix*, 0 to 128."""

    address: bytes
    prefix: int


@dataclass(slots=True, eq=False, repr=False)
class Predicate(Frozen):
    """A comparison of a field. For an absent field it never holds.

    Attributes:
        field: that is compared.
        op: how.
        operands: one of them has to fit.
        fold_case: ASCII case does not matter; for texts and wildcards.
        length_op: of `Op.LENGTH`: `Op.NUMBER` (equal), or `Op.LESS` to `Op.AT_LEAST`.
    """

    field: Field
    op: Op
    operands: tuple[bytes | ArchText | MaskedNumber | Network, ...] = ()
    fold_case: bool = False
    length_op: Op | None = None


TRUE: Final = 0xFFFF
"""Where a program ends that holds."""
FALSE: Final = 0xFFFE
"""Where a program ends that does not hold."""


@dataclass(slots=True, eq=False, repr=False)
class Node(Frozen):
    """A step of a decision program.

    Attributes:
        predicate: what decides.
        yes: where the program continues if the predicate holds: index of a later node, or TRUE or FALSE.
        no: the same, if it does not.
    """

    predicate: Predicate
    yes: int
    no: int


Program = tuple[Node, ...]
"""Starts at node 0. Without nodes it holds."""


def conjunction(tests: Iterable[tuple[Predicate, bool]]) -> Program:
    """Return a program that holds if each predicate has the result that stands behind it."""
    wanted = list(tests)
    return tuple(
        Node(predicate, after, FALSE) if result else Node(predicate, FALSE, after)
        for index, (predicate, result) in enumerate(wanted)
        for after in [index + 1 if index + 1 < len(wanted) else TRUE]
    )


@dataclass(slots=True, eq=False, repr=False)
class RuleException(Frozen):
    """An exception: events that are not a match of a rule, although one of its filters fits.

    Attributes:
        program: an event that it holds for is excepted.
        until_ms: it applies to events stamped earlier, in ms since 1970 UTC; None: to all.
    """

    program: Program
    until_ms: int | None = None


class RuleKind(enum.IntEnum):
    """Condition that completes a hit of a rule."""

    EVENT = 0
    """Every match."""
    RUNS = 1
    """`Rule.count` matches of one key."""
    SEQUENCE = 2
    """An event of each stage, in their order."""
    SAMPLE = 3
    """A separate event of each stage, in any order."""


@dataclass(slots=True, eq=False, repr=False)
class Rule(Frozen):
    """Number of matches of one key, and their time span, that complete a hit.

    Attributes:
        kind: what completes a hit.
        stages: of a sequence 2 to 101, or 1 with a limit; of a sample 2 to 8, otherwise 1.
        count: matches that complete a hit of `RuleKind.RUNS`, 2 to 101; otherwise 1.
        span_ms: maximum time from the first to the last of them, 1 to 604,800,000 ms of event time (7 days).
            Of a sample: how long an event is remembered, and how long a key without events is silent after a
            hit.
        merge_ms: 0: every completed window is a hit. Otherwise an undrained hit absorbs the windows of
            its key that complete within this time after the last (`Hit.more`), as long as the stamps of
            completions, of any key, stay within one second. Of `RuleKind.RUNS` only.
        limit: of sequences and samples: most hits of a key in any *limit_ms*, at most 65,535; further ones
            are counted only (`Stats.limited`). 0: no limit.
        limit_ms: 0 to 604,800,000.
        exceptions: an event that fits one of them is not a match; the first that fits counts it.
    """

    kind: RuleKind = RuleKind.EVENT
    stages: int = 1
    count: int = 1
    span_ms: int = 1
    merge_ms: int = 0
    limit: int = 0
    limit_ms: int = 0
    exceptions: tuple[RuleException, ...] = ()


@dataclass(slots=True, eq=False, repr=False)
class Filter(Frozen):
    """Condition for events of a class to count for a rule.

    Attributes:
        rule: its index in `RuleTable.rules`.
        program: an event fits if it holds.
        keys: up to four fields; a window belongs to their values. An event without one of them does not
            count; a missing NODE is this host.
        optional_keys: bit *n*: an event without key *n* counts, and its absence is a value.
        first_stage: of the rule.
        stages: that it stands for, one event each.
        until: its events end the pending sequences of the rule instead.
        anchors: predicates one of which holds wherever the program does; empty: the program is evaluated
            for every event of the class.
    """

    rule: int
    program: Program = ()
    keys: tuple[Field, ...] = ()
    optional_keys: int = 0
    first_stage: int = 0
    stages: int = 1
    until: bool = False
    anchors: tuple[Predicate, ...] = ()


@dataclass(slots=True, eq=False, repr=False)
class Class(Frozen):
    """Common properties of calls or record types, and the filters that their events can match.

    Attributes:
        filters: in any order; the core applies them by rule, and of one rule the last stage first.
        first_path: 0 to 2, the PATH record that the search for the object starts with.
        executes: its events start programs.
        kept: its events are wanted although it has no filter.
        directory: 0 to 3, the register with the directory that a relative path starts from; None: none.
    """

    filters: tuple[Filter, ...] = ()
    first_path: int = 0
    executes: bool = False
    kept: bool = False
    directory: int | None = None


@dataclass(slots=True, eq=False, repr=False)
class Call(Frozen):
    """A system call as a SYSCALL record names it, and the index of its class in `RuleTable.classes`."""

    arch: int
    syscall: int
    class_index: int


def stands_alone(record_type: int) -> bool:
    """Return whether a record is a whole event: user space or a daemon wrote it."""
    return 1100 <= record_type <= 1299 or 2000 <= record_type <= 2999


@dataclass(slots=True, eq=False, repr=False)
class MainType(Frozen):
    """The class of events that start with a record of this type instead of SYSCALL.

    Attributes:
        type: of the first record.
        call_class: of the event's call; None: any, or no call.
        class_index: in `RuleTable.classes`.
    """

    type: int
    call_class: int | None
    class_index: int


@dataclass(slots=True, eq=False, repr=False)
class Session(Frozen):
    """The child of such a process leads a session.

    Attributes:
        name: the name of the process begins so; empty: process 1.
        type: of the session (`Field.LEADER_TYPE`).
    """

    name: bytes
    type: bytes


@dataclass(slots=True, eq=False, repr=False)
class RuleTable(Frozen):
    """All rules, and the events that they are about. Bounds: `_ring.cdef.h`.

    Attributes:
        rules: a hit names one by its index.
        classes: class 0 is `Class()`: its events are not wanted.
        calls: with their classes.
        other_call_class: of all other calls; 0: not wanted.
        mains: types of first records with a separate class.
        sessions: the first that fits counts.
        processes: remember processes although no rule reads a field of theirs.
        strict: values are those of Elastic's integration auditd_manager: hex in `comm` stays, and the
            arguments of an exec are absent if they come in several records.
    """

    rules: tuple[Rule, ...] = ()
    classes: tuple[Class, ...] = (Class(),)
    calls: tuple[Call, ...] = ()
    other_call_class: int = 0
    mains: tuple[MainType, ...] = ()
    sessions: tuple[Session, ...] = ()
    processes: bool = False
    strict: bool = False

    def __len__(self) -> int:
        return len(self.rules)

    def programs(self) -> Iterator[Program]:
        """Return all programs: of filters, and of exceptions."""
        for row in self.classes:
            yield from (filter_.program for filter_ in row.filters)
        for rule in self.rules:
            yield from (exception.program for exception in rule.exceptions)

    def filters(self) -> Iterator[Filter]:
        """Return the filters of all classes."""
        for row in self.classes:
            yield from row.filters

    def selections(self) -> list[set[tuple[object, Filter]]]:
        """Return for each rule its filters, and the calls and types that they are for."""
        rules: list[set[tuple[object, Filter]]] = [set() for _ in self.rules]
        selectors: list[tuple[object, int]] = [(None, self.other_call_class)]
        selectors += [((call.arch, call.syscall), call.class_index) for call in self.calls]
        selectors += [(("type", main.type, main.call_class), main.class_index) for main in self.mains]
        for selector, index in selectors:
            for filter_ in self.classes[index].filters:
                rules[filter_.rule].add((selector, replace(filter_, rule=0)))
        return rules


@dataclass(slots=True, eq=False, repr=False)
class Selection(Frozen):
    """A rule with one filter.

    Attributes:
        rule: what completes a hit.
        calls: as pairs of arch and number; None: every call.
        program: an event of these calls fits if it holds.
        keys: as `Filter.keys`.
        anchors: as `Filter.anchors`.
        types: of every call: further types of first records whose events it has, with or without a call.
    """

    rule: Rule
    calls: tuple[tuple[int, int], ...] | None = None
    program: Program = ()
    keys: tuple[Field, ...] = ()
    anchors: tuple[Predicate, ...] = ()
    types: tuple[int, ...] = ()


def select(selections: Iterable[Selection]) -> RuleTable:
    """Return a table of these rules, in their order. Calls with the same rules have one class."""
    return extend(RuleTable(), selections)


def extend(table: RuleTable, selections: Iterable[Selection]) -> RuleTable:
    """Return the table with further rules, in their order, after its own.

    A selection of every call has the events of all types of first records that the table lists, too.
    """
    added = list(selections)
    first = len(table.rules)
    filters = [
        Filter(index, selection.program, selection.keys, anchors=selection.anchors)
        for index, selection in enumerate(added, first)
    ]
    every = frozenset(index for index, selection in enumerate(added, first) if selection.calls is None)
    before = {(call.arch, call.syscall): call.class_index for call in table.calls}
    rules_of = {call: set(every) for call in before}
    for index, selection in enumerate(added, first):
        for call in selection.calls or ():
            rules_of.setdefault(call, set(every)).add(index)

    # A class of the new table is one of the old table with some of the added rules.
    classes: dict[tuple[int, frozenset[int]], int] = {(0, frozenset()): 0}

    def class_of(old: int, rules: Iterable[int]) -> int:
        return classes.setdefault((old, frozenset(rules)), len(classes))

    calls = tuple(
        Call(*call, class_of(before.get(call, table.other_call_class), rules))
        for call, rules in rules_of.items()
    )
    other = class_of(table.other_call_class, every)
    mains = tuple(
        MainType(main.type, call_class, class_of(main.class_index, every))
        for main in table.mains
        for call_class in (
            [None]
            if main.call_class is None
            else [new for (old, _), new in list(classes.items()) if old == main.call_class]
        )
    )
    # A type that the table does not list: with a call, the event has the class of that.
    listed = {main.type for main in table.mains}
    alone = class_of(0, every)
    mains += tuple(
        MainType(type_, call_class, alone if call_class is None else call_class)
        for type_ in dict.fromkeys(type_ for selection in added for type_ in selection.types)
        if type_ not in listed
        for call_class in (*range(1, len(classes)), None)
    )
    return replace(
        table,
        rules=(*table.rules, *(selection.rule for selection in added)),
        classes=tuple(
            replace(
                table.classes[old],
                filters=(*table.classes[old].filters, *(filters[index - first] for index in sorted(rules))),
            )
            for old, rules in classes
        ),
        calls=calls,
        other_call_class=other,
        strict=table.strict,
        mains=mains,
    )


NO_END = 0xFFFF_FFFF_FFFF_FFFF
"""`as_exception.until_ms` of an exception without an end."""

NO_CALL_CLASS: Final = 0xFFFF
"""`as_main.call_class` of any call, or none."""
_FOLD_CASE: Final = 1
_EXECUTES: Final = 1
_STRICT: Final = 1
_KEPT: Final = 2
_PROCESSES: Final = 2


ARRAYS: Final = {
    "rules": "as_rule",
    "classes": "as_class",
    "calls": "as_call",
    "mains": "as_main",
    "filters": "as_filter",
    "anchors": "uint16_t",
    "nodes": "as_node",
    "predicates": "as_predicate",
    "operands": "as_operand",
    "exceptions": "as_exception",
    "sessions": "as_session",
    "arches": "uint32_t",
}
"""The arrays of `as_rules` but text, and the types of their elements."""


@dataclass(slots=True, eq=False, repr=False)
class Layout:
    """A rule table as the arrays of `as_rules`; rows use the member names of `_ring.cdef.h`."""

    rules: list[dict[str, int]] = field(default_factory=list)
    classes: list[dict[str, int]] = field(default_factory=list)
    calls: list[dict[str, int]] = field(default_factory=list)
    mains: list[dict[str, int]] = field(default_factory=list)
    filters: list[dict[str, int | list[int]]] = field(default_factory=list)
    anchors: list[int] = field(default_factory=list)
    nodes: list[dict[str, int]] = field(default_factory=list)
    predicates: list[dict[str, int]] = field(default_factory=list)
    operands: list[dict[str, int]] = field(default_factory=list)
    exceptions: list[dict[str, int]] = field(default_factory=list)
    sessions: list[dict[str, int]] = field(default_factory=list)
    text: bytearray = field(default_factory=bytearray)
    arches: list[int] = field(default_factory=list)
    other_call_class: int = 0
    flags: int = 0
    _predicates: dict[Predicate, int] = field(default_factory=dict)
    _programs: dict[Program, int] = field(default_factory=dict)
    _texts: dict[bytes, int] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """The numbers next to the arrays, by their names in `as_rules`."""
        return {
            "rule_count": len(self.rules),
            "class_count": len(self.classes),
            "call_count": len(self.calls),
            "main_count": len(self.mains),
            "filter_count": len(self.filters),
            "anchor_count": len(self.anchors),
            "node_count": len(self.nodes),
            "predicate_count": len(self.predicates),
            "operand_count": len(self.operands),
            "exception_count": len(self.exceptions),
            "text_len": len(self.text),
            "arch_count": len(self.arches),
            "session_count": len(self.sessions),
            "flags": self.flags,
            "other_call_class": self.other_call_class,
        }

    def add_program(self, program: Program) -> int:
        """Return where a program starts; equal ones exist once."""
        if not program:
            return TRUE
        if program not in self._programs:
            first = self._programs[program] = len(self.nodes)
            ends = {TRUE, FALSE}
            self.nodes += [
                {
                    "predicate": self.add_predicate(node.predicate),
                    "yes": node.yes if node.yes in ends else first + node.yes,
                    "no": node.no if node.no in ends else first + node.no,
                }
                for node in program
            ]
        return self._programs[program]

    def add_predicate(self, predicate: Predicate) -> int:
        """Return the index of a predicate; equal ones exist once."""
        if predicate not in self._predicates:
            self._predicates[predicate] = len(self.predicates)
            self.predicates.append(
                {
                    "field": predicate.field,
                    "op": predicate.op,
                    "flags": _FOLD_CASE if predicate.fold_case else 0,
                    "length_op": predicate.length_op or 0,
                    "first_operand": len(self.operands),
                    "operands": len(predicate.operands),
                }
            )
            self.operands += [self._operand(operand) for operand in predicate.operands]
        return self._predicates[predicate]

    def _operand(self, operand: bytes | ArchText | MaskedNumber | Network) -> dict[str, int]:
        match operand:
            case MaskedNumber():
                number = operand.number if operand.number >= 0 else operand.number & NO_END
                return {"number": number, "mask": operand.mask}
            case ArchText():
                return {**self.add_text(operand.text), "number": operand.arch, "mask": operand.mask}
            case Network():
                return {**self.add_text(operand.address), "number": operand.prefix}
            case _:
                return self.add_text(operand)

    def add_text(self, text: bytes) -> dict[str, int]:
        """Return where a text is; equal ones exist once."""
        if text not in self._texts:
            self._texts[text] = len(self.text)
            self.text += text
        return {"at": self._texts[text], "len": len(text)}


def lay_out(table: RuleTable, arches: Iterable[int] = ()) -> Layout:
    """Return the core's arrays of a rule table.

    Args:
        table: the rules.
        arches: architectures with known system calls: records of others are counted. None: not counted.
    """
    out = Layout(
        arches=[*arches],
        other_call_class=table.other_call_class,
        flags=(_STRICT if table.strict else 0) | (_PROCESSES if table.processes else 0),
    )
    for session in table.sessions:
        name, type_ = out.add_text(session.name), out.add_text(session.type)
        out.sessions.append(
            {
                "name_at": name["at"],
                "name_len": name["len"],
                "type_at": type_["at"],
                "type_len": type_["len"],
            }
        )
    for row in table.classes:
        filters = sorted(row.filters, key=_order)
        out.classes.append(
            {
                "first_filter": len(out.filters),
                "filters": len(filters),
                "first_path": row.first_path,
                "flags": (_EXECUTES if row.executes else 0) | (_KEPT if row.kept else 0),
                "directory": 0 if row.directory is None else row.directory + 1,
            }
        )
        for filter_ in filters:
            out.filters.append(
                {
                    "start": out.add_program(filter_.program),
                    "rule": filter_.rule,
                    "first_stage": filter_.first_stage,
                    "stages": filter_.stages,
                    "until": int(filter_.until),
                    "anchors": len(filter_.anchors),
                    "first_anchor": len(out.anchors),
                    "keys": list(filter_.keys),
                    "key_count": len(filter_.keys),
                    "optional_keys": filter_.optional_keys,
                }
            )
            out.anchors += [out.add_predicate(predicate) for predicate in filter_.anchors]
    for call in table.calls:
        out.calls.append({"arch": call.arch, "syscall": call.syscall, "class_index": call.class_index})
    for main in table.mains:
        call_class = NO_CALL_CLASS if main.call_class is None else main.call_class
        out.mains.append({"type": main.type, "call_class": call_class, "class_index": main.class_index})
    for rule in table.rules:
        out.rules.append(
            {
                "kind": rule.kind,
                "stages": rule.stages,
                "count": rule.count,
                "span_ms": rule.span_ms,
                "merge_ms": rule.merge_ms,
                "limit": rule.limit,
                "limit_ms": rule.limit_ms,
                "first_exception": len(out.exceptions),
                "exceptions": len(rule.exceptions),
            }
        )
        for exception in rule.exceptions:
            until_ms = NO_END if exception.until_ms is None else exception.until_ms
            out.exceptions.append({"until_ms": until_ms, "start": out.add_program(exception.program)})
    return out


def _order(filter_: Filter) -> tuple[int, bool, int]:
    return filter_.rule, filter_.until, -filter_.first_stage
