"""Coverage of audit rules: one reports everything that another one reports."""

from __future__ import annotations

import pytest

from auditsense.kernel.rules.auditctl import parse
from auditsense.kernel.rules.covering import covers

EXEC = "-a always,exit -F arch=b64 -S execve -k a"
OPEN = "-a always,exit -F arch=b64 -S open,openat -F path=/etc/shadow -k a"
READ = "-a always,exit -F arch=b64 -S readlink -F path=/etc/shadow -k a"


@pytest.mark.parametrize(
    ("wide", "narrow", "wanted"),
    [
        (EXEC, EXEC, True),
        ("-a always,exit -S all -k b", EXEC, True),
        ("-a always,exit -F arch=b64 -S execve,kill -k b", EXEC, True),
        ("-a always,exit -F arch=b32 -S execve -k b", EXEC, False),
        (EXEC, "-a always,exit -F arch=b64 -S execve,kill", False),
        (EXEC, "-a always,exit -F arch=b64 -S execve -F uid=7", True),
        (
            "-a always,exit -F arch=b64 -S execve -F uid>=5",
            "-a always,exit -F arch=b64 -S execve -F uid=7",
            True,
        ),
        (
            "-a always,exit -F arch=b64 -S execve -F uid!=7",
            "-a always,exit -F arch=b64 -S execve -F uid=7",
            False,
        ),
        ("-a always,exit -F arch=b64 -S execve -F uid=7", EXEC, False),
        ("-a never,exit -F arch=b64 -S execve", EXEC, False),
        ("-a always,exclude -F msgtype=CWD", EXEC, False),
        ("-w /etc/shadow -p rw", OPEN, True),
        ("-w /etc/shadow -p r", OPEN, False),  # an open may be for writing only
        ("-w /etc/shadow -p r", READ, True),
        ("-w /etc -p rwa", READ, True),
        ("-w /et -p rwa", READ, False),
        ("-w /etc -p wa", "-w /etc/shadow -p w", True),
        ("-w /etc -p w", "-w /etc/shadow -p wa", False),
    ],
)
def test_rule_covers_another(wide: str, narrow: str, *, wanted: bool) -> None:
    def is_dir(path: str) -> bool:
        return path in ("/etc", "/et")

    rules = (parse(line, machine="x86_64", is_dir=is_dir) for line in (wide, narrow))
    assert covers(*rules) is wanted
