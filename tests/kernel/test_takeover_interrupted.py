"""`Takeover` that fails or is interrupted at any point leaves the host as before."""

from __future__ import annotations

import dis
import inspect
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from auditsense.errors import (
    KernelCommandError,
)
from auditsense.kernel import takeover
from auditsense.kernel.commands import Commands
from auditsense.kernel.rules import auditctl
from auditsense.kernel.takeover import Takeover
from auditsense.testing import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from auditsense.kernel.rules.rule import AuditRule

PROC = auditctl.parse("-w /proc/ -p r -k audit_proc")
OPENAT = auditctl.parse("-a always,exit -F arch=b64 -S openat -F uid=65534 -k other", machine="x86_64")


def taking(kernel: FakeKernel, *rules: AuditRule, limit: int = 8192) -> Takeover:
    return Takeover(Commands(kernel), kernel.register, rules or (PROC, OPENAT), limit)


# --- failures and interruptions at every command -------------------------------

# A takeover of two rules: commands 0 to 7 are the entry (get, two settings,
# register, list, two rules, enabled), the rest is the exit.
ENTRY = 8
ALL = ENTRY + 12


def run(kernel: FakeKernel) -> None:
    with taking(kernel):
        assert len(kernel.log) == ENTRY


def test_assumed_command_numbers_are_right() -> None:
    kernel = FakeKernel()
    run(kernel)
    assert len(kernel.log) == ALL


@pytest.mark.parametrize("acted", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("position", range(ALL))
def test_ctrl_c_at_any_command_restores_host(position: int, *, acted: bool) -> None:
    kernel = FakeKernel()
    before = kernel.host_state()
    kernel.fail_at(position, KeyboardInterrupt(), acted=acted)
    with pytest.raises(KeyboardInterrupt):
        run(kernel)
    assert kernel.host_state() == before


@pytest.mark.parametrize("acted", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("position", range(ALL))
def test_missing_answer_to_any_command_restores_host(position: int, *, acted: bool) -> None:
    kernel = FakeKernel()
    before = kernel.host_state()
    kernel.stay_silent_at(position, acted=acted)
    if position < ENTRY:
        with pytest.raises(KernelCommandError):
            run(kernel)
    else:
        run(kernel)  # asked again, and all is well
    assert kernel.host_state() == before


@pytest.mark.parametrize("first", range(1, ENTRY))
@pytest.mark.parametrize("later", range(1, 14))
def test_ctrl_c_during_undo_of_failed_entry_restores_host(first: int, later: int) -> None:
    kernel = FakeKernel()
    before = kernel.host_state()
    kernel.stay_silent_at(first)
    kernel.fail_at(first + later, KeyboardInterrupt())
    with pytest.raises((KeyboardInterrupt, KernelCommandError)):
        run(kernel)
    assert kernel.host_state() == before


def test_repeated_ctrl_c_during_restore_is_survived() -> None:
    kernel = FakeKernel()
    before = kernel.host_state()
    for position in range(ENTRY, ENTRY + 8):
        kernel.fail_at(position, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(kernel)
    assert kernel.host_state() == before


def test_endless_ctrl_c_ends_restore() -> None:
    kernel = FakeKernel()
    for position in range(ENTRY, ENTRY + 100):
        kernel.fail_at(position, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(kernel)
    assert len(kernel.log) == ENTRY + 2 * (takeover._TRIES + 8)


@pytest.mark.parametrize("owner", [None, 1])
def test_last_records_are_read_before_release(owner: int | None) -> None:
    kernel, calls = FakeKernel(), []
    with Takeover(
        Commands(kernel), kernel.register, (PROC,), before_release=lambda: calls.append(kernel.pid)
    ):
        kernel.alive.add(1)
        kernel.pid = kernel.pid if owner is None else owner
    assert calls == ([kernel.caller_pid] if owner is None else [])


def test_error_in_block_reaches_caller() -> None:
    kernel = FakeKernel()
    before = kernel.host_state()
    with pytest.raises(ZeroDivisionError) as caught, taking(kernel):
        _ = 1 / 0
    assert not hasattr(caught.value, "__notes__")
    assert kernel.host_state() == before


def test_failed_undo_is_reported_once_and_rest_is_done() -> None:
    undisturbed = FakeKernel()
    run(undisturbed)
    kernel = FakeKernel()
    # Both tries of the backlog limit; its question is answered, its setting is not.
    refused = undisturbed.log.index("set backlog_limit=64")
    kernel.stay_silent_at(refused)
    kernel.stay_silent_at(ALL + 1)
    with pytest.raises(KernelCommandError, match="not restored: set backlog_limit") as caught:
        run(kernel)
    assert str(caught.value).count("set backlog_limit") == 2  # the change, and the command
    state = (kernel.enabled, kernel.pid, kernel.backlog_limit, kernel.backlog_wait_time)
    assert state == (0, 0, 8192, 15000)
    assert kernel.rules == []


def test_failed_undo_is_a_note_on_the_error_in_flight() -> None:
    kernel = FakeKernel()

    def locked_and_broken() -> None:
        with taking(kernel):
            kernel.enabled = 2
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        locked_and_broken()
    (note,) = caught.value.__notes__
    assert note.startswith("not restored: ")


# --- interruptions at every instruction ----------------------------------------


class Interrupter:
    """Raise KeyboardInterrupt at the n-th instruction inside takeover.py.

    Not where CPython never handles a signal (returning, doing nothing), and not
    at the first instruction of `__exit__`, which no `try` can cover: see the
    test of the end of the interpreter.
    """

    def __init__(self, position: int) -> None:
        self.left = position
        self.fired = False

    def __call__(self, frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401
        code = frame.f_code
        # What a generator raises while it is discarded reaches no caller.
        if code.co_filename != takeover.__file__ or code.co_flags & inspect.CO_GENERATOR:
            return None
        frame.f_trace_opcodes = True  # without effect in some 3.12: there, at every line
        if event in {"opcode", "line"} and not self.fired and self.can_be_interrupted(frame):
            self.left -= 1
            if self.left < 0:
                self.fired = True
                raise KeyboardInterrupt
        return self

    @staticmethod
    def can_be_interrupted(frame: FrameType) -> bool:
        instruction = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        if instruction == "RESUME":
            return frame.f_code.co_name != "__exit__"
        return instruction != "NOP" and not instruction.startswith("RETURN")


def interrupted_at(position: int, work: Callable[[], None]) -> bool:
    """Run *work*, interrupted at an instruction; return whether there were that many."""
    interrupter = Interrupter(position)
    earlier = sys.gettrace()
    sys.settrace(interrupter)
    try:
        work()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(earlier)
    return interrupter.fired


def test_ctrl_c_at_any_instruction_restores_host() -> None:
    broken = []
    for position in range(100_000):
        kernel = FakeKernel()
        before = kernel.host_state()
        with_rules = taking(kernel)

        def work(held: Takeover = with_rules) -> None:
            with held:
                pass

        if not interrupted_at(position, work):
            break
        if kernel.host_state() != before:
            broken.append(position)
            with_rules.restore()
    else:
        pytest.fail("the takeover does not end")
    assert position > 100
    assert broken == []


def test_atexit_restores_host_after_interrupted_exit() -> None:
    script = """
import atexit
from auditsense.kernel.commands import Commands
from auditsense.kernel.takeover import Takeover
from auditsense.testing import FakeKernel
kernel = FakeKernel()
before = kernel.host_state()
atexit.register(lambda: print(kernel.host_state() == before))
Takeover(Commands(kernel), kernel.register, []).__enter__()
assert kernel.enabled
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run_it = [sys.executable, "-P", "-c", script]
    done = subprocess.run(run_it, check=True, env=environment, capture_output=True, text=True)
    assert done.stdout == "True\n"
