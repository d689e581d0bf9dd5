"""Ways to list processes, on the host and in containers: for test_proc_scan.py and scripts/scan_table.py.

Every program runs as the user 65534. Its path tells the way and the place, so that events and alerts can be
attributed; what a thread of io_uring does has none, and is attributed by its time.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.live.workloads import OTHER_UID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

SOURCE = Path(__file__).with_name("listings.c")
LIMIT_S = 120.0
AS_OTHER = ("setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups")
NEW_NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
IN_LOGIN = ("sh", "-c", f'echo {OTHER_UID} > /proc/self/loginuid; exec "$@"', "sh")
HIDING = ("unshare", "--mount", "sh", "-c", 'mount -t proc -o hidepid=2 proc /proc; exec "$@"', "sh")
RATE = ("30", "10000")


@dataclass(frozen=True)
class Way:
    """A way to list processes.

    Attributes:
        told: what it is, for a reader.
        name: of the way in listings.c; "": the key.
        counts: listings, and the pause between them in µs.
        before: command that runs the program, on the host.
        somewhere: whether it is only run on the host.
        narrow: whether the program has 32 bits.
        unpacked: whether the program is where no package puts any.
    """

    told: str
    name: str = ""
    counts: tuple[str, str] = RATE
    before: tuple[str, ...] = ()
    somewhere: bool = False
    narrow: bool = False
    unpacked: bool = False


WAYS: Mapping[str, Way] = {
    "openat": Way("as pspy does"),
    "opendir": Way("opendir(3)"),
    "names": Way("seven other names of /proc"),
    "rubbish": Way("rubbish in the upper halves of registers"),
    "openat2": Way("openat2(2)"),
    "open": Way("open(2)"),
    "ring": Way("io_uring, waited for by the call"),
    "sqpoll": Way("io_uring, by a polling thread of the kernel"),
    "async": Way("io_uring, asynchronous, not waited for"),
    "child": Way("a process for each listing, in a login session", before=IN_LOGIN),
    "comm": Way("as pspy does, named packetbeat"),
    "slow": Way("one listing in 0.6 s, by a program of no package", counts=("14", "600000"), unpacked=True),
    "i386": Way("opendir(3) of a 32-bit program", name="opendir", narrow=True),
    "hidepid": Way("opendir(3), in a procfs with hidepid=2", name="opendir", before=HIDING, somewhere=True),
    "kept": Way("one descriptor, rewound"),
    "number": Way("/proc/1 to /proc/64 by number"),
}
PLACES = ("host", "unshare", "user namespace", "bubblewrap", "runc")


class Programs:
    """The scanners, a separate path for each way and place. A context manager.

    Attributes:
        folder: of packages, as far as the detections can tell.
        unpacked: where no package puts any.
    """

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._built: dict[bool, Path] = {}

    def __enter__(self) -> Self:
        """Compile."""
        self.folder, self.unpacked, build = (
            Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="listings-", dir=parent)))
            for parent in ("/opt", "/srv", None)
        )
        for folder in (self.folder, self.unpacked):
            folder.chmod(0o755)
        for narrow in (False, True):
            program = build / f"listings{32 if narrow else 64}"
            words = ["cc", "-O2", "-static", *(["-m32"] if narrow else []), "-o", str(program), str(SOURCE)]
            if shutil.which("cc") and subprocess.run(words, capture_output=True, check=False).returncode == 0:
                self._built[narrow] = program
        return self

    def __exit__(self, *_: object) -> None:
        """Remove everything."""
        self._stack.close()

    def missing(self, way: str, place: str) -> str:
        """Return why a way cannot be run in a place; ""."""
        if WAYS[way].narrow not in self._built:
            return "no static C library of this width"
        if WAYS[way].somewhere and place != "host":
            return "host only"
        tool = {"unshare": "unshare", "user namespace": "unshare", "bubblewrap": "bwrap", "runc": "runc"}
        wanted = tool.get(place, "setpriv")
        return "" if shutil.which(wanted) else f"{wanted} is not installed"

    def path(self, way: str, place: str) -> Path:
        """Return the path of a program."""
        parent = self.unpacked if WAYS[way].unpacked else self.folder
        return parent / f"l-{way}-{place.partition(' ')[0]}"

    @contextlib.contextmanager
    def command(self, way: str, place: str) -> Iterator[list[str]]:
        """Give the command of a way in a place."""
        program = Path(shutil.copy(self._built[WAYS[way].narrow], self.path(way, place)))
        call = [str(program), WAYS[way].name or way, *WAYS[way].counts]
        before = [*WAYS[way].before]
        match place:
            case "unshare":
                yield [*before, *NEW_NAMESPACE, *AS_OTHER, *call]
            case "user namespace":
                yield [*before, *AS_OTHER, *NEW_NAMESPACE, "--user", "--map-current-user", *call]
            case "bubblewrap":
                bwrap = ["bwrap", "--dev-bind", "/", "/", "--proc", "/proc", "--unshare-pid"]
                yield [*before, *AS_OTHER, *bwrap, *call]
            case "runc":
                with tempfile.TemporaryDirectory() as bundle:
                    yield [*before, *self.container(Path(bundle), call)]
            case _:
                yield [*before, *AS_OTHER, *call]

    @staticmethod
    def container(bundle: Path, call: Sequence[str]) -> list[str]:
        """Return the command that runs a program in a container of runc, made in an empty folder."""
        program = Path(call[0])
        parent = bundle / "rootfs" / program.parent.relative_to("/")
        parent.mkdir(parents=True)
        shutil.copy(program, parent)
        for folder in (bundle, *(bundle / "rootfs").rglob("*")):
            folder.chmod(0o755)
        config = {
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": OTHER_UID, "gid": OTHER_UID}, "args": list(call), "cwd": "/"},
            "root": {"path": "rootfs"},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
        }
        (bundle / "config.json").write_text(json.dumps(config), encoding="utf-8")
        state = str(bundle / "state")
        return ["runc", "--root", state, "run", "--bundle", str(bundle), f"listings-{bundle.name}"]


@dataclass
class Cell:
    """One way in one place.

    Attributes:
        way, place: of it.
        started_s, ended_s: of the run, in s since 1970 UTC.
        failed: why it could not be run.
    """

    way: str
    place: str
    started_s: float = 0.0
    ended_s: float = 0.0
    failed: str = ""


def run_all(programs: Programs, cells: Iterable[Cell]) -> list[Cell]:
    """Run every way, one after the other, but slow ones all at once. Returns the cells."""
    with contextlib.ExitStack() as stack:
        cells = list(cells)
        for cell in cells:
            cell.failed = programs.missing(cell.way, cell.place)
        possible = [cell for cell in cells if not cell.failed]
        slow = [(cell, _start(programs, cell, stack)) for cell in possible if cell.way == "slow"]
        for cell in possible:
            if cell.way != "slow":
                _finish(cell, _start(programs, cell, stack))
                time.sleep(0.05)  # stamps of the next one are later
        for cell, process in slow:
            _finish(cell, process)
    return cells


def _start(programs: Programs, cell: Cell, stack: contextlib.ExitStack) -> subprocess.Popen[str]:
    words = stack.enter_context(programs.command(cell.way, cell.place))
    cell.started_s = time.time()
    return subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
    )


def _finish(cell: Cell, process: subprocess.Popen[str]) -> None:
    _, error = process.communicate(timeout=LIMIT_S)
    cell.ended_s = time.time()
    if process.returncode:
        cell.failed = f"does not run here: {error.strip().splitlines()[-1:]}"


def of_cell(document: Mapping[str, Any], cell: Cell, programs: Programs) -> bool:
    """Return whether an event or alert is about a run."""
    executable = document.get("process", {}).get("executable")
    if executable is not None:
        return bool(executable == str(programs.path(cell.way, cell.place)))
    first = document["auditsense"].get("events", [""])[0].partition(":")[0]
    return (
        cell.way in {"sqpoll", "async"} and cell.started_s - 0.01 <= float(first or 0) <= cell.ended_s + 0.01
    )
