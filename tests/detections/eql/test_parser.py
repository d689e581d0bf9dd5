"""EQL text to trees: what each construct means, and what is refused with which message."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from auditsense.detections.eql.parser import parse
from auditsense.detections.expression import (
    And,
    Constant,
    Expression,
    KeyField,
    Not,
    Operator,
    Or,
    Query,
    QueryKind,
    Test,
)
from auditsense.errors import DetectionError

_DATA = Path(__file__).parents[2] / "data" / "eql"
_A = Test("process.name", Operator.EQUAL, ("a",))
_B = Test("process.name", Operator.EQUAL, ("b",))
_C = Test("process.name", Operator.EQUAL, ("c",))


def _where(condition: str) -> Expression:
    return parse(f"any where {condition}").steps[0].where


CONDITIONS = {
    'process.name == "a"': _A,
    'process.name != "a"': Not(_A),
    'process.name in ("a", "b")': Test("process.name", Operator.EQUAL, ("a", "b")),
    'process.name in~ ("a")': Test("process.name", Operator.EQUAL, ("a",), fold_case=True),
    'process.name not in ("a")': Not(_A),
    'process.name not in~ ("a")': Not(Test("process.name", Operator.EQUAL, ("a",), fold_case=True)),
    'not process.name in ("a")': Not(_A),
    'process.name : "a*"': Test("process.name", Operator.WILDCARD, ("a*",), fold_case=True),
    'process.name : ("a", "b")': Test("process.name", Operator.WILDCARD, ("a", "b"), fold_case=True),
    'process.name like "a*"': Test("process.name", Operator.WILDCARD, ("a*",)),
    'process.name like~ "a*"': Test("process.name", Operator.WILDCARD, ("a*",), fold_case=True),
    'process.name regex "a+"': Test("process.name", Operator.REGEX, ("a+",)),
    'process.name regex~ ("a+", "b")': Test("process.name", Operator.REGEX, ("a+", "b"), fold_case=True),
    "process.name == null": Not(Test("process.name", Operator.PRESENT)),
    "process.name != null": Test("process.name", Operator.PRESENT),
    # numbers, also in quotes; a user id is a text
    "process.pid == 5": Test("process.pid", Operator.EQUAL, (5,)),
    'process.pid == "05"': Test("process.pid", Operator.EQUAL, (5,)),
    'auditd.data.exit in ("EACCES", "-2", 3)': Test("auditd.data.exit", Operator.EQUAL, ("EACCES", -2, 3)),
    "auditd.data.exit == -13": Test("auditd.data.exit", Operator.EQUAL, (-13,)),
    "user.id == 0": Test("user.id", Operator.EQUAL, ("0",)),
    "user.id != true": Not(Test("user.id", Operator.EQUAL, ("true",))),
    "process.pid < 5": Test("process.pid", Operator.LESS, (5,)),
    "not process.pid <= 5": Test("process.pid", Operator.GREATER, (5,)),
    "not not process.pid >= 5": Test("process.pid", Operator.AT_LEAST, (5,)),
    "length(process.name) == 3": Test("process.name", Operator.LENGTH, (3,), length_operator=Operator.EQUAL),
    "not LENGTH(process.name) > 3": Test(
        "process.name", Operator.LENGTH, (3,), length_operator=Operator.AT_MOST
    ),
    'cidrmatch(destination.ip, "10.0.0.0/8", "::1")': Test(
        "destination.ip", Operator.NETWORK, ("10.0.0.0/8", "::1")
    ),
    # absent fields
    '?process.name == "a"': _A,
    '?acme.site == "a"': Constant(value=False),
    'not ?acme.site == "a"': Constant(value=True),
    '?acme.site != "a"': Constant(value=True),
    "?acme.site == null": Constant(value=True),
    "not ?acme.size > 3": Constant(value=False),
    # precedence
    'process.name == "a" or process.name == "b" and process.name == "c"': Or((_A, And((_B, _C)))),
    'not process.name == "a" and process.name == "b"': And((Not(_A), _B)),
    'not (process.name == "a" and process.name == "b")': Or((Not(_A), Not(_B))),
    'not (process.name == "a" or not process.name == "b")': And((Not(_A), _B)),
    '(process.name == "a" or process.name == "b") or process.name == "c"': Or((_A, _B, _C)),
    "true": Constant(value=True),
    "not (true)": Constant(value=False),
    # texts, names, comments
    r'process.name == "\n\r\t\\\"\u{e9}\u{0001F600}"': Test(
        "process.name", Operator.EQUAL, ('\n\r\t\\"é\N{GRINNING FACE}',)
    ),
    r'process.name == """\n"x""""': Test("process.name", Operator.EQUAL, ('\\n"x"',)),
    'process.name == """"""': Test("process.name", Operator.EQUAL, ("",)),
    'process.name == "a // b /* c */"': Test("process.name", Operator.EQUAL, ("a // b /* c */",)),
    '`process`.`name` == "a"': _A,
    '?`an ``odd`` name` == "a"': Constant(value=False),
    'process.name /* a\nb */ == // c\n "a"': _A,
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_condition_becomes_tree(condition: str) -> None:
    assert _where(condition) == CONDITIONS[condition]


def test_lines_are_those_of_the_query() -> None:
    where = _where('process.name == "a"\nand\n/* b\nc */ process.pid == 1')
    assert isinstance(where, And)
    assert [term.line for term in where.terms if isinstance(term, Test)] == [1, 4]


def test_category() -> None:
    assert [parse(f"{text} where true").steps[0].category for text in ("any", "file", '"a b"')] == [
        None,
        "file",
        "a b",
    ]


def test_sequence() -> None:
    query = parse(
        "sequence by host.id with maxspan=2m\n"
        '[process where process.name == "a"] by ?process.pid with runs=3 '
        '[any where process.name == "b"] by process.parent.pid until [file where true] '
        "by process.pid | tail 1"
    )
    assert (query.kind, query.by, query.maxspan_ms) == (QueryKind.SEQUENCE, (KeyField("host.id"),), 120_000)
    assert [(step.category, step.where, step.by, step.runs) for step in query.steps] == [
        ("process", _A, (KeyField("process.pid", optional=True),), 3),
        (None, _B, (KeyField("process.parent.pid"),), 1),
    ]
    assert query.until is not None
    assert query.until.by == (KeyField("process.pid"),)
    assert query.limit == 1


@pytest.mark.parametrize(
    ("span", "ms"), [("500ms", 500), ("1s", 1000), ("2h", 7_200_000), ("1d", 86_400_000)]
)
def test_span(span: str, ms: int) -> None:
    assert parse(f"sequence with maxspan={span} [any where true] [any where true]").maxspan_ms == ms


def test_runs_alone_make_a_sequence() -> None:
    assert parse("sequence with maxspan=1s [any where true] with runs=2").steps[0].runs == 2


def test_sample() -> None:
    query = parse("sample by host.id, process.pid [file where true] [network where true] | head 3 | tail 5")
    assert query.kind is QueryKind.SAMPLE
    assert query.by == (KeyField("host.id"), KeyField("process.pid"))
    assert query.limit == 3
    assert query.look_back_ms == 540_000


def test_sample_without_a_key() -> None:
    assert parse("sample [file where true] [network where true]").by == ()


def test_number_is_compared_with_texts_as_a_number() -> None:
    assert _where('process.args in ("a", 7)') == Or(
        (
            Test("process.args", Operator.EQUAL, ("a", "7")),
            Test("process.args", Operator.REGEX, ("0*7",)),
        )
    )
    assert _where("process.args != -7") == And(
        (
            Not(Test("process.args", Operator.EQUAL, ("-7",))),
            Not(Test("process.args", Operator.REGEX, ("-0*7",))),
        )
    )


def test_unknown_optional_key_separates_nothing() -> None:
    query = parse("sequence by ?acme.site with maxspan=1s [any where true] [any where true]")
    assert query.by == ()


def _refused(query: str) -> str:
    with pytest.raises(DetectionError) as error:
        parse(query)
    return str(error.value)


@pytest.mark.parametrize(
    "case", json.loads((_DATA / "refused.json").read_text()), ids=lambda case: case["message"][:50]
)
def test_published_refusals(case: dict[str, str]) -> None:
    assert _refused(case["query"]) == case["message"]


_TWO = "[any where true] [any where true]"
REFUSED = {
    "": "the query is empty",
    "join by process.pid [any where true]": "line 1: join is not supported",
    "process": "line 1: expected where behind process, not the end of the query",
    "5 where true": "line 1: expected a category such as process, or any, not 5",
    "any where": "line 1: a comparison is missing behind where",
    "any where not": "line 1: a comparison is missing behind not",
    "any where (": "line 1: a comparison is missing behind (",
    "any where true or\n\nand": "line 1: a comparison is missing behind or",
    "any where (true": "line 1: expected and, or, or the ) of line 1, not the end of the query",
    "any where true)": "line 1: a ) without its (",
    "any where true true": "line 1: expected and, or, or the end, not true",
    "any where true AND true": "line 1: AND is written and",
    'any where process.name LIKE "a"': "line 1: LIKE is written like",
    "any where !(true)": "line 1: ! is not an operator; use not",
    "any where true && true": "line 1: & is not an operator; use and",
    "any where true || true": "line 1: || is not an operator; use or",
    "any where process.name": "line 1: process.name is not compared; compare it, as in process.name != null",
    "any where process. == 1": "line 1: a name is missing behind process.",
    'any where process.name "a"': 'line 1: "a" is no comparison',
    'any where "a" == process.name': (
        "line 1: a comparison has a field on its left and a value on its right"
    ),
    'any where process.name not like "a"': (
        "line 1: after a field, not must be followed by in; otherwise write it before the comparison"
    ),
    'any where process.name == ("a")': "line 1: == compares with one value; in takes several",
    'any where process.name in "a"': 'line 1: expected ( behind in, not "a"',
    'any where process.name in ("a" "b")': 'line 1: expected , or the ) of line 1, not "b"',
    "any where process.name in (null)": "line 1: expected a value, not null",
    "any where process.name in (user.id)": "line 1: a field is compared with values only",
    "any where process.name like user.id": "line 1: a field is compared with values only",
    "any where process.pid > ?user.id": "line 1: a field is compared with values only",
    "any where process.name like ()": "line 1: an empty list",
    'any where process.pid > "5"': "line 1: > compares numbers",
    "any where process.pid == 1.5": "line 1: numbers are whole; 1.5 is not",
    "any where process.pid == 9223372036854775808": "line 1: a number must fit in 64 bits",
    f"any where process.pid == {'9' * 5000}": "line 1: a number must fit in 64 bits",
    "any where process.pid == 1 + 1": "line 1: arithmetic is not supported",
    "any where length(process.name, 1) == 1": "line 1: expected ) behind the field of length, not ,",
    'any where length(process.name) : "a"': "line 1: : compares texts, and a length is a number",
    'any where length(process.name) == "a"': "line 1: a length is a number",
    "any where cidrMatch(destination.ip)": (
        'line 1: cidrMatch needs a network, as in cidrMatch(destination.ip, "10.0.0.0/8")'
    ),
    'any where cidrMatch(destination.ip, "10.0.0.0/33")': (
        'line 1: "10.0.0.0/33" is not a network, such as "10.0.0.0/8"'
    ),
    "any where cidrMatch(destination.ip, 10)": 'line 1: cidrMatch compares with texts, as in "10.0.0.0/8"',
    'any where endsWith~(process.name, "a")': "line 1: the function endsWith~ is not supported; use like~",
    "any where -process.pid == 1": "line 1: arithmetic is not supported",
    "any where 1 + 1 == process.pid": "line 1: arithmetic is not supported",
    'any where process.args [0] == "a"': (
        "line 1: an element of an array cannot be chosen; any value is enough"
    ),
    "any where process.name == NULL": "line 1: NULL is written null",
    "any where TRUE": "line 1: TRUE is written true",
    "any where true |": "line 1: a pipe is missing behind |; head and tail are supported",
    'any where endsWith(process.name, "a")': "line 1: the function endsWith is not supported; use like",
    "any where add(process.pid, 1) == 2": "line 1: the function add is not supported",
    'any where process.name == "a': (
        "line 1: a text has no end; it ends in its line, but for one in three quotes"
    ),
    r'any where process.name == "\d"': (
        r'line 1: \d is not an escape; write \\ for a backslash; """…""" has none'
    ),
    r'any where process.name == "\u{d800}"': r"line 1: \u{d800} is not a character",
    "any where `a": "line 1: a name in backticks has no end",
    "any where true /* a": "line 1: a comment has no end",
    "any where true; true": "line 1: ';' is no part of a query",
    r'any where process.name regex """(a)\1"""': (
        r"line 1: back references are not in the regular expressions of Lucene (character 4 of '(a)\\1')"
    ),
    'any where process.name regex "ab~"': (
        r"line 1: ~ is an operator of Lucene that is not supported; write \~ (character 3 of 'ab~')"
    ),
    f"sequence with maxspan=1s by process.pid {_TWO}": "line 1: by comes before with maxspan",
    "sequence with maxspan=1s": (
        "line 1: expected an event in brackets, [process where …], not the end of the query"
    ),
    f"sequence with maxspan=1 {_TWO}": "line 1: maxspan needs a unit: ms, s, m, h or d, as in 5m",
    f"sequence with maxspan=50d {_TWO}": "line 1: maxspan is 4320000000 ms; at most 604800000 (7 days)",
    f"sequence by process.nam with maxspan=1s {_TWO}": (
        "there is no field process.nam; did you mean process.name? (?process.nam: it may be absent)"
    ),
    f"sequence by with maxspan=1s {_TWO}": "line 1: a field is missing after by",
    "sequence with maxspan=1s [any where true] by ?acme.site [any where true] by process.pid": (
        "the key field acme.site is always absent, and equals no other field"
    ),
    f"sequence by process.pid, user.id, host.id, process.name, file.path with maxspan=1s {_TWO}": (
        "line 1: this sequence has 5 key fields; at most 4"
    ),
    f"sequence with maxspan=1s {_TWO} with runs=0": "runs must be 1 to 100",
    "\nsequence with maxspan=1s [any where true] with runs=60 [any where true] with runs=60": (
        "line 2: this sequence has 120 events; at most 101"
    ),
    f"sequence by process.pid with maxspan=1s {_TWO} until [any where true] by user.id": (
        "the events of a sequence must have as many key fields as each other"
    ),
    "sequence with maxspan=1s [any where true": (
        "line 1: expected and, or, or a ], not the end of the query"
    ),
    f"sample by process.pid {_TWO * 5}": "line 1: this sample has 10 events; at most 8",
    "sample by process.pid [any where true]": "a sample has at least two events",
    f"sample by process.pid with maxspan=1s {_TWO}": (
        "line 1: a sample has no maxspan; the look-back of its rule bounds it"
    ),
    f"sample by process.pid {_TWO} with runs=2": "line 1: the events of a sample have no runs",
    f"sample by process.pid {_TWO} until [any where true]": "line 1: a sample has no until",
    "sequence with maxspan=1s [any where true] with runs=2 by process.pid": (
        "line 1: by comes before with runs"
    ),
    "any where true | tail": "line 1: expected a number, not the end of the query",
    "any where true | head 0": "line 1: head must be 1 to 65535",
}


@pytest.mark.parametrize("query", REFUSED, ids=range(len(REFUSED)))
def test_refusals(query: str) -> None:
    assert _refused(query) == REFUSED[query]


def test_bounds_of_a_condition() -> None:
    """One more than each bound is refused; the bound itself is not."""
    parse(f"any where {'(' * 64}true{')' * 64}")
    assert (
        _refused(f"any where {'(' * 65}true{')' * 65}")
        == "line 1: parentheses are nested 65 deep; at most 64"
    )
    parse(f"any where {' or '.join(['process.pid == 1'] * 1024)}")
    assert _refused(f"any where {' or '.join(['process.pid == 1'] * 1025)}") == (
        "line 1: this event has 1025 comparisons; at most 1024; use lists"
    )
    assert isinstance(_where("not " * 10_000 + "true"), Constant)


@pytest.mark.parametrize("path", sorted(_DATA.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_parse(path: Path) -> None:
    assert isinstance(parse(tomllib.loads(path.read_text())["rule"]["query"]), Query)
