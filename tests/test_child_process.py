"""Child processes: pipes above descriptor 2, inherited descriptors, names, exits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from auditsense import _child_process as child


def printed_by(script: str) -> str:
    """Run *script* in a new interpreter and return what it writes to standard error."""
    code = f"import json, os\nfrom auditsense import _child_process as child\n{script}"
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    return ended.stderr


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_pipe_avoids_closed_standard_descriptors() -> None:
    saved = [os.dup(number) for number in range(3)]
    try:
        for number in range(3):
            os.close(number)
        ends = child.pipe()
        opened = [is_open(number) for number in range(3)]
    finally:
        for number, copy in enumerate(saved):
            os.dup2(copy, number)
            os.close(copy)
    try:
        assert min(ends) > 2
        assert opened == [False, False, False]
        assert [os.get_inheritable(end) for end in ends] == [False, False]
        os.write(ends[1], b"x")
        assert os.read(ends[0], 9) == b"x"
    finally:
        for end in ends:
            os.close(end)


CLOSING = """
read_end, write_end = os.pipe()
for number in (10, 19, 20, 21, 22, 40):
    os.dup2(read_end if number == 20 else write_end, number)
errors = os.dup(2)
child.close_inherited({keep}, errors, stderr={stderr})
links = {{name: os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd")
          if os.path.lexists("/proc/self/fd/" + name)}}
os.write(errors, json.dumps([errors, links]).encode())
"""


@pytest.mark.parametrize("stderr", [True, False])
@pytest.mark.parametrize("keep", ["20", "20, 1, 40", "20, 20"])
def test_close_inherited_keeps_only_named_descriptors(keep: str, *, stderr: bool) -> None:
    errors, targets = json.loads(printed_by(CLOSING.format(keep=keep, stderr=stderr)))
    links = {int(number): target for number, target in targets.items()}
    kept = {int(number) for number in keep.split(",")}
    assert {*links} == {0, 1, 2, errors, *kept}
    null = {number for number, target in links.items() if target == "/dev/null"}
    assert null == {0, 1, 2} - kept - ({2} if stderr else set())


def test_process_name_is_cut_to_15_bytes() -> None:
    name = printed_by(
        'child.set_name("a-name-of-over-15-bytes"); os.write(2, open("/proc/self/comm", "rb").read())'
    )
    assert name == "a-name-of-over-\n"


def test_is_stopped_differs_for_running_and_exited_children() -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    try:
        assert not child.is_stopped(pid)
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        assert child.is_stopped(pid)
        assert not child.has_exited(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        assert child.wait_for_exit(pid, 60)
    assert child.has_exited(pid)
    assert not child.is_stopped(pid)


@pytest.mark.parametrize("resume", [True, False])
def test_wait_for_exit_resumes_a_stopped_child_on_request(*, resume: bool) -> None:
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    try:
        assert child.wait_for_exit(pid, 60 if resume else 0.05, resume=resume) == resume
    finally:
        if not resume:
            os.kill(pid, signal.SIGKILL)
            assert child.wait_for_exit(pid, 60)


def test_blocked_signals_are_unblocked_again() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with child.signals_blocked(child.GROUP_SIGNALS):
        assert {*child.GROUP_SIGNALS} <= signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
