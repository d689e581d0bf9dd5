"""Compiler of Lucene's regular expressions to position automata, which `_ring/regex.c` runs.

An expression fits a whole value, byte by byte. The automaton has a state for each character of the expression
and one for the start (Glushkov). At run time a set of states is a few words, so nothing is tried twice.

Program, all numbers little-endian: words a set has (u8, 1 to 4); byte classes less one (u8); rows (u16);
the class of each byte (256 x u8); then sets of states, `words` x u64 each:

- one a byte class: the states that its bytes lead to
- accepting states
- states that the state before them leads to
- states that lead to themselves
- states that lead elsewhere as well; a row follows for each, with all the states it leads to
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, TypeAlias

from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_STATES: Final = 256
_MOST_DEPTH: Final = 64
_WORD: Final = 64
_ASCII: Final = 0x80

_DIGITS: Final = frozenset(b"0123456789")
_WORDS: Final = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")
_BLANKS: Final = frozenset(b"\t\n\r ")
_ALL: Final = frozenset(range(256))
_NAMED: Final = {
    "d": _DIGITS,
    "w": _WORDS,
    "s": _BLANKS,
    "D": _ALL - _DIGITS,
    "W": _ALL - _WORDS,
    "S": _ALL - _BLANKS,
}
_LUCENE_OPERATORS: Final = frozenset('~&@#<>"')
_COUNT: Final = re.compile(r"([0-9]+)(,?)([0-9]*)\}", re.ASCII)


class _Bytes(NamedTuple):
    """One byte out of a set."""

    members: frozenset[int]


class _Sequence(NamedTuple):
    terms: tuple[_Tree, ...]


class _Choice(NamedTuple):
    terms: tuple[_Tree, ...]


class _Repeat(NamedTuple):
    """A term, repeated: *most* None is without end."""

    term: _Tree
    least: int
    most: int | None


_Tree: TypeAlias = _Bytes | _Sequence | _Choice | _Repeat


def compile_regex(pattern: str, *, fold_case: bool = False) -> bytes:
    r"""Return the program of a regular expression.

    Args:
        pattern: in Lucene's syntax: ``. [] [^] | () * + ? {n} {n,} {n,m}``, ``\d \w \s \D \W \S`` and a
            backslash before any other character that is neither a letter nor a digit. It fits a whole value.
        fold_case: whether ASCII letters fit in both cases.

    Raises:
        DetectionError: a form that Lucene lacks or this compiler refuses, with its place; over 256 states.
    """
    states = _States(pattern)
    states.add(_Parser(pattern, fold_case=fold_case).parse())
    return states.program()


def fits_regex(pattern: str, text: str, *, fold_case: bool = False) -> bool:
    """Return whether an expression fits a whole text, as the core decides it.

    Raises:
        DetectionError: as `compile_regex`.
    """
    states = _States(pattern)
    states.add(_Parser(pattern, fold_case=fold_case).parse())
    return states.fits(text.encode("utf-8", "surrogateescape"))


class _Parser:
    """Recursive descent over the characters of one expression."""

    def __init__(self, pattern: str, *, fold_case: bool) -> None:
        self._pattern = pattern
        self._fold_case = fold_case
        self._at = 0
        self._depth = 0

    def parse(self) -> _Tree:
        tree = _Sequence(()) if not self._pattern else self._choice()
        if self._at < len(self._pattern):
            self._refuse("there is no ( before this )")
        return tree

    def _refuse(self, what: str, at: int | None = None) -> NoReturn:
        place = (self._at if at is None else at) + 1
        raise DetectionError(f"{what} (character {place} of {self._pattern!r})")

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        taken = self._pattern.startswith(text, self._at)
        self._at += len(text) if taken else 0
        return taken

    def _choice(self) -> _Tree:
        terms = [self._sequence()]
        while self._take("|"):
            terms.append(self._sequence())
        return terms[0] if len(terms) == 1 else _Choice(tuple(terms))

    def _sequence(self) -> _Tree:
        terms: list[_Tree] = []
        while self._peek() not in {"", "|", ")"}:
            terms.append(self._repeated())
        if not terms:
            self._refuse("an expression is missing here")
        return terms[0] if len(terms) == 1 else _Sequence(tuple(terms))

    def _repeated(self) -> _Tree:
        term = self._single()
        while (sign := self._peek()) and sign in "*+?{":
            self._at += 1
            if sign == "{":
                term = self._counted(term)
            else:
                term = _Repeat(term, int(sign == "+"), 1 if sign == "?" else None)
        return term

    def _counted(self, term: _Tree) -> _Tree:
        start = self._at - 1
        count = _COUNT.match(self._pattern, self._at)
        if count is None:
            self._refuse("a number of repeats must follow {: {2}, {2,} or {2,5}", start)
        least = int(count[1])
        most = least if not count[2] else int(count[3]) if count[3] else None
        if most is not None and most < least:
            self._refuse(f"{{{least},{most}}} repeats fewer times at most than at least", start)
        self._at = count.end()
        return _Repeat(term, least, most)

    def _single(self) -> _Tree:
        start, character = self._at, self._peek()
        self._at += 1
        if character == "(":
            return self._group(start)
        if character == "[":
            return self._class(start)
        if character == "\\":
            return self._escaped(start)
        if character == ".":
            return _Bytes(_ALL)
        if character in _LUCENE_OPERATORS:
            self._refuse(
                f"{character} is an operator of Lucene that is not supported; write \\{character}", start
            )
        if character in "*+?{":
            self._refuse(f"nothing comes before {character}", start)
        return self._literal(character)

    def _group(self, start: int) -> _Tree:
        if self._peek() == "?":
            self._refuse("(? is not in the regular expressions of Lucene", start)
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            self._refuse(f"at most {_MOST_DEPTH} groups can be nested", start)
        tree = _Sequence(()) if self._peek() == ")" else self._choice()
        self._depth -= 1
        if not self._take(")"):
            self._refuse("the ) is missing", start)
        return tree

    def _escaped(self, start: int) -> _Tree:
        character = self._peek()
        self._at += 1
        if character in _NAMED:
            return _Bytes(_NAMED[character])
        self._check_escape(character, start)
        return self._literal(character)

    def _check_escape(self, character: str, start: int) -> None:
        if not character:
            self._refuse("a character must follow \\", start)
        if character.isascii() and character.isdigit():
            self._refuse("back references are not in the regular expressions of Lucene", start)
        if character.isascii() and character.isalpha():
            self._refuse(f"\\{character} is not in the regular expressions of Lucene", start)

    def _literal(self, character: str) -> _Tree:
        singles = tuple(self._bytes({byte}) for byte in character.encode("utf-8", "surrogateescape"))
        return singles[0] if len(singles) == 1 else _Sequence(singles)

    def _bytes(self, members: set[int]) -> _Bytes:
        if self._fold_case:
            members = members | {ord(chr(member).swapcase()) for member in members if _is_letter(member)}
        return _Bytes(frozenset(members))

    def _class(self, start: int) -> _Tree:
        negated = self._take("^")
        members: set[int] = set()
        first = True
        while first or self._peek() != "]":
            if not self._peek():
                self._refuse("the ] is missing", start)
            members |= self._class_item(start)
            first = False
        self._at += 1
        chosen = self._bytes(members).members
        return _Bytes(_ALL - chosen if negated else chosen)

    def _class_item(self, start: int) -> frozenset[int]:
        at = self._at
        if self._take("\\") and (name := self._peek()) in _NAMED:
            self._at += 1
            return _NAMED[name]
        self._at = at
        low = self._class_character(start)
        if not self._take("-"):
            return frozenset({low})
        if self._peek() in {"", "]"}:
            self._refuse("the end of this range is missing; write \\- for the character", self._at - 1)
        high = self._class_character(start)
        if high < low:
            self._refuse("this range ends before it begins", at)
        return frozenset(range(low, high + 1))

    def _class_character(self, start: int) -> int:
        at = self._at
        escaped = self._take("\\")
        character = self._peek()
        if escaped:
            self._check_escape(character, at)
        elif not character:
            self._refuse("the ] is missing", start)
        if ord(character) >= _ASCII:
            self._refuse(
                f"{character!r} in [] is not ASCII, which is not supported; write ({character}|…)", at
            )
        self._at += 1
        return ord(character)


def _is_letter(byte: int) -> bool:
    return chr(byte).isascii() and chr(byte).isalpha()


@dataclass(slots=True)
class _Part:
    """The states in which a part of the expression begins and ends, as bits; *empty*: it can be left out."""

    first: int = 0
    last: int = 0
    empty: bool = True


class _States:
    """The automaton. Bit 0 of a set is the start, which nothing leads to."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._members: list[frozenset[int]] = [frozenset()]
        self._follow = [0]
        self._accepting = 0

    def add(self, tree: _Tree) -> None:
        """Add the whole expression."""
        part = self._part(tree)
        self._follow[0] = part.first
        self._accepting = part.last | int(part.empty)

    def _part(self, tree: _Tree) -> _Part:
        match tree:
            case _Bytes(members):
                if len(self._members) == MOST_STATES:
                    raise DetectionError(
                        f"the regular expression {self._pattern!r} has more than {MOST_STATES} states; "
                        "use fewer or smaller repeats"
                    )
                state = 1 << len(self._members)
                self._members.append(members)
                self._follow.append(0)
                return _Part(state, state, empty=False)
            case _Sequence(terms):
                whole = _Part()
                for term in terms:
                    whole = self._joined(whole, self._part(term))
                return whole
            case _Choice(terms):
                parts = [self._part(term) for term in terms]
                whole = _Part(empty=any(part.empty for part in parts))
                for part in parts:
                    whole.first |= part.first
                    whole.last |= part.last
                return whole
            case _Repeat(term, least, most):
                return self._repeat(term, least, most)

    def _repeat(self, term: _Tree, least: int, most: int | None) -> _Part:
        whole = _Part()
        for _ in range(least if most is not None or least == 0 else least - 1):
            before = len(self._members)
            whole = self._joined(whole, self._part(term))
            if len(self._members) == before:
                break  # repeating nothing is nothing
        if most is None:
            part = self._part(term)
            self._connect(part.last, part.first)
            return self._joined(whole, _Part(part.first, part.last, empty=part.empty or least == 0))
        # x{2,4} is xx(x(x)?)?: a state leads to the next one only, but ends here as well.
        optional: list[_Part] = []
        for _ in range(most - least):
            before = len(self._members)
            optional.append(self._part(term))
            if len(self._members) == before:
                break
        tail = _Part()
        for part in reversed(optional):
            tail = self._joined(part, tail)
            tail.empty = True
        return self._joined(whole, tail)

    def _joined(self, one: _Part, two: _Part) -> _Part:
        self._connect(one.last, two.first)
        return _Part(
            one.first | (two.first if one.empty else 0),
            two.last | (one.last if two.empty else 0),
            empty=one.empty and two.empty,
        )

    def _connect(self, last: int, first: int) -> None:
        for state in _bits(last):
            self._follow[state] |= first

    def fits(self, text: bytes) -> bool:
        """Run the automaton on a whole text."""
        active = 1
        for byte in text:
            following = 0
            for state in _bits(active):
                following |= self._follow[state]
            active = sum(1 << state for state in _bits(following) if byte in self._members[state])
        return bool(active & self._accepting)

    def program(self) -> bytes:
        """Return the bytes for the core."""
        words = -(-len(self._members) // _WORD)
        byte_classes, to_classes = self._classes()
        ahead = stays = more = 0
        rows: list[int] = []
        for state, follow in enumerate(self._follow):
            own, following = 1 << state, 2 << state
            ahead |= following & follow
            stays |= own & follow
            if follow & ~(own | following):
                more |= own
                rows.append(follow)
        sets = [*to_classes, self._accepting, ahead, stays, more, *rows]
        head = bytes([words, len(to_classes) - 1]) + len(rows).to_bytes(2, "little")
        return head + byte_classes + b"".join(states.to_bytes(8 * words, "little") for states in sets)

    def _classes(self) -> tuple[bytes, Sequence[int]]:
        """Return the class of each byte, and the states that the bytes of each class lead to."""
        leads_to = [0] * 256
        for state, members in enumerate(self._members):
            for byte in members:
                leads_to[byte] |= 1 << state
        distinct = list(dict.fromkeys(leads_to))
        number = {states: index for index, states in enumerate(distinct)}
        return bytes(number[states] for states in leads_to), distinct


def _bits(states: int) -> Sequence[int]:
    found = []
    while states:
        lowest = states & -states
        found.append(lowest.bit_length() - 1)
        states ^= lowest
    return found
