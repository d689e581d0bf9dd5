"""What EQL's regular expressions do not have, or mean differently than other tools."""

from __future__ import annotations

import re
from typing import Final

_PLACES: Final = re.compile(
    r"""
      (?P<reference>\\[1-9])
    | \\.
    | (?P<group>\(\?)
    | \[\^?\]?(?:\\.|[^\]\\])*\]
    | (?P<operator>[~&@\#<>"])
    """,
    re.VERBOSE | re.DOTALL,
)


def regex_problem(pattern: str) -> str:
    """Return why a regular expression is refused before it is compiled; "": it is not."""
    for place in _PLACES.finditer(pattern):
        if place["group"]:
            return "(? is not in the regular expressions of Lucene"
        if place["reference"]:
            return f"{place[0]} is a reference to a group, which is not in the regular expressions of Lucene"
        if place["operator"]:
            return (
                f"{place[0]} at character {place.start() + 1} is an operator of Lucene; "
                rf"\{place[0]} is the character"
            )
    return ""
