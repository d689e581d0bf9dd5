"""Promises of SECURITY.md that can be tested without kernel audit; the rest is in tests/live."""

from __future__ import annotations

import ast
import errno
import json
import os
import pwd
import re
import stat
import struct
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from auditsense import Detector, Host, syscalls
from auditsense.cli import common, main
from auditsense.cli.parser import build_parser
from auditsense.detections.loader import load_detections
from auditsense.errors import AuditSenseError, DetectionError
from auditsense.kernel import confinement, landlock, privileges, sealed, seccomp
from auditsense.kernel.confinement import PARTS
from auditsense.kernel.sealed_database import DATABASE_FLAGS, SealedDatabase
from auditsense.replay import capture
from auditsense.testing import burst

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "auditsense"
SHIPPED = PACKAGE / "detections" / "pspy.toml"
MODULES = sorted(PACKAGE.rglob("*.py"))
UNPRIVILEGED = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root")


# --- what others may write --------------------

USER_TYPES = (1100, 1112, 1123, 1199, 2100, 2999)


@pytest.mark.parametrize("kind", USER_TYPES)
@pytest.mark.parametrize("before", [b"", b"pid=1 uid=0 msg='op=x\n"])
def test_forged_text_makes_no_event(kind: int, before: bytes) -> None:
    with Detector() as detector:
        for event in burst(20):
            for datagram in event.datagrams:
                stamp, _, text = datagram[16:].partition(b": ")
                header = datagram[:4] + struct.pack("=H", kind) + datagram[6:16]
                detector.feed([header + stamp + b": " + before + text], 0)
        assert detector.finish() == []
        assert detector.stats().matches == 0
        assert detector.feed([one for event in burst(20) for one in event.datagrams], 0)


# --- the filter, read by a model of the kernel --------------------

ALLOW, KILL = "allow", "kill"


def verdict(
    arch: str,
    number: int,
    *arguments: int,
    seen_arch: int | None = None,
    calls: seccomp.CallList | None = None,
) -> str | int:
    """Run the filter as the kernel would. Returns ALLOW, KILL or an errno."""
    program = seccomp.program(arch, calls)
    words = {0: number, 4: syscalls.ARCHES[arch] if seen_arch is None else seen_arch}
    for place, argument in enumerate(arguments):
        words[16 + 8 * place + seccomp._LOW_WORD] = argument & 0xFFFF_FFFF
        words[16 + 8 * place + 4 - seccomp._LOW_WORD] = argument >> 32 & 0xFFFF_FFFF
    at, loaded = 0, 0
    while True:
        code, when_true, when_false, operand = program[at]
        at += 1
        if code == 0x20:
            loaded = words.get(operand, 0)
        elif code == 0x06:
            kind, data = operand & 0xFFFF_0000, operand & 0xFFFF
            return {0x7FFF_0000: ALLOW, 0x8000_0000: KILL}.get(kind, data)
        else:
            truth = {
                0x15: loaded == operand,
                0x25: loaded > operand,
                0x35: loaded >= operand,
                0x45: bool(loaded & operand),
            }[code]
            at += when_true if truth else when_false


def of(arch: str, name: str, *arguments: int, calls: seccomp.CallList | None = None) -> str | int:
    number = syscalls.number(name, arch)
    assert number is not None
    return verdict(arch, number, *arguments, calls=calls)


LOOKED_INTO = {"clone", "clone3", "ioctl", "openat2", "socket"}


@pytest.mark.parametrize("arch", seccomp.ARCHES)
def test_filter_allows_only_listed_calls(arch: str) -> None:
    for name in syscalls.names(arch) - LOOKED_INTO:
        assert of(arch, name) == (ALLOW if name in seccomp.ALLOWED else errno.EPERM), name


@pytest.mark.parametrize("arch", seccomp.ARCHES)
def test_call_newer_than_tables_gets_enosys(arch: str) -> None:
    newest = max(syscalls.number(name, arch) or 0 for name in syscalls.names(arch))
    for number in (newest + 1, 0x4000_0000, 0xFFFF_FFFF):  # the second: x32's way to call read
        assert verdict(arch, number) == errno.ENOSYS


@pytest.mark.parametrize("arch", seccomp.ARCHES)
def test_foreign_architecture_call_kills_the_process(arch: str) -> None:
    for other, seen in syscalls.ARCHES.items():
        if other != arch:
            assert verdict(arch, 0, seen_arch=seen) == KILL


@pytest.mark.parametrize("arch", seccomp.ARCHES)
def test_sockets_reach_this_machine_only(arch: str) -> None:
    families = {family for family in range(50) if of(arch, "socket", family) == ALLOW}
    assert families == {1, 16}
    assert of(arch, "socket", 2) == errno.EAFNOSUPPORT


@pytest.mark.parametrize("arch", seccomp.ARCHES)
def test_sink_can_ask_the_broker_by_what_the_library_calls(arch: str) -> None:
    by_library = {"sendto", "recvmsg"}
    if arch in {"i386", "s390x"}:  # built for kernels before 4.3, the library calls this one for all sockets
        by_library = {"socketcall"}
    for name in by_library:
        assert of(arch, name, calls=PARTS["file"].calls) == ALLOW


def test_broker_uses_sockets_by_numbers_that_its_filter_knows() -> None:
    text = (PACKAGE / "_helper" / "broker.c").read_text(encoding="utf-8")
    assert {"socket", "connect", "sendmsg"} <= {*re.findall(r"syscall\(SYS_(\w+)", text)}
    assert not re.search(r"\b(socket|connect|send|sendto|sendmsg|recv|recvfrom|recvmsg)\(", text)


@pytest.mark.parametrize("part", ["spool", "ship"])
@pytest.mark.parametrize("arch", seccomp.ARCHES)
def test_spool_writes_by_sealed_names_only(
    arch: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seccomp, "abi", lambda: arch)
    files = SealedDatabase(os.open(tmp_path, os.O_PATH), str(tmp_path), ("spool.db", "spool.db-wal"))
    calls, folder = files.limit(PARTS[part].calls), files.fileno()
    files.close()
    first, last = sealed.FIRST, files.address("spool.db-wal") + len("spool.db-wal")
    for flags in (DATABASE_FLAGS, DATABASE_FLAGS | os.O_CREAT):
        assert of(arch, "openat", folder, first, flags, 0o600, calls=calls) == ALLOW
        assert of(arch, "openat", folder, last, flags, 0o600, calls=calls) == ALLOW
        for place, at in ((-100, first), (3, first), (folder, first - 1), (folder, last + 1)):
            assert of(arch, "openat", place, at, flags, 0o600, calls=calls) == errno.EPERM
        assert of(arch, "openat", folder, first, flags, 0o666, calls=calls) == errno.EPERM
        assert of(arch, "openat", folder, first, flags | os.O_TRUNC, 0o600, calls=calls) == errno.EPERM
    assert of(arch, "openat", -100, 0x5000_0000, os.O_RDONLY | os.O_CLOEXEC, 0, calls=calls) == ALLOW
    assert of(arch, "unlinkat", folder, first, 0, calls=calls) == ALLOW
    for words in ((-100, first, 0), (folder, first - 1, 0), (folder, last + 1, 0), (folder, first, 0x200)):
        assert of(arch, "unlinkat", *words, calls=calls) == errno.EPERM
    for name in syscalls.names(arch) & {"unlink", "rmdir", "mkdir", "mkdirat", "rename", "creat", "link"}:
        assert of(arch, name, first, first, calls=calls) == errno.EPERM


@pytest.mark.parametrize("arch", seccomp.ARCHES)
def test_threads_are_allowed_and_namespaces_are_not(arch: str) -> None:
    def clone(flags: int) -> str | int:
        return of(arch, "clone", *((0, flags) if arch == "s390x" else (flags, 0)))

    assert clone(0x003D_0F00) == ALLOW  # as glibc starts a thread
    assert clone(17) == ALLOW  # as it forks: SIGCHLD
    for namespace in (0x20000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000):
        assert clone(17 | namespace) == errno.EPERM
    assert of(arch, "clone3") == of(arch, "openat2") == errno.ENOSYS


@pytest.mark.parametrize("arch", seccomp.ARCHES)
def test_terminal_ioctls_cannot_inject_input(arch: str) -> None:
    assert of(arch, "ioctl", 0, 0x5401) == ALLOW  # TCGETS, which is isatty
    assert of(arch, "ioctl", 0, 0x5412) == errno.EPERM
    assert of(arch, "ioctl", 0, 0x541C) == errno.EPERM


@pytest.mark.parametrize("arch", seccomp.ARCHES)
def test_descriptors_and_limits_reach_no_other_process(arch: str) -> None:
    fcntl = "fcntl64" if arch in {"i386", "arm"} else "fcntl"
    assert of(arch, fcntl, 5, 2, 1) == ALLOW  # F_SETFD
    for owner in (8, 10, 15):  # F_SETOWN, F_SETSIG, F_SETOWN_EX
        assert of(arch, fcntl, 5, owner, 1) == errno.EPERM
    assert of(arch, "ioctl", 5, 0x8901) == of(arch, "ioctl", 5, 0x8902) == errno.EPERM
    assert of(arch, "prlimit64", 0, 7, 0, 0x1000) == ALLOW
    assert of(arch, "prlimit64", 0, 7, 0x1000, 0) == errno.EPERM
    assert of(arch, "prlimit64", 9, 7, 0, 0x1000) == errno.EPERM


@pytest.mark.parametrize("arch", seccomp.ARCHES)
def test_written_memory_never_becomes_code(arch: str) -> None:
    assert of(arch, "mprotect", 0, 0, 1) == of(arch, "mprotect", 0, 0, 3) == ALLOW
    assert of(arch, "mprotect", 0, 0, 5) == of(arch, "mprotect", 0, 0, 4) == errno.EPERM
    for name in {"mmap", "mmap2"} & syscalls.names(arch) - seccomp.structured(arch):
        assert of(arch, name, 0, 0, 5) == of(arch, name, 0, 0, 3) == ALLOW
        assert of(arch, name, 0, 0, 7) == of(arch, name, 0, 0, 6) == errno.EPERM


HIGH = 0x7F12_3456_7000


@pytest.mark.parametrize(
    ("rule", "allowed", "refused"),
    [
        (seccomp.OneOf((3, -100)), (3, -100, 3 | 7 << 32), (0, 4, 100)),
        (seccomp.NoneOf((3, 4)), (0, 5), (3, 4)),
        (seccomp.Without(0b101), (0, 0b10), (1, 0b111)),
        (seccomp.AtMost(3), (0, 3), (4, 0xFFFF_FFFF)),
        (seccomp.NULL, (0,), (1, 1 << 32, HIGH)),
        (seccomp.InRange(HIGH, HIGH + 9), (HIGH, HIGH + 9), (HIGH - 1, HIGH + 10, HIGH + (1 << 32), 0)),
        (seccomp.AtLeast(0x20_0000), (0x20_0000, HIGH, 1 << 32), (0, 0x1F_FFFF)),
        (seccomp.AtLeast(HIGH), (HIGH, HIGH + (1 << 32)), (0, HIGH - 1, HIGH - (1 << 32))),
    ],
)
def test_argument_decides(rule: seccomp.Fixed, allowed: tuple[int, ...], refused: tuple[int, ...]) -> None:
    calls = seccomp.CallList(frozenset(), fixed=(("lseek", (None, rule)),))
    for argument in allowed:
        assert of("x86_64", "lseek", 0, argument, calls=calls) == ALLOW, hex(argument)
    for argument in refused:
        assert of("x86_64", "lseek", 0, argument, calls=calls) == errno.EPERM, hex(argument)


def test_one_of_several_rules_has_to_hold() -> None:
    may_continue = ("kill", (seccomp.OneOf((41, 42, -42)), seccomp.OneOf((18, 9))))
    calls = seccomp.CallList(frozenset(), fixed=(("kill", (None, seccomp.OneOf((0,)))), may_continue))
    for pid, number in ((1, 0), (41, 9), (-42, 18), (42, 0)):
        assert of("x86_64", "kill", pid, number, calls=calls) == ALLOW
    for pid, number in ((1, 9), (41, 15), (-41, 9), (0, 9)):
        assert of("x86_64", "kill", pid, number, calls=calls) == errno.EPERM


def test_dangerous_calls_are_not_listed() -> None:
    wanted = """execve execveat ptrace process_vm_readv process_vm_writev pidfd_getfd bpf perf_event_open
    userfaultfd io_uring_setup init_module finit_module delete_module kexec_load kexec_file_load reboot mount
    move_mount fsopen umount2 pivot_root chroot setns unshare open_by_handle_at name_to_handle_at keyctl
    add_key setuid setgid setresuid setresgid setgroups chmod fchmod fchmodat chown fchown fchownat mknod
    mknodat link linkat symlink symlinkat setxattr settimeofday clock_settime adjtimex sethostname syslog
    personality modify_ldt iopl ioperm swapon quotactl acct listen memfd_create seccomp"""
    assert not seccomp.ALLOWED & set(wanted.split())


def test_every_listed_call_exists_somewhere() -> None:
    known = syscalls.all_names()
    assert known >= seccomp.ALLOWED


# --- the filter, in this kernel --------------------

CONFINED = """
import ctypes, errno, json, os, socket, tempfile, threading
from auditsense.kernel import privileges, seccomp
started = threading.Event()
release = threading.Event()
found = {}
def older():  # a thread from before is confined as well
    started.set()
    release.wait()
    found["older"] = attempt(socket.socket)
def attempt(call, *arguments):
    try:
        call(*arguments)
    except OSError as refused:
        return errno.errorcode[refused.errno]
    return "done"
thread = threading.Thread(target=older)
thread.start()
started.wait()
prepared = seccomp.prepare()
privileges.keep_only(privileges.CAP_AUDIT_CONTROL)
assert seccomp.confine(prepared)
release.set()
thread.join()
libc = ctypes.CDLL(None, use_errno=True)
def unshare():
    if libc.unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "")
def in_a_child():
    pid = os.fork()
    if not pid:
        os._exit(errno.EPERM if attempt(os.execv, "/bin/true", ["true"]) == "EPERM" else 0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EPERM:
        raise PermissionError(errno.EPERM, "")
def in_a_thread():
    later = threading.Thread(target=lambda: found.update(thread=attempt(os.execv, "/bin/true", ["true"])))
    later.start()
    later.join()
def in_a_file():
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/one", "w") as file:
            file.write("text")
        os.replace(folder + "/one", folder + "/two")
in_a_thread()
for name, call in {
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "child": in_a_child,
    "internet": socket.socket,
    "namespace": unshare,
    "mode": lambda: os.chmod("/", 0o755),
    "unix": lambda: socket.socket(socket.AF_UNIX).close(),
    "file": in_a_file,
    "proc": lambda: os.listdir("/proc/self"),
    "signal": lambda: os.kill(os.getpid(), 0),
}.items():
    found[name] = attempt(call)
print(json.dumps(found))
"""


def test_confined_process_works_and_starts_nothing() -> None:
    if seccomp.abi() is None:
        pytest.skip("the calls of this machine are not known")
    ended = subprocess.run(
        [sys.executable, "-P", "-c", CONFINED], capture_output=True, text=True, check=True, timeout=300
    )
    assert json.loads(ended.stdout) == {
        "older": "EAFNOSUPPORT",
        "thread": "EPERM",
        "exec": "EPERM",
        "spawn": "EPERM",
        "child": "EPERM",
        "internet": "EAFNOSUPPORT",
        "namespace": "EPERM",
        "mode": "EPERM",
        "unix": "done",
        "file": "done",
        "proc": "done",
        "signal": "done",
    }


# --- privileges --------------------

BECOMING = """
import json, os, sys
from auditsense.kernel.privileges import User, keep_only
own = os.open(sys.argv[1], os.O_WRONLY)
keep_only(30, user=User(65534, 65533))
words = dict(line.split(":", 1) for line in open("/proc/self/status"))
os.write(own, b"still open")
try:
    os.open(sys.argv[1], os.O_WRONLY)
except PermissionError:
    words["file"] = "refused"
try:
    os.setuid(0)
except PermissionError:
    words["root"] = "refused"
print(json.dumps({name: word.split() for name, word in words.items()}))
"""


@as_root
def test_new_user_keeps_one_capability_for_good(tmp_path: Path) -> None:
    file = tmp_path / "root's"
    file.touch(0o600)
    ended = subprocess.run(
        [sys.executable, "-P", "-c", BECOMING, str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found = json.loads(ended.stdout)
    assert found["Uid"] == ["65534"] * 4
    assert found["Gid"] == ["65533"] * 4
    assert found["Groups"] == []
    assert [found[name] for name in ("CapPrm", "CapEff", "CapBnd")] == [["0000000040000000"]] * 3
    assert [found[name] for name in ("CapInh", "CapAmb")] == [["0000000000000000"]] * 2
    assert (found["file"], found["root"]) == (["refused"], ["refused"])
    assert file.read_text() == "still open"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EACCES])
def test_missing_seccomp_differs_from_refusal(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    class Libc:
        def syscall(self, *_: object) -> int:
            return -1

    monkeypatch.setattr(seccomp, "libc", Libc)
    monkeypatch.setattr("auditsense.kernel.seccomp.ctypes.get_errno", lambda: code)
    prepared = seccomp.SystemCallFilter(1, bytes(8))
    if code == errno.EACCES:
        with pytest.raises(AuditSenseError, match=r"Permission denied$"):
            seccomp.confine(prepared)
    else:
        assert not seccomp.confine(prepared)


def test_caller_of_main_keeps_privileges(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        pytest.fail("privileges were dropped")

    monkeypatch.setattr(privileges, "keep_only", never)
    monkeypatch.setattr(seccomp, "confine", never)
    assert common.drop_privileges(PARTS["sensor"], None, own_process=False) is None


def test_threaded_process_drops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "keep_only", lambda *_, **__: pytest.fail("dropped"))
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        with pytest.raises(AuditSenseError, match="one thread"):
            common.drop_privileges(PARTS["sensor"], None, own_process=True)
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("prepared", [None, seccomp.SystemCallFilter(0, b"")])
def test_running_without_a_filter_is_reported(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    prepared: seccomp.SystemCallFilter | None,
) -> None:
    kept: list[object] = []
    monkeypatch.setattr(os, "listdir", lambda _: ["1"])
    monkeypatch.setattr(privileges, "keep_only", lambda *numbers, user: kept.extend((*numbers, user)))
    monkeypatch.setattr(seccomp, "prepare", lambda _: prepared)
    monkeypatch.setattr(seccomp, "confine", lambda _: False)
    monkeypatch.setattr(landlock, "version", lambda: 0)
    monkeypatch.setattr(confinement, "_forbid_code", lambda: None)
    user = privileges.User(1, 2)
    common.drop_privileges(PARTS["sensor"], user, own_process=True)
    assert kept == [30, 37, user]
    assert capsys.readouterr().err == (
        "auditsense: this kernel or this machine has no filter for system calls and no Landlock; "
        "continuing without\n"
    )


@pytest.mark.parametrize(
    ("machine", "pointer", "expected"),
    [
        ("x86_64", 8, "x86_64"),
        ("x86_64", 4, "i386"),
        ("i686", 4, "i386"),
        ("aarch64", 8, "aarch64"),
        ("aarch64", 4, "arm"),
        ("armv7l", 4, "arm"),
        ("s390x", 8, "s390x"),
        ("s390x", 4, None),
        ("i686", 8, None),  # a name that setarch made up
        ("sparc64", 8, None),
    ],
)
def test_filter_uses_this_processes_numbers(
    monkeypatch: pytest.MonkeyPatch, machine: str, pointer: int, expected: str | None
) -> None:
    monkeypatch.setattr("auditsense.kernel.seccomp.struct.calcsize", lambda _: pointer)
    monkeypatch.setattr(syscalls, "native_arch", lambda: syscalls.canonical_arch(machine))
    assert seccomp.abi() == expected


@pytest.mark.parametrize(
    ("name", "part"), [("no_such_user_here", "there is no user"), ("toor", "toor is root")]
)
@pytest.mark.parametrize("command", [["run"], ["record", "--to", "x"]])
def test_only_a_user_without_privileges_can_be_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    name: str,
    part: str,
) -> None:
    """By another name than root, which asks for it."""
    if name == "toor":
        monkeypatch.setattr(pwd, "getpwnam", lambda _: SimpleNamespace(pw_uid=0, pw_gid=0))
    try:
        code: object = main([*command, "--user", name])
    except SystemExit as ended:  # how argparse ends
        code = ended.code
    assert code == 2
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert part in stderr


def test_named_user_comes_from_passwd() -> None:
    entry = next((one for one in pwd.getpwall() if one.pw_uid), None)
    if entry is None:
        pytest.skip("root is the only user here")
    arguments = build_parser().parse_args(["record", "--to", "x", "--user", entry.pw_name])
    assert arguments.user == privileges.User(entry.pw_uid, entry.pw_gid, entry.pw_name)


# --- files --------------------


@pytest.fixture
def detection(tmp_path: Path) -> Path:
    folder = tmp_path / "detections"
    folder.mkdir(mode=0o755)
    file = folder / "one.toml"
    file.write_bytes(SHIPPED.read_bytes())
    file.chmod(0o644)
    return file


def lead_elsewhere(file: Path) -> None:
    """Replace it by a link to a copy that another user owns."""
    elsewhere = file.parents[1] / "elsewhere"
    elsewhere.mkdir()
    file.rename(elsewhere / "it")
    os.chown(elsewhere, UNPRIVILEGED, UNPRIVILEGED)
    file.symlink_to(elsewhere / "it")


SPOILED: dict[str, Callable[[Path], object]] = {
    "a group may write it": lambda file: file.chmod(0o664),
    "all may write it": lambda file: file.chmod(0o646),
    "another user owns it": lambda file: os.chown(file, UNPRIVILEGED, 0),
    "all may write the folder": lambda file: file.parent.chmod(0o777),
    "all may write the folder, their own only": lambda file: file.parent.chmod(0o1777),
    "another user owns the folder": lambda file: os.chown(file.parent, UNPRIVILEGED, 0),
    "another user owns the folder above": lambda file: os.chown(file.parents[1], UNPRIVILEGED, 0),
    "it leads to another user's folder": lead_elsewhere,
}


@as_root
@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.parametrize("named", ["file", "folder"])
def test_root_refuses_detection_writable_by_others(
    detection: Path, capsys: pytest.CaptureFixture[str], how: str, named: str
) -> None:
    path = detection if named == "file" else detection.parent
    assert len(load_detections(path)) == 1
    SPOILED[how](detection)
    with pytest.raises(DetectionError, match=r"may change it; root loads only what root alone may write$"):
        load_detections(path)
    for command in (["detections", "check", str(path)], ["run", "--dry-run", "--detections", str(path)]):
        assert main(command) in {1, 2}
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith("auditsense: error: ")


@pytest.mark.parametrize("how", ["a group may write it", "all may write the folder"])
def test_unprivileged_user_loads_any_detection(
    detection: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    SPOILED[how](detection)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert len(load_detections(detection)) == 1
    assert len(load_detections(detection.parent)) == 1


@as_root
def test_symlink_loop_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "a.toml").symlink_to(tmp_path / "b.toml")
    (tmp_path / "b.toml").symlink_to(tmp_path / "a.toml")
    with pytest.raises(DetectionError, match=r"a\.toml"):
        load_detections(tmp_path / "a.toml")


def test_capture_is_private_and_replaces_nothing(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        capture.create(tmp_path / "one", Host("id", "name"), 0).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    for name in ("one", "link"):
        with pytest.raises(AuditSenseError, match="exists already"):
            capture.create(tmp_path / name, Host("id", "name"), 0)
    assert not (tmp_path / "victim").exists()


# --- the source --------------------

BENCH = PACKAGE / "bench"
STARTERS = re.compile(r"(system|popen|exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?|startfile|fork_exec)")


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_package_starts_no_shell_or_program(path: Path) -> None:
    starters = {"subprocess", "pty", "_posixsubprocess", "multiprocessing"}
    if path.parent == BENCH:  # starts what it measures; nothing else can reach it: see the next test
        starters.remove("subprocess")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
            assert not starters & {*modules}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of_os = isinstance(node.func.value, ast.Name) and node.func.value.id == "os"
            assert not (of_os and STARTERS.fullmatch(node.func.attr)), ast.unparse(node)
            assert all(keyword.arg != "shell" for keyword in node.keywords)


def test_only_bench_command_imports_bench() -> None:
    for path in MODULES:
        if path.parent != BENCH and path != PACKAGE / "cli" / "bench.py":
            assert "auditsense.bench" not in path.read_text(encoding="utf-8"), path


def test_core_calls_start_nothing() -> None:
    for path in [*PACKAGE.rglob("*.c"), *PACKAGE.rglob("*.h")]:
        if path.parent == BENCH:  # a load that forks, in a separate program outside the core
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\b(system|popen|exec[lv]p?e?|posix_spawnp?|v?fork)\s*\(", text), path


# --- what SECURITY.md says --------------------


def test_tests_named_in_security_md_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(named) > 10
    for file, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), name
