"""Audit events as a test describes them: their records as auditd writes them, and the fields that they mean.

The fields are made from the description, not from the records, and by their own small tables, so that they
can judge what the sensor makes of the records.
"""

from __future__ import annotations

import pwd
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, ip_address
from typing import Final

from auditsense import syscalls

Fields = dict[str, tuple[str | int, ...]]

_X86_64: Final = 0xC000003E
_NUMBERS: Final = {  # the smallest: others are of x32
    name: min(numbers)
    for name in syscalls.all_names()
    if (numbers := [number for arch, number in syscalls.calls(name) if arch == _X86_64])
}

# call -> action, categories, types, first PATH record (None: no file)
_CALLS: Final[dict[str, tuple[str, tuple[str, ...], tuple[str, ...], int | None]]] = {
    "execve": ("executed", ("process",), ("start",), 0),
    "execveat": ("executed", ("process",), ("start",), 0),
    "open": ("opened-file", ("file",), ("info",), 0),
    "openat": ("opened-file", ("file",), ("info",), 0),
    "creat": ("opened-file", ("file",), ("creation",), 0),
    "write": ("wrote-to-file", ("file",), ("change",), 0),
    "unlinkat": ("deleted", ("file",), ("deletion",), 0),
    "chown": ("changed-file-ownership-of", ("file",), ("change",), 0),
    "fchownat": ("changed-file-ownership-of", ("file",), ("change",), 0),
    "mkdir": ("created-directory", ("file",), ("creation",), 1),
    "init_module": ("loaded-kernel-module", ("driver",), ("start",), 0),
    "finit_module": ("loaded-kernel-module", ("driver",), ("start",), 0),
    "connect": ("connected-to", ("network",), ("connection", "start"), None),
    "accept4": ("accepted-connection-from", ("network",), ("connection", "start"), None),
    "bind": ("bound-socket", ("network",), ("start",), None),
    "sendto": ("sent-to", ("network",), ("connection", "info"), None),
    "kill": ("killed-pid", ("process",), ("end",), None),
    "exit_group": ("end", ("process",), ("end",), None),
}
_OTHER: Final = ("", ("process",), ("info",), None)
CALLS: Final = (*_CALLS, "mprotect", "prctl", "socket", "splice", "unshare")
"""Calls of which events can be made."""

# record of user space -> action, categories, types
_RECORDS: Final = {
    "USER_AUTH": ("authenticated", ("authentication",), ("info",)),
    "USER_LOGIN": ("logged-in", ("authentication",), ("start",)),
    "USER_START": ("started-session", ("session",), ("start",)),
    "USER_CHAUTHTOK": ("changed-password", ("iam",), ("user", "change")),
    "ADD_USER": ("added-user-account", ("iam",), ("user", "creation")),
    "ADD_GROUP": ("added-group-account-to", ("iam",), ("group", "creation")),
    "SERVICE_STOP": ("stopped-service", ("process",), ("end",)),
    "USER_CMD": ("ran-command", ("process",), ("start",)),
}
RECORDS: Final = (*_RECORDS,)
"""Records of user space of which events can be made."""

_EGRESS: Final = frozenset({"connect", "sendto"})
_INGRESS: Final = frozenset({"accept4"})
_CAPABILITIES: Final = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_SYS_ADMIN": 21}
_LONGEST_NAME: Final = 15


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event of x86_64 on this host.

    Attributes:
        call: system call, or type of a record of user space.
        ms: stamp.
        serial: number.
        first: record that precedes SYSCALL: "", "APPARMOR".
        args: arguments of an exec; None: it has no EXECVE record.
        paths: names and nametypes of the PATH records.
        socket: family and address: ("ipv4", "10.0.0.1", 80), ("unix", "/run/x", 0), ("38", "", 0); None.
        capabilities: effective ones after an exec; None: there is no BPRM_FCAPS record.
        message: keys in msg='…' of a record of user space.
    """

    call: str = "execve"
    ms: int = 1_788_001_000_125
    serial: int = 5100
    first: str = ""
    pid: int = 4100
    ppid: int = 4000
    comm: str = "bash"
    exe: str = "/usr/bin/bash"
    uid: int = 1000
    euid: int = 1000
    auid: int = 1000
    success: bool = True
    registers: tuple[str, str, str, str] = ("55d0c8a1e2f0", "55d0c8a1f3b0", "55d0c8a20110", "8")
    args: tuple[str, ...] | None = None
    cwd: str = "/home/alice"
    paths: tuple[tuple[str, str], ...] = ()
    title: str = "bash"
    socket: tuple[str, str, int] | None = None
    capabilities: tuple[str, ...] | None = None
    message: dict[str, str] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether user space wrote its only record."""
        return self.call in _RECORDS

    @property
    def executes(self) -> bool:
        """Whether it is a program that started."""
        return self.call in ("execve", "execveat") and self.success


@dataclass(frozen=True, slots=True)
class Process:
    """Facts about a process from its exec."""

    name: str
    executable: str
    args: tuple[str, ...] | None
    ppid: int


# --- records ---------------------------------------------------------------------------


def records_of(event: AuditEvent) -> list[str]:
    """Return the lines of an event, as auditd writes them."""
    stamp = f"msg=audit({event.ms // 1000}.{event.ms % 1000:03}:{event.serial}):"
    if event.alone:
        message = " ".join(f"{key}={value}" for key, value in event.message.items())
        ids = f"pid={event.pid} uid={event.uid} auid={event.auid} ses=3 subj=unconfined"
        return [f"type={event.call} {stamp} {ids} msg='{message}'"]
    result = f"success={'yes' if event.success else 'no'} exit={0 if event.success else -13}"
    registers = " ".join(f"a{n}={value}" for n, value in enumerate(event.registers))
    user = f"auid={event.auid} uid={event.uid} gid=1000 euid={event.euid} suid=1000 fsuid=1000 egid=1000"
    names = f"comm={_text(event.comm)} exe={_text(event.exe)} subj=unconfined key=(null)"
    call = f"arch=c000003e syscall={_NUMBERS[event.call]} {result} {registers} items={len(event.paths)}"
    process = f"ppid={event.ppid} pid={event.pid} {user} sgid=1000 fsgid=1000 tty=pts0 ses=3"
    lines = [f"type=SYSCALL {stamp} {call} {process} {names}"]
    if event.first == "APPARMOR":
        lines.insert(
            0, f'type=AVC {stamp} apparmor="DENIED" operation="open" profile="p" name="/x" pid={event.pid}'
        )
    if event.capabilities is not None:
        bits = sum(1 << _CAPABILITIES[name] for name in event.capabilities)
        mask = f"{bits:016x}" if bits else "0"
        lines.append(
            f"type=BPRM_FCAPS {stamp} fver=0 fp=0 fi=0 fe=0 old_pp=0 old_pi=0 old_pe=0 old_pa=0 "
            f"pp={mask} pi=0 pe={mask} pa=0 frootid=0"
        )
    if event.args is not None:
        args = " ".join(f"a{n}={_text(text)}" for n, text in enumerate(event.args))
        lines.append(f"type=EXECVE {stamp} argc={len(event.args)} {args}")
    if event.socket is not None:
        lines.append(f"type=SOCKADDR {stamp} saddr={_socket(*event.socket)}")
    lines.append(f"type=CWD {stamp} cwd={_text(event.cwd)}")
    lines += [
        f"type=PATH {stamp} item={n} name={_text(name)} inode=100 dev=fe:01 mode=0100755 ouid=0 ogid=0 "
        f"rdev=00:00 nametype={nametype} cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0"
        for n, (name, nametype) in enumerate(event.paths)
    ]
    lines.append(f"type=PROCTITLE {stamp} proctitle={_text(event.title)}")
    return lines


def _text(text: str) -> str:
    """Return a text as the kernel writes it: in hex when it has a quote, a blank or a control character."""
    data = text.encode()
    if all(0x21 <= byte <= 0x7E and byte != 0x22 for byte in data):
        return f'"{text}"'
    return data.hex().upper()


def _socket(family: str, address: str, port: int) -> str:
    number = {"unix": 1, "ipv4": 2, "ipv6": 10, "netlink": 16}.get(family) or int(family)
    data = number.to_bytes(2, "little")
    if family in ("ipv4", "ipv6"):
        flow = bytes(4) if family == "ipv6" else b""
        scope = bytes(4) if family == "ipv6" else bytes(8)
        data += port.to_bytes(2, "big") + flow + ip_address(address).packed + scope
    else:
        data += address.encode() + bytes(1)
    return data.hex().upper()


# --- fields ----------------------------------------------------------------------------


def fields_of(event: AuditEvent, processes: dict[int, Process], *, native: bool) -> Fields:
    """Return the fields of an event.

    Args:
        event: it.
        processes: by pid, from the execs before it.
        native: whether the sensor's extensions count; otherwise only what auditd_manager fills.
    """
    fields = (
        _fields_alone(event, processes, native=native)
        if event.alone
        else _fields_of_call(event, processes, native=native)
    )
    fields |= {
        "host.os.type": ("linux",),
        "data_stream.dataset": ("auditd_manager.auditd",),
        "host.id": ("here",),
    }
    fields["process.pid"] = (event.pid,)
    return {name: values for name, values in fields.items() if values}


def learn(event: AuditEvent, processes: dict[int, Process]) -> None:
    """Add what an event tells about processes."""
    if event.executes:
        processes[event.pid] = Process(event.comm, event.exe, event.args, event.ppid)


def _fields_alone(event: AuditEvent, processes: dict[int, Process], *, native: bool) -> Fields:
    action, category, types = _RECORDS[event.call]
    login = category[0] in ("authentication", "session", "iam")
    user: tuple[str, ...] = (
        () if login and event.auid == 0xFFFF_FFFF else (str(event.auid if login else event.uid),)
    )
    message = {
        key: text for key, value in event.message.items() if (text := value.strip('"')) not in ("", "?")
    }
    account = message.get("acct", message.get("id", ""))
    result = message.get("res", "")
    success = result in ("yes", "1") or result.startswith("suc")
    fields: Fields = {
        "event.action": (action,),
        "event.category": category,
        "event.type": types,
        "event.outcome": ("success" if success else "failure" if result else "unknown",),
        "auditd.result": ("success" if success else "fail" if result else "unknown",),
        "user.id": user,
        "user.name": _name(user),
        "related.user": (*_name(user), *((account, *_name((account,))) if account else ())),
        **{
            f"auditd.data.{key}": (message[key],)
            for key in ("terminal", "addr", "grantors", "acct", "hostname", "unit")
            if key in message
        },
    }
    if category[0] in ("authentication", "session"):
        fields["user.effective.id"] = (account, *_id(account)) if account else (str(event.uid),)
    else:
        fields["user.effective.id"] = (str(event.uid),)
    if "exe" in message:
        executable = message["exe"]
        fields["process.executable"] = (executable,)
        if native:
            fields["process.name"] = (executable.rpartition("/")[2][:_LONGEST_NAME],)
    if native and event.pid in processes:
        fields["process.name"] = (processes[event.pid].name,)
    return fields


def _fields_of_call(event: AuditEvent, processes: dict[int, Process], *, native: bool) -> Fields:
    action, category, types, first_path = _CALLS.get(event.call, _OTHER)
    actions: tuple[str, ...] = (action,) if action else ()
    if event.first == "APPARMOR":
        actions = ("violated-apparmor-policy",)
    elif native:
        actions += {"executed": ("exec",), "connected-to": ("connection_attempted",)}.get(action, ())
    creates = any(nametype == "CREATE" for _, nametype in event.paths)
    if native and creates and event.call in ("open", "openat"):
        types = (*types, "creation")
    fields: Fields = {
        "event.action": actions,
        "event.category": category,
        "event.type": types,
        "event.outcome": ("success" if event.success else "failure",),
        "auditd.result": ("success" if event.success else "fail",),
        "auditd.data.syscall": (event.call,),
        **{f"auditd.data.a{n}": (value,) for n, value in enumerate(event.registers)},
        "process.parent.pid": (event.ppid,),
        "process.name": _hex_if_strict(event.comm, native=native),
        "process.executable": (event.exe,),
        "process.working_directory": (event.cwd,),
        "process.title": (event.title,) if event.title else (),
        "user.id": (str(event.uid),),
        "user.effective.id": (str(event.euid),),
        "user.name": _name((str(event.uid),)),
        "related.user": tuple(dict.fromkeys((*_name((str(event.uid),)), *_name((str(event.euid),))))),
        "file.path": () if first_path is None or event.first else _file(event, first_path, native=native),
        **_socket_fields(event),
    }
    return fields | _fields_of_processes(event, processes, native=native)


def _fields_of_processes(event: AuditEvent, processes: dict[int, Process], *, native: bool) -> Fields:
    args = event.args
    if not native:
        return {"process.args": args or (), "auditd.data.argc": (len(args),) if args is not None else ()}
    if args is None and event.pid in processes and event.call not in ("execve", "execveat"):
        args = processes[event.pid].args
    parent = processes.get(event.ppid)
    fields: Fields = {
        "process.args": args or (),
        "process.command_line": (" ".join(args),) if args else (),
        "process.args_count": (len(event.args),) if event.args is not None else (),
        "auditd.data.argc": (len(event.args),) if event.args is not None else (),
        "process.thread.capabilities.effective": event.capabilities or (),
    }
    if parent is not None:
        fields |= {
            "process.parent.name": (parent.name,),
            "process.parent.executable": (parent.executable,),
            "process.parent.args": parent.args or (),
            "process.parent.command_line": (" ".join(parent.args),) if parent.args else (),
            "process.parent.entity_id": (f"entity {event.ppid}",),
        }
    if event.executes or event.pid in processes:
        fields["process.entity_id"] = (f"entity {event.pid}",)
    return fields


def _hex_if_strict(comm: str, *, native: bool) -> tuple[str, ...]:
    written = _text(comm)
    return (comm if native or written.startswith('"') else written,)


def _file(event: AuditEvent, first: int, *, native: bool) -> tuple[str, ...]:
    paths = event.paths[first:] if first < len(event.paths) else event.paths
    if not paths:
        return ()
    chosen = next((name for name, kind in paths if kind not in ("PARENT", "UNKNOWN")), paths[0][0])
    if not native or chosen.startswith("/"):
        return (chosen,)
    at_cwd = (
        event.call == "creat"
        or not event.call.endswith("at")
        or event.registers[0] in ("ffffff9c", "ffffffffffffff9c")
    )
    return (chosen, f"{event.cwd.rstrip('/')}/{chosen}") if at_cwd else (chosen,)


def _socket_fields(event: AuditEvent) -> Fields:
    if event.socket is None:
        return {}
    family, address, port = event.socket
    ip = family in ("ipv4", "ipv6")
    fields: Fields = {"auditd.data.socket.family": (family,)}
    side = "destination" if event.call in _EGRESS else "source" if event.call in _INGRESS else ""
    if side:
        fields |= {
            "network.direction": ("egress" if side == "destination" else "ingress",),
            f"{side}.ip": (str(_mapped(address)),) if ip else (),
            f"{side}.port": (port,) if ip else (),
            f"{side}.address": (address,) if family == "unix" else (),
        }
    return fields


def _mapped(address: str) -> object:
    parsed = ip_address(address)
    return parsed if isinstance(parsed, IPv4Address) else parsed.ipv4_mapped or parsed


def _name(ids: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return (pwd.getpwuid(int(ids[0])).pw_name,) if ids else ()
    except (KeyError, ValueError):  # no account has the id, or it is a name
        return ()


def _id(account: str) -> tuple[str, ...]:
    """Return the number of an account that the host has by this name."""
    try:
        return (str(pwd.getpwnam(account).pw_uid),)
    except KeyError:
        return ()


def later(event: AuditEvent, number: int) -> AuditEvent:
    """Return an event with the stamp and serial of the *number*th of a case, 100 ms apart."""
    return replace(event, ms=event.ms + 100 * number, serial=event.serial + number)
