"""auditsense config: what the files and flags come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.cli import put, say
from auditsense.config.render import dump, sample
from auditsense.config.settings import found_for, settings
from auditsense.errors import ConfigError

if TYPE_CHECKING:
    import argparse


def run(arguments: argparse.Namespace) -> int:
    """Do one action. `check` says everything that is wrong, and then ends with 2."""
    if arguments.action == "sample":
        put(sample().rstrip("\n"))
        return 0
    try:
        found = found_for(arguments)
        settings(found)
    except ConfigError as error:
        for problem in error.problems:
            say(f"error: {problem}")
        return error.exit_code
    if arguments.action == "dump":
        put(dump(found).rstrip("\n"))
    else:
        read = ", ".join(map(str, found.files)) or "no configuration file: the defaults"
        say(f"{read}; nothing wrong")
    return 0
