"""Which way to listen to the kernel, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditsense.errors import SocketTakenError
from auditsense.kernel.access import process_name
from auditsense.kernel.audit_status import Enabled, Failure
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import refuse
from auditsense.kernel.rules import auditctl
from auditsense.sources.kernel_source import POLL_TIMEOUT_S
from auditsense.sources.multicast import Multicast
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.kernel.audit_status import AuditStatus


def why_multicast(status: AuditStatus) -> str:
    """Return why this process must not own the audit socket, in a few words; "": it may."""
    if status.enabled == Enabled.LOCKED:
        return "the audit configuration is locked until the next boot"
    if status.failure == Failure.PANIC:
        return "the kernel would panic when it loses a record, so nothing is changed"
    name = process_name(status.pid) if status.pid else None
    return "" if name is None else f"process {status.pid} ({name}) owns the audit socket"


def choose(
    audit_rules: Sequence[str],
    commands: Commands | None = None,
    **more: Any,  # noqa: ANN401 - KernelSource says what
) -> tuple[Unicast | Multicast, str]:
    """Return the source for this host, not entered, and why it is no other; "": the usual one.

    Owning the socket is better where it may be had: nothing is printed by the kernel, this process is
    not reported itself, and no process waits.

    Args:
        audit_rules: see `Unicast`.
        commands: asked here, and given to the source; the real kernel's unless given.
        more: see `KernelSource`.

    Raises:
        AuditRuleError: a line that is no audit rule.
        LockedError: the kernel would panic on loss, and audit is off: there is nothing to hear.
        SocketTakenError: another process owns the socket, and audit is off: there is nothing to hear.
        NoKernelAuditError, KernelCommandError: see `Commands`.
    """
    for line in audit_rules:
        auditctl.parse(line)  # a wrong one is said before the kernel is asked for anything
    if commands is None:
        commands, more["polls"] = Commands(), Commands(timeout_s=POLL_TIMEOUT_S)
    try:
        status = commands.status()
        why = why_multicast(status)
        _refuse_silence(status, why)
        source = Multicast if why else Unicast
        return source(audit_rules, commands=commands, **more), why
    except BaseException:
        commands.close()
        raise


def _refuse_silence(status: AuditStatus, why: str) -> None:
    if why and status.enabled == Enabled.OFF:
        refuse(status)
        raise SocketTakenError(
            f"{why}; stop it or use the multicast source, which hears nothing until audit is on"
        )
