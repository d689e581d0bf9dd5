"""Warnings about parts of a query that never match."""

from __future__ import annotations

import pytest

from auditsense.detections.dead_parts import dead_parts
from auditsense.detections.eql.parser import parse

_LONG = "linux-exploit-suggester"


@pytest.mark.parametrize(
    ("query", "warning"),
    [
        (
            f'process where process.name in ("a", "{_LONG}")',
            f'line 1: process.name has at most 15 bytes, so it never is "{_LONG}"',
        ),
        (
            f'process where process.parent.name like "{_LONG}*"',
            f'line 1: process.parent.name has at most 15 bytes, so it never is "{_LONG}*"',
        ),
        (
            'process where true and\nprocess.args in ("a*", "b*", "c*", "d*")',
            'line 2: "a*" or "b*" or "c*" (1 more) is compared exactly, star included; use : or like',
        ),
        (
            'process where auditd.data.class == "namespace"',
            "line 1: auditd.data.class is in no record of these events",
        ),
        (
            'process where process.command_line like "/proc/*/mem"',
            'line 1: process.command_line begins with the called program, so it hardly is "/proc/*/mem"',
        ),
        ('process where process.pid == "x"', 'line 1: process.pid is a number, so it never is "x"'),
        ("registry where true", "line 1: no audit event has the category registry"),
        (
            "sequence with maxspan=1s [any where true] [any where true]\nuntil [registry where true]",
            "line 2: no audit event has the category registry",
        ),
    ],
)
def test_dead_part_is_a_warning(query: str, warning: str) -> None:
    assert dead_parts(parse(query)) == [warning]


@pytest.mark.parametrize(
    "condition",
    [
        f'not process.name in ("{"a" * 15}")',
        f'process.name like "{"a*" * 15}"',
        f'process.args == "{_LONG}"',
        'process.args : "a*"',
        'process.command_line like ("*/proc/*", "/bin/ls -l", "/opt/x/*")',
        'process.command_line == "/bin/ls"',
        'auditd.data.exit == "EACCES"',
    ],
)
def test_live_parts_have_no_warning(condition: str) -> None:
    assert dead_parts(parse(f"process where {condition}")) == []
