"""Files that may hold anything, as configuration and detections: at the start, and at SIGHUP."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense import Sensor
from auditsense._toml import MOST_DEPTH, MOST_KEY_PARTS, Places, TomlError, parse
from auditsense.cli import main
from auditsense.cli.common import stop_signals
from auditsense.cli.parser import build_parser
from auditsense.cli.sd_notify import ServiceNotifier
from auditsense.cli.sighup import HangupHandler
from auditsense.config.settings import build_settings, load_config
from auditsense.testing import FakeClock, FakeSource, burst
from tests.support.faults import NO_HOST, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


UNPRIVILEGED = 65534
DETECTION = Path(__file__).parents[2] / "src" / "auditsense" / "detections" / "pspy.toml"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
_ONE_SINK = "[[sink]]\ntype = 'journald'\n"
_ONE_EXCEPTION = "[[exception]]\ndetection = 'pspy'\ncomment = 'c'\nmatch = { 'user.id' = '7' }\n"


def _text(content: str | bytes) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda path: path.write_bytes(data)


def _open_to_all(path: Path) -> None:
    path.write_text("")
    path.chmod(0o666)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 << 20)


BULK = 6_000
"""Statements of a file: enough that a reader in quadratic time would not end, and below a second each."""

HOSTILE: dict[str, Callable[[Path], object]] = {
    "a decimal of 5,000 digits": _text("[limits]\nkey_slots = " + "9" * 5000),
    "a decimal of 900,000 digits": _text("[limits]\nkey_slots = " + "9" * 900_000),
    "a hexadecimal of 50,000 digits": _text("[limits]\nkey_slots = 0x" + "f" * 50_000),
    "a binary of 50,000 digits": _text("[alerts]\nsuppress = 0b" + "1" * 50_000),
    "a huge number in a list": _text("[alerts]\nby = [" + "0x" + "f" * 9000 + "]"),
    "a huge number under an unknown key": _text("x = 0o" + "7" * 9000),
    "nested arrays": _text("a = " + "[" * 1000 + "]" * 1000),
    "very nested arrays": _text("a = " + "[" * 500_000),
    "nested tables": _text("a = " + "{a=" * 1000 + "1" + "}" * 1000),
    "a long dotted key": _text("a" + ".a" * 400_000 + " = 1"),
    "a long dotted key in a table": _text("x = { " + "a." * 400_000 + "b = 1 }"),
    "a long header": _text("[a" + ".a" * 400_000 + "]"),
    "a header of quoted parts": _text("['a'" + '."a"' * 100_000 + "]"),
    "strings that do not end": _text('a = """' + '\n\\"""' * 150_000),
    "quotes without end": _text("a = '''" + "\n\\''''" * 150_000),
    "unknown keys": _text("".join(f"k{n} = 1\n" for n in range(BULK))),
    "unknown tables": _text("".join(f"[t{n}]\n" for n in range(BULK))),
    "wrong exceptions": _text("[[exception]]\n" * BULK),
    "exceptions of nothing": _text(_ONE_EXCEPTION.replace("pspy", "psyp") * 2500),
    "too many sinks": _text(_ONE_SINK * BULK),
    "a FIFO": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a file of the kernel without end": lambda path: path.symlink_to("/proc/kmsg"),
    "binary": _text(bytes(range(256)) * 100),
    "zero bytes": _text(bytes(1000)),
    "another encoding": _text("[alerts]\n".encode("utf-16")),
    "100 MB": _sparse,
    "nothing any more": lambda _: None,
    "a file that others may write": _open_to_all,
    "a date of the year 1": _text(_ONE_EXCEPTION + "expires = 0001-01-01T00:00:00+23:59\n"),
    "a half table": _text("[alerts"),
}


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


class Running:
    """One `run` with a configuration file and an own detection, its source in memory."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "auditsense.toml"
        self.detection = folder / "one.toml"
        self.exceptions = folder / "quiet.toml"
        self.write()
        arguments = build_parser().parse_args(["run", "-c", str(self.config)])
        asked = build_settings(load_config(arguments))
        self.source = FakeSource()
        self.sensor = Sensor(asked.detections, source=self.source, clock=FakeClock(), policy=asked.policy)
        self.reloading = HangupHandler(
            arguments, asked, ServiceNotifier({}), lambda: pytest.fail("it was ended")
        )

    def write(self) -> None:
        for path in (self.config, self.detection, self.exceptions):
            remove(path)
        self.config.write_text(
            f"[detections]\nshipped = false\npaths = ['{self.detection}']\n"
            f"exceptions = ['{self.exceptions}']\n"
        )
        shutil.copy(DETECTION, self.detection)
        self.exceptions.write_text(_ONE_EXCEPTION)
        for path in (self.config, self.detection, self.exceptions):
            path.chmod(0o644)

    def hang_up(self) -> None:
        signal.raise_signal(signal.SIGHUP)
        self.reloading.poll(self.sensor, lambda: "")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with stop_signals(lambda: pytest.fail("it was ended")), self.reloading, self.sensor:
            yield


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    opened = os.open  # hide the terminal, if there is one
    monkeypatch.setattr(
        os,
        "open",
        lambda path, *more, **named: opened("/none" if path == "/dev/tty" else path, *more, **named),
    )
    before = signal.getsignal(signal.SIGHUP)
    yield Running(tmp_path)
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("place", ["config", "detection", "exceptions"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_reload_of_hostile_file_changes_nothing(
    hostile: str, place: str, one: Running, capsys: pytest.CaptureFixture[str], fault: Recorder
) -> None:
    with one.running():
        detections = one.sensor.detections
        path: Path = getattr(one, place)
        remove(path)
        HOSTILE[hostile](path)
        if path.is_file() and hostile != "a file that others may write" and not path.is_symlink():
            path.chmod(0o644)
        one.hang_up()
        messages = capsys.readouterr().err.splitlines()
        expected_reload = (
            place != "config" and hostile == "a file that others may write" and os.geteuid() != 0
        )
        if not expected_reload:
            assert (
                messages[-1]
                == "auditsense: the configuration was not reloaded; the previous one stays active"
            )
            assert all(line.startswith("auditsense: error: ") for line in messages[:-1])
            assert 2 <= len(messages) <= 202
            assert max(map(len, messages)) < 1000
            assert one.sensor.detections is detections
        one.source.send(*burst(10))
        assert len(one.sensor.poll()) == 1
        one.write()
        one.hang_up()
        assert "configuration reloaded" in capsys.readouterr().err
    fault(
        "SIGHUP while a file of the configuration holds anything",
        how="huge numbers, deep nesting, endless strings, FIFOs, devices, binary, 100 MB; as configuration, "
        "detection and exceptions",
        did="kept the active configuration and continued; reloaded when the files were corrected",
        lost="nothing",
        reported="one line for each mistake, and that the previous configuration stays active",
        host=NO_HOST,
    )


@pytest.mark.parametrize("hostile", HOSTILE)
def test_start_with_hostile_file_is_one_line(
    hostile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: Recorder
) -> None:
    path = tmp_path / "given.toml"
    HOSTILE[hostile](path)
    if path.is_file() and hostile != "a file that others may write" and not path.is_symlink():
        path.chmod(0o644)
    words = [["config", "check", "-c"], ["run", "--dry-run", "-c"]]
    if os.geteuid() == 0 or hostile != "a file that others may write":
        words += [["detections", "check"], ["run", "--dry-run", "--detections"]]
        words += [["run", "--dry-run", "--exceptions"]]
    for command in words:
        code = main([*command, str(path)])
        assert code == 2 or (code == 1 and "check" in command)
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("auditsense: error: ")
        assert "Traceback" not in err
    fault(
        "it is started with a file of the configuration that holds anything",
        how="the same files, as configuration, detection and exceptions",
        did="did not start: exit code 2",
        lost="nothing",
        reported="one line for each mistake",
        host=NO_HOST,
    )


def test_reload_that_takes_too_long_is_aborted(
    one: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forever(_: object) -> None:
        while True:
            pass

    with one.running():
        monkeypatch.setattr("auditsense.cli.sighup._MAX_CPU_S", 0.1)
        monkeypatch.setattr("auditsense.cli.sighup.build_settings", forever)
        one.hang_up()
        messages = capsys.readouterr().err.splitlines()
        assert messages[0] == "auditsense: error: reading the configuration took more than 0.1 s of CPU time"
        assert messages[-1].endswith("the previous one stays active")
        assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGVTALRM) == signal.SIG_DFL


@pytest.mark.parametrize(
    "problem",
    [RecursionError("x"), ValueError("y\nz"), PermissionError(13, "no", "/a"), MemoryError(), KeyError("k")],
)
def test_reload_that_fails_for_any_reason_changes_nothing(
    problem: Exception, one: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(_: object) -> None:
        raise problem

    with one.running():
        detections = one.sensor.detections
        monkeypatch.setattr("auditsense.cli.sighup.build_settings", failing)
        one.hang_up()
        messages = capsys.readouterr().err.splitlines()
        assert len(messages) == 2
        assert messages[-1].endswith("the previous one stays active")
        assert one.sensor.detections is detections


# --- a package that cannot be read any more -------------------------------------------------------

RELOADS = """
import os, signal, sys
from pathlib import Path
from auditsense import Sensor
from auditsense.cli.common import stop_signals
from auditsense.cli.sd_notify import ServiceNotifier
from auditsense.cli.parser import build_parser
from auditsense.cli.sighup import HangupHandler, load_for_reload
from auditsense.cli import run  # all that `run` loads
from auditsense.config.settings import build_settings, load_config
from auditsense.testing import FakeClock, FakeSource
import auditsense
config = Path(os.environ["CONFIG"])
arguments = build_parser().parse_args(["run", "-c", str(config)])
asked = build_settings(load_config(arguments))
sensor = Sensor(asked.detections, source=FakeSource(), clock=FakeClock(), policy=asked.policy)
reloading = HangupHandler(arguments, asked, ServiceNotifier({}), lambda: None)
package = os.path.dirname(auditsense.__file__)

unreadable = (package, os.path.dirname(os.__file__))

def hidden(event, given):
    if event in {"open", "os.listdir", "os.scandir"} and str(given[0]).startswith(unreadable):
        raise PermissionError(13, "Permission denied", str(given[0]))
    if event == "import" and given[0] not in sys.modules:
        raise PermissionError(13, "Permission denied", given[0])

load_for_reload()
with stop_signals(lambda: None), reloading, sensor:
    sys.addaudithook(hidden)
    for text in sys.stdin.read().split("\\0"):
        config.write_text(text)
        signal.raise_signal(signal.SIGHUP)
        reloading.poll(sensor, lambda: "")
        sensor.poll()
"""


_OWN_DETECTION = """
id = "own"
name = "Own"
version = 1
severity = "low"
risk_score = 21
eql = 'process where event.action == "executed" and process.args regex "[0-9]+x"'
"""


def test_reload_reads_nothing_of_the_package(tmp_path: Path, fault: Recorder) -> None:
    """With --user, the package and Python may be out of reach (a venv below /root is enough)."""
    config = tmp_path / "auditsense.toml"
    config.write_text("")
    (tmp_path / "own.toml").write_text(_OWN_DETECTION)
    good = [
        "",
        f"[detections]\npaths = ['{tmp_path}/own.toml']\n",
        "[detections]\nknown_harmless = true\n",
        _ONE_SINK + "[[sink]]\ntype = 'syslog'\naddress = 'udp://127.0.0.1:5514'\n",
        _ONE_EXCEPTION + "expires = 2030-01-01\n",
        "[alerts]\nsuppress = '1s'\nby = ['user.id']\n",
        "[source]\naudit_rules = ['-w /proc/ -p r -k audit_proc']\n",
    ]
    bad = ["[alerts]\nmax_alert = 1\n", "[alert]\n", "x = [", "[[sink]]\ntype = 'sylog'\n"]
    ended = subprocess.run(
        [sys.executable, "-P", "-c", RELOADS],
        input="\0".join([*good, *bad]),
        env={**os.environ, "CONFIG": str(config)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Permission denied" not in ended.stderr
    assert ended.stderr.count("configuration reloaded") == len(good)
    assert ended.stderr.count("the previous one stays active") == len(bad)
    fault(
        "SIGHUP when the installed package cannot be read any more",
        how="every file of the package and of Python out of reach, as with `--user` and a venv below /root",
        did="reloaded: all that a reload needs was loaded at the start",
        lost="nothing",
        reported="the usual lines of a reload",
        host=NO_HOST,
    )


# --- the reader of TOML ---------------------------------------------------------------------------


@given(st.text(st.sampled_from("a.b=[]{}\"'#\\\n ,1-_x"), max_size=60))
def test_scan_refuses_nothing_that_is_toml_and_shallow(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(TomlError):
            parse(text)
    else:
        assert parse(text) == document


@given(st.integers(1, 100), st.integers(1, 40))
def test_scan_measures_depth_and_keys_as_they_are(depth: int, parts: int) -> None:
    text = "a = " + "[" * depth + "]" * depth + "\n" + ".".join(["b"] * parts) + " = 1.5\n"
    if depth <= MOST_DEPTH and parts <= MOST_KEY_PARTS:
        assert parse(text) == tomllib.loads(text)
    else:
        with pytest.raises(TomlError, match="nested too deeply"):
            parse(text)


def test_many_numbers_with_points_are_no_depth() -> None:
    text = "a = [" + ", ".join(["1.5"] * 100) + "]\n" + "x = 1.5\ny.z = 2.5\n"
    assert parse(text) == tomllib.loads(text)


@given(
    st.lists(
        st.sampled_from(["[a]", "[[b]]", "x = 1", "y = '''\n[a]\n'''", "z = [\n1,\n]", "# c", ""]), max_size=9
    )
)
def test_places_are_where_statements_begin(parts: list[str]) -> None:
    text = "\n".join(parts)
    places = Places(text)
    line = 1
    for part in parts:
        if part == "[a]":
            assert places.line_of("a") <= line
        line += part.count("\n") + 1
    if "[[b]]" in parts:
        lines = [
            1 + "\n".join(parts[:n]).count("\n") + (n > 0) for n, part in enumerate(parts) if part == "[[b]]"
        ]
        assert [places.line_of("b", "", number) for number in range(len(lines))] == lines
