"""Open /proc deliberately and listen for the record, on request only.

Needs audit switched on and the audit rule in place, and changes neither. All readers of audit records see the
record of the open, and two about the listener.
"""

from __future__ import annotations

import os
import re
import select
import sys
import time
from typing import TYPE_CHECKING, Final

from auditsense.doctor.facts import ProbeResult
from auditsense.errors import AuditSenseError
from auditsense.kernel import procfs
from auditsense.kernel.audit_status import Enabled
from auditsense.kernel.rules.constants import FieldId, Operator
from auditsense.kernel.self_test import DEFAULT_WITHIN_S, spelling
from auditsense.sources import audit_socket

if TYPE_CHECKING:
    import socket

    from auditsense.doctor.facts import Facts
    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.rules.rule import AuditRule

_BUFFER_BYTES: Final = 8 << 20
_LONGEST: Final = 1 << 16
_SYSCALL, _PATH = 1300, 1302
_ORDER: Final = sys.byteorder
_STAMP: Final = re.compile(rb"audit\(([\d.:]+)\)")
_KEY: Final = re.compile(rb' key="([^"]*)"')


def run_probe(facts: Facts) -> ProbeResult:
    """Make the probe if possible. Raises nothing: the result has a `problem` if it could not be made."""
    status, rules = facts.status, facts.rules
    if status is None or rules is None:
        return ProbeResult(problem=facts.refused)
    present = [wanted for wanted in facts.wanted if any(rule.same_as(wanted) for rule in rules)]
    if problem := _why_not(facts, status, has_rule=bool(present)):
        return ProbeResult(problem=problem)
    try:
        with audit_socket.open_multicast_socket(_BUFFER_BYTES) as listener:
            return _probe(listener, _user(present[0]))
    except (AuditSenseError, OSError) as error:
        return ProbeResult(problem=str(error))


def _why_not(facts: Facts, status: AuditStatus, *, has_rule: bool) -> str:
    """Return why the probe cannot be made; "": it can."""
    if status.enabled == Enabled.OFF:
        return "audit is off, and is not switched on for a test"
    if not has_rule:
        return "the audit rule is not loaded, and a test adds none"
    if procfs.is_host_procfs() is False:
        return "/proc here is another procfs than the host's, and an open of it proves nothing"
    if "net" in facts.other_namespaces:
        return "nothing is heard by multicast in this network namespace"
    return ""


def _user(rule: AuditRule) -> int | None:
    """Return the only user that a rule matches; None: all users."""
    for condition in rule.fields:
        if (
            condition.field is FieldId.UID
            and condition.op is Operator.EQUAL
            and isinstance(condition.value, int)
        ):
            return condition.value
    return None


def _probe(listener: socket.socket, user: int | None) -> ProbeResult:
    path = spelling()
    child = os.fork()
    if child == 0:
        _open(path, user)
    os.waitpid(child, 0)
    wanted = b'name="' + path.encode() + b'"'
    keys: dict[bytes, str] = {}
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    deadline = time.monotonic() + DEFAULT_WITHIN_S
    while (left_s := deadline - time.monotonic()) > 0 and poll.poll(left_s * 1000):
        datagram = listener.recv(_LONGEST)
        kind = int.from_bytes(datagram[4:6], _ORDER)
        stamp = _STAMP.match(datagram, 16)
        if stamp is None:
            continue
        if kind == _SYSCALL:
            key = _KEY.search(datagram)
            keys[stamp[1]] = key[1].decode(errors="replace") if key is not None else ""
        elif kind == _PATH and wanted in datagram:
            return ProbeResult(seen=True, key=keys.get(stamp[1], ""))
    return ProbeResult()


def _open(path: str, user: int | None) -> None:
    """Run the child: open, and exit without the parent's exit handlers."""
    try:
        if user:
            os.setgroups([])
            os.setresuid(user, user, user)
        os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os._exit(0)
