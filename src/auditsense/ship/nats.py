"""NATS JetStream: one stream for many hosts. The extra `auditsense[nats]`.

The header `Nats-Msg-Id` is the document's id, so the stream ignores a document that it has had within its
duplicate window.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from auditsense.errors import UsageError
from auditsense.ship import BatchRefusedError, DeliveryError, Outcome

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from auditsense.ship import ShippedDocument

SUBJECT: Final = "auditsense.alerts"


@dataclass(frozen=True, slots=True)
class NatsSettings:
    """Connection settings of a server.

    Attributes:
        server: nats://HOST:PORT or tls://HOST:PORT.
        subject: that the stream has.
        timeout_s: for the connection, and for the acknowledgements of a batch.
        token: returns a token; None: without.
        password: returns USER:PASSWORD; None: without.
        credentials: a file of `nsc`, with a key and a token that it signs.
        tls: for tls://.
        dial: connects to the server, within some seconds; None: this process does.
    """

    server: str
    subject: str = SUBJECT
    timeout_s: float = 30.0
    token: Callable[[], str] | None = None
    password: Callable[[], str] | None = None
    credentials: Path | None = None
    tls: ssl.SSLContext | None = None
    dial: Callable[[float], socket.socket] | None = None


class NatsDestination:
    """Publish documents to a JetStream stream, and wait for its acknowledgements.

    Raises:
        UsageError: the extra is not installed.
    """

    def __init__(self, settings: NatsSettings) -> None:
        try:
            import nats  # noqa: PLC0415 - an extra
        except ImportError:
            raise UsageError("nats:// needs another package; run pip install 'auditsense[nats]'") from None
        self._nats: Any = nats
        self._settings = settings
        self._loop = asyncio.new_event_loop() if settings.dial is None else _DialingLoop(settings)
        self._connection: Any = None

    def send(self, documents: Sequence[ShippedDocument]) -> Outcome:
        """Send one batch; see `Destination.send`."""
        settings = self._settings
        try:
            return self._loop.run_until_complete(self._publish(documents))
        except TimeoutError:
            self._disconnect()
            raise DeliveryError(f"{settings.server} did not acknowledge in time") from None
        except self._nats.js.errors.NoStreamResponseError:
            raise DeliveryError(
                f"{settings.server} has no stream for the subject {settings.subject}; create one, "
                f"such as: nats stream add AUDITSENSE --subjects {settings.subject}"
            ) from None
        except self._nats.errors.MaxPayloadError:
            raise BatchRefusedError(f"{settings.server} accepts no message of this size") from None
        except (self._nats.errors.Error, OSError, ssl.SSLError) as error:
            self._disconnect()
            reason = str(error) or type(error).__name__
            raise DeliveryError(f"cannot reach {settings.server}: {reason}") from None

    def close(self) -> None:
        """Close the connection. A second call does nothing."""
        if not self._loop.is_closed():
            self._disconnect()
            self._loop.close()

    async def _publish(self, documents: Sequence[ShippedDocument]) -> Outcome:
        settings = self._settings
        async with asyncio.timeout(settings.timeout_s):
            if self._connection is None:
                self._connection = await self._connect()
            stream = self._connection.jetstream(timeout=settings.timeout_s)
            acknowledged = await asyncio.gather(
                *(
                    stream.publish(settings.subject, document.line, headers={"Nats-Msg-Id": document.id})
                    for document in documents
                )
            )
        return Outcome(duplicates=sum(bool(ack.duplicate) for ack in acknowledged))

    async def _connect(self) -> Any:  # noqa: ANN401 - of the extra
        settings = self._settings
        options: dict[str, Any] = {}
        if settings.token is not None:
            options["token"] = settings.token()
        if settings.password is not None:
            options["user"], _, options["password"] = settings.password().partition(":")
        if settings.credentials is not None:
            options["user_credentials"] = str(settings.credentials)
        if settings.tls is not None:
            options["tls"] = settings.tls
        return await self._nats.connect(
            settings.server,
            name="auditsense",
            allow_reconnect=False,  # the shipper decides when
            connect_timeout=settings.timeout_s,
            error_cb=_ignore,
            **options,
        )

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._loop.run_until_complete(_close(connection))


class _DialingLoop(asyncio.SelectorEventLoop):
    """A loop that opens no connection itself."""

    def __init__(self, settings: NatsSettings) -> None:
        super().__init__()
        self._settings = settings
        # From Python 3.12 on, a transport prefers sendmsg(2), which the filter of system calls refuses.
        vars(asyncio.selector_events)["_HAS_SENDMSG"] = False

    async def create_connection(  # type: ignore[override] # of its two forms, one is used
        self,
        factory: Any,  # noqa: ANN401 - as in the parent
        *_: Any,  # noqa: ANN401 - as above
        **options: Any,  # noqa: ANN401 - as above
    ) -> Any:  # noqa: ANN401 - as above
        """Return a transport over a connection that another process has made."""
        if self._settings.dial is None:
            raise TypeError
        connected = self._settings.dial(self._settings.timeout_s)
        connected.setblocking(False)  # noqa: FBT003 - the standard library's own
        secure = {name: options[name] for name in ("ssl", "server_hostname") if name in options}
        return await super().create_connection(factory, sock=connected, **secure)


async def _ignore(_error: Exception) -> None:
    """Print nothing: each error also ends the call that it belongs to."""


async def _close(connection: Any) -> None:  # noqa: ANN401 - of the extra
    try:
        async with asyncio.timeout(1.0):
            await connection.close()
    except Exception:  # noqa: BLE001 - it is closed anyway, in whatever state it was
        return
