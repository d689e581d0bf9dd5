"""Manual pages and shell completion match the parser."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from auditsense.cli import main
from auditsense.cli.completion import FILES as SHELLS
from auditsense.cli.parser import build_parser
from auditsense.config.keys import KEYS
from scripts.write_pages import Command, pages, text, tree

ROOT = Path(__file__).parents[2]
COMPLETION = ROOT / "src/auditsense/completion"

FILES = pages()
COMMANDS = [command for command in tree(build_parser()).every() if command.words]


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def output_of(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return result.stdout + result.stderr


@pytest.mark.parametrize("name", FILES)
def test_committed_pages_match_parser(name: str) -> None:
    committed = ROOT / name
    assert committed.read_text(encoding="utf-8") == FILES[name], "python scripts/write_pages.py writes it"


@pytest.mark.parametrize("page", ["auditsense.1", "auditsense.toml.5"])
def test_groff_reads_page_without_warning(page: str) -> None:
    path = ROOT / "man" / page
    assert output_of(tool("groff"), "-man", "-Tutf8", "-ww", "-z", str(path)) == ""


@pytest.mark.parametrize("page", ["auditsense.1", "auditsense.toml.5"])
def test_mandoc_lint_accepts_page(page: str) -> None:
    output = output_of(tool("mandoc"), "-T", "lint", "-W", "warning", str(ROOT / "man" / page))
    # A date would make every build another page.
    assert [line for line in output.splitlines() if "missing date" not in line] == []


def test_page_lists_every_command_and_option() -> None:
    page = FILES["man/auditsense.1"].replace("\\-", "-")
    for command in COMMANDS:
        assert f".SS {' '.join(command.words)}\n" in page
        for action in command.actions:
            for option in action.option_strings:
                assert option in {"-h", "--help"} or f"\\fB{option}\\fR" in page
    assert all(f".B {code}\n" in page for code in (0, 1, 2, 3, 4, 5, 10))


def test_configuration_page_lists_every_key() -> None:
    page = FILES["man/auditsense.toml.5"]
    assert len(KEYS) > 5
    assert all(f".B {key.name}\n" in page for key in KEYS)


def test_roff_in_help_text_is_escaped() -> None:
    assert text(".so /etc/passwd \\fB -x") == "\\&.so /etc/passwd \\efB \\-x"


# --- completion -------------------------------------------------------------------------


def completed(*words: str, folder: Path | None = None) -> set[str]:
    """Return what a real bash offers for the last of the words."""
    script = (
        f'source "{COMPLETION}/auditsense.bash"; compopt() {{ :; }}; COMP_LINE=$1; COMP_POINT=${{#1}}; '
        'shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _auditsense auditsense "${@: -1}" ""; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    parts = [part for word in words for part in re.findall("[:=]+|[^:=]+", word) or [""]]  # as bash splits
    line = " ".join(["auditsense", *words])
    result = subprocess.run(
        [tool("bash"), "-c", script, "bash", line, "auditsense", *parts],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert result.stderr == ""
    return {*result.stdout.split("\n")} - {""}


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command.words) for command in COMMANDS])
def test_bash_completes_commands_and_options(command: Command) -> None:
    *before, last = command.words
    assert last in completed(*before, last[:2])
    options = {name for action in command.actions for name in action.option_strings}
    assert completed(*command.words, "-") == options


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ru"], {"run", "rules"}),
        (["run", "-o", ""], {"alerts", "sequences", "events"}),
        (["run", "--output", "se"], {"sequences"}),
        (["replay", "-o", "c"], {"count"}),
        (["run", "--source", "m"], {"multicast"}),
        (["run", "--user", "daemo"], {"daemon"}),
        (["run", "--output=se"], {"sequences"}),
        (["run", "--sink", "s"], {"stdout", "syslog", "spool:", "syslog:udp://", "syslog:tcp://"}),
        (["run", "--sink", "syslog:u"], {"udp://"}),
        (["replay", "--sink=jou"], {"journald"}),
        (["run", "--source", "unix:/et"], {"/etc"}),
        (["run", "--source", "lo"], {"log:"}),
        (["detections", "show", "ps"], {"pspy"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
        (["help", "rep"], {"replay"}),
        (["schema", ""], {"document", "status"}),
        (["run", "--duration", ""], set()),
        (["rules", ""], {"install", "remove", "check", "list", "print", "derive"}),
        (["run", "-o", "events", "--format", ""], {"jsonl", "compact", "ocsf"}),
        (["no-such-command", "x"], set()),
    ],
)
def test_bash_completes_values(words: list[str], offered: set[str]) -> None:
    assert completed(*words) == offered


def test_bash_completes_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "log with blanks").touch()
    (tmp_path / "units").mkdir()
    assert completed("replay", "", folder=tmp_path) == {"log with blanks", "units"}
    assert completed("record", "--to", "log", folder=tmp_path) == {"log with blanks"}
    assert completed("detections", "except", "log", folder=tmp_path) == {"log with blanks"}
    assert completed("run", "--sink", "file:l", folder=tmp_path) == {"log with blanks"}
    assert completed("run", "--sink=file:u", folder=tmp_path) == {"units"}
    assert completed("units", "--to", "", folder=tmp_path) == {"units"}


AT_A_PROMPT = [
    (b"replay --sink jour\t", b"replay --sink journald "),
    (b"run --sink fil\t", b"run --sink file:"),
    (b"run --sink file:/etc/hostn\t", b"run --sink file:/etc/hostname"),
    (b"run --sink=file:/etc/hostn\t", b"run --sink=file:/etc/hostname"),
    (b"run --source log\t/etc/hostn\t", b"run --source log:/etc/hostname"),
    (b"run --sink syslog:u\t", b"run --sink syslog:udp://"),
    (b"run --output=seq\t", b"run --output=sequences "),
    (b"run --user=daem\t", b"run --user=daemon "),
    (b"detections show ps\t", b"detections show pspy "),
]


@pytest.mark.parametrize(
    ("shell", "typed", "shown"),
    [
        *((shell, *row) for shell in ("bash", "zsh") for row in AT_A_PROMPT),
        ("bash", b"run --outp\tseq\t", b"run --output sequences "),
        ("zsh", b"run --outp\tseq\t", b"run --output=\b=sequences "),  # \b: it removes = before a blank
    ],
)
def test_shell_completes_at_a_prompt(shell: str, typed: bytes, shown: bytes, tmp_path: Path) -> None:
    setup = {
        "bash": f"source '{COMPLETION}/auditsense.bash'; PS1=ready; stty cols 200",
        "zsh": f"fpath=('{COMPLETION}' $fpath); autoload -Uz compinit; compinit -u -d '{tmp_path}/dump'; "
        "PS1=ready; stty cols 200",
    }
    words = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    program = tool(shell)
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - another program
        environment = {**os.environ, "TERM": "dumb", "PATH": path}
        os.execve(program, [shell, *words[shell]], environment)  # noqa: S606 - a shell, at a terminal
    try:
        os.write(terminal, setup[shell].encode() + b"; PS1=done$PS1\n")
        read_until(terminal, b"doneready")
        os.write(terminal, b"auditsense " + typed)
        read_until(terminal, b"auditsense " + shown)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def read_until(terminal: int, expected: bytes) -> None:
    output, deadline_s = b"", time.monotonic() + 120
    while expected not in output:
        assert select.select([terminal], [], [], max(0, deadline_s - time.monotonic()))[0], output
        output += os.read(terminal, 4096).replace(b"\a", b"").replace(b"\b ", b"")


@pytest.mark.parametrize("shell", SHELLS)
def test_shell_parses_its_file(shell: str) -> None:
    assert output_of(tool(shell), "-n", str(COMPLETION / SHELLS[shell])) == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_command_prints_its_file(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == FILES[f"src/auditsense/completion/{SHELLS[shell]}"].rstrip("\n") + "\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_file_names_every_command(shell: str) -> None:
    file = FILES[f"src/auditsense/completion/{SHELLS[shell]}"]
    assert all(command.words[-1] in file for command in COMMANDS)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("auditsense ru", {"run", "rules"}),
        ("auditsense run --output se", {"sequences"}),
        ("auditsense rules in", {"install"}),
        ("auditsense bench --off", {"--offline"}),
        ("auditsense run --sink jo", {"journald"}),
        (
            "auditsense run --sink file:/etc/host",
            {"file:/etc/host.conf", "file:/etc/hostname", "file:/etc/hosts"},
        ),
        ("auditsense run --source log:/etc/hostn", {"log:/etc/hostname"}),
    ],
)
def test_fish_completes(line: str, offered: set[str]) -> None:
    script = f"source {COMPLETION}/auditsense.fish; complete -C '{line}'"
    output = output_of(tool("fish"), "--no-config", "-c", script)
    assert {row.partition("\t")[0] for row in output.splitlines()} == offered
