"""Parser class of the command line: help, and usage errors of one line that suggest a remedy."""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from auditsense._values import did_you_mean
from auditsense.cli.style import painter
from auditsense.sinks.format import printable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

_NUMBER: Final = re.compile(r"-[0-9.]")
# What argparse reports, and a clearer text. {0} is the option, {1} what follows in the message.
_REWORDED: Final = (
    (r"argument (\S+): expected (?:one|at least one) argument", "{0}: a value is missing; write {0}=VALUE"),
    (r"argument (\S+): ignored explicit argument (.*)", "{0}: takes no value, not {1}"),
    (r"argument (\S+): not allowed with argument (\S+)", "{0}: not possible together with {1}"),
    (r"argument (\S+): (.*)", "{0}: {1}"),
    (r"the following arguments are required: (.*)", "{0} is missing"),
)


class _Formatter(argparse.HelpFormatter):
    """Formatter with its own width: argparse creates one per option and would import shutil for each."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap a paragraph; keep the lines of a list."""
        return text if "\n" in text else super()._fill_text(text, width, indent)

    def _format_action(self, action: argparse.Action) -> str:
        """Leave the line COMMAND out, which names nothing."""
        text = super()._format_action(action)
        return text.partition("\n")[2] if isinstance(action, argparse._SubParsersAction) else text  # noqa: SLF001

    def _iter_indented_subactions(self, action: argparse.Action) -> Generator[argparse.Action]:
        """Yield the commands, not indented."""
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - there is no other way to ask
            yield from action._get_subactions()  # noqa: SLF001


def _columns() -> int:
    try:
        return int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        pass
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:  # it is no terminal
        return 80


class Parser(argparse.ArgumentParser):
    """Parser that reports an error in one line, with the closest known word."""

    def __init__(self, **more: Any) -> None:  # noqa: ANN401 - ArgumentParser's own
        super().__init__(**{"formatter_class": _Formatter, "allow_abbrev": False, "add_help": False, **more})
        self.add_argument("-h", "--help", action="help", help="print this help and exit")

    def parse_known_args(  # type: ignore[override] # of its overloads, one is used
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as ArgumentParser does; end with exit code 2 when a word is unknown."""
        words = sys.argv[1:] if args is None else [*args]
        self._refuse_unknown_option(words)
        parsed, rest = super().parse_known_args(words, namespace)
        if rest:
            self.error(f"{rest[0]}: unexpected argument")
        return parsed, []

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        for pattern, text in _REWORDED:
            if match := re.fullmatch(pattern, message, re.DOTALL):
                message = text.format(*(re.sub(r"^-.*/", "", group) for group in match.groups()))
                break
        remedy = "" if ";" in message else f"; try {self.prog} --help"
        paint = painter(sys.stderr)
        subject = f"{paint('faint', 'auditsense:')} {paint('error', 'error')}"
        self.exit(2, f"{subject}: {printable(message)}{remedy}\n")

    def print_missing(self, _arguments: argparse.Namespace) -> int:
        """Print the help on standard error, for a command line that ends too early. Returns the exit code."""
        if sys.stderr is not None:  # closed; argparse would print to standard output
            self.print_help(sys.stderr)
        return 2

    def commands(self) -> dict[str, Parser]:
        """Return the parsers of the commands below this one."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - there is no other way to ask
                return cast("dict[str, Parser]", action.choices)
        return {}

    def leaves(self) -> Iterator[Parser]:
        """Yield the parsers of complete command lines: this one, if it is, and those below it."""
        below = self.commands()
        if not below or self.get_default("command") != self.print_missing:
            yield self
        for parser in below.values():
            yield from parser.leaves()

    def has_option(self, name: str) -> bool:
        """Return whether it has this option."""
        return name in self._option_string_actions

    def _refuse_unknown_option(self, words: list[str]) -> None:
        """End at the first unknown option: argparse would first report what is missing."""
        has_value = False  # whether the word before takes this one
        for word in words:
            name = word.partition("=")[0]
            if word == "--" or (not word.startswith("-") and not has_value and self.commands()):
                return
            is_option = word.startswith("-") and word != "-" and " " not in word
            if not is_option or has_value or _NUMBER.match(word):
                has_value = False
                continue
            action = self._option_string_actions.get(name if word.startswith("--") else word[:2])
            if action is None:
                self.error(f"{name}: unknown option{self._remedy(name)}")
            has_value = action.nargs is None and word in action.option_strings

    def _remedy(self, name: str) -> str:
        """Return the closest option, else the commands that have this one."""
        from auditsense.cli.parser import build_parser  # noqa: PLC0415 - which imports this module

        others = [parser.prog for parser in build_parser().leaves() if parser.has_option(name)]
        below = [other for other in others if other.startswith(f"{self.prog} ")]
        if below:
            return f"; write it after the command, as in {below[0]} {name}"
        if others:
            return f"; it is an option of {others[0]}"
        return did_you_mean(name, [option for option in self._option_string_actions if option[1] == "-"])

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401 - argparse's own
        """Refuse a value that is not one of the choices, with the closest one."""
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        remedy = did_you_mean(str(value), choices)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - see commands
            if action.metavar == "COMMAND":
                self.error(f"{value}: unknown command{remedy}")
            self.error(f"{value}: unknown action{remedy or f'; choose {listed(choices)}'}")
        name = " ".join([*action.option_strings[-1:], str(value)])
        self.error(f"{name}: unknown value{remedy or f'; choose {listed(choices)}'}")


def listed(words: Sequence[str]) -> str:
    """Return words as "a, b or c"."""
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
