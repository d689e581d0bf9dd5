"""A second reading of EQL: the text of a query and the fields of events to a number of completions.

It shares no code with auditsense, not even the parser, and nothing here is fast. It reads valid queries only.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

Value = str | int
Fields = Mapping[str, Sequence[Value]]
Node = tuple[Any, ...]
By = list[tuple[str, bool]]

_NUMBERS: Final = frozenset(
    {
        *("process.pid", "process.parent.pid", "process.args_count", "destination.port", "source.port"),
        *("auditd.data.argc", "auditd.data.exit", "auditd.data.socket.port"),
    }
)

# --- language ----------------------------------------------------------------------------------------


class RefusedError(Exception):
    """Not in the subset."""


TOKENS = re.compile(
    r'''\s+|//[^\n]*|/\*.*?\*/|(?P<raw>"""(?:.*?)""""{0,2})|(?P<text>"(?:[^"\\\n]|\\.)*")
    |(?P<tick>`(?:[^`]|``)+`)|(?P<number>\d+)|(?P<word>(?:in|like|regex)~|[A-Za-z_@][\w@]*)
    |(?P<symbol>==|!=|<=|>=|[-\[\]().,:?<>=|!])''',
    re.DOTALL | re.VERBOSE | re.ASCII,
)
ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{2,8})\}|(.))", re.DOTALL)
PLAIN = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"'}


def lex(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    while at < len(text):
        match = TOKENS.match(text, at)
        if match is None:
            raise RefusedError(f"at {text[at : at + 20]!r}")
        at = match.end()
        kind = match.lastgroup
        if kind == "raw":
            tokens.append(("text", match[0][3:-3]))
        elif kind == "text":
            tokens.append(
                (
                    "text",
                    ESCAPE.sub(lambda one: chr(int(one[1], 16)) if one[1] else PLAIN[one[2]], match[0][1:-1]),
                )
            )
        elif kind == "tick":
            tokens.append(("tick", match[0][1:-1].replace("``", "`")))
        elif kind:
            tokens.append((kind, match[0]))
    return [*tokens, ("end", "")]


@dataclass
class Item:
    category: str | None
    where: Node
    by: By
    runs: int = 1


@dataclass
class Query:
    kind: str
    items: list[Item]
    by: By
    span: int = 0
    until: Item | None = None
    limit: int | None = None


class Parser:
    def __init__(self, text: str) -> None:
        self.tokens, self.at = lex(text), 0

    def peek(self, *texts: str) -> bool:
        kind, text = self.tokens[self.at]
        return kind in ("word", "symbol") and text in texts

    def take(self) -> tuple[str, str]:
        self.at += 1
        return self.tokens[self.at - 1]

    def accept(self, *texts: str) -> bool:
        if self.peek(*texts):
            self.at += 1
            return True
        return False

    def need(self, *texts: str) -> None:
        if not self.accept(*texts):
            raise RefusedError(f"no {texts[0]} at {self.tokens[self.at]}")

    def query(self) -> Query:
        kind = "sequence" if self.accept("sequence") else "sample" if self.accept("sample") else "event"
        if kind == "event":
            query = Query(kind, [self.event()], [])
        else:
            query = Query(kind, [], self.keys(), self.span())
            while self.peek("["):
                query.items.append(self.item())
        if self.accept("until"):
            query.until = self.item()
        while self.accept("|"):
            self.need("head", "tail")
            number = int(self.take()[1])
            query.limit = number if query.limit is None else min(number, query.limit)
        if self.tokens[self.at][0] != "end":
            raise RefusedError(f"rest {self.tokens[self.at]}")
        return query

    def span(self) -> int:
        if not self.accept("with"):
            return 0
        self.need("maxspan")
        self.need("=")
        number, unit = int(self.take()[1]), self.take()[1]
        return number * {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}[unit]

    def item(self) -> Item:
        self.need("[")
        item = self.event()
        self.need("]")
        item.by = self.keys()
        if self.accept("with"):
            self.need("runs")
            self.need("=")
            item.runs = int(self.take()[1])
        return item

    def keys(self) -> By:
        keys = []
        if self.accept("by"):
            while True:
                optional = self.accept("?")
                keys.append((self.name(), optional))
                if not self.accept(","):
                    break
        return keys

    def event(self) -> Item:
        kind, text = self.take()
        self.need("where")
        return Item(None if (kind, text) == ("word", "any") else text, self.expr(), [])

    def name(self) -> str:
        parts = [self.take()[1]]
        while self.accept("."):
            parts.append(self.take()[1])
        return ".".join(parts)

    def expr(self) -> Node:
        terms = [self.conj()]
        while self.accept("or"):
            terms.append(self.conj())
        return ("or", terms)

    def conj(self) -> Node:
        terms = [self.neg()]
        while self.accept("and"):
            terms.append(self.neg())
        return ("and", terms)

    def neg(self) -> Node:
        if self.accept("not"):
            return ("not", self.neg())
        if self.accept("("):
            inner = self.expr()
            self.need(")")
            return inner
        if self.accept("true"):
            return ("const", True)
        if self.accept("false"):
            return ("const", False)
        return self.compare()

    def compare(self) -> Node:
        function = ""
        if self.tokens[self.at][0] == "word" and self.tokens[self.at + 1] == ("symbol", "("):
            function = self.take()[1].lower()
            self.take()
        self.accept("?")
        name = self.name()
        if function == "cidrmatch":
            networks = []
            while self.accept(","):
                networks.append(self.take()[1])
            self.need(")")
            return ("cidr", name, networks)
        if function == "length":
            self.need(")")
        operator = self.take()[1]
        negated = False
        if operator == "not":
            negated, operator = True, self.take()[1]
        if operator in ("==", "!=") and self.accept("null"):
            made: Node = ("null", name)
        elif operator in ("==", "!="):
            made = ("in", function, name, [self.literal()], False)
        elif operator in ("in", "in~"):
            made = ("in", function, name, self.list(), operator == "in~")
        elif operator in ("<", "<=", ">", ">="):
            return ("order", function, name, operator, self.literal())
        else:
            values = self.list() if self.peek("(") else [self.literal()]
            made = ("pattern", name, operator, values)
        return ("not", made) if negated or operator == "!=" else made

    def list(self) -> list[Value]:
        self.need("(")
        values = [self.literal()]
        while self.accept(","):
            values.append(self.literal())
        self.need(")")
        return values

    def literal(self) -> Value:
        negative = self.accept("-")
        kind, text = self.take()
        if kind == "number":
            return -int(text) if negative else int(text)
        if kind == "text" or text in ("true", "false"):
            return text
        raise RefusedError(f"literal {text}")


def fold(text: str) -> str:
    return "".join(chr(ord(one) + 32) if "A" <= one <= "Z" else one for one in text)


def numeral(value: Value) -> int | None:
    if isinstance(value, int):
        return value
    return int(value) if re.fullmatch(r"-?[0-9]+", value, re.ASCII) else None


def same(name: str, value: Value, literal: Value, *, folded: bool) -> bool:
    if name in _NUMBERS or isinstance(literal, int):
        left, right = numeral(value), numeral(literal)
        if left is not None or right is not None:
            return left == right
    left_, right_ = str(value), str(literal)
    return fold(left_) == fold(right_) if folded else left_ == right_


def wild(pattern: str, text: str, *, folded: bool) -> bool:
    if folded:
        pattern, text = fold(pattern), fold(text)
    # dynamic programming over both, without regular expressions
    reached = {0}
    for char in pattern:
        if char == "*":
            reached = set(range(min(reached), len(text) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(text) and (char == "?" or text[at] == char)}
    return len(text) in reached


def regex(pattern: str, text: str, *, folded: bool) -> bool:
    """By Python, for the patterns that mean the same there once ^ and $ are characters.

    Python has another meaning for a repeat of a repeat, such as `a{2}?`: it becomes `(?:a{2})?`.
    """
    pattern, text = (one.encode("utf-8", "surrogateescape").decode("latin-1") for one in (pattern, text))
    made = ""
    begins: list[int] = []  # of the open groups
    last, repeated = 0, False  # where the last atom begins; whether it has a repeat
    for match in re.finditer(r"\\.|\[\^?(?:\\.|[^\]\\])*\]|\{\d+(?:,\d*)?\}|.", pattern, re.DOTALL):
        part = match[0]
        if part in ("*", "+", "?") or (part[0] == "{" and len(part) > 1):
            if repeated:
                made = f"{made[:last]}(?:{made[last:]})"
            made, repeated = made + part, True
            continue
        repeated = False
        last = begins.pop() if part == ")" else len(made)
        if part == "(":
            begins.append(last)
        if part[0] == "[":
            made += part[:1] + part[1:].replace("[", "\\[").replace("&&", "&\\&").replace("--", "-\\-")
        else:
            made += "\\" + part if part in ("^", "$", "{", "}") else part
    return re.fullmatch(made, text, re.DOTALL | re.ASCII | (re.IGNORECASE if folded else 0)) is not None


def holds(node: Node, fields: Fields, *, wanted: bool = True) -> bool:
    """Decide a tree; not wanted: its negation, which a comparison of order turns round for itself."""
    kind = node[0]
    if kind in ("and", "or"):
        every = (kind == "and") is wanted
        return (all if every else any)(holds(term, fields, wanted=wanted) for term in node[1])
    if kind == "not":
        return holds(node[1], fields, wanted=not wanted)
    if kind == "const":
        return node[1] is wanted
    if kind == "order":
        _, function, name, operator, limit = node
        values = fields.get(name, [])
        if function:
            values = [len(str(value)) for value in values[:1]]
        numbers = [number for value in values if (number := numeral(value)) is not None]
        if not wanted:
            operator = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}[operator]
        compare = {"<": int.__lt__, "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__}[operator]
        return any(compare(number, limit) for number in numbers)
    return one(node, fields) is wanted


def one(node: Node, fields: Fields) -> bool:
    kind = node[0]
    if kind == "null":
        return not fields.get(node[1])
    if kind == "cidr":
        return any(inside(str(value), node[2]) for value in fields.get(node[1], []))
    if kind == "in":
        _, function, name, literals, folded = node
        values = fields.get(name, [])
        if function:
            return any(len(str(value)) == literal for value in values[:1] for literal in literals)
        return any(same(name, value, literal, folded=folded) for value in values for literal in literals)
    _, name, operator, patterns = node
    folded = operator in (":", "like~", "regex~")
    fits = regex if operator.startswith("regex") else wild
    return any(
        fits(str(pattern), str(value), folded=folded)
        for value in fields.get(name, [])
        for pattern in patterns
    )


def inside(value: str, networks: list[str]) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network, strict=False) for network in networks)


# --- completions -------------------------------------------------------------------------------------


def key_of(by: By, fields: Fields) -> tuple[object, ...] | None:
    parts: list[object] = []
    for name, optional in by:
        value = tuple(fields.get(name, ()))
        if not value and not optional:
            return None
        parts.append(value)
    return tuple(parts)


def fits(item: Item, fields: Fields) -> bool:
    return (item.category is None or item.category in fields.get("event.category", [])) and holds(
        item.where, fields
    )


def count(text: str, events: Sequence[tuple[int, Fields]], look_back: int = 540_000) -> int:
    """Return how often events complete a query.

    Args:
        text: of the query.
        events: stamp in ms and fields of each, in their order.
        look_back: of its rule, in ms.
    """
    query = Parser(text).query()
    limits: dict[object, list[int]] = {}
    hits = 0

    def hit(key: object, ms: int) -> None:
        nonlocal hits
        past = [at for at in limits.get(key, []) if ms - at <= look_back]
        if query.limit is None or len(past) < query.limit:
            limits[key] = [*past, ms]
            hits += 1

    if query.kind == "event":
        for ms, fields in events:
            if fits(query.items[0], fields):
                hit((), ms)
    elif query.kind == "sequence":
        sequences(query, events, hit)
    else:
        samples(query, events, hit, look_back)
    return hits


def sequences(query: Query, events: Sequence[tuple[int, Fields]], hit: Callable[[object, int], None]) -> None:
    stages = [item for item in query.items for _ in range(item.runs)]
    waiting: dict[object, dict[int, int]] = {}  # key -> stage -> stamp of its first event
    for ms, fields in events:
        for stage in range(len(stages) - 1, -1, -1):
            if not fits(stages[stage], fields):
                continue
            key = key_of([*query.by, *stages[stage].by], fields)
            if key is None:
                continue
            own = waiting.setdefault(key, {})
            if stage == 0:
                own[0] = ms
            elif stage - 1 in own:
                start = own.pop(stage - 1)
                if ms - start > query.span:
                    continue
                if stage == len(stages) - 1:
                    hit(key, ms)
                else:
                    own[stage] = start
        if query.until is not None and fits(query.until, fields):
            waiting.pop(key_of([*query.by, *query.until.by], fields), None)


def samples(
    query: Query, events: Sequence[tuple[int, Fields]], hit: Callable[[object, int], None], life: int
) -> None:
    seen: dict[object, list[tuple[int, set[int]]]] = {}  # key -> events: stamp, items that it fits
    fired: dict[object, int] = {}  # key -> stamp of the newest event since it fired
    for ms, fields in events:
        items: dict[object, set[int]] = {}
        for number, item in enumerate(query.items):
            key = key_of([*query.by, *item.by], fields)
            if key is not None and fits(item, fields):
                items.setdefault(key, set()).add(number)
        for found, some in items.items():
            if found in fired and ms - fired[found] <= life:
                fired[found] = ms
                continue
            if found in fired:
                del fired[found]
                seen[found] = []
            kept = [entry for entry in seen.get(found, []) if ms - entry[0] <= life] + [(ms, some)]
            seen[found] = kept
            if all_items(len(query.items), [entry[1] for entry in kept]):
                fired[found] = ms
                hit(found, ms)


def all_items(number: int, events: list[set[int]]) -> bool:
    """Whether each item can have another event: augmenting paths."""
    owner: dict[int, int] = {}

    def place(item: int, tried: set[int]) -> bool:
        for at, items in enumerate(events):
            if item in items and at not in tried:
                tried.add(at)
                if at not in owner or place(owner[at], tried):
                    owner[at] = item
                    return True
        return False

    return all(place(item, set()) for item in range(number))
