"""A process that stays root for a few operations on files, which it got at the start and cannot exchange.

A sensor that has become another user can neither remove its files below /run nor create the next file of a
sink in a folder of root's. And no filter can tell one path of a socket from another. The broker removes
files, opens those of sinks, connects to the sockets of sinks, and passes descriptors. A client sends one
byte; nothing else is read from it.

Rule 1: the names lie in memory that is read-only and cannot be mapped again. The filter for system calls
        compares addresses: only these names may be opened, renamed, removed and connected to, the files of
        sinks below the folders that were open at the start.
Rule 2: each client has its own operations.
Rule 3: it has no capability, signals no process, waits for none, and ends with its last client.
Rule 4: a file is removed only if it is the one that the sensor has made.
"""

from __future__ import annotations

import array
import ctypes
import errno
import mmap
import os
import select
import signal
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn

from auditsense import _child_process as child
from auditsense import syscalls
from auditsense.errors import AuditSenseError, one_line
from auditsense.kernel import landlock, privileges, seccomp
from auditsense.kernel.seccomp import Fixed, InRange, OneOf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OPEN, ROTATE, DATAGRAMS, STREAM, BEFORE, KEEP, CLEAN = b"O", b"R", b"D", b"S", b"B", b"K", b"C"
"""Requests: open the file of a sink, rename it and its predecessors; connect to the socket of a sink, by one
of two types; note the last of the files to remove before it is made, and then; remove all of them."""
FILE_FLAGS: Final = (
    os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK
)
FILE_MODE: Final = 0o600
_AT_FDCWD, _AT_REMOVEDIR = -100, 0x200
_PROT_READ: Final = 1
_WAIT_S: Final = 5.0
_NAMES: Final = (
    "brk clock_gettime clock_gettime64 exit exit_group fstat fstat64 fstatat64 futex futex_time64 "
    "getpid gettid lstat lstat64 newfstatat poll ppoll ppoll_time64 read recvfrom recvmsg restart_syscall "
    "rt_sigaction rt_sigprocmask rt_sigreturn stat statx write"
)
_CALLS: Final = frozenset(_NAMES.split())


@dataclass(frozen=True, slots=True)
class SinkFile:
    """The file of a sink.

    Attributes:
        folder: descriptor of its folder, open until `Broker.start`.
        path: of the folder.
        names: of the file, then of its predecessors, the newest first.
    """

    folder: int
    path: str
    names: tuple[str, ...]


@dataclass(slots=True)
class Client:
    """What a client may ask for: the file of a sink, its socket, or the removal of the sensor's files."""

    connection: socket.socket
    file: SinkFile | None = None
    socket: str = ""
    identity: tuple[int, int] | None = None


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
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        status = os.fstat(descriptor)
        self._clients.append(Client(theirs, file, identity=(status.st_dev, status.st_ino)))
        return ours

    def add_socket(self, path: str) -> socket.socket:
        """Return the connection over which a sink asks for a socket that is connected to a path.

        Before `start`.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._clients.append(Client(theirs, socket=path))
        return ours

    def start(self) -> None:
        """Fork, as root, while there is one thread.

        Raises:
            AuditSenseError: no process can be created.
        """
        operations = Operations.of(self._clients, self._files, self._folders)
        filtered = seccomp.prepare(operations.call_list(self._clients))
        try:
            with child.signals_blocked(child.GROUP_SIGNALS):
                self.pid = os.fork()
                if self.pid == 0:
                    _run(self._clients, operations, filtered)
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

    def close(self) -> None:
        """Close the connection, and wait for the process when no other client is left."""
        self._own.close()
        if self.pid:
            child.wait_for_exit(self.pid, 1.0)
            self.pid = 0

    def _ask(self, request: bytes) -> None:
        with suppress(OSError):
            self._own.send(request)
            self._own.recv(1)


class Sealed:
    """Names in memory that is read-only from now on, each with a NUL.

    Attributes:
        first: lowest address.
        last: highest address.
    """

    def __init__(self, names: Sequence[str], prefix: bytes = b"") -> None:
        encoded = {name: prefix + os.fsencode(name) + b"\0" for name in names}
        text = b"".join(encoded.values()) or b"\0"
        size = (len(text) + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._memory[: len(text)] = text
        self.first = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self.last = self.first + len(text) - 1
        if child.libc().mprotect(ctypes.c_void_p(self.first), ctypes.c_size_t(size), _PROT_READ):
            raise AuditSenseError(f"cannot seal memory: {os.strerror(ctypes.get_errno())}")
        self._at = {}
        at = self.first
        for name, whole in encoded.items():
            self._at[name] = (at, len(whole))
            at += len(whole)

    def address(self, name: str) -> int:
        """Return where a name is."""
        return self._at[name][0]

    def size(self, name: str) -> int:
        """Return the bytes of a name, with prefix and NUL."""
        return self._at[name][1]


@dataclass(slots=True)
class Operations:
    """The operations, by addresses.

    Attributes:
        names: of files in the folders of sinks.
        paths: of files to remove.
        sockets: addresses (struct sockaddr_un).
        connects: whether there are any.
    """

    names: Sealed
    paths: Sealed
    sockets: Sealed
    connects: bool
    files: tuple[str, ...]
    folders: tuple[str, ...]
    before: tuple[int, int] | None = None
    same: tuple[int, int] | None = None
    noted: bool = False
    arch: str = field(default_factory=lambda: seccomp.abi() or "")

    @classmethod
    def of(cls, clients: Sequence[Client], files: tuple[str, ...], folders: tuple[str, ...]) -> Operations:
        """Return the operations of clients. In the process that forks: the memory is the child's as well.

        Args:
            clients: of the broker.
            files: of the sensor, to remove at the end.
            folders: to remove then, where they are empty.
        """
        names = [name for client in clients if client.file is not None for name in client.file.names]
        targets = [client.socket for client in clients if client.socket]
        addresses = Sealed(targets, struct.pack("=H", socket.AF_UNIX))
        return cls(Sealed(names), Sealed([*files, *folders]), addresses, bool(targets), files, folders)

    def call_list(self, connected: Sequence[Client]) -> seccomp.CallList:
        """Return what the process may still call.

        Args:
            connected: clients. Their descriptors stay what they are: none as low as these may be closed.
        """
        folders = [client.file.folder for client in connected if client.file is not None]
        clients = [client.connection.fileno() for client in connected]
        name = InRange(self.names.first, self.names.last)
        places = OneOf((*folders,)) if folders else OneOf((-1,))
        fixed: list[tuple[str, tuple[Fixed, ...]]] = [
            ("openat", (places, name, OneOf((FILE_FLAGS,)), OneOf((FILE_MODE,)))),
            ("close", (InRange(max((*folders, *clients)) + 1, 0x7FFF_FFFF),)),
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
        families: tuple[int, ...] = ()
        if self.connects:
            families = (int(socket.AF_UNIX),)
            fixed.append(("connect", (None, InRange(self.sockets.first, self.sockets.last))))
        if self.arch == "s390x":  # its mmap takes a structure, which a filter cannot read
            return seccomp.CallList(_CALLS | {"mmap"}, families, fixed=tuple(fixed), forks=False)
        flags = OneOf((mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,))
        data = OneOf((mmap.PROT_READ | mmap.PROT_WRITE,))
        fixed += [(one, (InRange(0, 0), None, data, flags)) for one in ("mmap", "mmap2")]
        return seccomp.CallList(_CALLS, families, fixed=tuple(fixed), forks=False)

    def tidy(self, request: bytes) -> None:
        """Do what the sensor asks for."""
        if request == CLEAN:
            self.clean()
        elif request == BEFORE and self.files:
            self.before, self.noted = _identity(self.files[-1]), True
        elif request == KEEP and self.files:
            self.same = _identity(self.files[-1])

    def clean(self) -> None:
        """Remove the files of the sensor, and its folders where they are empty."""
        for path in self.files:
            if path == self.files[-1] and not self._is_own(path):
                continue
            self._call("unlinkat", _AT_FDCWD, self.paths.address(path), 0)
        for path in self.folders:
            self._call("unlinkat", _AT_FDCWD, self.paths.address(path), _AT_REMOVEDIR)

    def _is_own(self, path: str) -> bool:
        found = _identity(path)
        return found == self.same if self.same is not None else self.noted and found != self.before

    def open(self, client: Client, file: SinkFile) -> int:
        """Return a descriptor.

        Raises:
            OSError: the file cannot be opened.
        """
        address = self.names.address(file.names[0])
        descriptor = self._call("openat", file.folder, address, FILE_FLAGS, FILE_MODE)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), "")
        status = os.fstat(descriptor)
        client.identity = (status.st_dev, status.st_ino)
        return descriptor

    def connect(self, path: str, kind: int) -> int:
        """Return a socket that is connected.

        Raises:
            OSError: it cannot be connected now.
        """
        one = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        if self._call("connect", one.fileno(), self.sockets.address(path), self.sockets.size(path)) < 0:
            number = ctypes.get_errno()
            one.close()
            raise OSError(number, "")
        return one.detach()

    def rotate(self, client: Client, file: SinkFile) -> None:
        """Rename the file and its predecessors, unless another process has renamed it.

        Raises:
            OSError: one cannot be renamed.
        """
        with suppress(FileNotFoundError):
            status = os.stat(file.names[0], dir_fd=file.folder, follow_symlinks=False)
            if (status.st_dev, status.st_ino) != client.identity:
                return
        for older, newer in zip(reversed(file.names[1:]), reversed(file.names[:-1]), strict=True):
            call = "renameat" if syscalls.number("renameat", self.arch) is not None else "renameat2"
            addresses = (self.names.address(newer), file.folder, self.names.address(older))
            if self._call(call, file.folder, *addresses, 0) < 0 and ctypes.get_errno() != errno.ENOENT:
                raise OSError(ctypes.get_errno(), "")

    def _call(self, name: str, *arguments: int) -> int:
        number = syscalls.number(name, self.arch)
        return int(child.libc().syscall(ctypes.c_long(number or -1), *map(ctypes.c_long, arguments)))


def _run(
    clients: Sequence[Client], operations: Operations, filtered: seccomp.SystemCallFilter | None
) -> NoReturn:
    """Run the broker. Never returns, so none of the sensor's exit handlers run here."""
    code = 1
    try:
        os.setsid()
        child.ignore((*child.GROUP_SIGNALS, signal.SIGPIPE, signal.SIGABRT))
        places = [client.file.folder for client in clients if client.file is not None]
        child.close_inherited(*(client.connection.fileno() for client in clients), *places)
        child.set_name("audit-broker")
        serve = confined(clients, operations, filtered)
        serve()
        code = 0
    except BaseException as error:  # noqa: BLE001 - the last frame: nothing above could report it
        text = one_line(f"error: the broker failed: {error!r}; start auditsense again")
        with suppress(OSError):
            os.write(2, f"auditsense: {text}\n".encode())
    finally:
        os._exit(code)


def confined(
    clients: Sequence[Client], operations: Operations, filtered: seccomp.SystemCallFilter | None
) -> Callable[[], None]:
    """Confine this process as the broker. Returns the function that serves its clients."""
    sinks = [client.file for client in clients if client.file is not None]
    _fill_descriptors(max(client.connection.fileno() for client in clients), [file.folder for file in sinks])
    abi = landlock.version()
    if abi:
        access = landlock.Access(
            write=tuple(file.path for file in sinks),
            remove=tuple(
                dict.fromkeys(path.rpartition("/")[0] for path in (*operations.files, *operations.folders))
            ),
        )
        ruleset = landlock.ruleset(access, abi)
    poll = select.poll()
    by_descriptor = {client.connection.fileno(): client for client in clients}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    privileges.keep_only()
    if abi:
        landlock.restrict(ruleset)
    if filtered is not None:
        seccomp.confine(filtered)

    def serve() -> None:
        while by_descriptor:
            for descriptor, _ in poll.poll():
                client = by_descriptor[descriptor]
                try:
                    request = client.connection.recv(1)
                except ConnectionError:  # it has ended without reading an answer
                    request = b""
                if not request:
                    poll.unregister(descriptor)
                    del by_descriptor[descriptor]  # it stays open: another one may not get its number
                    continue
                with suppress(OSError):
                    _answer(operations, client, request)

    return serve


def _fill_descriptors(last_client: int, folders: Sequence[int]) -> None:
    """Leave no free number below the descriptors that stay: later ones must be higher, to be closed."""
    last = max((last_client, *folders))
    while (descriptor := os.open(os.devnull, os.O_PATH | os.O_CLOEXEC)) < last:
        pass
    os.close(descriptor)


def _answer(operations: Operations, client: Client, request: bytes) -> None:
    """Do what a client asks for; answer with 0 or an errno, and a descriptor."""
    file, result, descriptors = client.file, 0, []
    try:
        if client.socket:
            kinds = {DATAGRAMS: socket.SOCK_DGRAM, STREAM: socket.SOCK_STREAM}
            if request in kinds:
                descriptors.append(operations.connect(client.socket, kinds[request]))
        elif file is None:
            operations.tidy(request)
        elif request == ROTATE:
            operations.rotate(client, file)
        elif request == OPEN:
            descriptors.append(operations.open(client, file))
    except OSError as error:
        result = error.errno or errno.EIO
    passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    try:
        # Without waiting: a client that reads no answer must not delay the others.
        client.connection.sendmsg([bytes([result])], passed, socket.MSG_DONTWAIT)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
