"""The direction of imports and includes, and what each layer must not know."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.import_graph import ORDER, cycles, graph, group_of, imports, levels, upward

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "auditsense"
CORE = PACKAGE / "_ring"

# --- Python ------------------------------------------------------------------------------

# kernel/ knows nothing of records. What uses it is listed, and a new user is a decision.
KERNEL_MAY_IMPORT = {"kernel", "errors", "syscalls", "_child_process", "_frozen", "_helper_ffi"}
MAY_IMPORT_KERNEL = {"kernel", "sources", "sensor", "config", "bench", "status", "doctor", "cli", "testing"}
TESTING_MAY_IMPORT = {"testing", "kernel", "errors", "syscalls"}

# What the whole package takes from elsewhere; a new name is a decision.
FROM_ELSEWHERE = {
    *("__future__", "argparse", "asyncio", "atexit", "base64", "collections", "contextlib", "csv", "ctypes"),
    *("dataclasses", "datetime", "difflib", "enum", "errno", "functools", "gc", "grp", "hashlib", "heapq"),
    *("importlib", "io", "itertools", "json", "os", "pathlib", "pwd", "re", "secrets", "select", "shlex"),
    *("signal", "socket", "stat", "struct", "sys", "tempfile", "textwrap", "threading", "time", "tomllib"),
    *(
        "bz2",
        "fnmatch",
        "gzip",
        "ipaddress",
        "lzma",
        "operator",
        "types",
        "typing",
        "unicodedata",
        "warnings",
        "weakref",
        "zlib",
    ),
    *("_sqlite3", "sqlite3"),  # the spool
    *("array", "mmap"),  # the broker: descriptors in messages, names in sealed memory
    *("email", "http", "nats", "ssl", "urllib"),  # ship
    *(
        "fcntl",
        "html",
        "math",
        "platform",
        "random",
        "resource",
        "shutil",
        "statistics",
        "subprocess",
    ),  # bench
    *("cffi", "zstandard"),  # pyroute2's message format is loaded by name, where it is needed
}
HEAVY = {
    *("asyncio", "concurrent", "email", "http", "logging", "multiprocessing", "pdb", "pydoc"),
    *(
        "bz2",
        "lzma",
        "sqlite3",
        "ssl",
        "tkinter",
        "unittest",
        "urllib3",
        "xml",
        "argparse",
        "pyroute2",
        "zstandard",
        "cffi",
    ),
}


MODULES = sorted(PACKAGE.rglob("*.py"))


def used_groups(path: Path) -> set[str]:
    """Return the groups of the package that a module imports from."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("auditsense.")}


def test_every_group_has_its_place_in_the_order() -> None:
    assert {*graph()} == {*ORDER}


def test_no_import_points_up_the_pipeline() -> None:
    assert upward(graph()) == []


def test_no_groups_import_each_other() -> None:
    assert cycles(graph()) == []


def test_import_graph_stays_small() -> None:
    """Bounds of the drawn graph; scripts/import_graph.py prints it."""
    arrows = graph()
    assert len(arrows) <= 31
    assert max(levels(arrows).values()) <= 12
    # The base of immutable values stands for dataclass(frozen=True), which any module may use.
    assert sum(len(targets - {"_frozen"}) for targets in arrows.values()) <= 116


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_module_imports_what_its_group_may(path: Path) -> None:
    group, used = group_of(path), used_groups(path)
    assert "testing" not in used or group == "testing"
    if group == "__init__":
        assert not used & {"cli", "testing", "kernel"}
    elif group == "kernel":
        assert used <= KERNEL_MAY_IMPORT
    elif group == "testing":
        assert used <= TESTING_MAY_IMPORT
    else:
        assert "kernel" not in used or group in MAY_IMPORT_KERNEL
    assert ("_ffi" in used) == (path == PACKAGE / "core" / "ring.py")
    helped = {PACKAGE / "kernel" / "broker.py", PACKAGE / "kernel" / "sealed_database.py"}
    assert ("_helper_ffi" in used) == (path in helped)


def test_detections_are_layered_as_well() -> None:
    order = (
        "expression",
        "query_fields",
        "dead_parts",
        "event_table",
        "decision",
        "regex",
        "eql",
        "model",
        "fields",
        "open_flags",
        "event_fields",
        "own_query",
        "compiler",
        "coverage",
        "toml_table",
        "exceptions",
        "elastic",
        "loader",
        "catalog",
    )
    folder = PACKAGE / "detections"
    for rank, name in enumerate(order):
        for path in (folder / name).glob("*.py") if (folder / name).is_dir() else [folder / f"{name}.py"]:
            for used in imports(path):
                if used.startswith("auditsense.detections.") and used.split(".")[2] != name:
                    assert order.index(used.split(".")[2]) < rank


def test_imports_from_elsewhere_are_listed() -> None:
    used = {name.split(".")[0] for path in MODULES for name in imports(path)} - {"auditsense"}
    assert used <= FROM_ELSEWHERE, used - FROM_ELSEWHERE


def loaded_by(statement: str, *, prints: bool = False) -> set[str]:
    code = f"import sys; before = {{*sys.modules}}; {statement}; print(*({{*sys.modules}} - before))"
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    last = found.stdout.splitlines()[-1] if prints else found.stdout
    return {name.split(".")[0] for name in last.split()}


def test_import_loads_few_modules() -> None:
    loaded = loaded_by("import auditsense")
    editable = {name for name in loaded if "editable" in name}
    assert loaded - sys.stdlib_module_names - editable == {"auditsense", "_cffi_backend"}
    assert not loaded & HEAVY


def test_every_public_name_is_loaded_when_it_is_asked_for() -> None:
    loaded = loaded_by("import auditsense; assert not hasattr(auditsense, 'nonsense')")
    assert not loaded & {"tomllib", "hashlib", "json"} - loaded_by("import secrets")
    everything = "import auditsense; [getattr(auditsense, name) for name in auditsense.__all__]"
    assert "tomllib" in loaded_by(everything + "; assert {*auditsense.__all__} <= {*dir(auditsense)}")


@pytest.mark.parametrize("module", ["cli", "sources.unicast", "replay.replay", "testing", "kernel.commands"])
def test_nothing_but_a_request_to_the_kernel_loads_pyroute2(module: str) -> None:
    loaded = loaded_by(f"import auditsense.{module}")
    assert "auditsense" in loaded
    assert not loaded & {"pyroute2", "zstandard", "asyncio"}


def test_run_loads_what_every_run_needs() -> None:
    """The rest is loaded where a text source, a reload or the doctor needs it: loading is most of a start."""
    parts = ("sources.unwrap", "doctor.facts", "doctor.host_checks", "detections.eql.parser", "sinks.syslog")
    unwanted = ", ".join(repr(f"auditsense.{part}") for part in parts)
    loaded_by(f"import auditsense.cli.run; assert not {{{unwanted}}} & {{*sys.modules}}, {{*sys.modules}}")


# --- C ---------------------------------------------------------------------------------

# In the order of the way through them: a stage knows those before it. Two in one place: neither the other.
STAGES = (
    {"span", "arena", "config", "hugepages"},
    {"hash", "like", "regex", "translation"},
    {"prefix", "types", "process"},
    {"datagram", "line"},
    {"value", "capability", "socket_address"},
    {"record", "exec_args"},
    {"call_head", "call_tail"},
    {"classes"},
    {"rules"},
    {"slab", "event_processes"},
    {"event_slots"},
    {"closing"},
    {"event"},
    {"event_values"},
    {"serial", "clock_steps"},
    {"predicate"},
    {"candidates"},
    {"match"},
    {"order"},
    {"sequence"},
    {"window"},
    {"hit"},
    {"hit_view"},
    {"column"},
    {"ring_state"},  # all stages together
    {"migrate", "decide"},
)
STAGE = {name: rank for rank, names in enumerate(STAGES) for name in names}
LIBRARY = {"stdalign.h", "stdbool.h", "stddef.h", "stdint.h", "string.h", "errno.h"}
MORE = {
    "_ring.c": {"stdlib.h"},
    "ring_state.h": {"stdatomic.h"},
    "datagram.c": {"linux/netlink.h", "sys/socket.h"},
    "hugepages.c": {"sys/mman.h"},
    "call_head.h": {"emmintrin.h"},
}
SOURCES = sorted([PACKAGE / "_ring.c", PACKAGE / "_ring.h", *CORE.glob("*.[ch]")])
IDS = [path.name for path in SOURCES]

ALLOCATION = r"malloc|calloc|realloc|reallocarray|aligned_alloc|alloca|free|strdup|mmap|brk|sbrk"
OUTPUT = r"v?[fsd]?n?printf|puts|fputs|putchar|perror|syslog|exit|_exit|_Exit|abort|assert|raise|signal"
CLOCK = r"time|clock|clock_gettime|gettimeofday|nanosleep|usleep|sleep|rand|random|getrandom|getenv"
SYSTEM = (
    r"recvmmsg|recvmsg|recvfrom|recv|sendmmsg|sendmsg|sendto|send|socket|connect|bind|setsockopt|getsockopt|"
    r"madvise|open|openat|read|write|close|poll|ppoll|select|epoll_wait|ioctl|fcntl|syscall|getpid|fork|pthread_\w+"
)


def code(path: Path) -> str:
    """Return a C file without its comments and without what its strings say."""
    text = re.sub(r"/\*.*?\*/", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "//" not in re.sub(r'"[^"\n]*"', '""', text)
    return re.sub(r'(?<!#include )"(?:\\.|[^"\\\n])*"', '""', text)


def calls(path: Path, names: str) -> set[str]:
    return set(re.findall(rf"(?<![\w.>])({names})\s*\(", code(path)))


def includes(path: Path, marks: str) -> set[str]:
    return set(
        re.findall(rf"#include {marks[0]}([^{marks[1]}]+){marks[1]}", path.read_text(encoding="utf-8"))
    )


def test_every_stage_has_its_place_and_a_header() -> None:
    assert {path.stem for path in CORE.glob("*.h")} == {*STAGE}
    assert {path.stem for path in CORE.glob("*.c")} == {*STAGE} - {"span", "arena", "hash", "ring_state"}


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_a_stage_includes_those_before_it_only(path: Path) -> None:
    for name in includes(path, '""'):
        included = (path.parent / name).resolve()
        assert included.exists()
        if PACKAGE in {path.parent, included.parent}:
            assert path.name == "_ring.c" or included.name in {"_ring.h", "_ring.cdef.h"}
        else:
            assert STAGE[included.stem] < STAGE[path.stem] or included.stem == path.stem


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_only_datagram_and_pages_use_system_calls(path: Path) -> None:
    assert includes(path, "<>") <= LIBRARY | MORE.get(path.name, set())
    assert calls(path, SYSTEM) == {"datagram.c": {"recvmmsg"}, "hugepages.c": {"madvise"}}.get(
        path.name, set()
    )


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_only_entry_points_allocate_memory(path: Path) -> None:
    assert calls(path, ALLOCATION) == ({"calloc", "free"} if path.name == "_ring.c" else set())
    if path.name == "_ring.c":
        assert len(re.findall(r"\bcalloc\s*\(", code(path))) == 1


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_the_core_prints_nothing_ends_nothing_and_reads_no_clock(path: Path) -> None:
    assert calls(path, OUTPUT) == set()
    assert calls(path, CLOCK) == set()


@pytest.mark.parametrize("path", [*SOURCES, PACKAGE / "_ring.cdef.h"], ids=[*IDS, "_ring.cdef.h"])
def test_the_core_knows_no_detection(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for word in ("/proc", "openat", "pspy", "ffffff9c", "audit_proc"):
        assert word not in text


def test_every_file_of_the_core_is_built() -> None:
    build = (ROOT / "meson.build").read_text(encoding="utf-8")
    listed = set(re.findall(r"package / '(_ring[\w/.]*\.c)'", build))
    assert listed == {str(path.relative_to(PACKAGE)) for path in SOURCES if path.suffix == ".c"}


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.suffix == ".h"], ids=lambda path: path.name
)
def test_a_header_can_be_included_twice(path: Path) -> None:
    text = code(path)
    guard = re.search(r"#ifndef (AUDITSENSE_\w+_H)\n#define (\w+)\n", text)
    assert guard is not None
    assert guard[1] == guard[2]
    assert text.rstrip().endswith("#endif")
