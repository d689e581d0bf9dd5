"""SIGHUP during `auditsense run`, without a kernel."""

from __future__ import annotations

import os
import pty
import signal
from typing import TYPE_CHECKING

import pytest

from auditsense import Sensor
from auditsense.cli import sighup
from auditsense.cli.common import stop_signals
from auditsense.cli.parser import build_parser
from auditsense.cli.run import confinement_of
from auditsense.cli.sd_notify import ServiceNotifier
from auditsense.cli.sighup import HangupHandler
from auditsense.config.settings import build_settings, load_config
from auditsense.testing import FakeClock, FakeSource, burst

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
OTHERS = "proc-scan, proc-scan-session, proc-scan-slow"


STARTS = """
id = "starts"
name = "Starts"
version = 1
severity = "low"
risk_score = 21
eql = 'process where event.action == "executed" and not event.action == "exec"'
"""


class RunInMemory:
    """One `run` with a configuration file, its source in memory."""

    def __init__(self, file: Path | None, manager: ServiceNotifier | None = None) -> None:
        flags = ["-c", str(file)] if file is not None else []
        arguments = build_parser().parse_args(["run", *flags])
        settings = build_settings(load_config(arguments))
        self.stopped = 0
        self.source = FakeSource()
        self.sensor = Sensor(
            settings.detections, source=self.source, clock=FakeClock(), policy=settings.policy
        )
        self.reloading = HangupHandler(arguments, settings, manager or ServiceNotifier({}), self.stop)

    def stop(self) -> None:
        self.stopped += 1

    def hang_up(self) -> None:
        signal.raise_signal(signal.SIGHUP)
        self.reloading.poll(self.sensor, lambda: "")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "a.toml", "")


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    file.chmod(0o644)
    return file


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the terminal, if there is one."""
    opened = os.open
    absent = "/nonexistent/tty"
    monkeypatch.setattr(
        os,
        "open",
        lambda path, *more, **named: opened(absent if path == "/dev/tty" else path, *more, **named),
    )
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_reload_happens_between_turns_and_is_reported(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = RunInMemory(file)
    with stop_signals(session.stop), session.reloading, session.sensor:
        session.source.send(*burst(9))
        assert session.sensor.poll() == []
        write(file, "[alerts]\nsuppress = '1s'\n[source]\nlean = true\n")
        session.hang_up()
        output = capsys.readouterr().err
        assert "auditsense: source.lean: changed, needs a restart\n" in output
        assert f"auditsense: configuration reloaded: {file}; detections: pspy, {OTHERS}\n" in output
        session.source.send(*burst(10)[9:])
        (alert,) = session.sensor.poll()
        assert alert["auditsense"]["count"] == 10
        session.reloading.poll(session.sensor, lambda: "")  # once for each signal
        assert capsys.readouterr().err == ""
    assert session.stopped == 0


@pytest.mark.parametrize("reloads", [True, False])
def test_what_a_reload_needs_is_loaded_where_sighup_is_one(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    reloads: bool,  # noqa: FBT001 - a column
) -> None:
    loaded = []
    monkeypatch.setattr(sighup, "load_for_reload", lambda: loaded.append(True))
    RunInMemory(file if reloads else None).reloading.prepare()
    assert bool(loaded) is reloads


def test_wrong_configuration_is_reported_and_not_applied(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = RunInMemory(file)
    with stop_signals(session.stop), session.reloading, session.sensor:
        detections = session.sensor.detections
        write(file, "[alerts]\nmax_alert = 1\nmax_bursts = 0\n[detections]\npaths = ['/nonexistent']\n")
        session.hang_up()
        output = capsys.readouterr().err.splitlines()
        assert output[0].startswith(f"auditsense: error: {file}:2: alerts.max_alert: ")
        assert output[1].startswith(f"auditsense: error: {file}:3: alerts.max_bursts: ")
        assert output[-1] == "auditsense: the configuration was not reloaded; the previous one stays active"
        assert session.sensor.detections is detections
        file.unlink()
        session.hang_up()
        assert "No such file or directory" in capsys.readouterr().err
    assert session.stopped == 0


def test_reload_adds_audit_rule(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write(
        file.with_name("other.toml"),
        'id = "o"\nname = "O"\nversion = 1\nseverity = "low"\nrisk_score = 1\naudit_rule = "-w /etc/ -p w"\n'
        '[match]\n"auditd.data.key" = "x"\n[window]\nby = ["process.pid"]\nmatches = 1\nwithin = "1s"\n',
    )
    session = RunInMemory(file)
    with stop_signals(session.stop), session.reloading, session.sensor:
        write(file, f"[detections]\npaths = ['{other}']\n")
        session.hang_up()
        assert "audit rules added: -w /etc/ -p w\n" in capsys.readouterr().err
        assert session.source.audit_rules[-1] == "-w /etc/ -p w"


def test_reload_derives_no_rules_for_keys_that_need_a_restart(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the active mapping, `native`, an execve has both actions, so the query selects no event."""
    rule = write(file.with_name("starts.toml"), STARTS)
    session = RunInMemory(file)
    with stop_signals(session.stop), session.reloading, session.sensor:
        write(file, f"[detections]\nmapping = 'auditd_manager'\npaths = ['{rule}']\n")
        session.hang_up()
    output = capsys.readouterr().err
    assert "auditsense: detections.mapping: changed, needs a restart\n" in output
    assert f"detections: pspy, {OTHERS}, starts\n" in output
    assert "audit rules" not in output


def test_broken_file_of_default_folder_keeps_detections(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("auditsense.config.settings.load_config.__defaults__", (tmp_path,))
    folder = tmp_path / "detections.d"
    folder.mkdir(mode=0o755)
    session = RunInMemory(None)
    with stop_signals(session.stop), session.reloading, session.sensor:
        detections = session.sensor.detections
        broken = write(folder / "broken.toml", 'id = "x"\n')
        session.hang_up()
        assert (
            f"auditsense: error: {broken}: match, window, name, version, severity, risk_score are missing\n"
            in capsys.readouterr().err
        )
        assert session.sensor.detections is detections
        broken.unlink()
        session.hang_up()
        assert f"configuration reloaded: {folder}; detections: pspy, {OTHERS}\n" in capsys.readouterr().err
    assert session.stopped == 0


def test_sighup_without_configuration_stops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("auditsense.config.settings.load_config.__defaults__", (tmp_path,))
    session = RunInMemory(None)
    with stop_signals(session.stop), session.reloading, session.sensor:
        session.hang_up()
    assert session.stopped == 1


def test_sighup_under_nohup_reloads_without_stopping(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    session = RunInMemory(file)
    with stop_signals(session.stop), session.reloading, session.sensor:
        session.hang_up()
        assert "configuration reloaded" in capsys.readouterr().err
    assert session.stopped == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_terminal_hangup_stops_despite_configuration(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    opened = os.open
    name = os.ttyname(theirs)
    monkeypatch.setattr(
        os,
        "open",
        lambda path, *more, **named: opened(name if str(path).endswith("/tty") else path, *more, **named),
    )
    session = RunInMemory(file)
    with stop_signals(session.stop), session.reloading, session.sensor:
        monkeypatch.undo()
        session.hang_up()
        assert session.stopped == 0
        os.close(ours)
        session.hang_up()
        assert session.stopped == 1
    os.close(theirs)


def test_file_with_a_relative_path_can_be_read_again(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = build_parser().parse_args(["run", "-c", file.name])
    assert str(tmp_path) in confinement_of(build_settings(load_config(arguments)), ()).access.read


def test_optional_detection_opens_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = build_parser().parse_args(["run", "--detections", "shipped:proc-read-by-number"])
    (tmp_path / "below").mkdir()
    arguments.config = str(write(tmp_path / "below" / "a.toml", ""))
    assert str(tmp_path) not in confinement_of(build_settings(load_config(arguments)), ()).access.read
