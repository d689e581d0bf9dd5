"""The compact line: a document as one readable line, for terminals, logs and the field `message`.

It quotes values that a process may have chosen, so that one value cannot look like two (`_escape`). The
line of an alert or an event fits `COLUMNS`: long values are cut, and end with "…" outside of quotes, which no
value can.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from auditsense._escape import printable, quoted, title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from auditsense.detect.document_types import Document

COLUMNS: Final = 120
"""Most columns of the compact line of an alert or an event."""
_CUT: Final = "…"
_LEAST_COLUMNS: Final = 4  # of a value; one that gets less is left out
_LONGEST_ID: Final = 24  # of a rule; longer ones, such as UUIDs, tell a person less than the rule's name
_SYSTEM_FOLDERS: Final = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin")
_COMM_LENGTH: Final = 15  # TASK_COMM_LEN without its NUL
_ABOUT_PROCESSES: Final = frozenset({"auditsense.alert", "auditsense.burst"})  # datasets


def look_up(document: Document, name: str) -> Any:  # noqa: ANN401 - any value of a document
    """Return a field by its dotted name; None if it is missing."""
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in {"W", "F"} for character in text)
    return len(text) + wide - sum(unicodedata.category(character) == "Mn" for character in text)


class _Part:
    """A value in a line, with the text around it, which is left out with it.

    Args:
        before: text, printable.
        value: as a process or a detection chose it; "" leaves the part out.
        after: text, printable.
        most: columns of the value.
        show: quotes the value.
    """

    __slots__ = ("_after", "_before", "_show", "_value", "_wanted", "columns")

    def __init__(
        self,
        before: str,
        value: object,
        after: str = "",
        *,
        most: int = 16,
        show: Callable[[str], str] = quoted,
    ) -> None:
        # Two marks on a letter take no column: no more characters fit.
        self._value = "" if value is None else str(value)[: 3 * (most + 1)]
        self._before, self._after, self._show = before, after, show
        self.columns = self._wanted = min(_columns(show(self._value)), most) if self._value else 0

    def width(self) -> int:
        """Return the columns of the whole part."""
        return _columns(self._before) + self.columns + _columns(self._after) if self.columns else 0

    def shrink(self, columns: int, least: int) -> None:
        """Take columns from the value as long as *least* are left; 0: the part may be left out."""
        if self.columns > least:
            self.columns = max(least, self.columns - columns)
            if self.columns < _LEAST_COLUMNS:
                self.columns = 0

    def grow(self, columns: int) -> None:
        """Give columns back to the value, unless it was left out."""
        if self.columns:
            self.columns = min(self._wanted, self.columns + columns)

    def __str__(self) -> str:
        """Return the text."""
        if not self.columns:
            return ""
        return f"{self._before}{self._clipped()}{self._after}"

    def _clipped(self) -> str:
        word = self._show(self._value)
        if _columns(word) <= self.columns:
            return word
        fits, over = 0, len(self._value)
        while fits < over:
            middle = (fits + over + 1) // 2
            if _columns(self._show(self._value[:middle])) < self.columns:
                fits = middle
            else:
                over = middle - 1
        start = self._value[:fits].rstrip(" ")
        return f"{self._show(start) if start else ''}{_CUT}"


def _word(document: Document, name: str) -> str:
    value = look_up(document, name)
    return "?" if value in (None, "") else quoted(str(value))


def _known(before: str, value: str, after: str = "", most: int = 16) -> _Part:
    """Return a part that is never left out: "?" without quotes for a value that is unknown."""
    return _Part(before, value or "?", after, most=most, show=quoted if value else str)


def _value(document: Document, name: str) -> str:
    value = look_up(document, name)
    return "" if value is None else str(value)


def _time(document: Document) -> str:
    return printable(str(look_up(document, "@timestamp") or "?").replace("T", " ").rstrip("Z"))


def _seconds(events: list[str]) -> str:
    first, last = (events[i].partition(":")[0] for i in (0, -1))
    # Stamps are SECONDS.MILLIS; integers avoid rounding.
    span_ms = int(last.replace(".", "")) - int(first.replace(".", ""))
    return f"{span_ms / 1000:.1f} s"


def _rule(document: Document) -> _Part:
    """Return the id of the rule where it is a short word, else its name."""
    rule_id, name = _value(document, "rule.id"), _value(document, "rule.name")
    if rule_id and len(rule_id) <= _LONGEST_ID:
        return _Part("", rule_id, most=_LONGEST_ID)
    return _Part("", name or "?", most=_LONGEST_ID, show=title if name else str)


def _user(document: Document) -> _Part:
    name = _value(document, "user.name")
    return _known("", name) if name else _known("uid ", _value(document, "user.id"))


def _login(document: Document) -> _Part:
    """Return who logged in, where that is another user than the process's."""
    number, name = _value(document, "user.audit.id"), _value(document, "user.audit.name")
    other = number not in {"", "unset", _value(document, "user.id")}
    return _Part(" (login ", name or number if other else "", ")")


def _executable(document: Document) -> _Part:
    """Return the executable, unless it is that of a system folder which the process's name tells."""
    path, name = _value(document, "process.executable"), _value(document, "process.name")
    folder, _, base = path.rpartition("/")
    if name and re.fullmatch(re.escape(name) + "[0-9.]*", base[:_COMM_LENGTH]) and folder in _SYSTEM_FOLDERS:
        return _Part("", "")
    return _Part(" ", path, most=40)


def _parent(document: Document) -> _Part:
    pid, name = _value(document, "process.parent.pid"), _value(document, "process.parent.name")
    if name:
        return _Part(", parent ", name, f"[{quoted(pid)}]")
    return _Part(", parent ", pid)


def _command_line(document: Document) -> _Part:
    """Return what the process shows as its arguments, unless that is its name only."""
    text = _value(document, "process.title").replace("\0", " ").strip()
    known = {_value(document, "process.name"), _value(document, "process.executable")}
    return _Part(", ", "" if text in known else text, most=COLUMNS)


def _how_many(document: Document, state: str) -> tuple[str, _Part, str]:
    """Return the count, the path, and the time."""
    count = _word(document, "auditsense.count")
    events = look_up(document, "auditsense.events")
    is_total = state == "closed" or not events or int(count) > len(events)  # more than the listed window
    path = _value(document, "file.path")
    what = _known(" ", path or _value(document, "event.action"), most=32)
    return f", {count}x", what, " in all" if is_total else f" in {_seconds(events)}"


def _lost(document: Document) -> str:
    """Return the losses that may affect this alert; separate documents report all losses."""
    lost = look_up(document, "auditsense.lost")
    if not lost:
        return ""
    # A replay does not know the time of a loss.
    return f", {lost} lost" + (" so far" if look_up(document, "auditsense.lost_total") is None else "")


def _fit(parts: Sequence[str | _Part], steps: Sequence[tuple[_Part, int]], columns: int) -> Iterator[str]:
    """Yield the texts of parts, shrunk step by step until they fit.

    Args:
        parts: of the line.
        steps: which part is shrunk next, and the columns of its value that are left to it. The first ones
            grow again if leaving a part out frees more than was needed.
        columns: that the parts may take.
    """
    free = columns - sum(_columns(part) if isinstance(part, str) else part.width() for part in parts)
    if free < 0:
        for part, least in steps:
            before = part.width()
            part.shrink(-free, least)
            free += before - part.width()
            if free >= 0:
                break
        for part, _ in steps:
            if free <= 0:
                break
            before = part.width()
            part.grow(free)
            free += before - part.width()
    yield from map(str, parts)


def _alert(document: Document, columns: int, paint: Callable[[str, str], str]) -> str:
    state = _word(document, "auditsense.state")
    severity = _word(document, "auditsense.severity")
    rule, user, login = _rule(document), _user(document), _login(document)
    name = _known(" ", _value(document, "process.name"), f"[{_word(document, 'process.pid')}]", most=20)
    executable, parent, command = _executable(document), _parent(document), _command_line(document)
    count, path, window = _how_many(document, state)
    shown_state = "" if state == "alert" else f" {state}"
    rest = (user, login, name, executable, count, path, window, _lost(document), command, parent)
    steps = (
        *((command, 24), (executable, 20), (parent, 8), (login, 8), (path, 16), (rule, 16), (command, 10)),
        *((parent, 0), (name, 10), (user, 10), (command, 0), (executable, 0), (login, 0), (path, 8)),
        *((rule, 8), (path, 0), (name, 4), (rule, 4), (user, 4)),
    )
    shown_rule, *others = _fit((rule, *rest), steps, columns - len(f"{severity} {shown_state}: "))
    head = f"{paint(severity, severity)} {paint('strong', shown_rule)}"
    return f"{head}{paint('faint', shown_state)}: {''.join(others)}"


def _event(document: Document, columns: int) -> str:
    user, login, executable, parent = (part(document) for part in (_user, _login, _executable, _parent))
    name = _known(" ", _value(document, "process.name"), f"[{_word(document, 'process.pid')}]", most=20)
    path = _Part(" ", _value(document, "file.path"), most=COLUMNS)
    call = f"event {_word(document, 'auditd.data.syscall')}"
    parts = (call, path, f" {_word(document, 'event.outcome')}: ", user, login, name, executable, parent)
    steps = (
        *((path, 32), (executable, 16), (parent, 8), (login, 6), (path, 16), (executable, 0), (parent, 0)),
        *((name, 8), (user, 8), (path, 8), (login, 0), (path, 0), (name, 4), (user, 4)),
    )
    return "".join(_fit(parts, steps, columns))


def _notice(document: Document, paint: Callable[[str, str], str]) -> str:
    """Return a report of the sensor about itself, complete."""
    severity = _word(document, "auditsense.severity")
    name = _value(document, "rule.name")
    shown_name = printable(title(name)) if name else "?"
    message = printable(_value(document, "message"))
    return f"{paint(severity, severity)} {paint('strong', shown_name)}: {message}"


def plain(_role: str, text: str) -> str:
    """Return text without colour."""
    return text


def compact(document: Document, paint: Callable[[str, str], str] = plain) -> str:
    """Return any document of the sensor as one readable line.

    Args:
        document: of any kind.
        paint: colours a text by its role, for a terminal; see `cli.style`.
    """
    time = _time(document)
    return f"{paint('faint', time)} {compact_text(document, paint, COLUMNS - len(time) - 1)}"


def compact_text(document: Document, paint: Callable[[str, str], str] = plain, columns: int = COLUMNS) -> str:
    """Return the compact line without its time, for a log that shows its own.

    Args:
        document: of any kind.
        paint: see `compact`.
        columns: longest line of an alert.
    """
    if is_notice(document):
        return _notice(document, paint)
    if look_up(document, "event.kind") == "event":
        return _event(document, columns)
    return _alert(document, columns, paint)


def is_notice(document: Document) -> bool:
    """Return whether a document is a report of the sensor about itself."""
    dataset = str(look_up(document, "event.dataset"))
    return dataset.startswith("auditsense.") and dataset not in _ABOUT_PROCESSES
