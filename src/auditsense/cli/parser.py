"""The command line parser: source of help, completion and usage errors.

Flags of `run` that override a configuration key come from the key's declaration.
"""

from __future__ import annotations

import argparse
import gc
import importlib
from typing import TYPE_CHECKING, Any, Final

from auditsense.cli import argtypes
from auditsense.cli.argtypes import Parser
from auditsense.cli.style import Color
from auditsense.config.keys import BY_PATH, KEYS
from auditsense.config.option import ValueType
from auditsense.core.ring import core_version

if TYPE_CHECKING:
    from collections.abc import Callable

_EXITS = """exit codes: 0 done; 1 failed while running; 2 usage or configuration; 3 no kernel audit here;
4 the kernel's audit configuration is locked, or would panic; 5 another daemon owns the audit socket;
10 alerts found, with --fail-on-alert; 130 interrupted; 141 the reader of standard output has ended"""
_SHORT: Final = {"--output": "-o"}


def _command(module: str) -> Callable[[argparse.Namespace], int]:
    """Return a function that imports a command only when it runs: other commands need not wait for it."""

    def run(arguments: argparse.Namespace) -> int:
        command: Callable[[argparse.Namespace], int]
        command = importlib.import_module(f"auditsense.cli.{module}").run
        if arguments.own_process:
            gc.freeze()
            gc.enable()
        return command(arguments)

    return run


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help="the only configuration file (default: /etc/auditsense/auditsense.toml, and "
        "/etc/auditsense/conf.d/*.toml)",
    )


def _add_color(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--color",
        choices=[str(color) for color in Color],
        default=str(Color.AUTO),
        help="colour text by severity; auto: on a terminal, unless NO_COLOR is set or TERM is dumb "
        "(default: auto)",
    )


def _add_flag(parser: argparse.ArgumentParser, path: str, **changes: Any) -> None:  # noqa: ANN401 - of argparse
    """Add the flag of a configuration key. It is None or [] unless given: then the files decide.

    Args:
        parser: of a command.
        path: of the key.
        changes: replace arguments of `add_argument`.
    """
    key = BY_PATH[path]
    description = key.description[0].lower() + key.description[1:].removesuffix(".")
    options: dict[str, Any] = {"metavar": key.metavar or None}
    match key.type:
        case ValueType.BOOLEAN:
            options = {"action": argparse.BooleanOptionalAction}
        case ValueType.STRINGS:
            options |= {"action": "append", "default": []}
            description += "; may be repeated"
        case ValueType.INTEGER:
            options |= {"type": argtypes.count}
        case ValueType.DURATION:
            options |= {"type": argtypes.seconds}
        case _ if not key.metavar:
            options |= {"choices": key.choices}
    if key.default:
        description += f" (default: {key.default})"
    names = [_SHORT[key.flag], key.flag] if key.flag in _SHORT else [key.flag]
    parser.add_argument(*names, **(options | {"help": description} | changes))


def _add_sink(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sink",
        metavar="SINK",
        type=argtypes.sink,
        action="append",
        default=[],
        help="where documents go, instead of standard output: stdout, file:PATH[,size=10M,keep=5], journald, "
        "syslog, syslog:udp://HOST:PORT or syslog:tcp://HOST:PORT; may be repeated",
    )


def _add_bench(commands: argparse._SubParsersAction[Parser]) -> None:
    bench = commands.add_parser(
        "bench",
        help="measure CPU, memory and throughput on this machine",
        allow_abbrev=False,
        description="Measure CPU, memory and throughput on this machine, in about two minutes: as any user "
        "those "
        "of the core and of replay; as root, if the audit socket has no owner, also those of the sensor on "
        "the kernel, with generated load. Every change is restored.",
    )
    bench.set_defaults(command=_command("bench"))
    bench.add_argument("--json", metavar="FILE", help="write all figures there")
    bench.add_argument("--html", metavar="FILE", help="write a page with plots there")
    bench.add_argument("--offline", action="store_true", help="without the kernel's audit")
    bench.add_argument(
        "--events",
        metavar="N",
        type=argtypes.events,
        default=200_000,
        help="of each input and each burst; fewer are quicker and less exact (default: 200000)",
    )
    _add_color(bench)


def _add_units(commands: argparse._SubParsersAction[Parser]) -> None:
    units = commands.add_parser(
        "units",
        help="print or install systemd units",
        allow_abbrev=False,
        description="Print the systemd units of the sensor and of its audit rule, or write them to a folder.",
    )
    units.set_defaults(command=_command("systemd"))
    units.add_argument("--to", metavar="DIR", help="write them there, usually to /etc/systemd/system")
    units.add_argument(
        "--program", metavar="PATH", help="what they start (default: the auditsense that runs now)"
    )


def _add_run_flags(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    for key in KEYS:
        if key.flag:
            _add_flag(parser, key.path)
    _add_sink(parser)


def _add_configuration(commands: argparse._SubParsersAction[Parser]) -> None:
    config = commands.add_parser(
        "config",
        help="the configuration",
        allow_abbrev=False,
        description="Show or check the configuration of run, its flags included.",
    )
    actions = config.add_subparsers(metavar="ACTION", required=True, parser_class=Parser, prog=config.prog)
    for name, purpose in (
        ("dump", "print the active configuration as a file, with the origin of each value"),
        ("check", "validate the configuration; exit 2 if it is invalid"),
        ("sample", "print a file with every key in a comment"),
    ):
        action = actions.add_parser(name, help=purpose, description=purpose, allow_abbrev=False)
        if name != "sample":
            _add_run_flags(action)
        action.set_defaults(command=_command("config"), action=name)


def _add_detections(commands: argparse._SubParsersAction[Parser]) -> None:
    detections = commands.add_parser(
        "detections",
        help="list and validate detections",
        allow_abbrev=False,
        description="Show the detections, or validate your own.",
    )
    actions = detections.add_subparsers(
        metavar="ACTION", required=True, parser_class=Parser, prog=detections.prog
    )
    action = actions.add_parser("list", help="one line each", allow_abbrev=False)
    action.set_defaults(command=_command("detections"), action="list")
    action = actions.add_parser("show", help="show one detection", allow_abbrev=False)
    action.add_argument("name", metavar="NAME")
    _add_config(action)
    _add_flag(action, "detections.exceptions")
    _add_flag(action, "detections.known_harmless")
    action.set_defaults(command=_command("detections"), action="show")
    action = actions.add_parser("check", help="validate a detection file", allow_abbrev=False)
    action.add_argument("path", metavar="PATH")
    action.set_defaults(command=_command("detections"), action="check")
    action = actions.add_parser(
        "compile",
        help="as a C header, for programs that embed the core without Python (docs/c.md)",
        allow_abbrev=False,
    )
    action.add_argument(
        "path", metavar="PATH", nargs="?", help="as --detections takes it (default: the shipped)"
    )
    action.set_defaults(command=_command("detections"), action="compile")


def _add_doctor(commands: argparse._SubParsersAction[Parser]) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="diagnose audit problems on this host",
        allow_abbrev=False,
        description="Diagnose audit problems on this host, and suggest remedies. Changes nothing. "
        "Exit code 1 when there is a warning or an error, else 0.",
    )
    doctor.set_defaults(command=_command("doctor"))
    doctor.add_argument("--json", action="store_true", help="one JSON object (docs/troubleshooting.md)")
    doctor.add_argument(
        "--self-test",
        action="store_true",
        help="open /proc on purpose and listen for the record, where audit is on: other listeners receive "
        "it as well",
    )
    _add_config(doctor)
    _add_flag(doctor, "status.socket")
    _add_color(doctor)


def _add_status(commands: argparse._SubParsersAction[Parser]) -> None:
    status = commands.add_parser(
        "status",
        help="show the state of the running sensor",
        allow_abbrev=False,
        description="Show the state of the running sensor, as root: kernel settings and counters.",
    )
    status.set_defaults(command=_command("status"))
    status.add_argument("--json", action="store_true", help="one JSON object a line (docs/status.md)")
    status.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        const=1.0,
        type=argtypes.positive,
        help="ask again at this interval, with rates, until SIGINT (default: every second)",
    )
    _add_config(status)
    _add_flag(status, "status.socket")
    _add_color(status)


def _add_run(commands: argparse._SubParsersAction[Parser]) -> None:
    run = commands.add_parser(
        "run", help="watch this host", allow_abbrev=False, description="Watch this host, as root."
    )
    run.set_defaults(command=_command("run"))
    _add_run_flags(run)
    run.add_argument("--duration", metavar="SECONDS", type=argtypes.positive, help="end after this time")
    run.add_argument(
        "--dry-run", action="store_true", help="print what would change on this host; change nothing"
    )
    _add_color(run)


def _add_replay(commands: argparse._SubParsersAction[Parser]) -> None:
    replay = commands.add_parser(
        "replay",
        help="read logs and captures",
        allow_abbrev=False,
        description="Read audit logs (plain, .gz, .zst, .xz, .bz2; also in JSON and journal exports) and "
        "captures, told apart by content.",
    )
    replay.set_defaults(command=_command("replay"))
    views = [*BY_PATH["alerts.output"].choices, "count"]
    _add_flag(replay, "alerts.output", choices=views, default="alerts")
    for path in ("alerts.format", "detections.paths", "detections.exceptions", "detections.known_harmless"):
        _add_flag(replay, path)
    _add_sink(replay)
    replay.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        help="a file; a folder: audit.log in it and what was rotated, oldest first; - is standard input",
    )
    replay.add_argument(
        "--rotated",
        action="store_true",
        help="with each file, what was rotated from it (PATH.1, PATH.2.gz, PATH-20261125), oldest first",
    )
    replay.add_argument("--fail-on-alert", action="store_true", help="exit with 10 when there was an alert")
    replay.add_argument(
        "--max-alerts",
        metavar="N",
        type=argtypes.count,
        help="maximum number of alerts per five minutes of the input; no limit unless given",
    )
    _add_color(replay)


def _add_record(commands: argparse._SubParsersAction[Parser]) -> None:
    record = commands.add_parser(
        "record",
        help="capture what the kernel sends",
        allow_abbrev=False,
        description="Capture the kernel's audit records to a file, as root, for replay.",
    )
    record.set_defaults(command=_command("record"))
    record.add_argument("--to", metavar="FILE", required=True, help="a new file; mode 0600")
    record.add_argument("--audit-rule", metavar="TEXT", action="append", default=[], help="as in run")
    record.add_argument("--duration", metavar="SECONDS", type=argtypes.positive, help="end after this time")
    _add_flag(record, "process.user", type=argtypes.user)


def _add_rules(commands: argparse._SubParsersAction[Parser]) -> None:
    rules = commands.add_parser(
        "rules",
        help="the audit rule, without the sensor",
        allow_abbrev=False,
        description="Put the audit rule into the kernel, or look at it. Nothing here survives a reboot: "
        "scripts/install_rules.sh does that.",
    )
    actions = rules.add_subparsers(metavar="ACTION", required=True, parser_class=Parser, prog=rules.prog)
    for name, purpose in (
        ("install", "put it into the kernel; nothing happens when it is there"),
        ("remove", "take it out; nothing happens when it is not there"),
        ("check", "exit with 0 when it is there, with 1 when not"),
        ("list", "print all audit rules of the kernel, in auditctl syntax"),
        ("print", "print the rule; needs no privilege"),
    ):
        action = actions.add_parser(name, help=purpose, description=purpose, allow_abbrev=False)
        action.set_defaults(command=_command("rules"), action=name)


def _add_schema(commands: argparse._SubParsersAction[Parser]) -> None:
    schema = commands.add_parser(
        "schema",
        help="the JSON schema of every document",
        allow_abbrev=False,
        description="Print the JSON schema (draft 2020-12) of every document that is written, or of what "
        "status --json prints.",
    )
    schema.add_argument(
        "of", nargs="?", choices=["document", "status"], default="document", help="(default: document)"
    )
    schema.set_defaults(command=_command("schema"))


_COMMANDS: Final[dict[str, Callable[[argparse._SubParsersAction[Parser]], None]]] = {
    "run": _add_run,
    "replay": _add_replay,
    "record": _add_record,
    "rules": _add_rules,
    "detections": _add_detections,
    "doctor": _add_doctor,
    "schema": _add_schema,
    "status": _add_status,
    "config": _add_configuration,
    "bench": _add_bench,
    "units": _add_units,
}


def build_parser(command: str = "") -> argparse.ArgumentParser:
    """Return the parser of `auditsense`.

    Args:
        command: first word of the command line. Only its parser is created: creating all is slow. All are
            created for an unknown word.
    """
    parser = Parser(
        prog="auditsense",
        description="A native Linux audit sensor: kernel audit records in, alerts out.",
        epilog=_EXITS,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"auditsense {core_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser, prog=parser.prog)
    if command != "--version":
        for add in [_COMMANDS[command]] if command in _COMMANDS else _COMMANDS.values():
            add(commands)
    return parser
