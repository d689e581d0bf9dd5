"""Completion for bash, zsh and fish, from what write_pages.py found in the parser."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from scripts.write_pages import Command

_HEAD = "Written by scripts/write_pages.py of auditsense."
_KNOWN = {"SOURCE": "auto netlink multicast"}


def kind(action: argparse.Action) -> tuple[str, str]:
    """Return what completes a value: "words" and them, "files", "folders", "users", or "none"."""
    name = action.metavar if isinstance(action.metavar, str) else ""
    if action.choices:
        return "words", " ".join(map(str, action.choices))
    if name in _KNOWN:
        return "words", _KNOWN[name]
    if action.dest == "user":
        return "users", ""
    return {"FILE": "files", "PATH": "files", "DIR": "folders"}.get(name, "none"), ""


def _says(action: argparse.Action) -> str:
    """Return the first clause of the help, harmless between quotes and brackets."""
    clause = (action.help or "").replace("%%", "%").partition(";")[0].partition(" (")[0]
    return clause.translate({ord(sign): None for sign in "'\"[]\\$`"}).replace(":", ",")


def _takes(action: argparse.Action) -> bool:
    return action.nargs != 0


# --- bash -----------------------------------------------------------------------------

_BASH = {
    "words": 'COMPREPLY=($(compgen -W "{words}" -- "$cur"))',
    "files": 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur")',
    "folders": 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur")',
    "users": 'COMPREPLY=($(compgen -u -- "$cur"))',
    "none": "COMPREPLY=()",
}


def bash(root: Command) -> str:
    """Return auditsense.bash."""
    known = [one for one in root.every() if one.words]
    paths = " | ".join("/" + "/".join(one.words) for one in known)
    lines = [
        f"# bash completion. {_HEAD}",
        "# shellcheck shell=bash disable=SC2207 # words without blanks",
        "_auditsense() {",
        '    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} path="" number',
        "    COMPREPLY=()",
        '    if [[ $prev == "=" ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi',
        '    if [[ $cur == "=" ]]; then cur=""; fi',
        "    for ((number = 1; number < COMP_CWORD; number++)); do",
        "        case $path/${COMP_WORDS[number]} in",
        f"            {paths}) path=$path/${{COMP_WORDS[number]}} ;;",
        "        esac",
        "    done",
        '    case "$path $prev" in',
    ]
    for one in root.every():
        path = "".join("/" + word for word in one.words)
        for action in one.actions:
            if action.option_strings and _takes(action):
                names = " | ".join(f'"{path} {name}"' for name in action.option_strings)
                what, words = kind(action)
                lines.append(f"        {names}) {_BASH[what].format(words=words)}; return ;;")
    lines += ["    esac", "    case $path in"]
    for one in root.every():
        path = "".join("/" + word for word in one.words)
        options = " ".join(name for action in one.actions for name in action.option_strings)
        below = " ".join(sub.words[-1] for sub in one.commands)
        positional = [action for action in one.actions if not action.option_strings]
        rest = f'COMPREPLY=($(compgen -W "{below}" -- "$cur"))' if below else ""
        if positional:
            what, words = kind(positional[0])
            rest = _BASH[what].format(words=words)
        lines.append(
            f'        "{path}") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "{options}" -- "$cur"))'
            + (f"; else {rest}" if rest else "")
            + "; fi ;;"
        )
    lines += ["    esac", "}", "complete -F _auditsense auditsense"]
    return "\n".join(lines) + "\n"


# --- zsh --------------------------------------------------------------------------------


def _zsh_value(action: argparse.Action) -> str:
    what, words = kind(action)
    return {"words": f"({words})", "files": "_files", "folders": "_files -/", "users": "_users", "none": " "}[
        what
    ]


def _zsh_function(one: Command) -> list[str]:
    name = "_".join(("_auditsense", *one.words))
    lines = [f"{name}() {{", "    local context state state_descr line", "    typeset -A opt_args"]
    specs = []
    for action in one.actions:
        repeated = "*" if type(action).__name__ == "_AppendAction" else ""
        value = f":{action.metavar or action.dest}:{_zsh_value(action)}" if _takes(action) else ""
        options = action.option_strings
        specs += [f"'{repeated}{option}[{_says(action)}]{value}'" for option in options]
        if not action.option_strings:
            specs.append(f"'*:{_says(action)}:{_zsh_value(action)}'")
    if one.commands:
        specs += ["'1: :->command'", "'*:: :->rest'"]
    lines.append("    _arguments -C \\")
    lines += [f"        {spec} \\" for spec in specs[:-1]] + [f"        {specs[-1]}"]
    if one.commands:
        lines += ["    case $state in", "        command)", "            local -a commands=("]
        lines += [f"                '{sub.words[-1]}:{_clean(sub.says)}'" for sub in one.commands]
        lines += [
            "            )",
            "            _describe command commands ;;",
            "        rest)",
            "            case $line[1] in",
        ]
        lines += [
            f"                {sub.words[-1]}) {'_'.join((name, sub.words[-1]))} ;;" for sub in one.commands
        ]
        lines += ["            esac ;;", "    esac"]
    return [*lines, "}"]


def _clean(says: str) -> str:
    return says.partition(".")[0].partition(":")[0].replace("'", "")


def zsh(root: Command) -> str:
    """Return _auditsense."""
    lines = ["#compdef auditsense", f"# {_HEAD}"]
    for one in root.every():
        lines += _zsh_function(one)
    return "\n".join([*lines, '_auditsense "$@"']) + "\n"


# --- fish -------------------------------------------------------------------------------


def _fish_value(action: argparse.Action) -> str:
    what, words = kind(action)
    values = {"words": f" -x -a '{words}'", "files": " -r -F", "users": " -x -a '(__fish_complete_users)'"}
    return {**values, "folders": " -x -a '(__fish_complete_directories)'", "none": " -x"}[what]


def fish(root: Command) -> str:
    """Return auditsense.fish."""
    lines = [f"# fish completion. {_HEAD}", "complete -c auditsense -f"]
    for one in root.every():
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in one.words)
        below = " ".join(sub.words[-1] for sub in one.commands)
        when = "; and ".join(
            part for part in (seen, f"not __fish_seen_subcommand_from {below}" if below else "") if part
        )
        start = f"complete -c auditsense -n '{when}'"
        lines += [f"{start} -a {sub.words[-1]} -d '{_clean(sub.says)}'" for sub in one.commands]
        for action in one.actions:
            names = "".join(
                f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}"
                for name in action.option_strings
            )
            if names:
                value = _fish_value(action) if _takes(action) else ""
                lines.append(f"{start}{names}{value} -d '{_says(action)}'")
            elif kind(action)[0] == "files":
                lines.append(f"{start} -F")
    return "\n".join(lines) + "\n"
