"""auditsense doctor: what keeps a sensor from seeing on this host."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from auditsense.cli import put
from auditsense.config.settings import status_settings
from auditsense.doctor import active_probe
from auditsense.doctor.collect import HostAccess, collect
from auditsense.doctor.finding import Diagnosis, Level
from auditsense.doctor.run import diagnose
from auditsense.errors import ConfigError
from auditsense.sinks.format import printable
from auditsense.status.config import DEFAULT_SOCKET

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def run(arguments: argparse.Namespace) -> int:
    """Look, judge, print."""
    facts = collect(HostAccess(socket=_socket(arguments), config=arguments.config))
    if arguments.self_test:
        facts = dataclasses.replace(facts, probe=active_probe.run_probe(facts))
    report = diagnose(facts)
    if arguments.json:
        put(json.dumps(report.document()))
    else:
        for line in lines(report):
            put(printable(line))
        problem = facts.probe.problem if facts.probe is not None else facts.sensor_problem
        if problem:
            put(printable(f"         {problem}"))
    return report.exit_code


def _socket(arguments: argparse.Namespace) -> Path | None:
    """Return where to ask the running sensor; what is wrong with the configuration is a finding."""
    try:
        return status_settings(arguments.status_socket, arguments.config).socket
    except ConfigError:
        return DEFAULT_SOCKET


def lines(report: Diagnosis) -> list[str]:
    """Return a report as lines for a person: the worst first, then what is well, then what was not seen."""
    found = sorted(report.findings, key=lambda one: -one.level)
    width = max((len(one.id) for one in found), default=0)
    said = []
    for one in found:
        said.append(f"{one.level.name.lower():7}  {one.id:{width}}  {one.found}")
        if one.remedy:
            said.append(f"{'':7}  {'':{width}}  -> {one.remedy}")
    if report.unseen:
        said.append(f"unseen   {', '.join(report.unseen)}")
    if report.worst is Level.OK:
        said.append("nothing keeps a sensor from seeing, as far as it could be looked at")
    return said
