"""Events whose fields are decoded when they are read.

An `Event` is a slice of the core's bytes. Decoded values are not cached. `Event.document` is the same event
with the names of the Elastic Common Schema.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense.core.hit import HIT_BYTES, ID_BYTES, PLACE_BYTES, EventId, read_hits
from auditsense.core.rule_table import Field
from auditsense.detect.ecs import event_document
from auditsense.errors import UsageError

if TYPE_CHECKING:
    from auditsense.detect.document_types import Document
    from auditsense.detect.host import Host

_place = struct.Struct("=II").unpack_from  # as_hit_field: from the start of the hit, length
_size = struct.Struct("=I").unpack_from  # as_hit.size
_stamp = struct.Struct("=QIHH").unpack_from  # as_event_id: ms, serial, type, flags
_LONGEST_NUMBER: Final = len(str(-(2**63)))  # a log may hold anything
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OUTCOMES: Final = {"yes": True, "no": False}

# Where each field's place is: an event is a hit of one id. Names, since an enum member costs a look-up.
_FIRST: Final = HIT_BYTES + ID_BYTES
(_ARCH, _SYSCALL, _SUCCESS, _EXIT, _A0, _A1, _A2, _A3, _ITEMS, _PPID, _PID, _AUID, _UID, _GID, _EUID) = (
    _FIRST + PLACE_BYTES * field for field in range(Field.ARCH, Field.EUID + 1)
)
(_SUID, _FSUID, _EGID, _SGID, _FSGID, _TTY, _SES, _COMM, _EXE, _SUBJ, _KEY, _CWD, _PATH) = (
    _FIRST + PLACE_BYTES * field for field in range(Field.SUID, Field.PATH_NAME + 1)
)
_TITLE: Final = _FIRST + PLACE_BYTES * Field.PROCTITLE
_NODE: Final = _FIRST + PLACE_BYTES * Field.NODE
_ARGC, _ARGS = (_FIRST + PLACE_BYTES * field for field in (Field.ARGC, Field.ARGS))
_CAPABILITIES: Final = _FIRST + PLACE_BYTES * Field.CAPABILITIES
(_SOCKET_FAMILY, _SOCKET_IP, _SOCKET_PORT, _SOCKET_PATH) = (
    _FIRST + PLACE_BYTES * field for field in range(Field.SOCKET_FAMILY, Field.SOCKET_PATH + 1)
)
(_ACCT, _TERMINAL, _HOSTNAME, _ADDR, _GRANTORS, _, _UNIT) = (
    _FIRST + PLACE_BYTES * field for field in range(Field.ACCT, Field.UNIT + 1)
)
_END: Final = _FIRST + PLACE_BYTES * len(Field)
(_NOT_KEPT,) = struct.unpack("=Q", struct.pack("=II", 0, 1))  # the place of such a field


def _kept(not_kept: int, place: int) -> None:
    if not_kept:
        name = Field((place - _FIRST) // PLACE_BYTES).name.lower()
        raise UsageError(f"{name} was not selected: add it to the fields= of this event's reader")


def _text(raw: bytes, place: int) -> str | None:
    at, length = _place(raw, place)
    if not at:
        _kept(length, place)
        return None
    value = raw[at : at + length]
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("utf-8", "backslashreplace")


def _number(raw: bytes, place: int) -> int | None:
    at, length = _place(raw, place)
    if not at:
        _kept(length, place)
        return None
    if length > _LONGEST_NUMBER:
        return None
    value = raw[at : at + length]
    if not value.isdigit() and not value.removeprefix(b"-").isdigit():
        return None
    return int(value)


@lru_cache(maxsize=1024)
def call_name(arch: str | None, number: str | None) -> str | None:
    """Return the name of a call; its number where it is unknown. Both as the kernel wrote them."""
    if number is None or not number.isdecimal() or len(number) > _LONGEST_NUMBER:
        return number
    if arch is None:  # only the record of an operation of io_uring names no architecture
        return syscalls.ring_operation_name(int(number)) or number
    name = arch_name(arch)
    if name is None:
        return number
    return syscalls.name(int(number), name) or number


@lru_cache(maxsize=64)
def arch_name(arch: str | None) -> str | None:
    """Return audit's name of an architecture; as the kernel wrote it where it is unknown."""
    try:
        return syscalls.arch_name(int(arch or "", 16)) or arch
    except ValueError:
        return arch


def outcome(success: str | None) -> bool | None:
    """Read SYSCALL success."""
    return _OUTCOMES.get(success or "")


def split_keys(key: str | None) -> tuple[str, ...]:
    """Return the keys that the kernel joined with byte 1."""
    return () if key is None else tuple(key.split("\x01"))


def split_list(values: str | None) -> tuple[str, ...]:
    """Return the values of a list field, which the core joined with NUL."""
    return () if values is None else tuple(values.split("\0"))


def split_title(title: str | None) -> tuple[str, ...]:
    """Return the arguments that a title shows; a NUL behind the last one ends it."""
    shown = (title or "").removesuffix("\0")
    return tuple(shown.split("\0")) if shown else ()


class Event:
    r"""One event of the audit: its SYSCALL record, and what the others add to it; or a record without a call.

    Numbers are those of the initial namespaces. A field is None if no record carried it; nothing is looked
    up. A field that its reader's `fields` left out is a UsageError. Text is as the kernel wrote it, hex
    decoded; bytes that are not UTF-8 become ``\xNN``. Immutable and a few hundred bytes long. Returned by
    `EventReader` and `Sensor.events`; equal when its bytes are.
    """

    __slots__ = ("_host", "_raw")

    def __init__(self, raw: bytes, host: Host) -> None:
        self._raw = raw
        self._host = host

    def __repr__(self) -> str:
        """Return the fields that tell one event from another."""
        try:
            return f"Event({self.id}, {self.syscall}, pid={self.pid}, exe={self.exe!r}, path={self.path!r})"
        except UsageError:  # one of them was not selected
            return f"Event({self.id})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self._raw == other._raw

    def __hash__(self) -> int:
        return hash(self._raw)

    # --- when and where ----------------------------------------------------------

    @property
    def ms(self) -> int:
        """The kernel's stamp of the call's entry, ms since 1970 UTC."""
        ms: int = _stamp(self._raw, HIT_BYTES)[0]
        return ms

    @property
    def serial(self) -> int:
        """The kernel's number of the event, 32 bits; starts again at each boot."""
        serial: int = _stamp(self._raw, HIT_BYTES)[1]
        return serial

    @property
    def id(self) -> str:
        """Stamp and serial as the kernel printed them, SECONDS.MILLIS:SERIAL."""
        return str(EventId(self.ms, self.serial))

    @property
    def time(self) -> datetime:
        """The stamp in UTC; the last moment of 9999 for what is later."""
        try:
            return _EPOCH + timedelta(milliseconds=self.ms)
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)

    @property
    def node(self) -> str:
        """The ``node=`` a collector wrote before the records; this host's name, or its capture's, without."""
        return _text(self._raw, _NODE) or self._host.name

    # --- what ----------------------------------------------------------------------

    @property
    def arch(self) -> str | None:
        """SYSCALL arch by audit's name, such as ``x86_64``; the kernel's hex where it is unknown."""
        return arch_name(_text(self._raw, _ARCH))

    @property
    def syscall(self) -> str | None:
        """The call's name on that architecture, such as ``openat``; its number where it is unknown."""
        return call_name(_text(self._raw, _ARCH), _text(self._raw, _SYSCALL))

    @property
    def success(self) -> bool | None:
        """SYSCALL success."""
        return outcome(_text(self._raw, _SUCCESS))

    @property
    def exit(self) -> int | None:
        """SYSCALL exit: what the call returned; a negative errno when it failed."""
        return _number(self._raw, _EXIT)

    @property
    def arguments(self) -> tuple[str | None, str | None, str | None, str | None]:
        """SYSCALL a0 to a3: the first four registers, in hex."""
        raw = self._raw
        return _text(raw, _A0), _text(raw, _A1), _text(raw, _A2), _text(raw, _A3)

    @property
    def path(self) -> str | None:
        """PATH name as the process wrote it, never joined with `cwd`; of the chosen PATH (docs/alerts.md)."""
        return _text(self._raw, _PATH)

    @property
    def keys(self) -> tuple[str, ...]:
        """SYSCALL key: the keys of the audit rules that matched; empty for none."""
        return split_keys(_text(self._raw, _KEY))

    @property
    def key(self) -> str | None:
        """The first of `keys`."""
        return next(iter(self.keys), None)

    # --- who -------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """SYSCALL pid: the process, never the thread."""
        return _number(self._raw, _PID)

    @property
    def ppid(self) -> int | None:
        """SYSCALL ppid: its parent."""
        return _number(self._raw, _PPID)

    @property
    def comm(self) -> str | None:
        """SYSCALL comm: what the process calls itself, 15 bytes at most. Never a proof."""
        return _text(self._raw, _COMM)

    @property
    def exe(self) -> str | None:
        """SYSCALL exe: the path of its program; None for a kernel thread."""
        return _text(self._raw, _EXE)

    @property
    def cwd(self) -> str | None:
        """CWD cwd: where it is."""
        return _text(self._raw, _CWD)

    @property
    def title(self) -> str | None:
        """PROCTITLE proctitle: its arguments as it shows them, 128 bytes at most, NULs as blanks."""
        title = _text(self._raw, _TITLE)
        return None if title is None else title.replace("\0", " ")

    @property
    def args(self) -> tuple[str, ...]:
        """EXECVE a0, a1, and so on: the arguments of the new program; empty for what is no exec.

        Complete up to 1,024 arguments and 32 KiB; see `args_cut`.
        """
        return split_list(_text(self._raw, _ARGS))

    @property
    def args_count(self) -> int | None:
        """EXECVE argc: how many arguments the new program has."""
        return _number(self._raw, _ARGC)

    @property
    def args_cut(self) -> bool:
        """Whether `args` is not complete: there are more, or longer ones, or a record of them was lost."""
        flags: int = _stamp(self._raw, HIT_BYTES)[3]
        return flags != 0

    @property
    def command_line(self) -> str | None:
        """The arguments of `args`, joined with blanks."""
        args = _text(self._raw, _ARGS)
        return None if args is None else args.replace("\0", " ")

    @property
    def argv(self) -> tuple[str, ...]:
        """`args` of an exec; of any other event what its PROCTITLE shows, split at the NULs.

        A title has 128 bytes at most, and a process may show what it likes: one that writes its title in one
        piece has one argument.
        """
        return self.args or split_title(_text(self._raw, _TITLE))

    @property
    def capabilities(self) -> tuple[str, ...]:
        """BPRM_FCAPS pe: the capabilities that an exec of a privileged program has, as ``CAP_NET_RAW``."""
        return split_list(_text(self._raw, _CAPABILITIES))

    @property
    def tty(self) -> str | None:
        """SYSCALL tty; None when it has no terminal."""
        return _text(self._raw, _TTY)

    @property
    def session(self) -> int | None:
        """SYSCALL ses: the login session; 4294967295 for what no login started."""
        return _number(self._raw, _SES)

    @property
    def auid(self) -> int | None:
        """SYSCALL auid: the user that logged in; 4294967295 for what no login started."""
        return _number(self._raw, _AUID)

    @property
    def uid(self) -> int | None:
        """SYSCALL uid: the real user; so euid, suid and fsuid, and the groups gid, egid, sgid and fsgid."""
        return _number(self._raw, _UID)

    @property
    def euid(self) -> int | None:
        """SYSCALL euid."""
        return _number(self._raw, _EUID)

    @property
    def suid(self) -> int | None:
        """SYSCALL suid."""
        return _number(self._raw, _SUID)

    @property
    def fsuid(self) -> int | None:
        """SYSCALL fsuid."""
        return _number(self._raw, _FSUID)

    @property
    def gid(self) -> int | None:
        """SYSCALL gid."""
        return _number(self._raw, _GID)

    @property
    def egid(self) -> int | None:
        """SYSCALL egid."""
        return _number(self._raw, _EGID)

    @property
    def sgid(self) -> int | None:
        """SYSCALL sgid."""
        return _number(self._raw, _SGID)

    @property
    def fsgid(self) -> int | None:
        """SYSCALL fsgid."""
        return _number(self._raw, _FSGID)

    def user_name(self) -> str | None:
        """Return the name that THIS host has for `uid` now; None: none. May read files or ask the network.

        Remembered for the life of this process, up to 1,024 users. Not for events of other hosts.
        """
        uid = self.uid
        return None if uid is None else _user_name(uid)

    # --- other records -----------------------------------------------------------

    @property
    def record_type(self) -> int:
        """The type of the first record: 1300 for most events (linux/audit.h); 1500 for AVC of AppArmor."""
        record_type: int = _stamp(self._raw, HIT_BYTES)[2]
        return record_type

    @property
    def socket_family(self) -> str | None:
        """SOCKADDR saddr: ``unix``, ``ipv4``, ``ipv6``, ``netlink``, or a number."""
        return _text(self._raw, _SOCKET_FAMILY)

    @property
    def socket_address(self) -> str | None:
        """SOCKADDR saddr: the address of ipv4 and ipv6."""
        return _text(self._raw, _SOCKET_IP)

    @property
    def socket_port(self) -> int | None:
        """SOCKADDR saddr: the port of ipv4 and ipv6."""
        return _number(self._raw, _SOCKET_PORT)

    @property
    def socket_path(self) -> str | None:
        """SOCKADDR saddr: the path of unix; an abstract name starts with ``@``."""
        return _text(self._raw, _SOCKET_PATH)

    @property
    def account(self) -> str | None:
        """The account that a record of user space is about: acct, else id."""
        return _text(self._raw, _ACCT)

    @property
    def terminal(self) -> str | None:
        """Terminal of a record of user space; so hostname, address, grantors and unit."""
        return _text(self._raw, _TERMINAL)

    @property
    def hostname(self) -> str | None:
        """Hostname of a record of user space."""
        return _text(self._raw, _HOSTNAME)

    @property
    def address(self) -> str | None:
        """Addr of a record of user space."""
        return _text(self._raw, _ADDR)

    @property
    def grantors(self) -> str | None:
        """Grantors of a record of PAM: the modules that agreed."""
        return _text(self._raw, _GRANTORS)

    @property
    def unit(self) -> str | None:
        """Unit of a record of a service."""
        return _text(self._raw, _UNIT)

    # --- all of it -------------------------------------------------------------------

    def text(self, field: Field) -> str | None:
        """Return any field as text; None: no record carried it."""
        return _text(self._raw, _FIRST + PLACE_BYTES * field)

    def document(self) -> Document:
        """Return the event with ECS names, as `auditsense run -o events` prints it. Needs every field."""
        if _NOT_KEPT in memoryview(self._raw)[_FIRST:_END].cast("Q"):
            raise UsageError("a document needs all fields: make the EventReader without fields=")
        (hit,) = read_hits(self._raw)
        return event_document(hit, self._host)


@lru_cache(maxsize=1024)
def _user_name(uid: int) -> str | None:
    import pwd  # noqa: PLC0415 - only for names

    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return None


def events_in(drained: bytes, host: Host) -> list[Event]:
    """Return the consecutive events in the bytes that the core returned."""
    events = []
    at, end = 0, len(drained)
    while at < end:
        after = at + _size(drained, at)[0]
        events.append(Event(drained[at:after], host))
        at = after
    return events
