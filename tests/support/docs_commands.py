"""The commands of README.md and docs/*.md: how each is shown to be true. The tables are what to edit.

A command is a line of a block fenced as `sh`, or a line after "$ " or "# " in one fenced as `console`. The
lines that follow it there are what it prints; "…" in them stands for anything. A block whose first line is a
comment with nothing but a file's name ("# /etc/auditsense/auditsense.toml") is written to that file, for the
commands below it.

A page's commands run in order, in a separate folder, which also has the checkout's folders and, as .venv,
this environment. `PLACES` outside it are moved into it. What a pattern in `RUN` begins with runs everywhere;
`LIVE` runs where the kernel's audit may be used; `ELSEWHERE` is run by another test; `UNABLE` by none, for
the reason given.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditsense.testing import burst

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/how-to").glob("*.md")),
)

RUN: Final = {
    # pattern: the exit codes that the page promises
    r"auditsense (rpelay|replay --duration|run --(sink file:alerts|self-test soon|dry-run --sink))": {2},
    r"auditsense --version$": {0},
    r"auditsense --help$": {0},
    r"auditsense (run|replay|record|rules|detections|bench|units|config|doctor|status) --help$": {0},
    r"(\.venv/bin/)?auditsense replay ": {0, 10},
    r"auditsense rules (print( --detections shipped:\S+)?$|derive\b)": {0},
    r"auditsense detections (list|show|check|compile|except|schema)\b": {0},
    r"auditsense completion (bash|zsh|fish)\b": {0},
    r"auditsense config (check|dump|sample)\b": {0},
    r"auditsense units\b": {0},
    r"auditsense ship --spool alerts --status$": {0},
    r"auditsense doctor\b": {0, 1},
    r"auditsense bench (--offline|compare)\b": {0},
    r"python3 -c 'import os; ": {0},
    r"(cat|echo|printf|mkdir|cp|ls|jq|grep|head|tail|wc|sort|zcat|gzip|test|touch) ": {0},
    r"install -(d|m 644) ": {0},
    r"MANPATH=\S+ man |man -l ": {0},
    r"systemd-analyze (verify|security --offline=)": {0},
}
"""Run as the user of the tests. Changes must stay in the folder, or in `PLACES`."""

LIVE: Final = (
    r"(\.venv/bin/)?auditsense run\b(?! --source (unix|log):| --sink syslog:| \|)",
    r"(\.venv/bin/)?auditsense record\b(?! --to opens\.capture)",
    r"(\.venv/bin/)?auditsense rules (list|check|install|remove)\b",
)
"""Run as root on the kernel's audit, watching the load of the tests; an endless command gets Ctrl-C."""

ELSEWHERE: Final = {
    r"auditsense doctor\b": "tests/doctor/test_doctor.py",
    r"auditsense ship --spool alerts --prometheus$": "tests/status/test_prometheus.py",
    r"promtool (check|test) rules ": "tests/status/test_prometheus.py",
    r"curl .*(_index_template/auditsense|_search\?q=|logsql/query)": "tests/ship/test_receivers.py",
    r"auditsense ship --spool alerts (--until-empty )?--to ": "tests/ship/test_receivers.py",
    r"(victoria-logs|otelcol) -": "tests/ship/test_receivers.py",
    r"auditsense status\b": "tests/status/test_status.py",
    r"sudo auditsense run$": "tests/live/test_detection.py",
    r"auditsense run --sink syslog:": "tests/sinks/test_log_daemons.py",
    r"auditsense run \| ": "tests/live/test_detection.py",
    r"auditsense record --to opens\.capture$": "tests/live/test_detection.py",
    r"auditsense test-alert\b": "tests/live/test_alert_test.py",
    r"auditsense detections test\b": "tests/cli/test_detection_cases.py",
    r"auditsense run --source (unix|log):": "tests/live/test_auditd.py",
    r"auditsense bench calls\b": "tests/live/test_bench.py",
    r"scripts/run\.sh$": "tests/live/test_detection.py",
    r"scripts/install_rules\.sh": "tests/project/test_install_rules.py",
    r"meson (setup|install) .*\.build/library": "tests/core/test_c_library.py",
    r"cc -O2 -o agent agent\.c ": "tests/core/test_c_library.py",
}

UNABLE: Final = {
    r"scripts/test\.sh$": "it is what runs this test",
    r"auditsense bench( --(html|json) bench\.\w+)?$": "minutes; tests/bench/test_bench.py runs parts",
    r"nats stream add ": "the program nats is not installed here; tests create the stream by its API",
    r"(sudo )?useradd ": "changes the system outside the folder",
    r"(sudo )?systemctl ": "needs systemd as process 1, which no test may assume",
    r"journalctl ": "the same",
    r"(sudo )?(apt|apt-get|dnf|zypper|apk|pacman) ": "changes the packages of the host",
    r"sudo tar -C / ": "changes the system outside the folder",
    r"(sudo )?python3 -m venv /opt/": "changes the system outside the folder",
    r"(sudo )?(/opt/auditsense/bin/|rm -r /opt/auditsense$|ln -s /opt/auditsense/)": "the same",
    r"sha256sum -c |git checkout |scripts/build_packages\.sh": "minutes, and needs what was built",
    r"rm /usr/local/bin/auditsense$": "the same",
    r"rm /etc/systemd/system/": "the same",
    r"auditctl |augenrules |ausearch ": "of the package auditd, which may not be installed",
}

PLACES: Final = (
    "/var/log/audit",
    "/var/log/auditsense",
    "/etc/auditsense",
    "/etc/systemd/system",
    "/run/auditsense",
)

_MEASURES: Final = re.compile(r"^(auditsense bench --offline)( --events \d+)?")
_FEW_EVENTS: Final = 2000  # a measurement of all takes a minute on a busy machine, and prints the same rows

LOG: Final = b"".join(event.text for event in burst(10))
"""What there is as audit.log: enough for an alert."""

HOW = """\
{page}:{line}: {command}
is in no table of tests/support/docs_commands.py. A test must prove each command of a page: if it can run
anywhere, add it to RUN; if it needs root and the kernel's audit, to LIVE; if another test runs it, to
ELSEWHERE; and if none can, to UNABLE with the reason."""


@dataclass(frozen=True)
class Step:
    """A command, or a file that the page shows."""

    page: str
    line: int
    command: str
    prints: tuple[str, ...] | None = None
    """The output on the page; None where the page shows none."""
    file: str = ""
    """For a file: its name; *command* is its content."""


def steps(page: Path) -> list[Step]:
    """Return what a page tells to do, in order."""
    found: list[Step] = []
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        first = text.count("\n", 0, block.start(2)) + 1
        lines = block[2].splitlines()
        if block[1] == "sh":
            found += _commands(page.name, first, lines)
        elif block[1] == "console":
            found += _session(page.name, first, lines)
        elif lines and (name := re.fullmatch(r"# ((?:/etc/auditsense/|\./)[\w./-]+)", lines[0])):
            found.append(Step(page.name, first, block[2], file=name[1]))
    return found


def _commands(page: str, first: int, lines: list[str]) -> list[Step]:
    found = []
    number = 0
    while number < len(lines):
        start, text = number, lines[number]
        while text.endswith("\\") and number + 1 < len(lines):
            number += 1
            text += "\n" + lines[number]
        if document := re.search(r"<<-?\s*'?(\w+)'?", text):
            while number + 1 < len(lines) and lines[number] != document[1]:
                number += 1
                text += "\n" + lines[number]
        number += 1
        text = re.sub(r"\s{2,}# .*$", "", text).strip()
        if text and not text.startswith("#"):
            found.append(Step(page, first + start, text))
    return found


def _session(page: str, first: int, lines: list[str]) -> list[Step]:
    found: list[Step] = []
    for number, line in enumerate(lines):
        if line.startswith(("$ ", "# ")):
            found.append(Step(page, first + number, re.sub(r"\s{2,}# .*$", "", line[2:]), ()))
        elif found:
            last = found.pop()
            found.append(Step(page, last.line, last.command, (*(last.prints or ()), line)))
    return found


def kind(step: Step) -> str:
    """Return the name of the table that a command is in; "" when in none."""
    if step.file:
        return "RUN"
    tables = {"RUN": RUN, "LIVE": LIVE, "ELSEWHERE": ELSEWHERE, "UNABLE": UNABLE}
    for name, patterns in tables.items():
        if any(re.match(pattern, step.command) for pattern in patterns):
            return name
    return ""


class Folder:
    """Folder in which a page's commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("scripts", "examples", "bench", "docs", "src", "tests"):
            (folder / name).symlink_to(ROOT / name)
        (folder / ".venv").symlink_to(sys.prefix)
        for place in PLACES:
            (folder / place.strip("/")).mkdir(parents=True)
        (folder / "var/log/audit/audit.log").write_bytes(LOG)
        (folder / "opens.capture").symlink_to(ROOT / "tests/data/pspy.capture")

    def do(self, step: Step, more: str = "") -> None:
        """Do a step and check what the page says of it; *more* keeps it to the load of the tests."""
        command = _MEASURES.sub(rf"\1 --events {_FEW_EVENTS}", step.command) + more
        for place in PLACES:
            command = re.sub(rf"(?<![\w/.]){place}", f"{self.folder}{place}", command)
        if step.file:
            name = f"{self.folder}/{step.file.lstrip('/')}"
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(step.command, encoding="utf-8")
            return
        code, out, errors = self._shell(command, endless=kind(step) == "LIVE")
        promised = next((codes for pattern, codes in RUN.items() if re.match(pattern, step.command)), {0})
        assert code in promised, f"{step.page}:{step.line}: {command}\nends with {code}:\n{out}{errors}"
        assert "Traceback" not in errors
        if step.prints:
            # Both streams, as on a terminal; moved places are called again what the page calls them.
            shown = (out + errors).replace(str(self.folder), "")
            wanted = "(?s:.*)".join(re.escape(part) for part in "\n".join(step.prints).split("…"))
            assert re.search(wanted, shown), f"{step.page}:{step.line}: {command}\nprints:\n{shown}"

    def _shell(self, command: str, *, endless: bool) -> tuple[int, str, str]:
        environment = {
            **{name: value for name, value in os.environ.items() if name in {"HOME", "LANG", "TMPDIR"}},
            "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}",
        }
        with (self.folder / ".out").open("w+b") as out, (self.folder / ".err").open("w+b") as err:
            process = subprocess.Popen(
                [str(shutil.which("bash")), "-c", command],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            try:
                if endless:
                    self._interrupt(process)
                code = process.wait(timeout=120)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            out.seek(0)
            err.seek(0)
            return code, out.read().decode("utf-8", "replace"), err.read().decode("utf-8", "replace")

    def _interrupt(self, process: subprocess.Popen[bytes]) -> None:
        """Press Ctrl-C once it watches, unless it ends before."""
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            errors = (self.folder / ".err").read_text(encoding="utf-8", errors="replace")
            if re.search(r"^auditsense: (watching|capturing)", errors, re.MULTILINE):
                time.sleep(0.2)
                os.killpg(process.pid, signal.SIGINT)
                return
            time.sleep(0.05)
