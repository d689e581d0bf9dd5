"""Report phrases that the project's style guide replaces with plain English.

Usage: python scripts/check_language.py [PATH]...    exit 1 when a phrase is found

Checks the words of code and prose: comments, docstrings, messages and identifiers (an underscore counts as a
space). Quotations in “…” are exempt, so a page can name a phrase in order to discuss it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]

# phrase (regular expression, whole words) -> what to write instead
PHRASES: Final = {
    r"said": "reported, printed, logged; or name what the variable holds",
    r"says? so|says? (it|what|that)": "reports, states, prints",
    r"(is|are|was|be) told": "is notified, receives",
    r"nobody": "no process, no caller, no user (the account: NOBODY_UID)",
    r"somebody|someone": "another process, an attacker, the operator",
    r"whoever": "the caller, a process that",
    r"he|him|his|himself": "it, they",
    r"(put|puts|putting) back": "restore",
    r"(gives?|gave|given) (up|way)": "evict, drop, yield",
    r"(takes?|taken|took) apart": "parse, decode",
    r"(hands?|handed) out": "return, yield",
    r"(lets?|letting) go": "release",
    r"(goes|going|go) on": "continue, resume",
    r"looks? after|looked after": "monitor, poll",
    r"(comes?|came) to rest": "settle, drain",
    r"quiet about": "ignore, except",
    r"of (its|their) own": "own, dedicated, separate",
    r"so (long|often|many) (as)?": "while, as long as, as many as",
    r"beside|besides": "alongside, with, next to, in addition to",
    r"meanwhile": "in the meantime: name the interval",
    r"the house|the door|the rooms?": "architecture, entry point, module",
    r"leavings": "stale state",
    r"at the (most|least)": "at most, at least",
    r"is none of": "is not a",
    r"one says": "the text states",
}
SKIPPED: Final = {"scripts/check_language.py", "fuzz/make_corpus.py"}  # the corpus is fixed
EXTENSIONS: Final = {
    ".py",
    ".c",
    ".h",
    ".md",
    ".sh",
    ".toml",
    ".build",
    ".options",
    ".txt",
    ".rst",
    ".go",
    ".rs",
}
PATHS: Final = (
    *(
        "src",
        "tests",
        "bench",
        "fuzz",
        "scripts",
        "library",
        "packaging",
        "examples",
        "docs",
        "README.md",
        "ARCHITECTURE.md",
    ),
    *("CONTRIBUTING.md", "SECURITY.md", "meson.build", "meson.options", "pyproject.toml"),
)
EXEMPT: Final = re.compile(r"“[^”]*”")
DATA: Final = ("fuzz/corpus/", "tests/data/", "tests/kernel/rules/golden/", "tests/kernel/rules/auditctl")
REPLACEMENTS: Final = tuple(PHRASES.values())
# The edges of words once for all phrases: trying all of them at each character takes several times as long.
FINDER: Final = re.compile(
    rf"\b(?:{'|'.join(f'(?P<p{n}>{phrase})' for n, phrase in enumerate(PHRASES))})\b", re.IGNORECASE
)


def files(arguments: list[str]) -> list[str]:
    """Return the tracked and new text files below the paths, without generated data."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", *(arguments or PATHS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return [
        path
        for path in listed
        if Path(path).suffix in EXTENSIONS
        and path not in SKIPPED
        and not path.startswith(DATA)
        and (ROOT / path).is_file()
    ]


def main(arguments: list[str]) -> int:
    """Print each phrase with its place and its replacement; return the exit code."""
    total = 0
    for path in files(arguments):
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
            words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", EXEMPT.sub("", line)).replace("_", " ")
            for match in FINDER.finditer(words):
                total += 1
                group = str(match.lastgroup)
                print(f"{path}:{number}: {match[0]!r}; write: {REPLACEMENTS[int(group[1:])]}")
    print(f"{total} phrases to replace", file=sys.stderr)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
