"""auditsense config: show or validate the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.cli import print_data, print_message
from auditsense.config.render import dump, sample
from auditsense.config.settings import build_settings, load_config
from auditsense.errors import ConfigError

if TYPE_CHECKING:
    import argparse


def run(arguments: argparse.Namespace) -> int:
    """Do one action. `check` lists every error and returns 2."""
    if arguments.action == "sample":
        print_data(sample().rstrip("\n"))
        return 0
    try:
        config = load_config(arguments)
        build_settings(config)
    except ConfigError as error:
        for problem in error.problems:
            print_message(f"error: {problem}")
        return error.exit_code
    if arguments.action == "dump":
        print_data(dump(config).rstrip("\n"))
    else:
        read = ", ".join(map(str, config.files)) or "no configuration file: the defaults"
        print_message(f"{read}; nothing wrong")
    return 0
