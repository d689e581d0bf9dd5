"""Container, pid namespace and procfs of an alert, from files below /proc."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from auditsense.sensor import containers as module
from auditsense.sensor.containers import MOST_WITNESSES, Containers
from auditsense.sensor.process_files import ProcessFiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ID = "0123456789abcdef" * 4
INNER = "fedcba9876543210" * 4
DOCKER = f"0::/system.slice/docker-{ID}.scope\n"
UNKNOWN = {"pid_namespace": "unknown", "procfs": "unknown"}
HOST_PROC = "30 1 0:21 / /proc rw - proc proc rw\n31 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
OWN_PROC = "40 1 0:99 / /proc rw - proc proc rw\n41 1 0:98 / / rw - overlay overlay rw\n"
NOW_MS = time.time_ns() // 1_000_000
PROCESS, PARENT = 7, 6


@dataclass
class Proc:
    """A procfs made of files, and pidfds of its processes."""

    path: Path
    ended: set[int] = field(default_factory=set)
    opened: list[int] = field(default_factory=list)

    def add(
        self,
        pid: int,
        name: str = "pspy64",
        *,
        cgroup: str = "0::/\n",
        pids: str = "",
        mounts: str = HOST_PROC,
        ticks: int = 1,
    ) -> None:
        folder = self.path / str(pid)
        (folder / "ns").mkdir(parents=True)
        for memory in ("cmdline", "environ"):  # a process that opens one waits for ever
            os.mkfifo(folder / memory)
        for file, text in {
            "comm": f"{name}\n",
            "cgroup": cgroup,
            "mountinfo": mounts,
            "status": f"Name:\t{name}\nNSpid:\t{pid}{pids}\n",
            "stat": f"{pid} ({name}) S {' '.join(['0'] * 18)} {ticks} 0\n",
        }.items():
            (folder / file).write_text(text, encoding="utf-8")

    def pidfd(self, pid: int) -> int:
        """Return a descriptor that can be read once the process has ended."""
        self.opened.append(pid)
        if not (self.path / str(pid)).exists():
            raise ProcessLookupError
        read, write = os.pipe()
        if pid in self.ended:
            os.close(write)
            return read
        self._writers.append(write)
        return read

    def close(self) -> None:
        for write in self._writers:
            os.close(write)

    def __post_init__(self) -> None:
        self._writers: list[int] = []


@pytest.fixture(name="proc")
def proc_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proc]:
    proc = Proc(tmp_path)
    monkeypatch.setattr(module, "in_other_namespace", lambda *_: False)
    monkeypatch.setattr(module, "host_device", lambda _: os.makedev(0, 21))
    monkeypatch.setattr(Containers, "_sees_whole_paths", lambda _: True)
    yield proc
    proc.close()


def alert(device: str | None = "00:63", **more: object) -> dict[str, Any]:
    file = {} if device is None else {"file": {"path": "/proc", "device": device}}
    return {
        "process": {"pid": PROCESS, "name": "pspy64", "parent": {"pid": PARENT}},
        "container": {"id": "unknown"},
        "auditsense": {"container": UNKNOWN, "events": [f"{NOW_MS // 1000}.{NOW_MS % 1000:03}:1"]},
        **file,
        **more,
    }


def told(
    proc: Proc, document: dict[str, Any], teller: Containers | None = None
) -> tuple[Any, dict[str, Any]]:
    """Return `container` and `auditsense.container` after enrichment."""
    (teller or Containers(proc.path, proc.pidfd)).add_to(document)
    return document.get("container"), document["auditsense"]["container"]


# --- the process ---------------------------------------------------------------------


def test_process_in_container(proc: Proc) -> None:
    proc.add(PROCESS, cgroup=DOCKER, pids="\t1", mounts=OWN_PROC)
    assert told(proc, alert()) == (
        {"id": ID, "runtime": "docker"},
        {"from": "process", "pid_namespace": "other", "procfs": "own"},
    )


def test_process_of_host_has_no_container(proc: Proc) -> None:
    proc.add(PROCESS)
    assert told(proc, alert("00:15")) == (
        None,
        {"from": "process", "pid_namespace": "host", "procfs": "host"},
    )


def test_other_pid_namespace_without_name_is_unknown_container(proc: Proc) -> None:
    """`unshare --pid`, bubblewrap and runc by hand have no id that a control group tells."""
    proc.add(PROCESS, pids="\t1", mounts=OWN_PROC)
    assert told(proc, alert()) == (
        {"id": "unknown"},
        {"from": "process", "pid_namespace": "other", "procfs": "own"},
    )


def test_paths_below_a_cgroup_namespace_do_not_tell_the_host(
    proc: Proc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Containers, "_sees_whole_paths", lambda _: False)
    proc.add(PROCESS)
    assert told(proc, alert("00:15"))[0] == {"id": "unknown"}


def test_namespace_inode_is_added_where_it_may_be_read(proc: Proc) -> None:
    proc.add(PROCESS)
    (proc.path / str(PROCESS) / "ns/pid").symlink_to("pid:[4026531836]")
    assert told(proc, alert("00:15"))[1]["pid_namespace_inode"] == "4026531836"


def test_missing_namespace_line_is_unknown(proc: Proc) -> None:
    proc.add(PROCESS)
    (proc.path / str(PROCESS) / "status").write_text("Name:\tNSpid:\t7\n", encoding="utf-8")
    container, place = told(proc, alert("00:15"))
    assert (container, place["pid_namespace"]) == ({"id": "unknown"}, "unknown")


# --- whose procfs --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "mounts", "procfs"),
    [
        ("00:15", OWN_PROC, "host"),  # the host's, bound into a container
        ("00:63", OWN_PROC, "own"),
        ("00:63", HOST_PROC, "unknown"),  # reached through /proc/PID/root: of which procfs is not known
        ("08:01", HOST_PROC, "host"),  # a file on a disk: the procfs at /proc of the process
        ("00:62", OWN_PROC, "own"),
        (None, OWN_PROC, "own"),
        (None, HOST_PROC, "host"),
        (None, HOST_PROC + "32 30 0:99 / /proc rw - proc proc rw\n", "own"),
        (None, "31 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "none"),
        (None, "30 1 0:21 /7 /proc rw - proc proc rw\n", "none"),  # a folder of a procfs
        (None, "", "unknown"),
        ("no device", HOST_PROC, "host"),
    ],
)
def test_procfs(proc: Proc, device: str | None, mounts: str, procfs: str) -> None:
    proc.add(PROCESS, mounts=mounts)
    assert told(proc, alert(device))[1]["procfs"] == procfs


def test_procfs_is_unknown_without_the_hosts_device(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "host_device", lambda _: None)
    proc.add(PROCESS, mounts=OWN_PROC)
    assert told(proc, alert())[1]["procfs"] == "unknown"


def test_longer_mounts_than_the_limit_are_unknown(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOUNT_BYTES", len(HOST_PROC))
    proc.add(PROCESS)
    assert told(proc, alert(None))[1]["procfs"] == "unknown"


# --- unknown, and never the host's ---------------------------------------------------


def test_ended_process_is_unknown_although_its_parent_is_of_the_host(proc: Proc) -> None:
    """The parent of a container's first process is a runtime on the host."""
    proc.add(PARENT, "containerd-shim")
    document = alert()
    assert told(proc, document) == ({"id": "unknown"}, UNKNOWN)
    assert document["process"]["parent"]["name"] == "containerd-shim"


def test_host_procfs_is_known_from_the_record_alone(proc: Proc) -> None:
    assert told(proc, alert("00:15")) == (
        {"id": "unknown"},
        {"pid_namespace": "unknown", "procfs": "host"},
    )


def test_reused_pid_with_another_name_is_unknown(proc: Proc) -> None:
    proc.add(PROCESS, "other", cgroup=DOCKER)
    assert told(proc, alert()) == ({"id": "unknown"}, UNKNOWN)


@pytest.mark.parametrize("pid", [PROCESS, PARENT])
def test_process_that_began_after_the_event_is_unknown(proc: Proc, pid: int) -> None:
    ticks = int((time.clock_gettime(time.CLOCK_BOOTTIME) + 60) * os.sysconf("SC_CLK_TCK"))
    proc.add(pid, cgroup=DOCKER, pids="\t1", mounts=OWN_PROC, ticks=ticks)
    document = alert()
    assert told(proc, document) == ({"id": "unknown"}, UNKNOWN)
    assert "name" not in document["process"]["parent"]


def test_process_that_ended_while_it_was_read_is_unknown(proc: Proc) -> None:
    proc.add(PROCESS, cgroup=DOCKER, pids="\t1", mounts=OWN_PROC)
    proc.ended.add(PROCESS)
    assert told(proc, alert()) == ({"id": "unknown"}, UNKNOWN)


@pytest.mark.parametrize("file", ["cgroup", "status", "stat", "comm"])
def test_process_with_a_file_that_cannot_be_read_is_unknown(proc: Proc, file: str) -> None:
    proc.add(PROCESS)
    (proc.path / str(PROCESS) / file).unlink()
    assert told(proc, alert(None)) == ({"id": "unknown"}, UNKNOWN)


@pytest.mark.parametrize("other", [True, None])
def test_sensor_that_sees_other_pids_reads_nothing(
    proc: Proc, other: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "in_other_namespace", lambda *_: other)
    proc.add(PROCESS, cgroup=DOCKER)
    assert told(proc, alert()) == ({"id": "unknown"}, UNKNOWN)
    assert proc.opened == []


# --- the parent ----------------------------------------------------------------------


def test_ended_process_is_in_the_container_of_its_parent(proc: Proc) -> None:
    proc.add(PARENT, "sh", cgroup=DOCKER, pids="\t1", mounts=OWN_PROC)
    assert told(proc, alert()) == (
        {"id": ID, "runtime": "docker"},
        {"from": "parent", "pid_namespace": "other", "procfs": "own"},
    )


def test_parent_without_the_file_system_of_the_event_names_no_container(proc: Proc) -> None:
    """A runtime in a container starts another container, whose mounts it does not have."""
    proc.add(PARENT, "containerd-shim", cgroup=DOCKER, pids="\t1", mounts=OWN_PROC)
    assert told(proc, alert("00:77")) == (
        {"id": "unknown"},
        {"from": "parent", "pid_namespace": "other", "procfs": "unknown"},
    )


def test_process_comes_before_its_parent(proc: Proc) -> None:
    proc.add(PROCESS, cgroup=f"0::/docker/{INNER}\n", mounts=OWN_PROC)
    proc.add(PARENT, "sh", cgroup=DOCKER, pids="\t1", mounts=OWN_PROC)
    assert told(proc, alert())[0] == {"id": INNER, "runtime": "docker"}
    assert proc.opened == [PROCESS, PARENT]


# --- another process with the same procfs --------------------------------------------


@pytest.fixture(name="teller")
def teller_fixture(proc: Proc) -> Containers:
    """Give a `Containers` that has seen process 7 of a container."""
    proc.add(PROCESS, cgroup=DOCKER, pids="\t1", mounts=OWN_PROC)
    teller = Containers(proc.path, proc.pidfd)
    told(proc, alert(), teller)
    return teller


def ended_alert(device: str = "00:63") -> dict[str, Any]:
    return alert(device, process={"pid": 99, "name": "pspy64", "parent": {"pid": 98}})


def test_living_process_with_the_same_procfs_names_the_container(proc: Proc, teller: Containers) -> None:
    assert told(proc, ended_alert(), teller) == (
        {"id": ID, "runtime": "docker"},
        {"from": "procfs", "pid_namespace": "unknown", "procfs": "own"},
    )


@pytest.mark.parametrize("change", ["ended", "reused", "unmounted"])
def test_procfs_is_forgotten_with_its_process(proc: Proc, teller: Containers, change: str) -> None:
    folder = proc.path / str(PROCESS)
    if change == "ended":
        proc.ended.add(PROCESS)
    elif change == "reused":
        text = (folder / "stat").read_text(encoding="utf-8")
        (folder / "stat").write_text(text.replace(" 1 0\n", " 2 0\n"), encoding="utf-8")
    else:
        (folder / "mountinfo").write_text(HOST_PROC, encoding="utf-8")
    assert told(proc, ended_alert(), teller) == ({"id": "unknown"}, UNKNOWN)


@pytest.mark.parametrize("device", ["00:15", "00:62", "00:77"])
def test_only_a_procfs_that_is_not_the_hosts_is_remembered(proc: Proc, device: str) -> None:
    """The host's procfs may be bound into any container; another file system identifies no container."""
    proc.add(PROCESS, cgroup=DOCKER, mounts=OWN_PROC + HOST_PROC)
    teller = Containers(proc.path, proc.pidfd)
    told(proc, alert(device), teller)
    assert told(proc, ended_alert(device), teller)[0] == {"id": "unknown"}


def test_least_recently_used_procfs_is_forgotten(proc: Proc) -> None:
    lines = "".join(f"{n} 1 0:{n} / /p{n} rw - proc proc rw\n" for n in range(256, 257 + MOST_WITNESSES))
    proc.add(PROCESS, cgroup=DOCKER, mounts=lines)
    teller = Containers(proc.path, proc.pidfd)
    devices = [f"00:{n:x}" for n in range(256, 257 + MOST_WITNESSES)]
    for device in devices:
        told(proc, alert(device), teller)
    found = [told(proc, ended_alert(device), teller)[0] for device in devices]
    assert found == [{"id": "unknown"}] + [{"id": ID, "runtime": "docker"}] * MOST_WITNESSES


# --- a real process ------------------------------------------------------------------


def test_files_of_an_ended_process_are_not_read() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    with ProcessFiles(child) as files:
        assert files.lives()
        assert files.read("comm", 64)
        os.close(writer)
        os.close(reader)
        os.waitpid(child, 0)
        assert not files.lives()
        with pytest.raises(OSError, match="No such process"):
            files.read("comm", 64)


def test_kernel_without_pidfds_reads_the_same() -> None:
    def no_pidfd(_: int) -> int:
        raise OSError(38, "Function not implemented")

    with ProcessFiles(os.getpid(), pidfd=no_pidfd) as files:
        assert files.lives()
        assert files.start_ticks() > 0
    with pytest.raises(ProcessLookupError):
        ProcessFiles(2**22 + 1)
