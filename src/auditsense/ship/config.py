"""Destinations from the words of the command line.

    otlp+https://HOST[:PORT][/PATH]                    PATH: /v1/logs
    elasticsearch+https://HOST[:PORT][/PREFIX/STREAM]  STREAM: logs-auditsense.alert-default
    nats://HOST[:PORT][/SUBJECT]                       SUBJECT: auditsense.alerts
    nats+tls://…                                       with TLS

A new destination is one module with a class, and an entry in `_KINDS`.
"""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit

from auditsense.errors import UsageError
from auditsense.ship.credentials import Secret, credential_path, require_private
from auditsense.ship.http_client import HttpClient, HttpSettings, tls_context

if TYPE_CHECKING:
    from pathlib import Path

    from auditsense.ship import Destination

EXAMPLES: Final = "otlp+https://HOST:4318, elasticsearch+https://HOST:9200/STREAM or nats://HOST:4222/SUBJECT"
_HEADER: Final = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}):[ \t]*([ -~]{0,1000})", re.ASCII)
_STREAM: Final = re.compile(r"[a-z0-9_.@-]{1,255}", re.ASCII)
_SUBJECT: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ShipSettings:
    """A destination, as the command line names it.

    Attributes:
        url: of the receiver.
        api_key_file: a secret of one line; a path or ``credential:NAME``, as all files here.
        password_file: USER:PASSWORD.
        nats_credentials_file: a file of `nsc`.
        ca_file: certificates to trust instead of those of this system.
        client_cert_file: certificate to present.
        client_key_file: its key.
        proxy: URL of a proxy; "": that of the environment.
        headers: NAME:VALUE, of each request.
        timeout_s: of a request.
        compression: of HTTP requests: ``gzip`` or ``none``.
    """

    url: str
    api_key_file: str = ""
    password_file: str = ""
    nats_credentials_file: str = ""
    ca_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""
    proxy: str = ""
    headers: tuple[str, ...] = field(default=())
    timeout_s: float = 30.0
    compression: str = "gzip"

    def paths(self) -> tuple[str, ...]:
        """Return the paths of all files."""
        files = (
            *(self.api_key_file, self.password_file, self.nats_credentials_file),
            *(self.ca_file, self.client_cert_file, self.client_key_file),
        )
        return tuple(str(credential_path(name)) for name in files if name)


Dialing = Callable[[str, int], Callable[[float], socket.socket]]
"""Returns, for a host and a port, what connects to it within some seconds."""


def open_destination(settings: ShipSettings, dialing: Dialing | None = None) -> Destination:
    """Return the destination of settings. It connects with the first batch.

    Args:
        settings: of the destination.
        dialing: for a process that may open no socket; None: this process opens them.

    Raises:
        UsageError: a setting is invalid, or a file cannot be used.
    """
    url = _split(settings.url)
    kind, _, transport = url.scheme.partition("+")
    if (kind, transport) not in _KINDS:
        raise UsageError(f"there is no destination {url.scheme}://; use {EXAMPLES}")
    return _KINDS[kind, transport](url, settings, dialing)


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        valid = (
            bool(url.hostname) and url.port != 0 and text.isascii() and text.isprintable() and " " not in text
        )
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"{text!r:.200} is not an address of a receiver; use {EXAMPLES}")
    if "@" in url.netloc:
        raise UsageError("an address must not contain a password; use --password-file or --api-key-file")
    return url


def _http_client(
    url: SplitResult, settings: ShipSettings, key_scheme: str, dialing: Dialing | None
) -> HttpClient:
    """Return a client.

    Args:
        url: of the receiver.
        settings: all of them.
        key_scheme: scheme of `Authorization` for an API key.
        dialing: see `open_destination`.
    """
    _refuse(url.scheme, settings, nats_credentials_file="--nats-creds-file")
    transport = url.scheme.partition("+")[2]
    authorization = _authorization(settings, key_scheme)
    if authorization is not None and transport == "http" and not _is_loopback(url):
        raise UsageError("a secret is not sent without TLS; use https://, or a receiver on this host")
    options = HttpSettings(
        timeout_s=settings.timeout_s,
        headers=dict(_header(text) for text in settings.headers),
        authorization=authorization,
        ca_file=_path(settings.ca_file),
        client_cert=_client_certificate(settings),
        proxy=settings.proxy,
        compress=settings.compression == "gzip",
        dialing=dialing,
    )
    return HttpClient(f"{transport}://{url.netloc}", options)


def _otlp(url: SplitResult, settings: ShipSettings, dialing: Dialing | None) -> Destination:
    from auditsense.ship.otlp import PATH, OtlpDestination  # noqa: PLC0415 - one destination is used

    client = _http_client(url, settings, "Bearer", dialing)
    path = url.path if url.path not in {"", "/"} else PATH
    return OtlpDestination(client, _with_query(path, url))


def _elasticsearch(url: SplitResult, settings: ShipSettings, dialing: Dialing | None) -> Destination:
    from auditsense.ship.elasticsearch import STREAM, ElasticsearchDestination  # noqa: PLC0415 - as above

    prefix, _, stream = url.path.rpartition("/")
    stream = stream or STREAM
    if not _STREAM.fullmatch(stream) or stream[0] in "_.-":
        raise UsageError(f"{stream!r} is not a name of a data stream; use lower case, such as {STREAM}")
    client = _http_client(url, settings, "ApiKey", dialing)
    return ElasticsearchDestination(client, _with_query(f"{prefix}/_bulk", url), stream)


def _nats(url: SplitResult, settings: ShipSettings, dialing: Dialing | None) -> Destination:
    from auditsense.ship.nats import SUBJECT, NatsDestination, NatsSettings  # noqa: PLC0415 - as above

    _refuse(url.scheme, settings, proxy="--proxy", headers="--header")
    subject = unquote(url.path.strip("/")) or SUBJECT
    if not _SUBJECT.fullmatch(subject) or url.query:
        raise UsageError(
            f"{subject!r:.100} is not a subject to publish to; use words with dots, such as {SUBJECT}"
        )
    encrypted = url.scheme == "nats+tls"
    token = _secret(settings.api_key_file)
    password = _secret(settings.password_file)
    if (token or password) and not encrypted and not _is_loopback(url):
        raise UsageError("a secret is not sent without TLS; use nats+tls://, or a server on this host")
    credentials = _path(settings.nats_credentials_file)
    if credentials is not None:
        require_private(credentials)
    options = HttpSettings(ca_file=_path(settings.ca_file), client_cert=_client_certificate(settings))
    return NatsDestination(
        NatsSettings(
            server=f"{'tls' if encrypted else 'nats'}://{url.hostname}:{url.port or 4222}",
            subject=subject,
            timeout_s=settings.timeout_s,
            token=token.value if token else None,
            password=password.value if password else None,
            credentials=credentials,
            tls=tls_context(options) if encrypted else None,
            dial=None if dialing is None else dialing(url.hostname or "", url.port or 4222),
        )
    )


_KINDS: Final[dict[tuple[str, str], Callable[[SplitResult, ShipSettings, Dialing | None], Destination]]] = {
    ("otlp", "http"): _otlp,
    ("otlp", "https"): _otlp,
    ("elasticsearch", "http"): _elasticsearch,
    ("elasticsearch", "https"): _elasticsearch,
    ("nats", ""): _nats,
    ("nats", "tls"): _nats,
}


def _with_query(path: str, url: SplitResult) -> str:
    return f"{path}?{url.query}" if url.query else path


def _is_loopback(url: SplitResult) -> bool:
    return url.hostname in {"localhost", "127.0.0.1", "::1"}


def _refuse(kind: str, settings: ShipSettings, **flags: str) -> None:
    for name, flag in flags.items():
        if getattr(settings, name):
            raise UsageError(f"the destination {kind} has no {flag}")


def _path(name: str) -> Path | None:
    return credential_path(name) if name else None


def _secret(name: str) -> Secret | None:
    return Secret(credential_path(name)) if name else None


def _authorization(settings: ShipSettings, key_scheme: str) -> Callable[[], str] | None:
    key, password = _secret(settings.api_key_file), _secret(settings.password_file)
    if key is not None and password is not None:
        raise UsageError("--api-key-file and --password-file exclude each other")
    if key is not None:
        return lambda: f"{key_scheme} {key.value()}"
    if password is not None:
        return lambda: f"Basic {base64.b64encode(password.value().encode()).decode()}"
    return None


def _client_certificate(settings: ShipSettings) -> tuple[Path, Path] | None:
    certificate, key = _path(settings.client_cert_file), _path(settings.client_key_file)
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("a client certificate needs both --client-cert and --client-key")
    require_private(key)
    return certificate, key


def _header(text: str) -> tuple[str, str]:
    match = _HEADER.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r:.100} is not a header; use NAME:VALUE")
    if match[1].lower() in {"authorization", "proxy-authorization", "cookie"}:
        raise UsageError(f"--header must not contain a secret ({match[1]}); use --api-key-file")
    return match[1], match[2]
