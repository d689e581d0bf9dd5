"""Peers, each as a command that reads one log, or the reason why it cannot run here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.bench.c_helpers import compiled, compiler
from auditsense.bench.interpreter import auditsense as ours
from auditsense.errors import AuditSenseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
GO_LIMIT_S = 300


class MissingError(Exception):
    """A peer cannot run here."""


@dataclass(frozen=True)
class Packages:
    """Debian's packages: installed (/), or unpacked into a folder with `dpkg -x`.

    Attributes:
        root: that folder.
        work: a folder for compiled programs.
    """

    root: Path
    work: Path

    def find(self, *names: str) -> Path:
        """Return the first existing path of these, below the root."""
        path = next((path for name in names for path in sorted(self.root.glob(name))), None)
        if path is None:
            raise MissingError(f"{names[0].rpartition('/')[2]} is not installed")
        return path

    def libraries(self) -> dict[str, str]:
        """Return the environment for programs to find the libraries."""
        if self.root == Path("/"):
            return {}
        folders = [str(self.root / name) for name in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")]
        return {"LD_LIBRARY_PATH": ":".join(folders)}


@dataclass(frozen=True)
class Peer:
    """One reader of a log.

    Attributes:
        name: for people.
        does: its work, which differs between peers.
        command: the log's path is appended, unless it is read from standard input.
        environment: added to ours.
        reads_input: whether the log is its standard input.
    """

    name: str
    does: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    reads_input: bool = False


def grep(_: Packages) -> Peer:
    path = shutil.which("grep")
    if path is None:
        raise MissingError("there is no grep")
    return Peer("grep -c", "finds the key", (path, "-c", "audit_proc"), {"LC_ALL": "C"})


def auditsense(_: Packages) -> Peer:
    return Peer(
        "auditsense replay -o count",
        "puts events together, detects, counts",
        ours("replay", "-o", "count"),
    )


def ausearch(packages: Packages) -> Peer:
    program = packages.find("usr/sbin/ausearch", "sbin/ausearch")
    does = "puts events together, finds the key, prints them"
    return Peer(
        "ausearch -k --raw", does, (str(program), "-k", "audit_proc", "--raw", "-if"), packages.libraries()
    )


def libauparse(packages: Packages) -> Peer:
    if compiler() is None:
        raise MissingError("there is no C compiler")
    header = packages.find("usr/include/auparse.h")
    library = packages.find(
        "lib/x86_64-linux-gnu/libauparse.so.0", "usr/lib/x86_64-linux-gnu/libauparse.so.0"
    )
    audit = packages.find("lib/x86_64-linux-gnu/libaudit.so.1", "usr/lib/x86_64-linux-gnu/libaudit.so.1")
    options = (f"-I{header.parent}", str(HERE / "auparse_count.c"), str(library), str(audit))
    try:
        program = compiled(_empty(packages.work), packages.work, *options, "-Wl,--allow-shlib-undefined")
    except AuditSenseError as error:
        raise MissingError(str(error)) from None
    return Peer("libauparse", "puts events together, looks at five fields", (program,), packages.libraries())


def _empty(folder: Path) -> Path:
    """Return an empty C file that names the program: libraries must follow the file that uses them."""
    path = folder / "auparse_count.c"
    path.write_text("typedef int nothing;\n", encoding="ascii")
    return path


def python_audit(packages: Packages) -> Peer:
    module = packages.find("usr/lib/python3/dist-packages/auparse.*.so")
    interpreter = shutil.which("python3", path="/usr/bin")
    if interpreter is None:
        raise MissingError("there is no /usr/bin/python3, which the bindings are for")
    environment = {**packages.libraries(), "PYTHONPATH": str(module.parent)}
    command = (interpreter, str(HERE / "auparse_count.py"))
    return Peer("python3-audit (auparse)", "the same, from Python", command, environment)


def laurel(packages: Packages) -> Peer:
    program = packages.find("usr/sbin/laurel")
    # laurel requires a configuration that others cannot write, a user, and a folder for its log.
    folder = packages.work / "laurel"
    folder.mkdir(mode=0o755, exist_ok=True)
    config = packages.work / "laurel.toml"
    text = f'directory = "{folder}"\nuser = "root"\n[auditlog]\nfile = "audit.log"\nsize = 4000000000\n'
    config.write_text(text, encoding="utf-8")
    config.chmod(0o644)
    command = (str(program), "-c", str(config))
    return Peer("laurel", "puts events together, writes each as JSON", command, reads_input=True)


def go_libaudit(packages: Packages) -> Peer:
    go = shutil.which("go")
    if go is None:
        raise MissingError("Go is not installed")
    folder = packages.work / "go"
    shutil.copytree(HERE / "go", folder, dirs_exist_ok=True)
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        subprocess.run(
            [go, "build", "-o", "go_libaudit", "."],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=True,
            text=True,
            timeout=GO_LIMIT_S,
        )
    except subprocess.CalledProcessError as error:
        message = error.stderr.strip().rpartition("\n")[2]
        raise MissingError(f"go build failed: {message}") from None
    return Peer("go-libaudit", "puts events together, looks at two fields", (str(folder / "go_libaudit"),))


def all_peers(packages: Packages) -> Iterator[Peer | tuple[str, str]]:
    """Yield each peer, or its name and why it is skipped."""
    makers: tuple[Callable[[Packages], Peer], ...] = (
        grep,
        auditsense,
        libauparse,
        python_audit,
        ausearch,
        go_libaudit,
        laurel,
    )
    for make in makers:
        try:
            yield make(packages)
        except MissingError as problem:
            name = make.__name__.replace("_", "-")
            print(f"{name}: skipped: {problem}", file=sys.stderr)
            yield name, str(problem)
