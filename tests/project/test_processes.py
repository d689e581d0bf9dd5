"""Processes of the tests: signals, marks, and the end of leftovers only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.live.owner_policy import Decision, decide
from tests.support.processes import (
    MARK,
    Process,
    alive,
    carries,
    command_of,
    descends,
    end,
    end_what_is_left,
    mark_of_this_run,
    of_this_run,
    process,
)

ROOT = Path(__file__).parents[2]
LIMIT_S = 300.0

SHOWN = """
import subprocess, sys
sys.path.insert(0, sys.argv[1])
from tests.support.processes import restore_signals
if sys.argv[2] == "restored":
    restore_signals()
subprocess.run(["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"], check=True)
"""
# What a shell does for `nohup` and for `&`, and a caller that blocks a signal.
STARTER = """
import os, signal, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR2})
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def dispositions(word: str) -> dict[str, int]:
    """Return the ignored and the blocked signals of a program that pytest would start."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", STARTER, "-c", SHOWN, str(ROOT), word],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    return {name: int(value, 16) for name, value in (line.split(":") for line in ran.stdout.splitlines())}


def test_signals_ignored_or_blocked_by_the_caller_are_restored() -> None:
    assert all(dispositions("as they came").values())
    assert dispositions("restored") == {"SigIgn": 0, "SigBlk": 0}


def test_pytest_has_no_ignored_signal() -> None:
    kept = {signal.SIGPIPE, signal.SIGXFSZ}  # Python's own
    ignored = {one for one in signal.valid_signals() if signal.getsignal(one) is signal.SIG_IGN}
    assert ignored <= kept
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


FORKED = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
sys.path.insert(0, sys.argv[1])
from tests.support.processes import restore_signals
restore_signals()
os.kill(os.getpid(), signal.SIGHUP)
child = os.fork()
if not child:
    os.kill(os.getpid(), signal.SIGHUP)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_run_under_nohup_survives_sighup_but_forks_do_not() -> None:
    ran = subprocess.run(
        [sys.executable, "-P", "-c", FORKED, str(ROOT)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert ran.stdout == f"{-signal.SIGHUP}\n"


# --- whose process it is -----------------------------------------------------------


def made(proc: Path, pid: int, parent: int, *, command: bytes = b"", mark: str = "", state: str = "S") -> int:
    """Write a process into a folder like /proc."""
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "stat").write_text(f"{pid} (a) name) {state} {parent} 1 1 0")
    (folder / "cmdline").write_bytes(command)
    (folder / "comm").write_text("a) name\n")
    (folder / "environ").write_bytes(f"A=1\0{MARK}={mark}\0B=2\0".encode() if mark else b"A=1\0")
    return pid


def test_a_process_is_ours_by_mark_or_by_descent(tmp_path: Path) -> None:
    made(tmp_path, 100, 1, command=b"pytest\0")
    marked = made(tmp_path, 101, 1, command=b"auditsense\0run\0", mark="outer,100.5")
    other_run = made(tmp_path, 102, 1, mark="outer,100.55")
    child = made(tmp_path, 103, 100)
    grandchild = made(tmp_path, 104, child)
    ours = {
        pid: process(pid, mark="100.5", runner=100, proc=tmp_path).ours
        for pid in (100, marked, other_run, child, grandchild)
    }
    assert ours == {100: True, marked: True, other_run: False, child: True, grandchild: True}
    assert str(process(marked, mark="100.5", runner=100, proc=tmp_path)) == "process 101 (auditsense run)"
    assert command_of(other_run, tmp_path) == "[a) name]"


def test_a_process_that_has_ended_is_no_error(tmp_path: Path) -> None:
    assert process(7, mark="1.2", runner=1, proc=tmp_path) == Process(7, "which has ended", ours=False)
    assert not alive(7, tmp_path)
    zombie = made(tmp_path, 8, 1, state="Z")
    assert not alive(zombie, tmp_path)


def test_a_loop_of_parents_ends(tmp_path: Path) -> None:
    made(tmp_path, 10, 11)
    made(tmp_path, 11, 10)
    assert not descends(10, 99, tmp_path)


def test_without_a_mark_no_process_carries_it(tmp_path: Path) -> None:
    made(tmp_path, 10, 1, mark=",")
    assert not carries(10, "", tmp_path)


# --- what happens to a live test ---------------------------------------------------

OTHERS = Process(4352, "/usr/sbin/auditd -n", ours=False)


@pytest.mark.parametrize(
    ("owner", "in_ci", "decision", "words"),
    [
        (OTHERS, False, Decision.SKIP, ""),
        (OTHERS, True, Decision.FAIL, "stop it, or unset CI"),
        (Process(4352, "/usr/sbin/auditd -n", ours=True), False, Decision.END, "an earlier test left"),
        (Process(4352, "/usr/sbin/auditd -n", ours=True), True, Decision.END, "an earlier test left"),
    ],
)
def test_the_owner_of_the_socket_decides_about_a_live_test(
    owner: Process, decision: Decision, words: str, *, in_ci: bool
) -> None:
    found, sentence = decide(owner, in_ci=in_ci)
    assert found is decision
    assert "process 4352 (/usr/sbin/auditd -n)" in sentence
    assert words in sentence


# --- what is left ------------------------------------------------------------------

STUBBORN = """
import signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(1000)
"""
LEAVING = "import subprocess, sys; subprocess.run([sys.executable, '-P', '-c', sys.argv[1], 'LEFT'])"


def test_processes_that_a_test_leaves_are_ended_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.processes.ENDS_BY_ITSELF_S", 0.2)
    monkeypatch.setattr("tests.support.processes.ENDS_WHEN_ASKED_S", 0.2)
    mark = mark_of_this_run()
    before = of_this_run(mark)
    others = subprocess.Popen([sys.executable, "-P", "-c", "import time; time.sleep(1000)"], env={})
    with subprocess.Popen(
        [sys.executable, "-P", "-c", LEAVING, STUBBORN],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        parent.kill()  # its child has no parent of ours any more
        parent.wait()
        left = end_what_is_left(before | {others.pid}, mark)
    try:
        (one,) = left
        assert one.command.endswith(" LEFT")
        assert not alive(one.pid)
        assert alive(others.pid)
    finally:
        others.kill()
        others.wait()


def test_a_process_that_is_about_to_end_is_not_left() -> None:
    mark = mark_of_this_run()
    before = of_this_run(mark)
    short = subprocess.Popen(["sleep", "0.3"])
    assert end_what_is_left(before, mark) == []
    assert short.wait() == 0


def test_ending_an_ended_process_is_no_error() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    begun = time.monotonic()
    end(ended.pid)
    assert time.monotonic() >= begun
    assert os.environ[MARK].endswith(mark_of_this_run())
