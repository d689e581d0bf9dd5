"""Where the records of a kernel come from: of the real one by netlink, of another by what it brings.

Rule: commands and records are of one kernel. A test whose commands go to a kernel in memory never gets
the real audit socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from auditsense.errors import UsageError
from auditsense.sources import netlink

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from auditsense.kernel.commands import Commands


class Records(Protocol):
    """The module `sources.netlink`, or what another kernel has instead. What each does is said there."""

    def open_data_socket(self, receive_buffer_bytes: int, /) -> socket.socket:
        """Open a socket for `register`."""

    def open_multicast_socket(self, receive_buffer_bytes: int, /) -> socket.socket:
        """Open a socket that hears everything."""

    def register(self, sock: socket.socket, /) -> list[bytes]:
        """Become the owner; return what came before the consent."""

    def join(self, sock: socket.socket, /) -> None:
        """Make an owner's socket hear everything."""

    def keep_out(self, sock: socket.socket, types: Iterable[int], /) -> None:
        """Leave records of these types out."""

    def socket_drops(self, sock: socket.socket, /) -> int:
        """Return how often the socket was full."""

    def came(self, sock: socket.socket | None, /) -> list[bytes]:
        """Return what came by another way than the socket."""


def records_of(commands: Commands, polls: Commands, *, guarded: bool) -> Records:
    """Return the records of the kernel that these commands go to.

    Raises:
        UsageError: one would be the real kernel's, and another not.
    """
    other = commands.other
    if (other is None) != (polls.other is None):
        raise UsageError("commands and polls go to two kernels; give both, or commands alone")
    if other is None:
        return netlink
    if guarded:
        raise UsageError("a guardian puts back the real kernel and no other; leave guarded out here")
    records: Records | None = getattr(other, "records", None)
    if records is None:
        raise UsageError(
            f"these commands do not go to the real kernel, but {type(other).__name__} has no records of its "
            "own, and the real ones are not taken instead; auditsense.testing.FakeKernel has both"
        )
    return records
