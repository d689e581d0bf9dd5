"""Audit rules as text: `auditsense.kernel.rules.auditctl`.

The cases of `auditctl.cases` state what each kind of line means; `auditctl_golden.txt` states
what auditctl itself makes of more than 200 lines (golden/capture.py recorded it).
"""

from __future__ import annotations

import re
import struct
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from auditsense.errors import AuditRuleError
from auditsense.kernel.rules import auditctl
from auditsense.kernel.rules.constants import Action, FieldId, Filter, Operator
from auditsense.kernel.rules.field import RuleField
from auditsense.kernel.rules.rule import AuditRule

HERE = Path(__file__).resolve().parent
DIRECTORIES = {"/", "/proc", "/etc"}

# Lines that auditctl sends and `parse` refuses, with the reason.
STRICTER = {
    "-w /etc/../etc/passwd -p r": "the kernel resolves it once, the text misleads",
    "-w /etc/passwd -p ''": "reports nothing",
    "-w /etc/passwd -S open": "auditctl drops the -S",
    "-a never,filesystem -F uid=0": "EINVAL",
    "-a always,exit -F arch=b64 -F arch=b32 -S openat": "matches nothing",
    "-a always,exit -F arch=b64 -S 2047": "a bit of the mask that is no syscall",
    "-a always,exit -S openat -F uid=unset": "EINVAL",
    "-a always,exit -S openat -F uid=-1": "EINVAL",
    "-a always,exit -S openat -F uid=010": "octal",
    "-a always,exit -S openat -F uid=4294967296": "auditctl sends 0, which is root",
    "-a always,exit -S openat -F a1=010": "octal",
    "-a always,exit -S openat -F uid&1": "EINVAL",
    "-a always,exit -S openat -F a0=1x": "auditctl sends 1",
    "-a always,exit -S openat -F exit&1": "EINVAL",
    "-a always,exit -S openat -F exe=pspy": "EINVAL",
    "-a always,exit -S openat -F exe=/usr/bin/": "EINVAL",
    "-a always,exit -F path=/proc/": "EINVAL",
    "-a always,exit -F path=etc/passwd": "EINVAL",
    "-a always,exit -F path!=/etc/passwd": "EINVAL",
    "-a always,exit -F dir=/etc -F path=/etc/passwd": "EINVAL",
    "-a always,exit -S openat -k ''": "auditctl sends no key",
    "-a always,exit -S openat -F key=": "auditctl sends no key",
    "-a always,exit -S openat -k one -k ''": "auditctl sends one and nothing",
    "-a never,task -F a0=1": "a new task is in no syscall",
    "-a never,task -F arch=b64": "a new task is in no syscall",
    "-a never,task -F obj_uid=0": "a new task is in no syscall",
    "-a always,user -F euid=0": "the kernel stops reading the list here",
    "-a always,user -F a0=1": "the kernel stops reading the list here",
    "-a always,user -F arch=b64": "the kernel stops reading the list here",
    "-a always,exit -S openat -F inode=4294967296": "auditctl sends 0",
    "-a always,exit -S openat -F a2=0x140080000": "auditctl sends the low half",
    "-a always,exit -S openat -F auid>=unset": "EINVAL",
    "-a always,exit -S openat -F exe=/usr/bin/pspy -F exe=/usr/bin/ps": "EINVAL",
    "-a always,exit -S openat -F inode=1 -F inode=2": "EINVAL",
    "-a always,exit -S openat -F dir=/etc -F inode=2": "EINVAL",
}
# Lines that auditctl 3.0.9 refuses and `parse` takes, with the reason.
LOOSER = {
    "-a always,io_uring -S openat -F key=ring": "newer auditctl has the list",
    "-a always,exit -k x": "every syscall, as without the key",
    "-a always,exit -F arch=0xdeadbeef -S 1": "an arch without a table can have numbers",
    "-a always,exit -S openat -F loginuid_set=1": "other tools add it, the kernel lists it",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One block of auditctl.cases."""

    sentence: str
    line: str
    machine: str
    expected: str


def is_dir(path: str) -> bool:
    return path in DIRECTORIES


def parse(line: str, machine: str = "x86_64") -> AuditRule:
    return auditctl.parse(line, is_dir=is_dir, machine=machine)


def written(rule: AuditRule) -> str:
    return auditctl.format_rule(rule, is_dir=is_dir, machine="x86_64")


def cases() -> list[Case]:
    result = []
    text = (HERE / "auditctl.cases").read_text(encoding="utf-8")
    for block in text.split("\n\n")[1:]:
        lines = block.strip().splitlines()
        if lines[0].startswith("## "):
            continue
        machine = "x86_64"
        if lines[2].startswith("@"):
            machine = lines.pop(2)[1:]
        line = lines[1].removeprefix("$").strip().replace(r"\x01", "\x01")
        result.append(Case(lines[0].removeprefix("# "), line, machine, "\n".join(lines[2:])))
    return result


def meaning(rule: AuditRule) -> str:
    """Describe a rule as auditctl.cases does."""
    numbers = rule.syscalls
    calls = "every syscall" if numbers is None else "no syscall"
    if numbers:
        calls = "syscalls " + " ".join(str(number) for number in sorted(numbers))
    first = f"{rule.filter.name.lower()} {rule.action.name.lower()}, {calls}"
    lines = [first + ", prepended" * rule.prepend]
    for field in rule.fields:
        value = field.value.decode() if isinstance(field.value, bytes) else field.value
        lines.append(f"{field.field.name} {field.op.name} {value!r}")
    return "\n".join(lines)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.sentence)
def test_line_parses_as_its_case_states(case: Case) -> None:
    try:
        outcome = meaning(parse(case.line, case.machine))
    except AuditRuleError as error:
        outcome = f"! {error}"
    assert outcome == case.expected


def golden() -> list[tuple[str, bytes | None]]:
    """Read auditctl_golden.txt: each line, and the bytes auditctl sends, None when it refuses."""
    text = (HERE / "auditctl_golden.txt").read_text(encoding="utf-8")
    lines = []
    for block in text.split("\n\n")[1:]:
        line, *rest = block.strip().splitlines()
        sent = None if rest == ["refused"] else sent_bytes("\n".join(rest))
        lines.append((line.removeprefix("> "), sent))
    return lines


def sent_bytes(block: str) -> bytes:
    """Put one golden block together again as struct audit_rule_data."""
    head = re.search(r"flags (\d+) action (\d+) fields (\d+)", block)
    assert head is not None
    mask = [
        int(word, 16) for word, times in re.findall(r"([0-9a-f]{8})\*(\d+)", block) for _ in range(int(times))
    ]
    fields = [
        (int(kind), int(op, 16), int(value))
        for kind, op, value in re.findall(r"^field (\d+) ([0-9a-f]{8}) (\d+)$", block, re.MULTILINE)
    ]
    text = re.search(r"^buf (.*)$", block, re.MULTILINE)
    buf = urllib.parse.unquote_to_bytes(text[1]) if text else b""
    assert len(fields) == int(head[3])
    unused = [0] * (64 - len(fields))
    words = [*map(int, head.groups()), *mask]
    for column in (0, 2, 1):
        words += [field[column] for field in fields] + unused
    return struct.pack("=260I", *words, len(buf))[:1040] + buf


SENT = [(line, sent) for line, sent in golden() if sent is not None and line not in STRICTER]
REFUSED = [line for line, sent in golden() if sent is None and line not in LOOSER]


@pytest.mark.parametrize(("line", "sent"), SENT, ids=[line for line, _ in SENT])
def test_rule_equals_auditctls_bytes(line: str, sent: bytes) -> None:
    assert parse(line).to_bytes() == sent


@pytest.mark.parametrize("line", REFUSED)
def test_lines_refused_by_auditctl_are_refused(line: str) -> None:
    with pytest.raises(AuditRuleError):
        parse(line)


@pytest.mark.parametrize("line", STRICTER)
def test_lines_misread_by_the_kernel_are_refused(line: str) -> None:
    assert dict(golden())[line] is not None
    with pytest.raises(AuditRuleError):
        parse(line)


@pytest.mark.parametrize("line", LOOSER)
def test_lines_only_auditctl_refuses_are_rules(line: str) -> None:
    assert dict(golden())[line] is None
    parse(line)


def test_golden_lines_cover_every_field_and_operator() -> None:
    rules_sent = [AuditRule.from_bytes(sent) for _, sent in SENT]
    fields = [field for rule in rules_sent for field in rule.fields]
    assert len(SENT) >= 130
    assert {field.field for field in fields} == set(FieldId) - {FieldId.LOGINUID_SET}
    assert {field.op for field in fields} == set(Operator)
    assert {rule.filter for rule in rules_sent} == set(Filter) - {Filter.IO_URING}
    assert {rule.action for rule in rules_sent} == set(Action)


@pytest.mark.parametrize("line", [line for line, _ in SENT])
def test_golden_rules_survive_format_and_parse(line: str) -> None:
    rule = parse(line)
    assert parse(written(rule)) == rule


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("-w /proc/ -p r -k audit_proc", "-w /proc -p r -k audit_proc"),
        ("-w /etc/passwd -k a -k b", "-w /etc/passwd -p rwxa -k a -k b"),
        (
            "-A exit,never -F arch=0xc000003e -S 257,2 -F auid!=-1 -F exit=-13 -k x",
            "-A never,exit -F arch=b64 -S open,openat -F auid!=unset -F exit=-EACCES -F key=x",
        ),
        (
            "-a always,exit -F uid=0 -F arch=i386 -S 295 -F a0=-100 -C euid=uid",
            "-a always,exit -F uid=0 -F arch=b32 -S openat -F a0=0xffffff9c -C uid=euid",
        ),
        ("-a always,exit -F dir=/proc/ -F perm=r", "-a always,exit -S all -F dir=/proc/ -F perm=r"),
        ("-a always,exclude -F msgtype=1307", "-a always,exclude -F msgtype=CWD"),
        ("-w / -p x", "-w / -p x"),
        (
            "-A always,exit -F path=/etc/passwd -F perm=r",
            "-A always,exit -S all -F path=/etc/passwd -F perm=r",
        ),
        (
            "-a never,exit -F path=/etc/passwd -F perm=r",
            "-a never,exit -S all -F path=/etc/passwd -F perm=r",
        ),
        ("-w /etc/passwd -k 'it is'", "-w /etc/passwd -p rwxa -k 'it is'"),
    ],
)
def test_formatting_is_canonical(line: str, text: str) -> None:
    assert written(parse(line)) == text


def test_directory_watched_as_file_is_not_a_watch() -> None:
    path = RuleField(FieldId.WATCH, Operator.EQUAL, b"/proc")
    rule = AuditRule(Filter.EXIT, Action.ALWAYS, (path, RuleField(FieldId.PERM, Operator.EQUAL, 4)))
    assert written(rule) == "-a always,exit -S all -F path=/proc -F perm=r"
    assert auditctl.format_rule(rule, is_dir=lambda _: False) == "-w /proc -p r"


def test_machine_defaults_to_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(machine="aarch64"))
    rule = auditctl.parse("-a always,exit -F arch=b64 -S openat")
    assert rule.syscalls == frozenset({56})
    assert auditctl.format_rule(rule) == "-a always,exit -F arch=b64 -S openat"
    assert written(rule) == "-a always,exit -F arch=aarch64 -S openat"


def test_is_dir_defaults_to_the_file_system() -> None:
    (path, *_) = auditctl.parse("-w /proc").fields
    assert path.field is FieldId.DIR


def test_keys_are_limited_to_256_bytes_together() -> None:
    fits = parse(f"-w /proc -k {'a' * 128} -k {'b' * 127}")
    assert fits.fields[-1].value == b"a" * 128 + b"\x01" + b"b" * 127
    with pytest.raises(AuditRuleError, match="key is 257 bytes long, the kernel takes 256"):
        parse(f"-w /proc -k {'a' * 128} -k {'b' * 128}")


def test_rule_is_limited_to_64_fields() -> None:
    assert len(parse("-a always,exit" + " -F a0!=1" * 64).fields) == 64
    with pytest.raises(AuditRuleError, match="65 fields, the kernel takes 64"):
        parse("-a always,exit" + " -F a0!=1" * 65)


def test_undecodable_path_keeps_its_bytes() -> None:
    rule = parse("-w /srv/\udcff")
    assert rule.fields[0].value == b"/srv/\xff"
    assert parse(written(rule)) == rule


def test_unencodable_text_is_refused() -> None:
    with pytest.raises(AuditRuleError, match="cannot be written as bytes"):
        parse("-a always,exit -S openat -k \ud800")


def test_message_is_one_line_for_any_input() -> None:
    with pytest.raises(AuditRuleError) as caught:
        parse("-a always,exit -F 'ui\nd=0'")
    assert "\n" not in str(caught.value)
