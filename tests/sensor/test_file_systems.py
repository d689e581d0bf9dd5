"""Types of file systems by device, from the mounts of processes, and the windows that they decide about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditsense import Detector
from auditsense.detections import define
from auditsense.detections.loader import shipped_detections
from auditsense.detections.own_query import file_systems_of
from auditsense.errors import DetectionError
from auditsense.sensor import file_systems
from auditsense.sensor.file_systems import MOST_LOOKUPS, HostFileSystems, devices_of
from auditsense.testing import open_event

if TYPE_CHECKING:
    from pathlib import Path

MOUNTS = """\
21 1 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw
22 1 0:21 / /proc rw - proc proc rw
23 1 0:22 / /tmp rw shared:2 master:1 - tmpfs tmpfs rw
24 1 259:300 / / rw - ext4 /dev/nvme0n1p1 rw
"""
ROOT = {"auditd.data.syscall": "openat", "file.inode": "1", "file.filesystem": "proc"}
HERE = 4352  # the process of open_event


class Proc:
    """A procfs made of files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read: list[int] = []

    def mount(self, pid: int, text: str) -> None:
        folder = self.path / str(pid)
        folder.mkdir(exist_ok=True)
        (folder / "mountinfo").write_text(text, encoding="ascii")
        (folder / "stat").write_text(f"{pid} (a) S {' '.join(['0'] * 30)}", encoding="ascii")

    def pidfd(self, pid: int) -> int:
        self.read.append(pid)
        raise OSError(38, "no pidfds")


@pytest.fixture(name="proc")
def proc_fixture(tmp_path: Path) -> Proc:
    proc = Proc(tmp_path)
    proc.mount(1, MOUNTS)
    return proc


def found(proc: Proc) -> HostFileSystems:
    known = HostFileSystems(proc.path, proc.pidfd)
    known.read_known()
    return known


def test_lookups_in_a_second_are_limited_and_the_rest_is_unknown(proc: Proc) -> None:
    now_s = [5.0]
    known = HostFileSystems(proc.path, proc.pidfd, lambda: now_s[0])
    proc.mount(7, MOUNTS)
    assert [known.type_of("00:16", 7) for _ in range(MOST_LOOKUPS + 2)] == ["tmpfs"] * MOST_LOOKUPS + ["", ""]
    now_s[0] += 1
    assert known.type_of("00:16", 7) == "tmpfs"


def test_devices_are_those_of_path_records() -> None:
    assert devices_of(MOUNTS) == {"00:14": "sysfs", "00:15": "proc", "00:16": "tmpfs", "103:12c": "ext4"}


@pytest.mark.parametrize("text", ["", "\n", "22 1", "22 1 x:y / / - proc", " - "])
def test_lines_of_another_form_are_no_devices(text: str) -> None:
    assert devices_of(text) == {}


def test_what_a_host_may_unmount_is_not_known(proc: Proc) -> None:
    """A procfs may get the number of a tmpfs that is gone."""
    assert found(proc).known == {"00:14": "sysfs", "00:15": "proc"}


def test_unknown_device_is_looked_up_in_the_mounts_of_its_process(proc: Proc) -> None:
    proc.mount(7, "1 0 0:48 / /proc rw - proc proc rw\n2 0 0:49 / /sys rw - sysfs sysfs rw\n")
    known = found(proc)
    assert [known.type_of(device, 7) for device in ("00:14", "00:30", "00:31", "00:32")] == [
        "sysfs",
        "proc",
        "sysfs",
        "",
    ]
    assert known.type_of("00:33", 8) == ""  # no such process


def test_procfs_is_remembered_and_nothing_else(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_systems, "MOST_DEVICES", 2)
    proc.mount(7, "".join(f"1 0 0:{48 + n} / /p{n} rw - proc proc rw\n" for n in range(3)))
    proc.mount(8, "1 0 0:60 / / rw - tmpfs tmpfs rw\n")
    known = found(proc)
    assert [known.type_of(device, 7) for device in ("00:30", "00:31", "00:30")] == ["proc"] * 3
    assert proc.read == [1, 7, 7]
    assert known.type_of("00:32", 7) == "proc"  # the least recently used one is forgotten
    assert known.type_of("00:31", 9) == ""
    assert known.type_of("00:3c", 8) == "tmpfs"
    proc.mount(8, "1 0 0:60 / / rw - proc proc rw\n")
    assert known.type_of("00:3c", 8) == "proc"


def alerts(known: HostFileSystems | None, device: str) -> int:
    detection = define("root", "R", match=ROOT, matches=2, within="1s")
    events = [open_event(ms=1_795_493_114_674 + n, serial=n + 1) for n in range(4)]
    text = b"".join(event.text for event in events).replace(b"dev=00:15", b"dev=" + device.encode())
    with Detector([detection], file_systems=known) as active:
        return len(active.feed_text(text))


@pytest.mark.parametrize(("device", "wanted"), [("00:15", 1), ("00:14", 0), ("00:30", 1), ("00:31", 0)])
def test_only_listings_of_a_procfs_are_found(proc: Proc, device: str, wanted: int) -> None:
    proc.mount(HERE, "1 0 0:48 / /proc rw - proc proc rw\n2 0 0:49 / /sys rw - sysfs sysfs rw\n")
    assert alerts(found(proc), device) == wanted


def test_listing_next_to_a_folder_that_looks_like_a_procfs_is_found(proc: Proc) -> None:
    """A user may own such a folder: the root of a tmpfs, with mode 0555."""
    proc.mount(HERE, "1 0 0:49 / /run/user/1000 rw - tmpfs tmpfs rw\n")
    by = ("process.pid", "file.device")
    detection = define("root", "R", match=ROOT, matches=2, within="1s", by=by)
    events = [open_event(ms=1_795_493_114_674 + n, serial=n + 1).text for n in range(8)]
    text = b"".join(
        event if n % 2 else event.replace(b"dev=00:15", b"dev=00:31") for n, event in enumerate(events)
    )
    with Detector([detection], file_systems=found(proc)) as active:
        assert len(active.feed_text(text)) == 1


def test_windows_of_shipped_detections_are_of_one_file_system() -> None:
    compared = [one for one in shipped_detections() if file_systems_of(one.match)]
    assert len(compared) == 3
    assert all("file.device" in detection.window.by for detection in compared)


def test_unknown_file_system_counts_as_the_right_one(proc: Proc) -> None:
    assert alerts(found(proc), "00:77") == 1
    assert alerts(None, "00:14") == 1  # a replay knows no devices


def test_known_device_asks_no_process(proc: Proc) -> None:
    known = found(proc)
    assert alerts(known, "00:14") == 0
    assert proc.read == [1]


@pytest.mark.parametrize(
    "match",
    [
        {"file.filesystem": {"is_not": ["proc"]}},
        {"file.filesystem": {"like": ["pr*"]}},
        {"any": [{"file.filesystem": "proc"}, {"file.inode": "1"}]},
    ],
)
def test_other_comparisons_are_refused(match: dict[str, object]) -> None:
    with pytest.raises(DetectionError, match=r"file\.filesystem can only be compared in match itself"):
        define("root", "R", match=match)  # type: ignore[arg-type]
