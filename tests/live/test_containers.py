"""Alerts of scans in containers tell where they were, by a sensor without privileges; see conftest.py."""

from __future__ import annotations

import json
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.workloads import OTHER_UID, Command, Scanner, command

if TYPE_CHECKING:
    from collections.abc import Iterator

RULE = f"-a always,exit -F arch=b64 -S openat -F inode=1 -F uid={OTHER_UID} -k audit_proc"
LIMIT_S = 120.0
NAME = "scanner"
SCAN = ("-n", "40", "-p", "50000")  # two seconds, so that it runs when the alert is made
ID = "0123456789abcdef" * 4
AS_OTHER = ("setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups")
NEW_NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")

IN_OTHER = {"from": "process", "pid_namespace": "other", "procfs": "own"}
PLACES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "host": (AS_OTHER, {"from": "process", "pid_namespace": "host", "procfs": "host"}),
    "unshare": ((*NEW_NAMESPACE, *AS_OTHER), IN_OTHER),
    "user namespace": ((*AS_OTHER, *NEW_NAMESPACE, "--user", "--map-current-user"), IN_OTHER),
    "bubblewrap": (
        (*AS_OTHER, "bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--unshare-pid"),
        IN_OTHER,
    ),
}


@pytest.fixture(name="sensor", params=["root", "another user"])
def sensor_fixture(request: pytest.FixtureRequest) -> Iterator[Command]:
    """Give a running sensor."""
    user = [] if request.param == "root" else ["--user", pwd.getpwuid(OTHER_UID).pw_name]
    with command("run", "--format", "jsonl", "--audit-rule", RULE, "--self-test", "0", *user) as sensor:
        sensor.wait_until_ready()
        yield sensor


@pytest.fixture(name="program")
def program_fixture(compiled: Scanner | None) -> Iterator[Path]:
    """Give the scanner in a folder that every user may read."""
    if compiled is None:
        pytest.skip("there is no C compiler for scanner.c")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # each user may enter /tmp
        Path(folder).chmod(0o755)
        yield Path(shutil.copy(compiled.exe, folder))


def alert_of(sensor: Command, *words: str) -> dict[str, Any]:
    """Run a scan to its end. Returns the alert about it."""
    load = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, cwd="/", check=False)
    if load.returncode:
        pytest.skip(f"{words} does not run here: {load.stderr.strip()}")
    deadline = time.monotonic() + LIMIT_S
    while not (alerts := [one for one in map(json.loads, sensor.printed.splitlines()) if is_scan(one)]):
        assert time.monotonic() < deadline, sensor.stderr
        time.sleep(0.05)
    alert: dict[str, Any] = alerts[0]
    return alert


def is_scan(document: dict[str, Any]) -> bool:
    is_alert = document["event"]["dataset"] == "auditsense.alert"
    return is_alert and bool(document["process"]["name"] == NAME)


@pytest.mark.parametrize("place", PLACES)
def test_alert_names_the_place_of_the_scan(sensor: Command, place: str, program: Path) -> None:
    words, expected = PLACES[place]
    if missing := [
        tool for tool in ("setpriv", "unshare", "bwrap") if tool in words and not shutil.which(tool)
    ]:
        pytest.skip(f"{missing[0]} is not installed")
    alert = alert_of(sensor, *words, str(program), *SCAN)
    told = alert["auditsense"]["container"]
    assert {name: told[name] for name in expected} == expected
    if place != "host":
        assert alert["container"] == {"id": "unknown"}


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_alert_names_the_container_of_a_runtime(
    sensor: Command, runtime: str, program: Path, tmp_path: Path
) -> None:
    if shutil.which(runtime) is None:
        pytest.skip(f"{runtime} is not installed")
    (tmp_path / "rootfs").mkdir()
    tmp_path.chmod(0o755)
    shutil.copy(program, tmp_path / "rootfs")
    binds = [path for path in ("/usr", "/bin", "/lib", "/lib64") if Path(path).exists()]
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": OTHER_UID, "gid": OTHER_UID},
            "args": ["/scanner", *SCAN],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            *(
                {"destination": path, "source": path, "type": "bind", "options": ["rbind", "ro"]}
                for path in binds
            ),
        ],
        "linux": {
            "cgroupsPath": f"/docker/{ID}",
            "namespaces": [{"type": "pid"}, {"type": "mount"}],
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    alert = alert_of(
        sensor,
        runtime,
        "--root",
        str(tmp_path / "state"),
        "run",
        "--bundle",
        str(tmp_path),
        f"{runtime}-auditsense",
    )
    assert alert["container"] == {"id": ID, "runtime": "docker"}
    told = alert["auditsense"]["container"]
    assert {name: told[name] for name in IN_OTHER} == IN_OTHER
