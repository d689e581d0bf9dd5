"""Colour on a terminal, and nowhere else."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from auditsense.bench.report import BenchReport, Goal, Row, machine
from auditsense.cli import bench, main
from auditsense.cli.common import stop_signals
from auditsense.cli.style import painter
from auditsense.testing import burst

PROGRAM = Path(sys.executable).with_name("auditsense")
ESCAPE = b"\x1b["


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log"
    path.write_bytes(b"".join(event.text for event in burst(12)))
    return path


def on_terminal(*words: str, stdin: Path | None = None, **environment: str) -> tuple[int, bytes]:
    """Run a command whose output is a terminal. Return its exit code and what the terminal received."""
    ours, theirs = pty.openpty()
    with (stdin or Path(os.devnull)).open("rb") as records:
        child = subprocess.Popen(
            [PROGRAM, *words],
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environment},
            stdin=records,
            stdout=theirs,
            stderr=theirs,
        )
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 1 << 16):
            written += chunk
    except OSError:  # EIO: the last writer has ended
        pass
    finally:
        os.close(ours)
    return child.wait(300), written


RUN = ("run", "--source", "audisp", "--status-socket", "off")


def test_replay_colors_severity_on_terminal(log: Path) -> None:
    code, written = on_terminal("replay", str(log))
    assert code == 0
    assert b"\x1b[36mlow\x1b[0m \x1b[1mpspy\x1b[0m" in written


def test_sink_of_run_colors_terminal(log: Path) -> None:
    code, written = on_terminal(*RUN, stdin=log)
    assert code == 0
    assert b"\x1b[36mlow\x1b[0m \x1b[1mpspy\x1b[0m" in written
    assert b"\x1b[2mauditsense:\x1b[0m watching" in written


@pytest.mark.parametrize(
    ("words", "environment"),
    [((), {"NO_COLOR": "1"}), ((), {"TERM": "dumb"}), ((), {"TERM": ""}), (("--color", "never"), {})],
    ids=str,
)
def test_terminal_without_color(words: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
    for command in (RUN, ("replay", str(log))):
        code, written = on_terminal(*command, *words, stdin=log, **environment)
        assert code == 0
        assert b" low pspy" in written
        assert b"\x1b" not in written


def test_only_standard_output_is_colored(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "alerts"
    sinks = ("--sink", "stdout", "--sink", f"file:{file},format=compact")
    code, written = on_terminal(*RUN, "--color", "always", *sinks, stdin=log)
    assert code == 0
    assert ESCAPE in written
    assert b"low pspy" in file.read_bytes()
    assert b"\x1b" not in file.read_bytes()


@pytest.mark.parametrize("color", ["auto", "always", "never"])
def test_pipe_is_colored_only_on_request(color: str, log: Path) -> None:
    ended = subprocess.run(
        [PROGRAM, "replay", "--format", "compact", "--color", color, str(log)],
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        check=True,
        timeout=300,
    )
    assert (ESCAPE in ended.stdout) == (color == "always")


def test_json_is_never_colored(log: Path) -> None:
    code, written = on_terminal("replay", "--format", "jsonl", "--color", "always", str(log))
    assert code == 0
    assert b"\x1b" not in written


def test_error_is_red_on_terminal() -> None:
    code, written = on_terminal("replay", "/nonexistent")
    assert code != 0
    assert b"\x1b[1;31merror\x1b[0m: /nonexistent" in written


def test_usage_error_is_red_on_terminal() -> None:
    code, written = on_terminal("status", "--jsn")
    assert code == 2
    assert b"\x1b[2mauditsense:\x1b[0m \x1b[1;31merror\x1b[0m: " in written


def test_bench_verdict_is_colored(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    goals = [Goal(limit=1.0), Goal(limit=3.0)]
    rows = tuple(Row(f"k{at}", "q", "ms", 2.0, goal=goal) for at, goal in enumerate(goals))
    report = BenchReport("0.1.0", machine(), rows, (), "without")
    monkeypatch.setattr(bench, "_measure", lambda _: report)
    monkeypatch.setattr(
        "auditsense.cli._message_settings.color", "auto"
    )  # restored for the tests that follow
    assert main(["bench", "--color", "always"]) == 0
    out = capsys.readouterr().out
    assert "\x1b[1;31mmissed\x1b[0m" in out
    assert "\x1b[32mmet\x1b[0m" in out


def test_unknown_role_and_empty_text_stay_plain() -> None:
    paint = painter(None, "always")
    assert (paint("?", "x"), paint("low", "")) == ("x", "")
    assert painter(None)("low", "x") == "x"


def test_sigint_on_a_terminal_ends_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal shows ^C, and what is printed next begins a line."""
    screen, terminal = os.openpty()
    stopped: list[bool] = []
    with os.fdopen(terminal, "w", encoding="utf-8") as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        with stop_signals(lambda: stopped.append(True)):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
    assert stopped == [True, True]
    assert os.read(screen, 10) == b"\r\n"
    os.close(screen)
