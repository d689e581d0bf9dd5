"""Programs and libraries of Debian for tests, unpacked into a folder and not installed.

A test that cannot get a package is skipped with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("AUDITSENSE_DEBIAN_CACHE", f"/var/tmp/auditsense-debian-{os.getuid()}"))  # noqa: S108 - checked below
_LIMIT_S = 300.0


def debian(*packages: str) -> Path:
    """Return a folder into which these packages are unpacked, each downloaded once.

    Nothing is installed, and what they depend on has to be named as well. Skips the test where there is no
    apt, no network or no such package.
    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            pytest.skip(f"no Debian packages here: there is no {program}")
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    owned = CACHE.stat()
    if owned.st_uid != os.getuid() or owned.st_mode & 0o022:
        pytest.skip(f"{CACHE} belongs to another user, or others may write there")
    root = CACHE / "-".join(sorted(packages))
    if root.is_dir():
        return root
    with tempfile.TemporaryDirectory(dir=CACHE) as made:
        made_root = Path(made) / "root"
        _run("apt-get", "download", *packages, cwd=made)
        for package in sorted(Path(made).glob("*.deb")):
            _run("dpkg-deb", "-x", str(package), str(made_root), cwd=made)
        try:
            made_root.rename(root)
        except OSError:  # another test run was quicker
            if not root.is_dir():
                raise
    return root


def environment(root: Path) -> dict[str, str]:
    """Return the environment in which programs below *root* find their own libraries, then the host's."""
    folders = [one for place in ("usr/lib", "lib") for one in sorted((root / place).glob("*-linux-gnu"))]
    path = [str(root / one) for one in ("usr/sbin", "usr/bin", "sbin", "bin")]
    return {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(map(str, folders)),
        "PATH": ":".join([*path, os.environ.get("PATH", "")]),
    }


def _run(*words: str, cwd: str) -> None:
    try:
        ran = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"no Debian packages here: {words[0]} took longer than {_LIMIT_S} s")
    if ran.returncode:
        reason = (ran.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"no Debian packages here: {' '.join(words[:2])}: {reason}")
