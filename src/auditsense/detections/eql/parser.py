"""EQL text to a query: recursive descent, one function for each rule of the grammar.

Rule 1: a negation is pushed to the comparisons while they are read. A negated comparison of order turns
        round, so `not f > 3` is `f <= 3`, and false for an absent field.
Rule 2: a comparison of an optional field (`?name`) that no event can have is false.
Rule 3: nothing is cut or ignored: what the subset lacks is an error that names the line of the query.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from auditsense.detections.eql.lexer import Kind, Token, tokens_of
from auditsense.detections.expression import (
    OPPOSITE,
    And,
    Constant,
    Expression,
    KeyField,
    Not,
    Operator,
    Or,
    Query,
    QueryKind,
    Step,
    Test,
)
from auditsense.detections.query_fields import DECIMALS, NAMES, NUMBERS, unknown_field
from auditsense.detections.regex import compile_regex
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_STAGES: Final = 101
MOST_ITEMS: Final = 8
MOST_RUNS: Final = 100
MOST_KEYS: Final = 4
MOST_COMPARISONS: Final = 1024
MOST_DEPTH: Final = 64
MOST_LIMIT: Final = 65_535
MOST_SPAN_MS: Final = 604_800_000
_FEWEST_STEPS: Final = 2

_RESERVED: Final = frozenset({"and", "or", "not", "in", "like", "regex", "true", "false", "null", "where"})
_EQUALITIES: Final = frozenset({"==", "!="})
_ORDER: Final = {
    "<": Operator.LESS,
    "<=": Operator.AT_MOST,
    ">": Operator.GREATER,
    ">=": Operator.AT_LEAST,
}
_PATTERNS: Final = {
    ":": (Operator.WILDCARD, True),
    "like": (Operator.WILDCARD, False),
    "like~": (Operator.WILDCARD, True),
    "regex": (Operator.REGEX, False),
    "regex~": (Operator.REGEX, True),
}
_LISTS: Final = {"in": False, "in~": True}
_ARITHMETIC: Final = frozenset("+-*/%")
_UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_EXTENSION: Final = re.compile(r"(?<!\\)(?:\\\\)*\(\?")
"""A group with a question mark: look-around, names and flags of other regular expressions."""
_OTHER_FUNCTIONS: Final = {
    "stringcontains": "like",
    "startswith": "like",
    "endswith": "like",
    "indexof": "like",
    "wildcard": ":",
    "match": "regex",
}
"""Functions of EQL for which the subset has a comparison."""


class _Operand(NamedTuple):
    """Left side of a comparison.

    Attributes:
        field: its name.
        known: whether an event can have it.
        length: whether its length is compared.
        line: of it.
    """

    field: str
    known: bool
    length: bool
    line: int


def parse(query: str) -> Query:
    """Return the query of an EQL text.

    Raises:
        DetectionError: it is not in the subset, names an unknown field, or exceeds a bound. The message has
            the line of the query.
    """
    return _Parser(tokens_of(query)).query()


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._comparisons = 0

    # -- tokens

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    @property
    def _before(self) -> Token:
        return self._tokens[self._at - 1]

    def _take(self) -> Token:
        token = self._next
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def _ended(self) -> bool:
        return self._next.kind is Kind.END

    def _is(self, *texts: str) -> bool:
        """Return whether the next token is one of these words or symbols."""
        return self._next.kind in (Kind.WORD, Kind.SYMBOL) and self._next.text in texts

    def _accept(self, *texts: str) -> bool:
        if self._is(*texts):
            self._at += 1
            return True
        return False

    def _expect(self, text: str, where: str) -> None:
        if not self._accept(text):
            self._fail(f"expected {text} {where}, not {_shown(self._next)}")

    def _fail(self, problem: str, token: Token | None = None) -> NoReturn:
        raise DetectionError(f"line {(token or self._next).line}: {problem}")

    # -- queries

    def query(self) -> Query:
        """Return the query of all tokens."""
        if self._ended():
            raise DetectionError("the query is empty")
        if self._is("join"):
            self._fail("join is not supported")
        if self._accept("sequence"):
            query = self._sequence()
        elif self._accept("sample"):
            query = self._sample()
        else:
            query = Query(QueryKind.EVENT, (self._event(),))
        query = replace(query, limit=self._limit())
        if not self._ended():
            self._fail(self._leftover())
        return query

    def _event(self) -> Step:
        token = self._take()
        if token.kind not in (Kind.WORD, Kind.QUOTED, Kind.TEXT) or self._is("."):
            self._fail(f"expected a category such as process, or any, not {_shown(token)}", token)
        self._expect("where", f"behind {token.text}")
        category = None if token.kind is Kind.WORD and token.text == "any" else token.text
        self._comparisons = 0
        where = self._or(negated=False, depth=0)
        if self._comparisons > MOST_COMPARISONS:
            self._fail(
                f"this event has {self._comparisons} comparisons; at most {MOST_COMPARISONS}; use lists",
                token,
            )
        return Step(category, where, line=token.line)

    def _sequence(self) -> Query:
        by = self._keys_behind_by()
        maxspan = None
        if self._accept("with"):
            self._expect("maxspan", "behind with")
            self._expect("=", "behind maxspan")
            maxspan = self._span()
            if self._is("by"):
                self._fail("by comes before with maxspan")
        steps: list[Step] = []
        while self._is("[", "!"):
            steps.append(self._item())
        if not steps:
            self._fail(f"expected an event in brackets, [process where …], not {_shown(self._next)}")
        until = None
        if self._accept("until"):
            until = self._plain("until")
            until = replace(until, by=self._keys_behind_by())
        stages = sum(step.runs for step in steps)
        if stages < _FEWEST_STEPS:
            raise DetectionError("a sequence has at least two events")
        if stages > MOST_STAGES:
            self._fail(f"this sequence has {stages} events; at most {MOST_STAGES}", self._tokens[0])
        if maxspan is None:
            raise DetectionError("a sequence needs maxspan here: without it nothing is ever forgotten")
        steps = self._checked_keys("sequence", by, [*steps, until] if until else steps)
        if until:
            *steps, until = steps
        return Query(QueryKind.SEQUENCE, tuple(steps), _known_keys(by), maxspan, until)

    def _item(self) -> Step:
        step = self._plain("sequence")
        step = replace(step, by=self._keys_behind_by())
        if self._accept("with"):
            self._expect("runs", "behind with")
            self._expect("=", "behind runs")
            runs = self._whole()
            if not 1 <= runs <= MOST_RUNS:
                raise DetectionError(f"runs must be 1 to {MOST_RUNS}")
            if self._is("by"):
                self._fail("by comes before with runs")
            step = replace(step, runs=runs)
        return step

    def _sample(self) -> Query:
        by = self._keys_behind_by()
        if self._is("with"):
            self._fail("a sample has no maxspan; the look-back of its rule bounds it")
        steps: list[Step] = []
        while self._is("[", "!"):
            step = self._plain("sample")
            steps.append(replace(step, by=self._keys_behind_by()))
            if self._is("with"):
                self._fail("the events of a sample have no runs")
        if self._is("until"):
            self._fail("a sample has no until")
        if len(steps) < _FEWEST_STEPS:
            raise DetectionError("a sample has at least two events")
        if len(steps) > MOST_ITEMS:
            self._fail(f"this sample has {len(steps)} events; at most {MOST_ITEMS}", self._tokens[0])
        return Query(QueryKind.SAMPLE, tuple(self._checked_keys("sample", by, steps)), _known_keys(by))

    def _plain(self, where: str) -> Step:
        if self._is("!"):
            self._fail("missing events (![) are not supported")
        self._expect("[", f"behind {where}")
        step = self._event()
        if not self._accept("]"):
            self._fail(self._leftover("a ]"))
        return step

    def _keys_behind_by(self) -> tuple[KeyField, ...]:
        if not self._accept("by"):
            return ()
        keys = [self._key()]
        while self._accept(","):
            keys.append(self._key())
        return tuple(keys)

    def _key(self) -> KeyField:
        optional = self._accept("?")
        if self._is("with"):
            self._fail("a field is missing after by")
        name = self._field("a field is missing after by")
        if not optional and name not in NAMES:
            raise DetectionError(unknown_field(name))
        return KeyField(name, optional)

    def _checked_keys(self, kind: str, by: tuple[KeyField, ...], steps: list[Step]) -> list[Step]:
        """Return the steps without the key fields that no event has.

        Such a field is absent from every event, so it separates none.
        """
        counts = {len(step.by) for step in steps}
        if len(counts) > 1:
            raise DetectionError(f"the events of a {kind} must have as many key fields as each other")
        number = len(by) + counts.pop()
        if number > MOST_KEYS:
            self._fail(f"this {kind} has {number} key fields; at most {MOST_KEYS}", self._tokens[0])
        for keys in zip(*(step.by for step in steps), strict=True):
            known = [key.name in NAMES for key in keys]
            if any(known) and not all(known):
                absent = keys[known.index(False)].name
                raise DetectionError(f"the key field {absent} is always absent, and equals no other field")
        return [replace(step, by=_known_keys(step.by)) for step in steps]

    def _limit(self) -> int | None:
        limits: list[int] = []
        while self._accept("|"):
            token = self._take()
            if token.kind is Kind.END:
                self._fail("a pipe is missing behind |; head and tail are supported", token)
            if token.text == "|":
                self._fail("|| is not an operator; use or", token)
            if token.kind is not Kind.WORD or token.text not in ("head", "tail"):
                self._fail(f"the pipe {token.text} is not supported; head and tail are", token)
            limits.append(self._whole())
            if not 1 <= limits[-1] <= MOST_LIMIT:
                self._fail(f"{token.text} must be 1 to {MOST_LIMIT}", token)
        return min(limits, default=None)

    def _span(self) -> int:
        token = self._next
        number = self._whole()
        unit = self._take()
        if unit.kind is not Kind.WORD or unit.text not in _UNITS_MS:
            self._fail("maxspan needs a unit: ms, s, m, h or d, as in 5m", token)
        if number == 0:
            self._fail("maxspan must be over 0", token)
        ms = number * _UNITS_MS[unit.text]
        if ms > MOST_SPAN_MS:
            self._fail(f"maxspan is {ms} ms; at most {MOST_SPAN_MS} (7 days)", token)
        return ms

    def _whole(self) -> int:
        token = self._take()
        if token.kind is not Kind.NUMBER:
            self._fail(f"expected a number, not {_shown(token)}", token)
        return self._number(token, sign=1)

    def _number(self, token: Token, sign: int) -> int:
        if "." in token.text:
            self._fail(f"numbers are whole; {token.text} is not", token)
        # The limit of digits comes first: int() refuses thousands of them with an error that is not ours.
        digits = token.text.lstrip("0") or "0"
        if len(digits) > len(str(2**63)) or not -(2**63) <= sign * int(digits) < 2**63:
            self._fail("a number must fit in 64 bits", token)
        return sign * int(digits)

    # -- conditions

    def _or(self, *, negated: bool, depth: int) -> Expression:
        terms = [self._and(negated=negated, depth=depth)]
        while self._accept("or"):
            terms.append(self._and(negated=negated, depth=depth))
        return _all_of(terms) if negated else _any_of(terms)

    def _and(self, *, negated: bool, depth: int) -> Expression:
        terms = [self._not(negated=negated, depth=depth)]
        while self._accept("and"):
            terms.append(self._not(negated=negated, depth=depth))
        return _any_of(terms) if negated else _all_of(terms)

    def _not(self, *, negated: bool, depth: int) -> Expression:
        while self._accept("not"):
            negated = not negated
        return self._primary(negated=negated, depth=depth)

    def _primary(self, *, negated: bool, depth: int) -> Expression:
        token = self._next
        if self._accept("("):
            if depth == MOST_DEPTH:
                self._fail(f"parentheses are nested {depth + 1} deep; at most {MOST_DEPTH}", token)
            inner = self._or(negated=negated, depth=depth + 1)
            if not self._accept(")"):
                self._fail(self._leftover(f"the ) of line {token.line}"))
            return inner
        if self._accept("true", "false"):
            return Constant((token.text == "true") is not negated)
        if self._is("!"):
            self._fail("! is not an operator; use not")
        self._comparisons += 1
        return self._comparison(negated=negated)

    def _comparison(self, *, negated: bool) -> Expression:
        function = self._function()
        if function == "cidrmatch":
            return self._network(negated=negated)
        operand = self._length() if function == "length" else self._operand()
        token = self._next
        if self._accept(*_EQUALITIES):
            return self._equality(operand, token, negated=negated is not (token.text == "!="))
        if self._accept(*_ORDER):
            return self._order(operand, token, negated=negated)
        if self._accept("not"):
            if not self._is(*_LISTS):
                self._fail(
                    "after a field, not must be followed by in; otherwise write it before the comparison"
                )
            token, negated = self._next, not negated
        if self._accept(*_LISTS):
            values = self._list(self._literal)
            return self._equal(operand, values, fold_case=_LISTS[token.text], negated=negated)
        if self._accept(*_PATTERNS):
            return self._pattern(operand, token, negated=negated)
        raise self._no_comparison(operand)

    def _function(self) -> str:
        """Return the name of the function that is called next, in lower case; "": there is none."""
        token = self._next
        if token.kind is not Kind.WORD or token.text in _RESERVED:
            return ""
        opening = self._tokens[self._at + 1]
        if opening.text == "~" and self._tokens[self._at + 2].text == "(":
            self._no_function(f"{token.text}~")
        if opening.kind is not Kind.SYMBOL or opening.text != "(":
            return ""
        name = token.text.lower()
        if name not in ("length", "cidrmatch"):
            self._no_function(token.text)
        self._at += 2
        return name

    def _no_function(self, called: str) -> NoReturn:
        other = _OTHER_FUNCTIONS.get(called.lower().removesuffix("~"))
        if other is not None and called.endswith("~"):
            other = f"{other.removesuffix(':')}~" if other != ":" else other
        self._fail(f"the function {called} is not supported{f'; use {other}' if other else ''}")

    def _operand(self) -> _Operand:
        line = self._next.line
        optional = self._accept("?")
        if self._is("-") or (
            self._next.kind is Kind.NUMBER and self._tokens[self._at + 1].text in _ARITHMETIC
        ):
            self._fail("arithmetic is not supported")
        if not optional and self._next.kind in (Kind.TEXT, Kind.NUMBER):
            self._fail("a comparison has a field on its left and a value on its right")
        name = self._field(f"a comparison is missing behind {self._before.text or 'it'}")
        if self._is("["):
            self._fail("an element of an array cannot be chosen; any value is enough")
        if name not in NAMES and not optional:
            if name.lower() in _RESERVED:
                self._fail(f"{name} is written {name.lower()}", self._before)
            raise DetectionError(unknown_field(name))
        return _Operand(name, name in NAMES, length=False, line=line)

    def _field(self, missing: str) -> str:
        """Return the name of a field."""
        parts: list[str] = []
        while True:
            token = self._next
            named = token.kind is Kind.QUOTED or (
                token.kind is Kind.WORD and (bool(parts) or token.text not in _RESERVED)
            )
            if not named:
                what = missing if not parts else f"a name is missing behind {'.'.join(parts)}."
                self._fail(what, self._before)
            parts.append(self._take().text)
            if not self._accept("."):
                return ".".join(parts)

    def _length(self) -> _Operand:
        operand = self._operand()
        self._expect(")", "behind the field of length")
        return operand._replace(length=True)

    def _network(self, *, negated: bool) -> Expression:
        operand = self._operand()
        networks: list[str] = []
        while self._accept(","):
            token = self._take()
            if token.kind is not Kind.TEXT:
                self._fail('cidrMatch compares with texts, as in "10.0.0.0/8"', token)
            networks.append(self._checked_network(token))
        self._expect(")", "behind the networks of cidrMatch")
        if not networks:
            self._fail('cidrMatch needs a network, as in cidrMatch(destination.ip, "10.0.0.0/8")')
        return _leaf(operand, Test(operand.field, Operator.NETWORK, tuple(networks)), negated=negated)

    def _checked_network(self, token: Token) -> str:
        from ipaddress import ip_network  # noqa: PLC0415 - few rules need it, and it loads slowly

        try:
            ip_network(token.text, strict=False)
        except ValueError:
            self._fail(f'{_shown(token)} is not a network, such as "10.0.0.0/8"', token)
        return token.text

    def _equality(self, operand: _Operand, token: Token, *, negated: bool) -> Expression:
        if self._accept("null"):
            return _leaf(operand, Test(operand.field, Operator.PRESENT), negated=not negated)
        if self._is("("):
            self._fail(f"{token.text} compares with one value; in takes several")
        return self._equal(operand, (self._literal(),), fold_case=False, negated=negated)

    def _equal(
        self, operand: _Operand, literals: tuple[str | int, ...], *, fold_case: bool, negated: bool
    ) -> Expression:
        if operand.length:
            if not all(isinstance(literal, int) for literal in literals):
                self._fail("a length is a number", self._before)
            test = Test(operand.field, Operator.LENGTH, literals, length_operator=Operator.EQUAL)
        elif operand.field in NUMBERS:
            values = tuple(_as_number(literal) for literal in literals)
            test = Test(operand.field, Operator.EQUAL, values, fold_case)
        else:
            test = Test(operand.field, Operator.EQUAL, tuple(map(str, literals)), fold_case)
            numerals = tuple(_numeral(literal) for literal in literals if isinstance(literal, int))
            if numerals and operand.field not in DECIMALS:
                as_number = _leaf(operand, Test(operand.field, Operator.REGEX, numerals), negated=negated)
                combine = _all_of if negated else _any_of
                return combine([_leaf(operand, test, negated=negated), as_number])
        return _leaf(operand, test, negated=negated)

    def _order(self, operand: _Operand, token: Token, *, negated: bool) -> Expression:
        self._no_field_here()
        value = self._literal()
        if not isinstance(value, int):
            self._fail(f"{token.text} compares numbers", self._before)
        operator = OPPOSITE[_ORDER[token.text]] if negated else _ORDER[token.text]
        if operand.length:
            test = Test(operand.field, Operator.LENGTH, (value,), length_operator=operator)
        else:
            test = Test(operand.field, operator, (value,))
        return _leaf(operand, test, negated=False)

    def _pattern(self, operand: _Operand, token: Token, *, negated: bool) -> Expression:
        operator, fold_case = _PATTERNS[token.text]
        if operand.length:
            self._fail(f"{token.text} compares texts, and a length is a number", token)

        def text() -> str:
            self._no_field_here()
            pattern = self._take()
            if pattern.kind is not Kind.TEXT:
                self._fail(f"{token.text} compares texts", pattern)
            if operator is Operator.REGEX:
                self._check_regex(pattern)
            return pattern.text

        patterns = self._list(text) if self._is("(") else (text(),)
        return _leaf(operand, Test(operand.field, operator, patterns, fold_case), negated=negated)

    def _check_regex(self, token: Token) -> None:
        if _EXTENSION.search(token.text):
            self._fail("(? is not in the regular expressions of Lucene", token)
        try:
            compile_regex(token.text)
        except DetectionError as error:
            self._fail(str(error), token)

    def _list(self, read: Callable[[], str | int]) -> tuple[str | int, ...]:
        token = self._next
        self._expect("(", f"behind {self._before.text}")
        if self._is(")"):
            self._fail("an empty list")
        values = [read()]
        while self._accept(","):
            values.append(read())
        if not self._accept(")"):
            self._fail(f"expected , or the ) of line {token.line}, not {_shown(self._next)}")
        return tuple(values)

    def _literal(self) -> str | int:
        self._no_field_here()
        negative = self._accept("-")
        token = self._take()
        if token.kind is Kind.NUMBER:
            value: str | int = self._number(token, -1 if negative else 1)
        elif not negative and (token.kind is Kind.TEXT or token.text in ("true", "false")):
            value = token.text
        else:
            self._fail(f"expected a value, not {_shown(token)}", token)
        if self._is(*_ARITHMETIC):
            self._fail("arithmetic is not supported")
        return value

    def _no_field_here(self) -> None:
        token = self._next
        if _is_capital_keyword(token) and token.text.lower() in ("true", "false", "null"):
            self._fail(f"{token.text} is written {token.text.lower()}")
        name = token.kind is Kind.QUOTED or (token.kind is Kind.WORD and token.text not in _RESERVED)
        if name or self._is("?"):
            self._fail("a field is compared with values only")

    def _no_comparison(self, operand: _Operand) -> DetectionError:
        token = self._next
        if self._is("="):
            problem = "= is no comparison; == or :"
        elif self._is(*_ARITHMETIC):
            problem = "arithmetic is not supported"
        elif _is_capital_keyword(token):
            problem = f"{token.text} is written {token.text.lower()}"
        elif token.kind is Kind.END or self._is("and", "or", ")", "]", "|"):
            problem = f"{operand.field} is not compared; compare it, as in {operand.field} != null"
        else:
            problem = f"{_shown(token)} is no comparison"
        return DetectionError(f"line {token.line}: {problem}")

    def _leftover(self, expected: str = "the end") -> str:
        """Return the error for what stands behind a complete condition."""
        token = self._next
        if (
            token.kind is Kind.WORD
            and token.text.lower() in ("and", "or", "not")
            and token.text not in _RESERVED
        ):
            return f"{token.text} is written {token.text.lower()}"
        if self._is(")"):
            return "a ) without its ("
        return f"expected and, or, or {expected}, not {_shown(token)}"


def _leaf(operand: _Operand, test: Test, *, negated: bool) -> Expression:
    if not operand.known:
        return Constant(negated)
    test = replace(test, line=operand.line)
    return Not(test) if negated else test


def _any_of(terms: list[Expression]) -> Expression:
    flat = [inner for term in terms for inner in (term.terms if isinstance(term, Or) else (term,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def _all_of(terms: list[Expression]) -> Expression:
    flat = [inner for term in terms for inner in (term.terms if isinstance(term, And) else (term,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def _known_keys(keys: tuple[KeyField, ...]) -> tuple[KeyField, ...]:
    return tuple(key for key in keys if key.name in NAMES)


def _as_number(literal: str | int) -> str | int:
    """Return a numeral as a number; another text, such as the name of an error in `exit`, as it is."""
    if isinstance(literal, int):
        return literal
    digits = literal.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > len(str(2**63)):
        return literal
    number = int(literal)
    return number if -(2**63) <= number < 2**63 else literal


def _numeral(number: int) -> str:
    """Return a regular expression of the decimals that mean a number."""
    return f"-0*{-number}" if number < 0 else f"0*{number}" if number else "-?0+"


def _is_capital_keyword(token: Token) -> bool:
    return token.kind is Kind.WORD and token.text not in _RESERVED and token.text.lower() in _RESERVED


def _shown(token: Token) -> str:
    if token.kind is Kind.END:
        return "the end of the query"
    text = token.text if len(token.text) <= 40 else f"{token.text[:39]}…"
    return f'"{text}"' if token.kind is Kind.TEXT else text
