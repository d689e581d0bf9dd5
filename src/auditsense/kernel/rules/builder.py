"""An audit rule in the making: what the options of one line have said so far.

The order rules are auditctl's: list or watch first, arch before the syscalls that it
gives names to; keys go last, joined by byte 0x01, wherever they were given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auditsense.errors import AuditRuleError
from auditsense.kernel.rules import syscall_text, value_text
from auditsense.kernel.rules.constants import KEY_SEPARATOR, SYSCALL_LISTS, Action, Field, Filter, Operator
from auditsense.kernel.rules.field import RuleField
from auditsense.kernel.rules.field_text import FieldText, to_bytes
from auditsense.kernel.rules.rule import AuditRule
from auditsense.kernel.rules.value_text import hint

if TYPE_CHECKING:
    from collections.abc import Callable

_FILTERS = {which.name.lower(): which for which in Filter}
_ACTIONS = {action.name.lower(): action for action in Action}
_GONE = {
    "entry": "the entry list no longer exists: use exit",
    "watch": "the watch list no longer exists: use exit with -F path= or dir=, or -w",
    "possible": "the action possible no longer exists: use always",
}
_EVERY_PERM = "rwxa"


@dataclass(slots=True)
class RuleDraft:
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
    _fields: list[RuleField] = field(default_factory=list)
    _keys: list[bytes] = field(default_factory=list)
    _key_op: Operator = Operator.EQUAL
    _syscalls: list[str] = field(default_factory=list)

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
        kind = Field.DIR if is_dir(stripped) else Field.WATCH
        self._watch = RuleField(kind, Operator.EQUAL, to_bytes(stripped))
        self._filter = Filter.EXIT

    def set_perm(self, text: str) -> None:
        """Take -p: which accesses a watch reports."""
        if self._watch is None:
            raise AuditRuleError(f"-p {text} needs a -w before it; with -a write -F perm={text}")
        if self._perm is not None:
            raise AuditRuleError("-p is given twice: write the letters together")
        self._perm = RuleField(Field.PERM, Operator.EQUAL, value_text.perm(text))

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
        self._add_key(self.texts.read(f"key={text}"))

    def add_field(self, text: str) -> None:
        """Take -F: one more condition, or key."""
        self._needs_list(f"-F {text}")
        condition = self.texts.read(text)
        if condition.field is Field.FILTERKEY:
            self._add_key(condition)
            return
        if condition.field is Field.ARCH and self._syscalls:
            raise AuditRuleError(f"-F {text} must come before -S, whose names depend on it")
        self._fields.append(condition)

    def add_comparison(self, text: str) -> None:
        """Take -C: one more condition, between two ids."""
        self._needs_list(f"-C {text}")
        self._fields.append(self.texts.read_comparison(text))

    def rule(self) -> AuditRule:
        """Return the rule that was drafted."""
        if self._filter is None:
            raise AuditRuleError("no rule here: it starts with -w PATH or -a ACTION,LIST")
        fields = list(self._fields)
        if self._watch is not None:
            every = RuleField(Field.PERM, Operator.EQUAL, value_text.perm(_EVERY_PERM))
            fields[:0] = [self._watch, self._perm or every]
        if self._keys:
            keys = KEY_SEPARATOR.join(self._keys)
            fields.append(RuleField(Field.FILTERKEY, self._key_op, keys))
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
            some = syscall_text.read(text, which, arch)
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
            raise AuditRuleError(f"{option} is a second rule: give each a line of its own")
