"""Rules in Elastic's TOML become detections."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from auditsense.detections.elastic import detection_of_rule, is_elastic, reason_to_skip
from auditsense.detections.expression import QueryKind
from auditsense.detections.model import Severity
from auditsense.detections.toml_table import problems_of
from auditsense.errors import DetectionError

_RULE: dict[str, Any] = {
    "metadata": {"maturity": "production", "integration": ["auditd_manager"]},
    "rule": {
        "author": ["us"],
        "name": "Blender In The Background",
        "rule_id": "00000000-0000-4000-8000-000000000099",
        "type": "eql",
        "language": "eql",
        "severity": "medium",
        "risk_score": 47,
        "from": "now-2h",
        "index": ["logs-auditd_manager.auditd-*"],
        "query": 'process where process.name == "blender"\n',
        "setup": "## Setup\n",
        "timestamp_override": "event.ingested",
        "threat": [
            {
                "framework": "MITRE ATT&CK",
                "tactic": {"id": "TA0002", "name": "Execution", "reference": "https://a.example/"},
                "technique": [
                    {
                        "id": "T1059",
                        "name": "Interpreter",
                        "reference": "https://b.example/",
                        "subtechnique": [
                            {"id": "T1059.004", "name": "Shell", "reference": "https://c.example/"}
                        ],
                    }
                ],
            }
        ],
    },
}


def _rule(**changes: object) -> dict[str, Any]:
    document = copy.deepcopy(_RULE)
    document["rule"] |= changes
    return document


def _refused(**changes: object) -> tuple[str, ...]:
    with pytest.raises(DetectionError) as error:
        detection_of_rule(_rule(**changes), "x.toml")
    return problems_of(error.value)


def test_rule_becomes_detection() -> None:
    detection = detection_of_rule(_RULE, "x.toml")
    assert detection.id == "00000000-0000-4000-8000-000000000099"
    assert (detection.version, detection.severity, detection.risk_score) == (1, Severity.MEDIUM, 47)
    assert [entry.id for entry in detection.threat[0].technique] == ["T1059", "T1059.004"]
    assert detection.setup == "## Setup"
    assert not detection.building_block
    assert detection.query is not None
    assert (detection.query.kind, detection.query.look_back_ms) == (QueryKind.EVENT, 7_200_000)
    assert detection.audit_rule == ""


def test_building_block() -> None:
    assert detection_of_rule(_rule(building_block_type="default"), "x.toml").building_block


def test_look_back_has_a_default() -> None:
    document = copy.deepcopy(_RULE)
    del document["rule"]["from"]
    query = detection_of_rule(document, "x.toml").query
    assert query is not None
    assert query.look_back_ms == 540_000


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"type": "query", "language": "kuery"}, "the language kuery is not supported yet"),
        ({"type": "query", "language": "lucene"}, "the language lucene is not supported"),
        ({"type": "threshold", "language": "kuery"}, "the type threshold is not supported yet"),
        ({"type": "new_terms", "language": "kuery"}, "the type new_terms is not supported yet"),
        ({"type": "esql", "language": "esql"}, "the type esql is not supported"),
        ({"type": "machine_learning"}, "the type machine_learning is not supported"),
        ({"type": "threat_match", "language": "kuery"}, "the type threat_match is not supported"),
        ({"query": "process where process.name = 1"}, "query: line 1: = is no comparison; == or :"),
        (
            {"from": "yesterday"},
            'rule: from must be a time of at most seven days, as "now-9m", not "yesterday"',
        ),
        ({"from": "now-8d"}, 'rule: from must be a time of at most seven days, as "now-9m", not "now-8d"'),
        ({"risk_score": 101}, "rule: risk_score must be 0 to 100, not 101"),
    ],
)
def test_refusals_name_the_reason(changes: dict[str, object], problem: str) -> None:
    assert _refused(**changes) == (f"x.toml: {problem}",)


def test_all_mistakes_of_a_rule_are_reported() -> None:
    document = _rule(severity="grave", query="process where")
    del document["rule"]["name"]
    with pytest.raises(DetectionError) as error:
        detection_of_rule(document, "x.toml")
    assert {*problems_of(error.value)} == {
        'x.toml: rule: severity must be one of "low", "medium", "high", "critical", not "grave"',
        "x.toml: rule: name is missing",
        "x.toml: query: line 1: a comparison is missing behind where",
    }


def test_line_of_the_key_precedes_the_line_of_the_query() -> None:
    source = '[rule]\nname = "a"\nquery = """\nprocess where\n  true true\n"""\n'
    with pytest.raises(DetectionError, match=r"^x\.toml:3: query: line 2: expected and"):
        detection_of_rule(_rule(query="process where\n  true true\n"), "x.toml", source)


def test_wrong_threat_is_a_mistake() -> None:
    (problem,) = _refused(threat=[{"tactic": {"id": "TA0002"}}])
    assert problem.startswith("x.toml: rule.threat")


def test_rules_differ_from_detections() -> None:
    assert is_elastic(_RULE)
    assert not is_elastic({"id": "pspy", "match": {}})
    assert not is_elastic({"rule": "text"})


@pytest.mark.parametrize(
    ("index", "skipped"),
    [
        (["logs-auditd_manager.auditd-*"], False),
        (["logs-auditd_manager.*"], False),
        (["auditbeat-*"], False),
        (["logs-*"], False),
        (["logs-endpoint.events.*", "winlogbeat-*"], True),
        ([], True),
        (None, True),
    ],
)
def test_rules_of_other_indices_are_skipped(index: object, *, skipped: bool) -> None:
    reason = reason_to_skip(_rule(index=index))
    assert reason == ("no index with audit events" if skipped else "")


def test_deprecated_rules_are_skipped() -> None:
    document = copy.deepcopy(_RULE)
    document["metadata"]["maturity"] = "deprecated"
    assert reason_to_skip(document) == "deprecated; name the file to use it"
