"""Each interpreter that is started is isolated, and each other program is one that only root can change."""

from __future__ import annotations

import ast
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense.bench.c_helpers import DRAIN, compiled, compiler
from auditsense.bench.interpreter import auditsense, bare_python, environment, program, python
from auditsense.errors import AuditSenseError
from tests.support.faults import NO_HOST, NOTHING, Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "auditsense"
PROGRAM = Path(sys.executable).with_name("auditsense")
UNPRIVILEGED = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a user to protect")
SOURCES = sorted(
    path
    for folder in ("src", "tests", "bench", "scripts", "fuzz", "examples")
    for path in (ROOT / folder).rglob("*.py")
)
# Each module and script that Python may look for while the bench runs.
HIJACKS = (
    *("auditsense", "json", "tempfile", "subprocess", "argparse", "sitecustomize", "usercustomize", "random"),
    *("resource", "statistics", "html", "tomllib", "dataclasses", "_cffi_backend", "startup"),
)
HIJACK = (
    "import os; open(os.environ.get('HIJACKED', '/proc/self/fd/2'), 'a').write('HIJACKED\\n'); os._exit(77)\n"
)


def is_executable(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.executable"


def commands(path: Path) -> Iterator[list[ast.expr]]:
    """Yield what follows this interpreter in each command."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.List | ast.Tuple):
            for place, element in enumerate(node.elts):
                if is_executable(element):
                    yield node.elts[place + 1 :]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_interpreter_is_isolated(path: Path) -> None:
    """-I; in a test -P as well, with a PYTHONPATH of the suite; -E -s for a script in a dedicated folder."""
    isolated = {"-I", "-P"} if ROOT / "tests" in path.parents else {"-I"}
    for rest in commands(path):
        if path.name == "test_main_module.py":  # what it is about is the other way
            continue
        words = [one.value if isinstance(one, ast.Constant) else None for one in rest[:2]]
        assert words[0] in isolated or words == ["-E", "-s"], f"{path}: {[*map(ast.unparse, rest)]}"
    if PACKAGE in path.parents and path.name != "interpreter.py":
        assert "sys.executable" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((PACKAGE / "bench").glob("*.py")), ids=lambda path: path.name)
def test_bench_processes_have_small_environment(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"subprocess.run", "subprocess.Popen"}:
            given = {one.arg: ast.unparse(one.value) for one in node.keywords}
            assert given.get("env") == "environment()", ast.unparse(node)
    assert "shutil.which" not in path.read_text(encoding="utf-8")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Return a folder with modules and programs of another user, under the names that are looked for."""
    for name in HIJACKS:
        (tmp_path / f"{name}.py").write_text(HIJACK)
    for name in ("cc", "gcc", "clang", "grep", "timeout", "as", "ld", "env"):
        (tmp_path / name).write_text('#!/bin/sh\necho HIJACKED >>"${HIJACKED:-/dev/stderr}"; exit 77\n')
        (tmp_path / name).chmod(0o755)
    tmp_path.chmod(0o777)
    return tmp_path


def hijacked(folder: Path) -> dict[str, str]:
    """Return an environment that has Python and the shell look in a folder."""
    return {
        **os.environ,
        "PATH": f":.:{folder}:{os.environ['PATH']}:",
        "PYTHONPATH": f"{folder}:.",
        "PYTHONSTARTUP": str(folder / "startup.py"),
        "PYTHONUSERBASE": str(folder),
        "PYTHONINSPECT": "",
        "GCC_EXEC_PREFIX": str(folder),
        "COMPILER_PATH": str(folder),
        "CPATH": str(folder),
        "HOME": str(folder),
    }


STARTED = {
    "auditsense": auditsense("rules", "print"),
    "code with the package": python("import auditsense, json, tempfile, auditsense.bench.offline"),
    "the flood": python("from auditsense.bench.flood import main; main()", "1000"),
    "code without it": bare_python("-c", "import json, subprocess, resource"),
}


@pytest.mark.parametrize("what", STARTED)
def test_interpreter_ignores_callers_folder(
    what: str, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for with_environment in (environment(), hijacked(hostile)):
        done = subprocess.run(
            STARTED[what],
            cwd=hostile,
            env=with_environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert (done.returncode, done.stderr) == (0, "")
    for name, value in hijacked(hostile).items():
        monkeypatch.setenv(name, value)
    assert {"PYTHONPATH", "PYTHONSTARTUP", "COMPILER_PATH", "CPATH"}.isdisjoint(environment())
    assert all(folder.startswith("/") for folder in environment()["PATH"].split(":"))


def test_bench_runs_nothing_of_hostile_folder(hostile: Path, fault: Recorder) -> None:
    report = hostile / "bench.json"
    noticed = hostile / "noticed"
    # The program itself was started by the caller, whose PYTHONPATH is the caller's affair.
    given = hijacked(hostile) | {"HIJACKED": str(noticed)}
    del given["PYTHONPATH"], given["PYTHONUSERBASE"], given["HOME"]
    done = subprocess.run(
        [PROGRAM, "bench", "--offline", "--events", "1000", "--json", str(report)],
        cwd=hostile,
        env=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert not noticed.exists()
    assert json.loads(report.read_text(encoding="utf-8"))
    fault(
        "`auditsense bench` is started in a folder of another user",
        how="modules and programs of all names that are looked for; PATH, PYTHONSTARTUP and CPATH name it",
        did="measured, and ran nothing of that folder",
        lost=NOTHING,
        reported=NOTHING,
        host=NO_HOST,
    )


@as_root
def test_program_writable_by_others_is_skipped(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = program("sh")
    assert result is not None
    mine = hostile / "sh"
    mine.write_text("")
    mine.chmod(0o755)
    usual = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{hostile}:{usual}")
    assert program("sh") == result
    hostile.chmod(0o755)
    assert program("sh") == str(mine)
    mine.chmod(0o777)
    assert program("sh") == result
    mine.chmod(0o755)
    os.chown(mine, UNPRIVILEGED, UNPRIVILEGED)
    assert program("sh") == result
    mine.unlink()
    mine.symlink_to(result)
    assert program("sh") == str(mine)
    os.chown(mine, UNPRIVILEGED, UNPRIVILEGED, follow_symlinks=False)
    assert program("sh") == result
    monkeypatch.setenv("PATH", str(hostile / "none"))
    assert program("sh") is None


def test_program_in_relative_folder_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cc").write_text("")
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for path in (".", "", ":", ".:", "./", f"../{tmp_path.name}"):
        monkeypatch.setenv("PATH", path)
        assert compiler() is None
        assert environment()["PATH"] == ""
        with pytest.raises(AuditSenseError, match="there is no C compiler"):
            compiled(DRAIN, tmp_path)


def test_compiler_ignores_callers_folder(
    hostile: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiler() is None:
        pytest.skip("there is no C compiler")
    (hostile / "stdio.h").write_text("#error HIJACKED\n")
    monkeypatch.chdir(hostile)
    for name, value in hijacked(hostile).items():
        if os.geteuid() == 0 or name != "PATH":
            monkeypatch.setenv(name, value)
    built = compiled(DRAIN, tmp_path_factory.mktemp("built"))
    assert stat.S_IMODE(Path(built).stat().st_mode) & stat.S_IXUSR
