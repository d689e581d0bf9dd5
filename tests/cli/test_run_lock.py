"""The lock against a second `run` on one host; with real sensors: tests/live/test_second_run.py."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from auditsense import AuditSenseError
from auditsense.cli.run_lock import RunLock, users_of_sensors
from auditsense.errors import SocketTakenError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLDER = """
import os, pathlib, sys
from auditsense.cli.run_lock import RunLock
with RunLock(alone=False, folder=pathlib.Path(sys.argv[1])):
    os.write(1, b"locked\\n")
    sys.stdin.read()
"""
FORKING = HOLDER.replace("    os.write", "    os.fork()\n    os.write")
REFUSED = "another auditsense runs on this host, process {pid} (python"


@contextmanager
def holder(folder: Path, program: str = HOLDER) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds a lock of the folder."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program, folder], stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run" / "auditsense"


def test_lock_leaves_no_file_and_no_folder(folder: Path) -> None:
    lock = RunLock(alone=True, folder=folder)
    with lock:
        (file,) = folder.iterdir()
        assert file.name == f"run.{os.getpid()}.lock"
        assert file.stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    lock.release()


def test_second_sensor_is_refused_with_the_pid_of_the_first(folder: Path) -> None:
    with holder(folder) as first:
        for start in (RunLock(alone=True, folder=folder).check, RunLock(alone=True, folder=folder).__enter__):
            with pytest.raises(SocketTakenError) as refused:
                start()
            assert str(refused.value).startswith(REFUSED.format(pid=first.pid))
            assert refused.value.exit_code == 5
        assert [file.name for file in folder.iterdir()] == [f"run.{first.pid}.lock"]


def test_sensor_that_may_run_next_to_another_is_not_refused(folder: Path) -> None:
    with holder(folder) as first:
        lock = RunLock(alone=False, folder=folder)
        lock.check()
        with lock:
            assert len([*folder.iterdir()]) == 2
        assert [file.name for file in folder.iterdir()] == [f"run.{first.pid}.lock"]


def test_killed_sensor_blocks_nothing(folder: Path) -> None:
    with holder(folder) as first:
        first.kill()
        first.wait()
        with RunLock(alone=True, folder=folder):
            assert [file.name for file in folder.iterdir()] == [f"run.{os.getpid()}.lock"]
    assert not folder.exists()


def test_child_of_a_killed_sensor_does_not_keep_the_lock(folder: Path) -> None:
    with holder(folder, FORKING) as first:
        first.kill()
        first.wait()
        RunLock(alone=True, folder=folder).check()


def test_check_changes_nothing(folder: Path) -> None:
    RunLock(alone=True, folder=folder).check()
    assert not folder.exists()
    folder.mkdir(parents=True, mode=0o700)
    (folder / "run.1.lock").touch()
    RunLock(alone=True, folder=folder).check()
    assert [file.name for file in folder.iterdir()] == ["run.1.lock"]


def test_other_files_of_the_folder_stay(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    (folder / "takeover.1.json").touch()
    with RunLock(alone=True, folder=folder):
        pass
    assert [file.name for file in folder.iterdir()] == ["takeover.1.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must have a lock")
def test_folder_that_others_may_write_is_refused(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(AuditSenseError, match=r"cannot create .*/run\.\d+\.lock: others may write"):
        RunLock(alone=True, folder=folder).__enter__()
    with RunLock(alone=False, folder=folder):
        assert [*folder.iterdir()] == []


def test_process_that_outlives_the_sensor_removes_its_file(folder: Path) -> None:
    lock = RunLock(alone=True, folder=folder)
    with lock:
        if (child := os.fork()) == 0:
            lock.discard()
            os._exit(0)
        os.waitpid(child, 0)
        assert not folder.exists()


def test_no_two_sensors_have_the_same_user_without_an_account(folder: Path) -> None:
    program = HOLDER.replace("folder=", "unnamed=60777, folder=")
    assert users_of_sensors(folder) == set()
    with holder(folder, program):
        assert users_of_sensors(folder) == {60777}
        with pytest.raises(SocketTakenError, match=r"^another auditsense runs as user 60777; start again$"):
            RunLock(alone=False, folder=folder, unnamed=60777).__enter__()
        with RunLock(alone=False, folder=folder, unnamed=60778):
            assert users_of_sensors(folder) == {60777, 60778}
