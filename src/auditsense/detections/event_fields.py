"""Meaning of the fields that detections compare: constant, absent or a field of records, by shape of event.

    test of a field, shape of an event ─► decision

The same name can stand for different record fields (`user.id` of a login is its login user), and the names of
an event depend on its call alone. What a shape fixes is decided here, once, and costs nothing later.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from auditsense import syscalls
from auditsense.core.rule_table import Field, MaskedNumber, Network, Op, Predicate, stands_alone
from auditsense.detections.decision import Decision, Literal, all_of, inverse, some_of
from auditsense.detections.event_table import SYSCALL_RECORD, EventKind, EventMapping
from auditsense.detections.expression import Operator, Test
from auditsense.detections.fields import FILE_SYSTEM, HOST, SYSCALL_NAME
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from auditsense.core.rule_table import ArchText


class EventShape(NamedTuple):
    """Facts about an event from its first record and its call.

    Attributes:
        record_type: of the first record.
        calls: names of its call, the usual one first; empty: one that no detection names, or none.
        has_call: whether it has a SYSCALL record.
        kind: names of the event.
    """

    record_type: int
    calls: tuple[str, ...]
    has_call: bool
    kind: EventKind

    @property
    def alone(self) -> bool:
        """Whether user space wrote its only record."""
        return stands_alone(self.record_type)


CONSTANTS: Final = {
    "host.os.type": "linux",
    "data_stream.dataset": "auditd_manager.auditd",
    "event.dataset": "auditd_manager.auditd",
}
"""Values that every event has."""

_FIELDS: Final = {
    "process.pid": Field.PID,
    "process.parent.pid": Field.PPID,
    "process.name": Field.COMM,
    "process.executable": Field.EXE,
    "process.title": Field.PROCTITLE,
    "process.working_directory": Field.CWD,
    "process.args": Field.ARGS,
    "auditd.data.a0": Field.A0,
    "auditd.data.a1": Field.A1,
    "auditd.data.a2": Field.A2,
    "auditd.data.a3": Field.A3,
    "auditd.data.argc": Field.ARGC,
    "auditd.data.tty": Field.TTY,
    "auditd.data.socket.family": Field.SOCKET_FAMILY,
    "auditd.data.socket.addr": Field.SOCKET_IP,
    "auditd.data.socket.port": Field.SOCKET_PORT,
    "auditd.data.socket.path": Field.SOCKET_PATH,
    "auditd.data.acct": Field.ACCT,
    "auditd.data.terminal": Field.TERMINAL,
    "auditd.data.hostname": Field.HOSTNAME,
    "auditd.data.addr": Field.ADDR,
    "auditd.data.grantors": Field.GRANTORS,
    "auditd.data.unit": Field.UNIT,
    "user.saved.id": Field.SUID,
    "user.filesystem.id": Field.FSUID,
    "user.group.id": Field.GID,
    "user.effective.group.id": Field.EGID,
    "user.saved.group.id": Field.SGID,
    "user.filesystem.group.id": Field.FSGID,
    "user.selinux.user": Field.SUBJ,
}
"""Names that mean one field of records in every event."""

NATIVE_FIELDS: Final = {
    "process.command_line": Field.COMMAND_LINE,
    "process.args_count": Field.ARGC,
    "process.parent.name": Field.PARENT_NAME,
    "process.parent.executable": Field.PARENT_EXECUTABLE,
    "process.parent.args": Field.PARENT_ARGS,
    "process.parent.command_line": Field.PARENT_COMMAND_LINE,
    "process.parent.entity_id": Field.PARENT_ENTITY_ID,
    "process.entity_id": Field.ENTITY_ID,
    "process.entry_leader.executable": Field.LEADER_EXECUTABLE,
    "process.entry_leader.args": Field.LEADER_ARGS,
    "process.entry_leader.entry_meta.type": Field.LEADER_TYPE,
    "process.thread.capabilities.effective": Field.CAPABILITIES,
}
"""Names that `EventMapping.AUDITD_MANAGER` never has."""

_FILE_FIELDS: Final = {
    "file.inode": Field.PATH_INODE,
    "file.device": Field.PATH_DEV,
    "file.mode": Field.PATH_MODE,
    "file.uid": Field.PATH_OUID,
    "file.gid": Field.PATH_OGID,
}
_SOCKET_FIELDS: Final = {
    "destination.ip": ("egress", Field.SOCKET_IP),
    "destination.port": ("egress", Field.SOCKET_PORT),
    "destination.address": ("egress", Field.SOCKET_PATH),
    "source.ip": ("ingress", Field.SOCKET_IP),
    "source.port": ("ingress", Field.SOCKET_PORT),
    "source.address": ("ingress", Field.SOCKET_PATH),
}
_NUMBERS: Final = frozenset({Field.PID, Field.PPID, Field.ARGC, Field.SOCKET_PORT, Field.EXIT})
PROCESS_TABLE: Final = frozenset(
    {
        Field.PARENT_NAME,
        Field.PARENT_EXECUTABLE,
        Field.PARENT_ARGS,
        Field.PARENT_COMMAND_LINE,
        Field.PARENT_ENTITY_ID,
        Field.ENTITY_ID,
        Field.LEADER_EXECUTABLE,
        Field.LEADER_ARGS,
        Field.LEADER_TYPE,
    }
)
"""Fields that only the process table knows."""

_NEVER_EMPTY: Final = frozenset(
    {
        *(Field.COMM, Field.EXE, Field.PROCTITLE, Field.CWD, Field.TTY, Field.ACCT, Field.TERMINAL),
        *(Field.HOSTNAME, Field.ADDR, Field.GRANTORS, Field.UNIT, Field.SUBJ, Field.PATH_NAME, Field.PATHS),
    }
)
"""Texts of records that are absent where the record has an empty one."""

NO_TERMINAL: Final = "(none)"
"""How the kernel writes `tty` where there is no terminal: a text in queries, absent in our own format."""

_UNSET: Final = MaskedNumber(0xFFFF_FFFF)
_LOGIN_CATEGORIES: Final = frozenset({"authentication", "session", "iam"})
_WILD: Final = frozenset("*?")


class FieldError(DetectionError):
    """A field or value that cannot be compared."""


# --- values known now ------------------------------------------------------------------


@cache
def _wildcards(pattern: str, *, fold_case: bool) -> re.Pattern[str]:
    parts = (
        ".*" if part == "*" else "." if part == "?" else re.escape(part)
        for part in re.split(r"([*?])", pattern)
    )
    return re.compile("".join(parts), re.DOTALL | re.ASCII | (re.IGNORECASE if fold_case else 0))


def _folded(text: str) -> str:
    return re.sub("[A-Z]+", lambda upper: upper[0].lower(), text)


def fits(test: Test, value: str) -> bool:
    """Return whether a test of texts holds for one value."""
    texts = [str(text) for text in test.values]
    match test.operator:
        case Operator.PRESENT:
            return True
        case Operator.EQUAL:
            return value in texts or (test.fold_case and _folded(value) in {_folded(text) for text in texts})
        case Operator.WILDCARD:
            return any(_wildcards(text, fold_case=test.fold_case).fullmatch(value) for text in texts)
        case Operator.REGEX:
            from auditsense.detections.regex import fits_regex  # noqa: PLC0415 - few detections have any

            return any(fits_regex(text, value, fold_case=test.fold_case) for text in texts)
        case Operator.LENGTH:
            return _compares(len(value), test.length_operator, test.values)
        case _:
            return False


def _compares(number: int, operator: Operator | None, values: Iterable[str | int]) -> bool:
    limits = [int(value) for value in values]
    match operator:
        case Operator.EQUAL:
            return number in limits
        case Operator.LESS:
            return number < limits[0]
        case Operator.AT_MOST:
            return number <= limits[0]
        case Operator.GREATER:
            return number > limits[0]
        case _:
            return number >= limits[0]


# --- comparisons of record fields ------------------------------------------------------

_ORDER: Final = {
    Operator.LESS: Op.LESS,
    Operator.AT_MOST: Op.AT_MOST,
    Operator.GREATER: Op.GREATER,
    Operator.AT_LEAST: Op.AT_LEAST,
    Operator.EQUAL: Op.NUMBER,
}
_OPS: Final = {
    **_ORDER,
    Operator.REGEX: Op.REGEX,
    Operator.MASKED: Op.NUMBER,
    Operator.NETWORK: Op.NETWORK,
    Operator.LENGTH: Op.LENGTH,
    Operator.OPEN_FLAGS: Op.TEXT,
    Operator.PRESENT: Op.PRESENT,
}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _distinct(values: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(sorted(set(values)))


def _texts(field: Field, texts: Iterable[str], *, fold_case: bool) -> Decision:
    operands = _distinct(_bytes(_folded(text) if fold_case else text) for text in texts)
    if not operands:
        return False
    fold_case = fold_case and any(re.search(rb"[A-Za-z]", text) is not None for text in operands)
    return Literal(Predicate(field, Op.TEXT, operands, fold_case))


def _patterns(field: Field, patterns: Iterable[str], *, fold_case: bool) -> Decision:
    """Return a comparison with wildcards; patterns without any are compared as texts, which is cheaper."""
    patterns = list(patterns)
    if any(pattern and set(pattern) == {"*"} for pattern in patterns):
        return Literal(Predicate(field, Op.PRESENT))
    wild = [pattern for pattern in patterns if not _WILD.isdisjoint(pattern)]
    plain = [pattern for pattern in patterns if _WILD.isdisjoint(pattern)]
    decisions = [_texts(field, plain, fold_case=fold_case)]
    if wild:
        operands = _distinct(_bytes(_folded(text) if fold_case else text) for text in wild)
        decisions.append(Literal(Predicate(field, Op.LIKE, operands, fold_case)))
    return some_of(decisions)


def _regexes(test: Test) -> tuple[bytes, ...]:
    from auditsense.detections.regex import compile_regex  # noqa: PLC0415 - few detections have any

    return _distinct(compile_regex(str(text), fold_case=test.fold_case) for text in test.values)


def _network(text: str) -> Network | None:
    """Return a network; None: one of IPv6 for addresses of IPv4, which an event has as those."""
    from ipaddress import IPv4Network, ip_network  # noqa: PLC0415 - few detections have any, and it loads slowly

    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise FieldError(f"{text!r} is not a network, such as 10.0.0.0/8") from None
    address = network.network_address.packed
    if isinstance(network, IPv4Network):
        return Network(_IPV4.address[:12] + address, network.prefixlen + _IPV4.prefix)
    if network.prefixlen >= _IPV4.prefix and address.startswith(_IPV4.address[:12]):
        return None
    return Network(address, network.prefixlen)


_IPV4: Final = Network(bytes(10) + b"\xff\xff" + bytes(4), 96)
"""All IPv4 addresses, as the core has them."""


def _networks(field: Field, texts: Iterable[str]) -> Decision:
    """Return whether an address is in one of these networks. A network of IPv6 has no IPv4 address in it."""
    networks = [network for text in texts if (network := _network(text)) is not None]
    wide = [network for network in networks if network.prefix < _IPV4.prefix]
    narrow = [network for network in networks if network not in wide]

    def inside(chosen: list[Network]) -> Decision:
        distinct = tuple(sorted(set(chosen), key=lambda network: (network.address, network.prefix)))
        return bool(distinct) and Literal(Predicate(field, Op.NETWORK, distinct))

    return some_of([inside(narrow), all_of([inside(wide), inverse(inside([_IPV4]))])])


def _equal(field: Field, test: Test) -> Decision:
    if field in _NUMBERS:
        numbers = sorted({value for value in test.values if isinstance(value, int)})
        return bool(numbers) and Literal(
            Predicate(field, Op.NUMBER, tuple(MaskedNumber(number) for number in numbers))
        )
    return _texts(field, (str(value) for value in test.values), fold_case=test.fold_case)


def _open_flags(test: Test) -> tuple[bytes | ArchText, ...]:
    from auditsense.detections import open_flags  # noqa: PLC0415 - of own detections only

    return open_flags.operands([str(value) for value in test.values])


def compare(field: Field, test: Test) -> Decision:
    """Return a test as a comparison of one field of records, whatever the event is."""
    match test.operator:
        case Operator.EQUAL:
            return _equal(field, test)
        case Operator.WILDCARD:
            return _patterns(field, (str(value) for value in test.values), fold_case=test.fold_case)
        case Operator.NETWORK:
            return _networks(field, (str(value) for value in test.values))
        case _:
            return Literal(_predicate(field, test))


def _predicate(field: Field, test: Test) -> Predicate:
    operands: tuple[bytes | ArchText | MaskedNumber | Network, ...] = ()
    match test.operator:
        case Operator.REGEX:
            operands = _regexes(test)
        case Operator.MASKED:
            operands = tuple(MaskedNumber(int(value) & test.mask, test.mask) for value in test.values)
        case Operator.OPEN_FLAGS:
            operands = _open_flags(test)
        case _:  # PRESENT has no values
            operands = tuple(MaskedNumber(int(value)) for value in test.values)
    length_op = None if test.length_operator is None else _ORDER[test.length_operator]
    return Predicate(field, _OPS[test.operator], tuple(dict.fromkeys(operands)), length_op=length_op)


def compare_own(field: Field, test: Test) -> Decision:
    """Return a test of our own TOML, where numbers are equal to texts as the kernel prints them."""
    if test.operator is Operator.EQUAL:
        return _texts(field, (str(value) for value in test.values), fold_case=test.fold_case)
    return compare(field, test)


def is_set(field: Field) -> Decision:
    """Return whether a field is present and, for an id of a login, is not "unset"."""
    return inverse(_unset(field)) if field in {Field.AUID, Field.SES} else _present(field)


def _is(field: Field, *texts: str) -> Decision:
    return _texts(field, texts, fold_case=False)


def _present(field: Field) -> Decision:
    return Literal(Predicate(field, Op.PRESENT))


# --- names of events -------------------------------------------------------------------


class FieldMeanings:
    """Meaning of fields in events of a shape.

    Args:
        mapping: which fields events have.
        users: user ids by name, for `user.name`; None: those of this host, when first needed.
        devices: file systems by device, for `file.filesystem`; None: unknown.
    """

    def __init__(
        self,
        mapping: EventMapping = EventMapping.NATIVE,
        users: Mapping[str, int] | None = None,
        devices: Mapping[str, str] | None = None,
    ) -> None:
        self.native = mapping is EventMapping.NATIVE
        self._devices = devices or {}
        self._users = users
        self._everywhere: dict[Test, Decision] = {}
        self._special: dict[str, Callable[[Test, EventShape], Decision]] = {
            "event.action": lambda test, shape: _any_fits(test, shape.kind.action),
            "event.category": lambda test, shape: _any_fits(test, shape.kind.category),
            "event.type": self._type,
            "event.outcome": _outcome,
            "auditd.result": _audit_result,
            SYSCALL_NAME: _call,
            FILE_SYSTEM: lambda test, _: self._file_system(test),
            "network.direction": _direction,
            "file.path": self._file_path,
            "auditd.data.tty": _tty,
            "user.id": _user_id,
            "user.effective.id": self._effective_id,
            "user.name": self._user_name,
            "related.user": self._related_user,
            "user.audit.id": lambda test, _: _id_or_unset(Field.AUID, test),
            "auditd.session": lambda test, _: _id_or_unset(Field.SES, test),
            "auditd.data.arch": _arch,
            "auditd.data.exit": _exit,
            "auditd.data.class": lambda *_: False,
            "tags": lambda test, _: _audit_keys(test),
            HOST: lambda test, _: _host(test),
        }

    def decide(self, test: Test, shape: EventShape) -> Decision:
        """Return what remains of a test in events of this shape.

        Raises:
            FieldError: an unknown field, or a value that cannot be compared.
        """
        name = test.field
        if name in self._special:
            return self._special[name](test, shape)
        if name in _FILE_FIELDS and shape.kind.path_index is None:
            return False
        if name in _SOCKET_FIELDS and shape.kind.direction != _SOCKET_FIELDS[name][0]:
            return False
        if test not in self._everywhere:
            self._everywhere[test] = self._decide_everywhere(test)
        return self._everywhere[test]

    def _decide_everywhere(self, test: Test) -> Decision:
        """Return a test of a field that is the same in all events that have it."""
        name = test.field
        if name in CONSTANTS:
            return fits(test, CONSTANTS[name])
        if name in NATIVE_FIELDS and not self.native:
            return False
        field = _record_field(name)
        return _not_empty(field, test, compare(field, test))

    def key_fields(self, name: str, shape: EventShape) -> tuple[Field, ...]:
        """Return the fields of records that make up a key field; empty: absent from events of this shape.

        Raises:
            FieldError: the field cannot be a key.
        """
        if name == "related.user":
            return (_user_field(shape), Field.ACCT if shape.alone else Field.EUID)
        absent = (
            (name in _SOCKET_FIELDS and shape.kind.direction != _SOCKET_FIELDS[name][0])
            or (name in {*_FILE_FIELDS, "file.path"} and shape.kind.path_index is None)
            or (name in NATIVE_FIELDS and not self.native)
        )
        return () if absent else (self._key_field(name, shape),)

    def _key_field(self, name: str, shape: EventShape) -> Field:
        if name in {"user.id", "user.name"}:
            return _user_field(shape)
        if name == "user.effective.id":
            return _effective_field(shape)
        if name in _KEYS:
            return _KEYS[name]
        if name in CONSTANTS or name in self._special:
            raise FieldError(f"{name} cannot be a key: it does not distinguish events")
        return _record_field(name)

    def _file_system(self, test: Test) -> Decision:
        """Decide by the device. One that is not known here may be of any type."""
        others = [device for device, kind in self._devices.items() if not fits(test, kind)]
        return all_of([_present(Field.PATH_DEV), inverse(_is(Field.PATH_DEV, *others))])

    def _known_users(self) -> Mapping[str, int]:
        if self._users is None:
            self._users = host_users()
        return self._users

    def _type(self, test: Test, shape: EventShape) -> Decision:
        if _any_fits(test, shape.kind.type):
            return True
        created = shape.kind.may_create and fits(test, "creation")
        return _is(Field.PATH_NAMETYPE, "CREATE") if created else False

    def _file_path(self, test: Test, shape: EventShape) -> Decision:
        if shape.kind.path_index is None:
            return False
        field = Field.PATHS if self.native else Field.PATH_NAME
        return _not_empty(field, test, compare(field, test))

    def _effective_id(self, test: Test, shape: EventShape) -> Decision:
        field = _effective_field(shape)
        if field is not Field.ACCT:
            return compare(field, test)
        names: list[str] = []
        if test.operator is not Operator.LENGTH:  # that is the length of the first value
            names = [name for name, user in self._known_users().items() if fits(test, str(user))]
        account = some_of([_account(test), _is(Field.ACCT, *names)])
        return some_of([account, all_of([inverse(_is_account()), compare(Field.UID, test)])])

    def _user_name(self, test: Test, shape: EventShape) -> Decision:
        return self._named(_user_field(shape), test)

    def _related_user(self, test: Test, shape: EventShape) -> Decision:
        named = self._named(_user_field(shape), test)
        if not shape.alone:
            return some_of([named, self._named(_effective_field(shape), test)])
        return some_of([named, _account(test), self._named(Field.ACCT, test)])  # a name or an id

    def _named(self, field: Field, test: Test) -> Decision:
        """Return a test of the name of the user whose id a field holds."""
        return _is(field, *(str(user) for name, user in self._known_users().items() if fits(test, name)))


def _not_empty(field: Field, test: Test, decision: Decision) -> Decision:
    """Return a test of a text that is absent where it is empty."""
    if field not in _NEVER_EMPTY or not fits(test, ""):
        return decision
    return all_of([decision, inverse(_is(field, ""))])


def _account(test: Test) -> Decision:
    return _not_empty(Field.ACCT, test, compare(Field.ACCT, test))


def _is_account() -> Decision:
    return all_of([_present(Field.ACCT), inverse(_is(Field.ACCT, ""))])


def _tty(test: Test, shape: EventShape) -> Decision:
    """Decide the terminal: where records of calls have none, the kernel has written so."""
    named = _not_empty(Field.TTY, test, compare(Field.TTY, test))
    if not shape.has_call or not fits(test, NO_TERMINAL):
        return named
    return some_of([named, inverse(_present(Field.TTY))])


def _any_fits(test: Test, values: tuple[str, ...]) -> bool:
    return any(fits(test, value) for value in values)


def _call(test: Test, shape: EventShape) -> Decision:
    """Decide the name of the call. One without a name is called by its number."""
    if not shape.has_call or shape.calls or test.operator is not Operator.EQUAL:
        return shape.has_call and (test.operator is Operator.PRESENT or _any_fits(test, shape.calls))
    return _is(Field.SYSCALL, *(str(value) for value in test.values if is_number(value)))


def is_number(value: str | int) -> bool:
    """Return whether a value is a number of a system call, as a text."""
    text = str(value)
    return text.isascii() and text.isdigit()


def _result(test: Test, shape: EventShape, words: tuple[str, str, str]) -> Decision:
    """Decide a field with the values success, failure and unknown, in these words."""
    field = Field.SUCCESS if shape.has_call else Field.RESULT
    success = _is(field, "yes")
    if not shape.has_call:
        success = some_of([_is(field, "yes", "1"), _patterns(field, ["suc*"], fold_case=False)])
    present = _present(field)
    outcomes = (success, all_of([present, inverse(success)]), inverse(present))
    fitting = [fits(test, word) for word in words]
    if all(fitting):
        return True
    return some_of(outcome for outcome, fit in zip(outcomes, fitting, strict=True) if fit)


def _outcome(test: Test, shape: EventShape) -> Decision:
    return _result(test, shape, ("success", "failure", "unknown"))


def _audit_result(test: Test, shape: EventShape) -> Decision:
    return _result(test, shape, ("success", "fail", "unknown"))


def _direction(test: Test, shape: EventShape) -> Decision:
    direction = shape.kind.direction
    return _present(Field.SOCKET_FAMILY) if direction and fits(test, direction) else False


def _user_id(test: Test, shape: EventShape) -> Decision:
    field = _user_field(shape)
    if field is Field.UID:
        return compare(field, test)
    return all_of([inverse(_unset(field)), compare(field, test)])


def _arch(test: Test, shape: EventShape) -> Decision:
    if not shape.has_call:
        return False
    if test.operator is Operator.PRESENT:
        return _present(Field.ARCH)
    return _is(Field.ARCH, *(f"{value:x}" for name, value in syscalls.ARCHES.items() if fits(test, name)))


def _exit(test: Test, shape: EventShape) -> Decision:
    """Decide a field that has a name where it is negative: EACCES for -13."""
    if not shape.has_call:
        return False
    if test.operator is Operator.PRESENT:
        return _present(Field.EXIT)
    if test.operator in _ORDER and test.operator is not Operator.EQUAL:
        return all_of([_no_error(), compare(Field.EXIT, test)])
    from errno import errorcode  # noqa: PLC0415 - few detections compare it

    names = replace(test, values=tuple(value for value in test.values if isinstance(value, str)))
    numbers = {-number for number, name in errorcode.items() if fits(names, name)}
    numbers |= {value for value in test.values if isinstance(value, int) and value >= 0}
    decision = bool(numbers) and Literal(
        Predicate(Field.EXIT, Op.NUMBER, tuple(MaskedNumber(number) for number in sorted(numbers)))
    )
    if test.operator is Operator.EQUAL:
        return decision
    return some_of([decision, all_of([_no_error(), compare(Field.EXIT, test)])])


def _no_error() -> Decision:
    return Literal(Predicate(Field.EXIT, Op.AT_LEAST, (MaskedNumber(0),)))


def _host(test: Test) -> Decision:
    """Decide the host: every event has one, although records name only another one than this."""
    return True if test.operator is Operator.PRESENT else compare(Field.NODE, test)


def _audit_keys(test: Test) -> Decision:
    """Decide the audit keys of an event, which the field holds together, with byte 1 between them."""
    if test.operator is not Operator.EQUAL:
        return compare(Field.KEY, test)
    keys = [str(value) for value in test.values]
    parts = [
        pattern
        for key in keys
        if _WILD.isdisjoint(key)
        for pattern in (f"{key}\1*", f"*\1{key}", f"*\1{key}\1*")
    ]
    whole = _texts(Field.KEY, keys, fold_case=test.fold_case)
    return some_of([whole, _patterns(Field.KEY, parts, fold_case=test.fold_case)])


def _user_field(shape: EventShape) -> Field:
    """Return the field of `user.id`: the login user in records about logins and accounts."""
    own = shape.kind.category[:1]
    login = shape.record_type != SYSCALL_RECORD and not _LOGIN_CATEGORIES.isdisjoint(own)
    return Field.AUID if login else Field.UID


def _effective_field(shape: EventShape) -> Field:
    """Return the field of `user.effective.id`: the account, or its lack, in records about logins."""
    about_logins = not {"authentication", "session"}.isdisjoint(shape.kind.category)
    if shape.alone:
        return Field.ACCT if about_logins else Field.UID
    return Field.UID if about_logins else Field.EUID  # the kernel's LOGIN names no account


def _unset(field: Field) -> Decision:
    return Literal(Predicate(field, Op.NUMBER, (_UNSET,)))


def _id_or_unset(field: Field, test: Test) -> Decision:
    """Return a test of an id that is called unset where it is 4294967295."""
    if test.operator is Operator.PRESENT:
        return _present(field)
    unset = _unset(field)
    number = all_of([inverse(unset), compare(field, test)])
    return some_of([number, unset]) if fits(test, "unset") else number


def host_users() -> Mapping[str, int]:
    """Return the user ids of this host by name."""
    import pwd  # noqa: PLC0415 - few detections compare names

    return {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}


def _record_field(name: str) -> Field:
    for table in (_FIELDS, NATIVE_FIELDS, _FILE_FIELDS):
        if name in table:
            return table[name]
    if name in _SOCKET_FIELDS:
        return _SOCKET_FIELDS[name][1]
    raise FieldError(f"there is no field {name}")


_KEYS: Final = {
    HOST: Field.NODE,
    "file.path": Field.PATH_NAME,
    "auditd.session": Field.SES,
    "user.audit.id": Field.AUID,
    "auditd.data.exit": Field.EXIT,
    "tags": Field.KEY,
    "auditd.data.arch": Field.ARCH,
    SYSCALL_NAME: Field.SYSCALL,
}
"""Fields that are compared in other words, and can be keys as they are."""
