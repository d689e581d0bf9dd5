"""Creation of sources: by name, the best one for this host, and with the audit rules of detections."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from auditsense.detections.derive import derive
from auditsense.detections.event_table import EventMapping
from auditsense.detections.loader import validate_detections
from auditsense.errors import AuditRuleError, AuditSenseError, DetectionError, SocketTakenError, UsageError
from auditsense.kernel.access import process_name
from auditsense.kernel.audit_status import Enabled, Failure
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import check_allowed
from auditsense.kernel.rules import auditctl
from auditsense.sources.kernel_source import KernelSource, check_rule_lines
from auditsense.sources.multicast import Multicast
from auditsense.sources.text_source import TextSource
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from auditsense.detections.derive import Derivation
    from auditsense.detections.model import Detection
    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.transport import Transport
    from auditsense.sources.base import Source


# --- by name ---------------------------------------------------------------------------


def is_text(name: str) -> bool:
    """Return whether a source of this name reads text."""
    return name == "audisp" or name.startswith(("unix:", "log:"))


def text_source(name: str) -> TextSource:
    """Return the text source of this name; see `is_text`."""
    kind, _, path = name.partition(":")
    if kind == "unix":
        from auditsense.sources.af_unix import AuditdSocket  # noqa: PLC0415 - load only the one in use

        return AuditdSocket(path)
    if kind == "log":
        from auditsense.sources.tail import LogTail  # noqa: PLC0415 - the same

        return LogTail(path)
    from auditsense.sources.audisp import Audisp  # noqa: PLC0415 - the same

    return Audisp()


def kernel_source(
    name: str,
    audit_rules: Sequence[str],
    others: Sequence[str] = (),
    **more: Any,  # noqa: ANN401 - see Unicast
) -> tuple[KernelSource, str]:
    """Return the source "netlink", "multicast" or "auto", and for "auto" why it is not the usual one.

    *others* are those of `Multicast`.
    """
    if name == "auto":
        return choose(audit_rules, others=others, **more)
    if name == "multicast":
        return Multicast(audit_rules, others=others, **more), ""
    return Unicast(audit_rules, **more), ""


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
    *,
    others: Sequence[str] = (),
    kernel: Transport | None = None,
    **more: Any,  # noqa: ANN401 - see Unicast
) -> tuple[Unicast | Multicast, str]:
    """Return the source for this host, not entered, and why it is not the usual one; "": it is.

    Owning the socket is better where it is possible: the kernel prints nothing, does not audit this process,
    and makes no process wait.

    Args:
        audit_rules: see `Unicast`.
        others: see `Multicast`.
        kernel: see `Unicast`.
        more: see `Unicast`.

    Raises:
        AuditRuleError: an invalid audit rule.
        LockedError: the kernel would panic on loss, and audit is off: no record would come.
        SocketTakenError: another process owns the socket, and audit is off: no record would come.
        NoKernelAuditError, KernelCommandError: see `Commands`.
    """
    for line in audit_rules:
        auditctl.parse(line)  # report a wrong one before asking the kernel
    commands = Commands(kernel)
    try:
        status = commands.status()
    finally:
        if kernel is None:
            commands.close()
    why = why_multicast(status)
    _refuse_silence(status, why)
    if why:
        return Multicast(audit_rules, others=others, kernel=kernel, **more), why
    return Unicast(audit_rules, kernel=kernel, **more), why


def _refuse_silence(status: AuditStatus, why: str) -> None:
    if why and status.enabled == Enabled.OFF:
        check_allowed(status)
        raise SocketTakenError(
            f"{why}; stop it or use the multicast source, which receives nothing until audit is on"
        )


# --- with the audit rules of detections --------------------------------------------------


def rules_needed(
    detections: Sequence[Detection],
    *,
    costly: bool = False,
    optional: bool = False,
    mapping: EventMapping | str = EventMapping.NATIVE,
) -> list[str]:
    """Return the audit rules that these detections need, each once: those that they name, then derived ones.

    Args:
        detections: those that are loaded.
        costly: whether the derived rules that report frequent calls are among them.
        optional: the rules that could be left out (`Detection.audit_rule_optional`), in place of those of the
            detections that join theirs.
        mapping: which words and fields events have.

    Raises:
        DetectionError: an invalid audit rule, with its detection.
    """
    return derivation_of(detections, mapping).lines(costly=costly, optional=optional)


def derivation_of(
    detections: Sequence[Detection], mapping: EventMapping | str = EventMapping.NATIVE
) -> Derivation:
    """Return what `rules_needed` chooses from, for callers that choose more than once: deriving takes long.

    Raises:
        DetectionError: see `rules_needed`.
    """
    _check_named_rules(detections)
    return derive(detections, mapping=EventMapping(mapping))


def _check_named_rules(detections: Sequence[Detection]) -> None:
    for detection in detections:
        for line in detection.audit_rules:
            try:
                auditctl.parse(line)
            except AuditRuleError as error:
                raise DetectionError(f"detection {detection.id!r}: audit_rule: {error}") from None


def source_for(
    source: Source | None,
    audit_rules: Sequence[str] | None,
    detections: Sequence[Detection],
    mapping: EventMapping | str = EventMapping.NATIVE,
) -> Source:
    """Return the source of a sensor: the given one, or the kernel's unicast socket.

    Args:
        source: given by the caller.
        audit_rules: given by the caller, without a source; those that the detections need unless given.
        detections: of the sensor.
        mapping: of the sensor.

    Raises:
        UsageError: both are given, or no event of these detections needs an audit rule.
        AuditRuleError, DetectionError: an invalid audit rule.
    """
    _check_named_rules(detections)
    if source is None:
        source = Unicast(audit_rules)
    elif audit_rules is not None:
        raise UsageError(
            "audit_rules is only for a sensor without source=; "
            f"give the rules to the source, as in Unicast({audit_rules!r}, guarded=True)"
        )
    if isinstance(source, KernelSource) and not source.has_rules:
        source.use_rules_of_detections(rules_needed(detections, mapping=mapping))
    return source


@contextmanager
def extended_rules(
    source: Source,
    before: Sequence[Detection],
    after: Sequence[Detection],
    audit_rules: Sequence[str] | None,
    mapping: EventMapping | str = EventMapping.NATIVE,
) -> Iterator[None]:
    """Add the audit rules that new detections need and those before did not; after an error, remove them.

    Args:
        source: entered by its owner. A text source is left alone: another program sets its rules.
        before: detections so far.
        after: detections from now on.
        audit_rules: required from now on; those that the new detections need unless given.
        mapping: of the sensor.

    Raises:
        DetectionError, AuditRuleError: an invalid audit rule.
        UsageError: a rule is not active and cannot be added. Everything is as before.
    """
    if audit_rules is not None:
        check_rule_lines(audit_rules)
    needed = rules_needed(validate_detections(after), mapping=mapping) if audit_rules is None else audit_rules
    old = rules_needed(before, mapping=mapping)
    new = [line for line in needed if line not in old]
    remove = _extend(source, new) if new and not isinstance(source, TextSource) else None
    try:
        yield
    except BaseException:
        if remove is not None:
            remove()
        raise


def _extend(source: Source, new: Sequence[str]) -> Callable[[], None]:
    extend: Callable[[Sequence[str]], Callable[[], None]] | None = getattr(source, "extend_rules", None)
    listed = "; ".join(new)
    if extend is None:
        raise UsageError(f"audit rules not active: {listed}: source {source.name} adds none; set them first")
    try:
        return extend(new)
    except (AuditRuleError, UsageError):
        raise
    except AuditSenseError as error:
        raise UsageError(f"audit rules not active: {listed}: {error}") from None
