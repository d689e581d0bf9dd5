"""Limits of a systemd unit, as far as a process can be given them without systemd.

From the unit as it is: the capabilities, no_new_privs, MemoryDenyWriteExecute, SystemCallFilter (the sets as
systemd-analyze names them), SystemCallArchitectures, RestrictAddressFamilies, RestrictNamespaces,
LockPersonality, RestrictSUIDSGID. What is left out belongs to mount namespaces and the cgroup.
"""

from __future__ import annotations

import ctypes
import errno
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass

from auditsense import syscalls
from auditsense.cli.systemd import units
from auditsense.kernel import bpf, privileges, seccomp
from auditsense.kernel.seccomp import Without

ANALYZE = shutil.which("systemd-analyze")
CAPABILITIES = {
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_ADMIN": 12,
    "CAP_AUDIT_CONTROL": 30,
    "CAP_AUDIT_READ": 37,
}
_MDWE = 65  # PR_SET_MDWE; not before Linux 6.3
_NAMESPACE_CALLS = {"unshare", "setns"}
_MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2}  # which argument the mode is
_SET_ID = 0o6000
_CHECKED = {"socket", "clone3", *_MODES}


def values(unit: str, name: str, program: str = "/usr/bin/auditsense") -> list[str]:
    """Return what a unit sets, in order."""
    return re.findall(rf"^{name}=(.*)$", units(program)[unit], re.MULTILINE)


def call_set(name: str) -> set[str]:
    """Return the calls of one of systemd's sets, with the sets in it."""
    if not name.startswith("@"):
        return {name}
    assert ANALYZE is not None
    listed = subprocess.run(
        [ANALYZE, "syscall-filter", name], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    words = [line.strip() for line in listed.splitlines()[1:]]
    return {one for word in words if word and not word.startswith("#") for one in call_set(word)}


def allowed_calls(unit: str) -> set[str]:
    """Return the calls that the filter of a unit allows."""
    allowed = call_set("@default")
    for line in values(unit, "SystemCallFilter"):
        some = {one for word in line.lstrip("~").split() for one in call_set(word)}
        allowed = allowed - some if line.startswith("~") else allowed | some
    return allowed


@dataclass(frozen=True)
class UnitLimits:
    """Limits of one unit.

    Attributes:
        capabilities: numbers.
        filtered: the filter for system calls.
    """

    capabilities: tuple[int, ...]
    filtered: seccomp.SystemCallFilter

    @classmethod
    def of(cls, unit: str) -> UnitLimits:
        """Read a unit, before anything is dropped."""
        arch = seccomp.abi()
        assert arch is not None
        known = {name: syscalls.number(name, arch) for name in syscalls.names(arch)}
        numbers = {name: number for name, number in known.items() if number is not None}
        families = [int(getattr(socket, name)) for name in values(unit, "RestrictAddressFamilies")[0].split()]
        wanted = {*allowed_calls(unit), "execve"}  # which starts the program
        for setting, calls in (
            ("RestrictNamespaces", _NAMESPACE_CALLS),
            ("LockPersonality", {"personality"}),
        ):
            wanted -= calls if values(unit, setting) == ["yes"] else set()
        modes = [name for name in _MODES if name in wanted & numbers.keys()]
        assert values(unit, "RestrictSUIDSGID") == ["yes"]
        allowed = sorted(numbers[name] for name in wanted - _CHECKED if name in numbers)
        code = [
            (bpf.LOAD_WORD, 0, 0, seccomp._AT_ARCH),
            (bpf.IF_EQUAL, 1, 0, syscalls.ARCHES[arch]),
            (bpf.RETURN, 0, 0, seccomp._KILL_PROCESS),
            (bpf.LOAD_WORD, 0, 0, seccomp._AT_NUMBER),
            *seccomp._when(
                numbers["socket"],
                seccomp._argument(0),
                *(
                    one
                    for family in families
                    for one in ((bpf.IF_EQUAL, 0, 1, family), (bpf.RETURN, 0, 0, seccomp._ALLOW))
                ),
                seccomp._refuse(errno.EAFNOSUPPORT),
            ),
            *(
                one
                for name in modes
                for one in seccomp._when(
                    numbers[name], *seccomp._any_of([(*[None] * _MODES[name], Without(_SET_ID))])
                )
            ),
            *seccomp._when(numbers["clone3"], seccomp._refuse(errno.ENOSYS)),
            *seccomp._allow(allowed),
            seccomp._refuse(errno.EPERM),
        ]
        call = syscalls.number("seccomp", arch)
        assert call is not None
        words = values(unit, "CapabilityBoundingSet")[0].split()
        filtered = seccomp.SystemCallFilter(call, bpf.pack(code))
        return cls(tuple(CAPABILITIES[word] for word in words), filtered)

    def apply(self, user: privileges.User | None = None) -> None:
        """Limit this process, for good."""
        calls = ctypes.CDLL(None, use_errno=True)
        privileges.keep_only(*self.capabilities, user=user)
        if calls.prctl(_MDWE, 1, 0, 0, 0) and ctypes.get_errno() not in {errno.EINVAL, errno.EPERM}:
            raise OSError(ctypes.get_errno(), "PR_SET_MDWE")
        assert seccomp.confine(self.filtered)
