"""What SIGHUP does to `auditsense run`, without a kernel."""

from __future__ import annotations

import os
import pty
import signal
from typing import TYPE_CHECKING

import pytest

from auditsense import Sensor
from auditsense.cli.common import stop_signals
from auditsense.cli.parser import build_parser
from auditsense.cli.sd_notify import ServiceNotifier
from auditsense.cli.sighup import HangupHandler
from auditsense.config.settings import build_settings, load_config
from auditsense.testing import FakeClock, FakeSource, burst

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Running:
    """One `run` with a configuration file, its source in memory."""

    def __init__(self, file: Path | None, manager: ServiceNotifier | None = None) -> None:
        named = ["-c", str(file)] if file is not None else []
        arguments = build_parser().parse_args(["run", *named])
        asked = build_settings(load_config(arguments))
        self.stopped = 0
        self.source = FakeSource()
        self.sensor = Sensor(asked.detections, source=self.source, clock=FakeClock(), policy=asked.policy)
        self.reloading = HangupHandler(arguments, asked, manager or ServiceNotifier({}), self.stop)

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
    """Let there be no terminal, whoever runs these tests."""
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


def test_a_reload_is_done_between_two_turns_and_said(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = Running(file)
    with stop_signals(one.stop), one.reloading, one.sensor:
        one.source.send(*burst(9))
        assert one.sensor.poll() == []
        write(file, "[alerts]\nsuppress = '1s'\n[source]\nlean = true\n")
        one.hang_up()
        said = capsys.readouterr().err
        assert "auditsense: source.lean: changed, needs a restart\n" in said
        assert f"auditsense: configuration reloaded: {file}; detections: pspy\n" in said
        one.source.send(*burst(10)[9:])
        (alert,) = one.sensor.poll()
        assert alert["auditsense"]["count"] == 10
        one.reloading.poll(one.sensor, lambda: "")  # once for each signal
        assert capsys.readouterr().err == ""
    assert one.stopped == 0


def test_what_is_wrong_is_said_and_nothing_changes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = Running(file)
    with stop_signals(one.stop), one.reloading, one.sensor:
        detections = one.sensor.detections
        write(file, "[alerts]\nmax_alert = 1\nmax_bursts = 0\n[detections]\npaths = ['/nonexistent']\n")
        one.hang_up()
        said = capsys.readouterr().err.splitlines()
        assert said[0].startswith(f"auditsense: error: {file}:2: alerts.max_alert: ")
        assert said[1].startswith(f"auditsense: error: {file}:3: alerts.max_bursts: ")
        assert said[-1] == "auditsense: the configuration was not reloaded; the previous one stays active"
        assert one.sensor.detections is detections
        file.unlink()
        one.hang_up()
        assert "No such file or directory" in capsys.readouterr().err
    assert one.stopped == 0


def test_reload_adds_audit_rule(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write(
        file.with_name("other.toml"),
        'id = "o"\nname = "O"\nversion = 1\nseverity = "low"\nrisk_score = 1\naudit_rule = "-w /etc/ -p w"\n'
        '[match]\n"auditd.data.key" = "x"\n[window]\nby = ["process.pid"]\nmatches = 1\nwithin = "1s"\n',
    )
    one = Running(file)
    with stop_signals(one.stop), one.reloading, one.sensor:
        write(file, f"[detections]\npaths = ['{other}']\n")
        one.hang_up()
        assert "audit rules added: -w /etc/ -p w\n" in capsys.readouterr().err
        assert one.source.audit_rules == ["-w /etc/ -p w"]


def test_without_a_configuration_it_is_a_hang_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("auditsense.config.settings.load_config.__defaults__", (tmp_path,))
    one = Running(None)
    with stop_signals(one.stop), one.reloading, one.sensor:
        one.hang_up()
    assert one.stopped == 1


def test_under_nohup_it_ends_nothing_and_still_reloads(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    one = Running(file)
    with stop_signals(one.stop), one.reloading, one.sensor:
        one.hang_up()
        assert "configuration reloaded" in capsys.readouterr().err
    assert one.stopped == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_terminal_that_has_hung_up_ends_it_also_with_a_configuration(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pty.openpty()
    opened = os.open
    name = os.ttyname(theirs)
    monkeypatch.setattr(
        os,
        "open",
        lambda path, *more, **named: opened(name if str(path).endswith("/tty") else path, *more, **named),
    )
    one = Running(file)
    with stop_signals(one.stop), one.reloading, one.sensor:
        monkeypatch.undo()
        one.hang_up()
        assert one.stopped == 0
        os.close(ours)
        one.hang_up()
        assert one.stopped == 1
    os.close(theirs)
