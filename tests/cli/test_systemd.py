"""Systemd units, the command that writes them, and notification of the service manager."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense import cli
from auditsense.cli.parser import EXIT_CODES
from auditsense.cli.sd_notify import ServiceNotifier
from auditsense.cli.systemd import units
from tests.support import compromise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("auditsense")
SENSOR, RULES, SHIP = "auditsense.service", "auditsense-rules.service", "auditsense-ship.service"
NAMESPACE_MAKERS = {
    *(
        "BindPaths",
        "BindReadOnlyPaths",
        "DynamicUser",
        "ExecPaths",
        "ExtensionDirectories",
        "ExtensionImages",
    ),
    *("InaccessiblePaths", "LoadCredential", "LoadCredentialEncrypted", "LogNamespace", "MountAPIVFS"),
    *(
        "MountFlags",
        "MountImages",
        "NoExecPaths",
        "PrivateDevices",
        "PrivateIPC",
        "PrivateMounts",
        "PrivateTmp",
    ),
    *("PrivateNetwork", "PrivateUsers", "PrivatePIDs", "ProcSubset", "ProtectControlGroups", "ProtectHome"),
    *("ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc"),
    *("ProtectSystem", "ReadOnlyPaths", "ReadWritePaths", "RootDirectory", "RootImage", "SetCredential"),
    *("TemporaryFileSystem", "BindLogSockets", "NetworkNamespacePath", "JoinsNamespaceOf"),
}
"""systemd.exec(5): each gives the service a mount namespace, or another one that the kernel's audit minds."""


def settings(unit: str) -> list[tuple[str, str]]:
    """Return what a unit sets, in order."""
    lines = units(str(PROGRAM))[unit].splitlines()
    return [(line.partition("=")[0], line.partition("=")[2]) for line in lines if re.match(r"\w+=", line)]


def setting(unit: str, name: str) -> str:
    (value,) = (value for key, value in settings(unit) if key == name)
    return value


def analyze(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "SYSTEMD_COLORS": "0", **environment},
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Give a test the units as the command writes them, for the program of this environment."""
    assert cli.main(["units", "--to", str(tmp_path), "--program", str(PROGRAM)]) == 0
    return tmp_path


# --- the units --------------------------------------------------------------------------


def test_systemd_analyze_accepts_units(written: Path) -> None:
    result = analyze("verify", "--man=no", *map(str, sorted(written.glob("*.service"))))
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_systemd_analyze_finds_an_error(written: Path) -> None:
    (written / SENSOR).write_text((written / SENSOR).read_text() + "[Service]\nTypo=yes\n")
    result = analyze("verify", "--man=no", str(written / SENSOR))
    assert "Typo" in result.stderr


@pytest.mark.parametrize("unit", [SENSOR, RULES])
def test_units_get_no_mount_namespace(unit: str) -> None:
    assert {name for name, _ in settings(unit)} & NAMESPACE_MAKERS == set()
    assert len(settings(unit)) > 8


@pytest.mark.parametrize("unit", compromise.EXPOSURE)
def test_exposure_is_as_stated(written: Path, unit: str) -> None:
    """SECURITY.md has the same figures (tests/project/test_compromise.py)."""
    stated = compromise.EXPOSURE[unit]
    result = analyze("security", "--offline=true", "--no-pager", str(written / unit))
    measured = re.search(rf"Overall exposure level for {unit}: (\d+\.\d)", result.stdout)
    assert measured is not None, result
    version = re.search(r"systemd (\d+)", analyze("--version").stdout)
    assert version is not None
    if int(version[1]) == compromise.MEASURED_WITH:
        assert float(measured[1]) == stated
    else:  # another version weighs other options
        assert float(measured[1]) <= stated + 0.3


def test_pages_state_the_exposure_of_the_sensor() -> None:
    for page in ("docs/operating.md", "docs/adr/0019-systemd-units-without-a-mount-namespace.md"):
        stated = re.search(r"exposure level of (\d\.\d)", (ROOT / page).read_text(encoding="utf-8"))
        assert stated is not None
        assert float(stated[1]) == compromise.EXPOSURE[SENSOR]


def test_delivery_has_a_user_and_nothing_else() -> None:
    assert setting(SHIP, "User") == "auditsense-ship"
    assert setting(SHIP, "CapabilityBoundingSet") == ""
    assert setting(SHIP, "Before") == SENSOR
    assert "IPAddressDeny" not in {name for name, _ in settings(SHIP)}


def test_rule_unit_is_ordered_after_auditd_before_sensor() -> None:
    assert setting(RULES, "Before") == SENSOR
    assert RULES in setting(SENSOR, "Wants").split()
    for unit in (SENSOR, RULES):
        assert "auditd.service" in setting(unit, "After").split()


def test_restart_excludes_permanent_failures() -> None:
    assert "usage" in EXIT_CODES[2]
    assert setting(SENSOR, "Restart") == "always"
    assert setting(SENSOR, "RestartPreventExitStatus") == "2 3 4 5"


def test_stop_leaves_time_to_guardian_and_keeps_journal() -> None:
    from auditsense.kernel import guardian  # noqa: PLC0415 - only here

    assert setting(SENSOR, "KillMode") == "control-group"
    names = {number.name for number in guardian.IGNORED_SIGNALS}
    assert {"SIGTERM", "SIGABRT"} <= names  # of a stop, and of the watchdog
    assert not {"RuntimeDirectory", "FinalKillSignal", "WatchdogSignal"} & {
        key for key, _ in settings(SENSOR)
    }


# --- the command ----------------------------------------------------------------------


def test_units_start_requested_program(written: Path) -> None:
    for name in (SENSOR, RULES, SHIP):
        text = (written / name).read_text()
        assert f'ExecStart="{PROGRAM}" ' in text
        assert "/usr/bin/auditsense" not in text
        assert (written / name).stat().st_mode & 0o777 == 0o644
    assert {path.name for path in written.iterdir()} == {SENSOR, RULES, SHIP}


@pytest.mark.parametrize("unit", [SENSOR, RULES, SHIP])
def test_documentation_names_existing_manual(unit: str) -> None:
    """man(1) does not search a virtual environment, so the unit names the file."""
    uri = setting(unit, "Documentation").strip('"')
    assert Path(uri.removeprefix("man:")).is_file()
    assert "Documentation=man:auditsense(1)\n" in units("/usr/bin/auditsense")[unit]


def test_writing_units_again_replaces_them(written: Path) -> None:
    assert cli.main(["units", "--to", str(written), "--program", "/opt/other place/auditsense"]) == 0
    assert 'ExecStart="/opt/other place/auditsense" run' in (written / SENSOR).read_text()


def test_units_are_printed_without_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["units", "--program", "/opt/x/auditsense"]) == 0
    out = capsys.readouterr().out
    assert f"# {SENSOR}\n" in out
    assert f"# {RULES}\n" in out


@pytest.mark.parametrize("path", ["auditsense", '/opt/a"b', "/opt/50%", "/opt/$HOME/x", "/a\nUser=x", "/a'b"])
def test_path_with_special_characters_is_refused(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["units", "--to", str(tmp_path), "--program", path]) == 2
    assert "name an absolute path" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def theirs(path: Path) -> None:
    os.chown(path, 65534, 65534, follow_symlinks=False)


def linked(path: Path) -> None:
    path.rename(path.with_name("it"))
    path.symlink_to("it")
    theirs(path)


def interpreted(path: Path) -> None:
    """Let its interpreter be another user's."""
    interpreter = path.with_name("python")
    shutil.copy("/bin/sh", interpreter)
    theirs(interpreter)
    path.write_text(f"#!{interpreter} -I\n")


SPOILED: dict[str, Callable[[Path], object]] = {
    "another user's": theirs,
    "of a group": lambda path: path.chmod(0o775),
    "of all": lambda path: path.chmod(0o757),
    "another user's link": linked,
    "another user's interpreter": interpreted,
    "in another user's folder": lambda path: theirs(path.parent),
    "in a folder of all": lambda path: path.parent.chmod(0o777),
    "below another user's folder": lambda path: theirs(path.parents[1]),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.parametrize("named", [False, True])
def test_unit_for_a_program_that_others_may_change_is_refused(
    how: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    named: bool,
) -> None:
    program = tmp_path / "opt" / "bin" / "auditsense"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    to = tmp_path / "units"
    to.mkdir()
    monkeypatch.setattr("sys.argv", [str(program)])
    words = ["units", "--to", str(to), *(["--program", str(program)] if named else [])]
    assert cli.main(words) == 0
    for unit in to.iterdir():
        unit.unlink()
    capsys.readouterr()
    SPOILED[how](program)
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"auditsense: error: no unit for {program}: /")
    assert err.endswith("; install auditsense where root alone may write\n")
    assert "may change" in err
    assert err.count("\n") == 1
    assert list(to.iterdir()) == []


def test_unit_for_a_program_of_the_current_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PATH=.:… the program that runs may be one of the current folder."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "auditsense").write_text("#!/bin/sh\n")
    (folder / "auditsense").chmod(0o755)
    folder.chmod(0o777)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["auditsense"])
    assert cli.main(["units"]) == 2
    assert capsys.readouterr().out == ""


def test_foreign_unit_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / RULES).write_text("# Written by install_rules.sh of auditsense.\n")
    (tmp_path / SENSOR).write_text("[Service]\n")
    assert cli.main(["units", "--to", str(tmp_path), "--program", str(PROGRAM)]) == 1
    assert "was not written by this command" in capsys.readouterr().err
    assert (tmp_path / SENSOR).read_text() == "[Service]\n"
    assert len(list(tmp_path.iterdir())) == 2


def test_missing_folder_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["units", "--to", str(tmp_path / "no"), "--program", str(PROGRAM)]) == 2
    assert "there is no such folder" in capsys.readouterr().err


# --- notification of the manager ---------------------------------------------------------


class Listener:
    """The manager's side of the socket."""

    def __init__(self, address: str, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(0)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    path = str(tmp_path / "notify")
    name = path if request.param == "path" else f"@auditsense-test-{os.getpid()}"
    listener = Listener(name.replace("@", "\0"), name)
    yield listener
    listener.socket.close()


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.5

    def __call__(self) -> float:
        return self.now_s


def test_notifications_follow_protocol(listener: Listener) -> None:
    with ServiceNotifier({"NOTIFY_SOCKET": listener.name}, Hands()) as manager:
        assert manager.active
        assert manager.ready("watching;\nsource netlink")
        assert manager.reloading()
        assert manager.ready("read again")
        assert manager.stopping()
    assert not manager.stopping()
    assert listener.heard() == [
        "READY=1\nSTATUS=watching; source netlink",
        "RELOADING=1\nMONOTONIC_USEC=1000500000",
        "READY=1\nSTATUS=read again",
        "STOPPING=1",
    ]


def test_watchdog_is_notified_twice_an_interval_while_loop_runs(
    listener: Listener,
) -> None:
    clock = Hands()
    with ServiceNotifier({"NOTIFY_SOCKET": listener.name, "WATCHDOG_USEC": "60000000"}, clock) as manager:
        for _ in range(1000):  # a busy loop
            manager.alive()
        assert listener.heard() == ["WATCHDOG=1"]
        for _ in range(60):
            clock.now_s += 1
            manager.alive()
        assert listener.heard() == ["WATCHDOG=1"] * 2
        clock.now_s += 500
        assert listener.heard() == []


def test_status_is_computed_only_when_due(listener: Listener) -> None:
    clock = Hands()
    times: list[float] = []

    def status() -> str:
        times.append(clock.now_s)
        return "3 alerts"

    with ServiceNotifier({"NOTIFY_SOCKET": listener.name}, clock) as manager:
        manager.ready("watching")
        listener.heard()
        for _ in range(61):
            manager.alive(status)
            clock.now_s += 1
    assert times == [1030.5, 1060.5]
    assert listener.heard() == ["STATUS=3 alerts"] * 2


@pytest.mark.parametrize(
    "environment",
    [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": ""}],
)
def test_watchdog_of_other_process_is_not_notified(listener: Listener, environment: dict[str, str]) -> None:
    with ServiceNotifier({"NOTIFY_SOCKET": listener.name, "WATCHDOG_USEC": "1000", **environment}) as manager:
        manager.alive()
    assert listener.heard() == []


@pytest.mark.parametrize("name", ["", "vsock:2:1234", "relative", "/nowhere/at/all", "@", "/" + "x" * 200])
def test_nothing_is_sent_without_manager(name: str) -> None:
    with ServiceNotifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000"}) as manager:
        assert not manager.ready("watching")
        assert not manager.reloading()
        assert not manager.stopping()
        manager.alive()


def test_busy_manager_does_not_block_loop(
    tmp_path: Path,
) -> None:
    full = Listener(str(tmp_path / "notify"), str(tmp_path / "notify"))
    clock = Hands()
    with ServiceNotifier({"NOTIFY_SOCKET": full.name, "WATCHDOG_USEC": "60000000"}, clock) as manager:
        while manager.stopping():
            pass
        manager.alive()
        full.heard()
        manager.alive()
    assert full.heard() == ["WATCHDOG=1"]
    full.socket.close()
