"""Collect facts about a host: the kernel's audit, /proc, journals, the running sensor. Read-only."""

from __future__ import annotations

import ctypes
import errno
import importlib.metadata
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditsense.config.loader import DETECTIONS, FOLDER, config_files, load_default, load_files
from auditsense.config.settings import build_settings
from auditsense.core.ring import core_version
from auditsense.doctor import proc
from auditsense.doctor.facts import Facts
from auditsense.errors import AuditSenseError, ConfigError, KernelCommandError, UsageError
from auditsense.kernel import undo_journal_file
from auditsense.kernel.commands import Commands
from auditsense.kernel.rules import auditctl
from auditsense.sources.factory import is_text, rules_needed
from auditsense.sources.rule_needs import RuleNeeds, needs_of
from auditsense.sources.unicast import DEFAULT_AUDIT_RULE
from auditsense.status.client import NotRunningError, ask
from auditsense.status.config import DEFAULT_SOCKET

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.config.loader import LoadedConfig
    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.rules.rule import AuditRule
    from auditsense.kernel.undo_journal_file import StaleJournal

_TIME_ERROR: Final = 5  # adjtimex(2)
_TIMEX_BYTES: Final = 512  # more than struct timex has anywhere
_ASK_S: Final = 2.0
_KEY_FIELDS: Final = frozenset({"auditd.data.key", "tags"})


def clock_synchronised() -> bool | None:
    """Return whether the clock is synchronised (adjtimex(2), which here only reads); None: unknown."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (AttributeError, OSError):
        return None
    return None if state < 0 else state != _TIME_ERROR


@dataclass(frozen=True)
class HostAccess:
    """Access to the host.

    Attributes:
        root: of the file system.
        commands: creates the client of the kernel's audit.
        socket: of the running sensor; None: it is not asked.
        clock: returns whether the clock is synchronised.
        config: the only configuration file; None: that of the sensor, else the usual ones, below root.
        override: overrides values of the configuration, as flags do.
    """

    root: Path = Path("/")
    commands: Callable[[], Commands] = Commands
    socket: Path | None = DEFAULT_SOCKET
    clock: Callable[[], bool | None] = field(default=clock_synchronised)
    config: str | None = None
    override: Callable[[LoadedConfig], None] = field(default=lambda _: None)


def collect(host: HostAccess) -> Facts:
    """Return the facts. Raises nothing: what cannot be read becomes a fact too."""
    root = host.root
    refused, no_audit, status, rules = _kernel(host.commands)
    sensor, problem, stale = _sensor(host.socket)
    plan = _configuration(host, sensor)
    return Facts(
        refused=refused,
        no_audit=no_audit,
        status=status,
        rules=rules,
        wanted=_wanted(sensor, plan.audit_rules),
        source=plan.source if sensor is None else str(sensor.get("source", {}).get("name", "")),
        keyed=plan.keyed,
        needs=_judged(plan, sensor),
        boot=proc.boot_parameter(root),
        owner=proc.name_of(root, status.pid) if status is not None and status.pid else "",
        listeners=proc.listeners(root),
        effective=proc.capabilities(root, "CapEff"),
        bounding=proc.capabilities(root, "CapBnd"),
        other_namespaces=proc.other_namespaces(root),
        container=proc.container(root),
        processes=proc.starts(root),
        mounts=proc.mounts(root),
        rmem_max=proc.number(root, "net/core/rmem_max"),
        clock=host.clock(),
        journals=_journals(root),
        sensor=sensor,
        sensor_problem=problem,
        stale_socket=stale,
        configured=plan.files,
        misconfigured=plan.problems,
        python=(sys.version_info.major, sys.version_info.minor),
        core=core_version(),
        package=_package(),
        machine=os.uname().machine,
    )


def _kernel(
    commands: Callable[[], Commands],
) -> tuple[str, bool, AuditStatus | None, tuple[AuditRule, ...] | None]:
    try:
        with commands() as kernel:
            return "", False, kernel.status(), tuple(kernel.rules())
    except AuditSenseError as problem:
        cause = problem.__cause__
        none = isinstance(cause, KernelCommandError) and cause.errno == errno.EPROTONOSUPPORT
        return str(problem), none, None, None


def _sensor(path: Path | None) -> tuple[dict[str, Any] | None, str, bool]:
    if path is None:
        return None, "", False
    try:
        return ask(path, _ASK_S), "", False
    except NotRunningError:
        return None, "", os.path.lexists(path)
    except AuditSenseError as problem:
        return None, str(problem), False


@dataclass(frozen=True, slots=True)
class _Configured:
    """Effect of the configuration on a sensor.

    Attributes:
        files: in order.
        problems: with them; None: this user cannot read them.
        audit_rules: that it needs.
        source: its name.
        keyed: whether a detection compares the key of audit rules.
        needs: what each detection needs; None: they could not be loaded.
    """

    files: tuple[str, ...]
    problems: tuple[str, ...] | None
    audit_rules: list[str]
    source: str = "auto"
    keyed: bool = False
    needs: tuple[RuleNeeds, ...] | None = None


def _configuration(host: HostAccess, sensor: dict[str, Any] | None) -> _Configured:
    try:
        config = _loaded(host, sensor)
        host.override(config)
        settings = build_settings(config)
        text = is_text(settings.source.name)
        needed = (
            []
            if text
            else [*settings.source.audit_rules]
            or rules_needed(
                settings.detections,
                costly=settings.source.costly_rules,
                mapping=settings.values["detections.mapping"],
            )
        )
    except UsageError as error:
        problems = error.problems if isinstance(error, ConfigError) else (str(error),)
        # Other users may not be allowed to read it.
        unreadable = os.geteuid() != 0 and any(line.endswith(os.strerror(errno.EACCES)) for line in problems)
        return _Configured((), None if unreadable else problems, [DEFAULT_AUDIT_RULE])
    fields = {field for detection in settings.detections for field in detection.compared_fields}
    given = bool(settings.source.audit_rules)
    needs = None if given else needs_of(settings.detections, costly=settings.source.costly_rules)
    files = tuple(map(str, config.files))
    keyed = bool(_KEY_FIELDS & fields)
    return _Configured(files, (), needed, settings.source.name, keyed=keyed, needs=needs)


def _loaded(host: HostAccess, sensor: dict[str, Any] | None) -> LoadedConfig:
    """Return the named configuration, else that of the running sensor, else the default one."""
    folder = host.root / FOLDER.relative_to("/")
    if host.config is None and sensor is not None:
        used = [Path(file) for file in sensor.get("config_files", ())]
        if not {*used} <= {*config_files(None, folder), folder / DETECTIONS}:
            return load_files(used)  # it was started with --config
    return load_default(host.config, folder)


def _judged(plan: _Configured, sensor: dict[str, Any] | None) -> tuple[RuleNeeds, ...] | None:
    """Return what each detection needs; None if other audit rules were given instead, which may be enough."""
    if sensor is not None and not {*plan.audit_rules} <= {*sensor["audit_rules"]}:
        return None
    return plan.needs


def _wanted(sensor: dict[str, Any] | None, needed: list[str]) -> tuple[AuditRule, ...]:
    """Return the rules of the running sensor, else those that a sensor would need."""
    return tuple(auditctl.parse(line) for line in (sensor["audit_rules"] if sensor is not None else needed))


def _journals(root: Path) -> tuple[StaleJournal, ...] | str | None:
    folder = root / undo_journal_file.DEFAULT_FOLDER.relative_to("/")
    if os.path.lexists(folder) and not os.access(folder, os.R_OK | os.X_OK):
        return None
    try:
        return undo_journal_file.find_journals(folder)
    except AuditSenseError as problem:
        return str(problem)


def _package() -> str:
    try:
        return importlib.metadata.version("auditsense")
    except importlib.metadata.PackageNotFoundError:
        return ""
