"""Detections from Python values, with the keys, checks and errors of a file.

shadow = define(
    "shadow",
    "A process reads the password file repeatedly",
    match={"auditd.data.syscall": ["open", "openat"], "file.path": "/etc/shadow"},
    matches=3,
    within="10s",
)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from auditsense.detections.loader import from_table
from auditsense.detections.model import RISK_SCORES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.detections.model import Detection

Comparing = dict[str, Any]
"""A comparison other than with a plain value: see `like`, `unlike`, `is_not`, `number`."""

_NO_SCORE = 0  # of an invalid severity, which is the error


def like(*patterns: str) -> Comparing:
    """Compare without regard to case; `*` is any run of characters, `?` any one. Any pattern is enough."""
    return {"like": list(patterns)}


def unlike(*patterns: str) -> Comparing:
    """Hold if no pattern of `like` matches; an absent field fails."""
    return {"not_like": list(patterns)}


def is_not(*values: str) -> Comparing:
    """Hold if the field equals no value; an absent field fails."""
    return {"is_not": list(values)}


def exists(*, there: bool = True) -> Comparing:
    """Hold if the field is present; with ``there=False``, if it is absent."""
    return {"exists": there}


def number(*values: int, mask: int = 0xFFFF_FFFF_FFFF_FFFF) -> Comparing:
    """Compare as a number, after the field was cut to the bits of *mask*. Any of *values* is enough."""
    return {"number": list(values), "mask": mask}


def define(  # noqa: PLR0913 - the keys of a file, most with a default
    id: str,  # noqa: A002 - what it is called in a file and in every alert
    name: str,
    *,
    match: Mapping[str, str | Sequence[str] | Sequence[Mapping[str, Any]] | Comparing] | None = None,
    eql: str = "",
    matches: int = 1,
    within: str = "1s",
    by: Sequence[str] = ("process.pid",),
    severity: str = "low",
    risk_score: int | None = None,
    audit_rule: str | Sequence[str] = "",
    audit_rule_optional: bool = False,
    joins: Sequence[str] = (),
    version: int = 1,
    description: str = "",
    references: Sequence[str] = (),
    tags: Sequence[str] = (),
    false_positives: Sequence[str] = (),
    threat: Sequence[Mapping[str, Any]] = (),
    note: str = "",
    investigate: Sequence[str] = (),
    respond: Sequence[str] = (),
    exceptions: Sequence[Mapping[str, Any]] = (),
) -> Detection:
    """Return a detection, checked and ready for `Detector` and `Sensor`.

    Args:
        id: short name, unique among the detections of a detector.
        name: headline of the alert.
        match: fields and values, one or more; all must hold. A value is a string (exactly), several strings
            (any of them), or made by `like`, `unlike`, `is_not`, `number` or `exists`. Fields have ECS names
            (docs/detections.md); ``auditd.data.syscall`` is compared by the name of the call. ``any`` and
            ``none`` are lists of such mappings: at least one holds, none does.
        eql: a query in EQL, in place of *match*, *matches*, *within* and *by*.
        matches: events of one *by* that make an alert, 1 to 64.
        within: time span of these events, ``1ms`` to ``24h``; without effect for one match.
        by: up to four fields whose equal values count together: those of docs/detections.md except
            ``auditd.data.syscall``. Empty: all events of a host count together.
        severity: low, medium, high or critical.
        risk_score: 0 to 100; by default that of the severity (21, 47, 73, 99).
        audit_rule: rule in auditctl syntax that makes the kernel report these events, or a list of them; by
            default they are derived from *match* or *eql*. A `Sensor` adds them, unless it has other
            *audit_rules*.
        audit_rule_optional: leave *audit_rule* out where the rules of other detections report all events that
            this one looks for.
        joins: ids of detections whose alert about the same actor counts what this one finds, instead of a
            second alert.
        version: increases with each change.
        description: why it matters.
        references: links.
        tags: labels.
        false_positives: harmless programs that do the same.
        threat: places in MITRE ATT&CK: ``{"tactic": entry, "technique": [entry, …]}``, where an entry is
            ``{"id": …, "name": …, "reference": …}``.
        note: further information for an alert.
        investigate: steps to find out whether it is harmless.
        respond: steps to take if it is not.
        exceptions: events that are no match: ``{"match": …, "comment": …, "expires": …}``. The comment states
            why they are harmless; *expires* is a date, or a time with its zone, and optional. `except_for`
            makes exceptions of existing detections.

    Raises:
        DetectionError: a value is invalid; the message names it and what is expected.
    """
    what: dict[str, Any] = {"eql": eql} if eql else {}
    if match is not None or not eql:
        what |= {
            "match": _plain_match(match),
            "window": {"by": _list(by), "matches": matches, "within": within},
        }
    return from_table(
        {
            "id": id,
            "name": name,
            "version": version,
            "severity": severity,
            "risk_score": RISK_SCORES.get(str(severity), _NO_SCORE) if risk_score is None else risk_score,
            "description": description,
            "audit_rule": audit_rule if isinstance(audit_rule, str) else _list(audit_rule),
            "audit_rule_optional": audit_rule_optional,
            "joins": _list(joins),
            "references": _list(references),
            "tags": _list(tags),
            "false_positives": _list(false_positives),
            "threat": _list(threat),
            "note": note,
            "investigate": _list(investigate),
            "respond": _list(respond),
            "exception": _plain_exceptions(exceptions),
            **what,
        },
        f"detection {id!r}",
    )


def _plain_match(match: object) -> object:
    if not isinstance(match, Mapping):
        return match
    return {
        field: [_plain_match(table) for table in value]
        if field in ("any", "none") and isinstance(value, list | tuple)
        else list(value)
        if isinstance(value, tuple | set | frozenset)
        else value
        for field, value in match.items()
    }


def _plain_exceptions(exceptions: object) -> object:
    tables = _list(exceptions)
    if not isinstance(tables, list):
        return tables
    return [
        {**table, "match": _plain_match(table["match"])}
        if isinstance(table, Mapping) and "match" in table
        else table
        for table in tables
    ]


def _list(values: object) -> object:
    """Return values as the list that TOML has; what is no list is refused as what it is."""
    return list(values) if isinstance(values, Iterable) and not isinstance(values, str | bytes) else values
