"""Own detections on the command line: they add to the shipped ones, in every command that takes them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from auditsense.cli import main
from auditsense.config.loader import FOLDER
from tests.cli.test_cli import TEXT

OWN = """
id = "{id}"
name = "Own {id}"
version = 1
severity = "high"
risk_score = 50
audit_rule = "-w /etc/{id} -p r -k {id}"
[match]
"process.name" = {{ like = "PSPY*" }}
[window]
by = []
matches = 1
within = "1s"
"""
MISSING = "window, name, version, severity, risk_score"
SHIPPED = ["pspy", "proc-scan", "proc-scan-session", "proc-scan-slow"]
SHIPPED_RULE = "-w /proc/ -p r -k audit_proc"


class Command:
    """Runs commands on a host with its own default configuration.

    Args:
        etc: stands for /etc/auditsense.
        capsys: captures the output.
    """

    def __init__(self, etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.etc = etc
        self._capsys = capsys

    def write(self, name: str, text: str) -> str:
        """Write a file of the default configuration that no other user may change. Returns its path."""
        path = self.etc / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
        return str(path)

    def own(self, name: str, id_: str) -> str:
        """Write a detection. Returns its path."""
        return self.write(name, OWN.format(id=id_))

    def run(self, *words: str) -> tuple[int, list[str], list[str]]:
        """Run a command. Returns its exit code, and the lines of both outputs."""
        try:
            code = main(words)
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = self._capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    def ids(self, *words: str) -> list[str]:
        """Return the ids that `detections list` prints."""
        code, out, err = self.run("detections", "list", *words)
        assert code == 0
        assert all(
            "not loaded, and available with" in line for line in err
        )  # tests/detections/test_optional.py
        return [line.split("\t")[0] for line in out]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    etc = tmp_path / "etc"
    etc.mkdir(mode=0o755)
    monkeypatch.setattr("auditsense.config.settings.load_config.__defaults__", (etc,))
    return Command(etc, capsys)


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "audit.log"
    path.write_bytes(TEXT)
    return str(path)


def names(out: list[str]) -> set[str]:
    return {json.loads(line)["rule"]["name"] for line in out}


PSPY = "Potential Pspy Process Monitoring Detected"


def test_replay_adds_own_detections(command: Command, log: str) -> None:
    own = command.own("own.toml", "own")
    words = ("replay", "-o", "sequences", log)
    assert names(command.run(*words)[1]) == {PSPY}
    assert names(command.run(*words, "--detections", own)[1]) == {PSPY, "Own own"}
    assert names(command.run(*words, "--detections", own, "--no-shipped")[1]) == {"Own own"}


def test_replay_ignores_configuration_of_host(command: Command, log: str) -> None:
    command.own("detections.d/own.toml", "own")
    command.write("auditsense.toml", "[detections]\nshipped = false\n")
    assert names(command.run("replay", "-o", "sequences", log)[1]) == {PSPY}


def test_replay_reads_named_configuration(command: Command, log: str) -> None:
    own = command.own("own.toml", "own")
    config = command.write(
        "other.toml",
        f"[detections]\npaths = ['{own}']\n[process]\nuser = 'root'\n[[exception]]\ndetection = 'pspy'\n"
        "comment = 'all'\nmatch = { 'process.pid' = { exists = true } }\n",
    )
    words = ("replay", "-o", "sequences", log)
    assert names(command.run(*words, "-c", config)[1]) == {"Own own"}
    code, out, err = command.run(*words, "-c", config, "--no-shipped")
    assert (code, out) == (2, [])
    assert "pspy" in err[0]  # the exception is for a detection that is left out
    code, out, err = command.run("replay", "-c", f"{config}x", log)
    assert (code, out) == (2, [])
    assert err == [f"auditsense: error: {config}x: No such file or directory"]


def test_all_places_add_up(command: Command) -> None:
    command.own("detections.d/b.toml", "b")
    command.own("detections.d/team/a.toml", "a")
    command.write("detections.d/.hidden.toml", "not TOML")
    command.write("detections.d/README", "not TOML")
    command.write("auditsense.toml", f"[detections]\npaths = ['{command.own('c.toml', 'c')}']\n")
    assert command.ids() == [*SHIPPED, "b", "a", "c"]
    assert command.ids("--no-shipped") == ["b", "a", "c"]
    assert command.ids("--detections", command.own("d.toml", "d")) == [*SHIPPED, "b", "a", "d"]


def test_list_names_each_file(command: Command) -> None:
    own = command.own("detections.d/own.toml", "own")
    _, out, _ = command.run("detections", "list")
    assert out[0] == f"pspy\tlow\t{PSPY}\tshipped with auditsense"
    assert out[len(SHIPPED) :] == [f"own\thigh\tOwn own\t{own}"]


def test_named_configuration_replaces_the_default_one(command: Command) -> None:
    command.own("detections.d/own.toml", "own")
    other = command.write("other.toml", "")
    for words in (["list"], ["show", "pspy"]):
        code, out, _ = command.run("detections", *words, "-c", other)
        assert code == 0
        assert not any("own.toml" in line for line in out)
    assert command.ids("-c", other) == SHIPPED


def test_show_tells_the_file(command: Command) -> None:
    own = command.own("detections.d/own.toml", "own")
    shown = json.loads("".join(command.run("detections", "show", "own")[1]))
    assert (shown["id"], shown["origin"]) == ("own", own)
    assert command.run("detections", "show", "pspy", "--no-shipped")[0] == 2


def test_show_prints_only_a_mask_that_has_an_effect(command: Command) -> None:
    text = OWN.format(id="own").replace("[match]", '[match]\n"auditd.data.a2" = { number = 0, mask = 7 }')
    command.write("detections.d/own.toml", text)
    shown = json.loads("".join(command.run("detections", "show", "own")[1]))
    assert [condition.get("mask") for condition in shown["match"]] == [7, None]


def test_rules_print_has_the_rules_of_all(command: Command) -> None:
    assert command.run("rules", "print") == (0, [SHIPPED_RULE], [])
    command.own("detections.d/own.toml", "own")
    own_rule = "-w /etc/own -p r -k own"
    assert command.run("rules", "print") == (0, [SHIPPED_RULE, own_rule], [])
    assert command.run("rules", "print", "--no-shipped") == (0, [own_rule], [])
    other = command.write("other.toml", "[source]\naudit_rules = ['-w /etc/ -p r -k etc']\n")
    assert command.run("rules", "print", "-c", other) == (0, ["-w /etc/ -p r -k etc"], [])


def test_dump_shows_and_reloads_selection(command: Command) -> None:
    own = command.own("own.toml", "own")
    command.own("detections.d/other.toml", "other")
    code, out, _ = command.run("config", "dump", "--detections", own, "--no-shipped")
    assert code == 0
    assert "shipped = false" in out
    assert any(line.startswith("# ") and line.endswith("detections.d") for line in out)
    dumped = command.write("dumped.toml", "\n".join(out))
    assert command.ids("-c", dumped) == ["other", "own"]


def test_dry_run_adds_rules_of_own_detections(command: Command) -> None:
    own = command.own("own.toml", "own")
    code, out, err = command.run("run", "--dry-run", "--detections", own, "--no-shipped", "--source", "x")
    assert (code, out) == (2, [])
    assert "--source" in err[0]
    bad = command.write("detections.d/bad.toml", 'id = "x"\n')
    code, out, err = command.run("run", "--dry-run")
    assert (code, out, err) == (2, [], [f"auditsense: error: {bad}: match, {MISSING} are missing"])


def test_compile_adds_to_the_shipped_detections(command: Command) -> None:
    own = command.own("own.toml", "own")
    command.own("detections.d/other.toml", "other")

    def compiled(*words: str) -> list[bool]:
        code, out, _ = command.run("detections", "compile", *words)
        assert code == 0
        return [any(f'"{name}"' in line for line in out) for name in ("pspy", "own", "other")]

    assert compiled() == [True, False, False]
    assert compiled(own) == [True, True, False]
    assert compiled(own, "--no-shipped") == [False, True, False]
    config = command.write("third.toml", f"[detections]\npaths = ['{command.own('e.toml', 'other')}']\n")
    assert compiled("-c", config) == [True, False, True]


def test_duplicate_id_names_both_files(command: Command) -> None:
    first, second = command.own("detections.d/a.toml", "same"), command.own("detections.d/b.toml", "same")
    code, out, err = command.run("detections", "list")
    assert (code, out) == (2, [])
    assert err == [
        f"auditsense: error: {second}: the id 'same' is taken by a detection of {first}; give it another"
    ]
    Path(second).unlink()
    copy = command.own("copy.toml", "pspy")
    code, _, err = command.run("run", "--dry-run", "--detections", copy)
    assert code == 2
    assert f"{copy}: the id 'pspy' is taken by a detection shipped with auditsense" in err[0]
    assert err[0].endswith("or leave the shipped ones out (--no-shipped)")


def test_file_named_twice_is_read_once(command: Command) -> None:
    own = command.own("detections.d/own.toml", "own")
    folder = str(Path(own).parent)
    assert command.ids(
        "--detections", own, "--detections", folder, "--detections", f"{folder}/../detections.d"
    ) == [*SHIPPED, "own"]


def test_check_reports_every_file(command: Command) -> None:
    good, other = command.own("mine/a.toml", "a"), command.own("mine/sub/c.toml", "c")
    bad, copy = command.write("mine/b.toml", 'id = "x"\n'), command.own("mine/d.toml", "a")
    folder = str(Path(good).parent)
    code, out, err = command.run("detections", "check", folder)
    assert code == 1
    assert out == [
        "native   auditd_manager  detection",
        f"runs     runs            {good}: a, Own a",
        f"refused  refused         {bad}: match, {MISSING} are missing",
        f"refused  refused         {copy}: the id 'a' is taken by a detection of {good}; give it another",
        f"runs     runs            {other}: c, Own c",
    ]
    assert err == [
        "auditsense: 4 files, 2 refused",
        "auditsense: native: 2 run, 0 run with limits, 0 can never match",
        "auditsense: auditd_manager: 2 run, 0 run with limits, 0 can never match",
    ]
    Path(bad).unlink()
    Path(copy).unlink()
    assert command.run("detections", "check", folder)[::2][0] == 0
    code, out, _ = command.run("detections", "check", good)
    assert (code, out[1:]) == (0, [f"runs     runs            {good}: a, Own a"])


def test_check_refuses_an_audit_rule_that_run_refuses(command: Command) -> None:
    text = re.sub('audit_rule = ".*"', 'audit_rule = "-a always,exit -F path=/etc/shadow -k"', OWN)
    bad = command.write("mine/a.toml", text.format(id="a"))
    code, _, err = command.run("detections", "check", bad)
    assert (code, err[0]) == (
        1,
        f"auditsense: error: {bad}: detection 'a': audit_rule: -k is the last word: its value is missing",
    )


def test_check_compares_with_shipped_and_configured(command: Command) -> None:
    copy = command.own("mine/a.toml", "pspy")
    assert command.run("detections", "check", copy)[0] == 1
    assert command.run("detections", "check", copy, "--no-shipped")[0] == 0
    taken = command.own("own.toml", "own")
    config = command.write("other.toml", f"[detections]\npaths = ['{taken}']\n")
    again = command.own("mine/b.toml", "own")
    assert command.run("detections", "check", again)[0] == 0
    assert command.run("detections", "check", again, "-c", config)[0] == 1
    assert command.run("detections", "check", taken, "-c", config)[0] == 0


def test_nothing_left_to_detect_is_an_error(command: Command) -> None:
    code, out, err = command.run("detections", "list", "--no-shipped")
    assert (code, out) == (2, [])
    assert err[0].endswith("no detection is left without the shipped ones; name a file with --detections")


def test_empty_default_folder_is_accepted(command: Command) -> None:
    command.own("detections.d/own.toml", "own")
    Path(f"{command.etc}/detections.d/own.toml").unlink()
    assert command.ids() == SHIPPED
    code, _, err = command.run("detections", "list", "--detections", f"{command.etc}/detections.d")
    assert code == 2
    assert "no .toml file in this folder" in err[0]


def test_link_to_a_folder_is_refused(command: Command, tmp_path: Path) -> None:
    command.own("detections.d/own.toml", "own")
    (tmp_path / "etc/detections.d/loop").symlink_to(tmp_path / "etc/detections.d")
    code, _, err = command.run("detections", "list")
    assert code == 2
    assert "loop: a link to a folder is not followed; name the folder itself" in err[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="the rules for root")
@pytest.mark.parametrize("spoiled", ["detections.d", "detections.d/team", "detections.d/team/own.toml"])
def test_root_refuses_default_folder_writable_by_others(
    command: Command, tmp_path: Path, spoiled: str
) -> None:
    command.own("detections.d/team/own.toml", "own")
    (tmp_path / "etc" / spoiled).chmod(0o777)
    code, _, err = command.run("detections", "list")
    assert code == 2
    assert "others may change it; root loads only what root alone may write" in err[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="the rules for root")
def test_root_refuses_empty_folder_writable_by_others(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "etc/detections.d"
    folder.mkdir(mode=0o755)
    folder.chmod(0o777)
    assert command.run("detections", "list")[0] == 2


def test_default_folder_is_below_etc() -> None:
    assert str(FOLDER / "detections.d") == "/etc/auditsense/detections.d"


UNNAMED = """
id = "ptrace"
name = "Ptrace"
version = 1
severity = "low"
risk_score = 1
match = { "auditd.data.syscall" = "ptrace", "auditd.data.a0" = { number = [16] }, "process.name" = "x" }
window = { matches = 1, within = "1s" }
"""


def test_rules_derive_prints_rules_of_conditions(command: Command) -> None:
    file = command.write("ptrace.toml", UNNAMED)
    code, out, err = command.run("rules", "derive", "--no-shipped", "--detections", file)
    assert code == 0
    assert out[0].removeprefix("-a always,exit -F arch=") == "b64 -S ptrace -F a0=0x10 -k auditsense"
    assert err == [f"auditsense: {len(out)} audit rules for 1 detection"]
    assert command.run("rules", "print", "--no-shipped", "--detections", file) == (0, out, [])


def test_rules_derive_explains_in_comments(command: Command) -> None:
    """The output is a file for auditctl."""
    file = command.write("ptrace.toml", UNNAMED)
    code, out, _ = command.run("rules", "derive", "--explain", "--detections", file)
    assert code == 0
    comments = [line.removeprefix("#").strip() for line in out if line.startswith("#")]
    assert next(line for line in out if not line.startswith("#")).endswith("-F inode=1 -k auditsense")
    assert "a0: auditd.data.a0 as a number is 16" in comments
    assert "calls: auditd.data.syscall is ptrace" in comments
    assert "compared by the sensor alone: process.name" in comments
    assert "cost: low: such calls are rarely made" in comments


def test_costly_rules_are_printed_when_asked_for(command: Command) -> None:
    every_open = UNNAMED.replace('= "ptrace", "auditd.data.a0" = { number = [16] }', '= "openat"')
    selected = ("--no-shipped", "--detections", command.write("opens.toml", every_open))
    code, out, err = command.run("rules", "derive", *selected)
    assert (code, out) == (0, [])
    assert err == [
        "auditsense: 0 audit rules for 1 detection; cannot fire without costly rules (--with costly): ptrace"
    ]
    for words in (("derive", "--with", "costly"), ("print", "--costly-rules")):
        code, out, _ = command.run("rules", *words, *selected)
        assert (code, out[0]) == (0, "-a always,exit -F arch=b64 -S openat -k auditsense")


def test_joined_detection_that_does_not_exist_is_named(command: Command) -> None:
    text = OWN.format(id="a").replace("audit_rule", 'joins = ["pspy", "proc_scan"]\naudit_rule')
    path = command.write("detections/a.toml", text)
    warning = "joins names 'proc_scan', and no detection has this id; did you mean proc-scan?"
    code, out, _ = command.run("detections", "check", path)
    assert (code, [line.strip() for line in out[2:]]) == (0, [warning])
    log = command.write("audit.log", TEXT.decode())
    for shipped in ("--shipped", "--no-shipped"):
        code, _, err = command.run("replay", log, shipped, "--detections", path)
        assert (code, err[0]) == (0, f"auditsense: {path}: {warning}")
