"""Check for the host's /proc, with mountinfo and in mount namespaces of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from auditsense.errors import NoKernelAuditError
from auditsense.kernel import procfs
from auditsense.kernel.rules import auditctl

if TYPE_CHECKING:
    from pathlib import Path

PROC = "22 27 0:21 / /proc rw,relatime - proc proc rw"
ROOT = "27 1 8:1 / / rw - ext4 /dev/sda1 rw"
SAYS = """
import sys
from auditsense.errors import NoKernelAuditError
from auditsense.kernel.rules import auditctl
from auditsense.kernel import procfs
print(procfs.is_host_procfs())
for line in sys.argv[1:]:
    try:
        procfs.require_host_proc([auditctl.parse(line)])
        print("taken")
    except NoKernelAuditError as error:
        print("refused", error)
"""


@pytest.mark.parametrize(
    ("mountinfo", "device"),
    [
        ((ROOT, PROC), "0:21"),
        ((ROOT,), ""),
        ((), ""),
        ((ROOT, PROC, "63 22 0:39 / /proc rw - proc proc rw"), "0:39"),
        (("63 22 0:39 / /proc rw - proc proc rw", PROC), "0:39"),  # the one on top, wherever it is listed
        ((PROC, "63 22 0:40 / /proc rw - tmpfs tmpfs rw"), ""),
        ((PROC, "63 22 0:21 /sys /proc rw - proc proc rw"), ""),  # a part of it
        ((PROC, "63 22 0:39 / /proc/sys rw - proc proc rw"), "0:21"),
        ((PROC, "63 27 0:39 / /host/proc rw - proc proc rw"), "0:21"),
        (("22 27 0:21 / /proc rw shared:5 master:1 - proc proc rw",), "0:21"),
        (("22 27 0:21 / /proc rw - fuse.proc proc rw",), ""),
        (("not a line", "22", " - proc"), ""),
    ],
)
def test_mounted_at_returns_topmost_procfs(mountinfo: tuple[str, ...], device: str) -> None:
    assert procfs.mounted_at("\n".join(mountinfo)) == device


@pytest.mark.parametrize(
    ("mountinfo", "device"),
    [
        ((ROOT, PROC), ""),
        ((), ""),
        ((ROOT, PROC, "63 22 0:39 / /proc rw - proc proc rw"), "0:21"),
        (("70 63 0:40 / /proc rw - proc proc rw", "63 22 0:39 / /proc rw - proc proc rw", PROC), "0:21"),
        ((PROC, "63 27 0:39 / /proc rw - proc proc rw"), ""),  # unknown which is below
    ],
)
def test_covered_at_returns_lowest_procfs(mountinfo: tuple[str, ...], device: str) -> None:
    assert procfs.covered_at("\n".join(mountinfo)) == device


def within(script: str, *lines: str, options: str = "--mount") -> list[str]:
    """Return the results of the functions in a mount namespace that *script* has prepared."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    if procfs.is_host_procfs() is not True:
        pytest.skip("the tests run where /proc is not the host's")
    words = ["unshare", *options.split(), "sh", "-c", f'{script} && exec "$@"', "sh"]
    ended = subprocess.run(
        [*words, sys.executable, "-P", "-c", SAYS, *lines],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if ended.returncode:
        pytest.skip(f"no mount namespace can be had: {ended.stderr}")
    return ended.stdout.splitlines()


WATCH = "-w /proc/ -p r -k audit_proc"
EVERY = "-a always,exit -F inode=1 -F perm=r -k audit_proc"


def test_host_procfs_is_accepted() -> None:
    assert within("true", WATCH, EVERY) == ["True", "taken", "taken"]


def test_other_procfs_is_refused_with_hidepid() -> None:
    script = "mount -t proc proc /proc && mount -t tmpfs tmpfs /proc/1"
    is_host, refused = within(script, WATCH)
    assert is_host == "False"
    assert "another procfs than the host's" in refused


def test_host_procfs_is_accepted_with_hidepid() -> None:
    assert within("mount -t tmpfs tmpfs /proc/1", WATCH) == ["None", "taken"]


@pytest.mark.parametrize(
    "line", [WATCH, "-w /proc/sys -p wa -k s", "-a always,exit -F dir=/proc -F perm=r", "-w /proc/stat -p r"]
)
def test_path_in_other_procfs_is_refused(line: str) -> None:
    is_host, *rest = within("mount -t proc proc /proc", line, EVERY)
    assert (is_host, rest[1]) == ("False", "taken")  # a rule without a path means every procfs
    assert rest[0].startswith("refused")
    assert "-v /proc:/proc" in rest[0]


def test_other_procfs_elsewhere_is_refused() -> None:
    script = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/proc && mount -t proc proc /mnt/proc"
    answers = within(script, "-w /mnt/proc -p r -k audit_proc", WATCH)
    assert answers[1].startswith("refused")
    assert (answers[0], answers[2]) == ("True", "taken")


def test_host_procfs_elsewhere_is_accepted() -> None:
    script = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/p && mount --bind /proc /mnt/p"
    assert within(script, "-w /mnt/p -p r -k audit_proc", WATCH) == ["True", "taken", "taken"]


def test_other_pid_namespace_is_unknown() -> None:
    assert within("mount -t proc proc /proc", options="--mount --pid --fork") == ["None"]


def test_procfs_without_this_process_is_not_the_hosts() -> None:
    # Mounted by a process of another pid namespace, seen by one that is not in it.
    script = (
        "mount -t tmpfs tmpfs /mnt && mkdir /mnt/p && mount --make-shared /mnt && "
        "unshare --pid --fork mount -t proc proc /mnt/p && mount --bind /mnt/p /proc"
    )
    assert within(script, WATCH)[0] == "False"


def test_refusal_names_the_rule() -> None:
    with pytest.raises(NoKernelAuditError, match="the audit rule -w /proc -p r -k k would see nothing"):
        procfs.require_host_proc([auditctl.parse("-w /proc/ -p r -k k")], procfs.PROC / "self")


def test_refusal_states_what_is_wrong_with_proc(tmp_path: Path) -> None:
    assert procfs.is_host_procfs(tmp_path) is False
    assert procfs.is_host_procfs(tmp_path / "none") is False
    assert procfs._about_proc(tmp_path / "none") == "there is no /proc here"
    assert procfs._about_proc(tmp_path) == "there is no procfs at /proc here"
    assert procfs._about_proc(procfs.PROC).startswith("/proc here is another procfs than the host's")
    for path in (b"/proc", b"/proc/", b"/proc/1/mem"):
        assert procfs._difference(path, tmp_path) == "there is no procfs at /proc here"
    for path in (b"/procfs", b"/no/such/place"):
        assert procfs._difference(path, tmp_path) == ""


def test_paths_are_compared_with_those_of_process_1(tmp_path: Path) -> None:
    root = tmp_path / "1" / "root"
    (root / tmp_path.relative_to("/")).mkdir(parents=True)
    here = bytes(tmp_path)
    assert procfs._difference(here, tmp_path) == f"{tmp_path} here is another one than on the host"
    (root / tmp_path.relative_to("/")).rmdir()
    assert procfs._difference(here, tmp_path) == ""
    (root / tmp_path.relative_to("/")).symlink_to(tmp_path)
    assert procfs._difference(here, tmp_path) == ""


def test_place_of_a_procfs_is_one_that_mountinfo_has(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    assert procfs._is_procfs(b"/proc", tmp_path) is False
    (tmp_path / "self" / "mountinfo").write_text("25 1 0:23 / /proc rw - proc proc rw\n")
    assert procfs._is_procfs(b"/proc/", tmp_path)
    assert not procfs._is_procfs(b"/dev", tmp_path)


@pytest.mark.parametrize("outside", [True, None])
def test_host_device_is_unknown_outside_its_pid_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, outside: bool | None
) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "mountinfo").write_text(f"{ROOT}\n{PROC}\n")
    monkeypatch.setattr(procfs, "in_other_namespace", lambda *_: outside)
    assert procfs.host_device(tmp_path) is None


def test_host_device_is_that_of_process_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "in_other_namespace", lambda *_: False)
    assert procfs.host_device(tmp_path) is None
    (tmp_path / "1").mkdir()
    mountinfo = tmp_path / "1" / "mountinfo"
    mountinfo.write_text(f"{ROOT}\n")
    assert procfs.host_device(tmp_path) is None
    others = "".join(f"{n} 27 8:2 / /mnt/{n} rw - ext4 /dev/sdb rw\n" for n in range(1000, 20_000))
    mountinfo.write_text(f"{ROOT}\n{others}{PROC}\n")
    assert procfs.host_device(tmp_path) == os.makedev(0, 21)


@pytest.mark.parametrize(("host", "refused"), [(1, True), (0, False), (None, False)])
def test_root_of_procfs_on_another_device_is_refused(
    host: int | None, *, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place stands for the root of a procfs; *host*: the distance of the host's device, if known."""
    here = tmp_path.stat()
    monkeypatch.setattr(procfs, "_ROOT_INODE", here.st_ino)
    monkeypatch.setattr(procfs, "_is_procfs", lambda *_: True)
    monkeypatch.setattr(procfs, "host_device", lambda _: None if host is None else here.st_dev + host)
    expected = f"{tmp_path} here is another procfs than the host's" if refused else ""
    assert procfs._difference(os.fsencode(tmp_path), procfs.PROC) == expected
