"""Describe an input that is not an audit log, by its first bytes or by a line that is not a record."""

from __future__ import annotations

import re
from functools import cache

_LONGEST_SHOWN = 100

_BINARY = (
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\xd4\xc3\xb2\xa1", "a packet capture"),
    (b"\xa1\xb2\xc3\xd4", "a packet capture"),
    (b"\x4d\x3c\xb2\xa1", "a packet capture"),
    (b"\x0a\x0d\x0d\x0a", "a packet capture"),
    (b"\x7fELF", "a program"),
    (b"ElfFile\0", "an event log of Windows"),
    (b"%PDF-", "a PDF document"),
)
_ENCODINGS = tuple(
    (re.compile(mark), encoding)
    for mark, encoding in (
        (rb"\xff\xfe\0\0|\0\0\xfe\xff", "UTF-32"),
        (rb"\xff\xfe|\xfe\xff", "UTF-16"),
        (rb"(?:[a-z ]\0){4}", "UTF-16LE"),
        (rb"(?:\0[a-z ]){4}", "UTF-16BE"),
    )
)

_RECORD = re.compile(rb"type=\S+ (?:msg=)?audit\(")
_DATED = rb"(?:\w{3} +\d+ [\d:.]+|\d{4}-\d\d-\d\dT\S+|\w{3} [\d-]+ [\d:.]+ \w+|\[ *[\d.]+\]|[\d.]+)"
_BEFORE = rb"(?:[^=\n]{0,200}[ :])?(?:node=\S+ )?"  # a header
_TEXTS = (
    (
        _BEFORE + rb"type=\S+ msg=audit\((?:[^)]*[/ ][^)]*\)|[^)]*\) :)",
        "output of ausearch -i, in which names stand for numbers and dates for stamps; use ausearch --raw",
    ),
    (rb"----$|time->", "what ausearch writes between events; use ausearch --raw"),
    (rb"At \d\d:\d\d:\d\d \d", "output of ausearch --format text; use ausearch --raw"),
    (rb"NODE,EVENT,DATE|(?:NODE,)?EVENT,DATE,TIME", "output of ausearch --format csv; use ausearch --raw"),
    (
        rb"={5,}$|[A-Z][\w ]+ (?:Report|Summary)\b|# +date +time|\d+\. \d\d/\d\d/\d{2,4} \d\d:\d\d:\d\d ",
        "output of aureport, which sums records up; use ausearch --raw",
    ),
    (
        _DATED + rb" (?:\S+ )?audit(?:\[\d+\])?: [A-Z][A-Z0-9_]+(?:\[\d+\])? ",
        "journal output without stamp and serial; use journalctl _TRANSPORT=audit -o export (or -o json)",
    ),
    (
        rb"\w{3} \d{4}-\d\d-\d\d [\d:.]+ \S+ \[s=",
        "output of journalctl -o verbose; use journalctl _TRANSPORT=audit -o export (or -o json)",
    ),
    (
        rb"(?:SYSCALL|CWD|PATH|PROCTITLE|EXECVE|EOE|AVC|USER_\w+|CRED_\w+|SERVICE_\w+) (?:\w+=|$)",
        "journal output without stamp and serial; use journalctl _TRANSPORT=audit -o export (or -o json)",
    ),
    (rb"-(?:[aA] [a-z]+,[a-z]+ |w /|[Def])", "audit rules, as auditctl -l prints them, and no log"),
    (rb"\[\d+\] \S+: \[", "what Fluent Bit writes for people; use its format json_lines"),
    (rb".*kauditd_printk_skb: \d+ callbacks suppressed", "the kernel's word that its log left records out"),
    (rb"\{[^\n]*\"auditsense\":", "a document that auditsense wrote itself, not a log it can read"),
    (
        rb"\{\"ID\": ?\"\d+\.\d+:\d+\"|\{\"(?:NODE|SYSCALL|ID)\":",
        "JSON of laurel, which holds fields instead of records",
    ),
    (
        rb"\{[^\n]*\"(?:auditd\.|auditd\"|ecs\.version|ecs\"|@timestamp\")",
        "JSON without the record it was made of; keep the record in event.original, or read audit.log",
    ),
    (rb"[\[{]\s*$|\[\s*\{", "JSON over several lines; write one object a line, as jq -c does"),
    (rb"\{", "JSON without an audit record in a field that is known, such as message, log or event.original"),
    (rb"<\?xml|<!DOCTYPE|<html", "XML or HTML"),
    (
        _BEFORE + rb"type=\S+ msg=audit\((?!\d{1,16}\.\d{3}:\d{1,10}\):)|type=\S+ msg=audit\(",
        "a record whose stamp cannot be read",
    ),
)


@cache
def _patterns() -> tuple[tuple[re.Pattern[bytes], str], ...]:
    """Return `_TEXTS` compiled: most inputs have none of them."""
    return tuple((re.compile(pattern), description) for pattern, description in _TEXTS)


def describe_binary(name: str, start: bytes) -> str:
    """Return the format of an unreadable input that starts with these bytes, and a remedy; "": unknown."""
    for magic, description in _BINARY:
        if start.startswith(magic):
            return description
    program = ""
    if start.startswith(b"LPKSHHRH"):
        description, program = "a journal of systemd", f"journalctl --file {name} _TRANSPORT=audit -o export"
    elif start[257:262] == b"ustar":
        description, program = "a tar archive", f"tar -xOf {name}"
    else:
        encoding = next((code for mark, code in _ENCODINGS if mark.match(start)), "")
        description = f"{encoding[:6]} text"
        program = f"iconv -f {encoding} -t UTF-8 {name}" if encoding else ""
    return f"{description}; use {program} | auditsense replay -" if program else ""


def describe_line(line: bytes) -> str:
    """Return the format of a line that is not a record, and a remedy; "": unknown."""
    for pattern, description in _patterns():
        if pattern.match(line):
            return description
    if _RECORD.search(line):
        return (
            "a record behind other text than a header of the kernel or of an audit daemon; "
            "any user can write such a message, so it is not read"
        )
    return ""


def shown(line: bytes) -> str:
    """Return the start of a line for a person."""
    text = line.decode("utf-8", "backslashreplace").rstrip()
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def unread(malformed: int, lines: int, first: bytes) -> str:
    """Return a sentence about lines that are not records."""
    description = describe_line(first)
    noun, verb = ("line" if lines == 1 else "lines"), ("is" if malformed == 1 else "are")
    sentence = f"{malformed} of {lines} {noun} {verb} no audit record; the first: {shown(first)}"
    return f"{sentence} ({description})" if description else sentence
