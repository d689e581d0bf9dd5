"""A receiver for tests: an HTTP server on this host with planned answers, and what it received."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass
class Request:
    """A request as it arrived; the body is decompressed."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """A planned answer.

    Attributes:
        status: of HTTP; or returns it for a request's body.
        body: returns it for a request's body.
        headers: more of them.
        raw: bytes instead of an answer of HTTP; then the connection ends.
        hang: answer nothing until the test ends.
    """

    status: int | Callable[[bytes], int] = 200
    body: Callable[[bytes], bytes] = lambda _: b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hang: bool = False


def bulk_answer(*statuses: int) -> Callable[[bytes], bytes]:
    """Return a function that answers a bulk request: the given statuses, then 201."""

    def answer(body: bytes) -> bytes:
        count = body.count(b"\n") // 2
        all_statuses = [*statuses, *[201] * count][:count]
        items = [
            {
                "create": {
                    "status": status,
                    **({"error": {"type": "t", "reason": "r"}} if status > 299 else {}),
                }
            }
            for status in all_statuses
        ]
        return json.dumps({"errors": any(status > 299 for status in all_statuses), "items": items}).encode()

    return answer


class Receiver:
    """A server whose requests get the planned replies in turn, and the last one from then on."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = [*replies] or [Reply()]
        self.requests: list[Request] = []
        self.ended = threading.Event()
        self.port = 0

    def ids(self) -> list[str]:
        """Return the ids of all documents of OTLP requests, in order."""
        return [record_id for request in self.requests for record_id in otlp_ids(request.body)]

    def reply_to(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.requests.append(Request(handler.path, dict(handler.headers.items()), body))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply.hang:
            self.ended.wait()
            handler.close_connection = True
            return
        if reply.raw is not None:
            handler.wfile.write(reply.raw)
            handler.close_connection = True
            return
        answer = reply.body(body)
        handler.send_response(reply.status if isinstance(reply.status, int) else reply.status(body))
        for name, value in {"Content-Length": str(len(answer)), **reply.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer)


def otlp_ids(body: bytes) -> list[str]:
    """Return the ids of the records in an OTLP request."""
    return [
        attribute["value"]["stringValue"]
        for resource in json.loads(body)["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
        for attribute in record["attributes"]
        if attribute["key"] == "log.record.uid"
    ]


@contextlib.contextmanager
def receiving(
    *replies: Reply, certificate: tuple[Path, Path] | None = None, client_ca: Path | None = None
) -> Iterator[Receiver]:
    """Run a receiver.

    Args:
        replies: see `Receiver`.
        certificate: certificate and key, for TLS.
        client_ca: certificates that a client's must be signed by.
    """
    receiver = Receiver(*replies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            receiver.reply_to(self)

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 - of the base class
            """Print nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # noqa: ANN401 - of the base class
            """Print nothing: clients are killed and refuse certificates on purpose."""

    server = Server(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def make_certificate(folder: Path, name: str, host: str = "localhost", *, days: int = 1) -> tuple[Path, Path]:
    """Create a self-signed certificate for a host, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={host}", "-days", str(days)),
            *("-addext", f"subjectAltName=DNS:{host}"),
        ],
        check=True,
        capture_output=True,
    )
    key.chmod(0o600)
    return certificate, key


def free_port() -> int:
    """Return a port of this host on which no program listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
