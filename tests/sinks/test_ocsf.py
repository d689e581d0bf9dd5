"""Findings of OCSF: what each document becomes, held against the compiled schema where there is one.

AUDITSENSE_OCSF_SCHEMA names a schema: `git clone --branch 1.8.0 https://github.com/ocsf/ocsf-schema`, then
`python -m ocsf.compile ocsf-schema >ocsf.json` with the package ocsf-lib.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditsense import AlertPolicy, Detector, Host, cli
from auditsense.detect.ecs import loss_document, self_test_document, sink_document, tamper_document
from auditsense.detect.losses import Losses, LossReport
from auditsense.sinks.ocsf import detection_finding
from auditsense.testing import burst

if TYPE_CHECKING:
    from auditsense import Document

HOST = Host("0123456789abcdef0123456789abcdef", "here")
SCHEMA = Path(os.environ.get("AUDITSENSE_OCSF_SCHEMA", "/nonexistent"))
PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("integer_t", "long_t", "timestamp_t"), int),
    "boolean_t": bool,
    "float_t": float,
}


def alerts() -> list[Document]:
    """Return an alert, updates and the closing document of one burst."""
    with Detector(host=HOST, policy=AlertPolicy(update_ms=1000)) as detector:
        events = [*burst(30), *burst(10, ms=1795493714674, serial=900, pid=77)]
        return detector.feed_text(b"".join(event.text for event in events)) + detector.finish()


def reports() -> list[Document]:
    counts: Any = {"name": "file", "given": 1, "written": 0, "dropped": 1, "failed": 0}
    return [
        self_test_document(HOST, ms=5, message="the sensor missed its own open"),
        tamper_document(
            HOST,
            ms=5,
            rule_id="auditsense.rule",
            name="A Rule Is Gone",
            severity="high",
            message="x",
            repaired="",
        ),
        sink_document(HOST, ms=5, state="dropping", message="sink file drops documents", sink=counts),
        loss_document(LossReport(0, 1000, Losses(), known=0, events=0, records=0), HOST, lost_total=0),
    ]


def test_alert_is_a_finding_of_its_burst() -> None:
    documents = alerts()
    alert, closed = documents[0], next(d for d in documents if d["auditsense"]["state"] == "closed")
    finding = detection_finding(alert)
    assert (finding["class_uid"], finding["type_uid"], finding["activity_id"]) == (2004, 200401, 1)
    assert finding["severity_id"] == 2
    assert finding["is_alert"] is True
    assert finding["time"] == 1795493115574
    assert finding["message"] == alert["message"]
    assert finding["metadata"]["uid"] == alert["event"]["id"]
    assert finding["finding_info"]["uid"] == alert["auditsense"]["burst"]["id"]
    assert finding["finding_info"]["analytic"]["uid"] == "pspy"
    assert finding["finding_info"]["attacks"][0]["technique"] == {"uid": "T1057", "name": "Process Discovery"}
    assert len(finding["finding_info"]["related_events"]) == 10
    (evidence,) = finding["evidences"]
    assert evidence["process"] == {
        "pid": 4352,
        "name": "pspy64",
        "cmd_line": "pspy64",
        "working_directory": "/",
        "file": {"path": "/usr/local/bin/pspy64", "name": "pspy64", "type_id": 1},
        "user": {"uid": "65534"},
        "parent_process": {"pid": 4308},
    }
    assert evidence["file"] == {"path": "/proc", "name": "proc", "type_id": 2}
    assert finding["unmapped"]["auditd"] == alert["auditd"]
    end = detection_finding(closed)
    assert (end["activity_id"], end["type_uid"], end["status_id"], end["is_alert"]) == (3, 200403, 4, False)
    assert end["finding_info"]["uid"] == finding["finding_info"]["uid"]


def test_report_of_the_sensor_is_a_finding_without_evidence() -> None:
    for report in reports():
        finding = detection_finding(report)
        assert finding["finding_info"]["uid"] == report["event"]["id"]
        assert finding["message"] == report["message"]
        assert "evidences" not in finding


def schema_problems(
    value: dict[str, Any], definition: dict[str, Any], schema: dict[str, Any], at: str
) -> list[str]:
    """Return what the compiled schema says against an object."""
    attributes = definition["attributes"]
    found = [f"{at}.{name}: unknown" for name in value if name not in attributes]
    found += [
        f"{at}.{name}: required"
        for name, attribute in attributes.items()
        if attribute["requirement"] == "required" and name not in value and not attribute.get("profile")
    ]
    for group in [(definition.get("constraints") or {}).get("at_least_one")]:
        if group and not set(group) & set(value):
            found.append(f"{at}: none of {group}")
    for name, item in value.items():
        attribute = attributes.get(name)
        if attribute is None or name == "unmapped":
            continue
        if bool(attribute.get("is_array")) != isinstance(item, list):
            found.append(f"{at}.{name}: a list or not")
            continue
        for one in item if isinstance(item, list) else [item]:
            found += _value_problems(one, attribute, schema, f"{at}.{name}")
    return found


def _value_problems(value: object, attribute: dict[str, Any], schema: dict[str, Any], at: str) -> list[str]:
    kind = attribute["type"]
    if isinstance(value, dict):
        name = attribute.get("object_type") or kind
        return schema_problems(value, schema["objects"][name], schema, at)
    if attribute.get("enum") and str(value) not in attribute["enum"]:
        return [f"{at}: {value!r} is not in its enumeration"]
    if not isinstance(value, PYTHON_TYPES.get(kind, str)):
        return [f"{at}: {value!r} is no {kind}"]
    return []


@pytest.mark.skipif(not SCHEMA.exists(), reason="AUDITSENSE_OCSF_SCHEMA names no compiled schema of OCSF")
def test_findings_are_as_the_schema_demands() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert schema["version"] == "1.8.0"
    definition = schema["classes"]["detection_finding"]
    documents = [*alerts(), *reports()]
    assert len(documents) > 6
    for document in documents:
        assert schema_problems(detection_finding(document), definition, schema, "finding") == []


def test_events_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"".join(event.text for event in burst(10)))
    assert cli.main(["replay", "--format", "ocsf", str(log)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["class_uid"] == 2004
    assert cli.main(["replay", "-o", "events", "--format", "ocsf", str(log)]) == 2
    assert "an event is not a finding, so -o events has no format ocsf" in capsys.readouterr().err
    path = tmp_path / "out"
    words = ["replay", "-o", "events", "--sink", f"file:{path},format=ocsf", str(log)]
    assert cli.main(words) == 2
