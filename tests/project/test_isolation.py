"""State of an embedding process that the package must not change."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _cffi_backend
import pytest

import auditsense
from auditsense import AlertPolicy, BusyError, ClosedError, Detector, Host, Limits, View
from auditsense._ffi import lib  # noqa: TID251 - only to know where it lies
from auditsense.core.ring import Ring
from auditsense.core.rule_table import RuleTable
from auditsense.testing import burst
from tests.support.outputs import as_documents, reader_of

if TYPE_CHECKING:
    from auditsense.detect.record_reader import RecordReader

ROOT = Path(__file__).parents[2]
PHASES = ("import", "detect", "sensor")


@dataclass(frozen=True)
class Report:
    """Files and output of tests/support/embedding_program.py."""

    values: dict[str, Any]
    printed: bytes
    folders: tuple[str, ...]

    def events(
        self, *names: str, phases: tuple[str, ...] = ("import", "make", "first", "detect", "sensor")
    ) -> list[Any]:
        return [one for one in self.values["seen"] if one[0] in phases and one[1].startswith(names)]

    def unchanged(self, what: str) -> bool:
        states = self.values["states"]
        return all(states[phase][what] == states["before"][what] for phase in PHASES)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Run the program with a copy of the package: one that is installed editable would be built first."""
    folder = tmp_path_factory.mktemp("isolated")
    shutil.copytree(
        ROOT / "src" / "auditsense",
        folder / "auditsense",
        ignore=shutil.ignore_patterns("*.c", "*.h", "__pycache__"),
    )
    core = Path(str(sys.modules["auditsense._ffi"].__file__))
    assert lib is not None
    shutil.copy(core, folder / "auditsense")
    others = str(Path(_cffi_backend.__file__).parent)
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-B",
            "-Wdefault",
            ROOT / "tests" / "support" / "embedding_program.py",
            folder / "report",
            folder,
            others,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout.decode()
    values = json.loads((folder / "report").read_text(encoding="utf-8"))
    return Report(values, done.stdout, (str(folder), others, *_stdlib()))


def _stdlib() -> tuple[str, ...]:
    return (str(Path(os.__file__).parent), str(Path(os.__file__).parents[1]))


def test_program_detected_and_the_hook_saw_it(report: Report) -> None:
    assert report.values["documents"] >= 3
    assert report.values["restored"]
    assert report.events("open", phases=("import",))  # the hook sees


def test_nothing_is_printed(report: Report) -> None:
    assert report.printed == b""


def test_no_signal_handler_or_mask_is_changed(report: Report) -> None:
    assert report.unchanged("signals")
    assert report.unchanged("signal mask")
    assert report.values["within"]["signals"] == report.values["states"]["before"]["signals"]


def test_no_thread_is_started(report: Report) -> None:
    assert report.events("_thread.start") == []
    assert report.unchanged("threads")
    assert report.values["within"]["threads"] == ["1", 1]


def test_no_process_is_started(report: Report) -> None:
    started = ("os.fork", "os.posix_spawn", "os.exec", "os.system", "os.spawn", "subprocess.", "pty.")
    assert report.events(*started) == []
    assert report.unchanged("children")
    assert report.values["within"]["children"] == ""


def test_the_working_directory_stays(report: Report) -> None:
    assert report.events("os.chdir", "os.fchdir", "os.chroot") == []
    assert report.unchanged("folder")


def test_the_umask_stays(report: Report) -> None:
    assert report.unchanged("umask")
    assert report.values["within"]["umask"] == report.values["states"]["before"]["umask"]


def test_logging_is_left_alone(report: Report) -> None:
    assert report.unchanged("logging")


def test_the_environment_stays(report: Report) -> None:
    assert report.events("os.putenv", "os.unsetenv") == []
    assert report.unchanged("environment")


def test_no_warning_is_filtered_or_shown_otherwise(report: Report) -> None:
    assert report.unchanged("warnings")


@pytest.mark.parametrize("what", ["hooks", "collector", "capabilities", "path"])
def test_the_interpreter_and_the_rights_of_the_process_stay(report: Report, what: str) -> None:
    assert report.unchanged(what)
    assert report.values["within"][what] == report.values["states"]["before"][what]


def test_no_descriptor_is_left(report: Report) -> None:
    assert report.unchanged("descriptors")


def test_importing_opens_modules_to_read_and_nothing_else(report: Report) -> None:
    for _, _, arguments in report.events("open", phases=("import",)):
        name = arguments[1:].split(",")[0].strip("'\"")
        assert name.startswith(report.folders), name
        assert name.endswith((".py", ".pyc", ".so")), name
    quiet = (
        "socket.",
        "os.listdir",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "ctypes.",
        "fcntl.",
        "syslog.",
        "tempfile.",
    )
    writing = [one for one in report.events(*quiet, phases=("import",)) if one[1] != "os.listdir"]
    assert writing == []


def test_importing_loads_the_core_and_little_else(report: Report) -> None:
    own = {name for name in report.values["loaded"] if name.startswith("auditsense")}
    assert own == {
        "auditsense",
        "auditsense._digest",
        "auditsense._frozen",
        "auditsense.errors",
        "auditsense._ffi",
        "auditsense._lazy",
        "auditsense._ffi.lib",
        "auditsense.core",
        *(f"auditsense.core.{module}" for module in ("hit", "ring", "rule_table", "stats")),
    }
    others = {name.split(".")[0] for name in report.values["loaded"]} - {"auditsense"}
    assert others <= {"_cffi_backend", *sys.stdlib_module_names}
    assert not others & {"asyncio", "ssl", "subprocess", "multiprocessing", "json", "tomllib", "concurrent"}


def test_detection_opens_and_loads_nothing_after_first_alert(report: Report) -> None:
    loaded = {
        arguments[1:].split(",")[0].strip("'")
        for _, _, arguments in report.events("import", phases=("first",))
    }
    assert not loaded
    assert report.events("open", "import", "socket.", "os.", phases=("detect",)) == []


def test_the_host_stays_as_it_is_when_a_detector_is_made(report: Report) -> None:
    opened = [arguments for _, _, arguments in report.events("open", phases=("make",))]
    assert not [one for one in opened if one.startswith(("('/proc/", "('/proc'"))]
    assert report.events("socket.", phases=("make",)) == []


# --- two at once ---------------------------------------------------------------------------------

SMALL = Limits(event_slots=64, small_texts=64, key_slots=64, hit_bytes=8 * 16384 + 262144)


def streams() -> list[tuple[dict[str, Any], list[bytes]]]:
    """Return detectors that differ in all they can, each with the records that are meant for it."""
    made: list[tuple[dict[str, Any], list[bytes]]] = []
    for n, view in enumerate((View.ALERTS, View.SEQUENCES, View.EVENTS, View.ALERTS)):
        options = {
            "view": view,
            "host": Host(f"id{n}", f"host{n}"),
            "policy": AlertPolicy(suppress_ms=1000 * n + 1, max_alerts=n + 1),
            "limits": SMALL if n % 2 else None,
        }
        # The same process and the same serials: what one of them sees must not count for another.
        made.append((options, [one for event in burst(9 + 3 * n) for one in event.datagrams]))
    return made


def plain(detector: RecordReader[Any], results: list[Any]) -> tuple[str, str]:
    return json.dumps(as_documents(results)), str(detector.stats())


def test_detectors_in_turns_find_the_same_as_alone() -> None:
    alone = [life(*one) for one in streams()]
    together: list[list[Any]] = [[] for _ in alone]
    detectors = [reader_of(**options) for options, _ in streams()]
    for step in range(max(len(datagrams) for _, datagrams in streams())):
        for n, (_, datagrams) in enumerate(streams()):
            if step < len(datagrams):
                together[n] += detectors[n].feed([datagrams[step]])
    for n, detector in enumerate(detectors):
        with detector:
            assert plain(detector, together[n] + detector.finish()) == alone[n]
    assert len({found for found, _ in alone}) == len(alone)


def life(options: dict[str, Any], datagrams: list[bytes]) -> tuple[str, str]:
    with reader_of(**options) as detector:
        results = [found for one in datagrams for found in detector.feed([one])] + detector.finish()
        return plain(detector, results)


def test_detectors_in_threads_find_the_same_as_alone() -> None:
    alone = [life(*one) for one in streams()]
    threads = 2 * len(alone)
    start = threading.Barrier(threads)

    def lives(n: int) -> list[tuple[str, str]]:
        start.wait(300)
        return [life(*streams()[n % len(alone)]) for _ in range(5)]

    with ThreadPoolExecutor(threads) as pool:
        for n, found in enumerate(pool.map(lives, range(threads))):
            assert found == [alone[n % len(alone)]] * 5


def test_threads_in_one_detector_succeed_or_fail_cleanly() -> None:
    text = b"".join(event.text for event in burst(3))
    start = threading.Barrier(4)

    def served(_: int) -> int:
        start.wait(300)
        taken = 0
        for _ in range(300):
            with contextlib.suppress(BusyError):
                detector.feed_text(text)
                taken += 1
        return taken

    with Detector() as detector, ThreadPoolExecutor(4) as pool:
        taken = sum(pool.map(served, range(4)))
        assert taken
        assert detector.stats().lines == taken * text.count(b"\n")


def test_closing_in_several_threads_closes_once() -> None:
    def close(_: int) -> None:
        start.wait(300)
        with contextlib.suppress(BusyError):
            ring.close()

    start = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(50):
            ring = Ring(RuleTable(), SMALL)
            list(pool.map(close, range(4)))  # closing a closed detector is no error
            with pytest.raises(ClosedError):
                ring.stats()


def containers() -> dict[str, str]:
    """Return what the package's modules and classes hold that could change."""
    held: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "auditsense":
            for owner in [module, *(one for one in vars(module).values() if isinstance(one, type))]:
                for key, value in vars(owner).items():
                    if isinstance(value, (dict, list, set, bytearray)) and not key.startswith("__"):
                        held[f"{name}.{getattr(owner, '__name__', '')}.{key}"] = repr(value)
    return held


def test_attributes_of_modules_and_classes_do_not_change() -> None:
    with Detector() as first:  # what is loaded late is loaded now
        first.feed(streams()[0][1])
    before = containers()
    assert any("FIELDS" in name for name in before)
    for options, datagrams in streams():
        with reader_of(**options) as detector:
            detector.feed(datagrams)
            detector.finish()
    assert containers() == before
    assert auditsense.__all__
