"""The journal file: written atomically, private, and undone after the death of its sensor."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from auditsense.errors import AuditSenseError, KernelCommandError
from auditsense.kernel import undo_journal_file
from auditsense.kernel.audit_status import StatusField
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import AddRule, BecomeOwner, ChangeSetting, Step
from auditsense.kernel.rules import auditctl
from auditsense.kernel.takeover import Takeover
from auditsense.kernel.undo import undo_all
from auditsense.kernel.undo_journal import Entry, decode, encode
from auditsense.kernel.undo_journal_file import JournalFile
from auditsense.testing import FakeKernel
from tests.support.faults import NOTHING, Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


PROC = auditctl.parse("-w /proc/ -p r -k audit_proc")
OTHER = auditctl.parse("-a always,exit -F arch=b64 -S openat -F uid=65534 -k other", machine="x86_64")
WAIT = ChangeSetting(StatusField.BACKLOG_WAIT_TIME, 15000, 0)
LIMIT = ChangeSetting(StatusField.BACKLOG_LIMIT, 64, 8192)
ON = ChangeSetting(StatusField.ENABLED, 0, 1)
STEPS: tuple[Step, ...] = (WAIT, LIMIT, BecomeOwner(), AddRule(PROC), ON)
BEFORE = FakeKernel().host_state()

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a file")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run" / "auditsense"


def taken(owner: int) -> FakeKernel:
    """Return a kernel with the changes of a dead sensor."""
    return FakeKernel(enabled=1, pid=owner, backlog_limit=8192, backlog_wait_time=0, rules=[PROC.to_bytes()])


def dead() -> int:
    """Return a pid that no process has any more."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def alive() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that exits with its input."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "input()"],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield process
        process.kill()


def left(folder: Path, owner: int, steps: Sequence[Step] = STEPS, start_time: bytes = b"12345") -> Path:
    """Write the journal file of a dead sensor."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"takeover.{owner}.json"
    path.write_bytes(start_time + b"\n" + encode(Entry(owner, tuple(steps))))
    path.chmod(0o600)
    return path


# --- writing -----------------------------------------------------------------------


def test_file_lists_steps_with_mode_0600(folder: Path) -> None:
    before = os.umask(0)
    try:
        JournalFile(folder).write(STEPS)
    finally:
        os.umask(before)
    (path,) = folder.iterdir()
    assert path.name == f"takeover.{os.getpid()}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    start_time, line = path.read_bytes().split(b"\n", 1)
    assert start_time == undo_journal_file._start_time(os.getpid()) != b""
    assert decode(line) == Entry(os.getpid(), STEPS)


@pytest.mark.parametrize("steps", [(), STEPS])
def test_write_after_user_change_keeps_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, steps: Sequence[Step]
) -> None:
    journal_of_root = JournalFile(folder)
    journal_of_root.write(STEPS[:1])
    (path,) = folder.iterdir()
    before = path.read_bytes()
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    journal_of_root.write(steps)
    assert path.read_bytes() == before


def test_folder_is_removed_with_last_file(folder: Path) -> None:
    journal = JournalFile(folder)
    journal.write(STEPS)
    other = left(folder, 1)
    journal.write(())
    assert list(folder.iterdir()) == [other]
    journal.write(STEPS)
    other.unlink()
    journal.write(())
    assert not folder.exists()
    journal.remove()
    assert not folder.exists()


@pytest.mark.parametrize("step", ["write", "replace"])
def test_failed_write_keeps_the_previous_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    journal = JournalFile(folder)
    journal.write(STEPS[:1])
    (path,) = folder.iterdir()
    content = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "write":
        monkeypatch.setattr(os, "fdopen", full)
    else:
        monkeypatch.setattr(type(path), "replace", full)
    with pytest.raises(AuditSenseError, match=r"cannot write .*: No space left on device"):
        journal.write(STEPS)
    monkeypatch.undo()
    assert (list(folder.iterdir()), path.read_bytes()) == ([path], content)


def test_takeover_without_file_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel()
    monkeypatch.setattr(undo_journal_file, "encode", lambda _: 1 / 0)
    journals = [JournalFile(folder)]
    with pytest.raises(ZeroDivisionError):
        Takeover(Commands(kernel), kernel.register, [PROC], journals=journals).__enter__()
    assert kernel.host_state() == BEFORE


def test_failing_journal_does_not_prevent_restore(folder: Path) -> None:
    class Failing:
        fails = False

        def write(self, steps: Sequence[Step]) -> None:
            if self.fails and not steps:
                raise AuditSenseError("no")

    failing, journal, kernel = Failing(), JournalFile(folder), FakeKernel()
    with Takeover(Commands(kernel), kernel.register, [PROC], journals=[failing, journal]):
        failing.fails = True
        assert folder.exists()
    assert kernel.host_state() == BEFORE
    assert not folder.exists()


def test_file_exists_while_something_is_changed(folder: Path) -> None:
    kernel = FakeKernel()
    with Takeover(Commands(kernel), kernel.register, [PROC], journals=[JournalFile(folder)]) as held:
        (path,) = folder.iterdir()
        steps = decode(path.read_bytes().split(b"\n", 1)[1]).steps
        assert tuple(str(step) for step in steps) == held.changes()
    assert kernel.host_state() == BEFORE
    assert not folder.exists()


# --- undoing -----------------------------------------------------------------------


def test_undo_without_folder_does_nothing(folder: Path) -> None:
    kernel = FakeKernel()
    assert JournalFile(folder).undo_stale(Commands(kernel)) == ()
    assert kernel.log == []
    assert not folder.exists()


def test_changes_of_dead_sensor_are_undone(folder: Path) -> None:
    owner = dead()
    left(folder, owner)
    kernel = taken(owner)
    assert JournalFile(folder).undo_stale(Commands(kernel)) == STEPS
    assert kernel.host_state() == BEFORE
    assert not folder.exists()


def test_undo_returns_only_its_own_steps(folder: Path) -> None:
    owner = dead()
    left(folder, owner)
    kernel = taken(owner)
    kernel.pid, kernel.rules = 0, []  # its guardian came so far
    undone = JournalFile(folder).undo_stale(Commands(kernel))
    assert undone == tuple(step for step in STEPS if isinstance(step, ChangeSetting))
    assert kernel.host_state() == BEFORE
    assert not folder.exists()


def test_zombie_counts_as_dead(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        start_time = undo_journal_file._start_time(process.pid)
        assert start_time
        left(folder, process.pid, start_time=start_time)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
        kernel = taken(process.pid)
        assert JournalFile(folder).undo_stale(Commands(kernel)) == STEPS
    assert kernel.host_state() == BEFORE


def test_file_of_running_sensor_is_left_alone(folder: Path, alive: subprocess.Popen[bytes]) -> None:
    path = left(folder, alive.pid, start_time=undo_journal_file._start_time(alive.pid))
    kernel = taken(alive.pid)
    during = kernel.host_state()
    assert JournalFile(folder).undo_stale(Commands(kernel)) == ()
    assert kernel.host_state() == during
    assert path.exists()


def test_reused_pid_is_recognised(folder: Path, alive: subprocess.Popen[bytes]) -> None:
    left(folder, alive.pid, start_time=b"1" + undo_journal_file._start_time(alive.pid))
    kernel = taken(alive.pid)
    assert JournalFile(folder).undo_stale(Commands(kernel)) == STEPS
    assert kernel.host_state() == BEFORE
    assert not folder.exists()


def test_socket_of_process_with_reused_pid_stays(folder: Path, alive: subprocess.Popen[bytes]) -> None:
    left(folder, alive.pid, start_time=b"1" + undo_journal_file._start_time(alive.pid))
    kernel = taken(alive.pid)
    kernel.alive.add(alive.pid)
    JournalFile(folder).undo_stale(Commands(kernel))
    assert kernel.pid == alive.pid
    kernel.pid = 0
    assert kernel.host_state() == BEFORE


def test_hostile_name_does_not_hide_start_time() -> None:
    script = "open('/proc/self/comm', 'w').write('a) Z 1 (b'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        before = undo_journal_file._start_time(process.pid)
        process.stdout.readline()
        assert undo_journal_file._start_time(process.pid) == before != b""
        process.kill()


def test_files_of_two_dead_sensors_are_undone(folder: Path) -> None:
    first, second = sorted((dead(), dead()), key=str)
    left(folder, first, [WAIT, AddRule(OTHER)])
    left(folder, second, STEPS[1:])
    kernel = taken(second)
    with Commands(kernel) as commands:
        commands.add_rule(OTHER)
        undone = JournalFile(folder).undo_stale(commands)
    assert undone == (WAIT, AddRule(OTHER), *STEPS[1:])
    assert kernel.host_state() == BEFORE
    assert not folder.exists()


def test_changes_by_others_are_left_alone(folder: Path, fault: Recorder) -> None:
    left(folder, dead())
    kernel = FakeKernel(enabled=1, pid=4711, backlog_limit=20_000, backlog_wait_time=100, alive=[4711])
    kernel.rules = [OTHER.to_bytes()]
    theirs = kernel.host_state()
    kernel.log.clear()
    JournalFile(folder).undo_stale(Commands(kernel))
    assert [line for line in kernel.log if line not in {"get", "list"}] == ["set enabled=0"]
    kernel.enabled = 1
    assert kernel.host_state() == theirs
    assert not folder.exists()
    fault(
        "another process changed a setting of a killed sensor",
        how="limit, wait time, rule and owner changed before the next start, a kernel in memory",
        did="undid only settings that still had the sensor's value",
        lost=NOTHING,
        reported="what it undid",
        host="theirs stays",
    )


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_step_without_effect_is_left_alone(step: Step) -> None:
    kernel = FakeKernel()
    assert undo_all(Commands(kernel), [step], 4711) == {}
    assert kernel.host_state() == BEFORE
    assert {*kernel.log} <= {"get", "list"}


def test_failed_undo_is_reported_and_keeps_the_file(folder: Path) -> None:
    owner = dead()
    path = left(folder, owner)
    kernel = taken(owner)
    kernel.enabled = 2
    with pytest.raises(KernelCommandError, match="changes of a killed sensor cannot be undone: add audit"):
        JournalFile(folder).undo_stale(Commands(kernel))
    assert path.exists()


# --- what is no file of ours -------------------------------------------------------


def refused(folder: Path, words: str) -> None:
    kernel = taken(1)
    during = kernel.host_state()
    with pytest.raises(AuditSenseError, match=words) as error:
        JournalFile(folder).undo_stale(Commands(kernel))
    assert "auditctl -s" in str(error.value)
    assert "\n" not in str(error.value)
    assert kernel.host_state() == during
    assert kernel.log == []


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_file_writable_by_others_is_refused(folder: Path, mode: int) -> None:
    left(folder, dead()).chmod(mode)
    refused(folder, "another user may write it")


@only_root
def test_file_of_another_owner_is_refused(folder: Path, fault: Recorder) -> None:
    os.chown(left(folder, dead()), 65534, 65534)
    refused(folder, "another user may write it")
    fault(
        "another user plants a journal",
        how="a file of user 65534 in the folder, a kernel in memory",
        did="did not start; touched neither kernel nor file",
        lost="everything: it did not run",
        reported="“another user may write it”",
        host="as it was",
    )


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_folder_writable_by_others_is_refused(folder: Path, mode: int) -> None:
    left(folder, dead())
    folder.chmod(mode)
    refused(folder, "another user may write it")
    with pytest.raises(AuditSenseError, match="another user may write it"):
        JournalFile(folder).write(STEPS)
    assert len(list(folder.iterdir())) == 1


def test_link_instead_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    left(elsewhere, dead())
    folder.parent.mkdir()
    folder.symlink_to(elsewhere)
    refused(folder, "it is no folder")
    with pytest.raises(AuditSenseError, match="it is no folder"):
        JournalFile(folder).write(STEPS)


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_irregular_file_is_refused_without_waiting(folder: Path, tmp_path: Path, what: str) -> None:
    owner = dead()
    path = left(folder, owner)
    elsewhere = path.rename(tmp_path / "elsewhere")
    if what == "link":
        path.symlink_to(elsewhere)
    elif what == "pipe":
        os.mkfifo(path, 0o600)
    else:
        path.mkdir(mode=0o700)
    refused(folder, "Too many levels of symbolic links" if what == "link" else "it is no file")


@pytest.mark.parametrize("content", [b"", b"12345\n", b"12345\n{", b"\xff" * 100, b"12345\n[]\n"])
def test_damaged_file_is_left_with_a_remedy(folder: Path, content: bytes, fault: Recorder) -> None:
    path = left(folder, dead())
    path.write_bytes(content)
    refused(folder, r"for what remains, then remove it")
    assert path.read_bytes() == content
    fault(
        "the journal of a killed sensor is damaged",
        how="five kinds of damage, a kernel in memory",
        did="did not start; touched neither kernel nor file",
        lost="everything: it did not run",
        reported="what to check, and to remove the file",
        host="as the killed sensor left it",
    )


# --- killed while writing ------------------------------------------------------------

WRITES = """
import sys
from pathlib import Path
from auditsense.kernel.undo_journal_file import JournalFile
from auditsense.kernel.plan import BecomeOwner
journal = JournalFile(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    for n in range(1, 200):
        journal.write([BecomeOwner()] * n)
    journal.write([])
"""


def test_killed_writer_leaves_complete_file_or_none(folder: Path) -> None:
    for turn in range(15):
        with subprocess.Popen(
            [sys.executable, "-P", "-c", WRITES, str(folder)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.003 * turn)
            process.send_signal(signal.SIGKILL)
            process.wait()
        steps = JournalFile(folder).undo_stale(Commands(FakeKernel()))
        assert {*steps} <= {BecomeOwner()}
        assert not folder.exists()


def test_unfinished_file_of_running_sensor_stays(folder: Path, alive: subprocess.Popen[bytes]) -> None:
    folder.mkdir(parents=True, mode=0o700)
    names = [f"takeover.{pid}.new" for pid in (alive.pid, dead())] + ["takeover.x.new", "anything"]
    for name in names:
        (folder / name).touch()
    assert JournalFile(folder).undo_stale(Commands(FakeKernel())) == ()
    assert sorted(path.name for path in folder.iterdir()) == sorted(names[:1] + names[2:])
