"""Rules of Elastic on the real kernel: programs provoke them, with the audit rules that are derived for them.

AUDITSENSE_ELASTIC_RULES names a folder with a copy of the rules. Without it nothing is tested.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense import Sensor
from auditsense.detections.derive import derive
from auditsense.detections.loader import load_detections
from auditsense.sources.unicast import Unicast
from tests.live.workloads import OTHER_UID, compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditsense import Document
    from auditsense.detections.model import Detection

RULES = os.environ.get("AUDITSENSE_ELASTIC_RULES", "")
LIMIT_S = 120.0
HEX = "\\x41" * 20
RENAMES = '#include <sys/prctl.h>\nint main(void) { return prctl(PR_SET_NAME, "kworker", 0, 0, 0); }\n'
CIPHERS = """
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
    for (int i = 0; i < 10; i++) {
        close(socket(AF_ALG, SOCK_SEQPACKET, 0));
    }
    return system("true; true");
}
"""

pytestmark = pytest.mark.skipif(not RULES, reason="AUDITSENSE_ELASTIC_RULES names no folder with rules")


@pytest.fixture(name="folder")
def folder_fixture() -> Iterator[Path]:
    """Give a folder below /tmp that the other user may read."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def detection(name: str) -> Detection:
    found = sorted(Path(RULES).rglob(f"{name}.toml"))
    if not found:
        pytest.skip(f"{RULES} holds no {name}.toml")
    return load_detections(found[0])[0]


def run_as_other(*command: str) -> None:
    subprocess.run(
        command,
        user=OTHER_UID,
        group=OTHER_UID,
        extra_groups=[],
        cwd="/",
        check=False,
        capture_output=True,
        timeout=120,
    )


def change_attributes(folder: Path) -> None:
    run_as_other("sh", "-c", f"chattr +i {folder}; true")


def echo_bytes(_: Path) -> None:
    run_as_other("sh", "-c", f"/bin/echo '{HEX}'; true")


def send_signal(_: Path) -> None:
    run_as_other("sh", "-c", "kill -34 $$")


def rename_process(folder: Path) -> None:
    run_as_other(program_of(RENAMES, folder))


def program_of(source: str, folder: Path) -> str:
    path = folder / "program.c"
    path.write_text(source, encoding="ascii")
    program = compiled(path, folder)
    if program is None:
        pytest.skip("there is no C compiler")
    return str(program)


def encode(_: Path) -> None:
    run_as_other("base32", "--wrap=0", "/etc/passwd")


def open_cipher_sockets(folder: Path) -> None:
    run_as_other(program_of(CIPHERS, folder))


@pytest.mark.parametrize(
    ("name", "provoke"),
    [
        ("defense_evasion_chattr_immutable_file", change_attributes),
        ("defense_evasion_hex_payload_execution_via_commandline", echo_bytes),
        ("defense_evasion_unsual_kill_signal", send_signal),
        ("defense_evasion_prctl_process_name_tampering", rename_process),
        ("defense_evasion_base16_or_base32_encoding_or_decoding_activity", encode),
        (
            "privilege_escalation_potential_copy_fail_cve_2026_31431_exploitation_via_af_alg_socket",
            open_cipher_sockets,
        ),
    ],
)
def test_a_program_provokes_a_rule(name: str, provoke: Callable[[Path], None], folder: Path) -> None:
    wanted = detection(name)
    lines = derive([wanted]).lines()
    assert lines
    with Sensor([wanted], source=Unicast(lines, guarded=True)) as sensor:
        provoke(folder)
        alert = first_alert(sensor, wanted.id)
        assert sensor.losses.known == 0
    assert alert["user"]["id"] == str(OTHER_UID)
    assert "unknown" not in alert["auditsense"]


def first_alert(sensor: Sensor, rule: str) -> Document:
    """Return the first alert of the other user's processes."""
    deadline_s = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline_s:
        sensor.wait(0.2)
        for document in sensor.poll():
            own = document.get("user", {}).get("id") == str(OTHER_UID)
            if own and document.get("rule", {}).get("id") == rule:
                return document
    raise AssertionError(f"no alert of {rule}; {sensor.stats()}")
