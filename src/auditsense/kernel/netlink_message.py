"""Encode and decode netlink messages with the message classes of pyroute2.

Loaded with the first message: see `kernel.pyroute2_import`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

from auditsense.kernel.pyroute2_import import import_netlink

HEADER_BYTES: Final = 16  # struct nlmsghdr
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 1
NLM_F_MULTI: Final = 2
NLM_F_ACK: Final = 4


class Header(NamedTuple):
    """Header of a netlink message, without its length: the kernel states a wrong one for records."""

    kind: int
    flags: int
    sequence: int


class _MessageClasses(NamedTuple):
    """Subclasses of pyroute2's `nlmsg`: a request, a header alone, the errno of a NLMSG_ERROR.

    pyroute2's own `nlmsgerr` would parse the echoed request behind the errno as attributes.
    """

    request: Any
    header: Any
    error: Any


@cache
def _classes() -> _MessageClasses:
    nlmsg = import_netlink().nlmsg
    return _MessageClasses(
        request=type("AuditRequest", (nlmsg,), {"fields": (("payload", "s"),)}),
        header=type("AuditHeader", (nlmsg,), {}),
        error=type("AuditError", (nlmsg,), {"fields": (("error", "i"),)}),
    )


def encode(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """Return a message as bytes."""
    message = _classes().request()
    message["header"].update(type=kind, flags=flags, sequence_number=sequence)
    message["payload"] = payload
    message.encode()
    return bytes(message.data)


def decode_header(datagram: bytes) -> Header:
    """Return the header of a message."""
    message = _classes().header(datagram)
    message.decode()
    header = message["header"]
    return Header(header["type"], header["flags"], header["sequence_number"])


def decode_errno(datagram: bytes) -> int:
    """Return the errno of a NLMSG_ERROR; 0 or less: it is an ACK.

    The kernel sends an errno as a negative number. A positive number is the old value of a counter that
    was reset, which this package never does.
    """
    message = _classes().error(datagram)
    message.decode()
    return -int(message["error"])
