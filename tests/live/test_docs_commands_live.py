"""The commands of the pages that need root and the kernel's audit; see ../docs_commands.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.docs_commands import PAGES, Folder, Step, kind, steps
    from tests.live.loads import OWN_RULE
else:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from docs_commands import PAGES, Folder, Step, kind, steps
    from loads import OWN_RULE

STEPS = {page.name: steps(page) for page in PAGES}


def own_load(step: Step) -> str:
    """Return what keeps a command to the load of the tests, where it watches."""
    watches = any(f"auditsense {name}" in step.command for name in ("run", "record"))
    return f" --audit-rule '{OWN_RULE}'" if watches and "--audit-rule" not in step.command else ""


@pytest.mark.parametrize(
    "page", [page for page, of in STEPS.items() if any(kind(one) == "LIVE" for one in of)]
)
def test_the_commands_of_a_page_do_what_it_says(page: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for step in STEPS[page]:
        if kind(step) in {"RUN", "LIVE"}:
            folder.do(step, own_load(step) if kind(step) == "LIVE" else "")
