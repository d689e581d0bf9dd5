"""Compiler of detections to the core's rule table.

    detection ─► query ─► filters of its steps ─┐
    calls, record types ─► shapes of events ────┴─► decisions ─► classes, programs, anchors

A filter is decided once for each shape of event, that is for what its call and first record are. What the
shape fixes is gone then, and most filters remain in few shapes. Shapes with the same filters are one class.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from auditsense import syscalls
from auditsense.core.process_rules import needs_processes, remember_processes
from auditsense.core.rule_table import (
    Call,
    Class,
    Field,
    Filter,
    MainType,
    Rule,
    RuleException,
    RuleKind,
    RuleTable,
    stands_alone,
)
from auditsense.detections.decision import Decision, all_of, anchors_of, inverse, program_of, some_of
from auditsense.detections.event_fields import (
    CONSTANTS,
    PROCESS_TABLE,
    EventShape,
    FieldMeanings,
    compare_own,
    fits,
    is_number,
    is_set,
)
from auditsense.detections.event_table import (
    OTHER_CALL,
    SYSCALL_RECORD,
    EventMapping,
    kind_of_call,
    kind_with_call,
    named_calls,
    record_types,
)
from auditsense.detections.expression import (
    OPPOSITE,
    And,
    Constant,
    Expression,
    KeyField,
    Not,
    Operator,
    Or,
    Query,
    QueryKind,
    Step,
    Test,
)
from auditsense.detections.fields import FIELDS, FILE_SYSTEM, HOST, SYSCALL_NAME
from auditsense.detections.own_query import expression_of, query_of
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from auditsense.detections.model import Detection, DetectionException

MOST_RULES: Final = 1024
MOST_FILTERS: Final = 2048
MOST_NODES: Final = 1024
MOST_PREDICATES: Final = 8192
MOST_OPERANDS: Final = 65_536
MOST_TEXT: Final = 1 << 20
MOST_KEYS: Final = 4
MOST_ITEMS: Final = 8
MOST_SPAN_MS: Final = 604_800_000
_EXECUTING: Final = ("execve", "execveat")


class Source(NamedTuple):
    """A filter before it is decided: one step of a detection's query.

    Attributes:
        rule: index of the detection.
        where: what must hold, as `normal_form` returns it.
        by: key fields.
        own: whether it comes from a detection of our own TOML, whose fields are those of records.
        first_stage: of the rule.
        stages: that it stands for.
        until: whether it ends sequences.
        line: of its query, or 0.
    """

    rule: int
    where: Expression
    by: tuple[KeyField, ...]
    own: bool
    first_stage: int = 0
    stages: int = 1
    until: bool = False
    line: int = 0


def compile_all(
    detections: Sequence[Detection],
    *,
    merge_ms: int,
    mapping: EventMapping = EventMapping.NATIVE,
    users: Mapping[str, int] | None = None,
    devices: Mapping[str, str] | None = None,
) -> RuleTable:
    """Compile detections in order: rule *n* of the table is detection *n*.

    Args:
        detections: what to look for.
        merge_ms: see `Rule.merge_ms`; 0 returns every completed sequence.
        mapping: which fields events have.
        users: user ids by name; None: those of this host.
        devices: file systems of the host by device, as PATH records have it (``00:15``); None: unknown, so
            that an event on any device can be on each of them.

    Raises:
        DetectionError: an unknown field or system call, a value that cannot be compared, a bound of the core;
            two detections of one id. The message names the detection and the line of its query.
    """
    ids = [detection.id for detection in detections]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise DetectionError(f"two detections have the id {twice[0]!r}")
    if len(detections) > MOST_RULES:
        raise DetectionError(f"{len(detections)} detections; at most {MOST_RULES}: load fewer")
    queries = [query_of(detection) for detection in detections]
    rules = tuple(
        _rule(detection, query, merge_ms) for detection, query in zip(detections, queries, strict=True)
    )
    table = _Compiler(detections, queries, mapping, users, devices).table(rules)
    return remember_processes(table) if mapping is EventMapping.NATIVE and needs_processes(table) else table


def check_detection(detection: Detection, mapping: EventMapping = EventMapping.NATIVE) -> None:
    """Check that one detection compiles, without a table.

    Raises:
        DetectionError: as `compile_all`.
    """
    query = query_of(detection)
    _rule(detection, query, merge_ms=0)
    if (
        detection.query is not None or len(detection.match) > MOST_NODES
    ):  # else its conditions are checked now
        _Compiler([detection], [query], mapping, None, None).check()


def _rule(detection: Detection, query: Query, merge_ms: int) -> Rule:
    exceptions = tuple(compile_exception(exception) for exception in detection.exceptions)
    try:
        return rule_of(query, merge_ms=merge_ms, exceptions=exceptions)
    except DetectionError as error:
        raise DetectionError(f"{detection.id}: {error}") from error


def compile_exception(exception: DetectionException) -> RuleException:
    """Compile one exception.

    Raises:
        DetectionError: it has no condition, an unknown field, or compares the system call.
    """
    if not exception.match:
        raise DetectionError("an exception without a condition takes everything; remove the detection")
    if any(condition.field == SYSCALL_NAME for condition in exception.match):
        raise DetectionError(f"{SYSCALL_NAME} cannot be in an exception; narrow the detection's match")
    if any(condition.field == FILE_SYSTEM for condition in exception.match):
        raise DetectionError(f"{FILE_SYSTEM} cannot be in an exception; narrow the detection's match")
    decision = _decide_own(expression_of(exception.match))
    return RuleException(program_of(decision), exception.expires_ms)


def _decide_own(expression: Expression) -> Decision:
    """Decide an expression of record fields alone."""
    match expression:
        case Constant(value):
            return value
        case Test():
            return compare_own(FIELDS[expression.field], expression)
        case Not(term):
            return inverse(_decide_own(term))
        case And(terms):
            return all_of(_decide_own(term) for term in terms)
        case Or(terms):
            return some_of(_decide_own(term) for term in terms)


# --- queries to rules and sources ------------------------------------------------------


def sources_of(rule: int, query: Query, *, own: bool) -> list[Source]:
    """Return the filters of a query. A sequence of one repeated step has one filter of one stage."""
    by = query.by
    if query.kind is QueryKind.EVENT and query.limit is None and not own:
        by = _KEYS_OF_EVENTS
    if runs_of(query):
        return [_source(rule, query.steps[0], by, own=own)]
    sources, stage = [], 0
    for step in query.steps:
        sources.append(_source(rule, step, by, own=own)._replace(first_stage=stage, stages=step.runs))
        stage += step.runs
    if query.until is not None:
        sources.append(_source(rule, query.until, by, own=own)._replace(until=True))
    return sources


def _source(rule: int, step: Step, by: tuple[KeyField, ...], *, own: bool) -> Source:
    where = step.where
    if step.category is not None:
        where = And((Test("event.category", Operator.EQUAL, (step.category,), line=step.line), where))
    keys = tuple(key for key in by + step.by if own or key.name not in CONSTANTS)  # equal in all events
    return Source(rule, normal_form(where), keys, own, line=step.line)


def runs_of(query: Query) -> int:
    """Return the events of a sequence that repeats one step; 0 for every other query."""
    if query.kind is not QueryKind.SEQUENCE or query.until is not None or query.limit is not None:
        return 0
    first = replace(query.steps[0], runs=1)
    if any(replace(step, runs=1) != first for step in query.steps):
        return 0
    return sum(step.runs for step in query.steps)


def rule_of(query: Query, *, merge_ms: int, exceptions: tuple[RuleException, ...] = ()) -> Rule:
    """Return what completes a hit of a query.

    Raises:
        DetectionError: a time or a number is beyond the bounds of the core.
    """
    if query.kind is QueryKind.EVENT:
        if query.limit is None:
            return Rule(merge_ms=merge_ms, exceptions=exceptions)
        limit_ms = _span_ms("the look-back", query.look_back_ms)
        return Rule(RuleKind.SEQUENCE, limit=query.limit, limit_ms=limit_ms, exceptions=exceptions)
    span_ms = _span_ms("maxspan", query.maxspan_ms or 1)
    if runs := runs_of(query):
        return Rule(RuleKind.RUNS, count=runs, span_ms=span_ms, merge_ms=merge_ms, exceptions=exceptions)
    stages = sum(step.runs for step in query.steps)
    limit_ms = 0 if query.limit is None else _span_ms("the look-back", query.look_back_ms)
    kind = RuleKind.SEQUENCE
    if query.kind is QueryKind.SAMPLE:
        if stages > MOST_ITEMS:
            raise DetectionError(f"this sample has {stages} events; at most {MOST_ITEMS}")
        kind, span_ms = RuleKind.SAMPLE, _span_ms("the look-back", query.look_back_ms)
    return Rule(
        kind, stages, span_ms=span_ms, limit=query.limit or 0, limit_ms=limit_ms, exceptions=exceptions
    )


def _span_ms(what: str, ms: int) -> int:
    if ms > MOST_SPAN_MS:
        raise DetectionError(f"{what} is {ms} ms; at most {MOST_SPAN_MS} (7 days)")
    return ms


def normal_form(expression: Expression) -> Expression:
    """Return an equal expression with `Not` only above tests, and a negated order turned round.

    What the call of an event decides stands first in every `And`.
    """
    return _normal_form(expression, wanted=True)


def _normal_form(expression: Expression, *, wanted: bool) -> Expression:
    match expression:
        case Constant(value):
            return Constant(value is wanted)
        case Test():
            return expression if wanted else _negated(expression)
        case Not(term):
            return _normal_form(term, wanted=not wanted)
        case And(terms) | Or(terms):
            parts = [_normal_form(term, wanted=wanted) for term in terms]
            parts.sort(key=_waits_for_records)
            return And(tuple(parts)) if isinstance(expression, And) is wanted else Or(tuple(parts))


def _negated(test: Test) -> Expression:
    if test.operator in OPPOSITE:
        return replace(test, operator=OPPOSITE[test.operator])
    if test.length_operator in OPPOSITE:
        return replace(test, length_operator=OPPOSITE[test.length_operator])
    return Not(test)


def _waits_for_records(expression: Expression) -> bool:
    term = expression.term if isinstance(expression, Not) else expression
    return not (isinstance(term, Constant) or (isinstance(term, Test) and term.field in _KNOWN_EARLY))


def tests_of(expression: Expression) -> Iterator[Test]:
    """Return the tests of an expression."""
    match expression:
        case Constant():
            pass
        case Test():
            yield expression
        case Not(term):
            yield from tests_of(term)
        case And(terms) | Or(terms):
            for term in terms:
                yield from tests_of(term)


# --- shapes of events ------------------------------------------------------------------


_CallShape = tuple[EventShape, tuple[tuple[int, int], ...]]
"""A shape of events that start with SYSCALL, and its calls as arch and number; none: all others."""


@cache
def call_shapes(names: tuple[str, ...], mapping: EventMapping) -> list[_CallShape]:
    """Return the shapes of these calls, and last the shape of all others."""
    names_of: dict[tuple[int, int], tuple[str, ...]] = {}
    for name in names:
        for call in _calls_of(name, mapping):
            names_of[call] = (*names_of.get(call, ()), name)
    calls_of: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for call, same in names_of.items():
        calls_of.setdefault(same, []).append(call)
    shapes = [(_call_shape(same, mapping), tuple(calls)) for same, calls in calls_of.items()]
    return [*shapes, (_OTHER_CALLS, ())]


def _calls_of(name: str, mapping: EventMapping) -> list[tuple[int, int]]:
    """Return a call as arch and number, for each architecture, and the operation of io_uring that does it."""
    operation = None if mapping is EventMapping.AUDITD_MANAGER else syscalls.ring_operation(name)
    return [*syscalls.calls(name), *([] if operation is None else [(syscalls.RING_ARCH, operation)])]


def _call_shape(names: tuple[str, ...], mapping: EventMapping) -> EventShape:
    kinds = [kind_of_call(name, mapping) for name in names]
    kind = next((kind for kind in kinds if kind != OTHER_CALL), OTHER_CALL)
    return EventShape(SYSCALL_RECORD, names, has_call=True, kind=kind)


def compared_calls(sources: Iterable[Source]) -> dict[str, None]:
    """Return the names of calls that any test of these sources fits, in their order."""
    names: dict[str, None] = {}
    for source in sources:
        for test in tests_of(source.where):
            if test.field != SYSCALL_NAME or test.operator is Operator.PRESENT:
                continue
            if test.operator is Operator.EQUAL and not test.fold_case:
                names |= dict.fromkeys(str(value) for value in test.values if not is_number(value))
                numbers = {int(value) for value in test.values if is_number(value)}
                names |= dict.fromkeys(sorted(_names_of_numbers(numbers)))
            else:
                names |= dict.fromkeys(sorted(name for name in syscalls.all_names() if fits(test, name)))
    return names


def _names_of_numbers(numbers: set[int]) -> Iterator[str]:
    """Yield the names of the calls that have one of these numbers on some architecture."""
    if numbers:
        for name in syscalls.all_names():
            if any(number in numbers for _, number in syscalls.calls(name)):
                yield name


# --- the whole table -------------------------------------------------------------------


class Decided(NamedTuple):
    """A filter in one shape of events.

    Attributes:
        source: its index among the sources.
        decision: what remains of it; never False.
        keys: fields of records that make up its key.
        optional_keys: as `Filter.optional_keys`.
    """

    source: int
    decision: Decision
    keys: tuple[Field, ...]
    optional_keys: int


class _Row(NamedTuple):
    """The filters of a shape."""

    shape: EventShape
    filters: tuple[Decided, ...]


class _Rows(NamedTuple):
    """The filters of all shapes.

    Attributes:
        calls: of events that start with SYSCALL; the last is that of all other calls.
        mains: by type of another first record: in the order of *calls*, and at the end without a call.
        alone: by type of a record of user space.
    """

    calls: list[_Row]
    mains: dict[int, list[_Row]]
    alone: dict[int, _Row]

    def all(self) -> Iterator[_Row]:
        yield from self.calls
        for rows in self.mains.values():
            yield from rows
        yield from self.alone.values()


class _Compiler:
    """State of one compilation. Rule: a source is decided once for all shapes that it cannot tell apart."""

    def __init__(
        self,
        detections: Sequence[Detection],
        queries: Sequence[Query],
        mapping: EventMapping,
        users: Mapping[str, int] | None,
        devices: Mapping[str, str] | None,
    ) -> None:
        self._ids = [detection.id for detection in detections]
        self._mapping = mapping
        self._meanings = FieldMeanings(mapping, users, devices)
        self._sources = [
            source
            for rule, query in enumerate(queries)
            for source in sources_of(rule, query, own=detections[rule].query is None)
        ]
        if len(self._sources) > MOST_FILTERS:
            raise DetectionError(
                f"{len(self._sources)} events of detections; at most {MOST_FILTERS}: load fewer"
            )
        self._together = {
            rule for rule, query in enumerate(queries) if query.kind is not QueryKind.EVENT
        }  # rules that need all of their sources
        self._fields = [{test.field for test in tests_of(source.where)} for source in self._sources]
        self._by_call = {index for index, fields in enumerate(self._fields) if SYSCALL_NAME in fields}
        self._compared = compared_calls(self._sources)
        self._decided: dict[tuple[object, ...], tuple[Decided, ...]] = {}
        self._of_kind: dict[tuple[object, ...], tuple[Decided, ...]] = {}
        self._by_action: dict[tuple[str, ...], list[int]] = {}
        self._filters: dict[Decided, Filter] = {}

    # -- decisions

    def rows(self) -> tuple[list[_CallShape], _Rows]:
        """Decide all sources in all shapes of events."""
        named = self._compared
        types: list[int] = []
        if self._depends_on_names():
            named = named | dict.fromkeys(named_calls())
            types = [*record_types().values()]
        shapes = call_shapes(tuple(named), self._mapping)
        rows = _Rows([self._row(shape) for shape, _ in shapes], {}, {})
        for number in types:
            if stands_alone(number):
                rows.alone[number] = self._row(_main_shape(number, None))
            else:
                main_shapes = [
                    _main_shape(number, shape) for shape in [*(shape for shape, _ in shapes), None]
                ]
                rows.mains[number] = [self._row(shape) for shape in main_shapes]
        return shapes, self._without_dead_queries(rows)

    def check(self) -> None:
        """Decide all sources in a few shapes, which have all fields among them."""
        names = self._compared
        if self._depends_on_names():
            names = names | dict.fromkeys(_CALLS_WITH_ALL_FIELDS)
            for number in _RECORDS_WITH_ALL_FIELDS:
                self._build_filters([self._row(_main_shape(number, None))])
        shapes = [_call_shape((call,), self._mapping) for call in names]
        self._build_filters(self._row(shape) for shape in [*shapes, _OTHER_CALLS])
        self._check_size()

    def _depends_on_names(self) -> bool:
        """Return whether some source can fit events of calls that it does not name."""
        for index, (source, fields) in enumerate(zip(self._sources, self._fields, strict=True)):
            if not source.own or not fields <= _RECORD_FIELDS:
                return True
            if fields & _FILE_FIELDS and self._decide_source(index, _OTHER_CALLS) is not None:
                return True
        return False

    def _row(self, shape: EventShape) -> _Row:
        """Decide the sources in a shape."""
        calls = tuple(name for name in shape.calls if name in self._compared)
        kind = (shape.kind, shape.has_call, shape.alone)
        named = calls or bool(shape.calls)  # a call without a name is called by its number
        if (*kind, named) not in self._decided:
            # All but those that compare the call are the same in all shapes of the kind.
            if kind not in self._of_kind:
                possible = self._possible(shape.kind.action)
                self._of_kind[kind] = self._decide_sources(set(possible) - self._by_call, shape)
            by_call = self._decide_sources(self._by_call, shape)
            decided = sorted((*self._of_kind[kind], *by_call), key=lambda one: one.source)
            self._decided[(*kind, named)] = tuple(decided)
        return _Row(shape, self._decided[(*kind, named)])

    def _possible(self, actions: tuple[str, ...]) -> list[int]:
        """Return the sources that can fit events with these actions."""
        if actions not in self._by_action:
            self._by_action[actions] = [
                index for index, source in enumerate(self._sources) if _may_have(source.where, actions)
            ]
        return self._by_action[actions]

    def _decide_sources(self, sources: Iterable[int], shape: EventShape) -> tuple[Decided, ...]:
        decided = (self._decide_source(index, shape) for index in sources)
        return tuple(one for one in decided if one is not None)

    def _decide_source(self, index: int, shape: EventShape) -> Decided | None:
        source = self._sources[index]
        if source.own and not shape.has_call and self._fields[index] <= _RECORD_FIELDS:
            return None  # a detection of record fields is about system calls
        decision = self._decide(source, source.where, shape)
        if decision is False:
            return None
        conditions: list[Decision] = [decision]
        keys: list[Field] = []
        optional = 0
        for key in source.by:
            fields = self._key_fields(source, key, shape)
            if not fields:
                return None
            if key.optional or len(fields) > 1 or (fields[0] is Field.TTY and not source.own):
                optional |= ((1 << len(fields)) - 1) << len(keys)
            if not key.optional and key.name in _NAME_KEYS:
                conditions.append(self._decide_test(source, Test(key.name, Operator.PRESENT), shape))
            elif not key.optional and fields[0] is Field.AUID and (source.own or key.name != "user.audit.id"):
                conditions.append(is_set(Field.AUID))
            keys += fields
        if len(keys) > MOST_KEYS:
            self._refuse(source, f"this event has {len(keys)} key fields of records; at most {MOST_KEYS}")
        decision = all_of(conditions)
        return Decided(index, decision, tuple(keys), optional)

    def _key_fields(self, source: Source, key: KeyField, shape: EventShape) -> tuple[Field, ...]:
        if source.own and key.name in FIELDS:
            return (FIELDS[key.name],)
        try:
            fields = self._meanings.key_fields(key.name, shape)
        except DetectionError as error:
            self._refuse(source, str(error), error)
        if not fields and key.optional:
            return (Field.CAPABILITIES if shape.alone else Field.UNIT,)  # which such events never have
        return fields

    def _decide(self, source: Source, expression: Expression, shape: EventShape) -> Decision:
        match expression:
            case Constant(value):
                return value
            case Test():
                return self._decide_test(source, expression, shape)
            case Not(term):
                return inverse(self._decide(source, term, shape))
            case And(terms):
                return all_of(self._decide(source, term, shape) for term in terms)
            case Or(terms):
                return some_of(self._decide(source, term, shape) for term in terms)

    def _decide_test(self, source: Source, test: Test, shape: EventShape) -> Decision:
        try:
            if source.own and test.field in FIELDS:
                return compare_own(FIELDS[test.field], test)
            return self._meanings.decide(test, shape)
        except DetectionError as error:
            self._refuse(source, str(error), error, test.line)

    def _refuse(
        self, source: Source, problem: str, error: DetectionError | None = None, line: int = 0
    ) -> NoReturn:
        line = line or source.line
        place = f"line {line}: " if line else ""
        raise DetectionError(f"{self._ids[source.rule]}: {place}{problem}") from error

    def _without_dead_queries(self, rows: _Rows) -> _Rows:
        """Return the rows without sequences and samples that lack an event that can happen."""
        alive = {one.source for row in rows.all() for one in row.filters}
        dead = {
            source.rule
            for index, source in enumerate(self._sources)
            if index not in alive and not source.until and source.rule in self._together
        }
        if not dead:
            return rows

        def without(row: _Row) -> _Row:
            return row._replace(
                filters=tuple(one for one in row.filters if self._sources[one.source].rule not in dead)
            )

        return _Rows(
            [without(row) for row in rows.calls],
            {number: [without(row) for row in mains] for number, mains in rows.mains.items()},
            {number: without(row) for number, row in rows.alone.items()},
        )

    # -- rows of the table

    def table(self, rules: tuple[Rule, ...]) -> RuleTable:
        """Return the table, with these rules."""
        shapes, rows = self.rows()
        self._build_filters(rows.all())
        self._check_size()
        classes = _Classes(self._filters, keep_executions=self._asks_for_processes())
        main_classes = {number: [classes.add(row) for row in mains] for number, mains in rows.mains.items()}
        # Calls are one class only if events that begin with another record have one class as well.
        by_mains = [tuple(found[index] for found in main_classes.values()) for index in range(len(shapes))]
        classes.unwanted = by_mains[-1]
        call_classes = [classes.add(row, mains) for row, mains in zip(rows.calls, by_mains, strict=True)]
        calls = [
            Call(arch, number, index)
            for (_, pairs), index in zip(shapes, call_classes, strict=True)
            for arch, number in pairs
        ]
        mains: dict[tuple[int, int | None], int] = {}
        for number, found in main_classes.items():
            mains[number, None] = found[-1]
            mains |= {
                (number, call): index
                for call, index in zip(call_classes, found, strict=False)
                if index != found[-1]
            }
        mains |= {(number, None): index for number, row in rows.alone.items() if (index := classes.add(row))}
        return RuleTable(
            rules=rules,
            classes=classes.rows(),
            calls=tuple(calls),
            other_call_class=call_classes[-1],
            mains=tuple(MainType(number, call, index) for (number, call), index in mains.items()),
            strict=self._mapping is EventMapping.AUDITD_MANAGER,
        )

    def _build_filters(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            for decided in row.filters:
                if decided not in self._filters:
                    self._filters[decided] = self._filter(decided)

    def _filter(self, decided: Decided) -> Filter:
        source = self._sources[decided.source]
        program = program_of(decided.decision)
        if len(program) > MOST_NODES:
            self._refuse(source, f"this event has {len(program)} comparisons; at most {MOST_NODES}")
        return Filter(
            source.rule,
            program,
            decided.keys,
            decided.optional_keys,
            source.first_stage,
            source.stages,
            source.until,
            anchors_of(decided.decision),
        )

    def _check_size(self) -> None:
        predicates = {node.predicate for one in self._filters.values() for node in one.program}
        operands = sum(len(predicate.operands) for predicate in predicates)
        text = sum(len(value) for one in predicates for value in one.operands if isinstance(value, bytes))
        sizes = (
            (len(predicates), MOST_PREDICATES, "different comparisons"),
            (operands, MOST_OPERANDS, "values"),
            (text, MOST_TEXT, "bytes of values"),
        )
        for size, most, what in sizes:
            if size > most:
                raise DetectionError(f"the detections have {size} {what}; at most {most}: load fewer")

    def _asks_for_processes(self) -> bool:
        """Return whether a filter reads fields that only the process table knows."""
        return any(
            not PROCESS_TABLE.isdisjoint(one.keys)
            or any(node.predicate.field in PROCESS_TABLE for node in one.program)
            for one in self._filters.values()
        )


class _Classes:
    """Rows of classes, each once. Class 0 is that of events that are not wanted."""

    def __init__(self, filters: Mapping[Decided, Filter], *, keep_executions: bool) -> None:
        self._filters = filters
        self._keep_executions = keep_executions
        self._indices: dict[tuple[object, ...], int] = {}
        self._rows = [Class()]
        self.unwanted: tuple[int, ...] = ()

    def add(self, row: _Row, mains: tuple[int, ...] = ()) -> int:
        """Return the class of a row.

        Args:
            row: the filters of a shape.
            mains: classes of events with the same call that begin with another record.
        """
        executes = not set(_EXECUTING).isdisjoint(row.shape.calls)
        kept = executes and self._keep_executions
        if not row.filters and not kept and mains == (self.unwanted if mains else ()):
            return 0
        kind = row.shape.kind
        filters = tuple(self._filters[decided] for decided in row.filters)
        first_path = (kind.path_index or 0) if filters else 0
        directory = kind.directory if any(map(_joins_paths, filters)) else None
        key = (row.filters, first_path, directory, executes, kept, mains)
        if key not in self._indices:
            self._indices[key] = len(self._rows)
            self._rows.append(Class(filters, first_path, executes=executes, kept=kept, directory=directory))
        return self._indices[key]

    def rows(self) -> tuple[Class, ...]:
        """Return all rows."""
        return tuple(self._rows)


_KEYS_OF_EVENTS: Final = (KeyField(HOST), KeyField("process.pid", optional=True))
"""Of a query for single events in other languages than our own."""

_CALLS_WITH_ALL_FIELDS: Final = ("openat", "connect", "accept", "execve")
_RECORDS_WITH_ALL_FIELDS: Final = tuple(record_types()[name] for name in ("USER_AUTH", "ADD_USER"))
_OTHER_CALLS: Final = EventShape(SYSCALL_RECORD, (), has_call=True, kind=OTHER_CALL)
_RECORD_FIELDS: Final = frozenset({*FIELDS, SYSCALL_NAME, FILE_SYSTEM})
_NAME_KEYS: Final = frozenset({"user.name", "related.user"})
"""Keys that are present only if the host has an account of the id."""

_FILE_FIELDS: Final = frozenset(name for name in FIELDS if name.startswith("file."))
_KNOWN_EARLY: Final = frozenset({SYSCALL_NAME, "event.action", "event.category"})


def _joins_paths(one: Filter) -> bool:
    """Return whether a filter reads paths that are joined with a directory."""
    return any(node.predicate.field is Field.PATHS for node in one.program)


def _main_shape(record_type: int, call: EventShape | None) -> EventShape:
    """Return the shape of an event that begins with a record of this type; None: without a call."""
    kind = kind_with_call(record_type, None if call is None else call.kind)
    return EventShape(record_type, () if call is None else call.calls, call is not None, kind or OTHER_CALL)


def _may_have(expression: Expression, actions: tuple[str, ...]) -> bool:
    """Return whether an expression in normal form can hold for events with these actions."""
    match expression:
        case Constant(value):
            return value
        case And(terms):
            return all(_may_have(term, actions) for term in terms)
        case Or(terms):
            return any(_may_have(term, actions) for term in terms)
        case Test("event.action"):
            return _any_action_fits(expression, actions)
        case Not(Test("event.action") as test):
            return not _any_action_fits(test, actions)
        case _:
            return True


def _any_action_fits(test: Test, actions: tuple[str, ...]) -> bool:
    if test.operator is Operator.EQUAL and not test.fold_case:
        return not set(actions).isdisjoint(map(str, test.values))
    return any(fits(test, action) for action in actions)
