"""The command line parser: source of help, completion and usage errors.

Flags of `run` that override a configuration key come from the key's declaration.
"""

from __future__ import annotations

import argparse
import gc
import importlib
from typing import TYPE_CHECKING, Any, Final

from auditsense.cli import argtypes
from auditsense.cli.style import Color
from auditsense.cli.usage import Parser
from auditsense.config.keys import BY_PATH, KEYS
from auditsense.config.option import ValueType
from auditsense.core.ring import core_version
from auditsense.doctor.pages import documentation

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_CODES: Final = {
    0: "done",
    1: "failed while running",
    2: "wrong usage or configuration",
    3: "no kernel audit here",
    4: "the kernel's audit configuration is locked, or the kernel would panic",
    5: "another daemon owns the audit socket, or another auditsense runs",
    10: "alerts found, with --fail-on-alert",
    130: "interrupted by SIGINT",
    141: "the reader of standard output has closed it",
}
EXAMPLES: Final[dict[str, dict[str, str]]] = {
    "": {
        "auditsense doctor": "diagnose audit problems on this host",
        "auditsense run": "watch this host, as root",
        "auditsense replay /var/log/audit": "search auditd's logs",
    },
    "run": {
        "auditsense run": "watch until Ctrl-C; print alerts",
        "auditsense run --dry-run": "print the changes to this host",
        "auditsense run --duration 5m --sink file:/var/log/auditsense.jsonl": "watch for five minutes",
        "auditsense run --source log:/var/log/audit/audit.log": "follow auditd's log",
    },
    "replay": {
        "auditsense replay /var/log/audit": "a folder of rotated logs",
        "auditsense replay -o count audit.log": "counters only",
        "auditsense replay --fail-on-alert - < audit.log": "exit code 10 when there is an alert",
    },
    "record": {"auditsense record --to capture.bin --duration 1m": "capture one minute"},
    "rules": {
        "auditsense rules print": "print the audit rules of the detections",
        "auditsense rules derive --explain": "print where each comes from",
        "auditsense rules check": "exit code 1 if the kernel lacks one",
        "auditsense rules install": "add them until the next reboot",
        "auditsense rules remove": "remove them",
        "auditsense rules list": "list all audit rules of the kernel",
    },
    "detections": {
        "auditsense detections list": "one line per detection",
        "auditsense detections show pspy": "everything about one detection",
        "auditsense detections check my.toml": "validate a file",
        "auditsense detections check rules/": "which detections of a folder run, and why others do not",
        "auditsense detections test my.toml cases.json": "run the cases of a detection",
        "auditsense detections compile my.toml": "print a C header",
        "auditsense detections except alert.json": "print an exception for an alert",
    },
    "doctor": {
        "auditsense doctor": "diagnose, changing nothing",
        "auditsense doctor --self-test": "also open /proc and wait for the record",
    },
    "schema": {"auditsense schema status": "schema of status --json"},
    "status": {
        "auditsense status": "print the state once",
        "auditsense status --watch 5s": "refresh every five seconds",
        "auditsense status --prometheus": "metrics for Prometheus",
    },
    "test-alert": {
        "auditsense test-alert": "provoke an alert and see where it goes",
        "auditsense test-alert --user www-data": "the same as another user",
    },
    "config": {
        "auditsense config sample": "print a commented configuration file",
        "auditsense config check": "validate the active configuration",
        "auditsense config dump --lean": "print the effect of a flag",
    },
    "bench": {
        "auditsense bench --offline --events 20000": "a quick measurement as any user",
        "auditsense bench --html bench.html": "also write a page with plots",
        "auditsense bench compare before.json after.json": "compare two runs with --json",
        "auditsense bench calls": "what audit rules cost every program of this host, as root",
    },
    "ship": {
        "auditsense ship --spool /var/lib/auditsense-ship --to otlp+https://logs.example:4318": "deliver",
        "auditsense ship --spool /var/lib/auditsense-ship --status": "show how much waits",
    },
    "units": {"auditsense units --to /etc/systemd/system": "install the units"},
    "completion": {
        "auditsense completion bash > ~/.local/share/bash-completion/completions/auditsense": "for bash",
        "auditsense completion zsh > ~/.zfunc/_auditsense": "for zsh, with ~/.zfunc in fpath",
        "auditsense completion fish > ~/.config/fish/completions/auditsense.fish": "for fish",
    },
    "help": {"auditsense help rules install": "the same as auditsense rules install --help"},
}
"""Examples of each command, and what each does; "" is the program itself."""
_LONG_EXAMPLE: Final = 44  # with its purpose, 80 columns
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


def _add_command(
    commands: argparse._SubParsersAction[Parser], name: str, summary: str, description: str = ""
) -> Parser:
    """Add a command or an action.

    Args:
        commands: of the parser above.
        name: of the command.
        summary: one line for the list of commands: lower case, no full stop.
        description: whole sentences; by default the summary.
    """
    description = description or f"{summary[0].upper()}{summary[1:]}."
    parser = commands.add_parser(name, help=summary, description=description)
    parser.epilog = _examples(parser.prog)
    return parser


def _add_actions(parser: Parser) -> argparse._SubParsersAction[Parser]:
    parser.set_defaults(command=parser.print_missing)
    return parser.add_subparsers(metavar="ACTION", title="actions", parser_class=Parser, prog=parser.prog)


def _examples(prog: str) -> str:
    """Return the examples of a command as a block; long ones have their purpose above."""
    command = prog.partition(" ")[2].partition(" ")[0]
    examples = {
        example: purpose
        for example, purpose in EXAMPLES.get(command, {}).items()
        if not command or f"{example} ".startswith(f"{prog} ")
    }
    if not examples:
        return ""
    width = max(map(len, examples))
    if width > _LONG_EXAMPLE:
        lines = [f"  # {purpose}\n  {example}\n" for example, purpose in examples.items()]
        return "examples:\n" + "\n".join(lines)
    lines = [f"  {example:{width}}  # {purpose}\n" for example, purpose in examples.items()]
    return "examples:\n" + "".join(lines)


def _add_config(parser: Parser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        type=argtypes.path,
        help="read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d "
        "in /etc/auditsense)",
    )


def _add_flag(parser: Parser, path: str, **changes: Any) -> None:  # noqa: ANN401 - of argparse
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
            options |= {"type": argtypes.time(key.minimum, key.maximum)}
        case _ if not key.metavar:
            options |= {"choices": key.choices}
    if key.metavar == "PATH" and key.type is ValueType.STRINGS:
        options |= {"type": argtypes.path}
    if key.default:
        description += f" (default: {'yes' if key.default is True else key.default})"
    names = [_SHORT[key.flag], key.flag] if key.flag in _SHORT else [key.flag]
    parser.add_argument(*names, **(options | {"help": description} | changes))


def _add_selection(parser: Parser, *, paths: bool = True) -> None:
    """Add the flags that select detections.

    Args:
        parser: of a command.
        paths: whether it takes `--detections`.
    """
    _add_config(parser)
    if paths:
        _add_flag(parser, "detections.paths")
    _add_flag(parser, "detections.shipped")
    _add_flag(parser, "detections.only")


def _add_sink(parser: Parser) -> None:
    parser.add_argument(
        "--sink",
        metavar="SINK",
        type=argtypes.sink,
        action="append",
        default=[],
        help="destination of documents instead of standard output: stdout, file:PATH[,size=10M,keep=5], "
        "journald, syslog, syslog:udp://HOST:PORT, syslog:tcp://HOST:PORT or spool:DIR[,size=256M]; may be "
        "repeated",
    )


def _add_color(parser: Parser) -> None:
    parser.add_argument(
        "--color",
        choices=[str(color) for color in Color],
        default=str(Color.AUTO),
        help="color text by severity; auto: on a terminal, unless NO_COLOR is set or TERM is dumb "
        "(default: auto)",
    )


def _add_verbosity(parser: Parser) -> None:
    levels = parser.add_mutually_exclusive_group()
    for names, level, description in (
        (("-q", "--quiet"), -1, "print warnings and errors only, and data"),
        (("-v", "--verbose"), 1, "print more about the progress"),
    ):
        levels.add_argument(
            *names, dest="verbosity", action="store_const", const=level, default=0, help=description
        )


def _add_bench(commands: argparse._SubParsersAction[Parser]) -> None:
    bench = _add_command(
        commands,
        "bench",
        "measure CPU, memory and throughput on this machine",
        "Measure CPU, memory and throughput on this machine, in a few minutes. Any user can measure the "
        "core and replay. As root, and if the audit socket has no owner, it also measures the live sensor "
        "under generated load. Every change to the host is reverted.",
    )
    bench.set_defaults(command=_command("bench"), action="")
    bench.add_argument("--json", metavar="FILE", type=argtypes.path, help="write all figures to this file")
    bench.add_argument(
        "--html", metavar="FILE", type=argtypes.path, help="write a page with plots to this file"
    )
    bench.add_argument("--offline", action="store_true", help="measure without the kernel's audit")
    bench.add_argument(
        "--events",
        metavar="N",
        type=argtypes.events,
        default=200_000,
        help="number of events per input and per burst; fewer are quicker and less exact (default: 200000)",
    )
    bench.add_argument(
        "--fail-on-missed", action="store_true", help="exit with 1 if a figure misses its goal"
    )
    _add_color(bench)
    actions = bench.add_subparsers(metavar="[ACTION]", title="actions", parser_class=Parser, prog=bench.prog)
    compare = _add_command(
        actions,
        "compare",
        "compare two reports of bench --json",
        "Compare two reports of bench --json, measuring nothing: each figure of B divided by that of A, and "
        "the limits of this ratio if both figures lie anywhere within their spreads.",
    )
    compare.add_argument("first", metavar="A.json", type=argtypes.path, help="report to compare with")
    compare.add_argument("second", metavar="B.json", type=argtypes.path, help="report to compare")
    compare.set_defaults(command=_command("bench"), action="compare")
    calls = _add_command(
        actions,
        "calls",
        "measure what audit rules cost every program of this host",
        "Measure the time of single system calls before audit rules, with audit on and no rule, with the "
        "rules of the detections, with -w /proc/ -p r, and after all are removed. Takes less than a minute. "
        "Needs root, a C compiler and an audit socket without an owner. Every change to the host is "
        "reverted, but a part of the cost stays until the next boot once audit was on, as after any sensor.",
    )
    _add_selection(calls)
    _add_flag(calls, "source.audit_rules")
    _add_flag(calls, "source.costly_rules")
    calls.add_argument(
        "--rounds",
        metavar="N",
        type=argtypes.rounds,
        default=9,
        help="rounds of all states, from 1 to 100; the fastest of them counts (default: 9)",
    )
    calls.add_argument(
        "--json",
        metavar="FILE",
        type=argtypes.path,
        default=argparse.SUPPRESS,
        help="write all figures to this file",
    )
    calls.set_defaults(command=_command("bench"), action="calls")


def _add_units(commands: argparse._SubParsersAction[Parser]) -> None:
    units = _add_command(
        commands,
        "units",
        "print or install systemd units",
        "Print the systemd units of the sensor, its audit rules and auditsense ship, or write them to a "
        "folder.",
    )
    units.set_defaults(command=_command("systemd"))
    units.add_argument(
        "--to",
        metavar="DIR",
        type=argtypes.path,
        help="write the units to this folder, usually /etc/systemd/system",
    )
    units.add_argument(
        "--program",
        metavar="PATH",
        type=argtypes.path,
        help="program that the units start (default: the running auditsense)",
    )


def _add_run_flags(parser: Parser) -> None:
    _add_config(parser)
    for key in KEYS:
        if key.flag:
            _add_flag(parser, key.path)
    _add_sink(parser)


def _add_configuration(commands: argparse._SubParsersAction[Parser]) -> None:
    config = _add_command(
        commands,
        "config",
        "print or validate the configuration",
        "Print or validate the configuration of run. Flags of run are accepted and override the files.",
    )
    actions = _add_actions(config)
    for name, purpose in (
        ("dump", "print the active configuration as a file, with the origin of each value"),
        ("check", "validate the configuration; exit 2, as run would, if it is invalid"),
        ("sample", "print a configuration file with every key in a comment"),
    ):
        action = _add_command(actions, name, purpose)
        if name != "sample":
            _add_run_flags(action)
        action.set_defaults(command=_command("config"), action=name)


def _add_detections(commands: argparse._SubParsersAction[Parser]) -> None:
    detections = _add_command(commands, "detections", "list, show and validate detections")
    actions = _add_actions(detections)
    action = _add_command(actions, "list", "list the detections with their files, one line each")
    _add_selection(action)
    action.set_defaults(command=_command("detections"), action="list")
    action = _add_command(actions, "show", "show one detection with its exceptions and limits, as JSON")
    action.add_argument("name", metavar="NAME", help="id of the detection")
    _add_selection(action)
    _add_flag(action, "detections.exceptions")
    _add_flag(action, "detections.known_harmless")
    action.set_defaults(command=_command("detections"), action="show")
    action = _add_command(
        actions,
        "check",
        "validate files or folders of detections",
        "Validate each file, also against the ids of the shipped detections, and print every mistake with "
        "its line. The table shows which detections run with all that the sensor knows of events (native), "
        "and with what Elastic's integration auditd_manager fills. The exit code is 1 if a file is refused.",
    )
    action.add_argument("paths", metavar="PATH", nargs="+", type=argtypes.path, help="file or folder")
    _add_selection(action, paths=False)
    action.set_defaults(command=_command("detections_check"))
    action = _add_command(
        actions,
        "test",
        "run the cases of a detection",
        "Run each case of CASES.json (docs/detections.md) and print one line for each. A case is a list of "
        "recorded lines, and how many sequences they must complete. The exit code is 1 if a number differs.",
    )
    action.add_argument("rule", metavar="RULE", type=argtypes.path, help="file of the detection")
    action.add_argument("cases", metavar="CASES.json", type=argtypes.path, help="its cases")
    _add_flag(action, "detections.mapping", default=None, help="the only mapping to test (default: both)")
    action.set_defaults(command=_command("detections_cases"))
    action = _add_command(
        actions,
        "compile",
        "print detections as a C header",
        "Print the shipped detections, and those of each PATH, as a C header, for programs that embed the "
        "core without Python. A configuration is read only with --config.",
    )
    action.add_argument(
        "paths", metavar="PATH", nargs="*", type=argtypes.path, help="file or folder of detections"
    )
    _add_selection(action, paths=False)
    action.set_defaults(command=_command("detections"), action="compile")
    action = _add_command(
        actions,
        "except",
        "turn an alert into an exception",
        "Read an alert as JSON and print an exception for its program, user and login, as TOML for "
        "detections.exceptions. Of several alerts, one per line, each program gets one exception.",
    )
    action.add_argument(
        "path", metavar="ALERT.json", type=argtypes.path, help="file with the alert; - is standard input"
    )
    action.add_argument(
        "--comment", metavar="TEXT", help="why the program is harmless (default: which alert it is from)"
    )
    action.set_defaults(command=_command("detections_except"), action="except")


def _add_doctor(commands: argparse._SubParsersAction[Parser]) -> None:
    doctor = _add_command(
        commands,
        "doctor",
        "diagnose audit problems on this host",
        "Diagnose audit problems on this host and suggest remedies. Changes nothing. The exit code is 1 "
        "after a warning or an error, else 0.",
    )
    doctor.set_defaults(command=_command("doctor"))
    doctor.add_argument("-a", "--all", action="store_true", help="also list the checks that are ok")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    doctor.add_argument(
        "--self-test",
        action="store_true",
        help="open /proc and wait for the record, if audit is on; other listeners receive it too",
    )
    _add_selection(doctor)
    _add_flag(doctor, "status.socket")
    _add_color(doctor)


def _add_status(commands: argparse._SubParsersAction[Parser]) -> None:
    status = _add_command(
        commands,
        "status",
        "show the state of the running sensor",
        "Show the state of the running sensor, as root: kernel settings and counters.",
    )
    status.set_defaults(command=_command("status"))
    forms = status.add_mutually_exclusive_group()
    forms.add_argument(
        "--json", action="store_true", help="print one JSON object per line (auditsense schema status)"
    )
    forms.add_argument(
        "--prometheus",
        action="store_true",
        help="print metrics for Prometheus, once; auditsense_up is 0 if no sensor answers",
    )
    status.add_argument(
        "--watch",
        metavar="TIME",
        nargs="?",
        const=1.0,
        type=argtypes.time(50),
        help="repeat at this interval, with rates, until SIGINT (without a value: every second)",
    )
    _add_config(status)
    _add_flag(status, "status.socket")
    _add_color(status)
    status.add_argument(
        "-v",
        "--verbose",
        dest="verbosity",
        action="store_const",
        const=1,
        default=0,
        help="also show how full the queue and the tables of the core are",
    )


def _add_test_alert(commands: argparse._SubParsersAction[Parser]) -> None:
    test = _add_command(
        commands,
        "test-alert",
        "provoke one harmless alert and report where it went",
        "Provoke one harmless alert of the running sensor, as root: a process opens /proc twelve times. "
        "Wait for the alert and report its latency and its sinks. The exit code is 1 if no sensor runs, no "
        "alert comes, or a sink does not write it.",
    )
    test.set_defaults(command=_command("test_alert"))
    test.add_argument(
        "--user",
        metavar="NAME",
        type=argtypes.user,
        help="open /proc as this user, for audit rules that do not see root",
    )
    test.add_argument(
        "--timeout",
        metavar="TIME",
        type=argtypes.time(100),
        default=10.0,
        help="longest wait for the alert (default: 10s)",
    )
    _add_config(test)
    _add_flag(test, "status.socket")


def _add_duration(parser: Parser) -> None:
    parser.add_argument(
        "--duration",
        metavar="TIME",
        type=argtypes.time(1),
        help="end after this time, such as 30, 30s, 5m or 500ms",
    )


def _add_run(commands: argparse._SubParsersAction[Parser]) -> None:
    run = _add_command(
        commands,
        "run",
        "watch this host",
        "Watch this host, as root, until a signal or the end of --duration. On exit every change to the host "
        "is reverted.",
    )
    run.set_defaults(command=_command("run"))
    _add_run_flags(run)
    _add_duration(run)
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything that a start needs and print the changes to this host; change nothing",
    )
    _add_color(run)
    _add_verbosity(run)


def _add_replay(commands: argparse._SubParsersAction[Parser]) -> None:
    replay = _add_command(
        commands,
        "replay",
        "search logs and captures",
        "Search audit logs and captures of record. Logs may be plain or compressed (.gz, .zst, .xz, .bz2), "
        "in JSON or journal exports. The format is recognized by content.",
    )
    replay.set_defaults(command=_command("replay"))
    views = [*BY_PATH["alerts.output"].choices, "count"]
    _add_flag(
        replay,
        "alerts.output",
        choices=views,
        default="alerts",
        help="documents to write: alerts, every completed sequence, or every event; count: only totals "
        "(default: alerts)",
    )
    replay.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        type=argtypes.path,
        help="use the detections and exceptions of this configuration file (default: read none)",
    )
    for path in (
        "alerts.format",
        *("detections.paths", "detections.shipped", "detections.only"),
        *("detections.exceptions", "detections.known_harmless"),
        "detections.mapping",
    ):
        _add_flag(replay, path)
    _add_sink(replay)
    replay.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        type=argtypes.path,
        help="file; folder with audit.log and its rotated predecessors; or - for standard input",
    )
    replay.add_argument(
        "--rotated",
        action="store_true",
        help="also read the rotated predecessors of each file (PATH.1, PATH.2.gz, PATH-20261125), oldest "
        "first",
    )
    replay.add_argument("--fail-on-alert", action="store_true", help="exit with 10 if there is an alert")
    replay.add_argument(
        "--max-alerts",
        metavar="N",
        type=argtypes.count,
        help="maximum number of alerts per five minutes of the input (default: no limit)",
    )
    _add_color(replay)
    _add_verbosity(replay)


def _add_record(commands: argparse._SubParsersAction[Parser]) -> None:
    record = _add_command(
        commands,
        "record",
        "capture the kernel's audit records to a file",
        "Capture the kernel's audit records to a file, as root, for replay. On exit every change to the host "
        "is reverted.",
    )
    record.set_defaults(command=_command("record"))
    record.add_argument(
        "--to", metavar="FILE", required=True, type=argtypes.path, help="file to create, with mode 0600"
    )
    record.add_argument(
        "--audit-rule",
        metavar="TEXT",
        action="append",
        default=[],
        help="audit rule in auditctl syntax, instead of the one of the shipped detection; may be repeated",
    )
    _add_duration(record)
    record.add_argument(
        "--user",
        metavar="NAME",
        type=argtypes.user_or_root,
        help="drop privileges to this user after startup; by default stay root, with few capabilities",
    )


def _add_rules(commands: argparse._SubParsersAction[Parser]) -> None:
    rules = _add_command(
        commands,
        "rules",
        "install, remove, list or derive audit rules",
        "Install the audit rules of the loaded detections without the sensor, or print them. Installed "
        "rules do not survive a reboot; auditsense units installs a unit that adds them at each boot.",
    )
    actions = _add_actions(rules)
    for name, purpose in (
        ("install", "add the audit rules of the detections to the kernel, unless they exist"),
        ("remove", "remove the audit rules of the detections, whichever program added them"),
        ("check", "exit with 0 if the kernel has the audit rules of the detections, else with 1"),
        ("list", "list all audit rules of the kernel, in auditctl syntax"),
        ("print", "print the audit rules that the detections need; needs no privilege"),
    ):
        action = _add_command(actions, name, purpose)
        if name != "list":
            _add_selection(action)
            _add_flag(action, "source.costly_rules")
        action.set_defaults(command=_command("rules"), action=name)
    derive = _add_command(
        actions,
        "derive",
        "derive audit rules from the conditions of the detections",
        "Print the audit rules that follow from the conditions of the detections, in auditctl syntax; needs "
        "no privilege. A rule reports every event that a detection looks for, and as few others as the "
        "kernel can tell apart (docs/how-to/derive-audit-rules.md).",
    )
    _add_selection(derive)
    derive.add_argument(
        "--explain",
        action="store_true",
        help="print for each detection its rules, the conditions they come from, their cost and what they do "
        "not report, as comments",
    )
    derive.add_argument(
        "--with",
        dest="extra",
        choices=("costly",),
        action="append",
        default=[],
        help="also derive rules that report frequent calls, as run does with --costly-rules",
    )
    derive.set_defaults(command=_command("rules_derive"))


def _add_ship(commands: argparse._SubParsersAction[Parser]) -> None:
    ship = _add_command(
        commands,
        "ship",
        "deliver a spool to another host",
        "Deliver the documents of a spool (--sink spool:DIR of run) to another host, until a signal. A "
        "document leaves the spool when the receiver has acknowledged it. The command runs as the owner of "
        "the spool, without access to the kernel's audit. FILE is a path, or credential:NAME for a systemd "
        "credential.",
    )
    ship.set_defaults(command=_command("ship"), action="deliver")
    ship.add_argument("--spool", metavar="DIR", type=argtypes.path, required=True, help="folder of the spool")
    ship.add_argument(
        "--to",
        metavar="URL",
        help="receiver: otlp+http(s)://HOST[:PORT][/PATH], elasticsearch+http(s)://HOST[:PORT][/STREAM] or "
        "nats[+tls]://HOST[:PORT][/SUBJECT]",
    )
    ship.add_argument("--until-empty", action="store_true", help="exit with 0 when the spool is empty")
    for name, description in (
        ("--api-key-file", "secret to present: an API key, or a token of OTLP or NATS"),
        ("--password-file", "user and password to present, as USER:PASSWORD"),
        ("--nats-creds-file", "credentials of a NATS user, as nsc writes them"),
        ("--ca-file", "certificates to trust instead of those of this system"),
        ("--client-cert", "client certificate to present"),
        ("--client-key", "private key of the client certificate"),
    ):
        ship.add_argument(name, metavar="FILE", type=argtypes.path, help=description)
    ship.add_argument(
        "--header",
        metavar="NAME:VALUE",
        action="append",
        default=[],
        help="header of each HTTP request, such as one for a tenant; may be repeated",
    )
    ship.add_argument(
        "--proxy",
        metavar="URL",
        help="address of an HTTP proxy (default: https_proxy and no_proxy of the environment)",
    )
    ship.add_argument(
        "--compression",
        choices=["gzip", "none"],
        default="gzip",
        help="compression of HTTP requests; a receiver that answers 415 gets none (default: gzip)",
    )
    ship.add_argument(
        "--timeout",
        metavar="TIME",
        type=argtypes.time(100, 600_000),
        default=30.0,
        help="limit of one request (default: 30s)",
    )
    ship.add_argument(
        "--batch",
        metavar="N",
        type=argtypes.batch,
        default=100,
        help="number of documents per request, 1 to 1000 (default: 100)",
    )
    ship.add_argument(
        "--max-rate",
        metavar="N",
        type=argtypes.count,
        default=1000,
        help="maximum number of documents per second; 0: no limit (default: 1000)",
    )
    shown = ship.add_mutually_exclusive_group()
    for name, description in (
        ("status", "print what the spool holds and its counters, as JSON"),
        ("prometheus", "print the same as metrics for Prometheus"),
        ("list-refused", "print the documents that receivers refused, with the reasons, as JSON lines"),
        ("retry-refused", "have these documents delivered again"),
    ):
        shown.add_argument(f"--{name}", dest="action", action="store_const", const=name, help=description)
    _add_verbosity(ship)


def _add_schema(commands: argparse._SubParsersAction[Parser]) -> None:
    schema = _add_command(
        commands,
        "schema",
        "print the JSON schema of the documents",
        "Print the JSON schema (draft 2020-12) of the documents, or of the output of status --json.",
    )
    schema.add_argument(
        "schema",
        nargs="?",
        choices=["document", "status"],
        default="document",
        help="schema to print (default: document)",
    )
    schema.set_defaults(command=_command("schema"))


def _add_completion(commands: argparse._SubParsersAction[Parser]) -> None:
    completion = _add_command(
        commands,
        "completion",
        "print a shell completion script",
        "Print the completion script of a shell, to be saved where the shell looks for it.",
    )
    completion.add_argument("shell", choices=["bash", "zsh", "fish"], help="shell to complete in")
    completion.set_defaults(command=_command("completion"))


def _add_help(commands: argparse._SubParsersAction[Parser]) -> None:
    help_ = _add_command(commands, "help", "print the help of a command")
    help_.add_argument("words", metavar="COMMAND", nargs="*", help="command, and its action")
    help_.set_defaults(command=_print_help)


def _print_help(arguments: argparse.Namespace) -> int:
    build_parser().parse_args([*arguments.words, "--help"])  # which exits
    return 0


_COMMANDS: Final[dict[str, Callable[[argparse._SubParsersAction[Parser]], None]]] = {
    "run": _add_run,
    "replay": _add_replay,
    "record": _add_record,
    "doctor": _add_doctor,
    "status": _add_status,
    "test-alert": _add_test_alert,
    "detections": _add_detections,
    "config": _add_configuration,
    "rules": _add_rules,
    "ship": _add_ship,
    "units": _add_units,
    "bench": _add_bench,
    "schema": _add_schema,
    "completion": _add_completion,
    "help": _add_help,
}


def build_parser(command: str = "") -> Parser:
    """Return the parser of `auditsense`.

    Args:
        command: first word of the command line. Only its parser is created: creating all is slow. All are
            created for an unknown word.
    """
    codes = "\n".join(f"  {code:3}  {meaning}" for code, meaning in EXIT_CODES.items())
    parser = Parser(
        prog="auditsense",
        description="A native Linux audit sensor: kernel audit records in, alerts out.",
        epilog=f"{_examples('auditsense')}\nexit codes:\n{codes}\n\ndocumentation:\n  {documentation()}\n",
    )
    parser.set_defaults(command=parser.print_missing)
    parser.add_argument(
        "-V",
        "--version",
        action="version",
        version=f"auditsense {core_version()}",
        help="print the version and exit",
    )
    commands = parser.add_subparsers(
        metavar="COMMAND", title="commands", parser_class=Parser, prog=parser.prog
    )
    if command not in {"-V", "--version"}:
        for add in [_COMMANDS[command]] if command in _COMMANDS else _COMMANDS.values():
            add(commands)
    return parser
