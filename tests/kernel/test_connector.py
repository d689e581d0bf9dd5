"""The process that connects for another one."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense.cli.output import _confinement
from auditsense.kernel.connector import Connector
from auditsense.ship.nats import NatsSettings, _DialingLoop
from auditsense.sinks import SinkError
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
        one.settimeout(300)
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
                accepted.settimeout(300)
                assert accepted.recv(10) == text
    connector.close()


def test_datagrams_reach_the_receiver() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(300)
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
    with pytest.raises(SinkError, match="the connector has ended; start auditsense again") as ended:
        Dialer(connection)(1)
    assert ended.value.final  # `ship` ends, and a service manager starts it again
    connection.close()


def test_sink_without_its_process_is_over() -> None:
    connection, other = socket.socketpair()
    other.close()
    sink = open_sink(SyslogSettings("tcp", "localhost", 1), Format.JSONL)
    assert isinstance(sink, SyslogSink)
    sink.dialer = Dialer(connection)
    with pytest.raises(SinkError, match="cannot reach syslog:tcp://localhost:1: the connector") as ended:
        sink.write([fake_document()])
    assert ended.value.final
    assert not ended.value.written
    connection.close()


@pytest.fixture
def full(receiver: socket.socket) -> Iterator[tuple[str, int]]:
    """Another address with the same port, where a further connection gets no answer."""
    with ExitStack() as stack:
        one = stack.enter_context(socket.create_server(("127.0.0.2", receiver.getsockname()[1]), backlog=0))
        for _ in range(2):
            client = stack.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex(one.getsockname())
        yield one.getsockname()


def found(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let every name have these addresses."""
    kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(*kind, address) for address in addresses])


def test_addresses_that_do_not_answer_leave_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch, receiver: socket.socket, full: tuple[str, int]
) -> None:
    found(monkeypatch, *[full] * 12, receiver.getsockname())
    connector, dial = dialer("a", receiver.getsockname()[1])
    with dial(2) as connected:  # 2 s for each would be longer than the client waits
        assert connected.getpeername() == receiver.getsockname()
    connector.close()


def test_address_of_a_family_that_this_host_lacks_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, receiver: socket.socket
) -> None:
    addresses = [
        (family, socket.SOCK_STREAM, 0, "", receiver.getsockname())
        for family in (socket.AF_APPLETALK, socket.AF_INET)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    connector, dial = dialer("a", receiver.getsockname()[1])
    with dial(60) as connected:
        assert connected.getpeername() == receiver.getsockname()
    connector.close()


def test_client_that_has_asked_again_gets_one_answer(receiver: socket.socket) -> None:
    connector = Connector("127.0.0.1", receiver.getsockname()[1], socket.SOCK_STREAM)
    connector.connection.settimeout(300)
    connector.connection.send(bytes([1, 1, 60]))  # two had no answer in time
    connector.start(None)
    answer, descriptors, _, _ = socket.recv_fds(connector.connection, 1, 1)
    assert answer == b"\0"
    os.close(descriptors[0])
    connector.connection.shutdown(socket.SHUT_WR)
    assert not connector.connection.recv(1)
    connector.close()


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
        one.settimeout(300)
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
