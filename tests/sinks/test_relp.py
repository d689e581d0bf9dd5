"""The example for rsyslog: a disk queue on the host, RELP to a central rsyslogd that is away at first."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense.testing import burst
from tests.support.log_daemons import wait_until
from tests.support.receiver import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples" / "rsyslog"
PROGRAM = Path(sys.executable).with_name("auditsense")

needs_relp = pytest.mark.skipif(
    shutil.which("rsyslogd") is None or not list(Path("/usr/lib").glob("*/rsyslog/omrelp.so")),
    reason="rsyslogd with the package rsyslog-relp is not installed",
)


class Daemon:
    """An rsyslogd with a file of the examples."""

    def __init__(self, folder: Path, name: str, replaced: dict[str, object]) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        text = (EXAMPLES / f"{name}.conf").read_text(encoding="utf-8")
        for word, value in replaced.items():
            assert word in text
            text = text.replace(word, str(value))
        head = f'global(workDirectory="{self.folder}" maxMessageSize="64k")\n'
        (self.folder / "rsyslog.conf").write_text(head + text)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it, and stop it at the end."""
        files: list[str | Path] = ["-f", self.folder / "rsyslog.conf", "-i", self.folder / "pid"]
        process = subprocess.Popen(["rsyslogd", "-n", *files], stderr=subprocess.DEVNULL)
        try:
            wait_until((self.folder / "pid").exists)
            yield
        finally:
            process.terminate()
            process.wait(300)
            (self.folder / "pid").unlink(missing_ok=True)


@needs_relp
def test_alert_waits_on_disk_for_the_central_host_and_arrives(tmp_path: Path) -> None:
    tcp, relp = free_port(), free_port()
    received = tmp_path / "received.jsonl"
    here: dict[str, object] = {"logs.example": "127.0.0.1", "5140": tcp, "2514": relp}
    host = Daemon(tmp_path, "host", {**here, 'resumeInterval="10"': 'resumeInterval="1"'})
    central = Daemon(tmp_path, "central", {"2514": relp, "/var/log/auditsense.jsonl": received})
    log = tmp_path / "audit.log"
    log.write_bytes(b"".join(event.text for event in burst(10)))
    with host.running():
        arguments: list[str | Path] = [PROGRAM, "replay", log, "--sink", f"syslog:tcp://127.0.0.1:{tcp}"]
        subprocess.run(arguments, check=True, capture_output=True, timeout=300)
        wait_until(lambda: list((tmp_path / "host").glob("auditsense.0*")))
    with central.running(), host.running():  # the queue is read again
        wait_until(lambda: received.exists() and received.read_bytes().endswith(b"\n"))
        documents = [json.loads(line) for line in received.read_text(encoding="utf-8").splitlines()]
    assert {document["event"]["id"] for document in documents}  # RELP may deliver it twice
    assert {document["rule"]["id"] for document in documents} == {"pspy"}
