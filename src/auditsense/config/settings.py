"""Settings: the configuration as what each part of the program takes.

Rule: what can be found wrong without touching the kernel is found here, all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditsense._values import WrongValueError
from auditsense.config.loader import FOLDER, Found, Read, files_of, read
from auditsense.config.schema import BY_PATH, KEYS, TABLES
from auditsense.core.ring import Limits
from auditsense.detect.alerts import AlertPolicy
from auditsense.detect.view import View
from auditsense.detections.compiler import compile_all
from auditsense.detections.exceptions import exception_from, with_exceptions
from auditsense.detections.fields import field
from auditsense.detections.loader import load_detections, quiet, shipped_detections
from auditsense.errors import AuditSenseError, ConfigError, UsageError
from auditsense.kernel.privileges import user_named
from auditsense.kernel.rules.auditctl import parse as parse_audit_rule
from auditsense.sinks.config import sink_settings
from auditsense.status.config import StatusSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from auditsense.detections.model import Detection, DetectionException
    from auditsense.kernel.privileges import User
    from auditsense.sinks.config import SinkSettings

_MOST_SINKS = 64
_MOST_WRONG = 100


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where records come from.

    Attributes:
        name: see the key.
        audit_rules: as given; empty: those of the detections.
        repair: set back what others change.
        lean: keep out what no detection needs.
        self_test_s: from one self-test to the next; 0: none; None: as usual.
    """

    name: str
    audit_rules: tuple[str, ...]
    repair: bool
    lean: bool
    self_test_s: float | None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `auditsense run` is told.

    Attributes:
        source: where records come from.
        detections: what is looked for, loaded and compiled once.
        view: what is written.
        format: of standard output; None: what suits it.
        policy: when alerts are sent and when counted.
        limits: what the core may hold.
        user: to become; None: nobody else.
        boost: steps of nice(2) by which the process runs before others.
        status: where the sensor may be asked how it is.
        sinks: where documents go; none: standard output.
        values: of every key by its path, as given or by default.
        files: that were read.
    """

    source: SourceSettings
    detections: tuple[Detection, ...]
    view: View
    format: str | None
    policy: AlertPolicy
    limits: Limits
    user: User | None
    boost: int
    status: StatusSettings
    sinks: tuple[SinkSettings, ...]
    values: dict[str, Any]
    files: tuple[Path, ...]


def found_for(arguments: argparse.Namespace, folder: Path | None = None) -> Read:
    """Read the files that the command line names, or the usual ones, and put its own flags above them."""
    found = read(files_of(arguments.config) if folder is None else files_of(arguments.config, folder))
    for key in KEYS:
        given = _given(arguments, key.flag)
        if given is None:
            continue
        try:
            found.values[key.path] = Found(key.check(given), key.flag)
        except WrongValueError as error:
            found.problems.append(f"{key.flag}: {error}")
    return found


def _given(arguments: argparse.Namespace, flag: str) -> Any:  # noqa: ANN401 - as argparse keeps it
    """Return what a flag says, as TOML would; None: it is not there."""
    given = getattr(arguments, flag.removeprefix("--").replace("-", "_"), None) if flag else None
    if flag == "--self-test" and given is not None:
        return f"{round(given * 1000)}ms"
    if flag == "--user" and given is not None:
        return given.name
    return None if given == [] else given


def status_settings(given: str | None, config: str | None, folder: Path = FOLDER) -> StatusSettings:
    """Return where a running sensor may be asked: what the command line says, else the configuration.

    What is wrong elsewhere in the files does not matter here.

    Args:
        given: what the flag says; None: it is not there, and the files are looked at.
        config: the only file; None: the usual ones.
        folder: of the usual ones.

    Raises:
        UsageError: it is no path for a socket.
        ConfigError: a file cannot be read, or its table is wrong.
    """
    if given is not None:
        return StatusSettings.of(given)
    found = read(files_of(config, folder), only="status")
    if found.problems:
        raise ConfigError(found.problems)
    key = BY_PATH["status.socket"]
    one = found.values.get(key.path, Found(key.default, ""))
    try:
        return StatusSettings.of(one.value)
    except UsageError as error:
        raise ConfigError([f"{one.origin}: {key.path}: {error}"]) from None


def settings(found: Read) -> Settings:
    """Return the settings that were found.

    Raises:
        ConfigError: something is wrong; it says everything that is.
    """
    problems = list(found.problems)
    made = _made(found, problems)
    if problems or made is None:
        raise ConfigError(problems)
    return made


def _made(found: Read, problems: list[str]) -> Settings | None:
    value = {key.path: key.default for key in KEYS if key.table in TABLES} | {
        path: one.value for path, one in found.values.items()
    }

    def origin(path: str) -> str:
        one = found.values.get(path)
        return f"{one.origin}: {path}: " if one is not None else f"{path}: "

    def attempt(path: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - what is made
        try:
            return make()
        except AuditSenseError as error:
            problems.append(f"{origin(path)}{error}")
            return None

    detections = attempt("detections.paths", lambda: _detections(value["detections.paths"]))
    if detections is not None:
        plain = detections
        files, harmless = value["detections.exceptions"], value["detections.known_harmless"]
        detections = attempt(
            "detections.exceptions", lambda: quiet(plain, files, known_harmless_too=harmless)
        )
    exceptions = _exceptions(found, detections, problems)
    for name in value["alerts.by"]:
        attempt("alerts.by", lambda name=name: field(name))  # type: ignore[misc]
    limits = Limits(
        **{path.partition(".")[2]: one for path, one in value.items() if path.startswith("limits.")}
    )
    least = 8 * limits.datagram_bytes + 65_536
    if limits.hit_bytes < least:
        path = "limits.hit_bytes"
        problems.append(f"{origin(path)}must be {least} at least, 8 * datagram_bytes + 65536")
    for line in value["source.audit_rules"]:
        attempt("source.audit_rules", lambda line=line: parse_audit_rule(line))  # type: ignore[misc]
    sinks = _sinks(found, problems)
    name = value["process.user"]
    user = attempt("process.user", lambda: user_named(name)) if name is not None else None
    status = attempt("status.socket", lambda: StatusSettings.of(value["status.socket"]))
    if detections is None or problems:
        return None
    test_ms = value["source.self_test"]
    return Settings(
        source=SourceSettings(
            name=value["source.name"],
            audit_rules=value["source.audit_rules"],
            repair=value["source.on_tamper"] == "repair",
            lean=value["source.lean"],
            self_test_s=None if test_ms is None else test_ms / 1000,
        ),
        detections=with_exceptions(detections, exceptions),
        view=View(value["alerts.output"]),
        format=value["alerts.format"],
        policy=AlertPolicy(
            suppress_ms=value["alerts.suppress"],
            max_alerts=value["alerts.max_alerts"],
            interval_ms=value["alerts.interval"],
            max_bursts=value["alerts.max_bursts"],
            update_ms=value["alerts.updates"],
            by=value["alerts.by"],
        ),
        limits=limits,
        user=user,
        boost=value["process.priority_boost"],
        status=status,
        sinks=tuple(sinks),
        values=value,
        files=tuple(found.files),
    )


def _exceptions(
    found: Read, detections: Sequence[Detection] | None, problems: list[str]
) -> list[DetectionException]:
    """Return the exceptions that stand in the files; say what is wrong with the others."""
    made: list[DetectionException] = []
    wrong = 0
    needed = {key.name for key in KEYS if key.table == "exception" and key.required}
    for table in found.tables.get("exception", []):
        if not needed <= set(table.values):
            continue  # said already
        try:
            one = exception_from(table.values, f"{table.origin}: exception", origin=table.origin)
            if detections is not None:
                with_exceptions(detections, [one])
        except AuditSenseError as error:
            wrong += 1
            if wrong > _MOST_WRONG:
                problems.append(f"{table.origin}: more than {_MOST_WRONG} exceptions are wrong")
                break
            problems.append(str(error))
        else:
            made.append(one)
    return made


def _sinks(found: Read, problems: list[str]) -> list[SinkSettings]:
    made: list[SinkSettings] = []
    for table in found.tables.get("sink", []):
        if "type" not in table.values:
            continue  # said already
        try:
            one = sink_settings(table.values)
        except AuditSenseError as error:
            problems.append(f"{table.origin}: sink: {error}")
            continue
        if len(made) == _MOST_SINKS:
            problems.append(f"{table.origin}: sink: more than {_MOST_SINKS} of them; each is a process")
            break
        if str(one) in map(str, made):
            problems.append(f"{table.origin}: sink: {one} is given twice")
        made.append(one)
    return made


def _detections(paths: tuple[str, ...]) -> tuple[Detection, ...]:
    found = (
        tuple(one for path in paths for one in load_detections(Path(path)))
        if paths
        else tuple(shipped_detections())
    )
    compile_all(found, merge_ms=0)  # two of one id, and what only all of them together show
    return found


def needs_restart(old: Settings, new: Settings) -> Iterator[str]:
    """Yield the keys whose new values a running process cannot take."""
    for key in KEYS:
        if key.table in TABLES and key.fixed and old.values[key.path] != new.values[key.path]:
            yield key.path
    if old.sinks != new.sinks:
        yield "sink"


__all__ = [
    "BY_PATH",
    "Settings",
    "SourceSettings",
    "found_for",
    "needs_restart",
    "settings",
    "status_settings",
]
