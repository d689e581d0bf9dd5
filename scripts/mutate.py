"""Tries small defects (mutants) in the code and reports those that no test notices.

    python scripts/mutate.py                       # 200 of the C core, kernel/ and the alert policy
    python scripts/mutate.py --sample 0 src/auditsense/_ring/window.c      # all of one file
    python scripts/mutate.py --list src/auditsense/detect/suppression.py  # list what would be tried

Each mutant is built in a copy of the checkout. A mutant of C runs the C tests first, its own stage's before
the others, and only then the Python tests. One of Python first runs the tests that reach its line, as a run
with coverage has found, and then the files of tests that reach its module or start processes. Time is
limited, so a mutant that loops is killed and counts as noticed. As root, all of it runs in PID and mount
separate namespaces, where a defect in kernel/ can change no audit setting and end no process of the host.

scripts/equivalent_mutants.txt lists mutants that change nothing that can be seen, each with its reason.

Exit codes: 0 the score reaches --at-least, 1 it does not, 2 the tests fail without any mutant.
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scripts.mutants import Mutant, mutants_of
else:  # in the same folder
    sys.path.insert(0, str(Path(__file__).parent))
    from mutants import Mutant, mutants_of

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = "src/auditsense"
EQUIVALENT: Final = ROOT / "scripts" / "equivalent_mutants.txt"
DEFAULT: Final = (
    *("_ring.c", "_ring/*.c", "kernel/**/*.py"),
    *("detect/suppression.py", "detect/alert_policy.py", "detect/burst_state.py"),
    *("detect/fair_limit.py", "detect/stream_time.py", "detect/notices.py"),
)
STARTS_PROCESSES: Final = re.compile(
    r"\b(subprocess|os\.fork|processes|embedding_program|guarded_sensor|unprivileged)\b"
)
MOST_NEAR: Final = 60  # tests that reach the line of a mutant, before all tests of its module
INSIDE: Final = "AUDITSENSE_MUTATE_INSIDE"

# The Python tests that a mutant runs, in this order. {name} is the module's.
TESTS: Final[dict[str, tuple[str, ...]]] = {
    "_ring": (
        *(
            "tests/core/test_cases.py",
            "tests/core/test_ring.py",
            "tests/core/test_model.py",
            "tests/detect/test_rule_migration.py",
        ),
        *("tests/detect/test_rows.py", "tests/detect/test_attacks.py", "tests/detections/test_loader.py"),
        *("tests/core/test_order.py", "tests/detect/test_losses.py", "tests/sources/test_text_forms.py"),
    ),
    "kernel": (
        *(
            "tests/kernel/test_{name}.py",
            "tests/kernel/rules/test_{name}.py",
            "tests/kernel",
            "tests/project/test_security.py",
            "tests/testing/test_fake_kernel.py",
        ),
        *(
            "tests/sensor/test_sensor.py",
            "tests/doctor/test_doctor.py",
            "tests/sensor/test_exit.py",
            "tests/detect/test_losses.py",
        ),
    ),
    "": (
        "tests/detect/test_{name}.py",
        *("tests/detect/test_suppression.py", "tests/detect/test_alert_policy.py"),
        "tests/detect/test_burst.py",
        *(
            "tests/detect/test_alert_limit.py",
            "tests/detect/test_alert_time.py",
            "tests/core/test_window_actors.py",
        ),
        *("tests/sensor/test_sensor.py", "tests/replay/test_replay.py"),
        *("tests/detect/test_rule_migration.py", "tests/sensor/test_embedding.py"),
    ),
}


@dataclass
class Outcome:
    """Outcome of one mutant: killed (by what), survived, timeout or "does not compile"."""

    mutant: Mutant
    verdict: str
    by: str = ""


@dataclass
class Worker:
    """A copy of the checkout in which one mutant after another is built and tried."""

    root: Path
    options: argparse.Namespace
    deselected: list[str] = field(default_factory=list)
    baseline_s: dict[str, float] = field(default_factory=dict)
    reached: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    """The tests that reach a line of a file, those of the files named first in TESTS first."""

    touching: dict[str, set[str]] = field(default_factory=dict)
    """The files of tests that reach a file."""

    @property
    def build(self) -> Path:
        """Build folder of meson."""
        return self.root / ".build" / "mutants"

    @property
    def python(self) -> Path:
        """The interpreter whose packages are this copy and those of the environment."""
        return self.root / ".venv" / "bin" / "python"

    def prepare(self, first: Worker | None = None, *, build: bool) -> None:
        """Copy what git tracks, or what the first worker has of it. Build it, or use what that one built."""
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
        for name in listed.stdout.decode().split("\0"):
            source = (ROOT if first is None else first.root) / name
            if name and source.is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, self.root / name)
        subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", self.root / ".venv"], check=True)
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        # Not through the editable installation, where there is one: the copy comes first.
        packages = [one for one in sys.path if one.endswith("site-packages")]
        paths = "\n".join([str(self.root / "src"), *packages, ""])
        (self.root / ".venv" / "lib" / version / "site-packages" / "copy.pth").write_text(
            paths, encoding="utf-8"
        )
        program = self.python.with_name("auditsense")
        program.write_text(
            f"#!{self.python}\nimport sys\nfrom auditsense.cli import main\nsys.exit(main())\n", "utf-8"
        )
        program.chmod(0o755)
        if first is not None and not build:
            shutil.copy2(first.root / PACKAGE / "_ffi.abi3.so", self.root / PACKAGE)
            return
        checks = ["-Db_sanitize=address,undefined"] if self.options.sanitize else []
        setup = [
            "meson",
            "setup",
            str(self.build),
            "-Dtests=true",
            "--buildtype=debug",
            "-Doptimization=1",
            *checks,
        ]
        subprocess.run(setup, cwd=self.root, check=True, stdout=subprocess.DEVNULL)
        if not self.compiled(module=not self.options.sanitize):
            raise SystemExit("the copy of the checkout does not build")

    def compiled(self, *, module: bool) -> bool:
        """Build the C tests, or the module that Python loads."""
        if self.options.sanitize and module:
            return False  # Python would have to be started with the sanitizer's library
        names = ["_ffi.abi3.so"] if module else [f"tests/c/{one}" for one in self.programs()]
        built = subprocess.run(
            ["ninja", "-C", self.build, *names], cwd=self.root, capture_output=True, check=False
        )
        if module and built.returncode == 0:
            shutil.copy2(self.build / "_ffi.abi3.so", self.root / PACKAGE)
        return built.returncode == 0

    def programs(self, first: str = "") -> list[str]:
        """Return the C tests: that of a stage first, that of the whole ring next."""
        names = sorted(path.stem for path in (self.root / "tests/c").glob("test_*.c"))
        return sorted(names, key=lambda name: (name != f"test_{first}", name != "test_ring"))

    def run(self, command: Sequence[str | Path], limit_s: float) -> str | None:
        """Return None when it passed, else why not."""
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return "timeout"
            output.seek(0)
            text = output.read().decode("utf-8", "replace")
        if code == 0 or (code == 5 and "pytest" in command):  # 5: every test was deselected
            return None
        failed = [line for line in text.splitlines() if line.startswith(("FAILED", "not ok", "ERROR"))]
        return failed[0][:110] if failed else f"exit {code}"

    def pytest(self, tests: Iterable[str], limit_s: float, *more: str) -> str | None:
        """Run Python tests until one fails."""
        words: list[str | Path] = [self.python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        skipped = [f"--deselect={one}" for one in self.deselected]
        return self.run([*words, "--hypothesis-seed=1", "-m", "not live", *skipped, *more, *tests], limit_s)

    def failing(self, tests: Iterable[str]) -> list[str]:
        """Return the tests that fail in the copy as it is: they tell nothing about a mutant."""
        words: list[str | Path] = [
            self.python,
            "-m",
            "coverage",
            "run",
            "--append",
            f"--rcfile={self.coverage}",
        ]
        words += ["-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", "--hypothesis-seed=1"]
        words += ["--durations=0", "-vv"]
        done = subprocess.run(
            [*words, "-m", "not live", *tests],
            cwd=self.root,
            env={**os.environ, "COVERAGE_CORE": "ctrace"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in {0, 1}:
            raise SystemExit(f"the tests do not run in the copy:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        for found in re.finditer(
            r"^([0-9.]+)s (?:setup|call|teardown) +([^:\s]+)::", done.stdout, re.MULTILINE
        ):
            self.baseline_s[found[2]] = self.baseline_s.get(found[2], 2) + float(found[1])
        lines = [
            line.split(" - ")[0]
            for line in done.stdout.splitlines()
            if line.startswith(("FAILED ", "ERROR "))
        ]
        return [line.split(" ", 1)[1] for line in lines]

    @property
    def coverage(self) -> Path:
        """The configuration of the run that finds which test reaches which line."""
        path = self.root / ".build" / "coverage.ini"
        if not path.exists():
            data = self.root / ".build" / "coverage"
            path.write_text(
                f"[run]\ndata_file = {data}\nsource = src/auditsense\ndynamic_context = test_function\n",
                encoding="utf-8",
            )
        return path

    def note_reached(self, tests: Sequence[str]) -> None:
        """Read what `failing` has found; of files of tests given, in their order."""
        from coverage import CoverageData  # noqa: PLC0415 - only in the group of the tests

        data = CoverageData(str(self.root / ".build" / "coverage"))
        data.read()
        for file in data.measured_files():
            path = str(Path(file).relative_to(self.root))
            for line, contexts in data.contexts_by_lineno(file).items():
                found = [self._test_of(one) for one in contexts]
                names = sorted({one for one in found if one is not None})
                self.reached[path, line] = names
                self.touching.setdefault(path, set()).update(name.split("::")[0] for name in names)
        order = {name: number for number, name in enumerate(tests)}
        for names in self.reached.values():
            names.sort(key=lambda name: order.get(name.split("::", maxsplit=1)[0], len(order)))

    def files_of(self, tests: Iterable[str]) -> list[str]:
        """Return the files of these tests, each once; a folder stands for those in it."""
        found: list[str] = []
        for one in tests:
            path = self.root / one
            inside = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
            found += [str(file.relative_to(self.root)) for file in inside]
        return list(dict.fromkeys(found))

    def _may_reach(self, test: str, path: str) -> bool:
        """Tell whether a file of tests reaches a module, as far as coverage can tell."""
        if Path(test).stem == f"test_{Path(path).stem}" or test in self.touching.get(path, ()):
            return True
        return STARTS_PROCESSES.search((self.root / test).read_text(encoding="utf-8")) is not None

    def _test_of(self, context: str) -> str | None:
        """Return the test of a context of coverage, as `tests.detect.test_alerts.test_one`."""
        parts = context.split(".")
        for size in range(1, len(parts)):
            path = Path(*parts[:size]).with_suffix(".py")
            if (self.root / path).is_file():
                return "::".join((str(path), *parts[size:]))
        return None

    def try_one(self, mutant: Mutant) -> Outcome:
        """Build a mutant, test it, and restore the file."""
        file = self.root / mutant.path
        source = file.read_text(encoding="utf-8")
        file.write_text(mutant.applied(source), encoding="utf-8")
        try:
            return self._judge(mutant)
        finally:
            file.write_text(source, encoding="utf-8")

    def _judge(self, mutant: Mutant) -> Outcome:
        tests = tests_of(mutant.path, self.root)
        if mutant.path.endswith(".py"):
            return self._by_pytest(mutant, tests)
        if not self.compiled(module=False):
            return Outcome(mutant, "does not compile")
        for name in self.programs(Path(mutant.path).stem):
            why = self.run([self.build / "tests" / "c" / name], 30)
            if why is not None:
                return Outcome(mutant, "timeout" if why == "timeout" else "killed", name)
        if self.options.c_only or not self.compiled(module=True):
            return Outcome(mutant, "survived")
        return self._by_pytest(mutant, tests)

    def _by_pytest(self, mutant: Mutant, tests: list[str]) -> Outcome:
        source = (self.root / mutant.path).read_text(encoding="utf-8")
        near, files = self.reached.get((mutant.path, mutant.line(source)), []), tests
        if mutant.path.endswith(".py"):
            files = [one for one in self.files_of(tests) if self._may_reach(one, mutant.path)]
        for some in (near[:MOST_NEAR], files):
            allowed_s = sum(self.baseline_s.get(one, 5) for one in {one.split("::")[0] for one in some})
            why = self.pytest(some, 30 + 3 * allowed_s) if some else None
            if why is not None:
                return Outcome(mutant, "timeout" if why == "timeout" else "killed", why)
        return Outcome(mutant, "survived")


def tests_of(path: str, root: Path) -> list[str]:
    """Return the Python tests for a file, each once, those that exist."""
    part = next((key for key in TESTS if key and f"{PACKAGE}/{key}" in path), "")
    names = [one.format(name=Path(path).stem.strip("_")) for one in TESTS[part]]
    return [one for one in dict.fromkeys(names) if (root / one).exists()]


def equivalent() -> set[tuple[str, str, str]]:
    """Return the mutants that change nothing: path, line before, line after."""
    found = set()
    for line in EQUIVALENT.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            path, before, after, _ = (part.strip() for part in line.split(" ||| "))
            found.add((path, before, after))
    return found


@cache
def source_of(path: str) -> str:
    """Return a file as it was when it was read first: it may be edited during the run."""
    return (ROOT / path).read_text(encoding="utf-8")


def chosen(options: argparse.Namespace) -> tuple[list[Mutant], int]:
    """Return the mutants to try, and how many there are."""
    paths = [str(path.resolve().relative_to(ROOT)) for path in options.files]
    if not paths:
        paths = [
            str(path.relative_to(ROOT))
            for pattern in DEFAULT
            for path in sorted((ROOT / PACKAGE).glob(pattern))
        ]
    same, found = equivalent(), []
    for path in paths:
        source = source_of(path)
        found += [one for one in mutants_of(path, source) if (path, *one.lines(source)) not in same]
    every = len(found)
    if options.sample and options.sample < every:
        found = sorted(random.Random(options.seed).sample(found, options.sample))  # noqa: S311 - a sample
    return found, every


def shown(mutant: Mutant) -> str:
    """Return a mutant as a person reads it."""
    source = source_of(mutant.path)
    before, after = mutant.lines(source)
    return f"{mutant.path}:{mutant.line(source)}: {mutant.kind}\n  - {before}\n  + {after}"


def run_in_namespaces(arguments: list[str]) -> int | None:
    """As root, run again in separate namespaces; None: already inside, or not root."""
    if os.geteuid() != 0 or os.environ.get(INSIDE):
        return None
    command = [
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        sys.executable,
        "-E",
        "-s",
        __file__,
        *arguments,
    ]
    try:
        return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode
    except FileNotFoundError:
        raise SystemExit(
            "unshare is missing: install util-linux, or run this as another user than root"
        ) from None


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Try small defects and report those that no test notices.")
    parser.add_argument(
        "files", nargs="*", type=Path, help="default: the C core, kernel/ and the alert policy"
    )
    parser.add_argument("--sample", type=int, default=200, help="how many, by chance; 0: all (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="at a time (default 2)")
    parser.add_argument("--at-least", type=float, default=95, metavar="PERCENT", help="default 95")
    parser.add_argument("--c-only", action="store_true", help="run the C tests only")
    parser.add_argument(
        "--sanitize", action="store_true", help="build the C tests with ASan and UBSan; C tests only"
    )
    parser.add_argument("--verbose", action="store_true", help="print what noticed each mutant")
    parser.add_argument("--list", action="store_true", help="print the mutants and try none")
    return parser.parse_args(arguments)


def prepared(folder: Path, mutants: list[Mutant], options: argparse.Namespace) -> list[Worker]:
    """Make the copies, and run every test that will be needed once without a mutant."""
    workers = [Worker(folder / str(number), options) for number in range(options.jobs)]
    for worker in workers:
        worker.root.mkdir()
        is_first = worker is workers[0]
        build = is_first or not all(one.path.endswith(".py") for one in mutants)
        worker.prepare(None if is_first else workers[0], build=build)
    first = workers[0]
    of_c = any(one.path.endswith((".c", ".h")) for one in mutants) and first.compiled(module=False)
    for name in first.programs() if of_c else ():
        if first.run([first.build / "tests" / "c" / name], 120) is not None:
            raise SystemExit(f"{name} fails without any mutant")
    needed = [] if options.c_only else [test for one in mutants for test in tests_of(one.path, first.root)]
    needed = first.files_of(needed)
    first.deselected += first.failing(needed) if needed else []
    if first.deselected:
        names = " ".join(dict.fromkeys(first.deselected))
        print(f"left out, they fail without a mutant here: {names}", flush=True)
    if needed:
        first.note_reached(needed)
    for worker in workers[1:]:
        worker.deselected, worker.baseline_s = first.deselected, first.baseline_s
        worker.reached, worker.touching = first.reached, first.touching
    return workers


def tried(mutants: list[Mutant], options: argparse.Namespace) -> list[Outcome]:
    """Try all of them, in parallel. Prints the survivors as they are found."""
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for one in mutants:
        waiting.put(one)
    outcomes: list[Outcome] = []

    def work(worker: Worker) -> None:
        while True:
            try:
                mutant = waiting.get_nowait()
            except queue.Empty:
                return
            outcome = worker.try_one(mutant)
            outcomes.append(outcome)
            if outcome.verdict == "survived":
                print(f"[{len(outcomes)}/{len(mutants)}] SURVIVED {shown(mutant)}", flush=True)
            elif options.verbose:
                print(
                    f"[{len(outcomes)}/{len(mutants)}] {outcome.verdict} by {outcome.by}: {shown(mutant)}",
                    flush=True,
                )

    with tempfile.TemporaryDirectory(prefix="auditsense-mutants-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        workers = prepared(Path(folder), mutants, options)
        threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return outcomes


def main(arguments: list[str]) -> int:
    """Try mutants; return the exit code."""
    options = parsed(arguments)
    options.c_only |= options.sanitize
    mutants, every = chosen(options)
    if options.list:
        print("\n".join(shown(one) for one in mutants))
        return 0
    code = run_in_namespaces(arguments)
    if code is not None:
        return code
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # the first process of a namespace ignores it else
    # meson and ninja of the environment, also when it is not activated.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    begun = time.monotonic()
    outcomes = tried(mutants, options)
    counts = {
        verdict: sum(one.verdict == verdict for one in outcomes)
        for verdict in ("killed", "timeout", "survived")
    }
    noticed, all_built = counts["killed"] + counts["timeout"], sum(counts.values())
    score = 100 * noticed / all_built if all_built else 100.0
    print(
        f"{score:.1f} % noticed: {noticed} of {all_built} ({counts['timeout']} by time); "
        f"{len(outcomes) - all_built} did not compile; {len(mutants)} of {every} tried, seed {options.seed}, "
        f"{time.monotonic() - begun:.0f} s"
    )
    return 0 if score >= options.at_least else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
