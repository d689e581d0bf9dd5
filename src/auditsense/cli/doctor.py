"""auditsense doctor: diagnose audit problems on this host."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from auditsense.cli import print_data
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
    """Collect facts, diagnose, print."""
    facts = collect(HostAccess(socket=_socket(arguments), config=arguments.config))
    if arguments.self_test:
        facts = dataclasses.replace(facts, probe=active_probe.run_probe(facts))
    report = diagnose(facts)
    if arguments.json:
        print_data(json.dumps(report.document()))
    else:
        for line in lines(report):
            print_data(printable(line))
        problem = facts.probe.problem if facts.probe is not None else facts.sensor_problem
        if problem:
            print_data(printable(f"         {problem}"))
    return report.exit_code


def _socket(arguments: argparse.Namespace) -> Path | None:
    """Return the status socket of the running sensor; a wrong configuration is a finding, no error."""
    try:
        return status_settings(arguments.status_socket, arguments.config).socket
    except ConfigError:
        return DEFAULT_SOCKET


def lines(report: Diagnosis) -> list[str]:
    """Return a report as lines for a person: errors first, then what is well and what was not checked."""
    findings = sorted(report.findings, key=lambda finding: -finding.level)
    width = max((len(finding.id) for finding in findings), default=0)
    output = []
    for finding in findings:
        output.append(f"{finding.level.name.lower():7}  {finding.id:{width}}  {finding.found}")
        if finding.remedy:
            output.append(f"{'':7}  {'':{width}}  -> {finding.remedy}")
    if report.unseen:
        output.append(f"unseen   {', '.join(report.unseen)}")
    if report.worst is Level.OK:
        output.append("nothing keeps a sensor from seeing, as far as it could be looked at")
    return output
