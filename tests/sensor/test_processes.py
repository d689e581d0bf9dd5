"""Reading /proc for the process table."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from auditsense.core.process_facts import ProcessFacts
from auditsense.kernel.cmdline import CMDLINE_BYTES, read_cmdlines
from auditsense.sensor.processes import HostProcesses, read_all, read_process
from auditsense.sources.multicast import Multicast
from auditsense.sources.unicast import Unicast
from auditsense.testing import FakeSource

if TYPE_CHECKING:
    from collections.abc import Iterator

TICKS = os.sysconf("SC_CLK_TCK")
SLEEP = "import sys, time; print(flush=True); time.sleep(600)"


def write_process(proc: Path, pid: int, *, comm: str = "sh", parent: int = 1, start: int = 100) -> Path:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "comm").write_bytes(comm.encode() + b"\n")
    (folder / "stat").write_text(f"{pid} ({comm}) S {parent} {'0 ' * 17}{start} 0\n", encoding="utf-8")
    (folder / "exe").symlink_to("/bin/sh")
    return folder


@pytest.fixture(name="running")
def running_fixture() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-I", "-c", SLEEP, "a b", ""], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


# --- one process -----------------------------------------------------------------------


def test_a_running_process_has_its_name_program_parent_and_start(running: subprocess.Popen[bytes]) -> None:
    facts = read_process(running.pid)
    assert facts is not None
    assert (facts.pid, facts.parent) == (running.pid, os.getpid())
    assert facts.executable == os.path.realpath(f"/proc/{running.pid}/exe").encode()
    assert facts.name == Path(sys.executable).name.encode()[:15]
    assert facts.arguments is None
    now_ms = time.time_ns() // 1_000_000
    assert now_ms - 60_000 < facts.start_ms <= facts.read_ms <= now_ms


def test_name_with_a_parenthesis_is_read_from_stat(tmp_path: Path) -> None:
    write_process(tmp_path, 7, comm="a) S 9 (b", parent=3)
    facts = read_process(7, proc=tmp_path)
    assert facts is not None
    assert (facts.name, facts.parent) == (b"a) S 9 (b", 3)


def test_the_start_is_counted_from_the_boot(tmp_path: Path) -> None:
    write_process(tmp_path, 7, start=0)
    write_process(tmp_path, 8, start=5 * TICKS)
    first, second = (read_process(pid, proc=tmp_path) for pid in (7, 8))
    assert first is not None
    assert second is not None
    assert abs(second.start_ms - first.start_ms - 5000) < 1000


def test_a_process_that_has_ended_is_unknown(tmp_path: Path) -> None:
    assert read_process(7, proc=tmp_path) is None
    (write_process(tmp_path, 8) / "stat").unlink()
    assert read_process(8, proc=tmp_path) is None


def test_a_program_that_may_not_be_read_is_left_out(tmp_path: Path) -> None:
    (write_process(tmp_path, 7) / "exe").unlink()
    facts = read_process(7, proc=tmp_path)
    assert facts is not None
    assert facts.executable == b""


def test_memory_of_a_process_that_an_event_names_is_not_read(tmp_path: Path) -> None:
    folder = write_process(tmp_path, 7)
    for name in ("cmdline", "environ"):  # a process that opens one waits for ever
        os.mkfifo(folder / name)
    assert read_process(7, proc=tmp_path) is not None


# --- all processes ---------------------------------------------------------------------


def test_all_processes_are_read_with_their_arguments(running: subprocess.Popen[bytes]) -> None:
    found = {facts.pid: facts for facts in read_all()}
    facts = found[running.pid]
    assert facts.at_start
    assert facts.arguments == (sys.executable.encode(), b"-I", b"-c", SLEEP.encode(), b"a b", b"")
    assert not facts.cut
    assert os.getpid() in found
    assert 1 in found


def test_parents_come_first(tmp_path: Path) -> None:
    write_process(tmp_path, 7, start=300)
    write_process(tmp_path, 9, start=100)
    (tmp_path / "cpuinfo").touch()
    assert [facts.pid for facts in read_all(proc=tmp_path)] == [9, 7]


def test_long_arguments_are_cut_and_flagged(tmp_path: Path) -> None:
    (write_process(tmp_path, 7) / "cmdline").write_bytes(b"sh\0" + b"x" * CMDLINE_BYTES)
    (facts,) = read_all(proc=tmp_path)
    assert facts.arguments == (b"sh", b"x" * (CMDLINE_BYTES - 3))
    assert facts.cut


def test_process_that_stalls_its_reader_loses_only_its_own_arguments(tmp_path: Path) -> None:
    for pid in (7, 9):
        (write_process(tmp_path, pid) / "cmdline").write_bytes(b"sh\0-x\0")
    os.mkfifo(write_process(tmp_path, 8) / "cmdline")
    found = {facts.pid: facts for facts in read_all(proc=tmp_path)}
    assert found[8].arguments is None
    assert found[7].arguments == found[9].arguments == (b"sh", b"-x")


def test_no_child_is_left(tmp_path: Path) -> None:
    (write_process(tmp_path, 7) / "cmdline").write_bytes(b"sh\0")
    assert read_cmdlines([7], proc=tmp_path) == {7: b"sh\0"}
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_facts_are_values() -> None:
    facts = ProcessFacts(7, 1, 1000, 2000, b"sh")
    assert facts == ProcessFacts(pid=7, parent=1, start_ms=1000, read_ms=2000, name=b"sh")


# --- the processes of a sensor's host ------------------------------------------------------


class Table:
    """A ring that only keeps its input."""

    def __init__(self, *, remembers_processes: bool = True) -> None:
        self.remembers_processes = remembers_processes
        self.added: list[ProcessFacts] = []

    def add_process(self, facts: ProcessFacts) -> None:
        self.added.append(facts)


def of_source(source: object, proc: Path) -> HostProcesses:
    return HostProcesses(cast("Any", source), proc)


def test_sensor_reads_all_processes_before_entering_and_new_ones_afterwards(tmp_path: Path) -> None:
    (write_process(tmp_path, 7) / "cmdline").write_bytes(b"sh\0-x\0")
    processes, table = of_source(Unicast([]), tmp_path), Table()
    processes.add_all(cast("Any", table))
    (write_process(tmp_path, 8) / "cmdline").write_bytes(b"sh\0-y\0")
    processes.add_new(cast("Any", table))
    assert [(facts.pid, facts.arguments) for facts in table.added] == [(7, (b"sh", b"-x")), (8, None)]
    assert all(facts.at_start for facts in table.added)


def test_nothing_is_read_for_a_table_that_no_detection_asks(tmp_path: Path) -> None:
    os.mkfifo(write_process(tmp_path, 7) / "cmdline")
    processes, table = of_source(Unicast([]), tmp_path), Table(remembers_processes=False)
    processes.add_all(cast("Any", table))
    processes.add_new(cast("Any", table))
    assert table.added == []


def test_sensor_with_audited_reads_reads_nothing_for_an_event(tmp_path: Path) -> None:
    write_process(tmp_path, 7)
    assert of_source(Multicast(), tmp_path).read is None
    source = Unicast([])
    read = of_source(source, tmp_path).read
    assert read is not None
    assert read(7) is not None
    source.audited = True  # another process has taken the socket
    assert read(7) is None


def test_records_that_a_test_made_are_about_no_process_of_this_host(tmp_path: Path) -> None:
    write_process(tmp_path, 7)
    processes, table = of_source(FakeSource(), tmp_path), Table()
    processes.add_all(cast("Any", table))
    assert table.added == []
    assert processes.read is None


def test_the_boot_is_named_where_it_can_be_read(tmp_path: Path) -> None:
    assert of_source(FakeSource(), tmp_path).boot == ""
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("1-2-3\n", encoding="ascii")
    assert of_source(FakeSource(), tmp_path).boot == "1-2-3"
