"""Settings of `auditsense run`, one value for each part of the program.

Every error that can be found without touching the kernel is found here, all of them at once.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditsense._frozen import Frozen
from auditsense._values import WrongValueError
from auditsense.config.keys import BY_PATH, KEYS, TABLES
from auditsense.config.loader import (
    FOLDER,
    ConfigValue,
    LoadedConfig,
    config_files,
    load_default,
    load_files,
)
from auditsense.config.option import ValueType
from auditsense.core.ring import Limits
from auditsense.detect.suppression import AlertPolicy
from auditsense.detect.view import View
from auditsense.detections.catalog import Catalog
from auditsense.detections.compiler import compile_all
from auditsense.detections.exceptions import exception_from, with_exceptions
from auditsense.detections.fields import field
from auditsense.detections.loader import only, quiet
from auditsense.errors import AuditSenseError, ConfigError, DetectionError, UsageError
from auditsense.kernel.privileges import ROOT, user_named
from auditsense.kernel.rules.auditctl import parse as parse_audit_rule
from auditsense.sinks.config import sink_settings
from auditsense.status.config import StatusSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from auditsense.config.option import Key
    from auditsense.detections.model import Detection, DetectionException
    from auditsense.kernel.privileges import User
    from auditsense.sinks.config import SinkSettings

_KERNEL_SOURCES = frozenset({"auto", "netlink", "multicast"})
_MIN_SELF_TEST_MS = 1000
_MAX_SINKS = 64
_MAX_WRONG_EXCEPTIONS = 100
_MAX_WRONG_DETECTIONS = 100


@dataclass(slots=True, eq=False, repr=False)
class SourceSettings(Frozen):
    """The source of records.

    Attributes:
        name: see the key.
        audit_rules: as configured; empty: those of the detections.
        costly_rules: add derived rules that report frequent calls as well.
        repair: restore what other processes change.
        lean: filter out records that no detection needs.
        self_test_s: interval of the self-test; 0: none; None: the default.
    """

    name: str
    audit_rules: tuple[str, ...]
    costly_rules: bool
    repair: bool
    lean: bool
    self_test_s: float | None


@dataclass(slots=True, eq=False, repr=False)
class RunSettings(Frozen):
    """Everything that `auditsense run` can be configured to do.

    Attributes:
        source: where records come from.
        detections: loaded and compiled once.
        origins: file of each detection, by its id.
        view: what to write.
        format: of standard output; None: what suits it.
        policy: when alerts are sent and when counted.
        limits: sizes of the core.
        user: to run as after startup, if one is named.
        stay_root: whether to stay root after startup.
        boost: nice levels by which scheduling priority is raised.
        status: socket that answers `auditsense status`.
        sinks: where documents go; none: standard output.
        values: of every key by its path, as configured or by default.
        files: that were read.
        notices: what to tell the operator, one line each.
    """

    source: SourceSettings
    detections: tuple[Detection, ...]
    origins: dict[str, str]
    view: View
    format: str | None
    policy: AlertPolicy
    limits: Limits
    user: User | None
    stay_root: bool
    boost: int
    status: StatusSettings
    sinks: tuple[SinkSettings, ...]
    values: dict[str, Any]
    files: tuple[Path, ...]
    notices: tuple[str, ...] = ()


def load_config(arguments: argparse.Namespace, folder: Path = FOLDER) -> LoadedConfig:
    """Read the files that the command line names, or the default ones, and override them with its flags."""
    config = load_default(arguments.config, folder)
    override(config, arguments)
    return config


def override(config: LoadedConfig, arguments: argparse.Namespace, table: str = "") -> None:
    """Override values with the flags of a command line.

    Args:
        config: of the files.
        arguments: of the command line.
        table: use only the flags of this table; "": all.
    """
    for key in KEYS:
        if table in ("", key.table):
            _override(config, key, arguments)


def _override(config: LoadedConfig, key: Key, arguments: argparse.Namespace) -> None:
    """Override a key with its flag, if it is given."""
    value = getattr(arguments, key.flag.removeprefix("--").replace("-", "_"), None) if key.flag else None
    if value is None or value == []:
        return
    if key.type is ValueType.DURATION:  # a flag takes seconds
        value = f"{round(value * 1000)}ms"
    try:
        config.values[key.path] = ConfigValue(key.check(value), key.flag)
    except WrongValueError as error:
        config.problems.append(f"{key.flag}: {error}")


def selected_detections(
    arguments: argparse.Namespace, notify: Callable[[str], None]
) -> tuple[Detection, ...]:
    """Return the detections of a command that reads a configuration only when `--config` names it.

    Its other tables are ignored, apart from their mistakes.

    Args:
        arguments: of the command.
        notify: called with each notice for the operator.

    Raises:
        ConfigError: something is wrong; it lists every error.
    """
    config = load_files([Path(arguments.config)]) if arguments.config is not None else LoadedConfig()
    override(config, arguments, "detections")
    builder = _Builder(config)
    detections = builder.detections()
    for notice in builder.notices:
        notify(notice)
    return detections


def configured_mapping(path: str) -> str:
    """Return the mapping that a configuration file names; its mistakes are reported elsewhere."""
    key = BY_PATH["detections.mapping"]
    value = load_files([Path(path)]).values.get(key.path)
    mapping: str = value.value if value is not None else key.default
    return mapping


def status_settings(flag: str | None, config: str | None, folder: Path = FOLDER) -> StatusSettings:
    """Return the status socket: of the command line, else of the configuration.

    Errors elsewhere in the files are ignored.

    Args:
        flag: value of the flag; None: read the files.
        config: the only file; None: the default ones.
        folder: of the default ones.

    Raises:
        UsageError: it is not a valid path for a socket.
        ConfigError: a file cannot be read, or its table is wrong.
    """
    if flag is not None:
        return StatusSettings.of(flag)
    loaded = load_files(config_files(config, folder), only_table="status")
    if loaded.problems:
        raise ConfigError(loaded.problems)
    key = BY_PATH["status.socket"]
    configured = loaded.values.get(key.path, ConfigValue(key.default, ""))
    try:
        return StatusSettings.of(configured.value)
    except UsageError as error:
        raise ConfigError([f"{configured.origin}: {key.path}: {error}"]) from None


def build_settings(config: LoadedConfig) -> RunSettings:
    """Return the settings of a configuration.

    Raises:
        ConfigError: something is wrong; it lists every error.
    """
    return _Builder(config).build()


class _Builder:
    """Builds the settings, one method per table, and collects every error."""

    def __init__(self, config: LoadedConfig) -> None:
        self._config = config
        self._values = {key.path: key.default for key in KEYS if key.table in TABLES}
        self._values |= {path: value.value for path, value in config.values.items()}
        self._problems = list(config.problems)
        self._catalog = Catalog()
        self.notices: list[str] = []

    def detections(self) -> tuple[Detection, ...]:
        """Return the detections alone. Raises as `build`."""
        detections = self._detections()
        if self._problems:
            raise ConfigError(self._problems)
        return detections

    def build(self) -> RunSettings:
        """Return all settings."""
        detections = self._detections()
        policy = self._policy()
        limits = self._limits()
        source = self._source()
        sinks = self._sinks()
        user = self._user()
        status = self._status()
        if self._problems:
            raise ConfigError(self._problems)
        return RunSettings(
            source=source,
            detections=detections,
            origins=self._catalog.origins,
            view=View(self._values["alerts.output"]),
            format=self._values["alerts.format"],
            policy=policy,
            limits=limits,
            user=user,
            stay_root=self._values["process.user"] == ROOT,
            boost=self._values["process.priority_boost"],
            status=status,
            sinks=tuple(sinks),
            values=self._values,
            files=tuple(self._config.files),
            notices=tuple(self.notices),
        )

    def _detections(self) -> tuple[Detection, ...]:
        loaded = self._loaded()
        detections: tuple[Detection, ...] | None = None
        if loaded is not None:
            with self._collected("detections.exceptions"):
                detections = quiet(
                    loaded,
                    self._values["detections.exceptions"],
                    known_harmless_too=self._values["detections.known_harmless"],
                )
        exceptions = self._exceptions(detections)
        return with_exceptions(detections, exceptions) if detections is not None else ()

    def _loaded(self) -> tuple[Detection, ...] | None:
        """Return the detections of all places; None when something is wrong with them."""
        before = len(self._problems)
        if self._values["detections.shipped"]:
            self._catalog.add_shipped()
        if self._config.detections is not None:
            self._add_detections(self._config.detections, "", may_be_empty=True)
        for path in self._values["detections.paths"]:
            self._add_detections(path, self._origin("detections.paths"))
        detections = tuple(self._catalog.detections)
        if len(self._problems) > before:
            return None
        with self._collected("detections.paths"):
            if not detections:
                raise DetectionError(
                    "no detection is left without the shipped ones; name a file with --detections"
                )
            compile_all(detections, merge_ms=0)  # finds what only all of them together show
            self.notices += [
                f"{self._catalog.origins[of]}: {problem}"
                for of, problem in self._catalog.unknown_joins().items()
            ]
            with self._collected("detections.only"):
                return only(detections, self._values["detections.only"])
        return None

    def _add_detections(self, path: Path | str, origin: str, *, may_be_empty: bool = False) -> None:
        try:
            files = self._catalog.add_path(path, may_be_empty=may_be_empty)
        except AuditSenseError as error:
            self._problems.append(f"{origin}{error}")
            return
        foreign = [file for file in files if file.foreign]
        if foreign:
            self.notices.append(
                f"{path}: {len(foreign)} rules are refused, and the others are used; "
                f"auditsense detections check {path} gives the reasons"
            )
        wrong = [file for file in files if file.problems and not file.foreign]
        for file in wrong[:_MAX_WRONG_DETECTIONS]:
            place = origin if file.path == str(path) else ""
            self._problems += [f"{place}{problem}" for problem in file.problems]
        if len(wrong) > _MAX_WRONG_DETECTIONS:
            self._problems.append(f"{path}: {len(wrong) - _MAX_WRONG_DETECTIONS} more files are wrong")

    def _exceptions(self, detections: Sequence[Detection] | None) -> list[DetectionException]:
        exceptions: list[DetectionException] = []
        wrong = 0
        required = {key.name for key in KEYS if key.table == "exception" and key.required}
        for table in self._config.tables.get("exception", []):
            if not required <= table.values.keys():
                continue  # reported when it was loaded
            try:
                exception = exception_from(table.values, f"{table.origin}: exception", origin=table.origin)
                if detections is not None:
                    with_exceptions(detections, [exception])
            except AuditSenseError as error:
                wrong += 1
                if wrong > _MAX_WRONG_EXCEPTIONS:
                    self._problems.append(
                        f"{table.origin}: more than {_MAX_WRONG_EXCEPTIONS} exceptions are wrong"
                    )
                    break
                self._problems.append(str(error))
            else:
                exceptions.append(exception)
        return exceptions

    def _policy(self) -> AlertPolicy:
        for name in self._values["alerts.by"]:
            with self._collected("alerts.by"):
                field(name)
        return AlertPolicy(
            suppress_ms=self._values["alerts.suppress"],
            max_alerts=self._values["alerts.max_alerts"],
            interval_ms=self._values["alerts.interval"],
            max_bursts=self._values["alerts.max_bursts"],
            update_ms=self._values["alerts.updates"],
            by=self._values["alerts.by"],
        )

    def _limits(self) -> Limits:
        limits = Limits(
            **{key.name: self._values[key.path] for key in KEYS if key.table == "limits"},
        )
        minimum = 8 * limits.datagram_bytes + 262_144
        if limits.hit_bytes < minimum:
            path = "limits.hit_bytes"
            self._problems.append(
                f"{self._origin(path)}must be {minimum} at least, 8 * datagram_bytes + 262144"
            )
        return limits

    def _source(self) -> SourceSettings:
        for rule in self._values["source.audit_rules"]:
            with self._collected("source.audit_rules"):
                parse_audit_rule(rule)
        self_test_ms = self._values["source.self_test"]
        if self_test_ms is not None and 0 < self_test_ms < _MIN_SELF_TEST_MS:
            self._problems.append(f"{self._origin('source.self_test')}must be 0 or 1s to 24h")
        name = self._values["source.name"]
        if name not in _KERNEL_SOURCES:
            for path in ("source.audit_rules", "source.costly_rules", "source.lean", "source.on_tamper"):
                if self._values[path] != BY_PATH[path].default:
                    self._problems.append(
                        f"{self._origin(path)}not possible with source {name}, where auditd sets the rules; "
                        "leave it out"
                    )
        return SourceSettings(
            name=name,
            audit_rules=self._values["source.audit_rules"],
            costly_rules=self._values["source.costly_rules"],
            repair=self._values["source.on_tamper"] == "repair",
            lean=self._values["source.lean"],
            self_test_s=None if self_test_ms is None else self_test_ms / 1000,
        )

    def _sinks(self) -> list[SinkSettings]:
        sinks: list[SinkSettings] = []
        for table in self._config.tables.get("sink", []):
            if "type" not in table.values:
                continue  # reported when it was loaded
            try:
                sink = sink_settings(table.values)
            except AuditSenseError as error:
                self._problems.append(f"{table.origin}: sink: {error}")
                continue
            if len(sinks) == _MAX_SINKS:
                self._problems.append(
                    f"{table.origin}: sink: more than {_MAX_SINKS} of them; each is a process"
                )
                break
            if str(sink) in map(str, sinks):
                self._problems.append(f"{table.origin}: sink: {sink} is given twice")
            sinks.append(sink)
        return sinks

    def _user(self) -> User | None:
        name = self._values["process.user"]
        if name not in {None, ROOT}:
            with self._collected("process.user"):
                return user_named(name)
        return None

    def _status(self) -> StatusSettings:
        with self._collected("status.socket"):
            return StatusSettings.of(self._values["status.socket"])
        return StatusSettings()

    @contextmanager
    def _collected(self, path: str) -> Iterator[None]:
        """Add an error to the problems, with the origin of a key."""
        try:
            yield
        except AuditSenseError as error:
            self._problems.append(f"{self._origin(path)}{error}")

    def _origin(self, path: str) -> str:
        configured = self._config.values.get(path)
        if configured is None:
            return f"{path}: "
        return (
            f"{configured.origin}: "
            if configured.origin.startswith("--")
            else f"{configured.origin}: {path}: "
        )


def keys_needing_restart(old: RunSettings, new: RunSettings) -> Iterator[str]:
    """Yield the changed keys that a running process cannot apply."""
    for key in KEYS:
        if key.table in TABLES and key.startup_only and old.values[key.path] != new.values[key.path]:
            yield key.path
    if old.sinks != new.sinks:
        yield "sink"
