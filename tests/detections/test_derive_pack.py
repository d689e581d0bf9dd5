"""Audit rules derived from Elastic's rules, which are no part of this repository: a variable names a copy."""

from __future__ import annotations

import os
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from auditsense.detections.derive import AnyPaths, Derivation, derive
from auditsense.detections.elastic import INDEX, detection_of_rule, is_elastic
from auditsense.errors import DetectionError
from auditsense.kernel.rules import auditctl
from tests.support.audit_events import fields_of, learn
from tests.support.eql_model import matches
from tests.support.eql_witness import witnesses
from tests.support.kernel_filter import MadeCall, reports

if TYPE_CHECKING:
    from auditsense.detections.model import Detection
    from tests.support.audit_events import AuditEvent, Process

AUDIT_INDEX = INDEX.replace("default", "*")
FOLDER = os.environ.get("AUDITSENSE_ELASTIC_RULES", "")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="AUDITSENSE_ELASTIC_RULES names no copy of Elastic's rules"
)


@cache
def loaded() -> list[Detection]:
    detections = []
    for file in sorted(Path(FOLDER).rglob("*.toml")):
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        if not is_elastic(document) or AUDIT_INDEX not in document["rule"].get("index", ()):
            continue
        try:
            detections.append(detection_of_rule(document, str(file)))
        except DetectionError:
            continue  # another language
    return detections


@cache
def pack() -> Derivation:
    return derive(loaded(), machine="x86_64", paths=AnyPaths())


def lines(*, costly: bool) -> list[str]:
    return [
        line.removeprefix("-a always,exit ").removesuffix(" -k auditsense")
        for line in pack().lines(costly=costly)
    ]


def test_kernel_accepts_every_rule() -> None:
    for line in pack().lines(costly=True):
        auditctl.parse(line, machine="x86_64")


def test_pack_needs_few_audit_rules() -> None:
    assert len(pack().detections) >= 100
    assert len(lines(costly=False)) <= 48


@pytest.mark.parametrize(
    "rule",
    [
        "-F arch=b64 -S kill -F a1>=0x21 -F a1<=0x47",
        "-F arch=b64 -S prctl -F a0=0xf",
        "-F arch=b64 -S mprotect -F a2=0x7",
        "-F arch=b64 -S socket -F a1=0x2",
        "-F arch=b64 -S socket -F a0=0x26 -F uid!=0",
        "-F arch=b64 -S bind -F saddr_fam=38 -F uid!=0",
        "-F arch=b64 -S open -F path=/etc/machine-id -F a2=0x1b6",
        "-F arch=b64 -S open -F path=/proc/net/route -F a2=0x1b6",
        "-F arch=b64 -S openat -F inode=1 -F a0=0xffffff9c -F a2=0x80000",
        "-S all -F path=/etc/passwd -F success=1 -F uid!=0",
        "-F arch=b32 -S lchown,fchown,chown,fchownat -F path=/etc/shadow -F success=1 -F uid!=0",
    ],
)
def test_rule_follows_from_the_pack(rule: str) -> None:
    assert rule in lines(costly=False)


def test_calls_without_further_conditions_share_a_rule() -> None:
    (rule,) = (line for line in lines(costly=False) if "arch=b64" in line and "execve" in line)
    calls = rule.split()[3].split(",")
    assert {"execve", "execveat", "connect", "init_module", "finit_module", "mkdirat"} <= {*calls}
    assert rule.endswith(rule.split()[3])


def test_rule_for_creation_and_splice_is_costly() -> None:
    more = {*lines(costly=True)} - {*lines(costly=False)}
    assert {
        "-F arch=b64 -S openat -F a2&0x40",
        "-F arch=b64 -S open -F a1&0x40",
        "-F arch=b64 -S splice -F uid!=0",
    } <= more


def test_kernel_modules_have_one_rule() -> None:
    """The rule for root alone is covered by the one for all users."""
    assert not [line for line in lines(costly=False) if "init_module" in line and "uid" in line]


def test_records_of_user_space_need_no_rule() -> None:
    silent = [needs for needs in pack().detections if not any(step.selections for step in needs.steps)]
    assert len(silent) >= 4
    assert all(step.from_records for needs in silent for step in needs.steps)


def made(event: AuditEvent) -> list[MadeCall]:
    """Return the call of an event as the kernel sees it, once for each of its files.

    Once more with O_CREAT if it created a file: the made event may lack this flag.
    """
    registers = [int(text, 16) for text in event.registers]
    families = {"unix": 1, "ipv4": 2, "ipv6": 10, "netlink": 16}
    family = None
    if event.socket is not None and event.call in ("connect", "bind", "sendto"):
        family = families.get(event.socket[0]) or int(event.socket[0])
    call = MadeCall(
        event.call,
        registers=(registers[0], registers[1], registers[2], registers[3]),
        ids=(event.uid, event.euid, event.euid, event.euid, event.uid, event.euid, event.auid),
        exit=0 if event.success else -13,
        family=family,
    )
    files = [str(Path(event.cwd) / name) for name, _ in event.paths]
    calls = [replace(call, path=file) for file in files] or [call]
    if any(kind == "CREATE" for _, kind in event.paths) and event.call in ("open", "openat"):
        registers[1 if event.call == "open" else 2] |= 0x40
        creating = (registers[0], registers[1], registers[2], registers[3])
        calls += [replace(one, registers=creating) for one in calls]
    return calls


def test_rules_report_the_events_of_every_query() -> None:
    """Events are made for each query, and a model of the language says which step an event fits."""
    compared = 0
    for detection, needs in zip(loaded(), pack().detections, strict=True):
        assert detection.query is not None
        alone = derive([detection], machine="x86_64", paths=AnyPaths()).lines(costly=True)
        rules = [auditctl.parse(line, machine="x86_64") for line in alone]
        for seed in range(10):
            events = witnesses(detection.query, Random(seed), 5000) or []  # noqa: S311 - the same each time
            processes: dict[int, Process] = {}
            for event in events:
                learn(event, processes)
            for event in events:
                if event.alone or event.first:
                    continue
                fields = fields_of(event, processes, native=True)
                for step, rules_of_step in zip(detection.query.steps, needs.steps, strict=False):
                    if not matches(step, fields):
                        continue
                    compared += 1
                    reported = any(reports(rule, call) for rule in rules for call in made(event))
                    assert reported or rules_of_step.unseen, (detection.name, event)
    assert compared > 1000
