"""Makes the mutants that scripts/mutate.py tries: small defects in C and Python source text.

A mutant is one edit of one place. Nothing here runs anything.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, order=True)
class Mutant:
    """One edit.

    Attributes:
        path: of the file, below the checkout.
        start: first character that is replaced.
        end: the one behind the last.
        text: what stands there instead.
        kind: of the defect.
    """

    path: str
    start: int
    end: int
    text: str
    kind: str

    def applied(self, source: str) -> str:
        """Return the source with this defect."""
        return source[: self.start] + self.text + source[self.end :]

    def line(self, source: str) -> int:
        """Return the number of the line in which it begins."""
        return source.count("\n", 0, self.start) + 1

    def lines(self, source: str) -> tuple[str, str]:
        """Return the text of the edited lines before and after, in one line each."""
        first = source.rfind("\n", 0, self.start) + 1
        last = source.find("\n", self.end)
        last = len(source) if last < 0 else last
        after = source[first : self.start] + self.text + source[self.end : last]
        return " ".join(source[first:last].split()), " ".join(after.split())


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Return every mutant of a file, each edit once, in the order of the file."""
    made = _of_c(path, source) if path.endswith((".c", ".h")) else _of_python(path, source)
    once = {(one.start, one.end, one.text): one for one in made if source[one.start : one.end] != one.text}
    return sorted(once.values())


# --- C: by tokens, outside comments, strings and directives --------------------

_NOT_CODE: Final = re.compile(
    r"/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|^[ \t]*#[^\n]*(?:\\\n[^\n]*)*",
    re.DOTALL | re.MULTILINE,
)
_C_SWAPS: Final = (
    (r"(?<![<=>!-])<(?![<=])", "<=", "comparison"),
    (r"(?<!<)<=", "<", "comparison"),
    (r"(?<![->])>(?![>=])", ">=", "comparison"),
    (r"(?<!>)>=", ">", "comparison"),
    (r"==", "!=", "comparison"),
    (r"!=", "==", "comparison"),
    (r"&&", "||", "and or"),
    (r"\|\|", "&&", "and or"),
    (r"!(?=[\w(])", "", "negation"),
    (r"(?<=[\w)\]]) \+ (?=[\w(])", " - ", "arithmetic"),
    (r"(?<=[\w)\]]) - (?=[\w(])", " + ", "arithmetic"),
    (r"(?<=[\w)\]]) \* (?=[\w(])", " + ", "arithmetic"),
    (r"(?<=[\w)\]]) / (?=[\w(])", " * ", "arithmetic"),
    (r"(?<=[\w)\]]) << (?=[\w(])", " >> ", "bits"),
    (r"(?<=[\w)\]]) >> (?=[\w(])", " << ", "bits"),
    (r"(?<=[\w)\]]) & (?=[\w(~])", " | ", "bits"),
    (r"(?<=[\w)\]]) \| (?=[\w(~])", " & ", "bits"),
    (r" \|= ", " = ", "bits"),
    (r" &= ", " = ", "bits"),
    (r" \+= ", " = ", "arithmetic"),
    (r" -= ", " = ", "arithmetic"),
    (r"\+\+", "--", "increment"),
    (r"--", "++", "increment"),
    (r"\btrue\b", "false", "constant"),
    (r"\bfalse\b", "true", "constant"),
)
_C_NUMBER: Final = re.compile(r"(?<![\w.{])(?:0x[0-9a-fA-F]+|\d+)(?=u?\b)")
_C_STATEMENT: Final = re.compile(
    r"(?<=[;{}\n])[ \t]*((?!return|break|continue|goto|case|default|_Static_assert|as_span_prefetch)"
    r"[\w*(][^;{}\n]*;)[ \t]*(?=\n)"
)
_C_DECLARATION: Final = re.compile(
    r"(?:(?:const|static|unsigned) |u?int\w*|size_t|bool|char|as_\w+)[\w ]*[ *]\w+(?:\[[^\]]*\])?(?: =|;)"
)
_C_CONDITION: Final = re.compile(r"\b(?:if|while) (\()")
_C_RETURN: Final = re.compile(r"\breturn ([^;]+);")
_C_CHOICE: Final = re.compile(r" \? ([^?:;\n]+) : ([^?:;\n,]+?)(?=[;,)])")


def _of_c(path: str, source: str) -> Iterator[Mutant]:
    code = _NOT_CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), source)
    for pattern, text, kind in _C_SWAPS:
        for found in re.finditer(pattern, code):
            yield Mutant(path, *found.span(), text, kind)
    for found in _C_NUMBER.finditer(code):
        yield Mutant(path, *found.span(), str(int(found[0], 0) + 1), "constant")
    for found in _C_STATEMENT.finditer(code):
        if not _C_DECLARATION.match(found[1]):
            yield Mutant(path, *found.span(1), ";", "deleted statement")
    for found in _C_CONDITION.finditer(code):
        end = _closing(code, found.start(1))
        yield Mutant(path, found.start(1), end, f"(!{source[found.start(1) : end]})", "negation")
    for found in _C_RETURN.finditer(code):
        if found[1] not in {"0", "false", "NULL"}:
            yield Mutant(path, *found.span(1), "0", "return")
        yield Mutant(path, *found.span(1), f"!({source[slice(*found.span(1))]})", "return")
    for found in _C_CHOICE.finditer(code):
        first, second = source[slice(*found.span(1))], source[slice(*found.span(2))]
        yield Mutant(path, *found.span(), f" ? {second} : {first}", "choice")


def _closing(code: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return at + 1
    return len(code)


# --- Python: by the syntax tree --------------------

_COMPARES: Final[dict[type[ast.cmpop], tuple[str, str]]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}
_OPERATORS: Final[dict[type[ast.operator], tuple[str, str]]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.FloorDiv: ("//", "*"),
    ast.Div: ("/", "*"),
    ast.Mod: ("%", "//"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}


class _Python:
    """The mutants of one module, node by node."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.source = path, source
        self._lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def of(self, node: ast.AST) -> Iterator[Mutant]:
        """Return the mutants of a node, without those of what is inside it."""
        match node:
            case ast.Compare() | ast.BoolOp() | ast.BinOp() | ast.AugAssign() | ast.UnaryOp():
                yield from self._operators(node)
            case ast.Constant(value=bool() as value):
                yield self._whole(node, str(not value), "constant")
            case ast.Constant(value=int() as value):
                yield self._whole(node, str(value + 1), "constant")
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
                yield self._whole(test, f"(not ({self._text(test)}))", "negation")
            case ast.Return(value=ast.expr() as value) if self._text(value) != "None":
                if self._text(value) != "False":  # None is as false, and no caller can tell
                    yield self._whole(value, "None", "return")
                yield self._whole(value, f"not ({self._text(value)})", "return")
            case ast.Call(func=ast.Name(id="min" | "max" as name) as function):
                yield self._whole(function, "max" if name == "min" else "min", "choice")
            case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Break() | ast.Continue():
                yield self._whole(node, "pass", "deleted statement")
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield self._whole(node, "pass", "deleted statement")
            case _:
                pass

    def _operators(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.Compare(left=first, ops=ops, comparators=others):
                for left, op, right in zip([first, *others], ops, others, strict=False):
                    yield from self._between(left, right, *_COMPARES[type(op)], "comparison")
            case ast.BoolOp(op=op, values=values):
                old, new = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
                for left, right in pairwise(values):
                    yield from self._between(left, right, old, new, "and or")
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                yield from self._between(left, right, *_OPERATORS[type(op)], "arithmetic")
            case ast.AugAssign(target=target, value=value):
                token = self.source[self._span(target)[1] : self._span(value)[0]].strip(" (")
                yield from self._between(target, value, token, "=", "arithmetic")
                yield self._whole(node, "pass", "deleted statement")
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield Mutant(self.path, self._span(node)[0], self._span(operand)[0], "", "negation")
            case _:
                pass

    def _at(self, row: int, column: int) -> int:
        return self._starts[row - 1] + len(self._lines[row - 1].encode()[:column].decode())

    def _span(self, node: ast.AST) -> tuple[int, int]:
        begin = self._at(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        return begin, self._at(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def _text(self, node: ast.AST) -> str:
        begin, end = self._span(node)
        return self.source[begin:end]

    def _whole(self, node: ast.AST, text: str, kind: str) -> Mutant:
        return Mutant(self.path, *self._span(node), text, kind)

    def _between(self, left: ast.AST, right: ast.AST, token: str, text: str, kind: str) -> Iterator[Mutant]:
        """Return the edit of the operator between two operands."""
        begin, end = self._span(left)[1], self._span(right)[0]
        word = rf"\b{token}\b" if token[0].isalpha() else re.escape(token)
        found = re.search(word, self.source[begin:end])
        if found is not None:
            yield Mutant(self.path, begin + found.start(), begin + found.end(), text, kind)


def _of_python(path: str, source: str) -> Iterator[Mutant]:
    module = _Python(path, source)
    for node in _code(ast.parse(source)):
        yield from module.of(node)


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """Return the nodes that run: no annotations, no imports for types only."""
    for child in ast.iter_child_nodes(tree):
        if (
            isinstance(child, ast.If)
            and isinstance(child.test, ast.Name)
            and child.test.id == "TYPE_CHECKING"
        ):
            continue
        yield child
        if isinstance(child, ast.AnnAssign):
            if child.value is not None:
                yield child.value
                yield from _code(child.value)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            for part in (*child.args.defaults, *child.args.kw_defaults, *child.body):
                if part is not None:
                    yield part
                    yield from _code(part)
        else:
            yield from _code(child)
