"""Privileges of a running sensor, and that they suffice to work and to restore the host."""

from __future__ import annotations

import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense.kernel import undo_journal_file
from auditsense.kernel.privileges import FIRST_UNNAMED, LAST_UNNAMED, service_user
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


USERS = {"default": [], "root": ["--user", "root"], "another user": ["--user", "?"]}


@pytest.fixture(params=USERS)
def user(request: pytest.FixtureRequest) -> list[str]:
    """Give a test the flags of each choice of a user."""
    return [other_user() if word == "?" else word for word in USERS[request.param]]


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


def user_of(words: list[str]) -> int:
    """Return the user that a command becomes; -1: one without an account."""
    if (words[0] == "record" and "--user" not in words) or "root" in words:
        return 0
    return OTHER_UID if "--user" in words else service_user().uid if service_user().name else -1


def is_user(found: dict[str, str], expected: int) -> bool:
    """Return whether a process has one user; -1: any without an account."""
    users = {*map(int, found["Uid"].split())}
    if expected < 0:
        return len(users) == 1 and min(users) in range(FIRST_UNNAMED, LAST_UNNAMED + 1)
    return users == {expected}


def children_of(pid: int) -> set[int]:
    """Return the processes below another."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(one) for one in children}.union(*(children_of(int(one)) for one in children))


def guardian_of(sensor: Command) -> int:
    return part_of(sensor, "audit-guardian")


def part_of(sensor: Command, name: str) -> int:
    def found() -> list[int]:
        return [child for child in children_of(sensor.pid) if status(child)["Name"] == name]

    wait_until(lambda: bool(found()))  # it has the name once it runs, which may be after the sensor is ready
    (pid,) = found()
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
            assert found["Groups"] == ""
            assert is_user(found, user_of(both))
        assert sensor.end() == 0
        assert "filter" not in sensor.stderr


def test_guardian_has_the_user_of_the_sensor_and_one_capability(both: list[str]) -> None:
    with running(*both) as sensor:
        found = status(guardian_of(sensor))
        assert is_user(found, 0 if both[0] == "record" else user_of(both))
        assert set(capabilities(found).values()) == {AUDIT_CONTROL, 0}
        assert (found["NoNewPrivs"], found["Seccomp"], found["Groups"]) == ("1", "2", "")
        assert sensor.end() == 0


GROUPS_AND_AMBIENT = """
import ctypes, os, sys
os.setgroups([4, 24, 27])
libc = ctypes.CDLL(None, use_errno=True)
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(header, data) == 0
data[2], data[5] = data[1], data[4]  # inheritable: all that is permitted
assert libc.capset(header, data) == 0
for number in (2, 10, 30):
    assert libc.prctl(47, 2, number, 0, 0) == 0  # PR_CAP_AMBIENT_RAISE
found = open("/proc/self/status").read()
assert "Groups:\\t4 24 27" in found and "CapAmb:\\t0000000040000404" in found, found
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_no_process_keeps_groups_or_capabilities_of_who_started_it(tmp_path: Path) -> None:
    """With groups and ambient capabilities at the start; each kind of process is looked at."""
    command = (sys.executable, "-P", "-c", GROUPS_AND_AMBIENT)
    sinks = ("stdout", "journald", "syslog", f"file:{tmp_path}/alerts", "syslog:udp://127.0.0.1:9")
    options = [word for sink in (*sinks, f"spool:{tmp_path}/spool") for word in ("--sink", sink)]
    with running("run", *options, "--self-test", "60", before=command) as sensor:
        found = {}
        for pid in children_of(sensor.pid):
            with suppress(FileNotFoundError, ProcessLookupError):  # the self-test starts short ones
                found[pid] = status(pid)
        names = {one["Name"] for one in found.values()}
        assert names == {
            *("sink-stdout", "sink-journald", "sink-syslog", "sink-file", "keep-spool", "sink-spool"),
            *("audit-guardian", "audit-selftest", "audit-broker", "audit-connector"),
        }
        guardian = str(guardian_of(sensor))
        for one in (*found.values(), status(sensor.pid)):
            assert one["Groups"] == "", one
            kept = {str(sensor.pid): AUDIT_CONTROL | AUDIT_READ, guardian: AUDIT_CONTROL}
            expected = kept.get(one["Pid"], 0)
            sets = capabilities(one)
            assert (sets["CapAmb"], sets["CapInh"], sets["CapBnd"] | sets["CapPrm"]) == (0, 0, expected), one
            assert (one["NoNewPrivs"], one["Seccomp"]) == ("1", "2"), one
            as_root = {"audit-broker", "keep-spool", "sink-spool"}  # the last two: the spool is root's
            assert (one["Uid"].split()[0] == "0") == (one["Name"] in as_root), one
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


# --- restoring the host ---------------------------------------


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
        assert len(sensor.messages()) == 2 + (both[0] == "run" and "root" in both)  # it stays root
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


def test_death_of_the_broker_is_reported_once_and_the_next_start_cleans_up(
    host_state: Callable[[], HostState],
) -> None:
    before = host_state()
    with running("run") as sensor:
        os.kill(part_of(sensor, "audit-broker"), signal.SIGKILL)
        wait_until(lambda: "the broker has died" in sensor.stderr)
        assert sensor.end() == 0
        assert sensor.stderr.count("the broker has died") == 1
    assert host_state() == before
    with running("run") as sensor:
        assert sensor.end() == 0
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
    assert ended.stderr == (
        f"auditsense: error: cannot become user {other_user()}: this process has no CAP_SETUID or "
        "CAP_SETGID; give it both, or run as root with --user root\n"
    )
    assert host_state() == before
    assert not undo_journal_file.DEFAULT_FOLDER.exists()
