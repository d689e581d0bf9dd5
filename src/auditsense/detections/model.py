"""Detections as values."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from auditsense._frozen import Frozen
from auditsense.detections.expression import tests_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditsense.detections.expression import Query


class Severity(enum.StrEnum):
    """Importance of an alert."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


RISK_SCORES: Final[dict[str, int]] = {"low": 21, "medium": 47, "high": 73, "critical": 99}
"""Risk score of a severity, where a detection gives none."""


@dataclass(slots=True, eq=False, repr=False)
class AttackEntry(Frozen):
    """An entry of MITRE ATT&CK.

    Attributes:
        id: such as ``T1057``.
        name: such as ``Process Discovery``.
        reference: its URL.
    """

    id: str
    name: str
    reference: str


@dataclass(slots=True, eq=False, repr=False)
class Threat(Frozen):
    """A tactic of MITRE ATT&CK and its techniques.

    Attributes:
        tactic: the purpose.
        technique: the ways to it.
    """

    tactic: AttackEntry
    technique: tuple[AttackEntry, ...]


ALL_BITS: Final = 0xFFFF_FFFF_FFFF_FFFF
"""Mask of a comparison with whole numbers."""


class Comparison(enum.StrEnum):
    """Comparison of a condition."""

    IS = "is"
    """Exactly one of the values."""
    LIKE = "like"
    """One of the values without regard to case; `*` is any run of characters, `?` any one."""
    NUMBER = "number"
    """One of the values as a number, cut to the bits of `Condition.mask`."""
    OPEN_FLAGS = "open_flags"
    """One of the values as the flags of open(2): names (``O_CLOEXEC|O_LARGEFILE``), which stand for another
    number on some architectures, or the text that the kernel prints (``88000``), the same on all of them."""
    EXISTS = "exists"
    """The field is present, with any value; it has no values. Negated: it is absent."""


@dataclass(slots=True, eq=False, repr=False)
class Condition(Frozen):
    """One comparison of a field with values; for an absent field only a negated EXISTS holds.

    Attributes:
        field: its ECS name (docs/detections.md).
        comparison: how.
        values: any of them is enough; numbers only for `Comparison.NUMBER`.
        negated: true when none of them fits.
        mask: bits of a number that are compared.
    """

    field: str
    comparison: Comparison
    values: tuple[str | int, ...]
    negated: bool = False
    mask: int = ALL_BITS


@dataclass(slots=True, eq=False, repr=False)
class AnyOf(Frozen):
    """Alternatives: all conditions of at least one table hold."""

    tables: tuple[Match, ...]


@dataclass(slots=True, eq=False, repr=False)
class NoneOf(Frozen):
    """Exclusion: no table has all its conditions true."""

    tables: tuple[Match, ...]


Match: TypeAlias = "tuple[Condition | AnyOf | NoneOf, ...]"
"""Conditions and groups that must all hold."""


def conditions_of(match: Match) -> Iterator[Condition]:
    """Yield all conditions of a match, those in its groups too, in their order."""
    for part in match:
        if isinstance(part, Condition):
            yield part
        else:
            for table in part.tables:
                yield from conditions_of(table)


@dataclass(slots=True, eq=False, repr=False)
class Window(Frozen):
    """Number of matches of one key, and their time span, that complete a sequence.

    Attributes:
        by: fields that name the key; `host.id` is always one of them.
        matches: 1 to 64.
        within_ms: from the first to the last at most, 1 to 86,400,000 ms of event time.
    """

    by: tuple[str, ...]
    matches: int
    within_ms: int


@dataclass(slots=True, eq=False, repr=False)
class DetectionException(Frozen):
    """An exception of a detection: an event that it takes is not a match.

    Attributes:
        detection: id of the detection.
        match: conditions that must all hold.
        comment: why it is harmless.
        expires_ms: it takes events stamped before, ms since 1970 UTC; None: all.
        origin: its file, or "code", for messages.
    """

    detection: str
    match: tuple[Condition, ...]
    comment: str
    expires_ms: int | None = None
    origin: str = ""


def audit_rules_of(detections: Iterable[Detection]) -> list[str]:
    """Return the audit rules that detections name, each once."""
    return list(dict.fromkeys(line for detection in detections for line in detection.audit_rules))


@dataclass(slots=True, eq=False, repr=False)
class Detection(Frozen):
    """A suspicious pattern of events, and the texts of its alerts.

    Attributes:
        id: short name, unique among the loaded ones.
        name: the alert's headline.
        version: counts up with each change of what it matches.
        severity: importance.
        risk_score: 0 to 100.
        description: why it matters.
        audit_rule: the audit rules that make the kernel report the events, in auditctl syntax, one a line;
            "": they are derived from the conditions.
        references: further reading.
        tags: free words.
        false_positives: benign programs with the same behaviour.
        threat: place in MITRE ATT&CK.
        match: conditions and groups of them that must all hold.
        window: number and time of matches for an alert.
        note: what else to know about an alert.
        investigate: how to find out whether it is harmless, step by step.
        respond: what to do when it is not, step by step.
        exceptions: an event that any of them takes is not a match.
        query: what to look for, in place of *match* and *window*, which then have no effect; None: those.
        setup: what a host needs for it, as its author describes it.
        audit_rule_optional: whether *audit_rule* is left out where the rules of other detections report
            all events that it looks for.
        joins: ids of detections. What this one finds of an actor about whom one of these has an alert is
            counted there, and is no second alert.
        building_block: whether it serves other rules alone, so that its alerts are silent unless asked for.
    """

    id: str
    name: str
    version: int
    severity: Severity
    risk_score: int
    description: str
    audit_rule: str
    references: tuple[str, ...]
    tags: tuple[str, ...]
    false_positives: tuple[str, ...]
    threat: tuple[Threat, ...]
    match: Match
    window: Window
    note: str = ""
    investigate: tuple[str, ...] = ()
    respond: tuple[str, ...] = ()
    exceptions: tuple[DetectionException, ...] = ()
    query: Query | None = None
    setup: str = ""
    building_block: bool = False
    audit_rule_optional: bool = False
    joins: tuple[str, ...] = ()

    @property
    def audit_rules(self) -> tuple[str, ...]:
        """The audit rules that it names, in order."""
        return tuple(line.strip() for line in self.audit_rule.splitlines() if line.strip())

    @property
    def compared_fields(self) -> frozenset[str]:
        """Names of all fields that it compares."""
        conditions = {condition.field for condition in conditions_of(self.match)}
        steps = self.query.all_steps if self.query is not None else ()
        return frozenset(conditions | {test.field for step in steps for test in tests_of(step.where)})

    @property
    def key_fields(self) -> frozenset[str]:
        """Names of the fields whose equal values count together."""
        if self.query is None:
            return frozenset(self.window.by)
        keys = [*self.query.by, *(key for step in self.query.all_steps for key in step.by)]
        return frozenset(key.name for key in keys)

    def __repr__(self) -> str:
        return f"Detection({self.id!r}, version={self.version})"
