"""What a look at the host gives: values that checks judge. None always means "could not be seen"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.journal_file import StaleJournal
    from auditsense.kernel.rules.rule import AuditRule


@dataclass(frozen=True, slots=True)
class Mounts:
    """Where procfs is mounted.

    Attributes:
        here: device ("major:minor") of the procfs at /proc; "": what is there is none.
        others: a process for each other procfs that some process has, as "pid (name)".
        first_namespace: whether this process is in the machine's first mount namespace; None: unknown.
        unreadable: processes whose mounts could not be read.
        of_host: whether the procfs at /proc is the host's; None: unknown.
    """

    here: str
    others: tuple[str, ...]
    first_namespace: bool | None
    unreadable: int
    of_host: bool | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What became of an open of /proc that was made on purpose.

    Attributes:
        seen: whether it was reported.
        key: of the audit rule that reported it; "" for none.
        problem: why it could not be tried; "": it was.
    """

    seen: bool = False
    key: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """A host, as far as it could be seen.

    Attributes:
        refused: why the kernel's audit does not answer; "": it does.
        no_audit: whether that is because this kernel has none.
        status: what AUDIT_GET answered.
        rules: what AUDIT_LIST_RULES answered, in order.
        wanted: the audit rules a sensor needs: those of the running one, or the usual one.
        boot: value of the last audit= on the kernel's command line; "" where there is none.
        owner: command name of the process that owns the audit socket; "": it has ended, or nobody does.
        listeners: command names of the processes that listen by multicast; "?" where it is unknown whose.
        effective, bounding: capabilities of this process, as bits.
        outside: namespaces of this process that are not the machine's first: user, pid, net; or "net?".
        container: what kind of container this is in; "": none is seen.
        processes: start of every living process that is no kernel thread, seconds since 1970 UTC.
        mounts: where procfs is.
        rmem_max: bytes, net.core.rmem_max.
        clock: whether the clock is synchronised.
        left: what killed sensors left; the text of an error when it cannot be read.
        sensor: what the running sensor says of itself; None: none answers.
        sensor_problem: why it is unknown whether one runs; "": it is known.
        stale_socket: whether a status socket is there that nobody answers at.
        configured: files of the configuration, in order.
        misconfigured: what is wrong with it, a line each; None: it cannot be read by this user.
        python, core, package: versions.
        machine: name of the kernel's architecture, as uname(2) has it.
        alive: None: not tried.
    """

    refused: str
    no_audit: bool
    status: AuditStatus | None
    rules: tuple[AuditRule, ...] | None
    wanted: tuple[AuditRule, ...]
    boot: str | None
    owner: str
    listeners: tuple[str, ...] | None
    effective: int | None
    bounding: int | None
    outside: frozenset[str]
    container: str
    processes: tuple[float, ...] | None
    mounts: Mounts | None
    rmem_max: int | None
    clock: bool | None
    left: tuple[StaleJournal, ...] | str | None
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
