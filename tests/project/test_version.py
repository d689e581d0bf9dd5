"""scripts/version.sh: each commit has a distinct version, and a later commit a later one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "version.sh"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


class Repository:
    """A repository with the script in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scripts").mkdir()
        shutil.copy(SCRIPT, folder / "scripts")
        self.git("init", "--quiet")
        self.commit()

    def git(self, *words: str) -> None:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *identity, *words], cwd=self.folder, check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "--quiet", "--allow-empty", "--message=x")

    def version(self) -> str:
        return subprocess.run(
            [self.folder / "scripts/version.sh"], check=True, capture_output=True, text=True
        ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_version_counts_commits_and_names_the_last(repository: Repository) -> None:
    first = repository.version()
    repository.commit()
    second = repository.version()
    assert re.fullmatch(r"\d+\.\d+\.\d+\.dev1\+g[0-9a-f]{9,}", first)
    assert re.fullmatch(r"\d+\.\d+\.\d+\.dev2\+g[0-9a-f]{9,}", second)


def test_tag_is_the_version_of_its_commit_only(repository: Repository) -> None:
    repository.git("tag", "v3.1.4")
    assert repository.version() == "3.1.4"
    repository.commit()
    assert ".dev1+g" in repository.version()


def test_version_marks_a_modified_tree(repository: Repository) -> None:
    repository.git("tag", "v3.1.4")
    with (repository.folder / "scripts/version.sh").open("a") as script:
        script.write("# changed\n")
    assert repository.version().endswith(".modified")


def test_source_archive_keeps_its_version(repository: Repository) -> None:
    shutil.rmtree(repository.folder / ".git")
    (repository.folder / "version.txt").write_text("3.1.4.dev5+g123456789\n")
    assert repository.version() == "3.1.4.dev5+g123456789"


def test_tree_without_repository_has_a_version(repository: Repository) -> None:
    shutil.rmtree(repository.folder / ".git")
    assert repository.version().endswith(".dev0")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root builds checkouts of other users")
def test_version_of_another_users_checkout(repository: Repository) -> None:
    for path in (repository.folder, *repository.folder.rglob("*")):
        os.chown(path, 65534, 65534)
    assert ".dev1+g" in repository.version()
