"""Facts about a host, for checks to judge. None always means that it could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditsense.sources.factory import is_text

if TYPE_CHECKING:
    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.rules.rule import AuditRule
    from auditsense.kernel.undo_journal_file import StaleJournal
    from auditsense.sources.rule_needs import RuleNeeds


@dataclass(frozen=True, slots=True)
class Mounts:
    """Mount of a procfs.

    Attributes:
        here: device ("major:minor") of the procfs at /proc; "": there is no procfs.
        others: a process for each other procfs that some process has, as "pid (name)".
        first_namespace: whether this process is in the machine's first mount namespace; None: unknown.
        unreadable: processes whose mounts could not be read.
        in_container: whether one of the others belongs to a process in another pid namespace, as a
            container's does.
        of_host: whether the procfs at /proc is the host's; None: unknown.
    """

    here: str
    others: tuple[str, ...]
    first_namespace: bool | None
    unreadable: int
    of_host: bool | None = None
    in_container: bool = False


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Result of a deliberate open of /proc.

    Attributes:
        seen: whether it was reported.
        key: of the audit rule that reported it; "" for none.
        problem: why it could not be made; "": it was made.
    """

    seen: bool = False
    key: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """A host, as far as it could be read.

    Attributes:
        refused: why the kernel's audit does not answer; "": it does.
        no_audit: whether that is because this kernel has none.
        status: what AUDIT_GET answered.
        rules: what AUDIT_LIST_RULES answered, in order.
        wanted: the audit rules a sensor needs: those of the running one, or the usual one.
        source: name of the running sensor's source, else the configured one.
        keyed: whether a loaded detection compares the key of audit rules.
        needs: what each loaded detection needs; None: they could not be loaded, or other rules were given.
        boot: value of the last audit= on the kernel's command line; "" where there is none.
        owner: command name of the process that owns the audit socket; "": it has exited, or no process does.
        listeners: command names of the processes that listen by multicast; "?" where it is unknown whose.
        effective, bounding: capabilities of this process, as bits.
        other_namespaces: of this process, other than the machine's first: user, pid, net; or "net?".
        container: what kind of container this is in; "": none is seen.
        processes: start of every living process that is no kernel thread, seconds since 1970 UTC.
        mounts: where procfs is.
        rmem_max: bytes, net.core.rmem_max.
        clock: whether the clock is synchronised.
        journals: journal files of sensors; the text of an error when one cannot be read.
        sensor: status of the running sensor; None: none answers.
        sensor_problem: why it is unknown whether one runs; "": it is known.
        stale_socket: whether a status socket exists and no sensor answers there.
        configured: files of the configuration, in order.
        misconfigured: its problems, one per line; None: this user cannot read it.
        python, core, package: versions.
        machine: name of the kernel's architecture, as uname(2) has it.
        probe: result of the self-test; None: not made.
    """

    refused: str
    no_audit: bool
    status: AuditStatus | None
    rules: tuple[AuditRule, ...] | None
    wanted: tuple[AuditRule, ...]
    source: str
    keyed: bool
    needs: tuple[RuleNeeds, ...] | None
    boot: str | None
    owner: str
    listeners: tuple[str, ...] | None
    effective: int | None
    bounding: int | None
    other_namespaces: frozenset[str]
    container: str
    processes: tuple[float, ...] | None
    mounts: Mounts | None
    rmem_max: int | None
    clock: bool | None
    journals: tuple[StaleJournal, ...] | str | None
    sensor: dict[str, Any] | None
    sensor_problem: str
    stale_socket: bool
    configured: tuple[str, ...]
    misconfigured: tuple[str, ...] | None
    python: tuple[int, int]
    core: str
    package: str
    machine: str = ""
    probe: ProbeResult | None = None

    @property
    def reads_text(self) -> bool:
        """Whether the source reads what another program writes."""
        return is_text(self.source)
