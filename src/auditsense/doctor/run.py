"""Run all checks, in the order in which a person reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditsense.doctor import host_checks as host
from auditsense.doctor import kernel_checks as kernel
from auditsense.doctor.detection_checks import detections
from auditsense.doctor.finding import Diagnosis, Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.doctor.facts import Facts

CHECKS: Final[tuple[Callable[[Facts], Finding | None], ...]] = (
    kernel.kernel_audit,
    kernel.boot_parameter,
    host.container,
    host.network_namespace,
    host.capabilities,
    host.receive_buffer,
    kernel.audit_enabled,
    kernel.audit_locked,
    kernel.failure_mode,
    kernel.socket_owner,
    host.multicast_listeners,
    host.journald_audit,
    kernel.audit_rule,
    kernel.rule_cost,
    kernel.rule_hidden,
    kernel.key_stolen,
    kernel.task_never,
    kernel.records_excluded,
    detections,
    kernel.self_test,
    kernel.unaudited_processes,
    host.proc_mount,
    host.other_procfs,
    kernel.rate_limit,
    kernel.backlog_wait_time,
    kernel.backlog_limit,
    kernel.records_lost,
    host.clock,
    host.stale_journal,
    host.configuration,
    host.sensor,
    host.build,
)


def id_of(check: Callable[[Facts], Finding | None]) -> str:
    """Return the id of a check's findings."""
    return check.__name__.replace("_", "-")


def diagnose(facts: Facts) -> Diagnosis:
    """Judge facts."""
    results = [(id_of(check), check(facts)) for check in CHECKS]
    return Diagnosis(
        tuple(finding for _, finding in results if finding is not None),
        tuple(name for name, finding in results if finding is None),
    )
