"""Real receivers on this host, for tests: NATS, VictoriaLogs, OpenSearch, an OpenTelemetry collector.

`scripts/install_receivers.sh` installs them into .build/receivers, or where AUDITSENSE_RECEIVERS says. A test
whose receiver is missing is skipped, and names it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.receiver import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("AUDITSENSE_RECEIVERS", ROOT / ".build" / "receivers"))
_START_S = 120.0


def program(name: str) -> str:
    """Return the path of a receiver's program; skips the test without it."""
    found = shutil.which(name, path=f"{FOLDER}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"{name} is not installed; see scripts/install_receivers.sh")
    return found


def http(url: str, data: bytes | None = None) -> Any:  # noqa: ANN401 - any JSON
    """Send a request to a receiver on this host and return its answer: parsed, if it is JSON."""
    with urllib.request.urlopen(url, data, timeout=300) as answer:  # noqa: S310 - our own address
        body = answer.read()
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()


class RealReceiver:
    """A receiver's process, which can be killed and started again with its data.

    Attributes:
        url: for `ship --to`.
        port: that it listens on.
    """

    def __init__(self, arguments: list[str], port: int, url: str, log: Path) -> None:
        self.port = port
        self.url = url
        self.log = log
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.wait_until(lambda: _accepts(self.port))

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        """The process; it must run."""
        assert self._process is not None
        return self._process.pid

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; fails with what the receiver has logged when it ends before."""
        deadline = time.monotonic() + _START_S
        while not condition():
            ended = self._process is not None and self._process.poll() is not None
            assert not ended, self.log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < deadline, "timed out"
            time.sleep(0.05)


def _accepts(port: int) -> bool:
    import socket  # noqa: PLC0415 - used once

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def _running(receiver: RealReceiver) -> Iterator[RealReceiver]:
    try:
        receiver.start()
        yield receiver
    finally:
        receiver.kill()


@contextlib.contextmanager
def collector(folder: Path) -> Iterator[RealReceiver]:
    """Run an OpenTelemetry collector that writes each record into its log."""
    port = free_port()
    config = folder / "collector.yaml"
    config.write_text(
        f"receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:{port}}}}}}}}}\n"
        "exporters: {debug: {verbosity: detailed}}\n"
        "service:\n"
        "  telemetry: {metrics: {level: none}}\n"
        "  pipelines: {logs: {receivers: [otlp], exporters: [debug]}}\n"
    )
    arguments = [program("otelcol"), "--config", str(config)]
    with _running(RealReceiver(arguments, port, f"otlp+http://127.0.0.1:{port}", folder / "otel.log")) as one:
        yield one


def collected_ids(receiver: RealReceiver) -> list[str]:
    """Return the ids of the records that a collector has."""
    return re.findall(r"-> log\.record\.uid: Str\(([^)]*)\)", receiver.log.read_text(errors="replace"))


@contextlib.contextmanager
def victoria_logs(folder: Path) -> Iterator[RealReceiver]:
    """Run VictoriaLogs; it accepts documents of any age."""
    port = free_port()
    arguments = [
        program("victoria-logs"),
        f"-storageDataPath={folder / 'victoria'}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-retentionPeriod=100y",
    ]
    url = (
        f"elasticsearch+http://127.0.0.1:{port}/insert/elasticsearch/logs"
        "?_time_field=@timestamp&_msg_field=message"
    )
    with _running(RealReceiver(arguments, port, url, folder / "victoria.log")) as one:
        yield one


@contextlib.contextmanager
def nats_server(folder: Path) -> Iterator[RealReceiver]:
    """Run NATS with JetStream, which writes to the disk before it acknowledges."""
    port = free_port()
    config = folder / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder / "nats"}", sync_interval: always }}\n'
    )
    arguments = [program("nats-server"), "-c", str(config)]
    with _running(RealReceiver(arguments, port, f"nats://127.0.0.1:{port}", folder / "nats.log")) as one:
        yield one


@contextlib.contextmanager
def open_search(folder: Path) -> Iterator[RealReceiver]:
    """Run OpenSearch."""
    jars = FOLDER / "opensearch"
    if not (jars / "OpenSearchNode.class").exists():
        pytest.skip("opensearch is not installed; see scripts/install_receivers.sh")
    port = free_port()
    (folder / "opensearch").mkdir()
    arguments = [
        *(program("java"), "-Xmx768m", "-Djava.security.manager=allow", "-cp", f"{jars}/*:{jars}"),
        *("OpenSearchNode", str(folder / "opensearch"), str(port), str(free_port())),
    ]
    url = f"elasticsearch+http://127.0.0.1:{port}/logs-auditsense.alert-default"
    with _running(RealReceiver(arguments, port, url, folder / "opensearch.log")) as one:
        one.wait_until(lambda: _answers(f"http://127.0.0.1:{port}/_cluster/health"))
        yield one


def _answers(url: str) -> bool:
    try:
        http(url)
    except (urllib.error.URLError, OSError):
        return False
    return True


def add_stream(receiver: RealReceiver) -> None:
    """Create a JetStream stream for the subjects of auditsense, which knows ids for an hour."""

    async def add() -> None:
        client = await nats_client().connect(receiver.url)
        await client.jetstream().add_stream(
            name="AUDITSENSE", subjects=["auditsense.>"], duplicate_window=3600.0
        )
        await client.close()

    asyncio.run(add())


def stored_ids(receiver: RealReceiver) -> list[str]:
    """Return the ids of the messages of the stream, in order."""

    async def read() -> list[str]:
        client = await nats_client().connect(receiver.url)
        stream = client.jetstream()
        last = (await stream.stream_info("AUDITSENSE")).state.last_seq
        messages = [await stream.get_msg("AUDITSENSE", number) for number in range(1, last + 1)]
        await client.close()
        return [(message.headers or {})["Nats-Msg-Id"] for message in messages]

    return asyncio.run(read())


def nats_client() -> Any:  # noqa: ANN401 - of an extra
    """Return the client of NATS; skips the test without it."""
    return pytest.importorskip("nats", reason="the extra nats is not installed")


def add_template(receiver: RealReceiver) -> None:
    """Have OpenSearch create data streams for documents of auditsense, by the example's template."""
    template = (ROOT / "examples" / "elasticsearch" / "index-template.json").read_bytes()
    request = urllib.request.Request(
        f"http://127.0.0.1:{receiver.port}/_index_template/auditsense",
        template,
        {"Content-Type": "application/json"},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=300).close()  # noqa: S310 - our own address


def indexed_ids(receiver: RealReceiver) -> list[str]:
    """Return the ids of the documents in OpenSearch."""
    base = f"http://127.0.0.1:{receiver.port}/logs-auditsense.alert-default"
    http(f"{base}/_refresh", b"")
    found: list[str] = []
    page = http(f"{base}/_search?size=5000&_source=false&scroll=1m")
    while page["hits"]["hits"]:
        found += [hit["_id"] for hit in page["hits"]["hits"]]
        page = http(
            f"http://127.0.0.1:{receiver.port}/_search/scroll?scroll=1m&scroll_id={page['_scroll_id']}"
        )
    return found
