"""The process that connects for another one."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense.cli.output import _confinement
from auditsense.kernel.connector import Connector
from auditsense.ship.nats import NatsSettings, _DialingLoop
from auditsense.sinks.config import SyslogSettings, open_sink
from auditsense.sinks.dialer import Dialer
from auditsense.sinks.format import Format
from auditsense.sinks.syslog import SyslogSink
from tests.support.children import in_child
from tests.support.outputs import fake_document
from tests.support.receiver import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        one.settimeout(60)
        yield one


def dialer(host: str, port: int, kind: int = socket.SOCK_STREAM) -> tuple[Connector, Dialer]:
    connector = Connector(host, port, kind)
    connector.start(None)
    return connector, Dialer(connector.connection)


def test_connected_socket_comes_each_time(receiver: socket.socket) -> None:
    connector, dial = dialer("localhost", receiver.getsockname()[1])
    for text in (b"one", b"two"):
        with dial(60) as connected:
            connected.sendall(text)
            with receiver.accept()[0] as accepted:
                accepted.settimeout(60)
                assert accepted.recv(10) == text
    connector.close()


def test_datagrams_reach_the_receiver() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(60)
        connector, dial = dialer("127.0.0.1", receiver.getsockname()[1], socket.SOCK_DGRAM)
        with dial(60) as connected:
            connected.send(b"text")
            assert receiver.recv(10) == b"text"
        connector.close()


def test_refusal_is_reported() -> None:
    connector, dial = dialer("127.0.0.1", free_port())
    with pytest.raises(ConnectionRefusedError) as refused:
        dial(60)
    assert refused.value.errno == errno.ECONNREFUSED
    connector.close()


def test_unknown_name_is_reported() -> None:
    connector, dial = dialer("a..b", 1)
    with pytest.raises(socket.gaierror) as unknown:
        dial(60)
    assert unknown.value.strerror
    connector.close()


def test_end_of_the_process_is_reported() -> None:
    connection, other = socket.socketpair()
    other.close()
    with pytest.raises(OSError, match="the connector has ended; start auditsense again"):
        Dialer(connection)(1)
    connection.close()


def test_process_that_does_not_answer_is_reported() -> None:
    connection, other = socket.socketpair()
    with pytest.raises(TimeoutError):
        Dialer(connection)(-4.9)
    connection.close()
    other.close()


def test_process_is_confined_and_ends_with_its_client(receiver: socket.socket) -> None:
    connector, _ = dialer("127.0.0.1", receiver.getsockname()[1])
    connector.connection.send(b"\1")
    with receiver.accept()[0]:
        status = Path(f"/proc/{connector._pid}/status").read_text(encoding="ascii")
    assert "CapEff:\t0000000000000000" in status
    assert "Seccomp:\t2" in status
    folder = Path(f"/proc/{connector._pid}")
    connector.close()
    assert not folder.exists()
    assert threading.active_count() == 1


def test_confined_sink_sends_and_connects_again(receiver: socket.socket) -> None:
    port = receiver.getsockname()[1]
    connector, dial = dialer("localhost", port)
    settings = SyslogSettings("tcp", "localhost", port)

    def run() -> str:
        sink = open_sink(settings, Format.JSONL)
        assert isinstance(sink, SyslogSink)
        sink.dialer = dial
        _confinement(settings, None, 0, None, brokered=True)()
        with pytest.raises(OSError, match="Address family not supported"):
            socket.socket(socket.AF_INET)
        for number in (1, 2):
            sink.write([fake_document(n=number)])
            sink.reopen()
        return "done"

    accepted: list[socket.socket] = []
    thread = threading.Thread(target=lambda: accepted.extend(receiver.accept()[0] for _ in range(2)))
    thread.start()
    assert in_child(run) == "done"
    thread.join()
    for number, one in enumerate(accepted, 1):
        one.settimeout(60)
        assert f'"n":{number}'.encode() in one.recv(10_000).replace(b" ", b"")
        one.close()
    connector.close()


def test_loop_of_nats_takes_the_connection(receiver: socket.socket) -> None:
    connector, dial = dialer("localhost", receiver.getsockname()[1])
    loop = _DialingLoop(NatsSettings("nats://localhost", dial=dial))

    async def exchange() -> bytes:
        reader, writer = await asyncio.open_connection("elsewhere.invalid", 1)
        with receiver.accept()[0] as accepted:
            writer.write(b"a" * 10_000_000)  # more than the socket takes at once
            size = 0
            while size < 10_000_000:
                size += len(await loop.run_in_executor(None, accepted.recv, 1 << 20))
            accepted.sendall(b"answer\n")
            answer = await reader.readline()
        writer.close()
        return answer

    assert loop.run_until_complete(exchange()) == b"answer\n"
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    connector.close()
