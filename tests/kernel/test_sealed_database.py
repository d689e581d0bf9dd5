"""A spool in a process whose filter allows the names of its files only: SQLite works, and writes no other."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import sqlite3
import stat
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditsense import syscalls
from auditsense.cli.output import _confinement, _seal
from auditsense.cli.ship import LOCK, _become_owner
from auditsense.kernel import confinement, landlock, sealed, sealed_database, seccomp
from auditsense.kernel.sealed_database import DATABASE_FLAGS, SealedDatabase
from auditsense.sinks import SinkError
from auditsense.sinks.acknowledged import AcknowledgedSinkProcess
from auditsense.sinks.config import SpoolSettings, open_sink
from auditsense.sinks.format import Format
from auditsense.sinks.spool import SpoolSink
from auditsense.sinks.spool_store import (
    FILE,
    MAX_DAMAGED,
    MAX_NUMBER,
    SpoolDamagedError,
    SpoolStore,
    names,
    set_aside,
)
from tests.sinks.test_spool import line, lines, polled, spooled, wait_until
from tests.support.children import in_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not sealed.is_possible() or not sealed_database.can_replace(),
    reason="there is no memory at this address, or SQLite is a part of Python",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture(params=["landlock", "without"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether this kernel's Landlock is used."""
    if request.param == "without":
        monkeypatch.setattr(landlock, "version", lambda: 0)
        monkeypatch.setattr(confinement, "_forbid_code", lambda: None)
    return str(request.param)


def sealed_sink(folder: Path) -> tuple[SpoolSink, SealedDatabase, Callable[[], None]]:
    """Return a sink, its files, and a function that confines this process, as `run` does."""
    spool = SpoolSettings(folder)
    sink = open_sink(spool, Format.JSONL)
    assert isinstance(sink, SpoolSink)
    files = _seal(spool, sink, brokered=False)
    assert isinstance(files, SealedDatabase)
    return sink, files, _confinement(spool, None, 0, files, brokered=False)


def damage(files: SealedDatabase) -> None:
    """Overwrite the database as its process can."""
    descriptor = files.open(FILE)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"no database" * 500, 0)
    os.close(descriptor)


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


@pytest.mark.usefixtures("kind")
def test_spool_is_created_written_closed_and_opened_again(folder: Path) -> None:
    def run() -> list[Any]:
        sink, _, confine = sealed_sink(folder)
        confine()
        sink.start()
        sink.write_lines(lines(0, 50))
        during = sorted(path.name for path in folder.iterdir())
        sink.close()
        after = sorted(path.name for path in folder.iterdir())
        sink.reopen()
        sink.write_lines(lines(50, 50))
        return [during, after]

    assert in_child(run) == [[FILE, f"{FILE}-shm", f"{FILE}-wal"], [FILE]]
    assert spooled(folder) == list(range(100))
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@pytest.mark.usefixtures("kind")
def test_log_of_a_process_that_was_killed_is_read(folder: Path) -> None:
    """Documents that are in the write-ahead log only."""

    def killed() -> str:
        sink, _, confine = sealed_sink(folder)
        confine()
        sink.write_lines(lines(0, 20))
        return "ends without closing"

    assert in_child(killed) == "ends without closing"
    assert (folder / f"{FILE}-wal").stat().st_size > 0

    def run() -> str:
        sink, _, confine = sealed_sink(folder)
        confine()
        sink.write_lines(lines(20, 20))
        sink.close()
        return "done"

    assert in_child(run) == "done"
    assert spooled(folder) == list(range(40))
    assert [path.name for path in folder.iterdir()] == [FILE]


@pytest.mark.usefixtures("kind")
def test_damaged_database_is_set_aside_with_its_documents(folder: Path) -> None:
    before = SpoolSink(folder)
    before.write_lines(lines(0, 2000))
    before.close()
    content = (folder / FILE).stat().st_size

    def run() -> str:
        sink, files, confine = sealed_sink(folder)
        confine()
        descriptor = files.open(FILE)
        os.pwrite(descriptor, os.urandom(1 << 16), content // 2)
        os.close(descriptor)
        with pytest.raises(SinkError) as found:
            sink.start()
        sink.write_lines(lines(5000, 5))
        sink.close()
        return str(found.value)

    assert "it was renamed to spool.db.damaged-001, and " in in_child(run)
    assert sorted(path.name for path in folder.iterdir()) == [FILE, f"{FILE}.damaged-001"]
    after = spooled(folder)
    assert after[-5:] == list(range(5000, 5005))
    assert len(after) > 100
    assert set(after[:-5]) <= set(range(2000))


@pytest.mark.parametrize("before", [0, 3, MAX_NUMBER - 4])
def test_numbers_of_damaged_databases_end_and_the_last_is_used_again(folder: Path, before: int) -> None:
    folder.mkdir(mode=0o700)
    for number in range(max(1, before + 1 - MAX_DAMAGED), before + 1):
        (folder / f"{FILE}.damaged-{number:03d}").touch()

    def run() -> list[list[str]]:
        _, files, confine = sealed_sink(folder)
        confine()
        kept: list[list[str]] = []
        for number in range(8):
            damage(files)
            with pytest.raises(SpoolDamagedError):
                SpoolStore(folder, size=1 << 20, files=files)
            damaged, saved = set_aside(folder, files)
            assert (damaged.name, saved) == (f"{FILE}.damaged-{min(before + number + 1, MAX_NUMBER):03d}", 0)
            kept.append(sorted(path.name for path in folder.glob("*damaged*")))
        return kept

    kept = in_child(run)
    assert max(map(len, kept)) == MAX_DAMAGED
    assert len(kept[-1]) >= MAX_DAMAGED - 1
    assert spooled(folder) == []


def test_folder_may_be_reached_by_a_link(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("spool")

    def run() -> str:
        sink, _, confine = sealed_sink(tmp_path / "link")
        confine()
        sink.write_lines(line(1))
        sink.close()
        return "done"

    assert in_child(run) == "done"
    assert spooled(folder) == [1]


def test_folder_that_was_replaced_ends_the_sink(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(mode=0o700)

    def run() -> list[Any]:
        sink, _, confine = sealed_sink(folder)
        folder.rename(tmp_path / "old")
        folder.mkdir(mode=0o700)
        confine()
        with pytest.raises(SinkError) as found:
            sink.start()
        return [str(found.value), found.value.final]

    problem, final = in_child(run)
    assert problem == (
        f"cannot open the spool {folder}: its folder was replaced since the start; restart auditsense"
    )
    assert final
    assert [*folder.iterdir(), *(tmp_path / "old").iterdir()] == []


@pytest.mark.usefixtures("kind")
def test_sink_and_ship_use_a_spool_at_once(folder: Path) -> None:
    """The sink's keeper starts workers, and ship removes what they append; both are confined."""
    count = 3000
    sink, files, confine = sealed_sink(folder)
    process = AcknowledgedSinkProcess(sink, "spool:x")
    process.start(confine, keep=[files.fileno()])
    files.close()
    for first in range(0, count, 20):
        process.send(lines(first, 20), 20)
    wait_until(lambda: polled(process).counts.written)

    def ship() -> list[int]:
        own = _become_owner(os.geteuid(), folder, own_process=True)
        assert own is not None
        os.close(own.open(LOCK))
        got: list[int] = []
        store = SpoolStore(folder, files=own)
        while len(got) < count:
            documents = store.oldest(100, 1 << 20)
            store.remove(documents, delivered=len(documents))
            got += [int(document.id.removeprefix("id-")) for document in documents]
            if len(got) % 700 < 100:
                store.close()
                store = SpoolStore(folder, files=own)
        store.close()
        return got

    assert in_child(ship) == list(range(count))
    wait_until(lambda: polled(process).counts.pending == 0)
    process.close()
    assert (process.counts.written, process.counts.failed) == (count, 0)
    assert spooled(folder) == []


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["sink", "ship"])
def test_nothing_else_is_opened_renamed_or_removed(folder: Path, tmp_path: Path, part: str) -> None:
    other = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    folder.mkdir(mode=0o700)
    (folder / "other").touch()
    call = ctypes.CDLL(None, use_errno=True).syscall
    numbers = {one: syscalls.number(one, seccomp.abi() or "") for one in ("openat", "unlinkat")}

    def raw(name: str, *words: int) -> Callable[[], object]:
        def attempt() -> None:
            if call(ctypes.c_long(numbers[name] or -1), *map(ctypes.c_long, words)) < 0:
                raise OSError(ctypes.get_errno(), "")

        return attempt

    def run() -> dict[str, str]:
        files: SealedDatabase | None
        if part == "ship":
            files = _become_owner(os.geteuid(), folder, own_process=True)
        else:
            _, files, confine = sealed_sink(folder)
            confine()
        assert files is not None
        os.close(files.open(FILE))
        at, place, make = files.address(FILE), files.fileno(), os.O_CREAT
        attempts: dict[str, Callable[[], object]] = {
            "new file": lambda: os.open("new", os.O_WRONLY | make, dir_fd=place),
            "own file by its path": lambda: os.open(folder / FILE, os.O_RDWR),
            "own name in other memory": lambda: os.open(FILE, DATABASE_FLAGS | make, 0o600, dir_fd=place),
            "own name elsewhere": raw("openat", other, at, DATABASE_FLAGS | make, 0o600),
            "own name in the current folder": raw("openat", -100, at, DATABASE_FLAGS | make, 0o600),
            "other flags": raw("openat", place, at, DATABASE_FLAGS | os.O_TRUNC, 0o600),
            "other mode": raw("openat", place, at, DATABASE_FLAGS | make, 0o4755),
            "name before the memory": raw("openat", place, sealed.FIRST - 1, DATABASE_FLAGS | make, 0o600),
            "remove": lambda: os.unlink("other", dir_fd=place),
            "remove by path": (folder / "other").unlink,
            "remove own name elsewhere": raw("unlinkat", other, at, 0),
            "remove as a folder": raw("unlinkat", place, at, 0x200),
            "rename": lambda: os.rename("other", "new", src_dir_fd=place, dst_dir_fd=place),
            "rename by path": lambda: (folder / "other").rename(folder / "new"),
            "make a folder": (folder / "new").mkdir,
            "close the folder": lambda: os.close(place),
            "replace the folder": lambda: os.dup2(other, place),
            "change names": raw_mprotect,
        }
        return {name: outcome(attempt) for name, attempt in attempts.items()}

    def raw_mprotect() -> None:
        function = ctypes.CDLL(None, use_errno=True).mprotect
        if function(ctypes.c_void_p(sealed.FIRST), ctypes.c_size_t(mmap.PAGESIZE), 3):
            raise OSError(ctypes.get_errno(), "")

    found = in_child(run)
    os.close(other)
    assert found == dict.fromkeys(found, "EPERM")
    assert len(found) == 18
    assert sorted(path.name for path in folder.iterdir()) == ["other", FILE]


OWN = st.sampled_from([*names(damaged=True)[:4], f"{FILE}.damaged-001", f"{FILE}.damaged-064-wal"])
PART = st.text(st.sampled_from("sponl.db-wahm0/ \u00e9"), max_size=12)


@given(
    st.lists(st.one_of(OWN, st.builds("{}{}".format, OWN, PART), st.builds("{}{}".format, PART, OWN), PART))
)
@settings(max_examples=60)
def test_sqlite_creates_the_named_files_only(
    tmp_path_factory: pytest.TempPathFactory, tried: list[str]
) -> None:
    """Without the filter, so that the replaced calls decide: any other path stays as it is."""
    folder = tmp_path_factory.mktemp("spool")
    folder.chmod(0o700)
    (folder / "s").mkdir()

    def run() -> list[list[str]]:
        _, files, _ = sealed_sink(folder)
        files.seal()
        found = [list(files.names)]
        for name in tried:
            with suppress(sqlite3.Error), closing(sqlite3.connect(f"{folder}/{name}")) as connection:
                connection.execute("CREATE TABLE made (x)")
            made = [path for path in folder.rglob("*") if path.is_file()]
            found.append([str(path.relative_to(folder)) for path in made])
            for path in made:
                path.unlink()
        return found

    allowed, *made = in_child(run)
    normal = [os.path.normpath(name.lstrip("/")) for name in tried]
    assert made == [[name] if name in allowed else [] for name in normal]


# --- where it is not possible ---------------------------------------------------------------------


def test_sqlite_within_python_is_reported_and_the_spool_works(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_database, "can_replace", lambda: False)
    spool = SpoolSettings(folder)
    sink = SpoolSink(folder)

    def run() -> str:
        files = _seal(spool, sink, brokered=False)
        assert files is None
        _confinement(spool, None, 0, files, brokered=False)()
        sink.write_lines(line(1))
        sink.close()
        return capsys.readouterr().err

    def ship() -> str:
        assert _become_owner(os.geteuid(), folder, own_process=True) is None
        SpoolStore(folder).close()
        return capsys.readouterr().err

    reason = "SQLite is built into this Python, so its system calls cannot be replaced"
    assert in_child(run) == f"auditsense: spool:{folder} keeps more system calls than it needs: {reason}\n"
    assert f"auditsense: ship keeps more system calls than it needs: {reason}\n" in in_child(ship)
    assert spooled(folder) == [1]


def test_too_few_descriptors_are_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sink = SpoolSink(folder)

    def run() -> str:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
        assert _seal(SpoolSettings(folder), sink, brokered=False) is None
        return capsys.readouterr().err

    reason = "Invalid argument; is the limit of open files low?"
    assert in_child(run) == f"auditsense: spool:{folder} keeps more system calls than it needs: {reason}\n"
