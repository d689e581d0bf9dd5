"""Loads for the kernel's audit, and their observers; bench/live uses them too.

Loads run as the user 65534 and are identified by their pid. Tests ignore all other records.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from auditsense import shipped_detections
from auditsense.bench.c_helpers import SCANNER
from auditsense.kernel.commands import Commands
from auditsense.kernel.rules import auditctl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditsense import Document, Sensor

OTHER_UID = 65534
ACCOUNT = next((user.pw_name for user in pwd.getpwall() if user.pw_uid == OTHER_UID), str(OTHER_UID))
EXACT_RULE = "-w /proc/ -p r -k audit_proc"
"""The rule of the detection: sees every process."""
OWN_RULE = f"-a always,exit -F dir=/proc -F perm=r -F uid={OTHER_UID} -k audit_proc"
PSPY = [detection for detection in shipped_detections() if detection.id == "pspy"]
"""The same for our own loads only."""
EVENT_ID = re.compile(r"\d+\.\d{3}:\d+")

START_LIMIT_S = 300.0
END_LIMIT_S = 300.0
PAUSE_S = 0.01

AUDITSENSE = [sys.executable, "-P", "-c", "from auditsense.cli import main; raise SystemExit(main())"]

_PYTHON_SCANNER = """
import os, sys, time
opens, period_us, timed, batch = (int(word) for word in sys.argv[1:])
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
moment, start = "", time.monotonic()
for n in range(1, opens + 1):
    if batch and (n - 1) % batch == 0:
        if not os.read(0, 1):
            raise SystemExit("standard input ended before the last batch")
        start = time.monotonic() - (n - 1) * period_us / 1e6
    fd = os.open("/proc", os.O_RDONLY | os.O_CLOEXEC)
    if n == timed:
        moment = f"{time.monotonic_ns()} {time.time_ns()}"
    os.close(fd)
    if period_us and n < opens:
        time.sleep(max(0, start + n * period_us / 1e6 - time.monotonic()))
    if batch and (n % batch == 0 or n == opens):
        print(flush=True)
if moment:
    print(moment)
"""

# --- loads ---------------------------------------------------------------------


@dataclass(frozen=True)
class Scanner:
    """A program that opens /proc and nothing else.

    Attributes:
        command: without its numbers.
        compiled: written in C: AT_FDCWD comes as a whole register, not as the 32 bits of a C int.
        exe, comm: as the kernel will report them.
    """

    command: tuple[str, ...]
    compiled: bool
    exe: str
    comm: str

    def start(
        self, opens: int = 10, *, period_us: int = 0, timed: int = 0, batch: int = 0
    ) -> subprocess.Popen[str]:
        """Start one that opens so often; it prints the moment of the open *timed*.

        With a *batch* it makes as many opens for each byte of standard input, and then prints an empty line.
        """
        return subprocess.Popen(
            [*self.command, *self.numbers(opens, period_us, timed, batch)],
            stdin=subprocess.PIPE if batch else None,
            stdout=subprocess.PIPE,
            text=True,
        )

    def numbers(self, opens: int, period_us: int, timed: int = 0, batch: int = 0) -> list[str]:
        """Return the words behind the command, for programs that become a scanner themselves."""
        words = [str(opens), str(period_us), str(timed), str(batch)]
        if not self.compiled:
            return words
        return [word for pair in zip(("-n", "-p", "-t", "-b"), words, strict=True) for word in pair]

    def scan(self, opens: int = 10, *, period_us: int = 0) -> int:
        """Run one to its end. Returns the pid it had."""
        process = self.start(opens, period_us=period_us)
        finish(process)
        return process.pid


def compiled(source: Path, folder: Path) -> Path | None:
    """Compile a C source into *folder*; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    program = folder / source.stem
    subprocess.run([compiler, "-O2", "-o", program, source], check=True, timeout=300)
    return program


def compiled_scanner(folder: Path) -> Scanner | None:
    """Compile scanner.c into *folder*; None where there is no C compiler."""
    program = compiled(SCANNER, folder)
    if program is None:
        return None
    return Scanner((str(program),), compiled=True, exe=str(program.resolve()), comm=program.name)


def python_scanner() -> Scanner:
    """Return a scanner that needs no compiler."""
    exe = Path(sys.executable).resolve()
    command = (sys.executable, "-I", "-S", "-c", _PYTHON_SCANNER)
    # The name is that of the file in the path given, before links are followed.
    return Scanner(command, compiled=False, exe=str(exe), comm=Path(sys.executable).name[:15])


def finish(process: subprocess.Popen[str], limit_s: float = 600.0) -> str:
    """Wait until a load has ended well; return what it printed."""
    try:
        printed, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, f"{process.args!r} ended with {process.returncode}"
    return printed or ""


RECORDS = 5
"""What the kernel makes of one open: SYSCALL, CWD, PATH, PROCTITLE, EOE."""
BATCH_OPENS = 5_000
"""Of all loads together. Their records fit into the kernel's queue, however long they wait in it."""


@dataclass(frozen=True)
class BatchLoads:
    """Loads that cannot overflow the kernel's queue: they pause until the records of a batch are read.

    A test that expects an exact count needs them. The queue holds 32,768 records, which a load at full speed
    makes in 60 ms; a machine that takes the processor from the kernel's thread for longer loses records. So
    at most `BATCH_OPENS` times `RECORDS` wait at any time, whatever the machine does.

    Attributes:
        processes: the loads; each opens equally often.
        batches: how many each makes.
    """

    processes: tuple[subprocess.Popen[str], ...]
    batches: int

    def one_batch(self) -> None:
        """Let each load make one batch, all at the same time; return when they are made."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "\n", "a load ended early"

    def run(self) -> None:
        """Let each load make all its batches, and wait for their ends."""
        for _ in range(self.batches):
            self.one_batch()
            until_read()
        self.finish()

    def finish(self) -> None:
        """Wait until the loads have ended well, after their last batch."""
        for process in self.processes:
            finish(process)


@contextlib.contextmanager
def batch_loads(
    scanner: Scanner, opens: int, *, producers: int = 1, period_us: int = 0
) -> Iterator[BatchLoads]:
    """Start loads that make *opens* together, batch by batch on request; they end with the block."""
    each, rest = divmod(opens, producers)
    assert rest == 0
    batch = BATCH_OPENS // producers
    processes = [scanner.start(each, period_us=period_us, batch=batch) for _ in range(producers)]
    try:
        yield BatchLoads(tuple(processes), -(-each // batch))
    finally:
        for process in processes:
            process.kill()
            process.communicate()


READ_LIMIT_S = 600.0
AUDIT_FAMILY = 9


def until_read() -> None:
    """Wait until no audit record waits to be read: in the kernel's queue, or in any socket."""
    deadline = time.monotonic() + READ_LIMIT_S
    while waiting_records():
        assert time.monotonic() < deadline, "the records are not read"
        time.sleep(0.01)


def waiting_records() -> int:
    """Return what waits: records in the kernel's queue, and bytes in the sockets of the audit family."""
    rows = (line.split() for line in Path("/proc/net/netlink").read_text(encoding="ascii").splitlines()[1:])
    return queued_records() + sum(int(row[4]) for row in rows if int(row[1]) == AUDIT_FAMILY)


def queued_records() -> int:
    """Return how many records wait in the kernel's queue."""
    with Commands() as commands:
        return commands.status().backlog


def start_unprivileged(*command: str) -> subprocess.Popen[str]:
    """Start any program as the user 65534."""
    return subprocess.Popen(
        command,
        user=OTHER_UID,
        group=OTHER_UID,
        extra_groups=[],
        cwd="/",
        stdout=subprocess.DEVNULL,
        text=True,
    )


@contextlib.contextmanager
def audit_rule(text: str) -> Iterator[None]:
    """Add an audit rule as another program would, and delete it after the block."""
    rule = auditctl.parse(text)
    with Commands() as commands:
        commands.add_rule(rule)
    try:
        yield
    finally:
        with Commands() as commands:
            commands.delete_rule(rule)


# --- watching ------------------------------------------------------------------


def watched(sensor: Sensor, *loads: subprocess.Popen[str] | BatchLoads) -> list[Document]:
    """Iterate a sensor until the loads have ended, and to its end. Returns all it gave."""
    problems: list[BaseException] = []

    def stop_afterwards() -> None:
        try:
            for load in loads:
                if isinstance(load, BatchLoads):
                    load.run()
                else:
                    finish(load)
            time.sleep(0.1)
        except BaseException as problem:  # noqa: BLE001  (raised below, in the test's own thread)
            problems.append(problem)
        finally:
            sensor.stop()

    thread = threading.Thread(target=stop_afterwards)
    thread.start()
    try:
        documents = list(sensor)
    finally:
        thread.join()
    for problem in problems:
        raise problem
    return documents


def of_process(documents: list[Document], pid: int) -> list[Document]:
    """Return the documents about one process; what a sensor says of itself is about none."""
    return [one for one in documents if one.get("process", {}).get("pid") == pid]


class Listener:
    """Hears the same records as the owner of the socket, by multicast."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        self._socket.bind((0, 1))  # AUDIT_NLGRP_READLOG
        self._socket.settimeout(0)
        self._heard: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def datagrams(self) -> list[bytes]:
        """Return all datagrams so far, in order."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._heard.append(self._socket.recv(1 << 16))
        return self._heard

    def ids(self, pid: int) -> list[str]:
        """Return the stamps of one process's system calls, in order, as the kernel printed them."""
        pattern = re.compile(f"audit\\(([\\d.:]+)\\): arch=.* pid={pid} ".encode())
        found = (
            pattern.match(datagram[16:]) for datagram in self.datagrams() if datagram[4:6] == b"\x14\x05"
        )
        return [match[1].decode() for match in found if match]


@dataclass(frozen=True)
class Made:
    """Records of the kernel about loads that opened /proc a known number of times.

    Attributes:
        events: of the loads, that got as far as the kernel's queue at least in part.
        others: events of other processes.
        refused_whole: opens of which the kernel had no room for the first record, and so made none.
        refused_later: records of *events* that it had no room for.
    """

    events: int
    others: int
    refused_whole: int
    refused_later: int


class Witness:
    """Receive the records of the kernel while a sensor is stopped. See witness.c."""

    def __init__(self, program: Path) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([program], stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def end(self, opens: int) -> Made:
        """Stop listening and compare with the *opens* of the loads."""
        found = json.loads(self._process.communicate("", timeout=END_LIMIT_S)[0])
        assert found["drops"] == 0, "the witness itself missed records"
        events: list[int] = found["events"]
        return Made(
            events=sum(events),
            others=found["others"],
            refused_whole=opens - sum(events),
            refused_later=sum(count * (RECORDS - records) for records, count in enumerate(events)),
        )

    def close(self) -> None:
        """End it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@contextlib.contextmanager
def witnessing(program: Path) -> Iterator[Witness]:
    """Let a witness listen for as long as the block lasts."""
    witness = Witness(program)
    try:
        yield witness
    finally:
        witness.close()


def counted(sensor: Command) -> dict[str, int]:
    """Return the figures of the summary of a sensor that has ended."""
    found = re.search(
        r"(\d+) records?, (\d+) events?, (\d+) match(?:es)?, "
        r".*lost: kernel (\d+), serials (\d+), incomplete (\d+)",
        sensor.stderr,
    )
    assert found is not None, sensor.stderr
    names = ("records", "events", "matches", "kernel", "serials", "incomplete")
    return dict(zip(names, map(int, found.groups()), strict=True))


class Command:
    """`auditsense` as a child process, its output in files."""

    def __init__(
        self, *arguments: str, stdout: IO[bytes] | int | None = None, before: tuple[str, ...] = ()
    ) -> None:
        self._out = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        self._err = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [*before, *AUDITSENSE, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._out if stdout is None else stdout,
            stderr=self._err,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stderr(self) -> str:
        """Standard error so far."""
        return _all_of(self._err)

    def messages(self) -> list[str]:
        """Return the lines of standard error so far, without those about changes of the host."""
        return [line for line in self.stderr.splitlines() if "changed on this host: " not in line]

    @property
    def printed(self) -> str:
        """Standard output so far, whole lines of it."""
        return _all_of(self._out).rpartition("\n")[0]

    def documents(self) -> list[Document]:
        """Return the documents printed so far."""
        return [json.loads(line) for line in self.printed.splitlines()]

    def wait_until_ready(self) -> None:
        """Wait until records can come."""
        deadline = time.monotonic() + START_LIMIT_S
        while not re.search("watching|capturing", self.stderr):
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.stderr}"
            assert time.monotonic() < deadline, f"not ready in time: {self.stderr}"
            time.sleep(PAUSE_S)

    def wait(self) -> int:
        """Wait for the end. Returns the exit code."""
        try:
            return self.process.wait(END_LIMIT_S)
        finally:
            self.process.kill()

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and wait for the end. Returns the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def close(self) -> None:
        """End it if it still runs, gently if possible, and close the files."""
        if self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.end()
        self.process.wait()
        self._out.close()
        self._err.close()


def _all_of(file: IO[bytes]) -> str:
    # The offset is shared with the process that writes: read without moving it.
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


@contextlib.contextmanager
def command(
    *arguments: str, stdout: IO[bytes] | int | None = None, before: tuple[str, ...] = ()
) -> Iterator[Command]:
    """Start `auditsense`; it has ended when the block has."""
    started = Command(*arguments, stdout=stdout, before=before)
    try:
        yield started
    finally:
        started.close()


@contextlib.contextmanager
def running(*arguments: str, before: tuple[str, ...] = ()) -> Iterator[Command]:
    """Run `auditsense run` or `record` for our own loads, from when it is ready.

    Unless the arguments choose detections, `run` has pspy alone: then each open of a scanner counts once.
    """
    rule = () if "--audit-rule" in arguments else ("--audit-rule", OWN_RULE)
    chosen = arguments[0] != "run" or {"--only", "--detections", "-c", "--config"}.intersection(arguments)
    detections = () if chosen else ("--only", "pspy")
    with command(*arguments, *detections, *rule, before=before) as started:
        started.wait_until_ready()
        yield started


def done(*arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run one `auditsense` to its end."""
    return subprocess.run(
        [*before, *AUDITSENSE, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=END_LIMIT_S,
        check=False,
    )
