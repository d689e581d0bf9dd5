"""Text that is not plain audit.log: what is read, what is named instead, and the report on the rest."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import struct
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense.cli import main
from auditsense.detect.host import this_host
from auditsense.sources.unrecognized import describe_line
from auditsense.testing import burst
from tests.support.faults import NO_HOST, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


EVENTS = 12
LINES = [line for event in burst(EVENTS) for line in event.text.decode("latin-1").splitlines()]
TEXT = "".join(f"{line}\n" for line in LINES)
NUMBERS = {"SYSCALL": 1300, "PATH": 1302, "CWD": 1307, "PROCTITLE": 1327, "EOE": 1320}
HEAD = re.compile(r"type=(\w+) msg=audit\((\d+)\.(\d+):(\d+)\): ?(.*)")


def parts(line: str) -> tuple[str, str, str, str, str]:
    """Return name, seconds, milliseconds, serial and fields of a record."""
    match = HEAD.fullmatch(line)
    assert match is not None
    return match[1], match[2], match[3], match[4], match[5]


def printk(line: str) -> str:
    name, seconds, millis, serial, fields = parts(line)
    return f"audit: type={NUMBERS[name]} audit({seconds}.{millis}:{serial}): {fields}"


def journal(line: str) -> dict[str, str]:
    name, seconds, millis, serial, fields = parts(line)
    return {
        "__CURSOR": "s=1",
        "_TRANSPORT": "audit",
        "_AUDIT_TYPE": str(NUMBERS[name]),
        "_AUDIT_ID": serial,
        "_SOURCE_REALTIME_TIMESTAMP": f"{seconds}{millis}000",
        "MESSAGE": f"{name} {fields}",
    }


def export(entry: dict[str, str]) -> bytes:
    fields = [f"{key}={value}\n".encode() for key, value in entry.items() if key != "MESSAGE"]
    message = entry["MESSAGE"].encode()
    return b"".join(fields) + b"MESSAGE\n" + struct.pack("<Q", len(message)) + message + b"\n\n"


def each(change: Callable[[str], str]) -> bytes:
    return "".join(f"{change(line)}\n" for line in LINES).encode("latin-1")


def objects(change: Callable[[str], object]) -> bytes:
    return each(lambda line: json.dumps(change(line)))


def enriched(line: str, separator: str) -> str:
    kind = parts(line)[0]
    tail = {"SYSCALL": 'ARCH=x86_64 SYSCALL=openat AUID="ann"', "PATH": 'OUID="root" OGID="root"'}.get(kind)
    return line if tail is None else f"{line}{separator}{tail}"


READ = {
    "rfc 3164": each(lambda line: f"Nov 24 16:00:00 hostA audispd: {line}"),
    "rfc 3164 with pid": each(lambda line: f"Nov  4 16:00:00 hostA audisp-syslog[985]: {line}"),
    "rfc 3164 with priority": each(lambda line: f"<134>Nov 24 16:00:00 hostA audisp-syslog: {line}"),
    "rfc 5424": each(lambda line: f'<13>1 2026-11-24T16:00:00Z a audispd 1 - [x y="z"] \xef\xbb\xbf{line}'),
    "rsyslog with zone": each(lambda line: f"2026-11-24T16:00:00.1+00:00 a tag_audit_log: {line}"),
    "rsyslog %msg%": each(lambda line: f" {line}"),
    "tabs": each(lambda line: f"\t{line}"),
    "dmesg": each(lambda line: f"[ 4000.000000] {printk(line)}"),
    "dmesg -T": each(lambda line: f"[Tue Nov 24 16:00:00 2026] {printk(line)}"),
    "dmesg -x": each(lambda line: f"kern  :notice: [ 4000.000000] {printk(line)}"),
    "kern.log": each(lambda line: f"Nov 24 16:00:00 a kernel: [ 4000.0] {printk(line)}"),
    "journalctl -k": each(lambda line: f"Nov 24 16:00:00 a kernel: {printk(line)}"),
    "grep of a file": each(lambda line: f"/var/log/audit/audit.log:{line}"),
    "grep -n": each(lambda line: f"12:{line}"),
    "grep -n of files": each(lambda line: f"my logs/audit.log-20261129.1:12:{line}"),
    "grep of syslog": each(lambda line: f"messages:12:Nov 24 16:00:00 a audispd: {line}"),
    "containerd": each(lambda line: f"2026-11-24T16:00:00.1Z stdout F {line}"),
    "byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "zero bytes first": bytes(5000) + TEXT.encode(),
    "zero bytes between": TEXT.encode().replace(b"\n", b"\n\0\0\0"),
    "zero bytes for line ends": TEXT.encode().replace(b"\n", bytes(9)),
    "windows": TEXT.encode().replace(b"\n", b"\r\n"),
    "numbers": each(lambda line: re.sub(r"^type=(\w+)", lambda name: f"type={NUMBERS[name[1]]}", line)),
    "unknown numbers": each(
        lambda line: re.sub(r"^type=(\w+)", lambda n: f"type=UNKNOWN[{NUMBERS[n[1]]}]", line)
    ),
    "separator in octal": each(lambda line: enriched(line, "#035")),
    "separator in hex": each(lambda line: enriched(line, r"\x1d")),
    "json message": objects(lambda line: {"@timestamp": "x", "message": enriched(line, "\x1d")}),
    "json event.original": objects(lambda line: {"message": "x", "event": {"original": line}}),
    "json list": objects(lambda line: {"event": {"original": [line]}}),
    "json dotted": objects(lambda line: {"event.original": line}),
    "json docker": objects(lambda line: {"log": f"{line}\n", "stream": "stdout", "time": "x"}),
    "json go-audit": objects(
        lambda line: {
            "sequence": int(parts(line)[3]),
            "timestamp": ".".join(parts(line)[1:3]),
            "messages": [{"type": NUMBERS[parts(line)[0]], "data": parts(line)[4]}],
        }
    ),
    "journal json": objects(journal),
    "journal json-seq": each(lambda line: "\x1e" + json.dumps(journal(line))),
    "journal json of the kernel": objects(lambda line: {"_TRANSPORT": "kernel", "MESSAGE": printk(line)}),
    "journal json of bytes": objects(
        lambda line: {"_UID": "0", "MESSAGE": [*enriched(line, "\x1d").encode()]}
    ),
    "journal export": b"".join(export(journal(line)) for line in LINES),
    "journal export in lines": each(
        lambda line: f"_TRANSPORT=kernel\nMESSAGE={printk(line)}\n",
    ),
    "xz": lzma.compress(TEXT.encode()),
    "bz2": bz2.compress(TEXT.encode()),
    "xz in parts": lzma.compress(TEXT[:999].encode()) + lzma.compress(TEXT[999:].encode()),
    "bz2 in parts": bz2.compress(TEXT[:999].encode()) + bz2.compress(TEXT[999:].encode()),
    "json in xz": lzma.compress(objects(lambda line: {"message": line})),
}


def replayed(
    capsys: pytest.CaptureFixture[str], *paths: object, code: int = 0
) -> tuple[dict[str, int], list[str]]:
    """Return the counts of a replay and the messages."""
    assert main(["replay", "--only", "pspy", "-o", "count", *(str(path) for path in paths)]) == code
    out, err = capsys.readouterr()
    return json.loads(out) if out else {}, err.splitlines()


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("data", READ.values(), ids=READ)
def test_text_form_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes) -> None:
    counts, messages = replayed(capsys, written(tmp_path / "some file", data))
    assert (counts["alerts"], counts["matches"], counts["records"]) == (1, EVENTS, len(LINES))
    assert (counts["malformed"], counts["incomplete"]) == (0, 0)
    wrapped = [line for line in messages if "reading audit records inside" in line]
    assert messages == wrapped
    assert len(wrapped) <= 1


@pytest.mark.parametrize("chunk", [1, 61, 4096])
@pytest.mark.parametrize(
    "name", ["json message", "journal export", "journal export in lines", "zero bytes between"]
)
def test_wrapped_input_may_be_split_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, chunk: int
) -> None:
    monkeypatch.setattr("auditsense.replay.replay._CHUNK", chunk)
    counts, _ = replayed(capsys, written(tmp_path / "x", READ[name]))
    assert (counts["alerts"], counts["matches"], counts["malformed"]) == (1, EVENTS, 0)


FORGED = {
    "another program's message": each(lambda line: f"Nov 24 16:00:00 hostA bob: {line}"),
    "a name in another program's message": each(lambda line: f"Nov 24 16:00:00 a bob: audispd: {line}"),
    "a second line in JSON": objects(lambda line: {"message": f"hello\n{line}"}),
    "a zero byte in JSON": objects(lambda line: {"message": f"hello\0{line}"}),
    "a user's message in the journal": objects(
        lambda line: {"_TRANSPORT": "syslog", "_UID": "1000", "SYSLOG_IDENTIFIER": "audispd", "MESSAGE": line}
    ),
    "root's other programs in the journal": objects(
        lambda line: {"_TRANSPORT": "stdout", "_UID": "0", "SYSLOG_IDENTIFIER": "bob", "MESSAGE": line}
    ),
    "a USER record": each(lambda line: f"type=USER_CMD msg=audit(1.000:1): pid=1 msg='x {line}'"),
}


@pytest.mark.parametrize("data", FORGED.values(), ids=FORGED)
def test_forged_record_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, fault: Recorder
) -> None:
    path = written(tmp_path / "x", data + TEXT.encode().splitlines(keepends=True)[0])
    counts, messages = replayed(capsys, path)
    assert (counts["alerts"], counts["matches"]) == (0, 0)
    assert counts["events"] in {1, EVENTS * len(LINES) // EVENTS + 1}
    if counts["malformed"]:
        assert f"{counts['malformed']} of {counts['lines']} lines are no audit record" in messages[-2]
    fault(
        "a record is forged in text that others may write",
        how="in a message to syslog, in the journal, behind a line end in JSON, in a USER record",
        did="did not read it as a record",
        lost="nothing",
        reported="how many lines are no record, and what the first looks like",
        host=NO_HOST,
    )


NAMED = {
    "ausearch -i output": "type=SYSCALL msg=audit(11/24/2026 16:00:00.000:5) : arch=x86_64 syscall=openat\n",
    "output of ausearch -i, in which": "type=CWD msg=audit(24.11.2026 16:00:00.000:5) : cwd=/\n",
    "output of aureport": "\nFile Report\n===============\n# date time file syscall success exe auid event\n",
    "journal output without stamp": "Nov 24 16:00:00 hostA audit[42]: SYSCALL arch=c000003e syscall=257\n",
    "use journalctl _TRANSPORT=audit -o export": "2026-11-24T16:00:00+0000 a audit: PROCTITLE proctitle=41\n",
    "JSON of laurel": '{"ID":"1.000:5","SYSCALL":{"arch":"0xc000003e"}}\n',
    "auditsense wrote itself": '{"@timestamp":"x","auditsense":{"state":"alert"}}\n',
    "event.original": '{"@timestamp":"x","auditd":{"data":{"syscall":"openat"}}}\n',
    "jq -c": '{\n  "message": "x"\n}\n',
    "JSON without an audit record": '{"a": 1}\n',
    "--format csv": "NODE,EVENT,DATE,TIME\n",
    "any user can write such a message": f"Nov 24 16:00:00 hostA bob: {LINES[0]}\n",
}


@pytest.mark.parametrize(("what", "text"), NAMED.items(), ids=NAMED)
def test_unreadable_text_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, text: str
) -> None:
    counts, messages = replayed(capsys, written(tmp_path / "x", text.encode()), code=2)
    assert counts == {}
    assert len(messages) == 1
    assert what.removesuffix(" output") in messages[0]


BINARY = {
    "an SQLite database": b"SQLite format 3\0" + bytes(99),
    "a packet capture": b"\xd4\xc3\xb2\xa1" + bytes(99),
    "a program": b"\x7fELF" + bytes(99),
    "a journal of systemd": b"LPKSHHRH" + bytes(99),
    "UTF-16 text": TEXT.encode("utf-16"),
    "iconv -f UTF-16LE": TEXT.encode("utf-16-le"),
    "iconv -f UTF-16BE": TEXT.encode("utf-16-be"),
    "a tar archive": bytes(257) + b"ustar" + bytes(250),
    "lz4-compressed": b"\x04\x22\x4d\x18" + bytes(99),
}


@pytest.mark.parametrize(("what", "data"), BINARY.items(), ids=BINARY)
def test_unreadable_binary_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, data: bytes
) -> None:
    _, messages = replayed(capsys, written(tmp_path / "x", data), code=2)
    assert len(messages) == 1
    assert what in messages[0]


def test_other_lines_are_counted_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = "Nov 24 16:00:00 hostA systemd[1]: Started \x1b[31m.\n"
    mixed = "".join(chain.from_iterable((f"{line}\n", other) for line in LINES))
    counts, messages = replayed(capsys, written(tmp_path / "x", mixed.encode()))
    assert (counts["alerts"], counts["malformed"]) == (1, len(LINES))
    assert len(messages) == 1
    assert f"{len(LINES)} of {2 * len(LINES)} lines are no audit record; the first: Nov 24" in messages[0]
    assert "\x1b" not in messages[0]


def test_kernel_rate_limit_is_named() -> None:
    line = b"[ 4000.0] audit: kauditd_printk_skb: 12 callbacks suppressed"
    assert "left records out" in describe_line(line)


# --- inputs that fail ----------------------------------------------------------------------------


def test_empty_log_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = written(tmp_path / "audit.log.1", b"")
    counts, messages = replayed(capsys, empty, written(tmp_path / "audit.log", TEXT.encode()))
    assert (counts["alerts"], messages) == (1, [])
    counts, messages = replayed(capsys, empty, written(tmp_path / "none", b""), code=2)
    assert [line.rpartition("/")[2] for line in messages] == [
        "audit.log.1 is empty: no audit record in it",
        "none is empty: no audit record in it",
    ]


def unreadable(folder: Path) -> dict[str, tuple[Path, str]]:
    loop = folder / "loop"
    loop.symlink_to(loop)
    return {
        "missing": (folder / "none", "No such file or directory"),
        "loop": (loop, "Too many levels of symbolic links"),
        "folder without logs": (folder, "there is no audit.log in this folder"),
        "device": (Path("/dev/zero"), "is a device, not a log"),
        "damaged": (written(folder / "damaged", lzma.compress(TEXT.encode())[:99]), "ends in the middle"),
        "other": (written(folder / "other", b"hello\n"), "it begins: hello"),
    }


@pytest.mark.parametrize("what", ["missing", "loop", "device", "damaged", "other"])
def test_unreadable_input_does_not_stop_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, fault: Recorder
) -> None:
    path, reason = unreadable(tmp_path)[what]
    log = written(tmp_path / "a", TEXT.encode())
    for order in ((path, log), (log, path)):
        counts, messages = replayed(capsys, *order, code=1)
        assert counts["alerts"] == 1
        assert len([line for line in messages if "error" in line]) == 1
        assert reason in messages[-1]
    fault(
        "one of several logs cannot be read",
        how="missing, a link in a loop, a device, damaged, no log",
        did="read the others",
        lost="what the one would have held",
        reported="a line with its name and the reason; exit code 1",
        host=NO_HOST,
    )


@pytest.mark.parametrize("what", ["missing", "loop", "folder without logs", "device", "other"])
def test_unreadable_input_alone_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    path, reason = unreadable(tmp_path)[what]
    _, messages = replayed(capsys, path, code=2)
    assert len(messages) == 1
    assert reason in messages[0]


def test_symlink_loops_are_one_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "audit.log.1").symlink_to("audit.log.2")
    (tmp_path / "audit.log.2").symlink_to("audit.log.1")
    _, messages = replayed(capsys, tmp_path, code=2)
    assert [line.rpartition(": ")[2] for line in messages] == ["Too many levels of symbolic links"] * 2
    written(tmp_path / "audit.log", TEXT.encode())
    counts, messages = replayed(capsys, tmp_path, code=1)
    assert (counts["alerts"], len(messages)) == (1, 2)


@pytest.mark.skipif(os.geteuid() != 0, reason="to give a file to another user takes root")
def test_folder_with_a_log_of_another_user(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    written(tmp_path / "audit.log", TEXT.encode()).chmod(0o644)
    written(tmp_path / "audit.log.1", TEXT.encode()).chmod(0o600)
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.setresuid(65534, 65534, 65534)
            code = main(
                [
                    "replay",
                    "--only",
                    "pspy",
                    "-o",
                    "count",
                    str(tmp_path / "audit.log.1"),
                    str(tmp_path / "audit.log"),
                ]
            )
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in {
        1,
        2,
    }  # 2: the folders above are closed as well


def test_rotated_log_in_every_compression_is_one_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packings: Sequence[tuple[str, Callable[[bytes], bytes]]] = (
        ("audit.log.3.gz", gzip.compress),
        ("audit.log.2.xz", lzma.compress),
        ("audit.log.1.bz2", bz2.compress),
        ("audit.log", bytes),
    )
    for at, (name, pack) in enumerate(packings):
        written(
            tmp_path / name, pack("".join(f"{line}\n" for line in LINES[at * 12 : at * 12 + 12]).encode())
        )
    counts, messages = replayed(capsys, tmp_path)
    assert (counts["alerts"], counts["matches"], messages) == (1, EVENTS, [])


@pytest.mark.parametrize("module", ["lzma", "bz2"])
def test_missing_library_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    data = lzma.compress(b"x") if module == "lzma" else bz2.compress(b"x")
    monkeypatch.setitem(sys.modules, module, None)
    _, messages = replayed(capsys, written(tmp_path / "x", data), code=2)
    assert f"this Python has no {module}" in messages[0]


def zstd_bomb(blocks: int = 4096) -> bytes:
    """Return a frame that becomes 128 KiB a block of 4 bytes."""
    block = [struct.pack("<I", last | 1 << 1 | 131072 << 3)[:3] + b"a" for last in (0, 1)]
    return b"\x28\xb5\x2f\xfd" + bytes([0, 7 << 3]) + block[0] * (blocks - 1) + block[1]


BOMBS: dict[str, Callable[[], bytes]] = {
    "zst": zstd_bomb,
    "gz": lambda: gzip.compress(bytes(200 << 20)),
    "xz": lambda: lzma.compress(bytes(200 << 20), preset=1),
    "bz2": lambda: bz2.compress(bytes(200 << 20)),
}


@pytest.mark.parametrize("form", BOMBS)
def test_compression_bomb_needs_little_memory(tmp_path: Path, form: str, fault: Recorder) -> None:
    """200 to 500 MiB of one byte take less than 60 MiB more than a plain log."""
    code = (
        "import sys; from auditsense.cli import main; main(['replay', '-o', 'count', sys.argv[1]]); "
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    peaks = []
    for path in (written(tmp_path / "log", TEXT.encode()), written(tmp_path / "bomb", BOMBS[form]())):
        ran = subprocess.run(
            [sys.executable, "-I", "-c", code, path], capture_output=True, text=True, check=True, timeout=300
        )
        peaks.append(int(ran.stdout.split()[-1]) >> 10)
    assert peaks[1] - peaks[0] < 60
    fault(
        "a compressed log becomes 10,000 times as large",
        how="200 to 500 MiB of one byte in zst, gz, xz and bz2",
        did="read it in pieces, with some MiB of memory",
        lost="nothing",
        reported="that there is no audit record in it",
        host=NO_HOST,
    )


def test_json_records_keep_their_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "x", objects(lambda line: {"host": {"name": "far.example"}, "message": line}))
    assert main(["replay", str(path)]) == 0
    alert = json.loads(capsys.readouterr().out.splitlines()[0])
    assert alert["host"]["id"] == "far.example"
    path = written(tmp_path / "y", objects(lambda line: {"host": this_host().name, "message": line}))
    assert main(["replay", str(path)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["host"]["id"] == this_host().id


def test_evicted_windows_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = b"".join(burst(1, pid=pid, serial=pid)[0].text for pid in range(1, 16384 + 11))
    counts, messages = replayed(capsys, written(tmp_path / "x", many))
    assert counts["keys_evicted"] > 0
    assert any(f"keys_evicted: {counts['keys_evicted']} windows" in line for line in messages)


def test_long_user_space_record_is_not_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = f"type=USER_CMD msg=audit(1.000:1): pid=1 msg='cmd={'41' * 40000}'\n"
    path = written(tmp_path / "x", (TEXT + long).encode())
    assert main(["replay", str(path)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["auditsense"]["lost"] == 0
