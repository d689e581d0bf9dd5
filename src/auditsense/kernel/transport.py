"""One request to the kernel's audit, one answer: the socket beneath `Commands`.

pyroute2 brings the netlink message format; the socket, the sequence numbers
and the deadline are kept here, for three reasons, all tried:

- pyroute2's `NetlinkSocket` runs an asyncio loop of its own and fails with
  "This event loop is already running" when it is called from a coroutine,
  which is where an embedded sensor may live.
- Its calls have no deadline; a reply that the kernel dropped hangs them.
- `import pyroute2` loads 257 modules more than this package has by then (18
  MiB, 125 ms); its message format alone needs 6 (0.6 MiB, 7 ms).

Owns: the control socket. Rule: it never registers for records, so whatever it
receives is an answer.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
import select
import socket
import sys
import threading
import time
import types
from dataclasses import dataclass
from typing import Any, Final, Protocol

from auditsense.errors import ClosedError, KernelCommandError

NETLINK_AUDIT: Final = 9
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 1
NLM_F_MULTI: Final = 2
NLM_F_ACK: Final = 4
HEADER_BYTES: Final = 16

DEFAULT_TIMEOUT_S: Final = 2.0
_RAW: Final = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
_SO_RCVBUFFORCE: Final = 33  # asm-generic/socket.h; the socket module does not name it
# A listed rule costs about 2.3 kB of buffer and the kernel does not look
# whether one arrived: room for some 3,000 rules (the kernel doubles this).
_RECEIVE_BUFFER_BYTES: Final = 4 << 20
_DATAGRAM_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Reply:
    """One message of an answer: netlink type and the bytes behind the header."""

    kind: int
    payload: bytes


class Transport(Protocol):
    """What `Commands` needs beneath it; `testing.FakeKernel` is another one."""

    def request(self, kind: int, payload: bytes, *, ack: bool) -> list[Reply]:
        """Send one message and return its answer without the ACK or the end marker.

        Raises:
            KernelCommandError: refused (`errno` set) or no answer (`errno` None).
            ClosedError: after `close()`.
        """

    def close(self) -> None:
        """Release what is held; calling it again does nothing."""


class NetlinkTransport:
    """The real kernel. Opens its socket at the first request, not before.

    Any thread may call; calls wait for each other. After a timeout the late
    answer is recognised by its sequence number and dropped. The deadline
    covers the wait for the answer: the send itself is inside the kernel, which
    may hold it for the kernel's own backlog wait time while its queue is full.
    """

    def __init__(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._closed = False
        self._sequence = 0

    def request(self, kind: int, payload: bytes, *, ack: bool) -> list[Reply]:
        """See `Transport.request`."""
        with self._lock:
            if self._closed:
                raise ClosedError("the audit command socket is closed")
            if self._socket is None:
                self._socket = _open()
            self._sequence = self._sequence % 0xFFFFFFFF + 1  # 1..2**32-1: 0 marks records
            flags = NLM_F_REQUEST | (NLM_F_ACK if ack else 0)
            self._socket.send(_encode(kind, flags, self._sequence, payload))
            return self._answer(self._socket, ack=ack)

    def close(self) -> None:
        """See `Transport.close`."""
        with self._lock:
            self._closed = True
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _answer(self, sock: socket.socket, *, ack: bool) -> list[Reply]:
        """Collect until the ACK, the end marker, or the one reply of an unacknowledged GET."""
        deadline = time.monotonic() + self._timeout_s
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        replies: list[Reply] = []
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1000):
                raise KernelCommandError(f"the kernel's audit did not answer within {self._timeout_s:g} s")
            datagram, (sender, _groups) = sock.recvfrom(_DATAGRAM_BYTES)
            if sender != 0:  # another process; connect() already keeps it out
                continue
            kind, flags, sequence = _header(datagram)
            if sequence != self._sequence:
                continue
            if kind == NLMSG_ERROR:
                _raise_refusal(datagram)
                return replies
            if kind == NLMSG_DONE:
                return replies
            replies.append(Reply(kind, datagram[HEADER_BYTES:]))
            if not ack and not flags & NLM_F_MULTI:
                return replies


def _open() -> socket.socket:
    try:
        sock = socket.socket(socket.AF_NETLINK, _RAW, NETLINK_AUDIT)
    except OSError as problem:
        raise KernelCommandError(
            f"cannot open an audit socket: {problem.strerror}", problem.errno
        ) from problem
    try:
        sock.connect((0, 0))
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
        except PermissionError:  # needs CAP_NET_ADMIN; the system's limit will do
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    except BaseException:
        sock.close()
        raise
    return sock


# --- the message format, by pyroute2 -----------------------------------------


def _encode(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    message = _codec().request()
    message["header"].update(type=kind, flags=flags, sequence_number=sequence)
    message["payload"] = payload
    message.encode()
    return bytes(message.data)


def _header(datagram: bytes) -> tuple[int, int, int]:
    """Return type, flags and sequence number. The length is not read: it may be wrong."""
    message = _codec().header(datagram)
    message.decode()
    header = message["header"]
    return header["type"], header["flags"], header["sequence_number"]


def _raise_refusal(datagram: bytes) -> None:
    """Raise for a NLMSG_ERROR that carries an errno; 0 is an ACK.

    The errno is negative on the wire. A positive number is no errno but the
    answer to a counter reset, which is never sent from here.
    """
    message = _codec().answer(datagram)
    message.decode()
    number = -message["error"]
    if number > 0:
        raise KernelCommandError(f"{errno.errorcode.get(number, number)}: {os.strerror(number)}", number)


@dataclass(frozen=True, slots=True)
class _Codec:
    """pyroute2 message classes: to send, to read a header, to read an ACK."""

    request: Any
    header: Any
    answer: Any


_loaded: list[_Codec] = []
_loading = threading.Lock()


def _codec() -> _Codec:
    if not _loaded:
        with _loading:
            if not _loaded:
                nlmsg: Any = _message_format().nlmsg
                # Plain nlmsg subclasses: pyroute2's own nlmsgerr would take the
                # request that the kernel echoes behind the errno for attributes.
                _loaded.append(
                    _Codec(
                        request=type("AuditRequest", (nlmsg,), {"fields": (("payload", "s"),)}),
                        header=type("AuditHeader", (nlmsg,), {}),
                        answer=type("AuditAnswer", (nlmsg,), {"fields": (("error", "i"),)}),
                    )
                )
    return _loaded[0]


def _message_format() -> types.ModuleType:
    """Import `pyroute2.netlink` without the rest of pyroute2.

    The package's ``__init__`` imports everything it has. An empty package with
    the same path stands in for it during the import and is taken away again,
    with what came in under it: whoever imports pyroute2 later gets the real
    one. Where that does not work, the ordinary import does.
    """
    name = "pyroute2"
    if name in sys.modules:
        return importlib.import_module("pyroute2.netlink")
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        return importlib.import_module("pyroute2.netlink")  # raises, naming what is missing
    stand_in = types.ModuleType(name)
    stand_in.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = stand_in
    try:
        return importlib.import_module("pyroute2.netlink")
    except ImportError:
        _forget(name)
        return importlib.import_module("pyroute2.netlink")
    finally:
        if sys.modules.get(name) is stand_in:
            _forget(name)


def _forget(package: str) -> None:
    for name in [n for n in sys.modules if n == package or n.startswith(package + ".")]:
        del sys.modules[name]
