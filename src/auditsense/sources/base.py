"""What a sensor needs of a place that records come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.kernel.guardian import Guardian
    from auditsense.kernel.watch import Noticed


class Source(Protocol):
    """A socket with audit records, one a datagram, for as long as it is entered. A context manager.

    Entering changes what has to be changed on the host, leaving puts it back.
    """

    name: str
    """As on the command line."""
    audited: bool
    """Whether the kernel reports what this process does: then its own events must not become work."""
    unsent: frozenset[int]
    """Set by the reader before entering: record types that need not come."""
    drain: Callable[[], object] | None
    """Set by the reader; called while leaving, when no new records are made but some still wait."""
    put_back: tuple[str, ...]
    """What an earlier sensor had left and was undone on entering, one line a change."""
    guardian: Guardian | None
    """Puts the host back when this process dies; None when there is none."""

    @property
    def early(self) -> list[bytes]:
        """Datagrams that came by another way than the descriptor, as those while entering."""

    @early.setter
    def early(self, datagrams: list[bytes]) -> None:
        """Set by the reader to nothing when it has taken them."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def plan(self) -> list[str]:
        """Say what entering would change on this host, one line a change. Changes nothing."""

    @property
    def only_kernel(self) -> bool:
        """Whether nobody but the kernel can send to the descriptor, at this moment."""

    def fileno(self) -> int:
        """Return the descriptor the records come on; -1 when not entered."""

    def kernel_lost(self) -> int:
        """Ask the kernel how many records it says it lost since entering.

        Raises:
            KernelCommandError: it did not answer; ask again later.
        """

    def drops(self) -> int:
        """Return the records that found this socket full and are gone, since entering.

        0 where the kernel tries again: what it gives up then, the core sees as missing.
        """

    def check(self) -> list[Noticed]:
        """Compare the kernel's audit with what it has to be; return what has changed since the last call.

        Repairs it where that was asked for.

        Raises:
            KernelCommandError: the kernel did not answer; ask again later.
        """
