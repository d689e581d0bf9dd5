"""The syscalls of an audit rule as text: what stands after -S."""

from __future__ import annotations

from auditsense import syscalls
from auditsense.errors import AuditRuleError
from auditsense.kernel.rules.constants import IO_URING_OPS, MAX_SYSCALL, Filter
from auditsense.kernel.rules.value_text import hint, number

_OPERATIONS = {value: name for name, value in IO_URING_OPS.items()}


def read(text: str, filter_: Filter, arch: str) -> frozenset[int] | None:
    """Read names, numbers or ``all``, comma separated.

    Args:
        text: Such as ``open,openat,437``; empty pieces are skipped.
        filter_: The rule's list: on io_uring the names are of its operations.
        arch: Whose syscalls, by audit's name; unknown ones have numbers only.

    Returns:
        The numbers; None for every syscall.

    Raises:
        AuditRuleError: a name that `arch` has not, or a number that no mask can hold.
    """
    numbers = set()
    for name in filter(None, text.split(",")):
        if name == "all":
            return None
        numbers.add(_number(name, filter_, arch))
    return frozenset(numbers)


def write(numbers: frozenset[int] | None, filter_: Filter, arch: str) -> str:
    """Return the text `read` makes `numbers` of, in the order of the numbers."""
    if numbers is None:
        return "all"
    return ",".join(_name(value, filter_, arch) or str(value) for value in sorted(numbers))


def _name(value: int, filter_: Filter, arch: str) -> str | None:
    if filter_ is Filter.IO_URING:
        return _OPERATIONS.get(value)
    return syscalls.name(value, arch)


def _number(name: str, filter_: Filter, arch: str) -> int:
    value = number(name)
    if value is None:
        uring = filter_ is Filter.IO_URING
        value = IO_URING_OPS.get(name) if uring else syscalls.number(name, arch)
    if value is None:
        raise AuditRuleError(_unknown(name, filter_, arch))
    if not 0 <= value <= MAX_SYSCALL:
        raise AuditRuleError(f"syscall {value} is not within 0 to {MAX_SYSCALL}")
    return value


def _unknown(name: str, filter_: Filter, arch: str) -> str:
    if filter_ is Filter.IO_URING:
        return f"unknown io_uring operation {name!r}{hint(name, IO_URING_OPS)}"
    if arch not in syscalls.ARCHES:
        return f"no syscall names are known for {arch}: use the number of {name!r}"
    if syscalls.calls(name):
        return f"{arch} has no syscall {name!r}: other architectures have"
    return f"unknown syscall {name!r}{hint(name, syscalls.names(arch))}"
