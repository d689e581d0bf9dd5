"""The journal: the default sink where standard output leads there, and what journald's own listener costs."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import pytest

from auditsense.cli.output import wanted_sinks
from auditsense.doctor.proc import journald_listens
from auditsense.sinks.config import JournaldSettings, StdoutSettings, SyslogSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from auditsense.sinks.config import SinkSettings


class Journal:
    """A stream in place of the journal's, and the socket of journald."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.socket = folder / "socket"
        self.socket.touch()
        self.stream = (folder / "stream").open("w", encoding="utf-8")
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(JournaldSettings.__init__, "__defaults__", (str(self.socket),))
        status = os.fstat(self.stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")

    def sinks(
        self, *requested: SinkSettings, form: str | None = None, stdout: TextIO | None
    ) -> list[SinkSettings]:
        """Return the sinks of a program with this standard output."""
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)  # here: pytest sets its own between fixture and test
            return wanted_sinks(requested, form)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    journal = Journal(tmp_path, monkeypatch)
    with journal.stream:
        yield journal


def test_journal_is_the_default_under_systemd(journal: Journal) -> None:
    assert journal.sinks(stdout=journal.stream) == [JournaldSettings()]


def test_requested_sink_or_format_wins(journal: Journal) -> None:
    for sink in (SyslogSettings(), StdoutSettings()):
        assert journal.sinks(sink, stdout=journal.stream) == [sink]
    assert journal.sinks(form="jsonl", stdout=journal.stream) == [StdoutSettings()]


def test_redirected_output_is_no_journal(journal: Journal, tmp_path: Path) -> None:
    with (tmp_path / "alerts").open("w", encoding="utf-8") as redirected:  # JOURNAL_STREAM is inherited
        assert journal.sinks(stdout=redirected) == [StdoutSettings()]
    assert journal.sinks(stdout=None) == [StdoutSettings()]
    assert journal.sinks(stdout=io.StringIO()) == [StdoutSettings()]


@pytest.mark.parametrize("value", ["", "8:", "8:1", "x"])
def test_other_stream_is_no_journal(journal: Journal, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", value)
    assert journal.sinks(stdout=journal.stream) == [StdoutSettings()]


def test_missing_journald_leaves_standard_output(journal: Journal) -> None:
    journal.socket.unlink()
    assert journal.sinks(stdout=journal.stream) == [StdoutSettings()]


@pytest.mark.parametrize(
    ("name", "group", "expected"),
    [
        ("systemd-journal", "00000001", True),
        ("systemd-journal", "00000000", False),
        ("auditd", "00000001", False),
    ],
)
def test_journald_that_listens_is_found(tmp_path: Path, name: str, group: str, *, expected: bool) -> None:
    table = tmp_path / "proc/net/netlink"
    table.parent.mkdir(parents=True)
    table.write_text(f"sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode\n0 9 300 {group} 0 0 0 2 0 777\n")
    process = tmp_path / "proc/300"
    (process / "fd").mkdir(parents=True)
    (process / "fd/5").symlink_to("socket:[777]")
    (process / "comm").write_text(f"{name}\n")
    assert journald_listens(tmp_path) is expected
    assert not journald_listens(tmp_path / "missing")
