"""Detections that come with the package and are used only where they are named: shipped:ID."""

from __future__ import annotations

import pytest

from auditsense import DetectionError, Detector, Host, load_detections, shipped_detections
from auditsense.cli import main
from auditsense.detections.catalog import Catalog
from auditsense.detections.loader import OPTIONAL, optional_detections
from auditsense.kernel.rules import auditctl
from auditsense.testing import open_event

HOST = Host("0" * 32, "here")
BY_NUMBER = "shipped:proc-read-by-number"
START_MS = 1_795_493_114_000


def test_each_is_loaded_by_name_and_is_off_by_default() -> None:
    names = optional_detections()
    assert BY_NUMBER in names
    shipped = {detection.id for detection in shipped_detections()}
    for name in names:
        (detection,) = load_detections(name)
        assert name == OPTIONAL + detection.id
        assert detection.id not in shipped
        for rule in detection.audit_rules:
            assert auditctl.format_rule(auditctl.parse(rule))


@pytest.mark.parametrize("name", ["shipped:", "shipped:proc-read-by-numbers", "shipped:../pspy"])
def test_unknown_name_is_an_error(name: str) -> None:
    with pytest.raises(DetectionError, match="no such detection comes with auditsense"):
        load_detections(name)


def test_named_twice_is_loaded_once() -> None:
    catalog = Catalog()
    catalog.add_path(BY_NUMBER)
    catalog.add_path(BY_NUMBER)
    assert [detection.id for detection in catalog.detections] == ["proc-read-by-number"]


def test_list_names_what_is_available(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditsense._file_trust.require_trusted_path", lambda _: None)
    assert main(["detections", "list"]) == 0
    out, err = capsys.readouterr()
    assert "proc-read-by-number" not in out
    assert f"not loaded, and available with --detections {BY_NUMBER}" in err
    assert main(["detections", "list", "--detections", BY_NUMBER]) == 0
    out, err = capsys.readouterr()
    assert "proc-read-by-number" in out
    assert err == ""


# --- proc-read-by-number ---------------------------------------------------------------------


def alerts(*reads: tuple[int, str], uid: int = 1000, exe: str = "/home/eve/scan") -> int:
    """Return how many alerts opens by one process raise, each (ms, path)."""
    text = b"".join(
        open_event(path=path, ms=START_MS + ms, serial=number, pid=77, uid=uid, exe=exe).text
        for number, (ms, path) in enumerate(reads, 1)
    )
    with Detector(load_detections(BY_NUMBER), host=HOST) as detector:
        return sum(document["event"]["kind"] == "alert" for document in detector.feed_text(text))


def rounds(times: int, every_ms: int, *paths: str) -> list[tuple[int, str]]:
    return [(n * every_ms + at, path) for n in range(times) for at, path in enumerate(paths)]


def test_scan_that_tries_all_numbers_alerts_once() -> None:
    paths = [f"/proc/{pid}/cmdline" for pid in (1, 2, 77, 4_194_304)]
    assert alerts(*rounds(12, 5000, *paths)) == 1
    assert alerts(*rounds(12, 6000, *paths)) == 0


def test_one_listing_of_many_processes_does_not() -> None:
    assert alerts(*rounds(1, 0, *(f"/proc/{pid}/cmdline" for pid in range(1, 2000)))) == 0


@pytest.mark.parametrize("exe", ["/usr/bin/top", "/bin/ps", "/opt/agent/bin/agent"])
def test_monitor_of_a_package_is_not_counted(exe: str) -> None:
    assert alerts(*rounds(60, 1000, "/proc/1/stat", "/proc/1/status"), exe=exe) == 0


@pytest.mark.parametrize(
    "path", ["/proc/self/stat", "/proc/77/stat", "/proc/sys/kernel/pid_max", "/proc/meminfo", "/proc/cmdline"]
)
def test_reads_of_own_and_kernel_files_are_not_counted(path: str) -> None:
    assert alerts(*rounds(50, 10, path)) == 0


def test_root_is_not_counted() -> None:
    assert alerts(*rounds(50, 10, "/proc/1/cmdline"), uid=0) == 0
