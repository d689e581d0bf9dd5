"""The broker: its operations for each client, and that it can do nothing else."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from auditsense.cli.output import _use_broker
from auditsense.kernel import broker as module
from auditsense.kernel.broker import Broker, SinkFile
from auditsense.kernel.privileges import User
from auditsense.sinks import SinkError
from auditsense.sinks.config import FileSettings
from auditsense.sinks.file import BrokeredOpener, FileSink
from auditsense.sinks.socket_sink import BrokeredConnector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER_ID = 65_534
NAMES = ("alerts.jsonl", "alerts.jsonl.1", "alerts.jsonl.2")


@contextmanager
def started(broker: Broker) -> Iterator[Broker]:
    """Run a broker until the block ends, without any other client then."""
    broker.start()
    pid = broker.pid
    try:
        yield broker
    finally:
        broker.close()
        with pytest.raises(ChildProcessError):  # it has ended and was reaped
            os.waitpid(pid, os.WNOHANG)


@contextmanager
def brokered_sink(folder: Path, *, size: int = 0) -> Iterator[FileSink]:
    """Return a sink whose file the broker opens."""
    broker = Broker()
    sink = FileSink(folder / NAMES[0], size=size, keep=2)
    place = SinkFile(os.open(folder, os.O_PATH | os.O_DIRECTORY), str(folder), NAMES)
    opener = BrokeredOpener(folder / NAMES[0], broker.add_file(place, sink.fileno()))
    sink.opener = opener
    broker.start()
    try:
        yield sink
    finally:
        sink.close()
        opener.close()
        broker.close()


def test_file_is_opened_again(tmp_path: Path) -> None:
    with brokered_sink(tmp_path) as sink:
        sink.write_lines(b"1\n")
        (tmp_path / NAMES[0]).rename(tmp_path / "moved")
        sink.reopen()
        sink.write_lines(b"2\n")
    assert (tmp_path / "moved").read_bytes() == b"1\n"
    assert (tmp_path / NAMES[0]).read_bytes() == b"2\n"
    assert (tmp_path / NAMES[0]).stat().st_mode & 0o777 == 0o600


def test_file_is_rotated_and_the_oldest_is_replaced(tmp_path: Path) -> None:
    lines = [b"%d" % digit * 4095 + b"\n" for digit in range(1, 5)]
    with brokered_sink(tmp_path, size=4096) as sink:
        for line in lines:
            sink.write_lines(line)
    assert [(tmp_path / name).read_bytes() for name in NAMES] == lines[:0:-1]


def test_file_that_was_renamed_is_not_rotated(tmp_path: Path) -> None:
    with brokered_sink(tmp_path) as sink:
        (tmp_path / NAMES[0]).rename(tmp_path / "moved")
        (tmp_path / NAMES[0]).write_bytes(b"another\n")
        sink.opener.rotate(sink.fileno())
    assert not (tmp_path / NAMES[1]).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize(
    ("owner", "group", "mode", "warned"),
    [
        (0, 0, 0o755, False),
        (OTHER_ID, 0, 0o775, False),
        (OTHER_ID, OTHER_ID, 0o775, True),
        (0, 0, 0o555, True),
    ],
)
def test_folder_in_which_the_broker_may_not_rotate_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, owner: int, group: int, mode: int, warned: bool
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    settings = FileSettings(folder / NAMES[0], size=4096, keep=2)
    os.chown(folder, owner, group)
    folder.chmod(mode)
    sink = FileSink(settings.path, size=4096, keep=2)
    broker = Broker()
    (opener,) = _use_broker(settings, sink, User(61_000, 61_000), broker)
    printed = capsys.readouterr().err
    broker.start()
    if warned:
        with pytest.raises(SinkError, match="Permission denied"):
            sink.opener.rotate(sink.fileno())
    else:
        sink.opener.rotate(sink.fileno())
        assert (folder / NAMES[1]).exists()
    assert ("can be neither rotated nor reopened" in printed) == warned
    sink.close()
    opener.close()
    broker.close()


def test_link_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"kept\n")
    with brokered_sink(tmp_path) as sink:
        (tmp_path / NAMES[0]).unlink()
        (tmp_path / NAMES[0]).symlink_to(target)
        with pytest.raises(SinkError, match="Too many levels of symbolic links"):
            sink.reopen()
    assert target.read_bytes() == b"kept\n"


def test_ended_broker_is_named(tmp_path: Path) -> None:
    broker = Broker()
    sink = FileSink(tmp_path / NAMES[0])
    place = SinkFile(os.open(tmp_path, os.O_PATH | os.O_DIRECTORY), str(tmp_path), NAMES)
    opener = BrokeredOpener(tmp_path / NAMES[0], broker.add_file(place, sink.fileno()))
    with started(broker):
        os.kill(broker.pid, signal.SIGKILL)
        with pytest.raises(SinkError, match=r"the broker has ended|reset|Broken pipe"):
            opener.open()
        opener.close()
        sink.close()


def test_only_the_named_socket_is_connected(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        broker = Broker()
        connector = BrokeredConnector(broker.add_socket(path))
        with started(broker):
            with connector(socket.AF_UNIX, socket.SOCK_DGRAM, "another") as sender:
                sender.send(b"alert")
            assert receiver.recv(100) == b"alert"
            with pytest.raises(OSError, match="wrong type"):
                connector(socket.AF_UNIX, socket.SOCK_STREAM, path)
            connector.close()


def test_files_of_the_sensor_are_removed_with_their_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    files = [run / name for name in ("lock", "missing", "control")]
    for file in (files[0], files[2]):
        file.touch()
    with started(Broker([*map(str, files)], [str(run)])) as broker:
        broker.keep()
        broker.clean()
        assert not run.exists()


@pytest.mark.parametrize("noted", [True, False])
def test_socket_of_another_sensor_stays(tmp_path: Path, *, noted: bool) -> None:
    path = tmp_path / "control"
    path.touch()
    with started(Broker([str(path)])) as broker:
        if noted:
            broker.keep()
            path.rename(tmp_path / "old")
            path.touch()
        broker.clean()
        assert path.exists()


@pytest.mark.parametrize("made", [True, False])
def test_socket_of_a_sensor_that_was_killed_early_is_removed(tmp_path: Path, *, made: bool) -> None:
    """After it was made and before it was noted."""
    path = tmp_path / "control"
    path.touch()
    with started(Broker([str(path)])) as broker:
        broker.before()
        if made:
            path.rename(tmp_path / "stale")
            path.touch()
        broker.clean()
        assert path.exists() is not made


def test_clients_have_separate_operations(tmp_path: Path) -> None:
    """A sink can neither remove the sensor's files nor open those of another sink."""
    lock = tmp_path / "lock"
    lock.touch()
    broker = Broker([str(lock), str(tmp_path / "control")])
    sink = FileSink(tmp_path / NAMES[0])
    place = SinkFile(os.open(tmp_path, os.O_PATH | os.O_DIRECTORY), str(tmp_path), NAMES)
    connection = broker.add_file(place, sink.fileno())
    sink.close()
    with started(broker):
        for request in (module.CLEAN, module.KEEP, module.DATAGRAMS, b"?"):
            connection.send(request)
            answer, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
            assert (answer, descriptors) == (b"\0", [])
        assert lock.exists()
        connection.close()


@contextmanager
def two_clients(folder: Path) -> Iterator[tuple[socket.socket, BrokeredOpener]]:
    """Return the connection of one sink, and the opener of another."""
    broker = Broker()
    clients = []
    for name in ("one", "two"):
        sink = FileSink(folder / name)
        place = SinkFile(os.open(folder, os.O_PATH | os.O_DIRECTORY), str(folder), (name, f"{name}.1"))
        clients.append(broker.add_file(place, sink.fileno()))
        sink.close()
    opener = BrokeredOpener(folder / "two", clients[1])
    with started(broker):
        yield clients[0], opener
        clients[0].close()
        opener.close()


def test_client_that_ends_with_an_answer_unread_ends_no_other(tmp_path: Path) -> None:
    with two_clients(tmp_path) as (first, opener):
        first.send(module.OPEN)
        first.recv(1, socket.MSG_PEEK)  # the answer is there
        first.close()  # the broker gets ECONNRESET
        os.close(opener.open())


def test_client_that_reads_no_answer_delays_no_other(tmp_path: Path) -> None:
    with two_clients(tmp_path) as (first, opener):
        first.send(b"?" * 1000)  # more answers than the buffer of its socket holds
        for _ in range(1000):  # the broker takes one request of each in turn
            os.close(opener.open())


def test_late_answer_is_not_the_next_one(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        opener = BrokeredOpener(tmp_path / "alerts", ours)
        ours.settimeout(0.01)
        with pytest.raises(SinkError, match="timed out"):
            opener.rotate(0)
        theirs.sendall(bytes([errno.ENOSPC]))  # to the request that has timed out

        def answer() -> None:
            for _ in range(2):
                theirs.recv(1)
            theirs.sendall(b"\0")

        answering = threading.Thread(target=answer)
        ours.settimeout(300)
        answering.start()
        opener.rotate(0)
        answering.join()
