"""The file sink: complete lines, safe creation, rotation, and repair."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense.sinks import LineSink, SinkError
from auditsense.sinks.file import FileSink
from auditsense.sinks.format import Format
from tests.support.faults import NO_HOST, Recorder
from tests.support.outputs import fake_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditsense import Document

OTHER_UID = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root")


def numbered(first: int, count: int = 1) -> list[Document]:
    return [fake_document(n=n) for n in range(first, first + count)]


def numbers(*paths: Path) -> list[int]:
    """Return the numbers in files; every line must be a document."""
    lines = [line for path in paths for line in path.read_bytes().split(b"\n")]
    return [json.loads(line)["n"] for line in lines if line]


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Limit the size of this process's files: a full disk without root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


# --- creation -------------------------------------------------------------------


def test_new_file_is_private_and_old_file_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "out"
    before = os.umask(0)
    try:
        for first in (0, 2):
            sink = FileSink(path)
            sink.write(numbered(first, 2))
            sink.close()
            sink.close()
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert numbers(path) == [0, 1, 2, 3]


def test_file_accepts_lines_only_in_its_format(tmp_path: Path) -> None:
    assert isinstance(FileSink(tmp_path / "a"), LineSink)
    assert FileSink(tmp_path / "a").as_lines
    assert not FileSink(tmp_path / "a", form=Format.COMPACT).as_lines


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_hard_link(path: Path) -> None:
    (path.parent / "other").touch()
    path.hardlink_to(path.parent / "other")


def make_foreign(path: Path) -> None:
    path.touch()
    os.chown(path, OTHER_UID, OTHER_UID)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_link, "it is a symbolic link; name the file itself"),
        (lambda path: path.mkdir(), "Is a directory"),
        (os.mkfifo, "it is no regular file"),
        (make_hard_link, "it has another name as well (a hard link)"),
        pytest.param(
            make_foreign,
            "it belongs to another user (65534)",
            marks=as_root,
        ),
    ],
)
def test_unsafe_path_is_refused(tmp_path: Path, make: object, reason: str) -> None:
    path = tmp_path / "out"
    assert callable(make)
    make(path)
    with pytest.raises(SinkError) as refused:
        FileSink(path)
    assert str(refused.value) == f"cannot open {path}: {reason}"


def theirs(folder: Path) -> Path:
    """Return a folder that another user owns."""
    folder.mkdir()
    os.chown(folder, OTHER_UID, OTHER_UID)
    return folder


def fill(sink: FileSink) -> None:
    for n in range(99):
        sink.write([fake_document(n=n, x="x" * 100)])


def write_anew(sink: FileSink) -> None:
    sink.close()
    sink.write([fake_document(n=1)])


ACTIONS: dict[str, Callable[[Path, FileSink], object]] = {
    "start": lambda path, _: FileSink(path),
    "reopen": lambda _, sink: sink.reopen(),
    "rotation": lambda _, sink: fill(sink),
    "write after a failure": lambda _, sink: write_anew(sink),
}


@as_root
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("depth", [1, 2])
def test_folder_replaced_by_link_is_refused(action: str, depth: int, tmp_path: Path, fault: Recorder) -> None:
    home = theirs(tmp_path / "home")
    logs = theirs(home / "logs")
    folder = logs if depth == 1 else theirs(logs / "deeper")
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    if depth == 2:
        (secret / "deeper").mkdir()
    path = folder / "out"
    sink = FileSink(path, size=4096 if action == "rotation" else 0)
    logs.rename(home / "before")
    logs.symlink_to(secret)
    os.chown(logs, OTHER_UID, OTHER_UID, follow_symlinks=False)
    with pytest.raises(SinkError, match=rf"cannot open {path}: .*may change it") as refused:
        ACTIONS[action](path, sink)
    assert "\n" not in str(refused.value)
    assert [file for file in secret.rglob("*") if file.is_file()] == []
    sink.close()
    fault(
        "the folder of a sink's file becomes a link to a folder of root",
        how="its owner replaces it with a link: at the start, at SIGHUP, at a rotation, one folder higher",
        did="did not follow the link, and created nothing",
        lost="the documents of that sink, until the folder is back",
        reported="which folder another user may change",
        host=NO_HOST,
    )


def test_link_of_own_user_is_followed(tmp_path: Path) -> None:
    """/var/log may be an absolute or relative link to a separate volume, and lead to another link."""
    (tmp_path / "volume" / "log").mkdir(parents=True)
    (tmp_path / "var").mkdir()
    (tmp_path / "data").symlink_to("volume")
    (tmp_path / "var" / "log").symlink_to("../data/log")
    (tmp_path / "var" / "absolute").symlink_to(tmp_path / "data" / "log" / "")
    for name in ("log", "absolute"):
        path = tmp_path / "var" / name / name
        sink = FileSink(path, size=4096, keep=1)
        for n in range(60):
            sink.write([fake_document(n=n, x="x" * 100)])
        sink.reopen()
        sink.close()
        names = sorted(file.name for file in (tmp_path / "volume" / "log").iterdir() if name in file.name)
        assert names == [name, f"{name}.1"]


@pytest.mark.parametrize("spelling", ["a/../out", "./out", "a//out"])
def test_path_spelling_does_not_matter(spelling: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    sink = FileSink(Path(f"{tmp_path}/{spelling}"))
    sink.write([fake_document(n=1)])
    sink.close()
    assert (tmp_path / spelling).exists()


@as_root
def test_link_in_sticky_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "open").chmod(0o1777)
    FileSink(tmp_path / "open" / "link" / "out").close()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(SinkError, match="others may change it"):
        FileSink(tmp_path / "open" / "link" / "out")


def test_circular_links_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(SinkError, match="Too many levels of symbolic links"):
        FileSink(tmp_path / "a" / "out")


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"^cannot open .*/no/out: there is no folder .*/no$"):
        FileSink(tmp_path / "no" / "out")


# --- rotation -------------------------------------------------------------------


@given(
    sizes=st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=8), max_size=8),
    limit=st.integers(40, 200),
    keep=st.integers(1, 4),
)
def test_rotation_matches_model(sizes: list[list[int]], limit: int, keep: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out"
        sink = FileSink(path, size=limit, keep=keep)
        model: list[list[bytes]] = [[]]
        for batch in sizes:
            lines = [b"x" * size + b"\n" for size in batch]
            sink.write_lines(b"".join(lines))
            for line in lines:
                if model[-1] and sum(map(len, model[-1])) + len(line) > limit:
                    model.append([])
                model[-1].append(line)
        sink.close()
        expected = {
            "out" if age == 0 else f"out.{age}": b"".join(part)
            for age, part in enumerate(reversed(model))
            if age <= keep
        }
        assert {file.name: file.read_bytes() for file in Path(folder).iterdir()} == expected


def test_renamed_file_is_written_until_reopen(tmp_path: Path) -> None:
    path = tmp_path / "out"
    sink = FileSink(path)
    sink.write(numbered(0))
    path.rename(tmp_path / "out.1")
    sink.write(numbered(1))
    sink.reopen()
    sink.write(numbered(2))
    sink.close()
    assert numbers(tmp_path / "out.1") == [0, 1]
    assert numbers(path) == [2]
    assert path.stat().st_mode & 0o777 == 0o600


def test_file_rotated_by_another_process_is_not_rotated_again(tmp_path: Path) -> None:
    path = tmp_path / "out"
    sink = FileSink(path, size=20)
    sink.write(numbered(0, 2))
    path.rename(tmp_path / "theirs")
    path.write_text('{"n":9}\n')
    sink.write(numbered(2))
    sink.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "theirs"]
    assert numbers(path) == [9, 2]


def test_failed_reopen_is_retried_with_each_write(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "out"
    path.parent.mkdir()
    sink = FileSink(path)
    path.unlink()
    path.parent.rmdir()
    for action in (sink.reopen, lambda: sink.write(numbered(0))):
        with pytest.raises(SinkError, match="there is no folder") as refused:
            action()
        assert (refused.value.written, refused.value.final) == (0, False)
    path.parent.mkdir()
    sink.write(numbered(0))
    assert numbers(path) == [0]


# --- cut lines -------------------------------------------------------------


def test_full_disk_leaves_complete_lines(tmp_path: Path, fault: Recorder) -> None:
    path = tmp_path / "out"
    sink = FileSink(path)
    with file_limit(1000), pytest.raises(SinkError) as full:
        sink.write(numbered(0, 1000))
    assert str(full.value) == f"cannot write to {path}: File too large"
    assert numbers(path) == list(range(full.value.written))
    assert 0 < full.value.written < 200
    sink.write(numbered(full.value.written, 3))
    assert numbers(path) == list(range(full.value.written + 3))
    fault(
        "the file of a sink cannot grow",
        how="a limit of 1,000 bytes (RLIMIT_FSIZE), 1,000 documents, then no limit",
        did="removed the cut line, and wrote it again afterwards",
        lost="nothing",
        reported="“cannot write to FILE: File too large”",
        host=NO_HOST,
    )


def test_cut_line_that_cannot_be_removed_is_terminated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError  # as for an append-only file

    path = tmp_path / "out"
    sink = FileSink(path)
    monkeypatch.setattr(os, "ftruncate", refuse)
    with file_limit(1005), pytest.raises(SinkError) as full:
        sink.write(numbered(0, 1000))
    sink.write(numbered(full.value.written))
    *complete, cut, last, end = path.read_bytes().split(b"\n")
    assert len(complete) == full.value.written
    assert cut.startswith(b"{")
    assert json.loads(last) == {"n": full.value.written}
    assert end == b""


def test_bytes_of_another_process_are_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    sink = FileSink(path)
    write = os.write

    def write_a_part(descriptor: int, data: memoryview) -> int:
        if len(data) > 3:
            return write(descriptor, data[:3])
        with path.open("a") as theirs:
            theirs.write("theirs\n")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write_a_part)
    with pytest.raises(SinkError):
        sink.write(numbered(1))
    monkeypatch.undo()
    assert b"theirs\n" in path.read_bytes()


def test_line_cut_by_crash_is_terminated(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b'{"n":0}\n{"n"')
    sink = FileSink(path)
    sink.write(numbered(1))
    sink.close()
    assert path.read_bytes() == b'{"n":0}\n{"n"\n{"n":1}\n'


@as_root
def test_writes_resume_after_real_full_disk(tmp_path: Path) -> None:
    own_mounts = ["unshare", "-m", "--propagation", "private"]
    if subprocess.run([*own_mounts, "true"], check=False).returncode:
        pytest.skip("no private mount namespace here, as in a chroot")
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        f'mount -t tmpfs -o size=64k none {disk} && exec {sys.executable} -I -c "\n'
        "import os, sys, pathlib\n"
        "from auditsense.sinks import SinkError\n"
        "from auditsense.sinks.file import FileSink\n"
        f"path = pathlib.Path('{disk}/out')\n"
        "(path.parent / 'other').write_bytes(b'x' * 40000)\n"
        "sink = FileSink(path)\n"
        "lines = b''.join(b'%d\\n' % n for n in range(20000))\n"
        "try:\n"
        "    sink.write_lines(lines)\n"
        "except SinkError as full:\n"
        "    print(full, full.written)\n"
        "    done = full.written\n"
        "assert path.read_bytes().endswith(b'\\n')\n"
        "(path.parent / 'other').unlink()\n"
        "sink.write_lines(b''.join(b'%d\\n' % n for n in range(done, done + 1000)))\n"
        "assert path.read_bytes() == b''.join(b'%d\\n' % n for n in range(done + 1000))\n"
        '"'
    )
    done = subprocess.run(
        [*own_mounts, "sh", "-ec", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"cannot write to {disk}/out: No space left on device ")
