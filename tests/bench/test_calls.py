"""`auditsense bench calls`: what audit rules cost every program."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from auditsense.bench import audit_lock, calls
from auditsense.bench.calls import AFTER, BEFORE, WATCH, WITHOUT_RULES, CallsPlan, CallsReport, Stage
from auditsense.cli import main
from auditsense.errors import AuditSenseError

if TYPE_CHECKING:
    from pathlib import Path

OURS = ("-a always,exit -F arch=b64 -S openat -F inode=1 -k proc_root",)
REPORT = CallsReport(
    (
        Stage(BEFORE, (), {"getpid": 140.0, "proc": 2000.4}),
        Stage("the sensor's rules", OURS, {"getpid": 399.6, "proc": 13_377.0}, 11.0),
        Stage(AFTER, (), {"getpid": 278.0, "proc": 2200.0}),
    ),
    foreign_rules=0,
    static=True,
)


def rows(report: CallsReport) -> list[str]:
    return list(calls.lines(report))


def test_table_has_a_row_for_each_stage() -> None:
    head, *stages = rows(REPORT)[:4]
    assert [row.split()[-3:] for row in stages] == [
        ["140", "2,000", "-"],
        ["400", "13,377", "11"],
        ["278", "2,200", "-"],
    ]
    assert {len(row) for row in (head, *stages)} == {len(head)}
    assert "open and close /proc" in head
    assert "stat" not in head  # was not measured


def test_cost_that_stays_until_the_next_boot_is_a_sentence() -> None:
    text = "\n".join(rows(REPORT))
    assert "getpid costs 2.0 times as much as before, and will until the next boot" in text
    assert f"the sensor's rules: getpid takes 2.9 times as long as before; {OURS[0]}" in text


def test_report_states_that_audit_was_on_before() -> None:
    stages = (replace(REPORT.stages[0], ns={"getpid": 270.0, "proc": 2000.0}), *REPORT.stages[1:])
    text = "\n".join(rows(replace(REPORT, stages=stages)))
    assert "Audit was on before since the boot" in text
    assert "times as much as before" not in text


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (replace(REPORT, foreign_rules=3), "Audit rules of other programs were in effect all the time: 3."),
        (replace(REPORT, static=False), "exec includes dynamic linking"),
    ],
)
def test_limits_of_the_figures_are_named(report: CallsReport, words: str) -> None:
    assert words in rows(report)[-1]
    assert words not in "\n".join(rows(REPORT))


def test_stages_are_the_rules_of_the_sensor_and_the_watch() -> None:
    stages = calls.stages_of(OURS)
    assert [*stages.values()] == [(), OURS, (WATCH,)]
    assert next(iter(stages)) == WITHOUT_RULES


def test_equal_or_missing_rules_are_not_measured_twice() -> None:
    assert [*calls.stages_of([WATCH]).values()] == [(), (WATCH,)]
    assert [*calls.stages_of([]).values()] == [(), (WATCH,)]


def test_fastest_round_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage keeps the fastest figure and the fewest records; before comes first, after last."""
    figures = iter([9.0, 7.0, 8.0, 5.0, 6.0, 4.0])  # before twice, then rules and after, twice
    records = iter([12.0, 10.0])
    monkeypatch.setattr(calls, "compiler", lambda: "cc")
    monkeypatch.setattr(calls, "compiled", lambda *_: "program")
    monkeypatch.setattr(calls, "exclusive_audit", lambda _: nullcontext())
    monkeypatch.setattr(calls, "Commands", lambda: nullcontext(type("Kernel", (), {"rules": list})))
    monkeypatch.setattr(calls, "_timed", lambda *_: {"getpid": next(figures)})

    def with_rules(
        _rules: object, _drain: str, _program: str, _calls: object, best: dict[str, float]
    ) -> float:
        best["getpid"] = min(next(figures), best.get("getpid", 1e9))
        return next(records)

    monkeypatch.setattr(calls, "_with_rules", with_rules)
    report = calls.measure(CallsPlan({"ours": OURS}, rounds=2), lambda _: None)
    assert [(stage.name, stage.ns["getpid"], stage.records) for stage in report.stages] == [
        (BEFORE, 7.0, None),
        ("ours", 6.0, 10.0),
        (AFTER, 4.0, None),
    ]


def test_missing_compiler_is_an_error_before_anything_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "compiler", lambda: None)
    monkeypatch.setattr(calls, "exclusive_audit", lambda _: pytest.fail("the lock was taken"))
    with pytest.raises(AuditSenseError, match="there is no C compiler"):
        calls.measure(CallsPlan({}), lambda _: None)


# --- the command -----------------------------------------------------------------------------


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(["bench", "calls", *arguments])
    except SystemExit as ended:  # how argparse ends
        code = ended.code if isinstance(ended.code, int) else 0
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--rounds", "0"), "must be a number from 1 to 100, not 0"),
        (("--rounds", "101"), "must be a number from 1 to 100, not 101"),
        (("--rounds", "many"), "must be a whole number of 0 or more, not many"),
        (("--json", "/nowhere/at/all/f.json"), "no such folder"),
        (("--audit-rule", "-a sometimes"), "sometimes"),
        (("--fast",), "--fast: unknown option"),
    ],
)
def test_wrong_usage_is_code_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_other_users_than_root_get_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    code, out, err = call(capsys)
    assert (code, out) == (3, "")
    assert "audit rules cannot be measured: not root; run it as root" in err


def test_owned_audit_socket_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.getloadavg", lambda: (0.5, 0.5, 0.5))
    monkeypatch.setattr(calls, "compiler", lambda: "cc")
    monkeypatch.setattr(audit_lock, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(audit_lock, "unavailable", lambda: "process 7 (auditd) owns the audit socket")
    code, out, err = call(capsys)
    assert (code, out) == (3, "")
    assert err == "auditsense: error: process 7 (auditd) owns the audit socket\n"


def test_figures_are_written_for_machines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    plans: list[CallsPlan] = []

    def measured(plan: CallsPlan, _notify: object) -> CallsReport:
        plans.append(plan)
        return REPORT

    monkeypatch.setattr(calls, "measure", measured)
    file = tmp_path / "calls.json"
    code, out, _ = call(capsys, "--rounds", "3", "--audit-rule", OURS[0], "--json", str(file))
    assert code == 0
    assert out.startswith("ns of CPU per call")
    assert (plans[0].rounds, plans[0].rules["the sensor's rules"]) == (3, OURS)
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["command"] == f"auditsense bench calls --rounds 3 --audit-rule '{OURS[0]}'"
    assert document["stages"][1] == {
        "stage": "the sensor's rules",
        "audit_rules": [*OURS],
        "ns": {"getpid": 399.6, "proc": 13377.0},
        "records_per_listing": 11.0,
    }
