"""Rules of Elastic on the command line: check, test, show, and in the commands that use them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from auditsense.testing import burst
from tests.cli.test_own_detections import Command

_DATA = Path(__file__).parents[1] / "data" / "eql"
_RULE = """
[metadata]
maturity = "{maturity}"
[rule]
name = "Name Of {rule_id}"
rule_id = "{rule_id}"
type = "eql"
language = "{language}"
severity = "low"
risk_score = 21
from = "now-9m"
index = ["{index}"]
query = '''
{query}
'''
"""
_BLENDER = 'process where process.name == "blender"'


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    etc = tmp_path / "etc"
    etc.mkdir(mode=0o755)
    monkeypatch.setattr("auditsense.config.settings.load_config.__defaults__", (etc,))
    return Command(etc, capsys)


def _rule(
    rule_id: str,
    query: str,
    *,
    language: str = "eql",
    maturity: str = "production",
    index: str = "logs-auditd_manager.auditd-*",
) -> str:
    return _RULE.format(rule_id=rule_id, query=query, language=language, maturity=maturity, index=index)


@pytest.fixture
def folder(command: Command) -> str:
    """A folder of rules: one that runs, one with limits, one that is refused, and others."""
    parent = 'process where process.parent.name == "node"'
    dead = 'process where process.name in ("netcat", "netcat.traditional")'
    command.write("rules/a.toml", _rule("a", _BLENDER))
    command.write("rules/b.toml", _rule("b", parent))
    command.write(
        "rules/c.toml", _rule("c", "process.name:x", language="kuery").replace('"eql"', '"query"', 1)
    )
    command.write("rules/d.toml", _rule("d", "process where process.nam == 1"))
    command.write("rules/e.toml", _rule("e", dead))
    command.write("rules/windows/f.toml", _rule("f", _BLENDER, index="winlogbeat-*"))
    return str(
        Path(command.write("rules/old/g.toml", _rule("g", _BLENDER, maturity="deprecated"))).parents[1]
    )


def test_check_prints_a_table(command: Command, folder: str) -> None:
    code, out, err = command.run("detections", "check", folder)
    unknown = "there is no field process.nam; did you mean process.name? (?process.nam: it may be absent)"
    assert code == 1
    assert out == [
        "native   auditd_manager  detection",
        f"runs     runs            {folder}/a.toml: a, Name Of a",
        f"runs     never           {folder}/b.toml: b, Name Of b",
        "           auditd_manager has no process.parent.name",
        f"refused  refused         {folder}/c.toml:8: the language kuery is not supported yet",
        f"refused  refused         {folder}/d.toml:13: query: {unknown}",
        f"limits   limits          {folder}/e.toml: e, Name Of e",
        '           line 1: process.name has at most 15 bytes, so it never is "netcat.traditional"',
    ]
    assert err == [
        "auditsense: 1 file skipped: deprecated; name the file to use it",
        "auditsense: 1 file skipped: no index with audit events",
        "auditsense: 5 files, 2 refused",
        "auditsense: native: 2 run, 1 run with limits, 0 can never match",
        "auditsense: auditd_manager: 1 run, 1 run with limits, 1 can never match",
    ]


@pytest.mark.parametrize(
    "case", json.loads((_DATA / "refused.json").read_text()), ids=lambda case: case["message"]
)
def test_refused_query_is_reported_with_its_file(command: Command, case: dict[str, str]) -> None:
    path = command.write("rule.toml", _rule("a", case["query"]))
    code, out, err = command.run("detections", "check", path)
    assert (code, out) == (1, [])
    assert err == [f"auditsense: error: {path}:13: query: {case['message']}"]


def test_check_ends_with_0_when_nothing_is_refused(command: Command, folder: str) -> None:
    code, out, _ = command.run("detections", "check", f"{folder}/old/g.toml")
    assert code == 0
    assert out[1:] == [f"runs     runs            {folder}/old/g.toml: g, Name Of g"]


def test_refused_rule_of_a_folder_keeps_no_other_from_running(command: Command, folder: str) -> None:
    log = command.write("audit.log", "\n".join(_case_records("equal")) + "\n")
    words = ("replay", "-o", "sequences", log, "--no-shipped", "--detections")
    code, out, err = command.run(*words, folder)
    assert code == 0
    assert [json.loads(line)["rule"]["id"] for line in out] == ["a"]
    reasons = f"auditsense detections check {folder} gives the reasons"
    assert err[0] == f"auditsense: {folder}: 2 rules are refused, and the others are used; {reasons}"
    code, _, err = command.run(*words, f"{folder}/c.toml")
    assert code == 2
    assert "the language kuery is not supported yet" in err[0]


def test_building_block_is_silent_unless_named(command: Command) -> None:
    text = _rule("a", 'file where auditd.data.syscall == "openat"').replace(
        "type =", 'building_block_type = "default"\ntype ='
    )
    path = command.write("blocks/a.toml", text)
    log = command.write("audit.log", "".join(event.text.decode() for event in burst(1)))
    words = ("replay", log, "--no-shipped", "--detections")
    assert command.run(*words, path)[1]
    assert command.run(*words, str(Path(path).parent))[1] == []
    assert command.run(*words, str(Path(path).parent), "-o", "sequences")[1]


def test_show_prints_a_rule(command: Command, folder: str) -> None:
    code, out, _ = command.run("detections", "show", "a", "--detections", f"{folder}/a.toml")
    shown = json.loads("\n".join(out))
    assert code == 0
    assert shown["origin"] == f"{folder}/a.toml"
    assert shown["query"] == 'process where process.name == "blender"'


def _case_records(name: str) -> list[str]:
    records: list[str] = json.loads((_DATA / f"{name}.json").read_text())["cases"][0]["records"]
    return records


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "not JSON"),
        ("{}", 'expected {"cases": […]} with at least one case'),
        ('{"cases": [1]}', "case 1: expected an object with name, records and expect"),
        ('[{"records": "x", "expect": {"native": 1}}]', "case 1: records must be a list of lines"),
        ('[{"records": [], "expect": {}}]', "case 1: expect must have a number for at least one of"),
        ('[{"records": [], "expect": {"nativ": 1}}]', "case 1: expect has no mapping 'nativ'"),
        (
            '[{"records": [], "expect": {"native": -1}}]',
            "case 1: expect.native must be a whole number from 0",
        ),
        (r'[{"records": ["\ud800"], "expect": {"native": 1}}]', "line 1 of its records has half a character"),
    ],
)
def test_wrong_cases_are_an_error(command: Command, text: str, problem: str) -> None:
    rule = command.write("equal.toml", (_DATA / "equal.toml").read_text())
    code, _, err = command.run("detections", "test", rule, command.write("cases.json", text))
    assert code == 2
    assert problem in err[0]


def test_binary_file_holds_no_cases(command: Command, tmp_path: Path) -> None:
    rule = command.write("equal.toml", (_DATA / "equal.toml").read_text())
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    assert command.run("detections", "test", rule, str(binary))[2] == [
        f"auditsense: error: {binary}: not UTF-8 text, so no JSON"
    ]


def test_unknown_key_of_a_case_is_named(command: Command) -> None:
    rule = command.write("equal.toml", (_DATA / "equal.toml").read_text())
    cases = command.write("cases.json", '[{"name": "a", "records": [], "expect": {"native": 0}, "note": ""}]')
    code, _, err = command.run("detections", "test", rule, cases)
    assert (code, err) == (0, ["auditsense: a: ignored: note", "auditsense: 1 results, 0 differ"])


def test_cases_of_another_mapping_alone_are_an_error(command: Command) -> None:
    rule = command.write("equal.toml", (_DATA / "equal.toml").read_text())
    cases = command.write("cases.json", '[{"records": [], "expect": {"native": 0}}]')
    code, _, err = command.run("detections", "test", rule, cases, "--mapping", "auditd_manager")
    assert code == 2
    assert "no case expects a number in auditd_manager" in err[0]


def test_events_are_the_same_in_every_mapping(command: Command) -> None:
    log = command.write("audit.log", "\n".join(_case_records("numbers")) + "\n")
    code, _, err = command.run("replay", log, "-o", "events", "--mapping", "auditd_manager")
    assert code == 2
    assert "leave out --mapping" in err[0]


def test_cases_of_an_example(command: Command) -> None:
    rule, cases = (
        command.write(f"equal.{kind}", (_DATA / f"equal.{kind}").read_text()) for kind in ("toml", "json")
    )
    code, out, err = command.run("detections", "test", rule, cases)
    assert code == 0
    assert out[:2] == ["native\tmatch\tok", "auditd_manager\tmatch\tok"]
    assert err == ["auditsense: 8 results, 0 differ"]
    code, out, _ = command.run("detections", "test", rule, cases, "--mapping", "native")
    assert (code, len(out)) == (0, 4)


def test_difference_ends_with_1(command: Command) -> None:
    rule = command.write("equal.toml", (_DATA / "equal.toml").read_text())
    records = _case_records("equal")
    cases = command.write(
        "cases.json", json.dumps([{"name": "two", "records": records, "expect": {"native": 2}}])
    )
    code, out, err = command.run("detections", "test", rule, cases)
    assert code == 1
    assert out == ["native\ttwo\t1, expected 2"]
    assert err == ["auditsense: 1 results, 1 differ"]


def test_mapping_of_a_replay(command: Command) -> None:
    """The case of numbers.json that only the native mapping can see."""
    rule = command.write("numbers.toml", (_DATA / "numbers.toml").read_text())
    log = command.write("audit.log", "\n".join(_case_records("numbers")) + "\n")
    words = ("replay", log, "--no-shipped", "--detections", rule, "-o", "count")
    assert json.loads(command.run(*words)[1][0])["alerts"] == 1
    assert json.loads(command.run(*words, "--mapping", "auditd_manager")[1][0])["alerts"] == 0
