"""Detections: the shipped one, and the errors of a file."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense import DetectionError, Detector, Host, load_detections, shipped_detections, syscalls
from auditsense.core.ring import Ring
from auditsense.core.rule_table import Field, MaskedNumber, Op, Predicate, conjunction
from auditsense.detections.compiler import compile_all
from auditsense.detections.fields import FIELDS, NUMBERS, field
from auditsense.detections.loader import parse
from auditsense.detections.model import Condition, Severity
from auditsense.kernel.rules import auditctl
from auditsense.testing import open_event
from tests.support.rules import FieldTest, SimpleRule, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditsense import Detection
    from auditsense.core.rule_table import Program
    from auditsense.testing import EventRecords

HOST = Host("0123456789abcdef0123456789abcdef", "here")
MINIMAL = """
id = "mine"
name = "Mine"
version = 1
severity = "high"
risk_score = 73
audit_rule = "-w /etc/shadow -p r -k shadow"
[match]
"auditd.data.syscall" = "openat"
"file.path" = "/etc/shadow"
[window]
by = ["process.pid"]
matches = 3
within = "2s"
"""

PSPY = (Path(__file__).parents[2] / "src/auditsense/detections/pspy.toml").read_text(encoding="utf-8")
_KEYS = {Field.PATH_NAME: "name"}  # where the key of a record is not the field's own name


def pspy() -> Detection:
    return shipped_detections()[0]


# --- the shipped one -----------------------------------------------------------------


def test_pspy_metadata() -> None:
    detection = pspy()
    assert (detection.id, detection.name) == ("pspy", "Potential Pspy Process Monitoring Detected")
    assert (detection.severity, detection.risk_score, detection.version) == (Severity.LOW, 21, 2)
    assert detection.tags == (
        "Domain: Endpoint",
        "OS: Linux",
        "Use Case: Threat Detection",
        "Tactic: Discovery",
    )
    assert detection.references == ("https://github.com/DominicBreuker/pspy",)
    assert detection.audit_rule == "-w /proc/ -p r -k audit_proc"
    assert len(detection.description) > 100
    assert detection.false_positives


def test_shipped_detections_are_read_once() -> None:
    first, second = shipped_detections(), shipped_detections()
    assert first is not second
    assert all(one is same for one, same in zip(first, second, strict=True))


def test_pspy_has_attack_entries() -> None:
    (threat,) = pspy().threat
    assert (threat.tactic.id, threat.tactic.name) == ("TA0007", "Discovery")
    assert [(detection.id, detection.name) for detection in threat.technique] == [
        ("T1057", "Process Discovery"),
        ("T1082", "System Information Discovery"),
    ]
    for detection in (threat.tactic, *threat.technique):
        assert detection.reference.startswith("https://attack.mitre.org/")
        assert detection.reference.rstrip("/").endswith(detection.id)


def test_pspy_is_ten_in_five_seconds_by_process_and_host() -> None:
    window = pspy().window
    assert (window.by, window.matches, window.within_ms) == (("process.pid", "host.id"), 10, 5000)


RING_OPENAT = (0, 18)
"""An operation of io_uring, in a table: the architecture that no machine has, and IORING_OP_OPENAT."""


def test_pspy_compiles_to_openat_of_every_architecture() -> None:
    compiled = compile_all([pspy()], merge_ms=7)
    calls = {(call.arch, call.syscall) for call in compiled.calls}
    assert calls == {*syscalls.calls("openat"), RING_OPENAT}
    assert {arch for arch, _ in calls} == {*syscalls.ARCHES.values(), RING_OPENAT[0]}
    assert {(0xC000003E, 257), (0xC000003E, 0x4000_0101), (0x40000003, 295), (0x8, 4288)} < calls
    assert {one.keys for one in compiled.filters()} == {(Field.PID, Field.NODE)}
    (rule,) = compiled.rules
    assert (rule.count, rule.span_ms, rule.merge_ms) == (10, 5000, 7)


def test_shipped_audit_rules_are_valid() -> None:
    given = [detection.audit_rule for detection in shipped_detections() if detection.audit_rule]
    assert given == ["-w /proc/ -p r -k audit_proc"]  # others derive theirs
    for rule in given:
        assert auditctl.format_rule(auditctl.parse(rule))


# --- what pspy matches -----------------------------------------------------------------


def program_of(detection: Detection) -> Program:
    """Return the program of the only filter."""
    (program,) = {one.program for one in compile_all([detection], merge_ms=0).filters()}
    return program


def matches(text: bytes) -> int:
    return matches_of([text])[0]


def matches_of(texts: Iterable[bytes]) -> list[int]:
    """Return the matches in each text."""
    found = [0]
    with Detector([pspy()], host=HOST, sequences=True) as detector:
        for text in texts:
            detector.feed_text(text)
            detector.finish()
            found.append(detector.stats().matches)
    return [after - before for before, after in itertools.pairwise(found)]


def with_paths(*paths: str) -> bytes:
    """An open whose PATH records are these, each `name nametype`."""
    event = open_event()
    head = event.lines[0].split(":")[0] + ":" + event.lines[0].split(":")[1]
    stamp = head.removeprefix("type=SYSCALL ")
    records = [
        f"type=PATH {stamp}: item={n} name={path.split()[0]} inode=1 dev=00:15 mode=040555 "
        f"nametype={path.split()[1]}"
        for n, path in enumerate(paths)
    ]
    return "\n".join([event.lines[0], event.lines[1], *records, event.lines[3], ""]).encode()


@pytest.mark.parametrize(
    ("text", "matching"),
    [
        (with_paths('"/proc" NORMAL'), True),
        (with_paths("2F70726F63 NORMAL"), True),
        (with_paths('"/" PARENT', '"/proc" NORMAL'), True),
        (with_paths('"/proc" UNKNOWN'), True),
        (with_paths('"/proc" PARENT'), True),
        (with_paths('"/" UNKNOWN', '"/proc" PARENT', '"/proc" CREATE'), True),
        (with_paths('"/proc" NORMAL', '"/tmp" NORMAL'), True),
        (with_paths('"/tmp" NORMAL', '"/proc" NORMAL'), False),
        (with_paths('"/proc" PARENT', '"/tmp" NORMAL'), False),
        (with_paths('"/proc" UNKNOWN', '"/" PARENT'), True),
        (with_paths('"/proc/" NORMAL'), False),
        (with_paths('"/PROC" NORMAL'), False),
        (with_paths('"//proc" NORMAL'), False),
        (open_event(path=".", cwd="/proc").text, False),
        (open_event(path="proc", cwd="/").text, False),
        (with_paths("2F70726F6300 NORMAL"), False),
        (with_paths("2f70726f63 NORMAL"), False),
        (with_paths("(null) NORMAL"), False),
        (with_paths(), False),
        (open_event(syscall=437).text, False),
        (open_event(syscall=2).text, False),
    ],
)
def test_path_of_chosen_record_is_compared_verbatim(text: bytes, matching: bool) -> None:  # noqa: FBT001 - a case's column
    assert matches(text) == int(matching)


@pytest.mark.parametrize(
    ("event", "matching"),
    [
        (open_event(a0="ffffffffffffff9c"), True),
        (open_event(a0="ffffff9c"), True),
        (open_event(a0="FFFFFF9C"), True),
        (open_event(a0="deadbeefffffff9c"), False),
        (open_event(a0="fffffff9c"), False),
        (open_event(a0="3"), False),
        (open_event(a2="80000"), True),
        (open_event(a2="88000"), True),
        (open_event(a2="90800"), False),
        (open_event(a2="90000"), False),
        (open_event(a2="0"), False),
        (open_event(a2="180000"), False),
        (open_event(a2="080000"), False),
        (open_event(success=False), True),
        (open_event(key=None), True),
        (open_event(comm="agentbeat"), True),
        (open_event(comm="ps py"), True),
        (open_event(exe=None), True),
    ],
)
def test_registers_are_compared_as_text(event: EventRecords, matching: bool) -> None:  # noqa: FBT001 - a case's column
    assert matches(event.text) == int(matching)


@pytest.mark.parametrize("arch", list(syscalls.ARCHES))
def test_openat_matches_by_number_of_its_architecture(arch: str) -> None:
    audit_arch = syscalls.ARCHES[arch]
    numbers = [*{number for _, number in syscalls.calls("openat")} | {437}]
    events = [open_event(arch=audit_arch, syscall=one, serial=n) for n, one in enumerate(numbers, 1)]
    found = matches_of(event.text for event in events)
    matching = {number for number, count in zip(numbers, found, strict=True) if count}
    x32 = {0x4000_0101} if arch == "x86_64" else set()
    assert matching == {syscalls.number("openat", arch)} | x32


# What Go's os.Open and C's open(…, O_CLOEXEC) pass on an architecture whose flags are not those of x86.
FLAGS = {
    "arm": ("80000", "a0000"),
    "armeb": ("80000", "a0000"),
    "aarch64": ("80000", "a0000"),
    "m68k": ("80000", "a0000"),
    "mips": ("80000", "82000"),
    "mipsel": ("80000", "82000"),
    "mips64": ("80000", "82000"),
    "mipsel64": ("80000", "82000"),
    "mipsel64n32": ("80000", "82000"),
    "mips64n32": ("80000", "82000"),
    "ppc": ("80000", "90000"),
    "ppc64": ("80000", "90000"),
    "ppc64le": ("80000", "90000"),
    "sparc": ("400000", "440000"),
    "sparc64": ("400000", "440000"),
    "parisc": ("200000", "200800"),
    "parisc64": ("200000", "200800"),
    "alpha": ("200000", "220000"),
}


@pytest.mark.parametrize("arch", list(syscalls.ARCHES))
def test_open_flags_depend_on_architecture(arch: str) -> None:
    """Elastic's two numbers match everywhere; any other only where it means the same."""
    tried = {"80000", "88000", *(text for texts in FLAGS.values() for text in texts)}
    tried |= {"0", "90800", "98000", "1a0000", "80001", "A0000", "0a0000"}
    number = syscalls.number("openat", arch)
    assert number is not None
    events = [
        open_event(arch=syscalls.ARCHES[arch], syscall=number, a0="ffffff9c", a2=a2, serial=n)
        for n, a2 in enumerate(tried, 1)
    ]
    found = matches_of(event.text for event in events)
    matching = {a2 for a2, count in zip(tried, found, strict=True) if count}
    assert matching == {"80000", "88000", *FLAGS.get(arch, ())}


def test_flags_without_names_equal_elastic_values() -> None:
    text = PSPY.replace(', "O_CLOEXEC", "O_CLOEXEC|O_LARGEFILE"]', "]")
    assert text != PSPY
    program = program_of(parse(text, "x"))
    (predicate,) = (node.predicate for node in program if node.predicate.field is Field.A2)
    assert predicate.operands == (b"80000", b"88000")


@pytest.mark.parametrize("value", ["O_NONSENSE", "0x80000", "80000|O_CLOEXEC", "", "O_CLOEXEC|", "080000"])
def test_unknown_flags_are_refused(value: str) -> None:
    text = PSPY.replace('"O_CLOEXEC|O_LARGEFILE"', f'"{value}"')
    with pytest.raises(DetectionError, match="is neither a flag of open"):
        parse(text, "x")


def test_flags_are_of_registers_only() -> None:
    text = PSPY.replace('"auditd.data.a2"', '"auditd.data.exit"')
    with pytest.raises(DetectionError, match="holds no flags of open"):
        parse(text, "x")


def test_open_needs_syscall_record_but_no_end() -> None:
    call, cwd, path, title, _ = (line.encode() + b"\n" for line in open_event().lines)
    assert matches(call + path) == 1
    assert matches(cwd + path + title) == 0
    assert matches(path + title + call) == 1


# --- files -----------------------------------------------------------------------------


def test_smallest_detection_loads_with_host_in_window() -> None:
    detection = parse(MINIMAL, "mine.toml")
    assert detection.window.by == ("process.pid", "host.id")
    assert (detection.window.matches, detection.window.within_ms, detection.severity) == (
        3,
        2000,
        Severity.HIGH,
    )
    assert detection.description == ""
    assert (detection.references, detection.tags, detection.threat) == ((), (), ())


@pytest.mark.parametrize(
    ("within", "ms"), [("1ms", 1), ("500ms", 500), ("5s", 5000), ("2m", 120_000), ("24h", 86_400_000)]
)
def test_durations_need_a_unit(within: str, ms: int) -> None:
    assert parse(MINIMAL.replace('"2s"', f'"{within}"'), "mine.toml").window.within_ms == ms


def changed(old: str, new: str) -> str:
    assert MINIMAL.count(old) == 1
    return MINIMAL.replace(old, new)


PATH = '"file.path" = "/etc/shadow"'
CALL = '"auditd.data.syscall" = "openat"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id = ", "invalid value"),
        (changed('id = "mine"', ""), "id is missing"),
        (changed('id = "mine"', "id = 3"), "id must be a string"),
        (changed("version = 1", 'version = "1"'), "version must be a whole number"),
        (changed("version = 1", "version = true"), "version must be a whole number"),
        (changed("version = 1", "version = 1\nversoin = 2"), "unknown key versoin; did you mean version?"),
        (
            changed('"high"', '"huge"'),
            'severity must be one of "low", "medium", "high", "critical", not "huge"',
        ),
        (changed(PATH, '"file.path" = "/etc/*"'), 'for a wildcard use like, as in { like = "/etc/*" }'),
        (changed(PATH, '"file.path" = ["/x", "/etc/*"]'), '"/etc/*" would be compared exactly'),
        (changed("73", "101"), "risk_score must be 0 to 100, not 101"),
        (changed("73", "-1"), "risk_score must be 0 to 100, not -1"),
        (changed("version = 1", "version = 1\ntags = [1]"), "tags must be a list of strings"),
        (changed("version = 1", 'version = 1\ntags = "x"'), "tags must be a list"),
        ("match = 1\n" + changed("[match]", "[other]"), "match must be a table"),
        (changed("[match]", "[matches]"), "unknown key matches; did you mean match?"),
        (changed("[window]", "[windows]"), "unknown key windows; did you mean window?"),
        (changed("matches = 3", ""), "window: matches is missing"),
        (changed("matches = 3", "matchs = 3"), "window: unknown key matchs; did you mean matches?"),
        (changed("matches = 3", "matches = 0"), "window: matches must be 1 to 64, not 0"),
        (changed("matches = 3", "matches = 65"), "window: matches must be 1 to 64, not 65"),
        (changed("matches = 3", "matches = 3\nspan = 1"), "window: unknown key span"),
        (changed('"2s"', '"2 s"'), 'within must be a time, such as 30, 30s, 5m or 500ms, not "2 s"'),
        (changed('"2s"', '"0s"'), 'within must be 1ms to 24h, not "0s"'),
        (changed('"2s"', '"25h"'), 'within must be 1ms to 24h, not "25h"'),
        (changed('"2s"', "true"), "within must be a time"),
        (
            changed('["process.pid"]', '["process.id"]'),
            "unknown field 'process.id'; did you mean process.pid?",
        ),
        (changed('["process.pid"]', '["a", "b", "c", "d"]'), "by host.id and at most 3 more fields"),
        (changed('["process.pid"]', '["auditd.data.syscall"]'), "cannot be by auditd.data.syscall"),
        (changed('"file.path"', '"file.pth"'), "unknown field 'file.pth'; did you mean file.path?"),
        (changed('"file.path"', '"zzzzzz"'), "unknown field 'zzzzzz'"),
        (changed('"openat"', '"opnat"'), "no architecture has a system call 'opnat'; did you mean openat?"),
        (
            changed(CALL, '"auditd.data.syscall" = { like = "open*" }'),
            'only be compared with names, as in: = "openat"',
        ),
        (changed(CALL, '"auditd.data.syscall" = { is_not = "open" }'), "only be compared with names"),
        (changed(CALL, '"auditd.data.syscall" = { number = 257 }'), "only be compared with names"),
        (changed(PATH, '"file.path" = 7'), "match.file.path: expected a string or a list of them"),
        (changed(PATH, '"file.path" = []'), "match.file.path: expected a string or a list of them"),
        (changed(PATH, '"file.path" = ["/x", 7]'), "match.file.path: expected a string or a list of them"),
        (
            changed(PATH, '"file.path" = {}'),
            "match.file.path: expected a comparison, one of is, is_not, like",
        ),
        (changed(PATH, '"file.path" = { lik = "x" }'), "no comparison lik; did you mean like?"),
        (changed(PATH, '"file.path" = { like = 1 }'), "match.file.path.like: expected a string"),
        (changed(PATH, '"user.id" = { number = "0" }'), "match.user.id.number: expected a whole number"),
        (changed(PATH, '"user.id" = { number = true }'), "match.user.id.number: expected a whole number"),
        (changed(PATH, '"user.id" = { mask = 7 }'), "a mask is for number and not_number only"),
        (changed(PATH, '"user.id" = { is = "0", mask = 7 }'), "a mask is for number and not_number only"),
        (
            changed(PATH, '"user.id" = { number = 0, mask = "7" }'),
            "match.user.id: mask must be a whole number",
        ),
        (
            changed(PATH, '"user.id" = { number = 0, mask = 0 }'),
            "match.user.id.mask: must be 1 to 0xffffffffffffffff, not 0",
        ),
        (changed(PATH, f'"user.id" = {{ number = {2**64} }}'), f"to 0xffffffffffffffff, not {2**64}"),
        (changed(PATH, '"file.path" = { number = 1 }'), "file.path is not a number"),
        (MINIMAL + "[[threat]]\n", "threat: tactic is missing"),
        (MINIMAL + '[[threat]]\ntactic = { id = "T" }\n', "threat.tactic: name, reference are missing"),
    ],
)
def test_error_names_file_and_key_in_one_line(text: str, message: str) -> None:
    with pytest.raises(DetectionError) as refused:
        parse(text, "mine.toml")
    text = str(refused.value)
    assert text.startswith("mine.toml:")
    assert message in text
    assert "\n" not in text


def test_all_mistakes_are_reported_with_their_lines() -> None:
    """A file with several mistakes is mended in one go."""
    wrong = """\
    id = "mine"
    name = 3
    version = 1
    severity = "huge"
    risk_score = 73
    tagz = []
    [match]
    "auditd.data.syscall" = "opnat"
    "file.pth" = "/etc/shadow"
    "user.id" = { lik = "0" }
    [window]
    matchs = 3
    [[exception]]
    comment = "one"
    [[exception]]
    comment = "two"
    """
    with pytest.raises(DetectionError) as refused:
        parse(wrong, "mine.toml")
    lines = [str(refused.value), *refused.value.__notes__]
    assert [line.partition(";")[0] for line in lines] == [
        'mine.toml:2: name must be a string, such as "…", not 3',
        'mine.toml:4: severity must be one of "low", "medium", "high", "critical", not "huge"',
        "mine.toml:6: unknown key tagz",
        "mine.toml:8: no architecture has a system call 'opnat'",
        "mine.toml:9: unknown field 'file.pth'",
        "mine.toml:10: match.user.id: no comparison lik",
        "mine.toml:11: window: within is missing",
        "mine.toml:12: window: unknown key matchs",
        "mine.toml:13: exception 1: match is missing",
        "mine.toml:15: exception 2: match is missing",
    ]


def test_no_more_than_twenty_mistakes_are_listed() -> None:
    wrong = MINIMAL.replace("version = 1", "version = 1\n" + "".join(f"zz{n} = 1\n" for n in range(50)))
    with pytest.raises(DetectionError) as refused:
        parse(wrong, "mine.toml")
    assert len(refused.value.__notes__) == 20
    assert refused.value.__notes__[-1] == "mine.toml: 30 more mistakes"


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DetectionError, match=r"none\.toml: No such file or directory"):
        load_detections(tmp_path / "none.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"id = '\xe9'")
    with pytest.raises(DetectionError, match=r"latin\.toml:1: not UTF-8 text"):
        load_detections(latin)


def test_folder_is_read_in_name_order(tmp_path: Path) -> None:
    with pytest.raises(DetectionError, match=r"no \.toml file in this folder"):
        load_detections(tmp_path)
    for name in ("b", "a"):
        (tmp_path / f"{name}.toml").write_text(MINIMAL.replace('"mine"', f'"{name}"'), encoding="utf-8")
    (tmp_path / "README").write_text("no detection", encoding="utf-8")
    assert [detection.id for detection in load_detections(tmp_path)] == ["a", "b"]


def test_duplicate_ids_are_refused() -> None:
    detection = parse(MINIMAL, "mine.toml")
    with pytest.raises(DetectionError, match="two detections have the id 'mine'"):
        compile_all([detection, pspy(), detection], merge_ms=0)


# --- comparisons -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "op", "operands", "negated"),
    [
        ('"/x"', Op.TEXT, (b"/x",), False),
        ('["/x", "é"]', Op.TEXT, (b"/x", "é".encode()), False),
        ('{ is = "/x" }', Op.TEXT, (b"/x",), False),
        ('{ is_not = "/x" }', Op.TEXT, (b"/x",), True),
        ('{ like = ["/x*", "?"] }', Op.LIKE, (b"/x*", b"?"), False),
        ('{ not_like = "/x*" }', Op.LIKE, (b"/x*",), True),
    ],
)
def test_comparisons_of_text_compile(
    condition: str,
    op: Op,
    operands: tuple[bytes, ...],
    negated: bool,  # noqa: FBT001 - a case's column
) -> None:
    program = program_of(parse(changed(PATH, f'"file.path" = {condition}'), "mine.toml"))
    predicate = Predicate(Field.PATH_NAME, op, operands, fold_case=op is Op.LIKE)
    present = [(Predicate(Field.PATH_NAME, Op.PRESENT), True)] if negated else []
    assert program == conjunction([*present, (predicate, not negated)])


@pytest.mark.parametrize(
    ("condition", "operands", "negated"),
    [
        ("{ number = 0 }", (MaskedNumber(0),), False),
        ("{ number = [1, 0x10] }", (MaskedNumber(1), MaskedNumber(16)), False),
        ("{ number = -1 }", (MaskedNumber(2**64 - 1),), False),
        ("{ not_number = 0 }", (MaskedNumber(0),), True),
        ("{ number = -100, mask = 0xffffffff }", (MaskedNumber(0xFFFFFF9C, 0xFFFFFFFF),), False),
    ],
)
def test_comparisons_of_numbers_compile(
    condition: str,
    operands: tuple[MaskedNumber, ...],
    negated: bool,  # noqa: FBT001 - a case's column
) -> None:
    program = program_of(parse(changed(PATH, f'"auditd.data.a0" = {condition}'), "mine.toml"))
    number = [(Predicate(Field.A0, Op.NUMBER, (MaskedNumber(0, 0),)), True)] if negated else []
    assert program == conjunction([*number, (Predicate(Field.A0, Op.NUMBER, operands), not negated)])


def test_both_comparisons_of_a_field_must_hold() -> None:
    detection = parse(changed(PATH, '"file.path" = { like = "/p*", is_not = "/proc" }'), "mine.toml")
    for path, expected in (("/proc", 0), ("/proc/", 1), ("/etc", 0)):
        with Detector([detection], host=HOST) as detector:
            detector.feed_text(open_event(path=path).text)
            detector.finish()
            assert detector.stats().matches == expected


def test_mask_ignores_upper_bits() -> None:
    number = '"auditd.data.a0" = { number = -100, mask = 0xffffffff }'
    detection = parse(changed(PATH, number), "mine.toml")
    for a0 in ("ffffff9c", "ffffffffffffff9c", "deadbeefffffff9c"):
        with Detector([detection], host=HOST) as detector:
            detector.feed_text(open_event(a0=a0).text)
            detector.finish()
            assert detector.stats().matches == 1


def test_every_field_can_be_compared() -> None:
    detection = parse(MINIMAL, "mine.toml")
    for name, found in FIELDS.items():
        second = detection.match[1]
        assert isinstance(second, Condition)
        condition = dataclasses.replace(second, field=name)
        one = dataclasses.replace(detection, match=(condition,))
        assert [node.predicate.field for node in program_of(one)] == [found]
        compiled = compile_all([one], merge_ms=0)
        assert len(compiled.classes[compiled.other_call_class].filters) == 1


_DECODED = {
    "process.args": 'EXECVE argc=1 a0="1"',
    "process.args_count": 'EXECVE argc=1 a0="x"',
    "process.command_line": 'EXECVE argc=1 a0="1"',
    "process.thread.capabilities.effective": "BPRM_FCAPS pe=1",
    "auditd.data.socket.family": "SOCKADDR saddr=0300",
    "auditd.data.socket.addr": "SOCKADDR saddr=0200000100000001",
    "auditd.data.socket.port": "SOCKADDR saddr=0200000100000001",
    "auditd.data.socket.path": "SOCKADDR saddr=010031",
}
"""A record for each field that the core decodes; the value is 1, if the field allows that."""
_OF_USER_SPACE = {
    f"auditd.data.{key}" for key in ("acct", "terminal", "hostname", "addr", "grantors", "unit")
}


def counted_as(name: str, text: str) -> list[int]:
    """Return what fits the value in the text: 0 for the number 1, 1 for any text."""
    number = SimpleRule((), (FieldTest(FIELDS[name], Op.NUMBER, (MaskedNumber(1),)),))
    present = SimpleRule((), (FieldTest(FIELDS[name], Op.LIKE, (b"*",)),))
    with Ring(table([number, present])) as ring:
        ring.feed_text(text.encode())
        ring.finish()
        return [hit.rule for hit in ring.drain()]


@pytest.mark.parametrize("name", sorted(_DECODED))
def test_decoded_numeric_fields_match_the_core(name: str) -> None:
    kind, _, body = _DECODED[name].partition(" ")
    head = "msg=audit(1.000:1):"
    text = f"type=SYSCALL {head} arch=c000003e syscall=1\ntype={kind} {head} {body}\ntype=PROCTITLE {head} \n"
    expected = [0, 1] if FIELDS[name] in NUMBERS else [1]
    assert counted_as(name, text) == expected


@pytest.mark.parametrize(
    "name", [name for name in FIELDS if name not in {"host.id", *_DECODED, *_OF_USER_SPACE}]
)
def test_numeric_fields_match_the_core(name: str) -> None:
    # The core reads a 1 wherever a number stands; a text is never one.
    key = _KEYS.get(FIELDS[name], FIELDS[name].name.lower().removeprefix("path_"))
    record = "PATH" if FIELDS[name].name.startswith("PATH") else "SYSCALL"
    head = "msg=audit(1.000:1):"
    bodies = {"SYSCALL": "arch=1 syscall=1 pid=1", "PATH": "item=0", "CWD": "", "PROCTITLE": ""}
    record = {"CWD": "CWD", "PROCTITLE": "PROCTITLE"}.get(FIELDS[name].name, record)
    text = "".join(
        f"type={kind} {head} {key}=1 {body.replace(f'{key}=1', '')}\n"
        if kind == record
        else f"type={kind} {head} {body}\n"
        for kind, body in bodies.items()
    )
    assert counted_as(name, text) == ([0, 1] if FIELDS[name] in NUMBERS else [1])


def test_call_compiles_to_architectures_that_have_it() -> None:
    detection = parse(changed('"openat"', '["open", "openat"]'), "mine.toml")
    calls = {(call.arch, call.syscall) for call in compile_all([detection], merge_ms=0).calls}
    assert (0xC000003E, 2) in calls
    assert {number for arch, number in calls if arch == syscalls.ARCHES["aarch64"]} == {56}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("process.exe", "process.executable"),
        ("exe", "process.executable"),
        ("process.cmdline", "process.command_line"),
        ("pid", "process.pid"),
        ("path", "file.path"),
        ("syscall", "auditd.data.syscall"),
        ("uid", "user.id"),
        ("egid", None),
    ],
)
def test_unknown_field_suggests_the_ecs_name(name: str, meant: str | None) -> None:
    with pytest.raises(DetectionError, match=f"unknown field '{name}'") as error:
        field(name)
    assert meant is None or str(error.value).endswith(f"; did you mean {meant}?")


def test_audit_rule_may_be_left_out() -> None:
    detection = parse(re.sub(r"audit_rule = .*\n", "", MINIMAL), "mine.toml")
    assert detection.audit_rule == ""
