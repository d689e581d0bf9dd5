"""Parse and format audit rules in the syntax of auditctl(8), one rule per line.

`parse` accepts lines that add a rule, and none that changes other state of the kernel. The result equals
what auditctl sends, byte for byte. Lines that auditctl sends, but the kernel refuses or never matches, are
errors.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from typing import TYPE_CHECKING

from auditsense import syscalls
from auditsense.errors import AuditRuleError
from auditsense.kernel.rules.constants import (
    KEY_SEPARATOR,
    OPERATOR_SIGNS,
    SYSCALL_LISTS,
    Action,
    FieldId,
    Filter,
    Operator,
)
from auditsense.kernel.rules.field import RuleField
from auditsense.kernel.rules.field_text import (
    FieldText,
    decode_text,
    encode_text,
    hint,
    read_perm,
    read_syscalls,
    write_syscalls,
    write_value,
)
from auditsense.kernel.rules.rule import AuditRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_FILTERS = {which.name.lower(): which for which in Filter}
_ACTIONS = {action.name.lower(): action for action in Action}
_GONE = {
    "entry": "the entry list no longer exists: use exit",
    "watch": "the watch list no longer exists: use exit with -F path= or dir=, or -w",
    "possible": "the action possible no longer exists: use always",
}
_EVERY_PERM = "rwxa"
_TAKES_VALUE = "AaCFSkpw"
# Other options of auditctl, and why they are refused in a rule.
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
_KEY_OR_NONE: tuple[list[FieldId], ...] = ([], [FieldId.FILTERKEY])
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
        AuditRuleError: one line that names the wrong part and the reason.

    >>> parse("-a always,exit -F arch=b64 -S openat -k files", machine="x86_64").syscalls
    frozenset({257})
    """
    builder = _RuleBuilder(FieldText(machine or syscalls.native_arch()))
    for option, value in _options(line):
        match option:
            case "-a" | "-A":
                builder.set_list(option, value)
            case "-w":
                builder.set_watch(value, is_dir)
            case "-p":
                builder.set_perm(value)
            case "-S":
                builder.add_syscalls(value)
            case "-k":
                builder.add_key(value)
            case "-F":
                builder.add_field(value)
            case _:
                builder.add_comparison(value)
    return builder.rule()


def format_rule(
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


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class _RuleBuilder:
    """Collects options, then makes the rule. Every method raises AuditRuleError.

    Attributes:
        texts: Reads conditions for the machine that is meant.
    """

    texts: FieldText
    _filter: Filter | None = None
    _action: Action = Action.ALWAYS
    _prepend: bool = False
    _watch: RuleField | None = None
    _perm: RuleField | None = None
    _fields: list[RuleField] = dataclasses.field(default_factory=list)
    _keys: list[bytes] = dataclasses.field(default_factory=list)
    _key_op: Operator = Operator.EQUAL
    _syscalls: list[str] = dataclasses.field(default_factory=list)

    def set_list(self, option: str, text: str) -> None:
        """Take -a or -A: ``always,exit`` in either order."""
        self._only_one(option)
        words = text.split(",")
        for word in words:
            if word in _GONE:
                raise AuditRuleError(f"{option} {text}: {_GONE[word]}")
            if word not in _FILTERS and word not in _ACTIONS:
                known = [*_FILTERS, *_ACTIONS]
                raise AuditRuleError(f"{option} {text!r}: unknown {word!r}{hint(word, known)}")
        filters = [_FILTERS[word] for word in words if word in _FILTERS]
        actions = [_ACTIONS[word] for word in words if word in _ACTIONS]
        if len(filters) != 1 or len(actions) != 1:
            raise AuditRuleError(f"{option} {text!r}: one action and one list, as in always,exit")
        (self._filter,), (self._action,) = filters, actions
        self._prepend = option == "-A"

    def set_watch(self, path: str, is_dir: Callable[[str], bool]) -> None:
        """Take -w: a path whose last slashes do not count."""
        self._only_one("-w")
        stripped = path.rstrip("/") or path[:1]
        if not stripped.startswith("/"):
            raise AuditRuleError(f"-w {path!r} is relative: write the absolute path")
        kind = FieldId.DIR if is_dir(stripped) else FieldId.WATCH
        self._watch = RuleField(kind, Operator.EQUAL, encode_text(stripped))
        self._filter = Filter.EXIT

    def set_perm(self, text: str) -> None:
        """Take -p: which accesses a watch reports."""
        if self._watch is None:
            raise AuditRuleError(f"-p {text} needs a -w before it; with -a write -F perm={text}")
        if self._perm is not None:
            raise AuditRuleError("-p is given twice: write the letters together")
        self._perm = RuleField(FieldId.PERM, Operator.EQUAL, read_perm(text))

    def add_syscalls(self, text: str) -> None:
        """Take -S, which may stand before -a, unlike everything else."""
        if self._watch is not None:
            raise AuditRuleError("-S has no effect with -w: use -a always,exit and -F path=")
        self._syscalls.append(text)

    def add_key(self, text: str) -> None:
        """Take -k: one more key."""
        self._needs_list(f"-k {text}")
        if not text:
            raise AuditRuleError("-k has an empty key")
        self._add_key(self.texts.read_field(f"key={text}"))

    def add_field(self, text: str) -> None:
        """Take -F: one more condition, or key."""
        self._needs_list(f"-F {text}")
        condition = self.texts.read_field(text)
        if condition.field is FieldId.FILTERKEY:
            self._add_key(condition)
            return
        if condition.field is FieldId.ARCH and self._syscalls:
            raise AuditRuleError(f"-F {text} must come before -S, whose names depend on it")
        self._fields.append(condition)

    def add_comparison(self, text: str) -> None:
        """Take -C: one more condition, between two ids."""
        self._needs_list(f"-C {text}")
        self._fields.append(self.texts.read_comparison(text))

    def rule(self) -> AuditRule:
        """Return the rule that was built."""
        if self._filter is None:
            raise AuditRuleError("not an audit rule: it starts with -w PATH or -a ACTION,LIST")
        fields = list(self._fields)
        if self._watch is not None:
            every = RuleField(FieldId.PERM, Operator.EQUAL, read_perm(_EVERY_PERM))
            fields[:0] = [self._watch, self._perm or every]
        if self._keys:
            keys = KEY_SEPARATOR.join(self._keys)
            fields.append(RuleField(FieldId.FILTERKEY, self._key_op, keys))
        return AuditRule(
            filter=self._filter,
            action=self._action,
            fields=tuple(fields),
            syscalls=self._mask(self._filter),
            prepend=self._prepend,
        )

    def _mask(self, which: Filter) -> frozenset[int] | None:
        if which not in SYSCALL_LISTS:
            if self._syscalls:
                raise AuditRuleError(f"-S cannot be used on the {which.name.lower()} list")
            # The kernel reads no mask here; these are the ones auditctl sends.
            return frozenset() if which is Filter.TASK else None
        arch = self.texts.arch_of(self._fields)
        numbers: set[int] = set()
        for text in self._syscalls:
            some = read_syscalls(text, which, arch)
            if some is None:
                return None
            numbers |= some
        return frozenset(numbers) if self._syscalls else None

    def _add_key(self, key: RuleField) -> None:
        if isinstance(key.value, bytes):
            self._keys.append(key.value)
            self._key_op = key.op

    def _needs_list(self, option: str) -> None:
        if self._filter is None:
            raise AuditRuleError(f"{option} needs a -w or -a before it")

    def _only_one(self, option: str) -> None:
        if self._filter is not None:
            raise AuditRuleError(f"{option} is a second rule: give each its own line")


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
    """Return the words of a -w; [] when the rule cannot be written as one."""
    if (rule.filter, rule.action) != (Filter.EXIT, Action.ALWAYS) or rule.prepend:
        return []
    if rule.syscalls is not None or any(field.op != Operator.EQUAL for field in rule.fields):
        return []
    match [(field.field, field.value) for field in rule.fields]:
        case [(FieldId.DIR | FieldId.WATCH as kind, bytes(path)), (FieldId.PERM, int(perm)), *rest]:
            text = decode_text(path)
            watched = FieldId.DIR if is_dir(text) else FieldId.WATCH
            slash = path.endswith(b"/") and path != b"/"
            if kind is not watched or slash or [kind for kind, _ in rest] not in _KEY_OR_NONE:
                return []
            words = ["-w", text, "-p", write_value(FieldId.PERM, perm)]
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
    ahead = next((i + 1 for i, field in enumerate(rule.fields) if field.field is FieldId.ARCH), 0)
    for field in rule.fields[:ahead]:
        words += _field_words(field, texts)
    if rule.filter in SYSCALL_LISTS:
        arch = texts.arch_of(rule.fields)
        words += ["-S", write_syscalls(rule.syscalls, rule.filter, arch)]
    for field in rule.fields[ahead:]:
        words += _field_words(field, texts)
    return words


def _field_words(field: RuleField, texts: FieldText) -> list[str]:
    if field.field is FieldId.FIELD_COMPARE:
        return ["-C", texts.write_field(field)]
    if field.field is FieldId.FILTERKEY:
        sign = OPERATOR_SIGNS[field.op]
        return [word for key in _keys([field]) for word in ("-F", f"{field.name}{sign}{key}")]
    return ["-F", texts.write_field(field)]


def _keys(fields: Iterable[RuleField]) -> list[str]:
    """Return each key of a FILTERKEY field, if there is one."""
    return [
        decode_text(key)
        for field in fields
        if isinstance(field.value, bytes)
        for key in field.value.split(KEY_SEPARATOR)
    ]


def _quoted(word: str) -> str:
    return shlex.quote(word) if _NEEDS_QUOTES.search(word) else word
