"""What a process could do that took over a part of a running sensor: each part's state, and sixty attempts.

Run as root (``python -m tests.support.compromise``), it forks a process for each part, which confines itself
exactly as that part does: by the same functions, from the same table. It makes every attempt by a system
call. Prints JSON: part to attempt to outcome, with Landlock and without; "root" is not confined at all.

An attempt does no harm where it succeeds: files are made below FOLDER or removed again, and calls that would
change the host have arguments that the kernel refuses only after it has checked the right to make them.
"""

from __future__ import annotations

import contextlib
import ctypes
import encodings.idna  # noqa: F401 - now: a confined process may be unable to import it
import errno
import fcntl
import importlib
import json
import mmap
import os
import platform
import signal
import socket
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditsense import syscalls
from auditsense.kernel import broker, confinement, landlock, seccomp
from auditsense.kernel.confinement import PARTS, confine
from auditsense.kernel.privileges import User
from tests.support import unit_limits
from tests.support.unit_limits import UnitLimits

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSED = {"EPERM", "EACCES", "ENOSYS", "EAFNOSUPPORT"}
"""Names of errno by which the kernel refuses an attempt."""
USER = User(60_999, 60_999)
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    """Make a system call.

    Raises:
        OSError: it failed, or there is none on this machine.
    """
    number = syscalls.number(name, syscalls.native_arch())
    if number is None:
        raise OSError(errno.ENOSYS, "")
    words = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
    result = LIBC.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return int(result)


def opened(path: str, flags: int, *, created: bool = False) -> Callable[[], object]:
    """Return an attempt to open a file; a file that is created is removed again."""

    def attempt() -> None:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        os.close(descriptor)
        if created:
            with contextlib.suppress(OSError):  # else `restore` removes it
                Path(path).unlink()

    return attempt


def made_and_removed(
    path: Path, make: Callable[[Path], object], remove: Callable[[Path], object]
) -> Callable[[], object]:
    def attempt() -> None:
        make(path)
        with contextlib.suppress(OSError):  # else `restore` removes it
            remove(path)

    return attempt


def made(family: int, kind: int = socket.SOCK_DGRAM, protocol: int = 0) -> Callable[[], object]:
    return lambda: os.close(call("socket", family, kind, protocol))


def connected(address: str | bytes, kind: int = socket.SOCK_STREAM) -> Callable[[], object]:
    def attempt() -> None:
        with socket.socket(socket.AF_UNIX, kind) as one:
            one.connect(address)

    return attempt


def executed_from_memory() -> None:
    descriptor = os.memfd_create("x")
    os.write(descriptor, b"#!/bin/true\n")
    call(
        "execveat", descriptor, b"", None, None, 0x1000
    )  # AT_EMPTY_PATH; arguments are missing: EFAULT at most


def code_written() -> None:
    """Make memory that was written executable."""
    with mmap.mmap(-1, mmap.PAGESIZE) as memory:
        start = ctypes.c_char.from_buffer(memory)
        address = ctypes.addressof(start)
        del start
        call("mprotect", address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)


def attempts(
    folder: Path, victim: int, same: int, pair: tuple[socket.socket, socket.socket]
) -> dict[str, Callable[[], object]]:
    """Return what an attacker would try.

    Args:
        folder: of the test, with the files and sockets that are attacked.
        victim: a process of root's.
        same: another process of the sensor's user.
        pair: of connected sockets for datagrams, as a notifier of a service manager has one.
    """
    root, other = str(folder / "root"), str(folder / "other-sink.jsonl")
    write, make = os.O_WRONLY, os.O_WRONLY | os.O_CREAT
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    every = (ctypes.c_uint32 * 6)(*[0xFFFF_FFFF] * 6)
    one_byte = ctypes.create_string_buffer(1)
    return {
        # files
        "create a file in /etc/cron.d": opened("/etc/cron.d/auditsense-test", make, created=True),
        "create a file in /etc": opened("/etc/auditsense-test", make, created=True),
        "create a file in /tmp": opened("/tmp/auditsense-test", make, created=True),  # noqa: S108 - all may write there
        "create a file in /run": opened("/run/auditsense-test", make, created=True),
        "create a file in /dev/shm": opened("/dev/shm/auditsense-test", make, created=True),  # noqa: S108 - as above
        "create a file in /tmp by openat2": created_by_openat2,
        "make a folder in /tmp": made_and_removed(Path("/tmp/auditsense-folder"), os.mkdir, os.rmdir),  # noqa: S108 - as above
        "write /etc/passwd": opened("/etc/passwd", write),
        "read /etc/shadow": opened("/etc/shadow", os.O_RDONLY),
        "write core_pattern": opened("/proc/sys/kernel/core_pattern", write),
        "write modprobe's path": opened("/proc/sys/kernel/modprobe", write),
        "write sysrq-trigger": opened("/proc/sysrq-trigger", write),
        "write to a file of root's": opened(f"{root}/file", write),
        "read a file of root's": opened(f"{root}/file", os.O_RDONLY),
        "create a file in a folder of root's": opened(f"{root}/new", make, created=True),
        "write to the file of another sink": opened(other, write),
        "rename a file of root's": lambda: Path(f"{root}/file").rename(f"{root}/file"),
        "remove a file of root's": Path(f"{root}/removed").unlink,
        "remove a folder of root's": Path(f"{root}/empty").rmdir,
        "make a folder in /run": made_and_removed(Path("/run/auditsense-test"), os.mkdir, os.rmdir),
        "make a link to a file of root's": made_and_removed(
            Path(f"{root}/link"), lambda path: os.link(f"{root}/file", path), os.unlink
        ),
        "make a symbolic link": made_and_removed(
            Path(f"{root}/symbolic"), lambda path: path.symlink_to("x"), os.unlink
        ),
        "make a device": made_and_removed(
            Path(f"{root}/device"), lambda path: os.mknod(path, 0o20600, 259), os.unlink
        ),
        "set the set-user-ID bit": lambda: call("fchmodat", -100, f"{root}/file".encode(), 0o4755),
        "change the owner of a file": lambda: call("fchownat", -100, f"{root}/file".encode(), 0, 0, 0),
        "set an extended attribute": lambda: os.setxattr(f"{root}/file", "user.x", b"x"),
        "truncate a file of root's": lambda: os.truncate(f"{root}/file", 5),
        "change the times of a file": lambda: os.utime(f"{root}/file"),
        "open a block device": opened("/dev/vda", os.O_RDONLY),
        "open physical memory": opened("/dev/mem", os.O_RDONLY),
        "open the kernel's log": opened("/dev/kmsg", os.O_RDWR),
        # programs and memory
        "execute a program": lambda: call("execve", b"/bin/true/x", None, None),
        "execute a file in memory": executed_from_memory,
        "make written memory executable": code_written,
        "change the personality": lambda: call("personality", 0x0004_0000),
        # processes
        "send a signal to a process of root's": lambda: os.kill(victim, 23),  # SIGURG, which is ignored
        "send a signal to another process of the user": lambda: os.kill(same, 23),
        "send a signal by pidfd": lambda: call(
            "pidfd_send_signal", call("pidfd_open", victim, 0), 23, None, 0
        ),
        "send a signal to the owner of a descriptor": lambda: fcntl.fcntl(pair[0], 8, same),  # F_SETOWN
        "send a signal to the owner of a socket": lambda: call(
            "ioctl", pair[0].fileno(), 0x8901, (ctypes.c_int * 1)(same)
        ),
        "set a limit of another process": lambda: set_limit(same, victim),
        "trace another process": lambda: call("ptrace", 0x4206, same, 0, 0),  # PTRACE_SEIZE
        "read the memory of another process": lambda: call("process_vm_readv", same, None, 0, None, 0, 0),
        "open the memory of process 1": opened("/proc/1/mem", os.O_RDONLY),
        "read the environment of process 1": opened("/proc/1/environ", os.O_RDONLY),
        "take a descriptor of another process": lambda: call(
            "pidfd_getfd", call("pidfd_open", victim, 0), 0, 0
        ),
        "compare another process": lambda: call("kcmp", same, victim, 0, 0, 0),
        # users and rights
        "become root": lambda: call("setuid", 0),
        "become another user": lambda: call("setresuid", 1, 1, 1),
        "join a group": lambda: call("setgroups", 1, (ctypes.c_uint32 * 1)(0)),
        "regain every capability": lambda: call("capset", header, every),
        # namespaces and mounts
        "make a user namespace": lambda: call("unshare", 0x1000_0000),
        "enter the namespace of another process": lambda: call("setns", -1, 0x4000_0000),
        "mount a file system": lambda: call("mount", b"none", b"/", b"none", 0, None),
        "change the root folder": lambda: call("chroot", b"/"),
        # the kernel
        "load a module": lambda: call("finit_module", -1, b"", 0),
        "load a BPF program": lambda: call("bpf", 5, None, 0),
        "open a performance counter": lambda: call("perf_event_open", None, victim, -1, -1, 0),
        "use io_uring": lambda: os.close(call("io_uring_setup", 1, ctypes.create_string_buffer(120))),
        "use userfaultfd": lambda: os.close(call("userfaultfd", 0)),
        "read the kernel's keys": lambda: call("keyctl", 0, -3, 0),
        "load another kernel": lambda: call("kexec_load", 0, 0, None, 0xFFFF),
        "restart the machine": lambda: call("reboot", 0, 0, 0, None),
        "set the clock": lambda: call("clock_settime", 99, None),
        "raise a limit": lambda: call("setrlimit", 99, None),
        # terminals and sockets
        "put a key press into a terminal": lambda: call("ioctl", 0, 0x5412, one_byte),
        "open a packet socket": made(17),
        "open an Internet socket (UDP)": made(socket.AF_INET),
        "connect to a TCP port": connect_tcp,
        "open a raw socket": made(socket.AF_INET, socket.SOCK_RAW, 1),
        "open a socket of the kernel's cryptography": made(38, 5),
        "open a socket to a hypervisor": made(40, 1),
        "connect to the socket of a service": connected(str(folder / "service")),
        "send to the socket of a service": connected(str(folder / "datagrams"), socket.SOCK_DGRAM),
        "send through an open socket to another one": lambda: pair[0].sendmsg(
            [b"x"], [], 0, str(folder / "datagrams")
        ),
        "connect an open socket to another one": lambda: pair[1].connect(str(folder / "datagrams")),
        "connect an open socket to an abstract one": lambda: pair[1].connect(
            abstract_datagrams(os.getppid())
        ),
        "give an open socket an address in /tmp": made_and_removed(
            Path("/tmp/auditsense-test"),  # noqa: S108 - as above
            lambda path: pair[0].bind(str(path)),
            os.unlink,
        ),
        "connect to an abstract socket": connected(b"\0auditsense-test-%d" % os.getppid()),
        "listen on a socket": lambda: call("listen", 0, 1),
    }


def created_by_openat2() -> None:
    path = "/tmp/auditsense-test"  # noqa: S108 - all may write there
    how = (ctypes.c_uint64 * 3)(os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, 0)
    os.close(call("openat2", -100, path.encode(), how, 24))
    with contextlib.suppress(OSError):  # else `restore` removes it
        Path(path).unlink()


def set_limit(*processes: int) -> None:
    """Forbid core dumps of one of some processes: of one with the same user."""
    for pid in processes:
        with contextlib.suppress(PermissionError):
            call("prlimit64", pid, 4, (ctypes.c_uint64 * 2)(0, 0), None)
            return
    raise PermissionError(errno.EPERM, "")


def abstract_datagrams(owner: int) -> bytes:
    """Return an address that is shorter than that of a netlink socket."""
    return b"\0as%d" % owner


def connect_tcp() -> None:
    with socket.socket(socket.AF_INET) as one:
        one.settimeout(1)
        one.connect(("127.0.0.1", 9))


def other_abi() -> Callable[[], object]:
    """Return a call by the numbers of i386, which kills the process. On x86-64 only."""
    code = bytes.fromhex("b814000000cd80c3")  # mov eax, 20 (getpid); int 0x80; ret
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    KEPT.append(memory)
    call_it: Callable[[], object] = ctypes.CFUNCTYPE(ctypes.c_int)(
        ctypes.addressof(ctypes.c_char.from_buffer(memory))
    )
    return call_it


KEPT: list[object] = []


def x32() -> int:
    """Make a call by the numbers of the x32 ABI."""
    result = LIBC.syscall(ctypes.c_long(0x4000_0027))  # getpid
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return int(result)


# --- the state of each part ------------------------------------------------------------


def sensor(folder: Path, source: str) -> None:
    """Confine as `auditsense run` does."""
    from auditsense.cli.run import confinement_of  # noqa: PLC0415 - after the switch of Landlock
    from auditsense.config.settings import build_settings, load_config  # noqa: PLC0415

    arguments = Namespace(config=str(folder / "auditsense.conf"))
    config = load_config(arguments)
    config.values.clear()
    settings = build_settings(config)
    if source != "netlink":
        from dataclasses import replace  # noqa: PLC0415

        settings = replace(settings, source=replace(settings.source, name=source))
    confine(confinement_of(settings, [], [os.getpid()]), USER)


def sink(word: str, folder: Path, *, brokered: bool = False) -> None:
    """Confine as the process of a sink does."""
    from auditsense.cli.output import _as_owner, _confinement, _seal  # noqa: PLC0415
    from auditsense.sinks.config import open_sink, parse_sink  # noqa: PLC0415
    from auditsense.sinks.format import Format  # noqa: PLC0415

    del folder
    settings = parse_sink(word)
    with _as_owner(settings, USER):
        opened_sink = open_sink(settings, Format.JSONL)
    sealed = _seal(settings, opened_sink, brokered=brokered)
    _confinement(settings, USER, 0, sealed, brokered=brokered)()


def ship(folder: Path) -> None:
    """Confine as `auditsense ship` does."""
    from auditsense.cli.ship import _become_owner  # noqa: PLC0415

    _become_owner(USER.uid, folder / "spool", own_process=True)


def as_broker(folder: Path) -> None:
    """Confine as the broker does."""
    one = os.open(folder / "root", os.O_PATH | os.O_DIRECTORY)
    file = broker.SinkFile(one, str(folder / "root"), ("alerts.jsonl", "alerts.jsonl.1"))
    place = os.open(folder / "log", os.O_PATH | os.O_DIRECTORY)
    log = broker.LogFile(place, str(folder / "log"), ("audit.log", "audit.log.1"))
    clients = [
        broker.Client(socket.socketpair()[1], file),
        broker.Client(socket.socketpair()[1], socket="/dev/log"),
        broker.Client(socket.socketpair()[1], log),
    ]
    operations = broker.Operations.of(clients, ("/run/auditsense/run.1.lock",), ("/run/auditsense",))
    filtered = seccomp.prepare(operations.call_list(clients))
    broker.confined(clients, operations)
    if filtered is not None:
        seccomp.confine(filtered)


STATES: dict[str, Callable[[Path], object]] = {
    "sensor": lambda folder: sensor(folder, "netlink"),
    "sensor of a log": lambda folder: sensor(folder, f"log:{folder}/log/audit.log"),
    "guardian": lambda _: confine(PARTS["guardian"], USER),
    "broker": as_broker,
    "self-test": lambda _: confine(PARTS["self-test"], USER),
    "command lines": lambda _: confine(PARTS["command lines"], USER),
    "sink stdout": lambda folder: sink("stdout", folder),
    "sink file": lambda folder: sink(f"file:{folder}/root/alerts.jsonl", folder, brokered=True),
    "sink file, own folder": lambda folder: sink(f"file:{folder}/own/alerts.jsonl", folder),
    "sink spool": lambda folder: sink(f"spool:{folder}/spool", folder),
    "sink journald": lambda folder: sink("journald", folder, brokered=True),
    "sink syslog": lambda folder: sink("syslog", folder, brokered=True),
    "sink syslog, network": lambda folder: sink("syslog:tcp://127.0.0.1:514", folder, brokered=True),
    "connector": lambda _: confine(PARTS["connector"].with_ports((4318,)), USER),
    "ship": ship,
}
"""Part to a function that puts this process into its state."""


SENSOR_UNIT = "auditsense.service"
UNITS = {"ship": "auditsense-ship.service", "connector": "auditsense-ship.service"}
"""Part to the unit that it runs in, if that is not the one of the sensor."""
UNIT_ALONE = "the unit alone"
LIMITS: dict[str, UnitLimits] = {}
"""Of the units, where systemd-analyze is there to read them."""

_OTHER_SOCKETS = frozenset(
    {"send through an open socket to another one", "connect an open socket to another one"}
)
_UDP = frozenset({"open an Internet socket (UDP)"})
_ABSTRACT = frozenset({"connect an open socket to an abstract one"})
_ADDRESS = frozenset({"give an open socket an address in /tmp"})
_NONE: frozenset[str] = frozenset()

POSSIBLE: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "sensor": (_NONE, _NONE),
    "sensor of a log": (_NONE, _NONE),
    "guardian": (_NONE, _NONE),
    "broker": (_NONE, _NONE),
    "self-test": (_NONE, _NONE),
    "command lines": (_NONE, _NONE),
    "sink stdout": (_NONE, _NONE),
    "sink file": (_NONE, _NONE),
    "sink file, own folder": (_NONE, _NONE),
    "sink spool": (_NONE, _NONE),
    "sink journald": (_NONE, _NONE),
    "sink syslog": (_NONE, _NONE),
    "sink syslog, network": (_NONE, _NONE),
    # Looks up a name, by libraries of this host that open separate sockets.
    "connector": (
        _UDP | _OTHER_SOCKETS,
        _UDP | _OTHER_SOCKETS | _ABSTRACT | {"connect to a TCP port"},
    ),
    "ship": (_NONE, _NONE),
}
"""Part to the attempts that are not refused, with Landlock and without.

Within the limits of its unit, a part has the outcome that it has without Landlock.
"""

UNIT_ALLOWS: frozenset[str] = frozenset(
    {
        "become another user",
        "change the times of a file",
        "connect an open socket to an abstract one",
        "connect an open socket to another one",
        "connect to an abstract socket",
        "connect to the socket of a service",
        "create a file in /dev/shm",
        "create a file in /etc",
        "create a file in /etc/cron.d",
        "create a file in /run",
        "create a file in /tmp",
        "create a file in /tmp by openat2",
        "create a file in a folder of root's",
        "execute a program",
        "give an open socket an address in /tmp",
        "listen on a socket",
        "make a folder in /run",
        "make a folder in /tmp",
        "make a link to a file of root's",
        "make a symbolic link",
        "put a key press into a terminal",
        "read /etc/shadow",
        "read a file of root's",
        "remove a file of root's",
        "remove a folder of root's",
        "rename a file of root's",
        "send a signal by pidfd",
        "send a signal to a process of root's",
        "send a signal to the owner of a descriptor",
        "send a signal to the owner of a socket",
        "send through an open socket to another one",
        "send to the socket of a service",
        "set a limit of another process",
        "set an extended attribute",
        "truncate a file of root's",
        "use io_uring",
        "write /etc/passwd",
        "write core_pattern",
        "write modprobe's path",
        "write sysrq-trigger",
        "write to a file of root's",
        "write to the file of another sink",
    }
)
"""Attempts that the unit of the sensor alone does not refuse root, before a process has confined itself."""

EXPOSURE = {
    "auditsense.service": 3.7,
    "auditsense-ship.service": 1.4,
    "auditsense-rules.service": 3.1,
}
"""Unit to its exposure level, of 10 (systemd-analyze security, systemd `MEASURED_WITH`)."""
MEASURED_WITH = 252


def names() -> list[str]:
    """Return the names of all attempts, on x86-64."""
    first, second = socket.socketpair()
    with first, second:
        return [*attempts(Path("/"), 0, 0, (first, second)), *_OTHER_ABIS]


def succeeded(found: dict[str, Any], kind: str, part: str) -> frozenset[str]:
    """Return the attempts that were not refused, without what this host does not have.

    Args:
        found: as `main` prints it.
        kind: "landlock" or "without".
        part: one of `STATES`.
    """
    absent = {name for name, outcome in found["root"]["root"].items() if outcome == "ENOENT"}
    return frozenset(
        name
        for name, outcome in found[kind][part].items()
        if outcome not in REFUSED | {"killed"} and name not in absent
    )


_OTHER_ABIS = ("use the numbers of the x32 ABI", "use the numbers of i386")


def outcome(attempt: Callable[[], object]) -> str:
    """Make an attempt. Returns "done" or the name of errno."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def in_child(attempt: Callable[[], object]) -> str:
    """Return the outcome of an attempt in a separate process."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, outcome(attempt).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read().decode()


# --- the host that is attacked ---------------------------------------------------------


def prepare(folder: Path) -> tuple[int, int, list[socket.socket]]:
    """Make the files, processes and sockets that are attacked. Returns the processes and the sockets."""
    folder.chmod(0o711)
    (folder / "root").mkdir(mode=0o700)
    (folder / "log").mkdir(mode=0o700)
    (folder / "log/audit.log").touch(mode=0o600)
    (folder / "auditsense.conf").touch(mode=0o600)
    for name in ("own", "spool"):
        (folder / name).mkdir(mode=0o700)
        os.chown(folder / name, USER.uid, USER.gid)
    places: tuple[str | bytes, ...] = (str(folder / "service"), b"\0auditsense-test-%d" % os.getpid())
    sockets = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in places]
    for place, one in zip(places, sockets, strict=True):
        one.bind(place)
        one.listen(100)
    sockets.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    sockets[-1].bind(str(folder / "datagrams"))
    sockets.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    sockets[-1].bind(abstract_datagrams(os.getpid()))
    for name in ("service", "datagrams"):
        (folder / name).chmod(0o666)
    return _sleeper(None), _sleeper(USER), sockets


def _sleeper(user: User | None) -> int:
    pid = os.fork()
    if pid == 0:
        if user is not None:
            os.setgroups([])
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
        signal.pause()
        os._exit(0)
    return pid


def restore(folder: Path) -> None:
    """Make what an earlier attempt may have removed, and remove what it may have made."""
    for path in ("/tmp/auditsense-test", "/dev/shm/auditsense-test"):  # noqa: S108 - as the attempts
        Path(path).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        Path("/tmp/auditsense-folder").rmdir()  # noqa: S108 - as the attempts
    for name in ("root/file", "root/removed", "other-sink.jsonl"):
        (folder / name).write_bytes(b"kept\n")
        (folder / name).chmod(0o600)
    (folder / "root/empty").mkdir(exist_ok=True)


def attacked(part: str, folder: Path, victim: int, same: int, kind: str) -> dict[str, str]:
    """Make every attempt in a process with the state of a part. Returns attempt to outcome.

    Args:
        part: one of `STATES`, "root" or `UNIT_ALONE`.
        folder: of the test.
        victim: a process of root's.
        same: one of the user's.
        kind: "landlock", "without", or "unit": without, and within the limits of its unit.
    """
    restore(folder)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            _attack(part, folder, (victim, same), writing, kind)
            code = 0
        except BaseException as error:  # noqa: BLE001 - the last frame of this process
            os.write(writing, json.dumps({"failed": repr(error)}).encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        found: dict[str, str] = json.loads(pipe.read())
    status = os.waitpid(pid, 0)[1]
    if part != "root" and platform.machine() == "x86_64":
        found[_OTHER_ABIS[1]] = "killed" if os.WIFSIGNALED(status) else "done"
    return found


def _attack(part: str, folder: Path, processes: tuple[int, int], pipe: int, kind: str) -> None:
    if kind != "landlock":  # such a kernel is older than PR_SET_MDWE as well
        landlock.version = lambda: 0
        confinement._forbid_code = lambda: None
    tries = attempts(folder, *processes, socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
    function: Callable[[], object] = int
    if platform.machine() == "x86_64" and part != "root":
        tries[_OTHER_ABIS[0]] = x32
        function = other_abi()
    if part == "ship":  # a confined process may be unable to import it
        importlib.import_module("auditsense.cli.ship")
    limits = LIMITS.get(UNITS.get(part, SENSOR_UNIT)) if kind == "unit" else None
    if limits is not None:
        limits.apply(USER if part in UNITS else None)
    if part in STATES:
        STATES[part](folder)
    # A confined process may be unable to fork; one that is not has to, because its attempts succeed.
    made = {
        name: outcome(attempt) if part != "root" else in_child(attempt) for name, attempt in tries.items()
    }
    os.write(pipe, json.dumps(made).encode())
    function()  # the last one: it ends this process


def main() -> None:
    """Attack each part, with and without Landlock, and a process that is not confined. Prints JSON."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        victim, same, sockets = prepare(folder)
        try:
            found = {"root": {"root": attacked("root", folder, victim, same, "without")}}
            for kind in ("landlock", "without"):
                found[kind] = {part: attacked(part, folder, victim, same, kind) for part in STATES}
            if unit_limits.ANALYZE is not None:
                LIMITS.update({unit: UnitLimits.of(unit) for unit in (SENSOR_UNIT, *UNITS.values())})
                parts = (UNIT_ALONE, *STATES)
                found["unit"] = {part: attacked(part, folder, victim, same, "unit") for part in parts}
        finally:
            for pid in (victim, same):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            for one in sockets:
                one.close()
    os.write(1, json.dumps(found | {"version": landlock.version()}).encode() + b"\n")


if __name__ == "__main__":
    main()
