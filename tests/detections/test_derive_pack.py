"""Audit rules derived from Elastic's rules, which are no part of this repository: a variable names a copy."""

from __future__ import annotations

import os
import tomllib
from functools import cache
from pathlib import Path

import pytest

from auditsense.detections.derive import AnyPaths, Derivation, derive
from auditsense.detections.elastic import detection_of_rule, is_elastic
from auditsense.errors import DetectionError
from auditsense.kernel.rules import auditctl

FOLDER = os.environ.get("AUDITSENSE_ELASTIC_RULES", "")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="AUDITSENSE_ELASTIC_RULES names no copy of Elastic's rules"
)


@cache
def pack() -> Derivation:
    detections = []
    for file in sorted(Path(FOLDER).rglob("*.toml")):
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        if not is_elastic(document):
            continue
        try:
            detections.append(detection_of_rule(document, str(file)))
        except DetectionError:
            continue  # another language
    return derive(detections, machine="x86_64", paths=AnyPaths())


def lines(*, costly: bool) -> list[str]:
    return [
        line.removeprefix("-a always,exit ").removesuffix(" -k auditsense")
        for line in pack().lines(costly=costly)
    ]


def test_every_rule_can_be_given_to_the_kernel() -> None:
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
