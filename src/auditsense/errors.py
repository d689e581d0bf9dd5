"""Errors that a caller can act on, in one tree.

Each message is one line: what failed, the reason, what to do. `exit_code` is the exit code of the command
line for the error; the codes are part of the public interface (README, "Exit codes").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import UnionType


def one_line(text: str) -> str:
    """Return text with every character escaped that is not printable: one line that steers no terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class AuditSenseError(Exception):
    """Root of all errors of this package; never raised directly.

    Messages quote input. So each message and each note is one line of printable characters; the rest is
    escaped.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(one_line(value) if isinstance(value, str) else value for value in arguments))

    def add_note(self, note: str, /) -> None:
        """Add a line that belongs to the message."""
        super().add_note(one_line(note))


class UsageError(AuditSenseError):
    """A wrong argument, flag, configuration value or input file."""

    exit_code: ClassVar[int] = 2


def expect(name: str, value: object, kind: type | tuple[type, ...] | UnionType, expected: str) -> None:
    """Refuse an argument of another type.

    Raises:
        UsageError: names the argument and what it has to be.
    """
    if not isinstance(value, kind):
        raise UsageError(f"{name}: expected {expected}, not {value!r:.60}")


def expect_number(name: str, value: object, least: int = 0) -> None:
    """Refuse an argument that is not a whole number of at least *least*.

    Raises:
        UsageError: names the argument and its bound.
    """
    if not isinstance(value, int) or value < least:
        raise UsageError(f"{name}: expected a whole number, {least} or more, not {value!r:.60}")


class ConfigError(UsageError):
    """A configuration that cannot be used; each of `problems` is a line that names file and place."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems[0])
        self.problems = tuple(problems)
        for more in self.problems[1:]:
            self.add_note(more)


class AuditRuleError(UsageError):
    """A line in auditctl syntax that cannot be turned into an audit rule."""


class DetectionError(UsageError):
    """A detection that cannot be loaded or compiled."""


class InputError(UsageError):
    """A log or capture that cannot be read as one."""


class NoKernelAuditError(AuditSenseError):
    """The kernel's audit subsystem cannot be used: not root, a container, not built in."""

    exit_code: ClassVar[int] = 3


class LockedError(AuditSenseError):
    """The kernel's audit configuration is locked, or would panic on loss. Nothing was changed."""

    exit_code: ClassVar[int] = 4


class SocketTakenError(AuditSenseError):
    """Another process owns the audit socket, or another sensor runs. Nothing was changed."""

    exit_code: ClassVar[int] = 5


class KernelCommandError(AuditSenseError):
    """The kernel refused an audit command, or did not answer in time.

    `errno` is the kernel's positive error number, or None after a timeout.
    """

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class ClosedError(AuditSenseError):
    """The object was closed before this call."""


class BusyError(AuditSenseError):
    """Another thread is inside this object; give each thread its own."""
