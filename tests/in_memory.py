"""A sensor with all that belongs to it but the kernel: that is in memory, and its socket a local one."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from auditsense.kernel.commands import Commands
from auditsense.sources import netlink
from auditsense.sources.unicast import Unicast
from auditsense.testing import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_REPLACED = ("open_data_socket", "register", "socket_drops")


@contextmanager
def audit(early: Sequence[bytes] = ()) -> Iterator[tuple[FakeKernel, Callable[[], Unicast]]]:
    """Put a kernel in memory where the audit socket is asked for; give it, and what makes a source over it.

    Args:
        early: datagrams that come with the kernel's consent: on a local socket they would be a stranger's.
    """
    kernel = FakeKernel(enabled=1)

    def open_data_socket(_: int) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        theirs.close()
        return ours

    def register(_: socket.socket) -> list[bytes]:
        kernel.register()
        return list(early)

    def source() -> Unicast:
        kernel.closed = False  # what the source before has closed was its own way to it
        kernel.log.clear()
        return Unicast(commands=Commands(kernel))

    # By hand: unittest.mock would load asyncio and logging, which some that use this want to see not loaded.
    before = {name: getattr(netlink, name) for name in _REPLACED}
    after = {"open_data_socket": open_data_socket, "register": register, "socket_drops": lambda _: 0}
    try:
        for name in _REPLACED:
            setattr(netlink, name, after[name])
        yield kernel, source
    finally:
        for name in _REPLACED:
            setattr(netlink, name, before[name])
