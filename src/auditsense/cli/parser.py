"""The one parser: help, completion and errors come from here."""

from __future__ import annotations

import argparse
import gc
import importlib
from typing import TYPE_CHECKING, Final

from auditsense.cli import argtypes as words
from auditsense.cli.argtypes import Parser
from auditsense.core.ring import core_version
from auditsense.detect.view import View
from auditsense.sinks.format import Format

if TYPE_CHECKING:
    from collections.abc import Callable

_FORMATS = [str(form) for form in Format]
_VIEWS = [str(view) for view in View]
_EXITS = """exit codes: 0 done; 1 failed while running; 2 usage or configuration; 3 no kernel audit here;
4 the kernel's audit configuration is locked, or would panic; 5 another daemon owns the audit socket;
10 alerts found, with --fail-on-alert; 130 interrupted; 141 the reader of standard output has ended"""


_STATUS_SOCKET = (
    "where a running sensor answers auditsense status (default: what the configuration says, or "
    "/run/auditsense/control)"
)


def _command(module: str) -> Callable[[argparse.Namespace], int]:
    """Import a command when it is run: some need what others should not wait for."""

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


def _add_user(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--user",
        metavar="NAME",
        type=words.user,
        help="become this user when all is set up; best one that nothing else runs as",
    )


def _add_output(parser: argparse.ArgumentParser, views: list[str]) -> None:
    parser.add_argument(
        "-o", "--output", choices=views, default="alerts", help="what to print (default: alerts)"
    )
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        help="jsonl: one JSON object a line; compact: one readable line (default: compact on a "
        "terminal, else jsonl)",
    )
    parser.add_argument(
        "--sink",
        metavar="SINK",
        type=words.sink,
        action="append",
        default=[],
        help="where documents go, instead of standard output: stdout, file:PATH[,size=10M,keep=5], journald, "
        "syslog, syslog:udp://HOST:PORT or syslog:tcp://HOST:PORT; may be repeated",
    )
    parser.add_argument(
        "--detections",
        metavar="PATH",
        action="append",
        default=[],
        help="a detection, or a folder of them, instead of the shipped ones; may be repeated",
    )
    _add_exceptions(parser)


def _add_exceptions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--exceptions",
        metavar="PATH",
        action="append",
        default=[],
        help="a file of exceptions: what the detections are quiet about; may be repeated",
    )
    parser.add_argument(
        "--known-harmless",
        action=argparse.BooleanOptionalAction,
        help="be quiet about the collectors that come with auditsense (see detections show)",
    )


def _add_bench(commands: argparse._SubParsersAction[Parser]) -> None:
    bench = commands.add_parser(
        "bench",
        help="what it costs on this machine",
        allow_abbrev=False,
        description="Measure what it costs on this machine, in about two minutes: without privilege what the "
        "core and replay take; as root, where nobody owns the audit socket, also the sensor on the kernel, "
        "with loads of its own, and everything put back.",
    )
    bench.set_defaults(command=_command("bench"))
    bench.add_argument("--json", metavar="FILE", help="write all figures there")
    bench.add_argument("--html", metavar="FILE", help="write a page with plots there")
    bench.add_argument("--offline", action="store_true", help="without the kernel's audit")
    bench.add_argument(
        "--events",
        metavar="N",
        type=words.events,
        default=200_000,
        help="of each input and each burst; fewer are quicker and less exact (default: 200000)",
    )


def _add_units(commands: argparse._SubParsersAction[Parser]) -> None:
    units = commands.add_parser(
        "units",
        help="the files that make systemd run it",
        allow_abbrev=False,
        description="Print the systemd units of the sensor and of its audit rule, or write them to a folder.",
    )
    units.set_defaults(command=_command("systemd"))
    units.add_argument("--to", metavar="DIR", help="write them there, best /etc/systemd/system")
    units.add_argument(
        "--program", metavar="PATH", help="what they start (default: the auditsense that runs now)"
    )


def _add_run(run: argparse.ArgumentParser) -> None:
    """Add the flags that stand for keys of the configuration; what is not given is for the files to say."""
    _add_config(run)
    _add_output(run, _VIEWS)
    run.set_defaults(output=None)
    run.add_argument(
        "--source",
        metavar="SOURCE",
        help="netlink: the kernel's audit socket, owned by this process; multicast: a listener beside "
        "another owner; auto: the first where it may be had, else the second (default: auto); as any user, "
        "what auditd writes: audisp: as its plugin; unix:PATH: its af_unix socket; log:PATH: a log, followed",
    )
    run.add_argument(
        "--audit-rule",
        metavar="TEXT",
        action="append",
        default=[],
        help="an audit rule in auditctl syntax that must be in force meanwhile, instead of the one "
        "of the detections; may be repeated",
    )
    run.add_argument(
        "--lean",
        action=argparse.BooleanOptionalAction,
        help="have the kernel leave out records that no detection needs: costs less; alerts have no working "
        "directory and no title",
    )
    run.add_argument(
        "--on-tamper",
        choices=["report", "repair"],
        help="what to do when somebody changes the kernel's audit meanwhile: say it, or also set back "
        "what was set (default: report)",
    )
    run.add_argument(
        "--self-test",
        metavar="SECONDS",
        type=words.seconds,
        help="open /proc on purpose every so often and expect to see it; 0: never (default: 300, with "
        "--audit-rule 0)",
    )
    _add_user(run)
    run.add_argument(
        "--priority-boost",
        metavar="STEPS",
        type=words.boost,
        help="run before others by so many steps of nice, 0 to 20, so that full load cannot delay an alert "
        "(default: 10)",
    )
    run.add_argument("--status-socket", metavar="PATH", help=_STATUS_SOCKET + '; "off": none')


def _add_configuration(commands: argparse._SubParsersAction[Parser]) -> None:
    config = commands.add_parser(
        "config",
        help="the configuration",
        allow_abbrev=False,
        description="Show or check the configuration of run, its flags included.",
    )
    actions = config.add_subparsers(metavar="ACTION", required=True, parser_class=Parser, prog=config.prog)
    for name, what in (
        ("dump", "print what is in force, as a configuration file, and where it came from"),
        ("check", "say everything that is wrong with it; exit with 2 when anything is"),
        ("sample", "print a file with every key in a comment"),
    ):
        action = actions.add_parser(name, help=what, description=what, allow_abbrev=False)
        if name != "sample":
            _add_run(action)
        action.set_defaults(command=_command("config"), action=name)


def _add_detections(commands: argparse._SubParsersAction[Parser]) -> None:
    detections = commands.add_parser(
        "detections",
        help="what is looked for",
        allow_abbrev=False,
        description="Show what is looked for, or check your own.",
    )
    actions = detections.add_subparsers(
        metavar="ACTION", required=True, parser_class=Parser, prog=detections.prog
    )
    action = actions.add_parser("list", help="one line each", allow_abbrev=False)
    action.set_defaults(command=_command("detections"), action="list")
    action = actions.add_parser("show", help="all that one says", allow_abbrev=False)
    action.add_argument("name", metavar="NAME")
    _add_config(action)
    _add_exceptions(action)
    action.set_defaults(command=_command("detections"), action="show")
    action = actions.add_parser("check", help="load without using", allow_abbrev=False)
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
        help="what keeps a sensor from seeing on this host",
        allow_abbrev=False,
        description="Look for what keeps a sensor from seeing on this host, and say what to do. Changes "
        "nothing. Exit code 1 when there is a warning or an error, else 0.",
    )
    doctor.set_defaults(command=_command("doctor"))
    doctor.add_argument("--json", action="store_true", help="one JSON object (docs/troubleshooting.md)")
    doctor.add_argument(
        "--self-test",
        action="store_true",
        help="open /proc on purpose and listen for the record, where audit is on: whoever else listens "
        "hears that as well",
    )
    _add_config(doctor)
    doctor.add_argument("--status-socket", metavar="PATH", help=_STATUS_SOCKET)


def _add_status(commands: argparse._SubParsersAction[Parser]) -> None:
    status = commands.add_parser(
        "status",
        help="how the running sensor is",
        allow_abbrev=False,
        description="Ask the running sensor how it is, as root: what the kernel says, what it counts.",
    )
    status.set_defaults(command=_command("status"))
    status.add_argument("--json", action="store_true", help="one JSON object a line (docs/status.md)")
    status.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        const=1.0,
        type=words.positive,
        help="ask again every so often, with rates, until SIGINT (default: every second)",
    )
    _add_config(status)
    status.add_argument("--status-socket", metavar="PATH", help=_STATUS_SOCKET)


def _add_the_run(commands: argparse._SubParsersAction[Parser]) -> None:
    run = commands.add_parser(
        "run", help="watch this host", allow_abbrev=False, description="Watch this host, as root."
    )
    run.set_defaults(command=_command("run"))
    _add_run(run)
    run.add_argument("--duration", metavar="SECONDS", type=words.positive, help="end after so long")
    run.add_argument(
        "--dry-run", action="store_true", help="say what would change on this host; change nothing"
    )


def _add_replay(commands: argparse._SubParsersAction[Parser]) -> None:
    replay = commands.add_parser(
        "replay",
        help="read logs and captures",
        allow_abbrev=False,
        description="Read audit logs (plain, .gz, .zst, .xz, .bz2; also in JSON and journal exports) and "
        "captures, told apart by content.",
    )
    replay.set_defaults(command=_command("replay"))
    _add_output(replay, [*_VIEWS, "count"])
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
        type=words.count,
        help="send at most so many alerts per five minutes of the input; no limit unless given",
    )


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
    record.add_argument("--duration", metavar="SECONDS", type=words.positive, help="end after so long")
    _add_user(record)


def _add_rules(commands: argparse._SubParsersAction[Parser]) -> None:
    rules = commands.add_parser(
        "rules",
        help="the audit rule, without the sensor",
        allow_abbrev=False,
        description="Put the audit rule into the kernel, or look at it. Nothing here survives a reboot: "
        "scripts/install_rules.sh does that.",
    )
    actions = rules.add_subparsers(metavar="ACTION", required=True, parser_class=Parser, prog=rules.prog)
    for name, what in (
        ("install", "put it into the kernel; nothing happens when it is there"),
        ("remove", "take it out; nothing happens when it is not there"),
        ("check", "exit with 0 when it is there, with 1 when not"),
        ("list", "print all audit rules of the kernel, in auditctl syntax"),
        ("print", "print the rule; needs no privilege"),
    ):
        action = actions.add_parser(name, help=what, description=what, allow_abbrev=False)
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
    "run": _add_the_run,
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
    """Return the parser of `auditsense` and all its commands, or of one: to make all takes long.

    Args:
        command: the only one that will be asked for; what is no command's name: all.
    """
    parser = Parser(
        prog="auditsense",
        description="A native Linux audit sensor: kernel audit records in, alerts out.",
        epilog=_EXITS,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"auditsense {core_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser, prog=parser.prog)
    for name, add in _COMMANDS.items():
        if command in (name, "") or command not in _COMMANDS:
            add(commands)
    return parser
