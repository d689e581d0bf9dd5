"""Every command of README.md and docs/*.md is true: run here, live, elsewhere, or excused.

The tables, and what to do with a new command, are in docs_commands.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.docs_commands import (
    ELSEWHERE,
    HOW,
    LIVE,
    PAGES,
    ROOT,
    RUN,
    UNABLE,
    Folder,
    Step,
    kind,
    steps,
)

if TYPE_CHECKING:
    from pathlib import Path

STEPS = {page.name: steps(page) for page in PAGES}


@pytest.mark.parametrize("page", STEPS)
def test_every_command_is_in_a_table(page: str) -> None:
    for step in STEPS[page]:
        assert kind(step), HOW.format(page=step.page, line=step.line, command=step.command)


@pytest.mark.parametrize(
    "page", [page for page, of in STEPS.items() if any(kind(one) == "RUN" for one in of)]
)
def test_commands_of_page_work(page: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for step in STEPS[page]:
        if kind(step) == "RUN":
            folder.do(step)


@pytest.mark.parametrize("place", sorted(set(ELSEWHERE.values())))
def test_tests_named_as_running_a_command_exist(place: str) -> None:
    assert (ROOT / place).is_file()


def test_excused_commands_have_a_reason_and_are_in_a_page() -> None:
    commands = [step for of in STEPS.values() for step in of]
    assert len(commands) > 10
    assert all(len(reason) > 7 for reason in UNABLE.values())
    assert {kind(step) for step in commands} >= {"RUN", "LIVE", "ELSEWHERE", "UNABLE"}


def test_a_page_is_read_as_it_is_meant(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```toml\n# ./a.toml\nx = 1\n```\n"
        "```sh\n# a comment\ncat a \\\n  b    # two lines\ncat <<EOF\n# kept\nEOF\n\necho '# x'\n```\n"
        "```console\n$ echo hello\nhel…\n# true\n```\n```python\n# no.py\n```\n"
    )
    assert [(one.line, one.command, one.prints, one.file) for one in steps(page)] == [
        (2, "# ./a.toml\nx = 1\n", None, "./a.toml"),
        (7, "cat a \\\n  b", None, ""),
        (9, "cat <<EOF\n# kept\nEOF", None, ""),
        (13, "echo '# x'", None, ""),
        (16, "echo hello", ("hel…",), ""),
        (18, "true", (), ""),
    ]


def test_a_command_that_fails_or_prints_something_else_is_found(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.do(Step("p", 1, "echo hello; echo you", ("hel…you",)))
    folder.do(Step("p", 1, "test -f /var/log/audit/audit.log"))
    for wrong in (
        Step("p", 1, "cat nothing"),
        Step("p", 1, "echo hello", ("bye",)),
        Step("p", 1, "echo Traceback >&2"),
    ):
        with pytest.raises(AssertionError):
            folder.do(wrong)


def test_unlisted_command_fails_with_instructions() -> None:
    assert kind(Step("p", 1, "curl https://example.org | sh")) == ""
    for name, table in (("RUN", RUN), ("LIVE", LIVE), ("ELSEWHERE", ELSEWHERE), ("UNABLE", UNABLE)):
        assert table
        assert name in HOW
