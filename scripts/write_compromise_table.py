"""Write the table of attempts into SECURITY.md: what each part of a sensor is refused.

`tests/project/test_compromise.py` makes the attempts and compares their outcome with `POSSIBLE` of
`tests/support/compromise.py`, from which this table is made.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support import compromise  # noqa: E402 - of the checkout

BEGIN, END = "<!-- compromise: begin -->\n", "<!-- compromise: end -->\n"


def text() -> str:
    """Return the table."""
    names = compromise.names()
    lines = [
        BEGIN,
        f"{len(names)} attempts are made in the state of each part. All are refused, except these:\n\n",
        "| part | with Landlock | without Landlock |\n|---|---|---|\n",
    ]
    for part, (with_landlock, without) in compromise.POSSIBLE.items():
        lines.append(f"| {part} | {_listed(with_landlock)} | {_listed(without)} |\n")
    levels = [f"{level} (`{unit}`)" for unit, level in compromise.EXPOSURE.items()]
    figures = f"{', '.join(levels[:-1])} and {levels[-1]}"
    lines.append(
        "\nIn the limits of its unit as shipped, each part has the outcome that it has without Landlock. "
        "The unit of the sensor alone, before a process confines itself, refuses root "
        f"{len(names) - len(compromise.UNIT_ALLOWS)} of the attempts. `systemd-analyze security` "
        f"(systemd {compromise.MEASURED_WITH}) gives exposure levels of {figures}, "
        "of 10. The first and the last may have no mount namespace (ADR 19).\n"
    )
    lines += [
        "\nThe attempts: ",
        "; ".join(names),
        ".\n",
        END,
    ]
    return "".join(lines)


def _listed(attempts: frozenset[str]) -> str:
    return "; ".join(sorted(attempts)) or "all refused"


def main() -> None:
    """Replace the table."""
    path = ROOT / "SECURITY.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    path.write_text(before + text() + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
