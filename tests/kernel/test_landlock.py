"""Landlock: what is listed stays possible, all else is refused, and an older kernel limits less."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from auditsense.errors import AuditSenseError
from auditsense.kernel import landlock
from auditsense.kernel.landlock import Access, existing_folders

if TYPE_CHECKING:
    from pathlib import Path

LIMITED = """
import json, os, sys
from auditsense.kernel import landlock, privileges
folder = sys.argv[1]
access = landlock.Access(
    read=(f"{folder}/read", "/nonexistent"), write=(f"{folder}/write",), remove=(f"{folder}/remove",)
)
ruleset = landlock.ruleset(access, landlock.version())
privileges.keep_only()
landlock.restrict(ruleset)
found = {}
def attempt(name, function, *arguments):
    try:
        function(*map(lambda word: word.format(folder), arguments))
        found[name] = "done"
    except OSError as error:
        found[name] = error.strerror
attempt("read", lambda path: open(path).close(), "{}/read/file")
attempt("write below read", lambda path: open(path, "a").close(), "{}/read/file")
attempt("read elsewhere", lambda path: open(path).close(), "{}/file")
attempt("create", lambda path: open(path, "x").close(), "{}/write/new")
attempt("rename", os.rename, "{}/write/new", "{}/write/newer")
attempt("make a folder", os.mkdir, "{}/write/folder")
attempt("remove", os.unlink, "{}/remove/file")
attempt("create where removing is allowed", lambda path: open(path, "x").close(), "{}/remove/new")
print(json.dumps(found))
"""


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_only_listed_paths_can_be_used(tmp_path: Path) -> None:
    for name in ("read", "write", "remove"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "file").touch()
    ended = subprocess.run(
        [sys.executable, "-P", "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    denied = "Permission denied"
    assert json.loads(ended.stdout) == {
        "read": "done",
        "write below read": denied,
        "read elsewhere": denied,
        "create": "done",
        "rename": "done",
        "make a folder": denied,
        "remove": "done",
        "create where removing is allowed": denied,
    }


class Kernel:
    """Notes the system calls of a ruleset."""

    def __init__(self) -> None:
        self.rulesets: list[tuple[int, ...]] = []
        self.rules: list[tuple[int, ...]] = []

    def call(self, number: int, *arguments: Any) -> int:  # noqa: ANN401 - of any call
        if number == landlock._CREATE_RULESET:
            attributes, size, _ = arguments
            assert len(attributes) == size
            self.rulesets.append(struct.unpack(f"={size // 8}Q", attributes))
            return os.open(os.devnull, os.O_RDONLY)
        _, kind, rule, _ = arguments
        self.rules.append(struct.unpack("=Qi" if kind == landlock._PATH_BENEATH else "=QQ", rule))
        return 0


@pytest.mark.parametrize(
    ("abi", "handled"),
    [
        (1, (0x1FFF,)),
        (2, (0x3FFF,)),
        (3, (0x7FFF,)),
        (4, (0x7FFF, 3)),
        (5, (0xFFFF, 3)),
        (6, (0xFFFF, 3, 3)),
        (99, (0xFFFF, 3, 3)),
    ],
)
def test_each_version_limits_all_that_it_knows(
    monkeypatch: pytest.MonkeyPatch, abi: int, handled: tuple[int, ...]
) -> None:
    kernel = Kernel()
    monkeypatch.setattr(landlock, "_call", kernel.call)
    os.close(landlock.ruleset(Access(read=("/",), ports=(53,)), abi))
    assert kernel.rulesets == [handled]
    assert [rule[0] for rule in kernel.rules] == [0xC, 2][: 1 + (abi >= 4)]


def test_every_port_may_be_left_open_but_not_to_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    monkeypatch.setattr(landlock, "_call", kernel.call)
    os.close(landlock.ruleset(Access(ports=None, signals=True), 6))
    assert kernel.rulesets == [(0xFFFF, 1, 1)]


def test_kernel_without_landlock_has_version_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "_call", lambda *_: -1)
    assert landlock.version() == 0
    with pytest.raises(AuditSenseError, match=r"^cannot create a Landlock ruleset: "):
        landlock.ruleset(Access(), 1)


def test_folders_of_files_that_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    paths = [str(tmp_path / "file"), str(tmp_path), str(tmp_path / "missing"), "name"]
    assert existing_folders(paths) == (str(tmp_path),)
