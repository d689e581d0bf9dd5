"""Rules of Elastic, from their unmodified TOML files (`[rule]` and `[metadata]`).

Rule 1: a rule is read as it is. Keys that have no meaning for a sensor are ignored.
Rule 2: a rule in a folder is skipped when none of its indices holds audit events, or when it is deprecated.
        A file that is named itself is not skipped.
Rule 3: each query language has a front end, `LANGUAGES`; a rule in another one is refused by name.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from auditsense._values import WrongValueError, choice, items, shown, table, text, texts, whole
from auditsense.detections.expression import LOOK_BACK_MS, Query
from auditsense.detections.fields import HOST
from auditsense.detections.model import RISK_SCORES, AttackEntry, Detection, Severity, Threat, Window
from auditsense.detections.own_query import window_of
from auditsense.detections.toml_table import Mistakes, TomlTable
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from collections.abc import Callable


class RefusedRuleError(DetectionError):
    """A rule of Elastic that cannot be used here."""


INDEX: Final = "logs-auditd_manager.auditd-default"
"""The index of audit events: a rule with a pattern that fits it is for this sensor."""

_OLDER_INDEX: Final = "auditbeat-"
_NOT_YET: Final = frozenset({"threshold", "new_terms"})
_NO_VERSION: Final = 1  # Elastic keeps versions in another file
_MOST_RISK: Final = 100
_MOST_LOOK_BACK_MS: Final = 604_800_000
_LOOK_BACK: Final = re.compile(r"now-([0-9]{1,9})([smhd])", re.ASCII)
_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def _eql(query: str) -> Query:
    from auditsense.detections.eql.parser import parse  # noqa: PLC0415 - only rules in EQL need it

    return parse(query)


LANGUAGES: Final[dict[str, Callable[[str], Query]]] = {"eql": _eql}
"""Front ends by the name of the language: text to query."""


def is_elastic(document: dict[str, Any]) -> bool:
    """Return whether a TOML document is a rule of Elastic."""
    return isinstance(document.get("rule"), dict) and "match" not in document


def reason_to_skip(document: dict[str, Any]) -> str:
    """Return why a rule in a folder is not for this sensor; "": it is."""
    rule, metadata = document["rule"], document.get("metadata")
    indices = rule.get("index")
    if not isinstance(indices, list) or not any(map(_holds_audit_events, indices)):
        return "no index with audit events"
    if isinstance(metadata, dict) and metadata.get("maturity") == "deprecated":
        return "deprecated; name the file to use it"
    return ""


def detection_of_rule(document: dict[str, Any], where: str, source: str = "") -> Detection:
    """Read one rule.

    Args:
        document: its TOML.
        where: what to call it in errors.
        source: the TOML, for line numbers; "": there is none.

    Raises:
        RefusedRuleError: it is refused. Notes of the error are further mistakes.
    """
    mistakes = Mistakes(where, source, RefusedRuleError)
    entry = TomlTable(f"{where}: rule", document["rule"], mistakes, name="rule")
    severity = Severity(entry.read("severity", choice, Severity))
    query = _query(entry, mistakes)
    detection = Detection(
        id=entry.read("rule_id", text),
        name=entry.read("name", text),
        version=entry.optional("version", whole, _NO_VERSION),
        severity=severity,
        risk_score=entry.optional("risk_score", _risk, RISK_SCORES[severity]),
        description=entry.optional("description", text, "").strip(),
        audit_rule="",
        references=entry.optional("references", texts, ()),
        tags=entry.optional("tags", texts, ()),
        false_positives=entry.optional("false_positives", texts, ()),
        threat=_threats(where, entry.optional("threat", items, []), mistakes),
        match=(),
        window=window_of(query) if query is not None else Window((HOST,), 1, 1),
        note=entry.optional("note", text, "").strip(),
        setup=entry.optional("setup", text, "").strip(),
        building_block=entry.optional("building_block_type", text, "") != "",
        query=query,
    )
    _ignore_rest(entry)
    mistakes.check()
    return detection


def _holds_audit_events(pattern: object) -> bool:
    return isinstance(pattern, str) and (fnmatchcase(INDEX, pattern) or pattern.startswith(_OLDER_INDEX))


def _risk(value: object) -> int:
    return whole(value, 0, _MOST_RISK)


def _look_back_ms(value: object) -> int:
    match = _LOOK_BACK.fullmatch(text(value))
    ms = int(match[1]) * _UNITS_MS[match[2]] if match else 0
    if not 0 < ms <= _MOST_LOOK_BACK_MS:
        raise WrongValueError(f'must be a time of at most seven days, as "now-9m", not {shown(value)}')
    return ms


def _query(entry: TomlTable, mistakes: Mistakes) -> Query | None:
    """Return the query; None: it is wrong, and the mistake is added."""
    kind = entry.read("type", text)
    language = entry.optional("language", text, "")
    look_back_ms = entry.optional("from", _look_back_ms, None)
    if not kind:
        return None  # it is missing, which is reported
    if kind in _NOT_YET:
        mistakes.add(f"the type {kind} is not supported yet", "rule", "type")
    elif kind not in ("eql", "query"):
        mistakes.add(f"the type {kind} is not supported", "rule", "type")
    elif language not in LANGUAGES:
        yet = " yet" if language == "kuery" else ""
        mistakes.add(f"the language {language} is not supported{yet}", "rule", "language")
    else:
        source = entry.read("query", text)
        try:
            query = LANGUAGES[language](source)
        except DetectionError as error:
            mistakes.add(f"query: {error}", "rule", "query")
            return None
        return replace(query, look_back_ms=look_back_ms or LOOK_BACK_MS)
    return None


def _threats(where: str, rows: list[Any], mistakes: Mistakes) -> tuple[Threat, ...]:
    threats: list[Threat] = []
    for row in rows:
        with mistakes.collected("rule", "threat"):
            threats.append(_threat(f"{where}: rule.threat", row))
    return tuple(threats)


def _threat(where: str, row: object) -> Threat:
    entry = TomlTable(where, row)
    techniques: list[AttackEntry] = []
    for technique in entry.optional("technique", items, []):
        techniques.append(_attack_entry(f"{where}.technique", technique))
        techniques += [
            _attack_entry(f"{where}.subtechnique", subtechnique)
            for subtechnique in technique.get("subtechnique", [])
        ]
    tactic = entry.read("tactic", table)
    _ignore_rest(entry)
    return Threat(_attack_entry(f"{where}.tactic", tactic), tuple(techniques))


def _attack_entry(where: str, value: object) -> AttackEntry:
    entry = TomlTable(where, value)
    named = AttackEntry(entry.read("id", text), entry.read("name", text), entry.read("reference", text))
    _ignore_rest(entry)
    return named


def _ignore_rest(entry: TomlTable) -> None:
    """Ignore the keys that were not read, and report those that are missing."""
    entry.rest()
    entry.done()
