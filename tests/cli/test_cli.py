"""Command line: exit codes, streams, and no tracebacks."""

from __future__ import annotations

import argparse
import errno
import gzip
import json
import os
import shlex
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense import Host, Stats, __version__
from auditsense.cli import main
from auditsense.cli.parser import EXAMPLES, EXIT_CODES, build_parser
from auditsense.config.keys import BY_PATH
from auditsense.core.ring import pack
from auditsense.errors import KernelCommandError
from auditsense.kernel import commands
from auditsense.kernel.rules import auditctl
from auditsense.replay import capture
from auditsense.sources import audit_socket
from auditsense.status.config import StatusSettings
from auditsense.testing import FakeKernel, burst

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditsense.cli.usage import Parser

PROGRAM = Path(sys.executable).with_name("auditsense")
WITHOUT_CAPABILITIES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
UNPRIVILEGED = Path(__file__).parents[1] / "support" / "unprivileged.py"
RULE = "-w /proc/ -p r -k audit_proc"
CALLS = "open,openat,io_uring_enter,openat2"
TEXT = b"".join(event.text for event in burst(12))


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "audit.log"
    path.write_bytes(TEXT)
    return str(path)


@pytest.fixture
def calm(tmp_path: Path) -> str:
    path = tmp_path / "calm.log"
    path.write_bytes(b"".join(event.text for event in burst(9)))
    return str(path)


def program(
    *arguments: str, before: Sequence[str] = (), **options: object
) -> subprocess.CompletedProcess[str]:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [*before, str(PROGRAM), *arguments], text=True, check=False, timeout=300, **streams
    )


def assert_one_error(stderr: str, *parts: str) -> None:
    assert stderr.startswith("auditsense: error: ")
    assert stderr.endswith("\n")
    assert stderr.count("\n") == 1, stderr
    for part in parts:
        assert part in stderr


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command in this process. Returns the exit code and both streams."""
    try:
        code = main(arguments)
    except SystemExit as ended:  # how argparse ends
        code = ended.code if isinstance(ended.code, int) else 0
    out, err = capsys.readouterr()
    return code, out, err


# --- usage ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["replya"], ["replya: unknown command; did you mean replay?"]),
        (["xyz"], ["xyz: unknown command; try auditsense --help"]),
        (["help", "replya"], ["replya: unknown command; did you mean replay?"]),
        (["schema", "foo"], ["foo: unknown value; choose document or status"]),
        (["completion"], ["shell is missing; try auditsense completion --help"]),
        (["run", "--duratoin", "5"], ["--duratoin: unknown option; did you mean --duration?"]),
        (["record", "--too", "x"], ["--too: unknown option; did you mean --to?"]),
        (
            ["replay", "--duration", "5", "-"],
            ["--duration: unknown option; it is an option of auditsense run"],
        ),
        (["--duration", "5", "run"], ["write it after the command, as in auditsense run --duration"]),
        (["config", "--lean", "dump"], ["write it after the command, as in auditsense config dump --lean"]),
        (["run", "-q", "-v"], ["--verbose: not possible together with --quiet"]),
        (["run", "--dry-run=yes"], ["--dry-run: takes no value, not 'yes'"]),
        (["run", "now"], ["now: unexpected argument; try auditsense run --help"]),
        (["run", "-c", ""], ["--config: a path is missing"]),
        (["replay", ""], ["PATH: a path is missing"]),
        (["units", "--to", ""], ["--to: a path is missing"]),
        (["replay", "--detections", "", "-"], ["--detections: a path is missing"]),
        (
            ["run", "--sink", "file:x.jsonl,rotate=3"],
            ["--sink: the sink file has no rotate; it has format, "],
        ),
        (
            ["run", "--self-test", "-1"],
            ['--self-test: must be a time, such as 30, 30s, 5m or 500ms, not "-1"'],
        ),
        (["run", "--self-test", "25h"], ['--self-test: must be 0s to 24h, not "25h"']),
        (["run", "--priority-boost", "99"], ["--priority-boost: must be 0 to 20 levels, not 99"]),
        (["status", "--watch", "1ms"], ['--watch: must be 50ms to 8760h, not "1ms"']),
        (["replay"], ["PATH", "try auditsense replay --help"]),
        (["replay", "--nonsense", "-"], ["--nonsense"]),
        (["replay", "--form", "jsonl", "-"], ["--form"]),
        (["replay", "-o", "alrets", "-"], ["--output alrets: unknown value; did you mean alerts?"]),
        (["replay", "--format", "xml", "-"], ["--format xml: unknown value; choose jsonl, compact or ocsf"]),
        (["replay", "-o", "events", "--fail-on-alert", "-"], ["-o events", "--fail-on-alert"]),
        (["run", "-o", "count"], ["--output count: unknown value; choose alerts, sequences or events"]),
        (
            ["run", "--duration", "soon"],
            ['--duration: must be a time, such as 30, 30s, 5m or 500ms, not "soon"'],
        ),
        (["run", "--duration", "0"], ['--duration: must be 1ms to 8760h, not "0"']),
        (["run", "--duration", "-1"], ["must be a time", 'not "-1"']),
        (["run", "--duration", "nan"], ["must be a time", 'not "nan"']),
        (["run", "--duration", "inf"], ["must be a time", 'not "inf"']),
        (
            ["run", "--source", "pcap"],
            ['--source: must be one of "auto", "netlink", "multicast"', 'not "pcap"'],
        ),
        (["run", "--source", "two\nlines"], ['not "two\\nlines"']),
        (["run", "--audit-rule", "-w"], ["--audit-rule"]),
        (["run", "--audit-rule=-a never,forever"], ["forever"]),
        (["run", "--detections", "/nonexistent.toml"], ["/nonexistent.toml: No such file or directory"]),
        (["replay", "--detections", "/nonexistent.toml", "-"], ["/nonexistent.toml: No such file"]),
        (["replay", "/nonexistent"], ["/nonexistent: No such file or directory"]),
        (["replay", "/two\nlines"], ["/two\\nlines: No such file or directory"]),
        (["record"], ["--to"]),
        (["record", "--to", "/nonexistent/x"], ["/nonexistent/x: No such file or directory"]),
        (["rules", "flush"], ["flush: unknown action; choose install, remove, check, list, print or derive"]),
        (["detections", "show", "psyp"], ["there is no detection 'psyp'; did you mean pspy?"]),
        (["detections", "check", "/nonexistent"], ["/nonexistent: No such file or directory"]),
    ],
)
def test_usage_error_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], parts: list[str]
) -> None:
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert_one_error(err, *parts)


@pytest.mark.parametrize("words", [[], ["rules"], ["detections"], ["config"]])
def test_missing_command_prints_help_as_error(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, err = call(capsys, *words)
    assert (code, out) == (2, "")
    assert err == call(capsys, *words, "--help")[1]


@pytest.mark.parametrize("words", [[], ["run"], ["rules", "install"]])
def test_help_command_equals_help_flag(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert call(capsys, "help", *words) == call(capsys, *words, "-h")


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_example_of_help_is_accepted(capsys: pytest.CaptureFixture[str], line: str) -> None:
    words = shlex.split(line.partition(" > ")[0].partition(" < ")[0])
    build_parser().parse_args(words[1:])
    assert capsys.readouterr() == ("", "")


def test_every_command_has_an_example() -> None:
    assert {*EXAMPLES} == {"", *build_parser().commands()}
    for parser in every_parser(build_parser()):
        assert "examples:\n" in (parser.epilog or ""), parser.prog


def test_help_texts_have_one_form() -> None:
    for parser in every_parser(build_parser()):
        for action in parser._actions:
            text = action.help or ""
            assert isinstance(action, argparse._SubParsersAction) or text[:1].islower(), text
            assert not text.endswith("."), text
        assert (parser.description or "").endswith("."), parser.prog


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("30s", 30), ("5m", 300), ("500ms", 0.5), ("1.5", 1.5), ("1.5h", 5400), ("0.05", 0.05)],
)
def test_time_is_the_same_in_flags_and_keys(text: str, seconds: float) -> None:
    for words in (["run", "--duration"], ["record", "--to", "x", "--duration"]):
        assert build_parser().parse_args([*words, text]).duration == seconds
    assert build_parser().parse_args(["status", "--watch", text]).watch == seconds
    assert build_parser().parse_args(["run", "--self-test", text]).self_test == seconds
    assert BY_PATH["source.self_test"].check(text) == seconds * 1000
    if "." not in text and text.isdigit():
        assert BY_PATH["source.self_test"].check(int(text)) == seconds * 1000


def every_parser(parser: Parser) -> Iterator[Parser]:
    yield parser
    for below in parser.commands().values():
        yield from every_parser(below)


def test_bad_detection_is_reported_with_file_and_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, log: str
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('id = "x"\n', encoding="utf-8")
    replay, check = ["replay", "--detections", str(bad), log], ["detections", "check", str(bad)]
    for arguments, expected in ((replay, 2), (check, 1)):
        code, out, err = call(capsys, *arguments)
        assert (code, out) == (expected, "")
        assert_one_error(err, f"{bad}: match, window, name, version, severity, risk_score are missing")


@pytest.mark.parametrize("command", ["", "run", "replay", "record", "rules", "detections"])
def test_help_is_data_and_lists_exit_codes(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, err = call(capsys, *command.split(), "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: auditsense")
    if not command:
        codes = " ".join(out.partition("exit codes:")[2].split())
        assert all(f"{number} " in codes for number in (0, 1, 2, 3, 4, 5, 10))


def test_docs_list_exit_codes() -> None:
    page = (Path(__file__).parents[2] / "docs/command-line.md").read_text(encoding="utf-8")
    rows = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    assert "\n".join(rows) in page.replace("`", "")


def test_version_is_that_of_the_core(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--version", "-V"):
        assert call(capsys, flag) == (0, f"auditsense {__version__}\n", "")


# --- replay ----------------------------------------------------------------------------------


def test_replay_prints_one_json_object_a_line(capsys: pytest.CaptureFixture[str], log: str) -> None:
    for view, states in (
        ("alerts", ["alert", "closed"]),
        ("sequences", ["sequence"] * 3),
        ("events", ["event"] * 12),
    ):
        code, out, err = call(capsys, "replay", log, "-o", view)
        assert (code, err) == (0, "")
        assert [json.loads(line)["auditsense"]["state"] for line in out.splitlines()] == states


def test_replay_prints_compact_lines_on_request(capsys: pytest.CaptureFixture[str], log: str) -> None:
    code, out, _ = call(capsys, "replay", "--format", "compact", log)
    assert code == 0
    alert, closed = out.splitlines()
    assert " low pspy: uid 65534 pspy64[4352], 10x /proc in 0.9 s" in alert
    assert ", 12x /proc in all" in closed


def test_count_output_is_one_object_with_every_counter(capsys: pytest.CaptureFixture[str], log: str) -> None:
    code, out, err = call(capsys, "replay", "-o", "count", log)
    assert (code, err, out.count("\n")) == (0, "", 1)
    counts = json.loads(out)
    assert set(counts) == {"alerts", "withheld", *Stats.__dataclass_fields__} - {"unknown_arches"}
    named = ("records", "events", "matches", "sequences", "alerts", "malformed", "incomplete", "lines")
    assert {name: counts[name] for name in named} == {
        "records": 48,
        "events": 12,
        "matches": 24,
        "sequences": 3,
        "alerts": 1,
        "malformed": 0,
        "incomplete": 0,
        "lines": 48,
    }


@pytest.fixture
def crowded(tmp_path: Path) -> str:
    """Return a log of 200 processes, each a burst."""
    path = tmp_path / "crowded.log"
    path.write_bytes(
        b"".join(
            event.text
            for n in range(200)
            for event in burst(10, ms=1_795_493_114_000 + n, serial=1 + 10 * n, pid=1 + n, every_ms=1)
        )
    )
    return str(path)


def test_replay_sends_every_alert(capsys: pytest.CaptureFixture[str], crowded: str) -> None:
    code, out, err = call(capsys, "replay", "--format", "jsonl", crowded)
    assert (code, out.count("\n"), err) == (0, 200, "")


@pytest.mark.parametrize(("most", "sent"), [(100, 20), (5, 1), (0, 0)])
def test_replay_reports_withheld_alerts(
    capsys: pytest.CaptureFixture[str], crowded: str, most: int, sent: int
) -> None:
    command = ("replay", "--max-alerts", str(most))
    code, out, err = call(capsys, *command, "--format", "jsonl", crowded)
    kinds = [json.loads(line)["event"]["kind"] for line in out.splitlines()]
    assert (code, kinds) == (0, ["alert"] * sent + ["state"])
    assert (
        err == f"auditsense: {200 - sent} alerts withheld: more than {most} in five minutes (--max-alerts)\n"
    )
    _, out, err = call(capsys, *command, "-o", "count", crowded)
    counts = json.loads(out)
    assert (counts["alerts"], counts["withheld"]) == (sent, 200 - sent)
    assert f"{200 - sent} alerts withheld" in err


@pytest.mark.parametrize("words", ["-1", "x", "1.5", "", "9999999999"])
def test_max_alerts_is_a_whole_number(capsys: pytest.CaptureFixture[str], crowded: str, words: str) -> None:
    code, _, err = call(capsys, "replay", f"--max-alerts={words}", crowded)
    assert code == 2
    assert "--max-alerts: must be a whole number of 0 or more" in err


@pytest.mark.parametrize("view", ["alerts", "sequences", "count"])
def test_fail_on_alert_sets_exit_code(
    capsys: pytest.CaptureFixture[str], log: str, calm: str, view: str
) -> None:
    assert call(capsys, "replay", "--fail-on-alert", "-o", view, log)[0] == 10
    assert call(capsys, "replay", "--fail-on-alert", "-o", view, calm)[0] == 0
    assert call(capsys, "replay", "-o", view, log)[0] == 0
    assert call(capsys, "replay", "--fail-on-alert", "-o", view, calm, log)[0] == 10


def test_damaged_input_exits_1_after_readable_part(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, log: str
) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(TEXT)[:-4])
    code, out, err = call(capsys, "replay", str(cut))
    assert code == 1
    assert [json.loads(line)["auditsense"]["state"] for line in out.splitlines()] == ["alert", "closed"]
    assert_one_error(err, f"{cut}: the compressed data ends in the middle")
    assert call(capsys, "replay", log, str(cut))[0] == 1


def test_warnings_go_to_standard_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(TEXT[:-1])
    code, out, err = call(capsys, "replay", str(path))
    assert (code, out.count("\n")) == (0, 2)
    assert err == f"auditsense: {path}: the last line has no end; it was read as it stands\n"


# --- detections and rules ------------------------------------------------------------------------


def test_shipped_detections_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "detections", "list")
    assert (code, err.count("\n")) == (0, 1)  # which others come with the package
    first, *others = out.splitlines()
    assert first == "pspy\tlow\tPotential Pspy Process Monitoring Detected\tshipped with auditsense"
    assert [line.split("\t")[0] for line in others][:3] == [
        "proc-scan",
        "proc-scan-session",
        "proc-scan-slow",
    ]
    code, out, _ = call(capsys, "detections", "show", "pspy")
    assert code == 0
    shown = json.loads(out)
    assert shown["version"] == 2
    assert shown["window"] == {"by": ["process.pid", "host.id"], "matches": 10, "within_ms": 5000}
    assert "mask" not in out  # of all bits


def test_rules_print_needs_no_privilege(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "rules", "print") == (0, f"{RULE}\n", "")


class Machine:
    """A host whose kernel is a fake one; the socket for records is one of a pair of local ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kernel = FakeKernel()
        self.ours, self.kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ours.setblocking(False)  # noqa: FBT003 - the standard library's own
        monkeypatch.setattr(commands, "NetlinkTransport", self._connect)
        monkeypatch.setattr("auditsense.cli.run.journald_listens", lambda _: False)
        monkeypatch.setattr(audit_socket, "open_data_socket", lambda _: self.ours)
        self._ask = audit_socket.register
        monkeypatch.setattr(audit_socket, "register", self._register)

    def _connect(self, _timeout_s: float) -> FakeKernel:
        self.kernel.closed = False  # each connection is closed by its user
        return self.kernel

    def _register(self, sock: socket.socket) -> list[bytes]:
        try:
            self.kernel.register()
            answer = 0
        except KernelCommandError as refused:
            answer = refused.errno or 0
        header = struct.Struct("=IHHII")
        self.kernels.send(header.pack(36, 2, 0, 1, 0) + struct.pack("=i", -answer) + bytes(16))
        status = struct.pack("=11I", 0, 1, 1, self.kernel.pid, 0, 64, 0, 0, 0, 0, 0)
        if answer:  # then it is asked who it is that owns the socket
            self.kernels.send(header.pack(60, 1000, 0, 2, 0) + status)
        return self._ask(sock)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    monkeypatch.setattr("auditsense.kernel.undo_journal_file.DEFAULT_FOLDER", tmp_path / "journals")
    settings = StatusSettings(tmp_path / "control")
    monkeypatch.setattr("auditsense.status.config.StatusSettings.of", lambda _: settings)
    machine = Machine(monkeypatch)
    with machine.ours, machine.kernels:
        yield machine


def test_audit_rule_is_installed_checked_listed_and_removed(
    capsys: pytest.CaptureFixture[str], machine: Machine
) -> None:
    def again() -> None:
        machine.kernel.closed = False

    assert call(capsys, "rules", "check") == (
        1,
        "",
        f"auditsense: the kernel does not have the audit rule {RULE}\n",
    )
    again()
    assert call(capsys, "rules", "remove")[0] == 0
    again()
    code, out, err = call(capsys, "rules", "install")
    assert (code, out, err) == (0, "", f"auditsense: the kernel has the audit rule {RULE} now\n")
    again()
    code, out, err = call(capsys, "rules", "install")
    assert (code, out, err) == (0, "", f"auditsense: the kernel has the audit rule {RULE} already\n")
    again()
    code, out, err = call(capsys, "rules", "check")
    assert (code, out) == (0, "")
    assert "audit is off" in err
    again()
    code, out, err = call(capsys, "rules", "list")
    assert (code, err) == (0, "")
    assert [auditctl.parse(line) for line in out.splitlines()] == [auditctl.parse(RULE)]
    again()
    assert call(capsys, "rules", "remove")[0] == 0
    assert machine.kernel.rules == []


def test_rules_of_own_detections_are_installed_checked_and_removed(
    capsys: pytest.CaptureFixture[str], machine: Machine, tmp_path: Path
) -> None:
    """`rules` handles what `run` needs with the same flags, not the shipped rule alone."""
    own_rule = "-w /etc/shadow -p r -k shadow"
    own = tmp_path / "own.toml"
    own.write_text(
        f"""
id = "own"
name = "Own"
version = 1
severity = "low"
risk_score = 1
audit_rule = "{own_rule}"
match = {{ "file.path" = "/etc/shadow" }}
window = {{ matches = 1, within = "1s" }}
""",
        encoding="utf-8",
    )

    def rules(action: str) -> tuple[int, list[str]]:
        machine.kernel.closed = False
        code, _, err = call(capsys, "rules", action, "--detections", str(own))
        return code, err.replace("auditsense: the kernel ", "").splitlines()

    assert call(capsys, "rules", "install")[0] == 0
    assert rules("check") == (1, [f"does not have the audit rule {own_rule}"])
    already, now = f"has the audit rule {RULE} already", f"has the audit rule {own_rule} now"
    assert rules("install") == (0, [already, now])
    assert rules("check")[0] == 0
    assert rules("remove")[0] == 0
    assert machine.kernel.rules == []


@pytest.mark.parametrize(("settings", "part"), [({"failure": 2}, "would panic"), ({"enabled": 2}, "rules.d")])
def test_rules_install_refuses_what_run_refuses(
    capsys: pytest.CaptureFixture[str], machine: Machine, settings: dict[str, int], part: str
) -> None:
    vars(machine.kernel).update(settings)
    before = machine.kernel.host_state()
    code, out, err = call(capsys, "rules", "install")
    assert (code, out) == (4, "")
    assert_one_error(err, part, f"add audit rule: {RULE.replace('/proc/', '/proc')}")
    assert machine.kernel.host_state() == before


def test_rules_install_accepts_present_rule_on_locked_kernel(
    capsys: pytest.CaptureFixture[str], machine: Machine
) -> None:
    vars(machine.kernel).update(failure=2, rules=[auditctl.parse(RULE).to_bytes()])
    assert call(capsys, "rules", "install") == (
        0,
        "",
        f"auditsense: the kernel has the audit rule {RULE} already\n",
    )


def test_rules_list_escapes_control_characters(capsys: pytest.CaptureFixture[str], machine: Machine) -> None:
    machine.kernel.rules = [auditctl.parse("-w /tmp/x -p r -k 'a\x1b[31mb'").to_bytes()]
    assert call(capsys, "rules", "list") == (0, "-w /tmp/x -p r -k a\\x1b[31mb\n", "")


# --- run and record, over a kernel in memory -------------------------------------------------------


def test_dry_run_prints_plan_and_changes_nothing(
    capsys: pytest.CaptureFixture[str], machine: Machine
) -> None:
    before = machine.kernel.host_state()
    code, out, err = call(capsys, "run", "--dry-run", "--only", "pspy")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "set backlog_wait_time: 15000 -> 0 jiffies",
        "set backlog_limit: 64 -> 32768 records",
        "become the owner of the audit socket",
        "add audit rule: -w /proc -p r -k audit_proc",
        "set enabled: 0 -> 1",
    ]
    assert machine.kernel.host_state() == before


def test_run_adds_rules_on_the_roots_of_all_procfs(
    capsys: pytest.CaptureFixture[str], machine: Machine
) -> None:
    assert machine.kernel.rules == []
    code, out, _ = call(capsys, "run", "--dry-run")
    added = [line for line in out.splitlines() if line.startswith("add audit rule: ")]
    assert code == 0
    assert added == [
        f"add audit rule: -a always,exit {conditions} -F inode=1 -F key=auditsense"
        for conditions in (f"-F arch=b64 -S {CALLS}", f"-F arch=b32 -S {CALLS}", "-S read")
    ]


def test_dry_run_reports_empty_plan(capsys: pytest.CaptureFixture[str], machine: Machine) -> None:
    vars(machine.kernel).update(enabled=1, pid=1, alive={1}, rules=[auditctl.parse(RULE).to_bytes()])
    code, out, err = call(capsys, "run", "--dry-run", "--only", "pspy")
    assert (code, out) == (0, "")
    name = Path("/proc/1/comm").read_text(encoding="utf-8").rstrip()
    assert err.splitlines() == [
        f"auditsense: source multicast: process 1 ({name}) owns the audit socket",
        "auditsense: nothing would be changed on this host",
    ]


def folder_content(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sink", "file:{}/none/x"], "cannot open {}/none/x: there is no folder {}/none"),
        (["--sink", "file:{}/link"], "cannot open {}/link: it is a symbolic link; name the file itself"),
        (["--sink", "file:{}"], "cannot open {}: Is a directory"),
        (["--sink", "file:{}/hard"], "cannot open {}/hard: it has another name as well (a hard link)"),
        (["--sink", "file:{}/x", "--sink", "file:{}/x"], "the sink file:{}/x is given twice"),
        (["--user", "no-such-user"], "--user: there is no user 'no-such-user'; name an account of this host"),
        (["--detections", "{}/none.toml"], "{}/none.toml: No such file or directory"),
        (["--source", "log:{}/none"], "{}/none: No such file or directory"),
        (["--source", "unix:{}/none"], "{}/none: No such file or directory; set active = yes"),
        (
            ["--source", "log:{}/plain", "--lean"],
            "--lean: not possible with source log:{}/plain, where auditd sets",
        ),
        (
            ["--source", "audisp", "--audit-rule", "-w /x -p r"],
            "--audit-rule: not possible with source audisp",
        ),
        (["--source", "audisp", "--on-tamper", "repair"], "--on-tamper: not possible with source audisp"),
        (["--self-test", "1ms"], "--self-test: must be 0 or 1s to 24h"),
        (["--user", ""], "--user: there is no user ''"),
    ],
)
def test_dry_run_refuses_what_run_refuses(
    capsys: pytest.CaptureFixture[str], machine: Machine, tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "link").symlink_to("plain")
    (tmp_path / "hard").hardlink_to(tmp_path / "plain")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    tmp_path.chmod(0o700)
    words = [word.replace("{}", str(tmp_path)) for word in words]
    before, files = machine.kernel.host_state(), folder_content(tmp_path)
    dry = call(capsys, "run", "--dry-run", *words)
    assert message.replace("{}", str(tmp_path)) in dry[2]
    assert (dry[1], machine.kernel.host_state(), folder_content(tmp_path)) == ("", before, files)
    real = call(capsys, "run", "--duration", "50ms", *words)
    assert dry[0] == real[0] != 0
    assert dry[2].splitlines()[-1] == real[2].splitlines()[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="the folder of a status socket is root's")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plain", "{}/plain exists and is not a socket; remove it"),
        ("open/s", "others may write {}/open; choose a folder that is root's alone"),
        ("plain/s", "{}/plain is not a folder"),
        ("none/none/s", "No such file or directory"),
    ],
)
def test_dry_run_checks_status_socket(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    words = ("run", "--source", f"log:{tmp_path}/plain", "--status-socket")
    before = folder_content(tmp_path)
    dry = call(capsys, *words, f"{tmp_path}/{name}", "--dry-run")
    assert folder_content(tmp_path) == before
    real = call(capsys, *words, f"{tmp_path}/{name}", "--duration", "50ms")
    assert (dry[0], dry[1]) == (1, "")
    assert message.replace("{}", str(tmp_path)) in dry[2]
    assert dry == real
    assert call(capsys, *words, f"{tmp_path}/new/s", "--dry-run")[0] == 0
    assert folder_content(tmp_path) == before


@pytest.mark.parametrize(
    ("settings", "code"),
    [({"enabled": 2}, 4), ({"failure": 2}, 4), ({"pid": 1}, 5), ({"pid": 1, "enabled": 2}, 4)],
)
@pytest.mark.parametrize("source", ["auto", "netlink"])
def test_dry_run_exits_as_run(
    capsys: pytest.CaptureFixture[str], machine: Machine, settings: dict[str, int], code: int, source: str
) -> None:
    vars(machine.kernel).update(settings, alive={1})
    dry = call(capsys, "run", "--source", source, "--dry-run")
    real = call(capsys, "run", "--source", source, "--duration", "50ms")
    assert dry == real
    assert (real[0], real[1]) == (code, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="drops to another user")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sink", "file:/root/auditsense-x"], "cannot open /root/auditsense-x"),
        (["--sink", "file:/usr/auditsense-x"], "no file can be created in /usr"),
        (["--status-socket", "/run/auditsense-x/control"], "Permission denied"),
    ],
)
def test_dry_run_notices_missing_rights(log: str, words: list[str], message: str) -> None:
    Path(log).chmod(0o644)
    for folder in Path(log).parents[:3]:
        folder.chmod(0o755)
    command = ["run", "--dry-run", "--source", f"log:{log}", *words]
    result = subprocess.run(
        [sys.executable, "-E", "-s", str(UNPRIVILEGED), *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode != 0
    assert message in result.stderr


def test_dry_run_warns_of_missing_journal_socket(
    capsys: pytest.CaptureFixture[str], machine: Machine, tmp_path: Path
) -> None:
    code, _, err = call(capsys, "run", "--dry-run", "--sink", f"syslog:{tmp_path}/none")
    del machine
    assert (code, err) == (
        0,
        f"auditsense: the sink syslog:{tmp_path}/none writes nothing until {tmp_path}/none exists\n",
    )


def test_quiet_run_prints_warnings_only(capsys: pytest.CaptureFixture[str], machine: Machine) -> None:
    position = len(["get", "look: get", "look: list", "get", "set wait", "set limit", "register"])
    machine.kernel.after[position] = lambda: setattr(machine.kernel, "rate_limit", 7)
    code, _, err = call(capsys, "run", "--quiet", "--duration", "50ms")
    assert (code, err.count("\n")) == (0, 1), err
    assert "except for changes by other processes: rate_limit is 7" in err


def test_run_reports_the_cost_of_journald(
    capsys: pytest.CaptureFixture[str], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    del machine
    monkeypatch.setattr("auditsense.cli.run.journald_listens", lambda _: True)
    code, _, err = call(capsys, "run", "--duration", "50ms")
    (line,) = (line for line in err.splitlines() if "journald" in line)
    assert code == 0
    assert "18,500 journal entries" in line
    assert "systemctl mask --now systemd-journald-audit.socket" in line


def test_quiet_run_without_warning_is_silent(capsys: pytest.CaptureFixture[str], machine: Machine) -> None:
    del machine
    assert call(capsys, "run", "-q", "--duration", "50ms") == (0, "", "")


def test_verbose_run_prints_its_settings(capsys: pytest.CaptureFixture[str], machine: Machine) -> None:
    del machine
    code, _, err = call(capsys, "run", "-v", "--lean", "--duration", "50ms")
    assert code == 0
    for line in (
        "configuration: no file",
        "source: netlink, because no other process owns the audit socket",
        "detections: pspy",
        "record filter: the kernel leaves out SOCKADDR, CWD, EXECVE, EOE, BPRM_FCAPS, PROCTITLE",
        "sinks: stdout",
        "self-test: every 5m",
        "watching; source netlink",
    ):
        assert f"auditsense: {line}" in err


def test_verbosity_of_replay(capsys: pytest.CaptureFixture[str], log: str) -> None:
    assert call(capsys, "replay", "-o", "count", log)[2] == ""
    assert call(capsys, "replay", "-o", "count", "-v", log)[2] == (
        f"auditsense: input: {log}\nauditsense: 48 records, 12 events, 24 matches\n"
    )
    Path(log).write_bytes(b"no record\n" + TEXT)
    warned = call(capsys, "replay", "-q", "-o", "count", log)[2]
    assert warned.count("\n") == 1
    assert "1 of 49 lines" in warned


def test_run_ends_after_duration_and_restores_host(
    capsys: pytest.CaptureFixture[str], machine: Machine
) -> None:
    before = machine.kernel.host_state()
    code, out, err = call(capsys, "run", "--duration", "0.05", "--only", "pspy")
    assert (code, out) == (0, "")
    *changes, first, last = err.splitlines()
    assert changes == [
        f"auditsense: changed on this host: {change}"
        for change in (
            "set backlog_wait_time from 15000 to 0 jiffies, so that no process waits for the sensor",
            "set backlog_limit from 64 to 32768 records, so that bursts are not lost",
            "became the owner of the audit socket, so that the kernel sends its records here",
            "added the audit rule -w /proc -p r -k audit_proc",
            "turned kernel audit on (enabled 1)",
        )
    ]
    assert first == f"auditsense: watching; source netlink, audit rules: {RULE}"
    assert last.endswith("; reverted the 5 changes; the host is as it was")
    assert " 0 alerts; lost: kernel 0, serials 0, incomplete 0" in last
    assert "set enabled=1" in machine.kernel.log
    assert machine.kernel.host_state() == before


def test_run_names_changes_of_other_processes(capsys: pytest.CaptureFixture[str], machine: Machine) -> None:
    position = len(["get", "look: get", "look: list", "get", "set wait", "set limit", "register"])
    machine.kernel.after[position] = lambda: setattr(machine.kernel, "rate_limit", 7)
    code, _, err = call(capsys, "run", "--duration", "0.05")
    assert code == 0
    assert err.endswith(
        "; the host is as it was, except for changes by other processes: rate_limit is 7, it was 0\n"
    )


def test_signal_ends_run_like_duration(capsys: pytest.CaptureFixture[str], machine: Machine) -> None:
    before = machine.kernel.host_state()
    position = len(["get", "set wait", "set limit", "register", "list", "add"])
    machine.kernel.after[position] = lambda: os.kill(os.getpid(), signal.SIGTERM)
    code, out, err = call(capsys, "run")
    assert (code, out) == (0, "")
    assert err.endswith("the host is as it was\n")
    assert machine.kernel.host_state() == before
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("command", [["run"], ["record", "--to"]])
@pytest.mark.parametrize(
    "refusal",
    [
        ({"enabled": 2}, 4, "locked until the next boot"),
        ({"failure": 2}, 4, "would panic"),
        ({"pid": 1}, 5, "owns the audit socket"),
    ],
)
def test_run_refuses_host_it_must_not_change(
    capsys: pytest.CaptureFixture[str],
    machine: Machine,
    tmp_path: Path,
    command: list[str],
    refusal: tuple[dict[str, int], int, str],
) -> None:
    settings, code, part = refusal
    command = [*command, str(tmp_path / "x")] if command == ["record", "--to"] else command
    vars(machine.kernel).update(settings, alive={1})
    before = machine.kernel.host_state()
    result, out, err = call(capsys, *command)
    assert (result, out) == (code, "")
    assert_one_error(err, part)
    assert machine.kernel.host_state() == before
    assert list(tmp_path.iterdir()) == []


def test_owner_that_came_first_is_named_and_host_restored(
    capsys: pytest.CaptureFixture[str], machine: Machine
) -> None:
    before = machine.kernel.host_state()
    machine.kernel.alive.add(1)

    def come() -> None:
        machine.kernel.pid = 1

    machine.kernel.after[len(["get", "look: get", "look: list", "get", "set wait"])] = come
    code, out, err = call(capsys, "run")
    assert (code, out) == (5, "")
    assert_one_error(
        err, "process 1 (", ") owns the audit socket; stop it, or auditsense run --source multicast"
    )
    machine.kernel.pid = 0
    assert machine.kernel.host_state() == before


def test_kernel_refusal_exits_1(capsys: pytest.CaptureFixture[str], machine: Machine) -> None:
    before = machine.kernel.host_state()
    machine.kernel.fail_at(2, errno.EINVAL)  # the first one asks whether titles are excluded
    code, out, err = call(capsys, "run")
    assert (code, out) == (1, "")
    assert_one_error(err, "EINVAL")
    assert machine.kernel.host_state() == before


def test_empty_capture_is_removed(
    capsys: pytest.CaptureFixture[str], machine: Machine, tmp_path: Path
) -> None:
    before = machine.kernel.host_state()
    code, out, err = call(capsys, "record", "--to", str(tmp_path / "x"), "--duration", "0.05")
    assert (code, out) == (0, "")
    assert err.splitlines()[0] == f"auditsense: capturing to {tmp_path}/x; audit rules: {RULE}"
    assert list(tmp_path.iterdir()) == []
    assert machine.kernel.host_state() == before


def test_record_captures_datagrams(
    capsys: pytest.CaptureFixture[str], machine: Machine, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    datagrams = [part for event in burst(12) for part in event.datagrams]
    for datagram in datagrams[:8]:  # a local socket holds few
        machine.kernels.send(datagram)
    code, _, err = call(capsys, "record", "--to", str(path), "--duration", "0.05")
    assert code == 0
    assert f", 8 datagrams, {path.stat().st_size} bytes in {path}" in err
    with path.open("rb") as file:
        assert file.readline() == capture.MAGIC
        assert capture.read_header("x", file).started > 0
        assert len(file.read()) == len(pack(datagrams[:8]))
    assert call(capsys, "record", "--to", str(path))[0] == 2


# --- the program -----------------------------------------------------------------------------------


def test_replay_reads_standard_input(log: str) -> None:
    with Path(log).open("rb") as file:
        result = program("replay", "-", "--fail-on-alert", stdin=file)
    assert (result.returncode, result.stderr) == (10, "")
    assert len(result.stdout.splitlines()) == 2


def test_replay_reads_captures_and_compressed_logs_as_one_stream(tmp_path: Path, log: str) -> None:
    first = tmp_path / "one"
    with capture.create(first, Host("f" * 32, "there"), 1) as file:
        file.write(pack([part for event in burst(12, pid=9, serial=100) for part in event.datagrams]))
    two = tmp_path / "two"
    two.write_bytes(gzip.compress(b"".join(event.text for event in burst(12, pid=7, serial=200))))
    result = program("replay", "-o", "count", log, str(first), str(two))
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["alerts"] == 3


def test_program_error_is_one_line(log: str) -> None:
    result = program("replay", "--nonsense", log)
    assert (result.returncode, result.stdout) == (2, "")
    assert_one_error(result.stderr, "--nonsense")


WRITING = [
    ["replay"],
    ["replay", "-o", "count"],
    ["replay", "-o", "events"],
    ["detections", "list"],
    ["rules", "print"],
    ["config", "sample"],
    ["config", "dump"],
    ["doctor"],
    ["doctor", "--json"],
    ["schema"],
    ["units"],
]


@pytest.mark.parametrize("arguments", [*WRITING, ["--help"]], ids=" ".join)
def test_reader_gone_ends_quietly_as_sigpipe_would(arguments: list[str], log: str) -> None:
    read, write = os.pipe()
    os.close(read)
    words = [*arguments, log] if arguments[0] == "replay" else arguments
    try:
        result = program(*words, stdout=write)
    finally:
        os.close(write)
    assert result.returncode == (0 if arguments == ["--help"] else 141)
    assert result.stderr == ""


@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
def test_full_disk_exits_1(arguments: list[str], log: str) -> None:
    words = [*arguments, log] if arguments[0] == "replay" else arguments
    with Path("/dev/full").open("wb") as full:
        result = program(*words, stdout=full)
    assert result.returncode == 1
    assert_one_error(result.stderr, "cannot write to standard output: No space left on device")


CLOSED = "standard output is closed; redirect it to a file or a pipe, or to /dev/null"


@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
@pytest.mark.parametrize("streams", [">&-", ">&- <&-"])
def test_closed_standard_output_is_refused(arguments: list[str], streams: str, log: str) -> None:
    words = [*arguments, log] if arguments[0] == "replay" else arguments
    shell = ["sh", "-c", f'"$@" {streams}', "sh", str(PROGRAM), *words]
    result = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 2
    assert_one_error(result.stderr, CLOSED)


@pytest.mark.parametrize("streams", [">&-", "1</dev/null", ">&- 2>&-", "<&- >&- 2>&-"])
def test_run_with_closed_standard_output_is_refused(streams: str) -> None:
    shell = ["sh", "-c", f'"$@" {streams}', "sh", str(PROGRAM), "run", "--duration", "1"]
    result = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 2
    if "2>&-" not in streams:
        assert_one_error(result.stderr, "; or name another place for documents with --sink")


@pytest.mark.parametrize("streams", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_matter_to_no_other_sink(streams: str, log: str, tmp_path: Path) -> None:
    """A file that is opened must not become standard output or error."""
    to = tmp_path / "alerts"
    words = ["run", "--source", f"log:{log}", "--duration", "0.3", "--sink", f"file:{to}"]
    words += ["--status-socket", "off"]
    shell = ["sh", "-c", f'"$@" {streams}', "sh", str(PROGRAM), *words]
    result = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0
    assert result.stdout == ""
    assert all(json.loads(line) for line in to.read_text(encoding="utf-8").splitlines())


def test_streams_closed_at_startup_cause_no_traceback(log: str) -> None:
    shell = ["sh", "-c", "", str(PROGRAM), log]
    shell[2] = '"$0" replay - <&-'
    result = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=300)
    assert (result.returncode, result.stdout) == (2, "")
    assert_one_error(result.stderr, "standard input is closed")
    shell[2] = '"$0" run --source audisp --status-socket off <&-'
    result = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=300)
    assert (result.returncode, result.stdout) == (2, "")
    assert_one_error(result.stderr, "standard input is closed; audisp reads what auditd writes there")
    shell[2] = '"$0" replay /nonexistent 2>&-'
    result = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=300)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "")


def test_interrupt_prints_no_traceback(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with (
        subprocess.Popen(
            [str(PROGRAM), "replay", str(fifo)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running,
        fifo.open("wb"),
    ):  # opens when the program has
        deadline = time.monotonic() + 300
        while True:  # pressed again, as a person does: between its open and its read one is only noted
            running.send_signal(signal.SIGINT)
            try:
                out, err = running.communicate(timeout=2)
                break
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline
    assert (running.returncode, out, err) == (130, "", "")


LOST_INTERRUPT = """
import argparse, os, signal, weakref
from auditsense import cli
from auditsense.cli import common, parser

class Thing:
    pass

def command(arguments):
    thing = Thing()
    watched = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
    del thing
    with common.stop_signals(lambda: print("stopped")):
        print("runs on")

class Parser:
    def parse_args(self, words):
        return argparse.Namespace(command=command)

parser.build_parser = lambda word: Parser()
raise SystemExit(cli.main())
"""


def test_interrupt_that_python_ignores_ends_a_start() -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-c", LOST_INTERRUPT], capture_output=True, text=True, check=False, timeout=300
    )
    assert "Exception ignored" in ended.stderr
    assert (ended.returncode, ended.stdout) == (130, "")


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(TEXT)
    secret.chmod(0)
    if os.geteuid() == 0:
        os.chown(secret, 65534, 65534)
    result = program("replay", str(secret), before=WITHOUT_CAPABILITIES)
    assert (result.returncode, result.stdout) == (2, "")
    assert_one_error(result.stderr, f"{secret}: Permission denied")


@pytest.mark.parametrize(
    "arguments", [["run"], ["run", "--dry-run"], ["rules", "list"], ["rules", "install"], ["record", "--to"]]
)
def test_unprivileged_user_cannot_use_kernel_audit(tmp_path: Path, arguments: list[str]) -> None:
    words = [*arguments, str(tmp_path / "x")] if arguments[0] == "record" else arguments
    result = program(*words, before=WITHOUT_CAPABILITIES)
    assert (result.returncode, result.stdout) == (3, "")
    lines = result.stderr.splitlines()
    assert [line.startswith("auditsense: error: ") for line in lines[-1:]] == [True]
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


# --- one parser ------------------------------------------------------------------------


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (result,) = (
        action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    return {**result}


def test_parser_of_one_command_equals_full_parser() -> None:
    every = subparsers(build_parser())
    assert {"run", "replay", "doctor"} < {*every}
    for name, one in every.items():
        assert {word: alone.format_help() for word, alone in subparsers(build_parser(name)).items()} == {
            name: one.format_help()
        }


@pytest.mark.parametrize("word", ["", "--help", "nonsense"])
def test_unknown_command_gets_full_parser(word: str) -> None:
    assert {*subparsers(build_parser(word))} == {*subparsers(build_parser())}
