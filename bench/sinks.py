"""Cost of a document in each sink: documents per second, CPU of the sensor and of the sink's process.

    python bench/sinks.py [--documents N] [--spool]

One sink process at a time gets events in batches of 50; "inside" writes to a pipe in this process. The peers
are sockets of this machine that discard what they read, so no figure is about rsyslog or journald.

With --spool it compares a spool with a file, in alternating rounds: the cost of a document, how long an alert
holds the sensor, and when it is written.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from auditsense import Detector, EventReader
from auditsense.sinks import CommittingSink
from auditsense.sinks.acknowledged import AcknowledgedSinkProcess
from auditsense.sinks.config import SyslogSettings
from auditsense.sinks.fanout import SinkSet
from auditsense.sinks.file import FileSink
from auditsense.sinks.format import Format
from auditsense.sinks.journald import JournaldSink
from auditsense.sinks.spool import SpoolSink
from auditsense.sinks.stream import StreamSink
from auditsense.sinks.subprocess_sink import SinkProcess
from auditsense.sinks.syslog import SyslogSink
from auditsense.testing import burst

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditsense import Document
    from auditsense.sinks import Sink

BATCH = 50
READER = """
import socket, sys
peer = socket.socket(fileno=int(sys.argv[1]))
source = peer.accept()[0] if peer.type == socket.SOCK_STREAM else peer
while source.recv(1 << 20):
    pass
"""


@contextmanager
def discarded(peer: socket.socket) -> Iterator[None]:
    """Discard all input in a separate process: a thread would be measured too."""
    command = [sys.executable, "-I", "-S", "-c", READER, str(peer.fileno())]
    with subprocess.Popen(command, pass_fds=[peer.fileno()]) as reader:
        try:
            yield
        finally:
            reader.kill()


@contextmanager
def to_cat(form: Format = Format.JSONL) -> Iterator[StreamSink]:
    """Yield a sink whose output is discarded."""
    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader,
        os.fdopen(os.dup(reader.stdin.fileno() if reader.stdin else -1), "w") as stream,
    ):
        try:
            yield StreamSink(stream, form)
        finally:
            reader.kill()


def row(name: str, count: int, seconds: float, own_s: float, child_s: float | None) -> None:
    """Print one line of the table."""
    child = f"{child_s / count * 1e6:8.1f}" if child_s is not None else f"{'-':>8}"
    print(f"{name:16} {count / seconds:9.0f} {own_s / count * 1e6:8.1f} {child}", flush=True)


def started(sink: Sink, name: str) -> SinkProcess:
    """Return a running process of a sink, with a queue that takes everything."""
    if isinstance(sink, CommittingSink):
        process: SinkProcess = AcknowledgedSinkProcess(sink, name, queue_bytes=1 << 30)
    else:
        process = SinkProcess(sink, name, queue_bytes=1 << 30)
    process.start()
    return process


def measure_alerts(name: str, sink: Sink, count: int, before: int) -> tuple[list[float], list[float]]:
    """Send alerts one by one. Returns the µs that each `send` took, and those until it was written."""
    process = started(sink, name)
    sinks = SinkSet([process], Detector().host)
    held, written = [], []
    for n in range(count):
        with Detector() as detector:
            (alert,) = detector.feed_text(b"".join(event.text for event in burst(10, pid=before + n + 1000)))
        begun = time.perf_counter()
        sinks.send([alert])
        held.append((time.perf_counter() - begun) * 1e6)
        while process.counts.pending:
            process.poll()
        written.append((time.perf_counter() - begun) * 1e6)
        time.sleep(0.12)
    process.close()
    return held, written


def compare_spool(documents: list[Document], rounds: int = 5, alerts: int = 40) -> None:
    """Compare a spool with a file in alternating rounds, and print medians."""
    times: dict[str, tuple[list[float], list[float]]] = {"file": ([], []), "spool": ([], [])}
    for turn in range(rounds):
        for name, (held, written) in times.items():
            with tempfile.TemporaryDirectory() as folder:
                many: Sink
                few: Sink
                if name == "spool":
                    many, few = (
                        SpoolSink(Path(folder) / "many", size=1 << 30),
                        SpoolSink(Path(folder) / "few"),
                    )
                else:
                    many, few = FileSink(Path(folder) / "many"), FileSink(Path(folder) / "few")
                measure(name, many, documents)
                for values, more in zip(
                    (held, written), measure_alerts(name, few, alerts, turn * alerts), strict=True
                ):
                    values.extend(more)
    print(f"\n{'alerts':16} {'held µs':>9} {'p99':>8} {'written':>8} {'p99':>8}")
    for name, (held, written) in times.items():
        values = [median(held), quantiles(held, n=100)[98], median(written), quantiles(written, n=100)[98]]
        print(f"{name:16} " + " ".join(f"{value:8.0f}" for value in values))


def measure(name: str, sink: Sink, documents: list[Document]) -> None:
    process = started(sink, name)
    sinks = SinkSet([process], Detector().host)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun, own = time.monotonic(), time.process_time()
    for at in range(0, len(documents), BATCH):
        sinks.send(documents[at : at + BATCH])
        sinks.poll()
    own = time.process_time() - own
    while process.queued_bytes or process.counts.written < len(documents):
        process.poll()
        time.sleep(0.001)
    seconds = time.monotonic() - begun
    process.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert process.counts.written == len(documents), process.counts
    row(name, len(documents), seconds, own, child)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=5_000)
    parser.add_argument("--spool", action="store_true", help="compare a spool with a file")
    arguments = parser.parse_args()
    count = arguments.documents
    with EventReader() as reader:
        text = b"".join(event.text for event in burst(count))
        events = reader.feed_text(text) + reader.finish()
    documents = [event.document() for event in events[:count]]
    print(f"{len(documents)} events, Python {sys.version.split()[0]}, {os.cpu_count()} processors\n")
    print(f"{'sink':16} {'docs/s':>9} {'µs here':>8} {'µs there':>8}")
    if arguments.spool:
        compare_spool(documents)
        return
    with to_cat() as sink:
        begun, own = time.monotonic(), time.process_time()
        for at in range(0, len(documents), BATCH):
            sink.write(documents[at : at + BATCH])
        row("pipe, inside", len(documents), time.monotonic() - begun, time.process_time() - own, None)
    for form in Format:
        with to_cat(form) as sink:
            measure(f"pipe, {form}", sink, documents)
    with tempfile.TemporaryDirectory() as folder:
        measure("file", FileSink(Path(folder) / "out"), documents)
        measure("file, size=1M", FileSink(Path(folder) / "rotated", size=1 << 20), documents)
        measure("spool", SpoolSink(Path(folder) / "spool", size=1 << 30), documents)
        path = f"{folder}/socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.bind(path)
            with discarded(peer):
                measure("journald", JournaldSink(path), documents)
                measure("syslog", SyslogSink(SyslogSettings("local", path)), documents)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        with discarded(udp):
            measure("syslog udp", SyslogSink(SyslogSettings("udp", *udp.getsockname())), documents)
    with socket.create_server(("127.0.0.1", 0)) as tcp, discarded(tcp):
        measure("syslog tcp", SyslogSink(SyslogSettings("tcp", *tcp.getsockname())), documents)


if __name__ == "__main__":
    main()
