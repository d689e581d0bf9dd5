"""auditsense doctor: diagnose audit problems on this host."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from auditsense.cli import print_data
from auditsense.cli.style import painter
from auditsense.config.settings import override, status_settings
from auditsense.doctor import active_probe
from auditsense.doctor.collect import HostAccess, collect
from auditsense.doctor.finding import Diagnosis, Level
from auditsense.doctor.run import diagnose
from auditsense.errors import ConfigError
from auditsense.sinks.format import printable
from auditsense.status.config import DEFAULT_SOCKET

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping
    from pathlib import Path


_WIDEST = 100
_TEXT_COLUMN = 2


def run(arguments: argparse.Namespace) -> int:
    """Collect facts, diagnose, print."""
    facts = collect(
        HostAccess(
            socket=_socket(arguments),
            config=arguments.config,
            override=lambda config: override(config, arguments, "detections"),
        )
    )
    if arguments.self_test:
        facts = dataclasses.replace(facts, probe=active_probe.run_probe(facts))
    report = diagnose(facts)
    if arguments.json:
        print_data(json.dumps(report.document()))
        return report.exit_code
    paint = painter(sys.stdout, arguments.color)
    print_data(paint(_role(report), verdict(report, sensor=facts.sensor)))
    problem = facts.probe.problem if facts.probe is not None else facts.sensor_problem
    for line in lines(report, paint, all_too=arguments.all, width=_width(), problem=problem):
        print_data(line)
    return report.exit_code


def _socket(arguments: argparse.Namespace) -> Path | None:
    """Return the status socket of the running sensor; a wrong configuration is a finding, no error."""
    try:
        return status_settings(arguments.status_socket, arguments.config).socket
    except ConfigError:
        return DEFAULT_SOCKET


def _width() -> int:
    """Return the columns of the terminal, 100 at most."""
    try:
        return max(40, min(os.get_terminal_size(sys.stdout.fileno()).columns, _WIDEST))
    except (OSError, ValueError, AttributeError):  # no terminal, in memory, closed
        return _WIDEST


def _role(report: Diagnosis) -> str:
    return "ok" if report.worst <= Level.NOTE else report.worst.name.lower()


def verdict(report: Diagnosis, *, sensor: Mapping[str, Any] | None = None) -> str:
    """Return whether a sensor can run, with the number of problems.

    Args:
        report: of this host.
        sensor: status of the running sensor; None: none answers.
    """
    levels = [finding.level for finding in report.findings]
    counts = [
        f"{count} {level.name.lower()}{'' if count == 1 else 's'}"
        for level in (Level.ERROR, Level.WARNING, Level.NOTE)
        if (count := levels.count(level))
    ]
    errors = {finding.id for finding in report.findings if finding.level is Level.ERROR}
    if sensor is not None:
        pid = sensor.get("pid")
        state = f"auditsense runs on this host (process {pid})"
        if errors:
            state = f"auditsense runs on this host (process {pid}) and may see nothing"
    elif "capabilities" in errors:
        state = "auditsense cannot run as this user; doctor checks more as root"
    elif errors:
        state = "auditsense cannot run on this host, or sees nothing"
    else:
        state = "auditsense can run on this host"
    if report.worst < Level.WARNING:
        counts.insert(0, "no problem found")
    return printable(f"{state}: {', '.join(counts)}")


def lines(
    report: Diagnosis,
    paint: Callable[[str, str], str],
    *,
    all_too: bool = False,
    width: int = _WIDEST,
    problem: str = "",
) -> list[str]:
    """Return a report as lines for a person: the worst first, then what is well and what was not checked.

    Args:
        report: of this host.
        paint: colours a text by its role.
        all_too: whether to list the checks that are well.
        width: columns.
        problem: why something was not checked; "": it is known from the findings.
    """
    output: list[str] = []
    for finding in sorted(report.findings, key=lambda finding: -finding.level):
        if finding.level is Level.OK:
            continue
        level = finding.level.name.lower()
        output += ["", f"{paint(level, level)}: {paint('strong', finding.id)}"]
        output += _wrapped(finding.found, width, " " * _TEXT_COLUMN)
        if finding.remedy:
            first, *more = _wrapped(finding.remedy, width, " " * (_TEXT_COLUMN + 3))
            output += [f"{'':{_TEXT_COLUMN}}{paint('ok', '->')} {first.lstrip()}", *more]
    well = [finding for finding in report.findings if finding.level is Level.OK]
    output.append("")
    if all_too:
        name_width = max((len(finding.id) for finding in well), default=0)
        for finding in well:
            first, *more = _wrapped(finding.found, width, " " * (name_width + 6))
            output += [f"{paint('ok', 'ok')}  {finding.id:{name_width}}  {first.lstrip()}", *more]
    else:
        output.append(f"{paint('ok', f'{len(well)} checks ok')}; --all lists them")
    if report.unseen:
        output += _wrapped(f"not checked: {', '.join(report.unseen)}", width, "", " " * _TEXT_COLUMN)
    if problem:
        output += _wrapped(problem, width, " " * _TEXT_COLUMN)
    return output


def _wrapped(text: str, width: int, indent: str, further: str | None = None) -> list[str]:
    """Return text as lines that neither steer a terminal nor exceed the width, words as they are."""
    return textwrap.wrap(
        printable(text),
        width,
        initial_indent=indent,
        subsequent_indent=indent if further is None else further,
        break_long_words=False,
        break_on_hyphens=False,
    )
