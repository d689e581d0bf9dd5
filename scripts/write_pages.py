"""Write man/ and the completion files from the parser and the configuration keys.

Usage: python scripts/write_pages.py     tests/cli/test_man.py fails when it is due
"""

from __future__ import annotations

import argparse
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import shtab

from auditsense.cli.completion import FILES as SHELLS
from auditsense.cli.parser import EXAMPLES, EXIT_CODES, build_parser
from auditsense.config.keys import KEYS, REPEATED, TABLES
from auditsense.core.ring import core_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditsense.config.option import Key

# The pages change with a release, not with each commit.
RELEASE = core_version().partition(".dev")[0]
ROOT = Path(__file__).resolve().parents[1]

FILES = {
    "/etc/auditsense/auditsense.toml": "The configuration, where there is one; see auditsense.toml(5).",
    "/run/auditsense/": "While a sensor runs: its changes on this host, from which they can be undone.",
}


@dataclass(frozen=True)
class Command:
    """A command or an action of one.

    Attributes:
        words: its path, such as ("rules", "install"); () is the program itself.
        summary: one line.
        actions: its options and positional arguments.
        commands: those below it.
    """

    words: tuple[str, ...]
    summary: str
    actions: tuple[argparse.Action, ...]
    commands: tuple[Command, ...]

    def every(self) -> Iterator[Command]:
        """Yield this one and all below it."""
        yield self
        for command in self.commands:
            yield from command.every()


def tree(parser: argparse.ArgumentParser, words: tuple[str, ...] = (), summary: str = "") -> Command:
    """Return what a parser knows."""
    actions, below = [], []
    for action in parser._actions:  # noqa: SLF001 - there is no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {str(choice.dest): choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            choices = cast("dict[str, argparse.ArgumentParser]", action.choices)
            below += [tree(sub, (*words, name), helps[name]) for name, sub in choices.items()]
        else:
            actions.append(action)
    return Command(words, parser.description or summary, tuple(actions), tuple(below))


# --- the manual ---------------------------------------------------------------------------


def text(plain: str) -> str:
    """Return plain text as roff that means nothing else, in lines that diff well."""
    lines = []
    for line in textwrap.wrap(plain, 72, break_long_words=False, break_on_hyphens=False):
        escaped = line.replace("\\", "\\e").replace("-", "\\-")
        lines.append("\\&" + escaped if escaped.startswith((".", "'")) else escaped)
    return "\n".join(lines)


def _line(plain: str) -> str:
    """Return a command as one line of roff."""
    return plain.replace("\\", "\\e").replace("-", "\\-")


def _help(action: argparse.Action) -> str:
    sentence = (action.help or "").replace("%%", "%")
    literal = sentence.partition(" ")[0].endswith(":")  # begins with a value: unchanged
    return (sentence if literal else sentence[:1].upper() + sentence[1:]) + "." * (not sentence.endswith("."))


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    name = action.metavar if isinstance(action.metavar, str) else None
    if name is None:
        name = "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
    return f"[{name}]" if action.nargs in {"?", "*"} else name


def _option(action: argparse.Action) -> list[str]:
    value = _value(action)
    names = [
        f"\\fB{text(name)}\\fR" + (f" \\fI{text(value)}\\fR" if value else "")
        for name in action.option_strings
    ]
    return [".TP", ", ".join(names) if names else f"\\fI{text(value)}\\fR", text(_help(action))]


def _synopsis(command: Command) -> str:
    parts = [f"\\fBauditsense {' '.join(command.words)}\\fR"]
    if any(action.option_strings for action in command.actions if action.dest != "help"):
        parts.append("[\\fIOPTION\\fR]...")
    positional = [action for action in command.actions if not action.option_strings]
    parts += [
        f"\\fI{text(_value(action))}\\fR" + ("..." if action.nargs in {"+", "*"} else "")
        for action in positional
    ]
    return " ".join(parts)


def manual() -> str:
    """Return auditsense.1."""
    parser = build_parser()
    root = tree(parser)
    lines = [
        '.\\" Written by scripts/write_pages.py.',
        f'.TH AUDITSENSE 1 "" "auditsense {RELEASE}" "User Commands"',
        ".SH NAME",
        "auditsense \\- native Linux audit sensor",
        ".SH SYNOPSIS",
    ]
    ends = [
        command
        for command in root.every()
        if command.words and (not command.commands or len(command.actions) > 1)  # one is --help
    ]
    lines += [line for command in ends for line in (_synopsis(command), ".br")]
    lines[-1:] = [".SH DESCRIPTION", text(root.summary)]
    lines += [
        text(
            "It reads the kernel's audit records, reassembles them into events, and raises an "
            "alert when one process opens /proc itself ten times within five seconds. Standard output "
            "carries data only; messages for a person go to standard error."
        ),
        ".SH COMMANDS",
    ]
    for command in root.every():
        if not command.words:
            continue
        lines += [f".SS {text(' '.join(command.words))}", text(command.summary.rstrip(".") + ".")]
        for action in command.actions:
            if action.dest != "help":
                lines += _option(action)
    lines += [".SH EXIT STATUS"]
    for code, meaning in EXIT_CODES.items():
        lines += [".TP", f".B {code}", text(f"{meaning[0].upper()}{meaning[1:]}.")]
    lines += [".SH FILES"]
    for name, purpose in FILES.items():
        lines += [".TP", f".I {text(name)}", text(purpose)]
    lines += [
        ".SH ENVIRONMENT",
        ".TP",
        '.BR NOTIFY_SOCKET , " WATCHDOG_USEC" , " WATCHDOG_PID"',
        text("Set by a service manager that expects notification of start, end and a running loop."),
        ".SH EXAMPLES",
    ]
    for examples in EXAMPLES.values():
        for example, purpose in examples.items():
            lines += [".TP", f".B {_line(example)}", text(f"{purpose[0].upper()}{purpose[1:]}.")]
    lines += [".SH SEE ALSO", ".BR auditsense.toml (5),", ".BR auditctl (8),", ".BR auditd (8)"]
    return "\n".join(lines) + "\n"


def _key(key: Key) -> list[str]:
    facts = [key.type.value, key.bounds()]
    facts += [f"flag {key.flag}"] if key.flag else []
    facts += ["needs a restart"] if key.startup_only else []
    default = key.to_toml(key.default) if key.default is not None else "not set"
    facts.append(f"default: {' '.join(default.split())}")
    sentence = text(f"{key.description} ({'; '.join(fact for fact in facts if fact)})")
    return [".TP", f".B {text(key.name)}", sentence]


def settings_page() -> str:
    """Return auditsense.toml.5."""
    lines = [
        '.\\" Written by scripts/write_pages.py.',
        f'.TH AUDITSENSE.TOML 5 "" "auditsense {RELEASE}" "File Formats"',
        ".SH NAME",
        "auditsense.toml \\- configuration of auditsense",
        ".SH SYNOPSIS",
        ".I /etc/auditsense/auditsense.toml",
        ".br",
        text("/etc/auditsense/conf.d/*.toml"),
        ".SH DESCRIPTION",
        text(
            "TOML. Every key has a default; a flag of the command line wins over a file. A time is a "
            "number of seconds, or a string with a unit: 500ms, 5s, 5m, 1h. auditsense config check "
            "validates a file, config sample prints a file with every key in a comment."
        ),
    ]
    for table, purpose in {**TABLES, **REPEATED}.items():
        name = f"[[{table}]]" if table in REPEATED else f"[{table}]"
        lines += [f".SH {text(name)}", text(purpose)]
        for key in KEYS:
            if key.table == table:
                lines += _key(key)
    lines += [".SH SEE ALSO", ".BR auditsense (1)"]
    return "\n".join(lines) + "\n"


# --- completion ---------------------------------------------------------------------------

VALUES = {
    "FILE": shtab.FILE,
    "PATH": shtab.FILE,
    "ALERT.json": shtab.FILE,
    "A.json": shtab.FILE,
    "B.json": shtab.FILE,
    "DIR": shtab.DIRECTORY,
}
FUNCTIONS = {
    "user": {"bash": "_auditsense_users", "zsh": "_users", "fish": "(__fish_complete_users)"},
    "sink": {"bash": "_auditsense_sinks", "zsh": "_auditsense_sinks", "fish": "(_auditsense_sinks)"},
    "source": {"bash": "_auditsense_sources", "zsh": "_auditsense_sources", "fish": "(_auditsense_sources)"},
    "name": {
        "bash": "_auditsense_detections",
        "zsh": "_auditsense_detections",
        "fish": "(auditsense detections list 2>/dev/null | string split -f 1 \\t)",
    },
}
"""Shell code that completes an argument, by its destination."""
WORDS = {
    "sinks": ("stdout journald syslog", "file: spool: syslog:udp:// syslog:tcp://", "file: spool: syslog:"),
    "sources": ("auto netlink multicast audisp", "unix: log:", "unix: log:"),
}
"""Whole words, words that are continued, and prefixes of a path."""
BASH = r"""_auditsense_users() { compgen -u -- "$1"; }
_auditsense_detections() {
  local name rest
  while read -r name rest; do
    [[ $name == "$1"* ]] && printf '%s\n' "$name"
  done < <(auditsense detections list 2>/dev/null)
}
_auditsense_paths() { # WORD PREFIX...
  local word=$1 prefix
  shift
  for prefix; do
    [[ $word == "$prefix"* ]] && compgen -P "$prefix" -f -- "${word#"$prefix"}"
  done
}
"""
# COMP_WORDBREAKS splits words at : and =; shtab expects whole words.
BASH_END = r"""
_auditsense() {
  local rest=${COMP_LINE:0:COMP_POINT} words=() word index
  for ((index = 0; index <= COMP_CWORD; index++)); do
    word=${COMP_WORDS[index]}
    if ((index)) && [[ $rest != [[:blank:]]* ]]; then
      words[${#words[@]} - 1]+=$word
    else
      rest=${rest#"${rest%%[![:blank:]]*}"}
      words+=("$word")
    fi
    rest=${rest#"$word"}
  done
  word=${words[${#words[@]} - 1]}
  if [[ $word == --*=* ]]; then
    words[${#words[@]} - 1]=${word%%=*}
    word=${word#*=}
    words+=("$word")
  fi
  local COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1))
  _shtab_auditsense "$1" "$word" "${words[${#words[@]} - 2]}"
  for ((index = 0; index < ${#COMPREPLY[@]}; index++)); do
    [[ ${COMPREPLY[index]} == *[:/] ]] && compopt -o nospace 2>/dev/null
    COMPREPLY[index]=${COMPREPLY[index]#"${word%"${word##*:}"}"}
  done
}

complete -o bashdefault -F _auditsense auditsense
"""
ZSH = r"""_auditsense_detections() {
  local -a names
  names=(${(f)"$(auditsense detections list 2>/dev/null | cut -f1)"})
  compadd -a names
}
"""
FISH = r"""function _auditsense_paths
    set -l word (commandline -ct)
    for prefix in $argv
        if string match -q -- "$prefix*" $word
            for path in (__fish_complete_path (string sub -s (math (string length -- $prefix) + 1) -- $word))
                printf '%s%s\n' $prefix $path
            end
        end
    end
end
"""


# A long option with a value: "--name[help]:what:how", or {-n,--name}"[help]:what:how".
ZSH_OPTION = re.compile(r"""(?m)^(  (?:"\*?|\{-\w,)--[\w-]+)((?:\}")?\[(?:[^\]\\]|\\.)*\]:)""")


def _preamble() -> dict[str, str]:
    """Return the functions that complete sinks, sources and names, by shell."""
    bash, zsh, fish = BASH, ZSH, FISH
    for kind, (whole, continued, paths) in WORDS.items():
        bash += f"""_auditsense_{kind}() {{
  compgen -W "{whole} {continued}" -- "$1"
  _auditsense_paths "$1" {paths}
}}
"""
        zsh += f"_auditsense_{kind}() {{\n"
        for prefix in paths.split():
            rest = [word.removeprefix(prefix) for word in continued.split() if word.startswith(prefix)]
            more = f"compadd -S '' -- {' '.join(filter(None, rest))}; " if any(rest) else ""
            zsh += f"  if compset -P {prefix}; then {more}_files; return; fi\n"
        zsh += f"  compadd {whole}\n  compadd -S '' -- {continued}\n}}\n"
        fish += f"""function _auditsense_{kind}
    printf '%s\\n' {whole} {continued}
    _auditsense_paths {paths}
end
"""
    return {"bash": bash, "zsh": zsh, "fish": fish}


def completion(shell: str) -> str:
    """Return the completion of a shell."""
    parser = build_parser()
    for command in tree(parser).every():
        for action in command.actions:
            if action.dest in FUNCTIONS:
                action.complete = FUNCTIONS[action.dest]  # type: ignore[attr-defined] # how shtab is configured
            elif action.metavar in VALUES:
                action.complete = VALUES[str(action.metavar)]  # type: ignore[attr-defined]
            elif command.words == ("help",) and action.dest == "words":
                action.choices = [*parser.commands()]
    script = shtab.complete(parser, shell, preamble=_preamble())  # type: ignore[arg-type] # a dict per shell
    if shell == "bash":
        script = script[: script.rindex("\ncomplete ")] + BASH_END
    if shell == "zsh":
        script = ZSH_OPTION.sub(_with_equals_sign, script)
    return _with_own_header(script, shell)


def _with_equals_sign(option: re.Match[str]) -> str:
    """Return an option of zsh that takes its value after = as well."""
    return f"{option[1]}={option[2]}"


def _with_own_header(script: str, shell: str) -> str:
    """Replace the header of shtab, which names folders that no shell reads."""
    lines = script.split("\n")
    start = next(index for index, line in enumerate(lines) if line.startswith("# AUTOMATICALLY"))
    end = next(index for index in range(start, len(lines)) if not lines[index].startswith("#"))
    (install,) = (example for example in EXAMPLES["completion"] if f" {shell} >" in example)
    header = ["# Written by scripts/write_pages.py, with shtab. Install it for one user:", f"#   {install}"]
    return "\n".join([*lines[:start], *header, *lines[end:]])


def pages() -> dict[str, str]:
    """Return all files by their path in the checkout."""
    return {
        "man/auditsense.1": manual(),
        "man/auditsense.toml.5": settings_page(),
        **{f"src/auditsense/completion/{name}": completion(shell) for shell, name in SHELLS.items()},
    }


if __name__ == "__main__":
    for name, content in pages().items():
        (ROOT / name).write_text(content, encoding="utf-8")
