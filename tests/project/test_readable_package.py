"""The copy of the package that every user can read; see tests/support/readable_package.py."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import auditsense
from tests.support.readable_package import copy, needs_copy, others_enter

OTHER_UID = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


def package_below(folder: Path, mode: int) -> Path:
    """Make an installed package below a folder of this mode."""
    package = folder / "closed" / "site" / "auditsense"
    package.mkdir(parents=True)
    (package / "_ffi.abi3.so").touch()
    (folder / "closed").chmod(mode)
    return package


def test_a_copy_is_needed_by_root_below_a_closed_folder(tmp_path: Path) -> None:
    assert needs_copy(package_below(tmp_path, 0o700), 0)
    assert not needs_copy(tmp_path / "closed" / "site" / "auditsense", 1000)


@as_root
def test_readable_or_editable_package_is_not_copied() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        package = package_below(Path(name), 0o755)
        assert not needs_copy(package, 0)
        (package.parents[1]).chmod(0o700)
        (package / "_ffi.abi3.so").unlink()
        assert not needs_copy(package, 0)


def test_the_package_in_use_is_for_every_user() -> None:
    if os.geteuid() == 0:
        assert others_enter(Path(auditsense.__file__).parent)


@as_root
def test_another_user_imports_the_copy() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        copy(Path(auditsense.__file__).parents[1], Path(name))
        if not others_enter(Path(sys.executable).resolve().parent):
            pytest.skip("this Python itself is not for every user")
        ran = subprocess.run(
            [
                *(Path(sys.executable).resolve(), "-S", "-c"),
                "import auditsense, auditsense.cli, auditsense.core.ring; print(auditsense.__file__)",
            ],
            env={"PYTHONPATH": name, "PATH": os.environ["PATH"]},
            user=OTHER_UID,
            group=OTHER_UID,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    assert (ran.stderr, ran.stdout) == ("", f"{name}/auditsense/__init__.py\n")
