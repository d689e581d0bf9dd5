"""What a running sensor may still do, and that it does its work and puts the host back with that."""

from __future__ import annotations

import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense.kernel import undo_journal_file
from tests.live.workloads import OTHER_UID, OWN_RULE, Command, Scanner, of_process, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.live.restore_host import HostState


AUDIT_CONTROL, AUDIT_READ = 1 << 30, 1 << 37
KEPT = {"run": AUDIT_CONTROL | AUDIT_READ, "record": AUDIT_CONTROL}
"""With the second, `run` continues by multicast when it loses the socket."""
LIMIT_S = 300.0


def other_user() -> str:
    try:
        return pwd.getpwuid(OTHER_UID).pw_name
    except KeyError:
        pytest.skip(f"user {OTHER_UID} has no name here")


@pytest.fixture(params=["root", "another user"])
def user(request: pytest.FixtureRequest) -> list[str]:
    """Give a test the flags to stay root, then those to become another user."""
    return [] if request.param == "root" else ["--user", other_user()]


@pytest.fixture(params=["run", "record"])
def both(request: pytest.FixtureRequest, user: list[str], tmp_path: Path) -> list[str]:
    """Give a test each command that takes the kernel's audit over, as each user."""
    to = ["--to", str(tmp_path / "capture")] if request.param == "record" else []
    return [request.param, *to, *user]


def status(pid: int, thread: str = "self") -> dict[str, str]:
    """Return what /proc says about a process, or one of its threads."""
    path = Path(f"/proc/{pid}/status" if thread == "self" else f"/proc/{pid}/task/{thread}/status")
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: " ".join(value.split()) for name, _, value in lines}


def capabilities(found: dict[str, str]) -> dict[str, int]:
    return {name: int(value, 16) for name, value in found.items() if name.startswith("Cap")}


def guardian_of(sensor: Command) -> int:
    children = Path(f"/proc/{sensor.pid}/task/{sensor.pid}/children").read_text().split()
    (pid,) = (int(child) for child in children if status(int(child))["Name"] == "audit-guardian")
    return pid


def wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def nice_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[16])


# --- what is left --------------------


@pytest.mark.parametrize(
    ("words", "nice"), [((), -10), (("--priority-boost", "4"), -4), (("--priority-boost", "0"), 0)]
)
def test_a_sensor_runs_before_others_and_its_guardian_does_not(words: tuple[str, ...], nice: int) -> None:
    with running("run", *words, "--duration", "15") as sensor:
        assert nice_of(sensor.pid) - os.getpriority(os.PRIO_PROCESS, 0) == nice
        assert nice_of(guardian_of(sensor)) == os.getpriority(os.PRIO_PROCESS, 0)


def test_running_sensor_keeps_only_what_it_needs(both: list[str]) -> None:
    kept = KEPT[both[0]]
    with running(*both, "--duration", "15") as sensor:
        for thread in os.listdir(f"/proc/{sensor.pid}/task"):  # noqa: PTH208 - names are all that is wanted
            found = status(sensor.pid, thread)
            assert capabilities(found) == {
                "CapEff": kept,
                "CapPrm": kept,
                "CapBnd": kept,
                "CapInh": 0,
                "CapAmb": 0,
            }
            assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
            uid = str(OTHER_UID if "--user" in both else 0)
            assert found["Uid"].split() == [uid] * 4
            if "--user" in both:
                assert found["Groups"] == ""
        assert sensor.end() == 0
        assert "filter" not in sensor.stderr


def test_the_guardian_stays_root_with_one_capability(both: list[str]) -> None:
    with running(*both) as sensor:
        found = status(guardian_of(sensor))
        assert found["Uid"].split() == ["0"] * 4
        assert set(capabilities(found).values()) == {AUDIT_CONTROL, 0}
        assert found["NoNewPrivs"] == "1"
        assert sensor.end() == 0


ATTEMPTS = """
import errno, os, signal, socket, sys
def attempt(*_):
    found = []
    for call in (lambda: os.execv("/bin/true", ["true"]), socket.socket, lambda: os.setuid(0),
                 lambda: os.chown("/", 1, 1), lambda: open("/proc/1/environ").read()):
        try:
            call()
            found.append("done")
        except OSError as refused:
            found.append(errno.errorcode[refused.errno])
    os.write(2, f"attempted {' '.join(found)}\\n".encode())  # print may be under way
signal.signal(signal.SIGUSR1, attempt)
from auditsense.cli import main
raise SystemExit(main())
"""


def test_forbidden_calls_of_running_sensor_are_refused(host_state: Callable[[], HostState]) -> None:
    before = host_state()
    arguments = ["run", "--user", other_user(), "--audit-rule", OWN_RULE]
    with subprocess.Popen(
        [sys.executable, "-P", "-c", ATTEMPTS, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as sensor:
        try:
            assert sensor.stderr is not None
            assert any("watching" in line for line in sensor.stderr)
            sensor.send_signal(signal.SIGUSR1)
            outcome = next(line for line in sensor.stderr if line.startswith("attempted"))
            assert outcome == "attempted EPERM EAFNOSUPPORT EPERM EPERM EACCES\n"
        finally:
            sensor.send_signal(signal.SIGINT)
        assert sensor.stderr.read().endswith("the host is as it was\n")
    assert sensor.returncode == 0
    assert host_state() == before


def test_open_socket_receives_without_capabilities(scanner: Scanner) -> None:
    """Why CAP_AUDIT_READ can go as well, and CAP_NET_ADMIN."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as multicast:
        multicast.setsockopt(socket.SOL_SOCKET, 33, 1 << 20)
        multicast.bind((0, 1))
        multicast.settimeout(300)
        listening, telling = os.pipe()
        with running("run"):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    code = without_capabilities(multicast, telling)
                finally:
                    os._exit(code)
            assert os.read(listening, 1) == b"r"
            scanner.scan(3)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.close(listening)
        os.close(telling)


def without_capabilities(multicast: socket.socket, telling: int) -> int:
    """Hear one system call of our own loads. Returns 0 when that worked."""
    from auditsense.kernel.privileges import keep_only  # noqa: PLC0415 - used in the child only

    keep_only()
    os.write(telling, b"r")
    while not re.search(rb" uid=65534 .*key=\"audit_proc\"", multicast.recv(1 << 16)):
        pass
    return 0


# --- it still works --------------------


def test_confined_sensor_finds_scanner(user: list[str], each_scanner: Scanner) -> None:
    with running("run", *user) as sensor:
        pid = each_scanner.scan()
        assert sensor.end() == 0
        (alert,) = of_process(sensor.documents(), pid)
        assert alert["auditsense"]["lost"] == 0


def test_capture_belongs_to_root(user: list[str], tmp_path: Path, scanner: Scanner) -> None:
    path = tmp_path / "capture"
    with running("record", "--to", str(path), *user) as recorder:
        scanner.scan()
        assert recorder.end() == 0
        assert f" {path.stat().st_size} bytes in {path}" in recorder.stderr
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (0, 0o600)
    assert path.stat().st_size > 5_000


def test_empty_capture_is_reported(user: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "root's own"
    folder.mkdir(mode=0o700)
    path = folder / "capture"
    with running("record", "--to", str(path), *user) as recorder:
        assert recorder.end() == 0
        assert "Traceback" not in recorder.stderr
        size = path.stat().st_size if path.exists() else 0
        assert f" {size} bytes in {path}" in recorder.stderr


# --- and puts the host back --------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_confined_sensor_restores_host(
    host_state: Callable[[], HostState], both: list[str], number: signal.Signals
) -> None:
    before = host_state()
    with running(*both) as sensor:
        guardian = guardian_of(sensor)
        journal = undo_journal_file.DEFAULT_FOLDER / f"takeover.{sensor.pid}.json"
        assert (journal.stat().st_uid, journal.stat().st_mode & 0o777) == (0, 0o600)
        assert host_state() != before
        assert sensor.end(number) == 0
        assert sensor.stderr.endswith("the host is as it was\n")
        assert len(sensor.messages()) == 2
        assert not Path(f"/proc/{guardian}").exists()
    assert not journal.exists()
    assert host_state() == before


def test_guardian_restores_host_after_sigkill_of_confined_sensor(
    host_state: Callable[[], HostState], both: list[str]
) -> None:
    before = host_state()
    with running(*both) as sensor:
        journal = undo_journal_file.DEFAULT_FOLDER / f"takeover.{sensor.pid}.json"
        sensor.process.kill()
        sensor.process.wait()
        wait_until(lambda: not journal.exists())
        wait_until(lambda: host_state() == before)
        wait_until(lambda: sensor.stderr.endswith(f"the sensor ({sensor.pid}) died; the host is as it was\n"))


def test_host_is_restored_with_guardian_killed_first(
    host_state: Callable[[], HostState], both: list[str]
) -> None:
    before = host_state()
    with running(*both) as sensor:
        os.kill(guardian_of(sensor), signal.SIGKILL)
        assert sensor.end() == 0
    assert host_state() == before
    # Another user may not remove root's file: the next start does.
    with running("run") as sensor:
        assert sensor.end() == 0
    assert host_state() == before
    assert not undo_journal_file.DEFAULT_FOLDER.exists()


def test_impossible_user_is_one_line_and_host_is_restored(
    host_state: Callable[[], HostState],
) -> None:
    before = host_state()
    ended = subprocess.run(
        [
            *("setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid", "--"),
            *(sys.executable, "-P", "-c", "from auditsense.cli import main; raise SystemExit(main())"),
            *("run", "--user", other_user(), "--audit-rule", OWN_RULE),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    *changes, error = ended.stderr.splitlines()
    assert error == f"auditsense: error: cannot become user {OTHER_UID}: Operation not permitted"
    assert all(line.startswith("auditsense: changed on this host: ") for line in changes)
    assert host_state() == before
    assert not undo_journal_file.DEFAULT_FOLDER.exists()
