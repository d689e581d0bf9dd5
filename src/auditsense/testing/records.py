"""Audit records for tests, as lines of a log and as datagrams of the kernel.

detector.feed(datagrams('''
    type=SYSCALL msg=audit(1795493114.674:3): arch=c000003e syscall=257 …
    type=EOE msg=audit(1795493114.674:3):
'''))
detector.feed(data for event in burst(10, pid=4352) for data in event.datagrams)
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from auditsense import syscalls
from auditsense.errors import UsageError, expect, expect_number

if TYPE_CHECKING:
    from collections.abc import Iterable

# linux/audit.h, by the names that daemons print; others are written as UNKNOWN[number].
TYPES: Final = {
    "LOGIN": 1006,
    "USER": 1005,
    "USER_AUTH": 1100,
    "USER_ACCT": 1101,
    "USER_LOGIN": 1112,
    "SERVICE_START": 1130,
    "DAEMON_START": 1200,
    "SYSCALL": 1300,
    "PATH": 1302,
    "IPC": 1303,
    "CONFIG_CHANGE": 1305,
    "SOCKADDR": 1306,
    "CWD": 1307,
    "EXECVE": 1309,
    "EOE": 1320,
    "PROCTITLE": 1327,
    "REPLACE": 1329,
    "URINGOP": 1336,
    "OPENAT2": 1337,
}

_IDS: Final = ("uid", "gid", "euid", "suid", "fsuid", "egid", "sgid", "fsgid")
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_LINE: Final = re.compile(rb"type=(?:UNKNOWN\[(\d+)\]|(\w+)) msg=(audit\(.*)", re.DOTALL)


def datagram(line: str | bytes) -> bytes:
    """Return the datagram of one record, written as a line of a log: "type=NAME msg=audit(…): …".

    As from the kernel, the length in its header is 16 too small.

    Raises:
        UsageError: not such a line. The kernel sends no node, so a line with one is refused as well.
    """
    match = _LINE.fullmatch(_bytes_of("line", line))
    if match is None:
        raise UsageError(
            f"expected a record, as 'type=NAME msg=audit(SECONDS.MILLIS:SERIAL): …', not {line!r}"
        )
    number, name, text = match.groups()
    kind = int(number) if number else TYPES.get(name.decode())
    if kind is None:
        raise UsageError(f"unknown record type {name.decode()}: write it as type=UNKNOWN[NUMBER]")
    if text.endswith(b"):"):
        text += b" "  # the kernel adds it even to a record without fields
    return _HEADER.pack(len(text), kind, 0, 0, 0) + bytes(text)


def datagrams(text: str | bytes) -> list[bytes]:
    """Return the datagrams of the records in a text, one per line; indents and empty lines are ignored."""
    data = _bytes_of("text", text)
    return [datagram(line.lstrip()) for line in data.split(b"\n") if line.strip()]


def quoted(value: str | bytes | None) -> str:
    """Return an untrusted string as the kernel writes it: in quotes, or as hex. None is `(null)`."""
    if value is None:
        return "(null)"
    data = _bytes_of("value", value)
    if all(0x21 <= byte <= 0x7E and byte != ord('"') for byte in data):
        return f'"{data.decode("ascii")}"'
    return data.hex().upper()


def _bytes_of(name: str, text: object) -> bytes:
    expect(name, text, str | bytes, "a string or bytes")
    return text.encode() if isinstance(text, str) else cast("bytes", text)


@dataclass(frozen=True, slots=True)
class EventRecords:
    """The records of one event, in the kernel's order.

    Attributes:
        ms: its stamp, ms since 1970 UTC.
        serial: its number.
        lines: its records as lines, without node and line end; the last is the EOE.
        node: prefix that a collector writes into a log; the kernel does not.
    """

    ms: int
    serial: int
    lines: tuple[str, ...]
    node: str = ""

    @property
    def id(self) -> str:
        """The event as alerts name it."""
        return f"{self.ms // 1000}.{self.ms % 1000:03}:{self.serial}"

    @property
    def text(self) -> bytes:
        """The event as a daemon logs it: without its EOE."""
        node = f"node={self.node} " if self.node else ""
        return "".join(f"{node}{line}\n" for line in self.lines[:-1]).encode()

    @property
    def datagrams(self) -> tuple[bytes, ...]:
        """The event as the kernel sends it."""
        return tuple(datagram(line) for line in self.lines)


def datagrams_of(events: Iterable[EventRecords | bytes]) -> list[bytes]:
    """Return the datagrams of events, and single ones as they are.

    Raises:
        UsageError: something is neither an event nor a datagram.
    """
    sent: list[bytes] = []
    for event in events:
        if isinstance(event, EventRecords):
            sent += event.datagrams
        elif isinstance(event, bytes) and len(event) >= _HEADER.size:
            sent.append(event)
        else:
            raise UsageError(
                f"expected events or datagrams, not {event!r:.60}: call_event(…) makes an event, "
                "datagrams(…) parses the lines of a log; unpack a list with *"
            )
    return sent


_NAMES_OF_PROC: Final = frozenset({'"/proc"', '"/proc/"', '"//proc"', '"/proc/."', '"proc"'})


def open_event(  # noqa: PLR0913 - each is one field of a record
    *,
    ms: int = 1_795_493_114_674,
    serial: int = 3,
    pid: int = 4352,
    ppid: int = 4308,
    uid: int = 65534,
    comm: str | bytes = "pspy64",
    exe: str | bytes | None = "/usr/local/bin/pspy64",
    arch: int = 0xC000003E,
    syscall: int = 257,
    success: bool = True,
    a0: str = "ffffffffffffff9c",
    a2: str = "80000",
    path: str | bytes | None = "/proc",
    nametype: str = "NORMAL",
    cwd: str | bytes = "/",
    title: str | bytes = "pspy64",
    key: str | bytes | None = "audit_proc",
    node: str = "",
) -> EventRecords:
    """Return an open of a path, as the kernel reports it; by default one by pspy on x86_64.

    Args:
        ms: stamp, ms since 1970 UTC.
        serial: number of the event.
        pid: the process.
        ppid: its parent.
        uid: all its user and group ids.
        comm: its name.
        exe: its program; None for a kernel thread.
        arch: AUDIT_ARCH_*.
        syscall: the call's number there.
        success: False: refused with EACCES.
        a0: the register, as the kernel prints it: the directory's descriptor.
        a2: the flags, likewise.
        path: as the process passed it; None: no path. A name of /proc has the inode, device and mode of a
            procfs, any other those of a file.
        nametype: of the PATH record.
        cwd: working directory of the process.
        title: of the process; NULs separate its arguments.
        key: of the audit rule; None: no key.
        node: see `EventRecords`.

    Raises:
        UsageError: an argument is of another type.
    """
    numbers = {
        "ms": ms,
        "serial": serial,
        "pid": pid,
        "ppid": ppid,
        "uid": uid,
        "arch": arch,
        "syscall": syscall,
    }
    for name, number in numbers.items():
        expect_number(name, number)
    for name, text in {"a0": a0, "a2": a2, "nametype": nametype, "node": node}.items():
        expect(name, text, str, "a string")
    result = "success=yes exit=5" if success else "success=no exit=-13"
    ids = " ".join(f"{name}={uid}" for name in _IDS)
    call = (
        f"arch={arch:x} syscall={syscall} {result} a0={a0} a1=c000012345 a2={a2} a3=0 items=1 "
        f"ppid={ppid} pid={pid} auid=4294967295 {ids} tty=(none) ses=4294967295 "
        f"comm={quoted(comm)} exe={quoted(exe)} subj=unconfined key={quoted(key)}"
    )
    root = quoted(path) in _NAMES_OF_PROC
    file = "inode=1 dev=00:15 mode=040555" if root else "inode=131 dev=08:01 mode=0100644"
    item = (
        f"item=0 name={quoted(path)} {file} ouid=0 ogid=0 rdev=00:00 "
        f"nametype={nametype} cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0"
    )
    records = (
        ("SYSCALL", call),
        ("CWD", f"cwd={quoted(cwd)}"),
        ("PATH", item),
        ("PROCTITLE", f"proctitle={quoted(title)}"),
        ("EOE", ""),
    )
    stamp = f"audit({ms // 1000}.{ms % 1000:03}:{serial}): "
    return EventRecords(ms, serial, tuple(f"type={kind} msg={stamp}{body}" for kind, body in records), node)


def call_event(  # noqa: PLR0913 - each is one field of a record
    call: str,
    *,
    arch: str = "x86_64",
    ms: int = 1_795_493_114_674,
    serial: int = 3,
    pid: int = 4352,
    ppid: int = 4308,
    uid: int = 65534,
    comm: str | bytes = "test",
    exe: str | bytes | None = "/usr/bin/test",
    success: bool = True,
    a0: str = "0",
    a2: str = "0",
    path: str | bytes | None = "/tmp/test",  # noqa: S108 - a text
    cwd: str | bytes = "/",
    title: str | bytes = "test",
    key: str | bytes | None = None,
) -> EventRecords:
    """Return any system call with one path, by its name.

    Args:
        call: its name.
        arch: audit's name of the architecture.
        ms: see `open_event`, also for the following.
        serial: number of the event.
        pid: the process.
        ppid: its parent.
        uid: all its user and group ids.
        comm: its name.
        exe: its program; None for a kernel thread.
        success: False: refused with EACCES.
        a0: the first register, in hex.
        a2: the third.
        path: as the process passed it; None: no path.
        cwd: working directory of the process.
        title: of the process; NULs separate its arguments.
        key: of the audit rule; None: no key.

    Raises:
        UsageError: that architecture has no such call, or an argument is of another type.
    """
    expect("call", call, str, "the name of a system call")
    if arch not in [*syscalls.ARCHES]:
        raise UsageError(f"unknown architecture {arch!r} (choose {', '.join(syscalls.ARCHES)})")
    number = syscalls.number(call, arch)
    if number is None:
        raise UsageError(f"{arch} has no system call {call!r}: name one of that architecture")
    return open_event(
        ms=ms,
        serial=serial,
        pid=pid,
        ppid=ppid,
        uid=uid,
        comm=comm,
        exe=exe,
        arch=syscalls.ARCHES[arch],
        syscall=number,
        success=success,
        a0=a0,
        a2=a2,
        path=path,
        cwd=cwd,
        title=title,
        key=key,
    )


def burst(  # noqa: PLR0913 - as open_event
    times: int,
    *,
    every_ms: int = 100,
    ms: int = 1_795_493_114_674,
    serial: int = 3,
    pid: int = 4352,
    node: str = "",
) -> list[EventRecords]:
    """Return opens of /proc by one process, *every_ms* apart, with serials that count up.

    Args:
        times: number of opens.
        every_ms: interval between two.
        ms: of the first.
        serial: of the first.
        pid: the process.
        node: see `EventRecords`.

    Raises:
        UsageError: an argument is of another type.
    """
    expect_number("times", times)
    expect_number("every_ms", every_ms)
    expect_number("ms", ms)
    expect_number("serial", serial)
    return [open_event(ms=ms + n * every_ms, serial=serial + n, pid=pid, node=node) for n in range(times)]
