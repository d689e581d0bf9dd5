"""Audit rules as text, in the language of auditctl(8): one rule a line.

`parse` accepts what adds a rule, and nothing that changes other state of the kernel.
What it makes of a line is what auditctl sends, byte for byte; a line that auditctl would
pass on, but the kernel refuse or never match, is an error here.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

from auditsense import syscalls
from auditsense.errors import AuditRuleError
from auditsense.kernel.rules import syscall_text, value_text
from auditsense.kernel.rules.builder import RuleDraft
from auditsense.kernel.rules.constants import (
    KEY_SEPARATOR,
    OPERATOR_SIGNS,
    SYSCALL_LISTS,
    Action,
    Field,
    Filter,
    Operator,
)
from auditsense.kernel.rules.field_text import FieldText, from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from auditsense.kernel.rules.field import RuleField
    from auditsense.kernel.rules.rule import AuditRule

_TAKES_VALUE = "AaCFSkpw"
# What else auditctl can be told, and why a file of rules may not tell it here.
_REFUSED = {
    "-D": "deletes every audit rule of the host",
    "-d": "deletes a rule of the host",
    "-W": "deletes a watch of the host",
    "-e": "switches auditing on, off or locks it",
    "-f": "changes what the kernel does when auditing fails",
    "-b": "changes the kernel's backlog limit",
    "-r": "changes the kernel's rate limit",
    "-R": "reads a file: give its lines",
    "-m": "sends a message",
    "-q": "changes which mounts a watch covers",
    "-t": "trims the watched trees",
    "-c": "is about reading a file, not a rule",
    "-i": "is about reading a file, not a rule",
    "-l": "lists the rules of the host",
    "-s": "shows the state of the host",
}
_KEY_OR_NONE: tuple[list[Field], ...] = ([], [Field.FILTERKEY])
# A rule file has no shell, so > & ! of conditions stay bare, as auditctl -l shows them.
_NEEDS_QUOTES = re.compile(r"[\s'\"\\]")


def parse(
    line: str,
    *,
    is_dir: Callable[[str], bool] = os.path.isdir,
    machine: str | None = None,
) -> AuditRule:
    """Turn one line of auditctl options into the rule that auditctl would send.

    Args:
        line: Such as ``-w /proc/ -p r -k audit_proc``; quoted as for a shell. No comment,
            no leading ``auditctl``.
        is_dir: Asked once with the path of -w: a directory is watched with all below it.
        machine: Whose b64, b32 and syscall names are meant, by audit's name; this one's
            when None.

    Raises:
        AuditRuleError: one line that says what is wrong with which part.

    >>> parse("-a always,exit -F arch=b64 -S openat -k files", machine="x86_64").syscalls
    frozenset({257})
    """
    draft = RuleDraft(FieldText(machine or syscalls.native_arch()))
    for option, value in _options(line):
        match option:
            case "-a" | "-A":
                draft.set_list(option, value)
            case "-w":
                draft.set_watch(value, is_dir)
            case "-p":
                draft.set_perm(value)
            case "-S":
                draft.add_syscalls(value)
            case "-k":
                draft.add_key(value)
            case "-F":
                draft.add_field(value)
            case _:
                draft.add_comparison(value)
    return draft.rule()


def format(  # noqa: A001 - the counterpart of parse, used as auditctl.format
    rule: AuditRule,
    *,
    is_dir: Callable[[str], bool] = os.path.isdir,
    machine: str | None = None,
) -> str:
    """Write a rule as ``auditctl -l`` would, so that `parse` gives the same rule back.

    -w is used where `parse` with the same `is_dir` would choose the same kind of watch,
    else -a. Two things that auditctl cannot say come back changed: a key that is not the
    last field moves there, and syscalls of a list that ignores them are left out.
    """
    texts = FieldText(machine or syscalls.native_arch())
    words = _watch_words(rule, is_dir) or _rule_words(rule, texts)
    return " ".join(_quoted(word) for word in words)


def _options(line: str) -> Iterator[tuple[str, str]]:
    """Cut a line into options with their values: ``-k key`` or ``-kkey``."""
    try:
        words = iter(shlex.split(line))
    except ValueError as error:
        raise AuditRuleError(f"the quotes of {line!r} do not match: {error}") from None
    for word in words:
        option, value = word[:2], word[2:]
        if word.startswith("--") or option in _REFUSED:
            why = _REFUSED.get(option, "is no part of a rule")
            raise AuditRuleError(f"{word} is refused: it {why}; only -a, -A and -w add rules")
        if not option.startswith("-") or option[1:] not in _TAKES_VALUE or option == "-":
            raise AuditRuleError(f"{word!r} belongs to no option: expected -w, -a, -S, -F, -k, …")
        if not value:
            try:
                value = next(words)
            except StopIteration:
                raise AuditRuleError(f"{option} is the last word: its value is missing") from None
        yield option, value


def _watch_words(rule: AuditRule, is_dir: Callable[[str], bool]) -> list[str]:
    """Return the words of a -w, or none when the rule cannot be said as one."""
    if (rule.filter, rule.action) != (Filter.EXIT, Action.ALWAYS) or rule.prepend:
        return []
    if rule.syscalls is not None or any(field.op != Operator.EQUAL for field in rule.fields):
        return []
    match [(field.field, field.value) for field in rule.fields]:
        case [(Field.DIR | Field.WATCH as kind, bytes(path)), (Field.PERM, int(perm)), *rest]:
            text = from_bytes(path)
            watched = Field.DIR if is_dir(text) else Field.WATCH
            slash = path.endswith(b"/") and path != b"/"
            if kind is not watched or slash or [kind for kind, _ in rest] not in _KEY_OR_NONE:
                return []
            words = ["-w", text, "-p", value_text.write(Field.PERM, perm)]
            for key in _keys(rule.fields[2:]):
                words += ["-k", key]
            return words
    return []


def _rule_words(rule: AuditRule, texts: FieldText) -> list[str]:
    words = [
        "-A" if rule.prepend else "-a",
        f"{rule.action.name.lower()},{rule.filter.name.lower()}",
    ]
    # The names after -S are read with the arch before them.
    ahead = next((i + 1 for i, field in enumerate(rule.fields) if field.field is Field.ARCH), 0)
    for field in rule.fields[:ahead]:
        words += _field_words(field, texts)
    if rule.filter in SYSCALL_LISTS:
        arch = texts.arch_of(rule.fields)
        words += ["-S", syscall_text.write(rule.syscalls, rule.filter, arch)]
    for field in rule.fields[ahead:]:
        words += _field_words(field, texts)
    return words


def _field_words(field: RuleField, texts: FieldText) -> list[str]:
    if field.field is Field.FIELD_COMPARE:
        return ["-C", texts.write(field)]
    if field.field is Field.FILTERKEY:
        sign = OPERATOR_SIGNS[field.op]
        return [word for key in _keys([field]) for word in ("-F", f"{field.name}{sign}{key}")]
    return ["-F", texts.write(field)]


def _keys(fields: Iterable[RuleField]) -> list[str]:
    """Return each key of a FILTERKEY field, if there is one."""
    return [
        from_bytes(key)
        for field in fields
        if isinstance(field.value, bytes)
        for key in field.value.split(KEY_SEPARATOR)
    ]


def _quoted(word: str) -> str:
    return shlex.quote(word) if _NEEDS_QUOTES.search(word) else word
