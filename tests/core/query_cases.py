"""Meaning of queries, case by case: an event, and whether it matches. test_conformance.py runs them."""

from __future__ import annotations

from typing import NamedTuple

from tests.support.audit_events import AuditEvent

EXEC = AuditEvent(comm="bash", args=("bash", "-c", "id"), paths=(("/usr/bin/bash", "NORMAL"),))
NO_ARGS = AuditEvent(comm="bash", args=None)
CAFE = AuditEvent(comm="café")
SEVEN = AuditEvent(args=("x", "007"))
OPEN = AuditEvent(call="openat", paths=(("/etc/", "PARENT"), ("/etc/hosts", "CREATE")))
CONNECT = AuditEvent(call="connect", socket=("ipv4", "10.1.2.3", 80))


class QueryCase(NamedTuple):
    """One row.

    Attributes:
        topic: what it shows.
        query: in EQL, the condition only.
        event: in words.
        records: the event.
        native: whether it fits, by the native mapping.
        strict: the same, by the mapping auditd_manager; None: as *native*.
    """

    topic: str
    query: str
    event: str
    records: AuditEvent
    native: bool
    strict: bool | None = None


CASES = (
    QueryCase("equal", 'process.name == "bash"', "comm bash", EXEC, native=True),
    QueryCase("equal has regard to case", 'process.name == "Bash"', "comm bash", EXEC, native=False),
    QueryCase("a star is a star", 'process.name == "ba*"', "comm bash", EXEC, native=False),
    QueryCase("in~ has none", 'process.name in~ ("SH", "BASH")', "comm bash", EXEC, native=True),
    QueryCase("colon: wildcards without case", 'process.name : "BA?H"', "comm bash", EXEC, native=True),
    QueryCase("like: wildcards with case", 'process.name like "BA*"', "comm bash", EXEC, native=False),
    QueryCase("a star is also nothing", 'process.name like "bash*"', "comm bash", EXEC, native=True),
    QueryCase("a regex fits the whole value", 'process.name regex "as"', "comm bash", EXEC, native=False),
    QueryCase("regex", 'process.name regex "[a-c]a.h?h"', "comm bash", EXEC, native=True),
    QueryCase("any value of a list", 'process.args == "-c"', "bash -c id", EXEC, native=True),
    QueryCase(
        "two conditions, two values",
        'process.args == "-c" and process.args == "id"',
        "bash -c id",
        EXEC,
        native=True,
    ),
    QueryCase("not: no value fits", 'not process.args == "-c"', "bash -c id", EXEC, native=False),
    QueryCase("an absent field fails", 'process.args like "*"', "no EXECVE record", NO_ARGS, native=False),
    QueryCase("its negation holds", 'not process.args like "*"', "no EXECVE record", NO_ARGS, native=True),
    QueryCase(
        "!= holds for an absent field", 'process.args != "x"', "no EXECVE record", NO_ARGS, native=True
    ),
    QueryCase("null is absent", "process.args == null", "no EXECVE record", NO_ARGS, native=True),
    QueryCase("an unknown optional field", 'not ?no.such == "x"', "any", EXEC, native=True),
    QueryCase(
        "a negated order turns round",
        "not process.args_count > 3",
        "bash -c id",
        EXEC,
        native=True,
        strict=False,
    ),
    QueryCase(
        "and stays false for an absent field",
        "not process.args_count > 3",
        "no EXECVE record",
        NO_ARGS,
        native=False,
    ),
    QueryCase("a numeral in quotes is a number", 'process.pid == "4100"', "pid 4100", EXEC, native=True),
    QueryCase("user ids are texts", 'user.id == "1000"', "uid 1000", EXEC, native=True),
    QueryCase("length", "length(process.name) == 4", "comm bash", EXEC, native=True),
    QueryCase(
        "length of a list: its first value", "length(process.args) > 2", "bash -c id", EXEC, native=True
    ),
    QueryCase(
        "a network", 'cidrMatch(destination.ip, "10.0.0.0/8")', "connect to 10.1.2.3", CONNECT, native=True
    ),
    QueryCase(
        "another family", 'cidrMatch(destination.ip, "::/0")', "connect to 10.1.2.3", CONNECT, native=False
    ),
    QueryCase("a source is no destination", "source.port == 80", "connect to port 80", CONNECT, native=False),
    QueryCase(
        "? is one character, not one byte",
        'process.name like "caf?"',
        "comm café",
        CAFE,
        native=True,
        strict=False,
    ),
    QueryCase("a number is compared with a text", "process.args == 7", "argument 007", SEVEN, native=True),
    QueryCase(
        "a numeral in quotes is a text there", 'process.args == "7"', "argument 007", SEVEN, native=False
    ),
    QueryCase(
        "a network of IPv6 holds no IPv4",
        'cidrMatch(destination.ip, "::ffff:0:0/96")',
        "connect to 10.1.2.3",
        CONNECT,
        native=False,
    ),
    QueryCase("the call of an event", 'auditd.data.syscall == "openat"', "openat", OPEN, native=True),
    QueryCase("the file of an event", 'file.path == "/etc/hosts"', "openat of /etc/hosts", OPEN, native=True),
    QueryCase(
        "a created file", 'event.type == "creation"', "openat with CREATE", OPEN, native=True, strict=False
    ),
    QueryCase("a second action", 'event.action == "exec"', "execve", EXEC, native=True, strict=False),
    QueryCase(
        "arguments joined",
        'process.command_line == "bash -c id"',
        "bash -c id",
        EXEC,
        native=True,
        strict=False,
    ),
    QueryCase("and before or", 'user.id == "0" and user.id == "0" or true', "uid 1000", EXEC, native=True),
)
