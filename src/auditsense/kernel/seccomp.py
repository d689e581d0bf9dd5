"""Limit a running sensor to a list of system calls, with a filter in the kernel, for good.

Owns: the lists. Some calls are limited by an argument: families of sockets, no new namespaces, no keystrokes
into a terminal, no signal by way of a descriptor's owner, no limit of another process. Other calls get EPERM,
or ENOSYS when they are newer than our tables: an old kernel answers so, and every libc handles it. A call by
another architecture's numbers ends the process.

A list holds whole families (memory, threads, time, files, sockets), because another interpreter may use the
next call of a family. Which part of the program has which list is decided in `kernel.confinement`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING

from auditsense import syscalls
from auditsense._child_process import libc
from auditsense._frozen import Frozen
from auditsense.errors import AuditSenseError
from auditsense.kernel import bpf
from auditsense.kernel.bpf import (
    IF_ANY_BIT,
    IF_AT_LEAST,
    IF_EQUAL,
    IF_GREATER,
    LOAD_WORD,
    RETURN,
    Instruction,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MEMORY = (
    "brk madvise map_shadow_stack membarrier mmap mmap2 mprotect mremap mseal msync munmap riscv_flush_icache"
)
_PROCESSES = (
    "arch_prctl capget capset exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv "
    "futex_wake get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getpriority getrandom "
    "getrlimit getrusage getsid gettid pidfd_open pidfd_send_signal prctl prlimit64 riscv_hwprobe rseq "
    "sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getparam sched_getscheduler "
    "sched_yield set_robust_list set_thread_area set_tid_address setsid sysinfo times ugetrlimit umask uname "
    "vfork wait4 waitid waitpid"
)
_USERS = (
    "getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 "
    "getresuid getresuid32 getuid getuid32"
)
_SIGNALS = (
    "kill pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
    "rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaction sigaltstack signal "
    "signalfd signalfd4 sigprocmask sigreturn sigsuspend tgkill tkill"
)
_TIME = (
    "alarm clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep "
    "clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete "
    "timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create "
    "timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64"
)
_WAITING = (
    "_newselect epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 "
    "poll ppoll ppoll_time64 pselect6 pselect6_time64 select"
)
_DESCRIPTORS = (
    "_llseek arm_fadvise64_64 close close_range copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 "
    "fallocate fcntl fcntl64 fdatasync flock fstat fstat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 "
    "lseek pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readv sendfile sendfile64 "
    "sync_file_range sync_file_range2 write writev"
)
_FILES = (
    "access cachestat chdir faccessat faccessat2 fchdir fstatat64 getcwd getdents getdents64 lstat lstat64 "
    "mkdir mkdirat newfstatat open openat readlink readlinkat rename renameat renameat2 rmdir stat "
    "stat64 statfs statfs64 statx unlink unlinkat"
)
_SOCKETS = (
    "accept accept4 bind connect getpeername getsockname getsockopt recv recvfrom recvmmsg recvmmsg_time64 "
    "recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair"
)

_BASE = (_MEMORY, _PROCESSES, _USERS, _SIGNALS, _TIME, _WAITING, _DESCRIPTORS)


def _names(*families: str) -> frozenset[str]:
    return frozenset(name for family in families for name in family.split())


ALLOWED = _names(*_BASE, _FILES, _SOCKETS)
"""Names of the calls of the widest list, on the architectures that have them."""
FILES = _names(_FILES)
SOCKETS = _names(_SOCKETS)
TO_PROCESSES = _names("kill pidfd_open pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo tgkill tkill")
"""Calls that send signals. abort(3) ends a process without them as well."""

# linux/seccomp.h: struct seccomp_data and what a filter returns
_AT_NUMBER, _AT_ARCH, _AT_ARGUMENTS = 0, 4, 16
_LOW_WORD = 0 if sys.byteorder == "little" else 4
_REFUSED = -1  # in place of a distance: to the end of a check
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_SET_MODE_FILTER, _ALL_THREADS = 1, 1

_AF_UNIX, _AF_NETLINK = 1, 16
_NEW_NAMESPACES = 0x7E020000  # linux/sched.h: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_WRITING = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
# asm-generic/ioctls.h, sockios.h, fcntl.h; the same on all of ARCHES
_TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP = 0x5412, 0x541C, 0x8901, 0x8902
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15

ARCHES = ("x86_64", "i386", "aarch64", "arm", "riscv64", "ppc64le", "s390x", "loongarch64")
"""Architectures that have a filter: their calls and ioctls were reviewed one by one."""


@dataclass(slots=True, eq=False, repr=False)
class OneOf(Frozen):
    """An argument of 32 bits that must have one of some values, at most 64."""

    values: tuple[int, ...]


@dataclass(slots=True, eq=False, repr=False)
class NoneOf(Frozen):
    """An argument of 32 bits that must have none of some values."""

    values: tuple[int, ...]


@dataclass(slots=True, eq=False, repr=False)
class Without(Frozen):
    """An argument of 32 bits that must have none of some bits."""

    bits: int


@dataclass(slots=True, eq=False, repr=False)
class AtMost(Frozen):
    """An argument of 32 bits, without a sign."""

    most: int


@dataclass(slots=True, eq=False, repr=False)
class InRange(Frozen):
    """An address that must be from *first* to *last*, which share their high 32 bits."""

    first: int
    last: int


@dataclass(slots=True, eq=False, repr=False)
class AtLeast(Frozen):
    """An address that must be *first* or higher."""

    first: int


_PROT_WRITE, _PROT_EXEC = 2, 4
NO_CODE = Without(_PROT_EXEC)
"""A protection of memory that is not executable."""
NOT_BOTH = (NO_CODE, Without(_PROT_WRITE))
"""One of these: a protection of memory that is not writable and executable at once."""
NULL = InRange(0, 0)
"""An address that must be 0."""
Fixed = OneOf | NoneOf | Without | AtMost | InRange | AtLeast | None
"""What an argument must be; None: anything."""


@dataclass(slots=True, eq=False, repr=False)
class CallList(Frozen):
    """System calls that a filter allows.

    Attributes:
        names: of the calls; clone, ioctl and socket need not be among them.
        families: of sockets (socket(2), AF_*).
        receivers: whether sendto(2) may have an address.
        writes: whether open(2) and openat(2) may open a file for writing.
        forks: whether threads and processes may be created.
        fixed: calls that are allowed with certain arguments only, by name; they need not be in *names*. Of
            several entries for a name, one must hold.
    """

    names: frozenset[str] = ALLOWED
    families: tuple[int, ...] = (_AF_UNIX, _AF_NETLINK)
    receivers: bool = True
    writes: bool = True
    forks: bool = True
    fixed: tuple[tuple[str, tuple[Fixed, ...]], ...] = ()


def program(arch: str, calls: CallList | None = None) -> list[Instruction]:
    """Return the filter for one of `ARCHES`, as instructions of classic BPF.

    Args:
        arch: whose numbers.
        calls: what is allowed; None: `ALLOWED`, with sockets to this machine only.
    """
    calls = calls or CallList()
    numbers = syscalls.numbers(arch)
    allowed = {"ioctl"} | calls.names | ({"clone"} if calls.forks else set())
    if not calls.forks:
        allowed -= {"fork", "vfork"}
    checked: list[Instruction] = []
    fixed = {name for name, _ in calls.fixed}
    for name, check in _checks(arch, calls):
        if name in numbers and name in allowed | {"socket"} | fixed:
            checked += _when(numbers[name], *check)
            allowed.discard(name)
    return [
        (LOAD_WORD, 0, 0, _AT_ARCH),
        (IF_EQUAL, 1, 0, syscalls.ARCHES[arch]),
        (RETURN, 0, 0, _KILL_PROCESS),
        (LOAD_WORD, 0, 0, _AT_NUMBER),
        # Their flags are in memory, which a filter cannot read. Programs then fall back to older calls.
        *(one for name in ("clone3", "openat2") for one in _when(numbers[name], _refuse(errno.ENOSYS))),
        *checked,
        *_allow(sorted(number for name, number in numbers.items() if name in allowed)),
        (IF_GREATER, 0, 1, max(numbers.values())),
        _refuse(errno.ENOSYS),
        _refuse(errno.EPERM),
    ]


def _checks(arch: str, calls: CallList) -> Iterator[tuple[str, list[Instruction]]]:
    """Yield the calls that an argument decides, each with instructions that end in a return."""
    families = calls.families
    yield (
        "socket",
        [
            _argument(0),
            *((IF_EQUAL, len(families) - place, 0, family) for place, family in enumerate(families)),
            _refuse(errno.EAFNOSUPPORT),
            (RETURN, 0, 0, _ALLOW),
        ],
    )
    alternatives: dict[str, list[Sequence[Fixed]]] = {}
    for name, arguments in (*calls.fixed, *_narrowed(arch, calls)):
        alternatives.setdefault(name, []).append(arguments)
    for name, several in alternatives.items():
        yield name, _any_of(several)


def _narrowed(arch: str, calls: CallList) -> Iterator[tuple[str, tuple[Fixed, ...]]]:
    """Yield what the other attributes of a list mean for arguments."""
    fixed = {name for name, _ in calls.fixed}
    no_namespace = Without(_NEW_NAMESPACES)
    yield "clone", (None, no_namespace) if arch == "s390x" else (no_namespace,)
    own: list[tuple[str, tuple[Fixed, ...]]] = [
        ("ioctl", (None, NoneOf((_TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP)))),
        *((name, (None, NoneOf((_F_SETOWN, _F_SETSIG, _F_SETOWN_EX)))) for name in ("fcntl", "fcntl64")),
        ("prlimit64", (OneOf((0,)), None, NULL)),
        # What was written never becomes code. PR_SET_MDWE does the same, from Linux 6.3 on.
        ("mprotect", (None, None, NO_CODE)),
        *(
            (name, (None, None, protection))
            for name in ("mmap", "mmap2")
            if name not in structured(arch)
            for protection in NOT_BOTH
        ),
    ]
    yield from ((name, arguments) for name, arguments in own if name not in fixed)
    if not calls.receivers:
        yield "sendto", (None, None, None, None, None, AtMost(0))
    if not calls.writes:
        yield "open", (None, Without(_WRITING))
        yield "openat", (None, None, Without(_WRITING))


def structured(arch: str) -> frozenset[str]:
    """Return the calls that take a structure on one of `ARCHES`, which a filter cannot read."""
    return frozenset({"mmap"}) if arch in {"i386", "s390x"} else frozenset()


@dataclass(slots=True, eq=False, repr=False)
class SystemCallFilter(Frozen):
    """A filter ready to be installed.

    Attributes:
        call: the number of seccomp(2).
        instructions: as the kernel takes them.
    """

    call: int
    instructions: bytes


@cache
def prepare(calls: CallList | None = None) -> SystemCallFilter | None:
    """Return the filter for this process; None when this machine's calls are not known. See `program`.

    Reads our tables, so call it before privileges are dropped.
    """
    arch = abi()
    call = syscalls.number("seccomp", arch) if arch is not None else None
    if arch is None or call is None:
        return None
    return SystemCallFilter(call, bpf.pack(program(arch, calls)))


def confine(prepared: SystemCallFilter) -> bool:
    """Limit this process, all its threads and its children to the list, for good.

    Needs no_new_privs (`privileges.keep_only`) or CAP_SYS_ADMIN.

    Returns:
        False: not done, because this kernel has no filters.

    Raises:
        AuditSenseError: the kernel refused for another reason.
    """
    code = bpf.Program(prepared.instructions)
    mode, scope = ctypes.c_ulong(_SET_MODE_FILTER), ctypes.c_ulong(_ALL_THREADS)
    result = libc().syscall(ctypes.c_long(prepared.call), mode, scope, ctypes.byref(code))
    if result == 0:
        return True
    if result > 0:
        raise AuditSenseError(f"cannot install the filter for system calls: thread {result} has another one")
    problem = ctypes.get_errno()
    if problem in {errno.ENOSYS, errno.EINVAL}:  # built without CONFIG_SECCOMP_FILTER
        return False
    raise AuditSenseError(f"cannot install the filter for system calls: {os.strerror(problem)}")


def abi() -> str | None:
    """Return the architecture whose numbers this process uses; None when it is not among `ARCHES`.

    Not the kernel's: a 32-bit program may run on a 64-bit kernel.
    """
    short = struct.calcsize("P") == 4
    arch = syscalls.native_arch()
    arch = {"x86_64": "i386", "aarch64": "arm"}.get(arch, arch) if short else arch
    return arch if arch in ARCHES and short == (arch in {"i386", "arm"}) else None


def _argument(number: int, *, high: bool = False) -> Instruction:
    """Load 32 bits of an argument, by default the low ones: of most, the kernel reads no others."""
    return (LOAD_WORD, 0, 0, _AT_ARGUMENTS + 8 * number + (4 - _LOW_WORD if high else _LOW_WORD))


def _refuse(number: int) -> Instruction:
    return (RETURN, 0, 0, _ERRNO | number)


def _any_of(alternatives: Sequence[Sequence[Fixed]]) -> list[Instruction]:
    """Allow a call where, for one of several alternatives, each argument is as it must be."""
    code: list[Instruction] = []
    for arguments in alternatives:
        block = [one for number, argument in enumerate(arguments) for one in _holds(number, argument)]
        end = len(block) + 1  # behind what allows: the next alternative
        code += [
            (
                operation,
                end - place - 1 if yes == _REFUSED else yes,
                end - place - 1 if no == _REFUSED else no,
                operand,
            )
            for place, (operation, yes, no, operand) in enumerate(block)
        ]
        code.append((RETURN, 0, 0, _ALLOW))
    return [*code, _refuse(errno.EPERM)]


def _holds(number: int, argument: Fixed) -> list[Instruction]:  # noqa: PLR0911 - one for each kind
    """Continue where an argument is as it must be; else jump by `_REFUSED`."""
    low = _argument(number)
    match argument:
        case OneOf(values):
            words = [value & 0xFFFF_FFFF for value in values]
            equal = [(IF_EQUAL, len(words) - place - 1, 0, word) for place, word in enumerate(words)]
            return [low, *equal[:-1], (IF_EQUAL, 0, _REFUSED, words[-1])]
        case NoneOf(values):
            return [low, *((IF_EQUAL, _REFUSED, 0, value & 0xFFFF_FFFF) for value in values)]
        case Without(bits):
            return [low, (IF_ANY_BIT, _REFUSED, 0, bits)]
        case AtMost(most):
            return [low, (IF_GREATER, _REFUSED, 0, most)]
        case InRange(first, last):
            return [
                _argument(number, high=True),
                (IF_EQUAL, 0, _REFUSED, first >> 32),
                low,
                (IF_AT_LEAST, 0, _REFUSED, first & 0xFFFF_FFFF),
                (IF_GREATER, _REFUSED, 0, last & 0xFFFF_FFFF),
            ]
        case AtLeast(first):
            return [
                _argument(number, high=True),
                (IF_GREATER, 3, 0, first >> 32),
                (IF_EQUAL, 0, _REFUSED, first >> 32),
                low,
                (IF_AT_LEAST, 0, _REFUSED, first & 0xFFFF_FFFF),
            ]
        case None:
            return []


def _when(number: int, *then: Instruction) -> list[Instruction]:
    """Decide one call; every path through *then* must end in a return."""
    return [(IF_EQUAL, 0, len(then), number), *then]


def _allow(numbers: list[int]) -> list[Instruction]:
    """Allow numbers, neighbours together."""
    instructions: list[Instruction] = []
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        instructions += [
            (IF_AT_LEAST, 0, 2, run[0]),
            (IF_GREATER, 1, 0, run[-1]),
            (RETURN, 0, 0, _ALLOW),
        ]
    return instructions
