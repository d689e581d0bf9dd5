"""A process that stays root for a few operations on files, which it got at the start and cannot exchange.

A sensor that has become another user can neither remove its files below /run, nor open the log that it
reads after a rotation, nor create the next file of a sink in a folder of root's. And no filter can tell one
path of a socket from another. The broker removes files, opens those of sinks and logs, connects to named
sockets, and passes descriptors. A client sends one byte; nothing else is read from it.

This module prepares the process: names, filter, confinement. _helper/broker.c is the process.

Rule 1: the names lie in memory that is read-only and cannot be mapped again. The filter for system calls
        compares addresses: only these names may be opened, renamed, removed and connected to, the files of
        sinks and logs below the folders that were open at the start, those of logs for reading alone.
Rule 2: each client has its own operations.
Rule 3: it has no capability, signals no process, waits for none, and ends with its last client.
Rule 4: a file is removed only if it is the one that the sensor has made.
Rule 5: it runs no Python and keeps no memory of the sensor's: half of a Python process would be its own copy
        as soon as it counted references.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from auditsense import _child_process as child
from auditsense._frozen import Frozen
from auditsense._helper_ffi import ffi, lib
from auditsense.errors import AuditSenseError, one_line
from auditsense.kernel import landlock, privileges, seccomp
from auditsense.kernel.seccomp import Fixed, InRange, OneOf

if TYPE_CHECKING:
    from collections.abc import Sequence

OPEN, ROTATE, DATAGRAMS, STREAM, BEFORE, KEEP, CLEAN = b"O", b"R", b"D", b"S", b"B", b"K", b"C"
"""Requests: open the file of a sink, rename it and its predecessors; connect to a socket, by one of two
types; note the last of the files to remove before it is made, and then; remove all of them."""
SAME: Final = b"\xff"
"""Request: whether the log is still the file that was opened last. A lower byte N opens its Nth name."""
_LARGE: Final = getattr(os, "O_LARGEFILE", 0)
_ALWAYS: Final = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK | _LARGE
FILE_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | _ALWAYS
LOG_FLAGS: Final = os.O_RDONLY | _ALWAYS
FILE_MODE: Final = 0o600
_AT_FDCWD, _AT_REMOVEDIR = -100, 0x200
_PROT_READ: Final = 1
_WAIT_S: Final = 5.0
_LIBPYTHON: Final = "libpython"
_MOST_RANGES: Final = 64  # that _helper/start.c takes
_NAMES: Final = (
    "brk clock_gettime clock_gettime64 exit exit_group fstat fstat64 fstatat64 futex futex_time64 "
    "getpid gettid lstat lstat64 newfstatat poll ppoll ppoll_time64 read recvfrom recvmsg restart_syscall "
    "rt_sigaction rt_sigprocmask rt_sigreturn stat statx write"
)
_CALLS: Final = frozenset(_NAMES.split())


@dataclass(slots=True, eq=False, repr=False)
class SinkFile(Frozen):
    """The file of a sink.

    Attributes:
        folder: descriptor of its folder, open until `Broker.start`.
        path: of the folder.
        names: of the file, then of its predecessors, the newest first.
    """

    folder: int
    path: str
    names: tuple[str, ...]


@dataclass(slots=True, eq=False, repr=False)
class LogFile(SinkFile):
    """A log that is read. As for `SinkFile`."""


@dataclass(slots=True, eq=False, repr=False)
class Client:
    """What a client may ask for: a file, a socket, or the removal of the sensor's files."""

    connection: socket.socket
    file: SinkFile | None = None
    socket: str = ""
    identity: tuple[int, int] = (0, 0)

    @property
    def is_log(self) -> bool:
        """Whether the file is read alone."""
        return isinstance(self.file, LogFile)


class Broker:
    """Handle of the process. Add the files of sinks, start it, and use the descriptors that it returned.

    Args:
        files: of the sensor, absolute, to remove at the end. The last one is removed only if it is the same
            as when `keep` was called or, without that, another one than when `before` was called.
        folders: to remove then, where they are empty.
    """

    def __init__(self, files: Sequence[str] = (), folders: Sequence[str] = ()) -> None:
        self._files = tuple(files)
        self._folders = tuple(folders)
        self._own, cleaned = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._clients = [Client(cleaned)]
        self._own.settimeout(_WAIT_S)
        self.pid = 0
        """Of the process; 0 before `start`."""

    def add_file(self, file: SinkFile, descriptor: int) -> socket.socket:
        """Return the connection over which a sink asks for its file. Before `start`.

        Args:
            file: of the sink.
            descriptor: of the file as it is now.
        """
        status = os.fstat(descriptor)
        return self._add(file=file, identity=(status.st_dev, status.st_ino))

    def add_log(self, file: LogFile) -> socket.socket:
        """Return the connection over which a source asks for a log, with a timeout. Before `start`."""
        ours = self._add(file=file)
        ours.settimeout(_WAIT_S)
        return ours

    def add_socket(self, path: str) -> socket.socket:
        """Return the connection over which a socket is asked for that is connected to a path.

        With a timeout. Before `start`.
        """
        ours = self._add(socket=path)
        ours.settimeout(_WAIT_S)
        return ours

    def _add(self, **operations: Any) -> socket.socket:  # noqa: ANN401 - fields of Client
        if len(self._clients) == lib.AS_BROKER_CLIENTS:
            raise AuditSenseError(
                f"the broker has {len(self._clients)} clients at most; configure fewer sinks"
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._clients.append(Client(theirs, **operations))
        return ours

    def start(self) -> None:
        """Fork, as root, while there is one thread.

        Raises:
            AuditSenseError: no process can be created.
        """
        operations = Operations.of(self._clients, self._files, self._folders)
        filtered = seccomp.prepare(operations.call_list(self._clients))
        table = Table(self._clients, operations, filtered)
        try:
            with child.signals_blocked(child.GROUP_SIGNALS):
                self.pid = os.fork()
                if self.pid == 0:
                    _run(self._clients, operations, table)
        except OSError as error:
            raise AuditSenseError(f"cannot start the broker: {error.strerror}") from None
        for one in self._clients:
            one.connection.close()
            if one.file is not None:
                os.close(one.file.folder)
        self._clients.clear()

    def fileno(self) -> int:
        """Return the descriptor over which files are removed."""
        return self._own.fileno()

    def before(self) -> None:
        """Note that the last of the files, if it exists, is not the sensor's yet."""
        self._ask(BEFORE)

    def keep(self) -> None:
        """Note that the last of the files is the sensor's."""
        self._ask(KEEP)

    def clean(self) -> None:
        """Remove the files and folders. Never raises: what stays is removed by the next start."""
        self._ask(CLEAN)

    def has_ended(self) -> bool:
        """Return True once when the process has ended, though this client has not: it was killed."""
        if not self.pid or not child.has_exited(self.pid):
            return False
        self.pid = 0
        return True

    def close(self) -> None:
        """Close the connection, and wait for the process when no other client is left."""
        self._own.close()
        for client in self._clients:  # it was not started
            client.connection.close()
        if self.pid:
            child.wait_for_exit(self.pid, 1.0)
            self.pid = 0

    def _ask(self, request: bytes) -> None:
        with suppress(OSError):
            self._own.send(request)
            self._own.recv(1)


class Sealed:
    """Memory that is read-only from now on, with pieces of bytes.

    Attributes:
        first: lowest address.
        last: highest address.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        size = (max(1, sum(map(len, pieces))) + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.first = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self.addresses: list[int] = []
        """Of each piece."""
        end = 0
        for piece in pieces:
            self._memory[end : end + len(piece)] = piece
            self.addresses.append(self.first + end)
            end += len(piece)
        self.last = self.first + max(1, end) - 1
        if child.libc().mprotect(ctypes.c_void_p(self.first), ctypes.c_size_t(size), _PROT_READ):
            raise AuditSenseError(f"cannot seal memory: {os.strerror(ctypes.get_errno())}")


def _text(name: str) -> bytes:
    return os.fsencode(name) + b"\0"


def _address(path: str) -> bytes:
    """Return a struct sockaddr_un."""
    return struct.pack("=H", socket.AF_UNIX) + _text(path)


@dataclass(slots=True, eq=False, repr=False)
class Operations:
    """The operations, by addresses.

    Attributes:
        names: of files in the folders of sinks.
        logs: of files in the folders of logs.
        paths: of files to remove, then of folders.
        sockets: addresses.
        clients: of each client, where its names are.
        files: of the sensor, to remove at the end.
        folders: to remove then, where they are empty.
    """

    names: Sealed
    logs: Sealed
    paths: Sealed
    sockets: Sealed
    clients: list[list[int]]
    files: tuple[str, ...]
    folders: tuple[str, ...]
    arch: str = field(default_factory=lambda: seccomp.abi() or "")

    @classmethod
    def of(cls, clients: Sequence[Client], files: tuple[str, ...], folders: tuple[str, ...]) -> Operations:
        """Return the operations of clients. In the process that forks: the memory is the child's as well.

        Args:
            clients: of the broker.
            files: of the sensor, to remove at the end.
            folders: to remove then, where they are empty.
        """
        of_sinks = [one.file.names if one.file is not None and not one.is_log else () for one in clients]
        of_logs = [one.file.names if one.file is not None and one.is_log else () for one in clients]
        names = Sealed([_text(name) for some in of_sinks for name in some])
        logs = Sealed([_text(name) for some in of_logs for name in some])
        paths = Sealed([_text(path) for path in (*files, *folders)])
        sockets = Sealed([_address(one.socket) for one in clients if one.socket])
        of_names, of_log_names, of_sockets = map(iter, (names.addresses, logs.addresses, sockets.addresses))
        places = []
        for client, sink, log in zip(clients, of_sinks, of_logs, strict=True):
            if client.socket:
                places.append([next(of_sockets)])
            elif client.file is None:
                places.append(paths.addresses)
            else:
                places.append([*(next(of_names) for _ in sink), *(next(of_log_names) for _ in log)])
        return cls(names, logs, paths, sockets, places, files, folders)

    def call_list(self, connected: Sequence[Client]) -> seccomp.CallList:
        """Return what the process may still call.

        Args:
            connected: clients. Their descriptors stay what they are: none as low as these may be closed.
        """
        sinks = [one.file.folder for one in connected if one.file is not None and not one.is_log]
        logs = [one.file.folder for one in connected if one.file is not None and one.is_log]
        clients = [client.connection.fileno() for client in connected]
        name = InRange(self.names.first, self.names.last)
        places = OneOf((*sinks,)) if sinks else OneOf((-1,))
        fixed: list[tuple[str, tuple[Fixed, ...]]] = [
            ("openat", (places, name, OneOf((FILE_FLAGS,)), OneOf((FILE_MODE,)))),
            ("close", (InRange(max((*sinks, *logs, *clients)) + 1, 0x7FFF_FFFF),)),
            ("sendmsg", (OneOf((*clients,)),)),
            ("renameat", (places, name, places, name)),
            ("renameat2", (places, name, places, name, OneOf((0,)))),
            (
                "unlinkat",
                (
                    OneOf((_AT_FDCWD,)),
                    InRange(self.paths.first, self.paths.last),
                    OneOf((0, _AT_REMOVEDIR)),
                ),
            ),
        ]
        if logs:
            name = InRange(self.logs.first, self.logs.last)
            fixed.append(("openat", (OneOf((*logs,)), name, OneOf((LOG_FLAGS,)))))
        families: tuple[int, ...] = ()
        if self.sockets.addresses:
            families = (int(socket.AF_UNIX),)
            fixed.append(("connect", (None, InRange(self.sockets.first, self.sockets.last))))
        if self.arch == "s390x":  # its mmap takes a structure, which a filter cannot read
            return seccomp.CallList(_CALLS | {"mmap"}, families, fixed=tuple(fixed), forks=False)
        flags = OneOf((mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,))
        data = OneOf((mmap.PROT_READ | mmap.PROT_WRITE,))
        fixed += [(one, (InRange(0, 0), None, data, flags)) for one in ("mmap", "mmap2")]
        return seccomp.CallList(_CALLS, families, fixed=tuple(fixed), forks=False)


class Table:
    """The clients as _helper/broker.c takes them, and the filter, in sealed memory.

    Args:
        clients: of the broker.
        operations: of the same clients.
        filtered: what the process may still call; None: anything.
    """

    def __init__(
        self, clients: Sequence[Client], operations: Operations, filtered: seccomp.SystemCallFilter | None
    ) -> None:
        pointer = ffi.sizeof("void *")
        lists = [b"".join(_pointer(one) for one in places) for places in operations.clients]
        self._lists = Sealed([*lists, b"" if filtered is None else filtered.instructions])
        records = ffi.new("as_broker_client[]", len(clients))
        for record, client, places, at in zip(
            records, clients, operations.clients, self._lists.addresses, strict=False
        ):
            record.names = ffi.cast("void *", at)
            record.count = len(places)
            record.connection = client.connection.fileno()
            record.device, record.inode = client.identity
            record.folder = -1 if client.file is None else client.file.folder
            if client.socket:
                record.kind, record.length = lib.AS_BROKER_SOCKET, len(_address(client.socket))
            elif client.file is None:
                record.kind, record.files = lib.AS_BROKER_TIDY, len(operations.files)
            elif client.is_log:
                record.kind, record.flags = lib.AS_BROKER_LOG, LOG_FLAGS
            else:
                record.kind, record.flags = lib.AS_BROKER_FILE, FILE_FLAGS
        program = b""
        if filtered is not None:  # struct sock_fprog
            count = struct.pack("=H", len(filtered.instructions) // 8)
            program = count.ljust(pointer, b"\0") + _pointer(self._lists.addresses[-1])
        self._records = Sealed([bytes(ffi.buffer(records)), program])
        self.clients = ffi.cast("as_broker_client *", self._records.first)
        self.count = len(clients)
        self.program = ffi.cast("void *", self._records.addresses[-1] if program else 0)


def _pointer(address: int) -> bytes:
    return struct.pack("P", address)


def _run(clients: Sequence[Client], operations: Operations, table: Table) -> NoReturn:
    """Run the broker. Never returns, so none of the sensor's exit handlers run here."""
    try:
        os.setsid()
        _ignore_signals()
        places = [client.file.folder for client in clients if client.file is not None]
        child.close_inherited(*(client.connection.fileno() for client in clients), *places)
        child.set_name("audit-broker")
        unneeded = unneeded_memory()
        confined(clients, operations)
        ranges = ffi.new("as_range[]", unneeded)
        start = {"unneeded": ranges, "unneeded_count": len(unneeded), "program": table.program}
        lib.as_broker_run(table.clients, table.count, ffi.new("as_helper_start *", start))
    except BaseException as error:  # noqa: BLE001 - the last frame: nothing above could report it
        text = one_line(f"error: the broker failed: {error!r}; start auditsense again")
        with suppress(OSError):
            os.write(2, f"auditsense: {text}\n".encode())
    finally:
        os._exit(1)


def _ignore_signals() -> None:
    """Ignore what a group or a watchdog sends, and what the sensor handles: its handlers are Python."""
    handled = {number for number in signal.valid_signals() if callable(signal.getsignal(number))}
    child.ignore({*child.GROUP_SIGNALS, signal.SIGPIPE, signal.SIGABRT, *handled})


def confined(clients: Sequence[Client], operations: Operations) -> None:
    """Confine this process as the broker, but for the filter of its system calls."""
    files = [client.file for client in clients if client.file is not None]
    _fill_descriptors(max(client.connection.fileno() for client in clients), [file.folder for file in files])
    abi = landlock.version()
    if abi:
        access = landlock.Access(
            read=tuple(file.path for file in files if isinstance(file, LogFile)),
            write=tuple(file.path for file in files if not isinstance(file, LogFile)),
            remove=tuple(
                dict.fromkeys(path.rpartition("/")[0] for path in (*operations.files, *operations.folders))
            ),
        )
        ruleset = landlock.ruleset(access, abi)
    privileges.keep_only()
    if abi:
        landlock.restrict(ruleset)


def _fill_descriptors(last_client: int, folders: Sequence[int]) -> None:
    """Leave no free number below the descriptors that stay: later ones must be higher, to be closed."""
    last = max((last_client, *folders))
    while (descriptor := os.open(os.devnull, os.O_PATH | os.O_CLOEXEC)) < last:
        pass
    os.close(descriptor)


def unneeded_memory(maps: Path = Path("/proc/self/maps")) -> list[tuple[int, int]]:
    """Return mappings of this process for data, the largest first: memory of Python and its modules.

    Writable and without a file, or variables of libpython. _helper/start.c leaves out variables of other
    libraries and what the thread uses.
    """
    try:
        lines = maps.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no /proc: it keeps more memory
        return []
    found = []
    for line in lines:
        addresses, rights, _, _, inode, *name = line.split(maxsplit=5)
        anonymous = inode == "0" and name in ([], ["[heap]"])
        if rights == "rw-p" and (anonymous or (name and _LIBPYTHON in name[0].rpartition("/")[2])):
            first, end = (int(one, 16) for one in addresses.split("-"))
            found.append((first, end))
    return sorted(found, key=lambda pair: pair[0] - pair[1])[:_MOST_RANGES]
