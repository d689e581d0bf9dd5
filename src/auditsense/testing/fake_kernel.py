"""A kernel audit subsystem in memory, for tests that must not touch the real one.

It answers this package's commands as a 6.18 kernel does, errno for errno. It creates no records; a test
sends them to the source that listens::

    kernel = FakeKernel()
    with Sensor(source=Unicast(kernel=kernel)) as sensor:
        kernel.send(*burst(10))
        (alert,) = sensor.poll()
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from auditsense.errors import ClosedError, KernelCommandError, expect, expect_number
from auditsense.kernel import commands
from auditsense.kernel.audit_status import Enabled, Failure
from auditsense.kernel.transport import Reply
from auditsense.testing.fake_records import FakeRecords
from auditsense.testing.records import datagrams_of

if TYPE_CHECKING:
    from auditsense.testing.records import EventRecords

__all__ = ["FakeKernel"]

_PREPEND: Final = 0x10
_LAST_MASK_WORD: Final = 12 + 63 * 4  # after flags, action, field_count
_CLASS_BITS: Final = 0xFFFF0000  # of that word: syscall classes, expanded when a rule is added
_MAX_WAIT_JIFFIES: Final = 600 * 250
_SETTABLE: Final = 0x7F

Interruption = Callable[[], None]


class FakeKernel:
    """In-memory audit state, for `Unicast(kernel=…)` and `Multicast(kernel=…)`.

    Args:
        enabled, failure, pid, rate_limit, backlog_limit, backlog_wait_time: initial settings, as
            auditctl prints them. The defaults are those of a freshly booted machine.
        rules: `struct audit_rule_data` as bytes, in list order.
        caller_pid: the process that the commands come from.
        alive: living processes; the registration of any other owner lapses when another process registers.
        status_bytes: length of the status that this kernel sends; old kernels send less.

    Attributes:
        log: one readable line per command, failed ones included.
        records: the record sockets of `Unicast` and `Multicast` over this kernel.
        before, after: functions by the position of a command (0 is the first), called before or after the
            kernel acts on it. The function raises the caller's error; see `fail_at`.
    """

    def __init__(  # noqa: PLR0913 - each is one setting of the kernel
        self,
        *,
        enabled: int = 0,
        failure: int = Failure.PRINTK,
        pid: int = 0,
        rate_limit: int = 0,
        backlog_limit: int = 64,
        backlog_wait_time: int = 15000,
        rules: Collection[bytes] = (),
        caller_pid: int | None = None,
        alive: Collection[int] = (),
        status_bytes: int = 44,
    ) -> None:
        numbers = {
            "pid": pid,
            "caller_pid": 0 if caller_pid is None else caller_pid,
            "rate_limit": rate_limit,
            "backlog_limit": backlog_limit,
        }
        numbers |= {"backlog_wait_time": backlog_wait_time, "status_bytes": status_bytes}
        numbers |= {"enabled": enabled, "failure": failure}
        for name, number in numbers.items():
            expect_number(name, number)
        expect("alive", alive, Collection, "a collection of process ids")
        for process in alive:
            expect_number("alive", process)
        expect("rules", rules, Collection, "a list of rules as bytes")
        for rule in rules:
            expect("rules", rule, bytes, "the bytes of struct audit_rule_data")
        self.enabled = int(enabled)
        self.failure = int(failure)
        self.pid = pid
        self.rate_limit = rate_limit
        self.backlog_limit = backlog_limit
        self.backlog_wait_time = backlog_wait_time
        self.lost = 0
        self.rules = [_listed(rule) for rule in rules]
        self.caller_pid = os.getpid() if caller_pid is None else caller_pid
        self.alive = {*alive, self.caller_pid}
        self.status_bytes = status_bytes
        self.closed = False
        self.records = FakeRecords(self.register)
        self.log: list[str] = []
        self.before: dict[int, Interruption] = {}
        self.after: dict[int, Interruption] = {}

    def __repr__(self) -> str:
        names = ("enabled", "failure", "pid", "backlog_limit")
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in names)
        return f"<FakeKernel {settings}, {len(self.rules)} rules>"

    # --- for tests -------------------------------------------------------------

    def fail_at(self, position: int, error: int | BaseException, *, acted: bool = False) -> None:
        """Make the command at *position* fail.

        Args:
            position: index into `log` that the command will have.
            error: an errno, or the exception to raise.
            acted: the kernel executes the command first; only the reply fails.
        """

        def fail() -> None:
            raise _refusal(error) if isinstance(error, int) else error

        (self.after if acted else self.before)[position] = fail

    def stay_silent_at(self, position: int, *, acted: bool = False) -> None:
        """Leave the command at *position* without a reply, as after a deadline; *acted* as for `fail_at`."""
        silence = KernelCommandError("the kernel's audit did not answer within 2 s")
        self.fail_at(position, silence, acted=acted)

    def send(self, *events: EventRecords | bytes) -> None:
        """Send events, or single datagrams, to the source over this kernel, entered or not yet."""
        self.records.send(datagrams_of(events))

    def register(self) -> None:
        """Register the caller as owner, as a source does on its socket."""
        self._command(f"register {self.caller_pid}", lambda: self._set_pid(self.caller_pid))

    def host_state(self) -> tuple[int | tuple[bytes, ...], ...]:
        """Return everything a takeover may change, for comparing before and after."""
        settings = (self.enabled, self.failure, self.pid, self.rate_limit, self.backlog_limit)
        return (*settings, self.backlog_wait_time, tuple(self.rules))

    # --- Transport -------------------------------------------------------------

    def request(self, kind: int, payload: bytes, *, ack: bool) -> list[Reply]:
        """Execute a command, with *kind* and *payload* of linux/audit.h; *ack* is false for GET and LIST."""
        if self.closed:
            raise ClosedError("the audit command socket is closed")
        if ack == (kind in {commands.AUDIT_GET, commands.AUDIT_LIST_RULES}):
            raise AssertionError(f"audit command {kind} was sent with ack={ack}")
        replies: list[Reply] = []
        match kind:
            case commands.AUDIT_GET:
                self._command("get", lambda: replies.append(Reply(kind, self._status())))
            case commands.AUDIT_SET:
                words = struct.unpack("=11I", payload)
                self._command(_set_text(words), lambda: self._set(words))
            case commands.AUDIT_ADD_RULE:
                self._command("add", lambda: self._add(payload))
            case commands.AUDIT_DEL_RULE:
                self._command("delete", lambda: self._delete(payload))
            case commands.AUDIT_LIST_RULES:
                self._command("list", lambda: replies.extend(self._list()))
            case _:
                raise _refusal(errno.EINVAL)
        return replies

    def close(self) -> None:
        """Refuse all further commands."""
        self.closed = True

    # --- the kernel's side -----------------------------------------------------

    def _command(self, text: str, act: Callable[[], object]) -> None:
        position = len(self.log)
        self.log.append(text)
        self.before.get(position, lambda: None)()
        act()
        self.after.get(position, lambda: None)()

    def _status(self) -> bytes:
        settings = (self.enabled, self.failure, self.pid, self.rate_limit, self.backlog_limit)
        words = (0, *settings, self.lost, 0, 0x7F, self.backlog_wait_time, 0)
        return struct.pack("=11I", *words)[: self.status_bytes]

    def _list(self) -> list[Reply]:
        return [Reply(commands.AUDIT_LIST_RULES, rule) for rule in self.rules]

    def _set(self, words: tuple[int, ...]) -> None:
        mask, enabled, failure, pid, rate, limit, _lost, _backlog, _features, wait, _actual = words
        if mask & ~_SETTABLE:
            raise _refusal(errno.EINVAL)
        # Not atomic: fields before a refused one stay changed.
        if mask & 0x01:
            self._change("enabled", enabled, valid=enabled <= Enabled.LOCKED)
        if mask & 0x02:
            self._change("failure", failure, valid=failure <= Failure.PANIC)
        if mask & 0x04:
            self._set_pid(pid)
        if mask & 0x08:
            self._change("rate_limit", rate)
        if mask & 0x10:
            self._change("backlog_limit", limit)
        if mask & 0x20:
            self._change("backlog_wait_time", wait, valid=wait <= _MAX_WAIT_JIFFIES)

    def _change(self, name: str, value: int, *, valid: bool = True) -> None:
        if not valid:
            raise _refusal(errno.EINVAL)
        self._unlocked()
        setattr(self, name, value)

    def _set_pid(self, pid: int) -> None:
        # The lock does not cover the owner: registering works while locked.
        if pid not in {0, self.caller_pid}:
            raise _refusal(errno.EINVAL)
        if self.pid not in self.alive:
            self.pid = 0
        if self.pid and pid:
            raise _refusal(errno.EEXIST)  # also for the owner itself
        if self.pid and self.pid != self.caller_pid:
            raise _refusal(errno.EACCES)
        self.pid = pid

    def _add(self, payload: bytes) -> None:
        self._unlocked()
        rule = _listed(payload)
        if rule in self.rules:
            raise _refusal(errno.EEXIST)
        (flags,) = struct.unpack_from("=I", payload)
        self.rules.insert(0 if flags & _PREPEND else len(self.rules), rule)

    def _delete(self, payload: bytes) -> None:
        self._unlocked()
        try:
            self.rules.remove(_listed(payload))
        except ValueError:
            raise _refusal(errno.ENOENT) from None

    def _unlocked(self) -> None:
        if self.enabled == Enabled.LOCKED:
            raise _refusal(errno.EPERM)


def _listed(rule: bytes) -> bytes:
    """Return a rule as the kernel stores and lists it: no PREPEND, no class bits."""
    data = bytearray(rule)
    for offset, clear in ((0, _PREPEND), (_LAST_MASK_WORD, _CLASS_BITS)):
        (word,) = struct.unpack_from("=I", data, offset)
        struct.pack_into("=I", data, offset, word & ~clear)
    return bytes(data)


def _set_text(words: tuple[int, ...]) -> str:
    names = (
        "enabled",
        "failure",
        "pid",
        "rate_limit",
        "backlog_limit",
        "lost",
        "backlog_wait_time",
    )
    values = (*words[1:7], words[9])
    set_here = [
        f"{name}={value}"
        for bit, (name, value) in enumerate(zip(names, values, strict=True))
        if words[0] >> {5: 6, 6: 5}.get(bit, bit) & 1
    ]
    return "set " + " ".join(set_here)


def _refusal(number: int) -> KernelCommandError:
    text = f"{errno.errorcode.get(number, number)}: {os.strerror(number)}"
    return KernelCommandError(text, number)
