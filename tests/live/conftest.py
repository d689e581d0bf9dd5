"""Live tests: on the kernel of this machine, one at a time; each restores the host.

Every test in this folder runs inside the fixture `live`: it is skipped, with the
reason, where the kernel's audit cannot be used; otherwise it holds the lock that
keeps live tests apart, a guardian process restores the host whatever happens to
pytest, a watchdog ends a test that hangs, and the host has to be afterwards as it
was before, or the test fails. A test that leaves a process fails, and the process is
ended. In CI a test also fails where another process owns the audit socket.
"""

from __future__ import annotations

import faulthandler
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key  # pytest has no public name for it

from tests.live.host_guard import exclusive, guardian, host_state, release, why_unusable
from tests.live.owner_policy import Decision, decide, in_ci
from tests.live.workloads import Scanner, compiled, compiled_scanner, python_scanner
from tests.support.processes import alive, end, end_what_is_left, mark_of_this_run, of_this_run, process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.live.restore_host import HostState

HERE = Path(__file__).parent
TEST_LIMIT_S = 1200.0  # a watchdog for what hangs, not a measure: a busy machine may take ten times as long


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.fixture(autouse=True)
def live(request: pytest.FixtureRequest) -> Iterator[None]:
    """Skip, or guard; see the head of this file."""
    if os.geteuid() != 0:  # the lock file is root's
        pytest.skip("no live kernel audit: not root")
    mark = mark_of_this_run()
    with exclusive() as lock:
        reason = why_unusable()
        if reason is not None:
            pytest.skip(f"no live kernel audit: {reason}")
        socket_is_free(mark)
        before, running = host_state(), of_this_run(mark)
        with guardian(lock.fileno()) as watching:
            # Ends the whole process, which is when the guardian has its moment.
            # To pytest's own standard error: captured output is lost with the process.
            stderr = request.config.stash[fault_handler_stderr_fd_key]
            faulthandler.dump_traceback_later(TEST_LIMIT_S, exit=True, file=stderr)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
                left = end_what_is_left({*running, watching.pid}, mark)
            after = host_state()
        assert not left, f"this test left {', '.join(map(str, left))}; ended"
        assert after == before
        assert host_state() == before


def socket_is_free(mark: str) -> None:
    """Skip the test, or fail it, where a process owns the audit socket; see owner_policy.py."""
    pid = host_state().pid
    if pid and not alive(pid):
        release()  # the kernel forgets an owner that was killed only when it is asked
        pid = host_state().pid
    if not pid:
        return
    decision, sentence = decide(process(pid, mark=mark), in_ci=in_ci())
    if decision is Decision.SKIP:
        pytest.skip(sentence)
    if decision is Decision.END:
        if pid != os.getpid():
            end(pid)
        release()
    pytest.fail(sentence)


@pytest.fixture(name="host_state")
def host_state_fixture() -> Callable[[], HostState]:
    """Give a test the function `host_state`."""
    return host_state


@pytest.fixture(name="guardian")
def guardian_fixture() -> Callable[[], object]:
    """Give a test the context manager `guardian`, to test that itself."""
    return guardian


@pytest.fixture(name="compiled", scope="session")
def compiled_fixture(tmp_path_factory: pytest.TempPathFactory) -> Scanner | None:
    """Give the scanner written in C; None where there is no compiler."""
    return compiled_scanner(tmp_path_factory.mktemp("scanner"))


@pytest.fixture
def scanner(compiled: Scanner | None) -> Scanner:
    """Give a test the fastest scanner there is."""
    return compiled if compiled is not None else python_scanner()


@pytest.fixture(params=["in C", "in Python"])
def each_scanner(request: pytest.FixtureRequest, compiled: Scanner | None) -> Scanner:
    """Give a test one scanner after the other: they pass AT_FDCWD in different ways."""
    if request.param == "in Python":
        return python_scanner()
    if compiled is None:
        pytest.skip("there is no C compiler for scanner.c")
    return compiled


@pytest.fixture(name="witness_program", scope="session")
def witness_program_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """Give the program that `loads.Witness` runs; None where there is no compiler."""
    return compiled(HERE / "witness.c", tmp_path_factory.mktemp("witness"))
