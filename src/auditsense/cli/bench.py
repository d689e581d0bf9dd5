"""auditsense bench: measure CPU, memory and throughput on this machine."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.bench import calls, compare, live, offline, table
from auditsense.bench.audit_lock import unprivileged
from auditsense.bench.report import BenchReport, machine
from auditsense.cli import print_data, print_message
from auditsense.cli.audit_rules import audit_rules_needed
from auditsense.cli.style import painter
from auditsense.config.settings import build_settings, load_config
from auditsense.core.ring import core_version
from auditsense.errors import AuditSenseError, NoKernelAuditError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from auditsense.bench.report import Row

_TERMINATION = (signal.SIGTERM, signal.SIGHUP)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the table, write the files asked for; or compare two reports."""
    if arguments.action == "compare":
        return _compare(arguments.first, arguments.second)
    for name in (arguments.json, arguments.html):
        _check_writable(name)
    if arguments.action == "calls":
        return _calls(arguments)
    _warn_about_load()
    with _interrupted_by_termination():
        report = _measure(arguments)
    # The files first: the reader of standard output may go away.
    if arguments.json:
        _write(arguments.json, json.dumps(report.as_dict(), indent=1) + "\n")
    if arguments.html:
        from auditsense.bench.html import page  # noqa: PLC0415 - for this flag only

        _write(arguments.html, page(report))
    for line in table.lines(report, painter(sys.stdout, arguments.color)):
        print_data(line)
    missed = [row.key for row in report.rows if row.met is False]
    if missed and arguments.fail_on_missed:
        print_message(f"goals missed: {', '.join(missed)}", "error")
        return 1
    return 0


def _compare(first: str, second: str) -> int:
    reports = (compare.load(first), compare.load(second))
    for line in compare.lines(*reports):
        print_data(line)
    for difference in compare.differences(*reports):
        print_message(f"warning: the reports differ in more than auditsense: {difference}")
    return 0


def _calls(arguments: argparse.Namespace) -> int:
    """Measure single system calls with and without audit rules."""
    settings = build_settings(load_config(arguments))
    plan = calls.CallsPlan(calls.stages_of(audit_rules_needed(settings)), arguments.rounds)
    reason = unprivileged()
    if reason:
        raise NoKernelAuditError(
            f"audit rules cannot be measured: {reason}; run it as root, on the host itself"
        )
    _warn_about_load()
    date = datetime.now(UTC).isoformat(timespec="seconds")
    with _interrupted_by_termination():
        report = calls.measure(plan, _print_step)
    rules = [word for rule in arguments.audit_rule for word in ("--audit-rule", rule)]
    command = shlex.join(["auditsense", "bench", "calls", "--rounds", str(arguments.rounds), *rules])
    if arguments.json:
        document = {
            "auditsense": core_version(),
            "command": command,
            "date": date,
            "machine": machine(),
            "rounds": arguments.rounds,
            "static_exec": report.static,
            "foreign_rules": report.foreign_rules,
            "stages": [stage.as_dict() for stage in report.stages],
        }
        _write(arguments.json, json.dumps(document, indent=1) + "\n")
    for line in calls.lines(report):
        print_data(line)
    return 0


@contextmanager
def _interrupted_by_termination() -> Iterator[None]:
    """Let termination signals raise KeyboardInterrupt, so that changes in progress are undone."""
    before = {number: signal.getsignal(number) for number in _TERMINATION}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _measure(arguments: argparse.Namespace) -> BenchReport:
    date = datetime.now(UTC).isoformat(timespec="seconds")
    load_before = round(os.getloadavg()[0], 2)
    reason = "--offline was given" if arguments.offline else unprivileged()
    off: list[Row] = []
    on: list[Row] = []
    try:
        off += offline.offline(arguments.events, _print_step)
        if not reason:
            on += live.live(live.LivePlan(opens=arguments.events), _print_step)
    except NoKernelAuditError as error:
        reason = str(error)
    if reason and not arguments.offline:
        print_message(f"without the live part: {reason}")
    return BenchReport(
        core_version(),
        machine() | {"load_average_before": load_before},
        tuple(off),
        tuple(on),
        reason,
        _command(arguments),
        date,
    )


def _command(arguments: argparse.Namespace) -> str:
    """Return the command that repeats the measurement, without its files."""
    offline_flag = ["--offline"] if arguments.offline else []
    return shlex.join(["auditsense", "bench", *offline_flag, "--events", str(arguments.events)])


def _warn_about_load() -> None:
    """Warn when other programs leave no processor idle."""
    load, processors = os.getloadavg()[0], os.cpu_count() or 1
    if load > processors:
        print_message(
            f"warning: the load average is {load:.1f} on {processors} processors; spreads will be wide: "
            "measure on an idle machine"
        )


def _print_step(step: str) -> None:
    """Print the current step on a terminal."""
    if sys.stderr is not None and sys.stderr.isatty():
        print_message(step)


def _check_writable(name: str | None) -> None:
    """Report an unusable path before the measurement."""
    if name is not None and not Path(name).absolute().parent.is_dir():
        raise UsageError(f"{name}: there is no such folder")
    if name is not None and Path(name).is_dir():
        raise UsageError(f"{name} is a folder; name a file")


def _write(name: str, text: str) -> None:
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise AuditSenseError(f"{name}: {error.strerror}") from None
