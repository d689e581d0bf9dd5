"""The audit commands: read the status, change one setting, list and change rules.

Owns: which command is sent and what its errno means.
Rule 1: one setting per command, because the kernel applies a combined one in its own order, not atomically.
Rule 2: no method can make the host panic or lock its audit configuration.
Rule 3: every command ends, with an answer or at the deadline.
"""

from __future__ import annotations

import contextlib
import errno
import struct
from typing import TYPE_CHECKING, Final, NoReturn, Self

from auditsense.errors import (
    AuditRuleError,
    KernelCommandError,
    LockedError,
    NoKernelAuditError,
    UsageError,
)
from auditsense.kernel import access
from auditsense.kernel.audit_status import AuditStatus, Enabled, StatusField, setting_bytes
from auditsense.kernel.rules import auditctl
from auditsense.kernel.rules.rule import AuditRule
from auditsense.kernel.transport import DEFAULT_TIMEOUT_S, NetlinkTransport, Reply, Transport

if TYPE_CHECKING:
    from types import TracebackType

# linux/audit.h
AUDIT_GET: Final = 1000
AUDIT_SET: Final = 1001
AUDIT_ADD_RULE: Final = 1011
AUDIT_DEL_RULE: Final = 1012
AUDIT_LIST_RULES: Final = 1013
_FILTER_PREPEND: Final = 0x10  # in the first word of struct audit_rule_data
_U32_MAX: Final = 0xFFFFFFFF


class Commands:
    """The control side of the kernel's audit. A context manager; any thread may call.

    The socket is this object's own and is opened by the first command. It never
    carries records, so answers cannot drown in them.

    Every method raises:

    - NoKernelAuditError: no audit in this kernel, or not for this process; the message says which and
      what would help.
    - LockedError: the configuration is locked until the next boot.
    - KernelCommandError: refused for another reason (`errno` set), or not answered within the deadline
      (`errno` None). After a missing answer the command may have been carried out: ask for the status.
    - ClosedError: after `close()`.
    """

    def __init__(self, transport: Transport | None = None, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Create a client; by default of the real kernel.

        Args:
            transport: For example `testing.FakeKernel`.
            timeout_s: Longest wait for the answer to one command, in seconds.
                Of the default transport only.
        """
        self._transport: Transport = transport or NetlinkTransport(timeout_s)
        self.other = transport
        """What answers instead of the real kernel; None: the real kernel does."""

    def status(self) -> AuditStatus:
        """Ask for settings and counters (AUDIT_GET)."""
        replies = self._send(AUDIT_GET, b"", "read the audit status")
        for reply in replies:
            if reply.kind == AUDIT_GET:
                return AuditStatus.from_bytes(reply.payload)
        raise KernelCommandError("cannot read the audit status: the kernel answered with something else")

    def set(self, field: StatusField, value: int) -> None:
        """Change one setting (AUDIT_SET), wait for the kernel's consent.

        Args:
            field: What to change. The failure mode is not among the choices.
            value: 0 to 2**32 - 1, in the unit of the field in `AuditStatus`.
                ENABLED takes 0 and 1: 2 would lock the host until its next boot.
                PID takes 0, which releases the audit socket (EACCES when another
                process owns it). `sources.audit_socket.register` acquires it, on the
                socket that is to receive the records.

        Raises:
            UsageError: a value that is not allowed here. Nothing was sent.
        """
        highest = {StatusField.ENABLED: int(Enabled.ON), StatusField.PID: 0}.get(field, _U32_MAX)
        if not isinstance(field, StatusField) or not 0 <= value <= highest:
            raise UsageError(f"audit setting {field!s} must not be set to {value} (0 to {highest})")
        name = field.name.lower()
        self._send(AUDIT_SET, setting_bytes(field, value), f"set {name} to {value}", ack=True)

    def rules(self) -> list[AuditRule]:
        """List the audit rules in the kernel's order (AUDIT_LIST_RULES).

        A rule that `AuditRule` cannot represent is not ours and is left out.

        The kernel does not check whether its answer fits the socket's buffer
        (here: some 3,000 rules); beyond that the end is missing and this call
        times out.
        """
        replies = self._send(AUDIT_LIST_RULES, b"", "list the audit rules")
        rules = []
        for reply in replies:
            with contextlib.suppress(AuditRuleError):
                rules.append(AuditRule.from_bytes(reply.payload))
        return rules

    def add_rule(self, rule: AuditRule, *, prepend: bool = False) -> None:
        """Add one rule at the end of its list, or at the front.

        A rule that asks for the front itself (`rule.prepend`) goes there.

        Raises:
            KernelCommandError: `errno` is EEXIST when the same rule exists.
        """
        payload = rule.to_bytes()
        if prepend:
            (flags,) = struct.unpack_from("=I", payload)
            payload = struct.pack("=I", flags | _FILTER_PREPEND) + payload[4:]
        self._send(AUDIT_ADD_RULE, payload, f"add audit rule {auditctl.format_rule(rule)!r}", ack=True)

    def delete_rule(self, rule: AuditRule) -> None:
        """Delete the rule that equals this one. Its place in the list does not matter.

        Raises:
            KernelCommandError: `errno` is ENOENT when there is none.
        """
        action = f"delete audit rule {auditctl.format_rule(rule)!r}"
        self._send(AUDIT_DEL_RULE, rule.to_bytes(), action, ack=True)

    def close(self) -> None:
        """Close the socket. Calling it again does nothing."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _send(self, kind: int, payload: bytes, action: str, *, ack: bool = False) -> list[Reply]:
        """Send one command. GET and LIST have no ACK: their answer is enough."""
        try:
            return self._transport.request(kind, payload, ack=ack)
        except KernelCommandError as error:
            self._raise_explained(error, action, reads=not ack)

    def _raise_explained(self, error: KernelCommandError, action: str, *, reads: bool) -> NoReturn:
        """Raise what *error* means to the caller."""
        number = error.errno
        if number == errno.EPERM and not reads:
            # Locked, or not permitted at all? The status tells; reading it raises in the second case.
            if self.status().enabled == Enabled.LOCKED:
                raise LockedError(
                    f"cannot {action}: the audit configuration is locked until the next boot"
                ) from error
        elif number is not None:
            refused: NoKernelAuditError | None = access.explain(number)
            if refused is not None:
                raise refused from error
        raise KernelCommandError(f"cannot {action}: {error}", number) from error
