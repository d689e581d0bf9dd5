"""The interface of a source: where a sensor's records come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.kernel.guardian import Guardian
    from auditsense.kernel.privileges import User
    from auditsense.kernel.tamper import Change


class Cleanup(NamedTuple):
    """Cleanup of a guarded source's owner: removes a socket file, for example."""

    before_release: Callable[[], object]
    """Called in this process before the guardian ends."""
    after_restore: Callable[[], object]
    """Called by the guardian once the host is restored, also after SIGKILL, as the user that entered."""
    once_guarded: Callable[[], object] = lambda: None
    """Called in this process when the guardian runs: files created from then on are removed by it."""
    folders: tuple[str, ...] = ()
    """In which `after_restore` removes files."""
    broker: Callable[[], int | None] = lambda: None
    """Returns the descriptor over which `after_restore` has files removed; None: it removes them itself."""
    user: User | None = None
    """That helper processes of the source and of the sensor become; None: they keep the user."""


class Source(Protocol):
    """A socket with audit records, one per datagram, while it is entered. A context manager.

    Entering changes the host's audit as needed; leaving restores it.
    """

    name: str
    """As on the command line."""
    audited: bool
    """Whether the kernel audits this process: then its own events must not become work."""

    @property
    def restored(self) -> tuple[str, ...]:
        """Changes of an earlier, killed sensor that entering has undone, one line each."""

    @property
    def guardian(self) -> Guardian | None:
        """The process that restores the host when this one dies; None: there is none."""

    def attach(self, drain: Callable[[], object], unneeded: frozenset[int]) -> None:
        """Connect the reader, before entering.

        Args:
            drain: reads what waits on the descriptor; called while leaving, when no new records are made.
            unneeded: record types that need not be delivered.
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def take_early(self) -> list[bytes]:
        """Return datagrams that did not arrive on the descriptor, each once; for example while entering."""

    def plan(self) -> list[str]:
        """Return the changes that entering would make on this host, one line each. Changes nothing."""

    @property
    def only_kernel(self) -> bool:
        """Whether only the kernel can send to the descriptor at this moment; False when in doubt."""

    def fileno(self) -> int:
        """Return the descriptor that records arrive on; -1 when not entered."""

    def kernel_lost(self) -> int:
        """Ask the kernel how many records it has lost since entering.

        Raises:
            KernelCommandError: it did not answer; ask again later.
        """

    def drops(self) -> int:
        """Return the records that were lost because this socket was full, since entering.

        0 where the kernel tries again: what it evicts then, the core sees as missing serials.
        """

    def check(self) -> list[Change]:
        """Compare the kernel's audit with the expected state; return what changed since the last call.

        Repairs it if configured to.

        Raises:
            KernelCommandError: the kernel did not answer; ask again later.
        """
