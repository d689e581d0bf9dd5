"""Records of architectures that are not this one, and of those that nothing is known about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from auditsense import Detector, EventReader, Host, syscalls
from auditsense.cli import main
from auditsense.testing import call_event, open_event

if TYPE_CHECKING:
    from pathlib import Path

    from auditsense.detect.record_reader import RecordReader
    from tests.support.faults import Recorder

UNKNOWN = (0xDEADBEEF, 0, 0xC0000EEE)
HOST = Host("0123456789abcdef0123456789abcdef", "here")


def log_of(path: Path, arches: list[tuple[int, int]], a2: str = "80000") -> str:
    """Write a scan by each architecture, ten opens a process; a2 are its flags."""
    with path.open("w", encoding="utf-8") as file:
        for place, (arch, number) in enumerate(arches):
            for n in range(10):
                event = open_event(
                    ms=1_795_493_114_000 + 100 * n,
                    serial=100 * place + n + 1,
                    pid=1000 + place,
                    arch=arch,
                    syscall=number,
                    a0="ffffff9c",
                    a2=a2,
                )
                file.write(event.text.decode())
    return str(path)


def test_scan_is_detected_on_every_architecture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(tmp_path / "audit.log", syscalls.calls("openat"))
    assert main(["replay", "--format", "jsonl", "-o", "sequences", log]) == 0
    output = capsys.readouterr()
    found = [json.loads(line) for line in output.out.splitlines()]
    assert len(found) == len(syscalls.calls("openat")) == len(syscalls.ARCHES) + 1
    assert {one["auditd"]["data"]["syscall"] for one in found} == {"openat"}
    assert {one["auditd"]["data"]["arch"] for one in found} == set(syscalls.ARCHES)
    assert output.err == ""


@pytest.mark.parametrize(
    ("arch", "a2"), [("arm", "a0000"), ("mips", "82000"), ("mipsel", "82000"), ("ppc", "90000")]
)
def test_go_opens_of_32_bit_machines_are_detected(
    arch: str, a2: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Go adds O_LARGEFILE there, which is another number on each."""
    number = syscalls.number("openat", arch)
    assert number is not None
    log = log_of(tmp_path / "audit.log", [(syscalls.ARCHES[arch], number)], a2)
    assert main(["replay", "--fail-on-alert", log]) == 10
    assert capsys.readouterr().err == ""
    log = log_of(tmp_path / "x86.log", [(syscalls.ARCHES["x86_64"], 257)], a2)
    assert main(["replay", "--fail-on-alert", log]) == 0


def test_unknown_architectures_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: Recorder
) -> None:
    log = log_of(tmp_path / "audit.log", [(arch, 257) for arch in UNKNOWN] + [(0xC000003E, 257)])
    assert main(["replay", "--only", "pspy", "-o", "count", log]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["unknown_arch"] == 30
    assert json.loads(output.out)["matches"] == 10
    for arch in UNKNOWN:
        assert f"10 events of architecture {arch:#x} have no call table" in output.err

    assert main(["replay", "--format", "jsonl", "-o", "events", log]) == 0
    output = capsys.readouterr()
    first = json.loads(output.out.splitlines()[0])
    assert (first["auditd"]["data"]["arch"], first["auditd"]["data"]["syscall"]) == ("deadbeef", "257")
    assert output.err.count("have no call table") == len(UNKNOWN)
    fault(
        "a log of an architecture without a call table",
        how="30 events whose `arch` is in no table are replayed with 10 of x86_64",
        did="matches the 10; the documents of the 30 have the numbers of their calls",
        lost="nothing",
        reported="architecture and number of events, at the end of `replay`; `unknown_arch` in `-o count`",
        host="not touched: no kernel is involved",
    )


def test_unknown_architectures_beyond_eight_are_summed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(tmp_path / "audit.log", [(0xABC00 + n, 5) for n in range(12)])
    assert main(["replay", log]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 9
    assert "40 events of other architectures have no call table" in lines[-1]


def test_unknown_architectures_survive_host_change_and_reload() -> None:
    def feed(detector: RecordReader[Any], arch: int, serial: int) -> None:
        detector.feed(open_event(arch=arch, serial=serial).datagrams, 0)

    with EventReader() as reader:
        feed(reader, 0xDEADBEEF, 1)
        reader.set_host(HOST)
        feed(reader, 0xDEADBEEF, 2)
        feed(reader, 0xABC, 3)
        assert reader.stats().unknown_arches == ((0xDEADBEEF, 2), (0xABC, 1))
        assert reader.stats().unknown_arch == 3
    with Detector() as detector:
        feed(detector, 0xDEADBEEF, 1)
        detector.reload(detector.detections)
        feed(detector, 0xDEADBEEF, 2)
        assert detector.stats().unknown_arches == ((0xDEADBEEF, 2),)


@pytest.mark.parametrize("number", [9999, 0x4000_0000 + 9999])
def test_unnamed_call_keeps_its_number(number: int) -> None:
    with EventReader() as reader:
        (event,) = reader.feed(open_event(syscall=number).datagrams, 0) + reader.finish()
    document = event.document()
    assert document["auditd"]["data"]["syscall"] == str(number)
    assert document["event"]["category"] == ["process"]


def test_call_event_supports_every_architecture() -> None:
    for arch in syscalls.ARCHES:
        call_event("openat", arch=arch)
