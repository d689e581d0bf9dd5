"""Logs and sockets that the broker opens again for a sensor: rotation, removal, reconnection."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from auditsense.cli.run import let_reopen
from auditsense.errors import InputError
from auditsense.kernel.broker import Broker
from auditsense.sources.af_unix import AuditdSocket
from auditsense.sources.tail import LogTail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditsense.sources.text_source import TextSource


@contextmanager
def reopened(source: TextSource) -> Iterator[Broker]:
    """Enter a source, with a broker that opens for it. Its own calls are never used."""
    with closing(Broker()) as broker:
        connection = let_reopen(source, broker)
        assert connection is not None
        broker.start()
        with closing(connection), source:
            yield broker


def reports(source: TextSource) -> list[str]:
    return [change.deviation.message for change in source.check()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user")
def test_log_of_another_user_is_refused_at_the_start(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.touch(0o600)
    os.chown(log, 65_534, 65_534)
    with pytest.raises(InputError, match="run auditsense as that user"), reopened(LogTail(str(log))):
        pass


def test_rotated_logs_are_read_in_order(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.touch()
    source = LogTail(str(log))
    with reopened(source):
        log.write_bytes(b"1\n")
        for number, name in ((2, "audit.log.1"), (3, "audit.log.2")):
            if number == 3:
                (tmp_path / "audit.log.1").rename(tmp_path / name)
            log.rename(tmp_path / "audit.log.1")
            log.write_bytes(b"%d\n" % number)
        assert [source.read() for _ in range(4)] == [b"1\n", b"2\n", b"3\n", b""]
        log.rename(tmp_path / "audit.log.1")
        with (tmp_path / "audit.log.1").open("ab") as late:
            late.write(b"late\n")
        log.write_bytes(b"4\n")
        assert [source.read() for _ in range(3)] == [b"late\n", b"4\n", b""]
        assert reports(source) == []


def test_removed_log_is_read_when_it_is_back(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.touch()
    source = LogTail(str(log))
    with reopened(source):
        log.unlink()
        assert source.read() == b""
        assert reports(source) == [f"{log} is gone; it is read again when it is back"]
        log.write_bytes(b"back\n")
        assert source.read() == b"back\n"


def test_truncated_log_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"a long line before\n")
    source = LogTail(str(log))
    with reopened(source):
        os.truncate(log, 0)
        assert source.read() == b""
        with log.open("ab") as file:
            file.write(b"new\n")
        assert source.read() == b"new\n"


def test_link_is_the_log_that_it_named_at_the_start(tmp_path: Path) -> None:
    """And one that takes the place of the log is not opened."""
    log, link, other = tmp_path / "audit.log", tmp_path / "link", tmp_path / "other"
    log.touch()
    other.write_bytes(b"secret\n")
    link.symlink_to(log)
    source = LogTail(str(link))
    with reopened(source):
        log.write_bytes(b"1\n")
        assert source.read() == b"1\n"
        log.unlink()
        log.symlink_to(other)
        assert source.read() == b""
        assert reports(source) == [f"{link} cannot be read: Too many levels of symbolic links"]


def test_missing_log_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"audit\.log: No such file"),
        reopened(LogTail(str(tmp_path / "audit.log"))),
    ):
        pass
    with (
        pytest.raises(InputError, match=r"none/audit\.log: No such file"),
        reopened(LogTail(str(tmp_path / "none/audit.log"))),
    ):
        pass


def test_log_is_read_on_without_the_broker(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.touch()
    source = LogTail(str(log))
    with reopened(source) as broker:
        os.kill(broker.pid, signal.SIGKILL)
        os.waitid(os.P_PID, broker.pid, os.WEXITED | os.WNOWAIT)
        log.write_bytes(b"1\n")
        assert source.read() == b"1\n"
        assert source.read() == b""
        assert len(reports(source)) == 1


def test_socket_is_connected_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "events")
    source = AuditdSocket(path)
    with socket.socket(socket.AF_UNIX) as first:
        first.bind(path)
        first.listen()
        with reopened(source):
            monkeypatch.setattr(socket.socket, "connect", None)  # the source has to ask
            sender, _ = first.accept()
            sender.send(b"1\n")
            assert source.read() == b"1\n"
            sender.close()
            assert source.read() == b""
            source._next_s = 0.0  # do not wait
            assert source.read() == b""
            sender, _ = first.accept()
            sender.send(b"2\n")
            assert source.read() == b"2\n"
            sender.close()
