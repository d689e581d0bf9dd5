"""Memory that cannot change, for filters that compare addresses: names of files, and a message."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
from typing import TYPE_CHECKING

import pytest

from auditsense.cli.output import _confinement, _seal
from auditsense.kernel import sealed
from auditsense.sinks.config import FileSettings, JournaldSettings, open_sink
from auditsense.sinks.file import FileSink, SealedOpener
from auditsense.sinks.format import Format
from auditsense.sinks.journald import JournaldSink
from tests.support.children import in_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)

pytestmark = pytest.mark.skipif(not sealed.is_possible(), reason="there is no memory at this address")


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def raw(name: str, *arguments: int) -> Callable[[], object]:
    """Return a call of libc's that raises OSError."""

    def call() -> None:
        function = getattr(LIBC, name)
        function.restype = ctypes.c_long
        if function(*map(ctypes.c_long, arguments)) == -1:
            raise OSError(ctypes.get_errno(), "")

    return call


def lines(*documents: int) -> bytes:
    return b"".join(b'{"n": %d}\n' % number for number in documents)


def test_missing_memory_is_reported_and_the_sink_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = FileSettings(tmp_path / "alerts")
    sink = open_sink(settings, Format.JSONL)
    assert isinstance(sink, FileSink)

    def run() -> list[str]:
        sealed._map(mmap.PAGESIZE)  # as if a library were there
        sealed.is_possible.cache_clear()
        kept = [_seal(settings, sink, brokered=brokered) for brokered in (False, True)]
        printed = capsys.readouterr().err
        _confinement(settings, None, 0, kept[0], brokered=False)()
        sink.reopen()
        sink.write_lines(lines(1))
        return [repr(kept), printed]

    kept, printed = in_child(run)
    assert kept == "[None, None]"
    assert printed.count("no memory is available at 0x20000; is vm.mmap_min_addr higher?") == 1
    assert (tmp_path / "alerts").read_bytes() == lines(1)


def test_file_is_written_rotated_and_reopened(tmp_path: Path) -> None:
    settings = FileSettings(tmp_path / "alerts", size=4096, keep=2)
    sink = open_sink(settings, Format.JSONL)
    assert isinstance(sink, FileSink)

    def run() -> str:
        kept = _seal(settings, sink, brokered=False)
        _confinement(settings, None, 0, kept, brokered=False)()
        sink.write_lines(lines(1))
        sink.opener.rotate(sink.fileno())
        sink.reopen()
        sink.write_lines(lines(2))
        sink.opener.rotate(sink.fileno())
        sink.reopen()
        sink.write_lines(lines(3))
        return type(sink.opener).__name__

    assert in_child(run) == SealedOpener.__name__
    assert [(tmp_path / name).read_bytes() for name in ("alerts", "alerts.1", "alerts.2")] == [
        lines(3),
        lines(2),
        lines(1),
    ]


def test_file_that_was_renamed_is_not_rotated(tmp_path: Path) -> None:
    settings = FileSettings(tmp_path / "alerts", size=4096)
    sink = open_sink(settings, Format.JSONL)
    assert isinstance(sink, FileSink)

    def run() -> str:
        kept = _seal(settings, sink, brokered=False)
        _confinement(settings, None, 0, kept, brokered=False)()
        sink.opener.rotate(sink.fileno())
        return "done"

    (tmp_path / "alerts").rename(tmp_path / "moved")
    (tmp_path / "alerts").touch()
    assert in_child(run) == "done"
    assert not (tmp_path / "alerts.1").exists()


def test_nothing_else_is_opened_and_the_names_stay(tmp_path: Path) -> None:
    settings = FileSettings(tmp_path / "alerts")
    other = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    sink = open_sink(settings, Format.JSONL)
    page = mmap.PAGESIZE

    def run() -> dict[str, str]:
        kept = _seal(settings, sink, brokered=False)
        assert kept is not None
        folder = kept.fileno()
        _confinement(settings, None, 0, kept, brokered=False)()
        own = mmap.mmap(-1, page)  # later memory is above, and may be changed and freed
        own[:3] = b"own"
        own.close()
        attempts: dict[str, Callable[[], object]] = {
            "new file": lambda: os.open("new", os.O_WRONLY | os.O_CREAT, dir_fd=folder),
            "same name elsewhere": lambda: os.open("alerts", os.O_RDWR, dir_fd=other),
            "same name in other memory": lambda: os.open("alerts", sealed.FILE_FLAGS, 0o600, dir_fd=folder),
            "rename": lambda: os.rename("alerts", "new", src_dir_fd=folder, dst_dir_fd=folder),
            "close the folder": lambda: os.close(folder),
            "replace the folder": lambda: os.dup2(other, folder),
            "write": raw("mprotect", sealed.FIRST, page, 3),
            "write from below": raw("mprotect", sealed.FIRST - page, 2 * page, 3),
            "free": raw("munmap", sealed.FIRST, page),
            "empty": raw("madvise", sealed.FIRST, page, 4),
            "map over": raw("mmap", sealed.FIRST, page, 3, 0x32, -1, 0),
            "map over from below": raw("mmap", sealed.FIRST - page, 2 * page, 3, 0x32, -1, 0),
            "move": raw("mremap", sealed.FIRST, page, page, 1),
            "move over": raw("mremap", ctypes.addressof(ctypes.c_char()), page, page, 3, sealed.FIRST),
        }
        return {name: outcome(attempt) for name, attempt in attempts.items()}

    found = in_child(run)
    os.close(other)
    assert found == dict.fromkeys(found, "EPERM")
    assert len(found) == 14


def test_long_entry_reaches_the_journal_and_no_other_socket(tmp_path: Path) -> None:
    path, elsewhere = str(tmp_path / "journal"), str(tmp_path / "other")
    receivers = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
    for receiver, place in zip(receivers, (path, elsewhere), strict=True):
        receiver.bind(place)
        receiver.settimeout(300)
    settings = JournaldSettings(path)
    long = "x" * (4 << 20)

    def run() -> list[str]:
        sink = open_sink(settings, Format.JSONL)
        assert isinstance(sink, JournaldSink)
        sink._socket = sink.connector(socket.AF_UNIX, socket.SOCK_DGRAM, path)  # as the broker does
        kept = _seal(settings, sink, brokered=True)
        _confinement(settings, None, 0, kept, brokered=True)()
        connected = sink._socket
        sink._send(long.encode())
        sink._send(b"SHORT=1\n")
        return [
            outcome(lambda: connected.sendmsg([b"x"], [], 0, elsewhere)),
            outcome(lambda: connected.sendto(b"x", elsewhere)),
            outcome(lambda: socket.send_fds(connected, [b""], [2])),
            outcome(lambda: connected.connect(elsewhere)),
        ]

    assert in_child(run) == ["EPERM"] * 4
    data, descriptors, _, _ = socket.recv_fds(receivers[0], 100, 1)
    assert data == b""
    with os.fdopen(descriptors[0], "rb") as entry:
        entry.seek(0)
        assert entry.read() == long.encode()
    assert receivers[0].recv(100) == b"SHORT=1\n"
    receivers[1].settimeout(0)
    with pytest.raises(BlockingIOError):
        receivers[1].recv(100)
    for receiver in receivers:
        receiver.close()
