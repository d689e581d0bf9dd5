"""The core without Python: what is installed, what it exports, and the agents of examples/ and docs/c.md."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense import AlertPolicy, __version__, shipped_detections
from auditsense.core.ring import Ring
from auditsense.core.rule_table import (
    ACTOR,
    ARRAYS,
    FALSE,
    TRUE,
    Call,
    Class,
    Field,
    Filter,
    MainType,
    MaskedNumber,
    Node,
    Op,
    Predicate,
    Rule,
    RuleException,
    RuleKind,
    RuleTable,
    lay_out,
)
from auditsense.detections.compiler import compile_all
from auditsense.detections.emit_c import as_c
from auditsense.testing import burst, open_event

if TYPE_CHECKING:
    from auditsense.core.ring import Stats

ROOT = Path(__file__).parents[2]
CDEF = ROOT / "src" / "auditsense" / "_ring.cdef.h"
EXAMPLE = ROOT / "examples" / "c" / "pspy.c"
CAPTURE = ROOT / "tests" / "data" / "pspy.capture"
FUNCTIONS = set(re.findall(r"^\w[\w *]*?\b(as_\w+)\(", CDEF.read_text(encoding="utf-8"), re.MULTILINE))
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-pedantic"]
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def needed(name: str) -> str:
    """Return where a program is, or skip."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is missing")
    return found


@dataclass(frozen=True)
class Installed:
    """The library in a prefix that was moved after the installation."""

    prefix: Path
    environment: dict[str, str]

    @property
    def libdir(self) -> Path:
        return Path(self.flags("--variable=libdir")[0])

    def run(self, *command: str | Path, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command, input=text, env=self.environment, capture_output=True, check=False, timeout=300
        )

    def flags(self, *asked: str) -> list[str]:
        done = self.run(needed("pkg-config"), *asked, "auditsense")
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().split()

    def compile(self, source: Path, out: Path, *more: str, static: bool = False) -> Path:
        flags = self.flags("--cflags") if static else self.flags("--cflags", "--libs")
        library = [str(self.libdir / "libauditsense.a")] if static else []
        done = self.run(needed("cc"), "-O2", "-std=c11", *more, "-o", out, source, *flags, *library)
        assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
        return out


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    for name in ("cc", "pkg-config", "ninja", "objcopy"):
        needed(name)
    folder = tmp_path_factory.mktemp("library")
    environment = {**os.environ, "PATH": PATH}
    build, there = str(folder / "build"), str(folder / "there")
    for command in (
        ["setup", build, str(ROOT), "-Dlibrary=true", "--werror", "--prefix", there],
        ["install", "-C", build],
    ):
        done = subprocess.run(
            [needed("meson"), *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    prefix = Path(there).rename(folder / "elsewhere")
    (description,) = prefix.rglob("auditsense.pc")
    more = {"PKG_CONFIG_PATH": str(description.parent), "LD_LIBRARY_PATH": str(description.parents[1])}
    return Installed(prefix, {**environment, **more})


@pytest.fixture(scope="module")
def agent(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed.compile(EXAMPLE, tmp_path_factory.mktemp("agent") / "pspy", *STRICT)


# --- what is installed -------------------------------------------------------------------


def test_library_installs_no_python(installed: Installed) -> None:
    names = {path.name for path in installed.prefix.rglob("*") if not path.is_dir()}
    assert names == {
        *("auditsense.h", "auditsense.pc", "libauditsense.a", "libauditsense.so", "libauditsense.so.1"),
    }


def test_header_has_the_declarations_of_cffi(installed: Installed) -> None:
    header = (installed.prefix / "include" / "auditsense.h").read_text(encoding="utf-8")
    assert CDEF.read_text(encoding="utf-8") in header
    assert f'AUDITSENSE_HEADER_VERSION "{__version__}"' in header


@pytest.mark.parametrize(
    ("compiler", "language", "standard"),
    [("cc", "c", "c11"), ("clang", "c", "c11"), ("g++", "c++", "c++11"), ("clang++", "c++", "c++17")],
)
def test_header_compiles_alone(installed: Installed, compiler: str, language: str, standard: str) -> None:
    source = (
        f"#include <auditsense.h>\n#include <auditsense.h>\n{'const char *f(void);' * (language == 'c')}\n"
    )
    source += "const char *f(void) { return as_version(); }\n"
    flags = [*installed.flags("--cflags"), *STRICT, f"-std={standard}", "-fsyntax-only", "-x", language, "-"]
    done = installed.run(needed(compiler), *flags, text=source.encode())
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()


def test_exports_are_the_functions_of_the_header(installed: Installed) -> None:
    assert len(FUNCTIONS) == 38
    shared = installed.run(needed("nm"), "-D", "--defined-only", installed.libdir / "libauditsense.so").stdout
    names = {line.split()[-1] for line in shared.decode().splitlines()}
    text = (ROOT / "library" / "auditsense.map").read_text(encoding="utf-8")
    nodes = re.findall(r"^(AUDITSENSE_[\d.]+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    listed = [(name, node) for node, body in nodes for name in re.findall(r"^ {4}(\w+);", body, re.MULTILINE)]
    assert names == {*(node for node, _ in nodes), *(f"{name}@@{node}" for name, node in listed)}
    assert sorted(name for name, _ in listed) == sorted(FUNCTIONS)


def test_archive_exports_no_other_names(installed: Installed) -> None:
    archive = installed.run(needed("nm"), "-g", "--defined-only", installed.libdir / "libauditsense.a").stdout
    assert {line.split()[-1] for line in archive.decode().splitlines() if " T " in line} == FUNCTIONS
    assert not re.findall(r" [BDGSCR] ", archive.decode())  # and no data at all


@pytest.mark.parametrize("name", ["libauditsense.so", "libauditsense.a"])
def test_library_has_no_state_and_few_imports(installed: Installed, name: str) -> None:
    flags = ["-D"] if name.endswith(".so") else []
    wanted = installed.run(needed("nm"), *flags, "-u", installed.libdir / name).stdout.decode().split()
    others = {one.partition("@")[0] for one in wanted if one not in {"U", "w"} and not one.endswith(":")}
    others -= {"_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__gmon_start__", "__cxa_finalize"}
    others -= {"_GLOBAL_OFFSET_TABLE_"}
    plain = {re.sub(r"^__(\w+)_chk$", r"\1", one) for one in others}
    memory = {"memcpy", "memmove", "memset", "memcmp", "memchr", "memrchr", "bcmp", "strlen"}
    compilers = {"__stack_chk_fail", "__errno_location", "__popcountdi2"}
    assert plain <= {"calloc", "free", "recvmmsg", "madvise"} | memory | compilers
    sections = installed.run(needed("objdump"), "-h", installed.libdir / "libauditsense.a").stdout.decode()
    sizes = dict(re.findall(r"^ +\d+ (\.data|\.bss|\.tbss|\.tdata) +([0-9a-f]+)", sections, re.MULTILINE))
    assert {name: int(size, 16) for name, size in sizes.items() if int(size, 16)} == {}


# --- the example --------------------------------------------------------------------------


def expected(data: bytes) -> tuple[list[str], Stats]:
    """Return what the agent has to print of this input, by way of Python."""
    lines = []
    with Ring(compile_all(shipped_detections(), merge_ms=AlertPolicy().suppress_ms), actor=ACTOR) as ring:
        if data.startswith(b"auditsense capture"):
            packed = data.split(b"\n", 2)[2]
            assert ring.feed(packed) == len(packed)
        else:
            assert ring.feed_text(data) == len(data)
        hits = ring.drain()
        assert ring.finish()
        for hit in hits + ring.drain():
            comm, pid, exe, uid = (hit.text(one) for one in (Field.COMM, Field.PID, Field.EXE, Field.UID))
            ids = " ".join(map(str, hit.ids))
            others = f" {hit.others} by others," if hit.others else ""
            lines.append(f"pspy: {comm}[{pid}] {exe} user {uid}, {hit.more} more,{others} events {ids}")
        return lines, ring.stats()


def counters(stderr: bytes) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", stderr.decode())}


def test_example_has_the_shipped_detections() -> None:
    rules = compile_all(shipped_detections(), merge_ms=AlertPolicy().suppress_ms)
    committed = (EXAMPLE.parent / "detections.h").read_text(encoding="utf-8")
    assert committed == as_c(rules, [one.id for one in shipped_detections()])


def logs() -> dict[str, bytes]:
    """Return inputs that differ in form."""
    many = [burst(12, pid=pid, serial=1000 * pid, ms=1_700_000_000_000) for pid in range(2, 9)]
    few = burst(9, pid=99, ms=1_700_000_000_000, serial=50_000)
    execed = [
        open_event(
            pid=77,
            ms=1_700_000_000_000 + n,
            serial=60_000 + n,
            exe="/usr/bin/one" if n < 5 else "/usr/bin/other",
        )
        for n in range(20)
    ]
    return {
        "capture": CAPTURE.read_bytes(),
        "log": b"".join(one.text for events in [*many, few] for one in events),
        "exec": b"".join(one.text for one in execed),
        "empty": b"",
        "short": b"type=",
        "no log": b"\0\xff" * 5000,
    }


@pytest.mark.parametrize("name", logs())
@pytest.mark.parametrize("piped", [False, True])
def test_agent_prints_what_python_finds(
    installed: Installed, agent: Path, tmp_path: Path, name: str, *, piped: bool
) -> None:
    data = logs()[name]
    (tmp_path / "in").write_bytes(data)
    done = installed.run(agent, "-", text=data) if piped else installed.run(agent, tmp_path / "in")
    lines, stats = expected(data)
    assert done.returncode == 0
    assert done.stdout.decode().splitlines() == lines
    assert len(lines) == {"capture": 1, "exec": 1, "log": 14}.get(name, 0)
    counted = counters(done.stderr)
    assert counted == {key: value for key, value in stats.as_dict().items() if key in counted}
    assert {"serials_missing", "incomplete", "truncated", "keys_evicted"} <= counted.keys()


def test_agent_escapes_text_of_other_processes(installed: Installed, agent: Path) -> None:
    text = b"".join(open_event(ms=n, serial=n + 1, comm="\x1b[2J\n\\").text for n in range(10))
    done = installed.run(agent, "-", text=text)
    assert rb"pspy: \x1b[2J\x0a\x5c[" in done.stdout
    assert b"\x1b" not in done.stdout


def test_static_library_gives_the_same_output(installed: Installed, tmp_path: Path) -> None:
    linked = installed.compile(EXAMPLE, tmp_path / "pspy", *STRICT, static=True)
    assert b"libauditsense" not in installed.run(needed("ldd"), linked).stdout
    done = installed.run(linked, CAPTURE)
    assert done.stdout.decode().splitlines() == expected(CAPTURE.read_bytes())[0]


def test_agent_reads_inherited_socket_until_sigterm(installed: Installed, agent: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        for one in open_event().datagrams:
            ours.send(one)
        with subprocess.Popen(
            [agent, f"fd:{theirs.fileno()}"],
            pass_fds=[theirs.fileno()],
            env=installed.environment,
            stderr=subprocess.PIPE,
        ) as running:
            theirs.close()
            while not ours_is_read(ours):
                assert running.poll() is None
            running.send_signal(signal.SIGTERM)
            _, stderr = running.communicate(timeout=300)
    assert running.returncode == 0
    assert counters(stderr)["foreign"] == 5  # this test is not the kernel
    assert counters(stderr)["records"] == 0


def ours_is_read(sock: socket.socket) -> bool:
    """Tell whether what was sent has been received: SIOCOUTQ counts what has not."""
    import fcntl  # noqa: PLC0415 - for this alone
    import struct  # noqa: PLC0415

    (waiting,) = struct.unpack("i", fcntl.ioctl(sock, 0x5411, b"\0" * 4))
    return bool(waiting == 0)


@pytest.mark.parametrize(
    ("arguments", "code"), [([], 2), (["/nonexistent"], 1), (["/"], 1), (["fd:77"], 1)], ids=str
)
def test_agent_reports_errors(installed: Installed, agent: Path, arguments: list[str], code: int) -> None:
    done = installed.run(agent, *arguments)
    assert done.returncode == code
    assert done.stderr.startswith((b"pspy: ", b"usage: "))


# --- detections as C ----------------------------------------------------------------------

ODD = RuleTable(
    (
        Rule(),
        Rule(RuleKind.RUNS, count=101, span_ms=86_400_000, merge_ms=5, exceptions=(RuleException((), 7),)),
    ),
    (
        Class(),
        Class((Filter(0), Filter(1)), first_path=2, executes=True, directory=3),
        Class(
            (
                Filter(
                    1,
                    (
                        Node(Predicate(Field.ARCH, Op.NUMBER, (MaskedNumber(-1, 2**63),)), FALSE, 1),
                        Node(
                            Predicate(Field.COMM, Op.TEXT, (b"", b'"*/\\\n\xff?\x3f?/', b"x" * 40)), TRUE, 2
                        ),
                        Node(
                            Predicate(Field.EXE, Op.LENGTH, (MaskedNumber(1),), length_op=Op.LESS),
                            TRUE,
                            FALSE,
                        ),
                    ),
                    (Field.NODE, Field.PID),
                    optional_keys=2,
                    anchors=(Predicate(Field.COMM, Op.LIKE, (b"x",), fold_case=True),),
                ),
            ),
            kept=True,
        ),
    ),
    (Call(0xC000003E, 0, 1), Call(0, 2**32 - 1, 2)),
    other_call_class=1,
    mains=(MainType(1400, 2, 1), MainType(1112, None, 2)),
    strict=True,
)

DUMP = r"""
#include <inttypes.h>
#include <stdio.h>
#include "detections.h"
int main(void) {
    const as_rules t = as_detections();
    printf("%s|", as_detection_ids[0]);
    for (uint32_t i = 0; i < t.rule_count; i++) {
        const as_rule r = t.rules[i];
        printf("%u %u %u %u %u ", r.kind, r.stages, r.count, r.span_ms, r.merge_ms);
        printf("%u %u %u %u ", r.limit, r.limit_ms, r.first_exception, r.exceptions);
    }
    for (uint32_t i = 0; i < t.class_count; i++) {
        const as_class c = t.classes[i];
        printf("%u %u %u %u %u ", c.first_filter, c.filters, c.first_path, c.flags, c.directory);
    }
    for (uint32_t i = 0; i < t.call_count; i++) {
        printf("%u %u %u ", t.calls[i].arch, t.calls[i].syscall, t.calls[i].class_index);
    }
    for (uint32_t i = 0; i < t.main_count; i++) {
        printf("%u %u %u ", t.mains[i].type, t.mains[i].call_class, t.mains[i].class_index);
    }
    for (uint32_t i = 0; i < t.filter_count; i++) {
        const as_filter f = t.filters[i];
        printf("%u %u %u %u %u ", f.start, f.rule, f.first_stage, f.stages, f.until);
        printf("%u %u ", f.anchors, f.first_anchor);
        for (uint32_t k = 0; k < f.key_count; k++) printf("%u ", f.keys[k]);
        printf("%u %u ", f.key_count, f.optional_keys);
    }
    for (uint32_t i = 0; i < t.anchor_count; i++) printf("%u ", t.anchors[i]);
    for (uint32_t i = 0; i < t.node_count; i++) {
        printf("%u %u %u ", t.nodes[i].predicate, t.nodes[i].yes, t.nodes[i].no);
    }
    for (uint32_t i = 0; i < t.predicate_count; i++) {
        const as_predicate p = t.predicates[i];
        printf("%u %u %u %u %u %u ", p.field, p.op, p.flags, p.length_op, p.first_operand, p.operands);
    }
    for (uint32_t i = 0; i < t.operand_count; i++) {
        const as_operand o = t.operands[i];
        printf("%" PRIu64 " %" PRIu64 " %u %u ", o.number, o.mask, o.at, o.len);
    }
    for (uint32_t i = 0; i < t.exception_count; i++) {
        printf("%" PRIu64 " %u ", t.exceptions[i].until_ms, t.exceptions[i].start);
    }
    printf("%u %u ", t.other_call_class, t.flags);
    for (uint32_t i = 0; i < t.text_len; i++) printf("%u ", t.text[i]);
    printf("%" PRIu64 "\n", t.actor_fields);
    return 0;
}
"""


@pytest.mark.parametrize(
    "rules", [ODD, RuleTable((Rule(),)), compile_all(shipped_detections(), merge_ms=0)], ids=len
)
def test_compiled_table_equals_that_of_python(installed: Installed, tmp_path: Path, rules: RuleTable) -> None:
    (tmp_path / "detections.h").write_text(as_c(rules, ['a*/"\nb'] * len(rules)), encoding="ascii")
    (tmp_path / "dump.c").write_text(DUMP, encoding="ascii")
    dump = installed.compile(tmp_path / "dump.c", tmp_path / "dump", *STRICT)
    name, _, numbers = installed.run(dump).stdout.decode().partition("|")
    layout = lay_out(rules)
    wanted: list[int] = []
    for name_of_array in ARRAYS:
        if name_of_array == "arches":
            continue
        for row in getattr(layout, name_of_array):
            members = [row] if isinstance(row, int) else row.values()
            if name_of_array == "operands":
                members = [row.get(member, 0) for member in ("number", "mask", "at", "len")]
            for member in members:
                wanted += member if isinstance(member, list) else [member]
    wanted += [layout.other_call_class, layout.flags]
    actor = sum(1 << field for field in ACTOR)  # as a Detector's Ring has it
    assert [int(one) for one in numbers.split()] == [*wanted, *layout.text, actor]
    assert name == "a____b"


# --- docs/c.md ----------------------------------------------------------------------------


def snippet(language: str) -> str:
    page = (ROOT / "docs" / "c.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return str(found)


RELOADING = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <auditsense.h>
#include "detections.h"
SNIPPETS
int main(int argc, char **argv) {
    as_config config;
    as_config_default(&config);
    as_rules rules = as_detections();
    uint32_t place = argc > 1 ? (uint32_t)atoi(argv[1]) : 0;
    as_ring *ring = as_ring_new(&config, &rules);
    uint8_t *hits = malloc(config.hit_bytes);
    int64_t *out = malloc(config.hit_bytes);
    uint8_t *rows = malloc(config.hit_bytes / 256);
    char line[4096];
    if (ring == NULL || hits == NULL || out == NULL || rows == NULL ||
        as_ring_select_fields(ring, 1ULL << AS_FIELD_PID) < 0) {
        return 1;
    }
    while (fgets(line, sizeof line, stdin) != NULL) { /* another ring in the middle of each line */
        size_t half = strlen(line) / 2;
        as_ring_feed_text(ring, (const uint8_t *)line, half);
        ring = reloaded(ring, &config, &rules, &place, hits, out, rows);
        as_ring_feed_text(ring, (const uint8_t *)line + half, strlen(line) - half);
    }
    as_ring_finish(ring);
    print_pids(hits, (size_t)as_ring_drain(ring, hits, config.hit_bytes), out, rows);
    as_ring_free(ring);
    free(hits);
    free(out);
    free(rows);
    return 0;
}
"""


@pytest.mark.parametrize("place", ["0", "5"], ids=["the same rules", "a place that is none"])
def test_agent_migrates_ring_and_reads_column(installed: Installed, tmp_path: Path, place: str) -> None:
    page = (ROOT / "docs" / "c.md").read_text(encoding="utf-8")
    fragments = re.findall(r"^```c\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    whole = [one for one in fragments if re.match(r"(void|as_ring) \*?\w+\(", one)]
    assert len(whole) == 2
    source = tmp_path / "reloading.c"
    source.write_text(RELOADING.replace("SNIPPETS", "\n".join(whole)), encoding="utf-8")
    shutil.copy(EXAMPLE.parent / "detections.h", tmp_path)
    program = installed.compile(source, tmp_path / "reloading", *STRICT)
    lines, stats = expected(logs()["log"])
    assert stats.records
    done = installed.run(program, place, text=logs()["log"])
    pids = list(dict.fromkeys(done.stdout.decode().split()))  # what was drained early was not merged
    assert pids == list(dict.fromkeys(re.findall(r"\[(\d+)\]", one)[0] for one in lines))


def test_go_example_runs(installed: Installed, tmp_path: Path) -> None:
    go = needed("go")
    (tmp_path / "main.go").write_text(snippet("go"), encoding="utf-8")
    (tmp_path / "go.mod").write_text("module agent\n\ngo 1.22\n", encoding="utf-8")
    shutil.copy(EXAMPLE.parent / "detections.h", tmp_path)
    local = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "CGO_ENABLED": "1"}
    done = subprocess.run(
        [go, "build", "-o", tmp_path / "agent", "."],
        cwd=tmp_path,
        env={**installed.environment, **local},
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    _, stats = expected(logs()["log"])
    done = installed.run(tmp_path / "agent", text=logs()["log"])
    assert done.stdout.decode().split() == [__version__, str(stats.records), str(stats.sequences)]


def test_rust_example_runs(installed: Installed, tmp_path: Path) -> None:
    rustc = needed("rustc")
    (tmp_path / "agent.rs").write_text(snippet("rust"), encoding="utf-8")
    flags = [
        "--edition",
        "2021",
        "-D",
        "warnings",
        "-L",
        str(installed.libdir),
        "-o",
        str(tmp_path / "agent"),
    ]
    done = installed.run(rustc, *flags, tmp_path / "agent.rs")
    assert done.returncode == 0, done.stderr.decode()
    _, stats = expected(logs()["log"])
    done = installed.run(tmp_path / "agent", text=logs()["log"])
    assert done.stdout.decode().split() == [__version__, str(stats.records), str(stats.events)]


def test_rust_structures_match_the_header(installed: Installed, tmp_path: Path) -> None:
    """Compare the layouts that docs/c.md writes by hand, also where there is no Rust compiler."""
    page = snippet("rust")

    def length(before: str) -> int:
        (found,) = re.findall(re.escape(before) + r"(\d+)\]", page)
        return int(found)

    def words(name: str) -> int:
        (found,) = re.findall(rf"let {name} = \[+([^]]*)\]", page)
        return len(found.split(","))

    numbers = length("numbers: [u32; ")
    facts = [
        f"sizeof(as_config) == 2 * 8 + 4 * {length('sizes: [u32; ')}",
        f"sizeof(as_rule) == 4 * {words('rule')}",
        f"sizeof(as_class) == 4 * {words('classes')}",
        f"sizeof(as_filter) == 2 * {words('filter')}",
        f"offsetof(as_rules, rule_count) == {length('arrays: [*const c_void; ')} * sizeof(void *)",
        f"offsetof(as_rules, flags) + 4 == offsetof(as_rules, rule_count) + 4 * {numbers}",
        "offsetof(as_rules, actor_fields) + 8 == sizeof(as_rules)",
        f"sizeof(as_stats) == 8 * {length('out: *mut [u64; ')}",
    ]
    printed = re.findall(r"stats\[(\d+)\]", page)
    facts += [
        f"offsetof(as_stats, {name}) == 8 * {at}"
        for name, at in zip(("records", "matches"), printed, strict=True)
    ]
    lines = [f'_Static_assert({fact}, "docs/c.md");' for fact in facts]
    source = "\n".join(
        ["#include <stddef.h>", "#include <auditsense.h>", *lines, "int main(void) { return 0; }", ""]
    )
    (tmp_path / "sizes.c").write_text(source, encoding="ascii")
    installed.compile(tmp_path / "sizes.c", tmp_path / "sizes", *STRICT)


def test_page_counts_exported_functions() -> None:
    page = (ROOT / "docs" / "c.md").read_text(encoding="utf-8")
    assert f"the {len(FUNCTIONS)} `as_*` functions" in page
