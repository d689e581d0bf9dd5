"""HTTP and HTTPS requests with an overall time limit, by the standard library.

Rule 1: the receiver is not trusted. Time, size of the answer and what is shown of it are bounded.
Rule 2: certificates are verified, always. Redirects are not followed: they would send a secret elsewhere.
Rule 3: a request that may have arrived is sent again. Receivers recognise a document by its id.
Rule 4: bodies are compressed until a receiver answers 415: it takes no gzip, and gets them as they are.
"""

from __future__ import annotations

import base64
import email.utils
import gzip
import http.client
import io
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from auditsense.errors import UsageError, one_line
from auditsense.ship import BatchRefusedError, DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MAX_ANSWER_BYTES: Final = 16 << 20
_SHOWN: Final = 160  # characters of an answer in a message
_CONNECTION_S: Final = 600.0  # then names, certificates and secrets are read again
_TOO_LARGE: Final = 413
_UNSUPPORTED: Final = 415
_MIN_COMPRESSED: Final = 1024  # bytes; smaller bodies are sent as they are
_LEVEL: Final = 1  # level 6 needs five times the CPU for a tenth less
_OF_THE_BATCH: Final = frozenset({400, 422})


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Connection settings of a receiver.

    Attributes:
        timeout_s: of a whole request.
        headers: with each request.
        authorization: returns the header `Authorization`; None: without.
        ca_file: certificates to trust instead of those of this system.
        client_cert: certificate to present, and its key.
        proxy: URL of a proxy; "": that of the environment (https_proxy, no_proxy).
        compress: whether to compress bodies with gzip.
        dialing: returns, for a host and a port, what connects to it; None: this process does.
    """

    timeout_s: float = 30.0
    headers: Mapping[str, str] = field(default_factory=dict)
    authorization: Callable[[], str] | None = None
    ca_file: Path | None = None
    client_cert: tuple[Path, Path] | None = None
    proxy: str = ""
    compress: bool = True
    dialing: Callable[[str, int], Callable[[float], socket.socket]] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a status of 2xx."""

    status: int
    body: bytes


def tls_context(settings: HttpSettings) -> ssl.SSLContext:
    """Return a context that verifies certificates and names, with TLS 1.2 or newer.

    Raises:
        UsageError: a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"cannot use the certificates in {settings.ca_file}: {_reason(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.client_cert is not None:
        certificate, key = settings.client_cert
        try:
            # An encrypted key would ask for its password on the terminal.
            context.load_cert_chain(certificate, key, password=lambda: b"")
        except (OSError, ssl.SSLError) as error:
            reason = f"cannot use the client certificate {certificate} with {key}: {_reason(error)}"
            raise UsageError(reason) from None
    return context


class HttpClient:
    """Requests to one receiver over a connection that is kept open.

    Args:
        url: http:// or https:// with a host.
        settings: how to reach it.

    Raises:
        UsageError: a file or the proxy cannot be used.
    """

    def __init__(self, url: str, settings: HttpSettings) -> None:
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._settings = settings
        self._compress = settings.compress
        self._tls = tls_context(settings) if parts.scheme == "https" else None
        self._proxy = _proxy(parts.scheme, f"{self._host}:{self._port}", settings.proxy)
        self._dial = None if settings.dialing is None else settings.dialing(*self._peer())
        self._connection: _Connection | None = None
        self._opened_s = 0.0
        "".encode("idna")  # loads the codec now: nothing may be readable later

    def post(self, path: str, body: bytes, content_type: str) -> Answer:
        """Send a request and return the answer.

        Args:
            path: with its query.
            body: complete.
            content_type: of the body.

        Raises:
            DeliveryError: no answer, an invalid one, or one that asks to try later.
            BatchRefusedError: the receiver refuses the body.
        """
        deadline_s = time.monotonic() + self._settings.timeout_s
        headers = {"Content-Type": content_type}
        if self._compress and len(body) >= _MIN_COMPRESSED:
            packed = {**headers, "Content-Encoding": "gzip"}
            answer = self._exchange(path, gzip.compress(body, _LEVEL, mtime=0), packed, deadline_s)
            if answer is not None:
                return answer
            self._compress = False
        answer = self._exchange(path, body, headers, deadline_s)
        if answer is None:
            raise DeliveryError(f"{self.name} answered 415 Unsupported Media Type; check the address")
        return answer

    def _exchange(self, path: str, body: bytes, more: dict[str, str], deadline_s: float) -> Answer | None:
        """Send a request and return the answer; None for 415. Raises as `post`."""
        if self._connection is not None and time.monotonic() - self._opened_s > _CONNECTION_S:
            self.close()
        reused = self._connection is not None
        try:
            try:
                status, headers, answer = self._request(path, body, more, deadline_s)
            except (http.client.RemoteDisconnected, ConnectionError):
                if not reused:
                    raise
                self.close()  # the receiver has closed a connection that was idle
                status, headers, answer = self._request(path, body, more, deadline_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise DeliveryError(f"cannot reach {self.name}: {_reason(error)}") from None
        if len(answer) > MAX_ANSWER_BYTES:
            self.close()
            raise DeliveryError(f"{self.name} sent an answer of more than {MAX_ANSWER_BYTES >> 20} MiB")
        if 200 <= status < 300:
            return Answer(status, answer)
        if status == _UNSUPPORTED:
            return None
        raise self._error(status, headers, answer)

    def close(self) -> None:
        """Close the connection. A second call does nothing."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _request(
        self, path: str, body: bytes, more: dict[str, str], deadline_s: float
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        headers = {"User-Agent": "auditsense", **more, **self._settings.headers}
        if self._settings.authorization is not None:
            headers["Authorization"] = self._settings.authorization()
        if self._connection is None:
            self._connection = self._connect()
            self._opened_s = time.monotonic()
        connection = self._connection
        connection.deadline_s = deadline_s
        target = path
        if self._proxy is not None and self._tls is None:  # a proxy gets the whole address
            target = f"{self.name}{path}"
            headers |= self._proxy.headers
        connection.request("POST", target, body, headers)
        response = connection.getresponse()
        answer = response.read(MAX_ANSWER_BYTES + 1)
        if response.length and len(answer) <= MAX_ANSWER_BYTES:  # `read` with a limit does not notice
            raise http.client.IncompleteRead(answer, response.length)
        if response.will_close:
            self.close()
        return response.status, response.headers, answer

    def _peer(self) -> tuple[str, int]:
        return (self._proxy.host, self._proxy.port) if self._proxy else (self._host, self._port)

    def _connect(self) -> _Connection:
        connection = _Connection(*self._peer())
        connection.dial = self._dial
        if self._tls is not None:
            connection.tls = (self._tls, self._host)
            if self._proxy is not None:
                connection.set_tunnel(self._host, self._port, self._proxy.headers)
        return connection

    def _error(
        self, status: int, headers: http.client.HTTPMessage, answer: bytes
    ) -> DeliveryError | BatchRefusedError:
        text = one_line(answer[: 4 * _SHOWN].decode("utf-8", "replace").strip())[:_SHOWN]
        message = f"{self.name} answered {status} {http.client.responses.get(status, '')}".rstrip()
        message += f": {text}" if text else ""
        if status == _TOO_LARGE or status in _OF_THE_BATCH:
            return BatchRefusedError(message)
        remedy = {
            401: "; check the credentials",
            403: "; check the credentials and what they may write",
            404: "; check the address",
            407: "; the proxy asks for a password",
        }.get(status, "; redirects are not followed, so name that address" if 300 <= status < 400 else "")
        return DeliveryError(f"{message}{remedy}", retry_after_s(headers))


def retry_after_s(headers: Mapping[str, str] | http.client.HTTPMessage) -> float | None:
    """Return the seconds of `Retry-After`; None: there is none.

    A date counts from the receiver's own `Date`, because this host's clock may be wrong.
    """
    text = (headers.get("Retry-After") or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
        now = email.utils.parsedate_to_datetime((headers.get("Date") or "").strip())
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class _Proxy:
    host: str
    port: int
    headers: dict[str, str]


def _proxy(scheme: str, receiver: str, url: str) -> _Proxy | None:
    """Return the proxy to use, from its URL or else from the environment."""
    if not url:
        url = getproxies().get(scheme, "")
        if not url or proxy_bypass(receiver):
            return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port or 3128
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        raise UsageError(f"the proxy {_without_password(url)} is not supported; use http://HOST:PORT")
    headers = {}
    if parts.username:  # from the environment, where a service manager can keep it secret
        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(words.encode()).decode()}"
    return _Proxy(parts.hostname, port, headers)


def _without_password(url: str) -> str:
    before, at, after = url.rpartition("@")
    return f"{before.partition('://')[0]}://…@{after}" if at else url


class _Connection(http.client.HTTPConnection):
    """A connection whose requests end at `deadline_s`, however slowly the peer sends.

    Attributes:
        deadline_s: monotonic time.
        tls: the context and the name to verify; None: without TLS.
        dial: connects to the peer, within some seconds; None: this process does.
    """

    deadline_s = 0.0
    dial: Callable[[float], socket.socket] | None = None
    tls: tuple[ssl.SSLContext, str] | None = None

    def connect(self) -> None:
        self.sock: Any = _DeadlineSocket(self._open(), self)

    def _open(self) -> socket.socket:
        self.timeout = self.rest_s()
        if self.dial is not None:
            self._create_connection = self._dialed
        super().connect()  # through the proxy, if there is one
        connected: socket.socket = self.sock
        connected.settimeout(self.rest_s())
        if self.tls is None:
            return connected
        try:
            return self.tls[0].wrap_socket(connected, server_hostname=self.tls[1])
        except BaseException:
            connected.close()
            raise

    def _dialed(self, *_: object) -> socket.socket:
        """Do what socket.create_connection does for the parent class."""
        if self.dial is None:
            raise TypeError
        connected = self.dial(self.rest_s())
        connected.settimeout(self.rest_s())
        return connected

    def rest_s(self) -> float:
        """Return the time that is left.

        Raises:
            TimeoutError: none is.
        """
        rest_s = self.deadline_s - time.monotonic()
        if rest_s <= 0:
            raise TimeoutError("timed out")
        return rest_s


class _DeadlineSocket:
    """Socket for http.client that limits each call to the remaining time."""

    def __init__(self, connected: socket.socket, connection: _Connection) -> None:
        self._socket = connected
        self._connection = connection

    def sendall(self, data: bytes) -> None:
        """Send all bytes."""
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(self._connection.rest_s())
            rest = rest[self._socket.send(rest[: 1 << 16]) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a stream of what the peer sends."""
        return io.BufferedReader(_DeadlineReader(self._socket, self._connection), 1 << 16)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class _DeadlineReader(io.RawIOBase):
    def __init__(self, connected: socket.socket, connection: _Connection) -> None:
        self._socket = connected
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer, as in io
        self._socket.settimeout(self._connection.rest_s())
        return self._socket.recv_into(buffer)


def _reason(error: BaseException) -> str:
    """Return why a request failed, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = "; check this host's clock" if "expired" in str(error) or "not yet" in str(error) else ""
        return f"its certificate is not trusted: {error.verify_message}{remedy or '; see --ca-file'}"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, http.client.HTTPException):
        return f"it did not answer with HTTP ({type(error).__name__})"
    if isinstance(error, socket.gaierror):
        return f"its name is unknown: {error.strerror}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
