"""The commands of the pages that need root and the kernel's audit; see tests/support/docs_commands.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.workloads import OWN_RULE
from tests.support.docs_commands import PAGES, Folder, Step, kind, steps

if TYPE_CHECKING:
    from pathlib import Path

STEPS = {page.name: steps(page) for page in PAGES}


def own_load(step: Step) -> str:
    """Return what keeps a command to the load of the tests, where it watches."""
    watches = any(f"auditsense {name}" in step.command for name in ("run", "record"))
    return f" --audit-rule '{OWN_RULE}'" if watches and "--audit-rule" not in step.command else ""


@pytest.mark.parametrize(
    "page", [page for page, of in STEPS.items() if any(kind(one) == "LIVE" for one in of)]
)
def test_commands_of_page_work(page: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for step in STEPS[page]:
        if kind(step) in {"RUN", "LIVE"}:
            folder.do(step, own_load(step) if kind(step) == "LIVE" else "")
