"""Regular expressions: what they fit, against Python's `re`, and what is refused."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from auditsense.detections.regex import MOST_STATES, compile_regex
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from collections.abc import Callable

CORE = Path(__file__).parents[2] / "src" / "auditsense"
LETTERS = "abAB."


class _Span(ctypes.Structure):
    _fields_ = [("at", ctypes.c_char_p), ("len", ctypes.c_uint32)]


@pytest.fixture(scope="session")
def fits(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes, bytes], bool]:
    """Return the core's function, which says whether a program fits a text."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("regex") / "regex.so"
    source = CORE / "_ring" / "regex.c"
    command = [compiler, "-std=c11", "-O1", "-shared", "-fPIC", f"-I{CORE}", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    core = ctypes.CDLL(str(library))
    core.as_regex_valid.argtypes = [_Span]
    core.as_regex_valid.restype = ctypes.c_bool
    core.as_regex_match.argtypes = [_Span, _Span]
    core.as_regex_match.restype = ctypes.c_bool

    def run(program: bytes, text: bytes) -> bool:
        assert core.as_regex_valid(_Span(program, len(program)))
        return bool(core.as_regex_match(_Span(program, len(program)), _Span(text, len(text))))

    return run


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("", [b""], [b"a"]),
        ("()", [b""], [b"a"]),
        ("abc", [b"abc"], [b"ab", b"abcd", b"ABC", b"xabc"]),
        ("a|bc", [b"a", b"bc"], [b"abc", b""]),
        ("a.c", [b"abc", b"a\xffc", b"a\nc"], [b"ac"]),
        (r"a\.c", [b"a.c"], [b"abc"]),
        (r"[0-9]{1,3}(\.[0-9]{1,3}){3}", [b"10.1.2.33"], [b"10.1.2", b"10.1.2.3333"]),
        (r"\d\w\s\D\W\S", [b"1_ x-y"], [b"a_ x-y"]),
        (r"[\d\-x]+", [b"1-x"], [b"y", b""]),
        ("[^a-c]", [b"d", b"\xff"], [b"a", b"c", b""]),
        ("[]a]", [b"]", b"a"], [b"[]a]"]),
        ("[-a]", [b"-", b"a"], [b"b"]),
        ("^a$", [b"^a$"], [b"a"]),
        ("a+?", [b"", b"aa"], [b"b"]),
        ("a{2}{2}", [b"aaaa"], [b"aa", b"aaa"]),
        ("a{2,}", [b"aa", b"aaaaa"], [b"a"]),
        ("x{0}y", [b"y"], [b"xy"]),
        ("(ab*)*", [b"", b"abab", b"aabbb"], [b"b"]),
        ("é+", ["éé".encode()], [b"\xc3", b""]),
        (r"\?\*\~\"", [b'?*~"'], [b""]),
        (".*[0-9a-f]{32}.*", [b"x" + b"0" * 32, b"f" * 40], [b"0" * 31]),
    ],
)
def test_expression_fits_whole_values(
    fits: Callable[[bytes, bytes], bool], pattern: str, fitting: list[bytes], others: list[bytes]
) -> None:
    program = compile_regex(pattern)
    assert [text for text in fitting if not fits(program, text)] == []
    assert [text for text in others if fits(program, text)] == []


def test_folding_fits_both_cases(fits: Callable[[bytes, bytes], bool]) -> None:
    program = compile_regex("a[b-d][^x]é", fold_case=True)
    assert fits(program, "ACyé".encode())
    assert not fits(program, "ACXé".encode())
    assert not fits(program, "ACyÉ".encode())


# --- against another implementation ------------------------------------------------

# A tree as two texts: in Lucene's syntax, and in that of `re`, where each repeat has a group.
Both = tuple[str, str]


def _same(text: str) -> Both:
    return text, text


def _group(both: Both) -> Both:
    return f"({both[0]})", f"(?:{both[1]})"


def _repeat(term: Both, repeat: str) -> Both:
    return f"({term[0]}){repeat}", f"(?:(?:{term[1]}){repeat})"


def _pair(one: Both, two: Both, between: str) -> Both:
    return _group((one[0] + between + two[0], one[1] + between + two[1]))


def _expressions() -> st.SearchStrategy[Both]:
    leaves = st.sampled_from(["a", "b", "A", ".", r"\.", "[ab]", "[^a]", "[A-a]", r"\w", r"\D", "ab"]).map(
        _same
    )
    repeats = st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,3}", "{2,}", "{0}"])
    return st.recursive(
        leaves,
        lambda parts: st.one_of(
            st.builds(_repeat, parts, repeats),
            st.builds(_pair, parts, parts, st.sampled_from(["", "|"])),
        ),
        max_leaves=8,
    )


@given(both=_expressions(), texts=st.lists(st.text(LETTERS, max_size=8), max_size=8), fold_case=st.booleans())
def test_expression_matches_the_same_as_python(
    fits: Callable[[bytes, bytes], bool], both: Both, texts: list[str], *, fold_case: bool
) -> None:
    lucene, other = both
    flags = re.DOTALL | (re.IGNORECASE if fold_case else 0)
    expected = re.compile(other.encode(), flags)
    program = b""
    try:
        program = compile_regex(lucene, fold_case=fold_case)
    except DetectionError:  # repeats of repeats have too many states
        assume(condition=False)
    for text in ["", *texts]:
        found = fits(program, text.encode())
        assert found == (expected.fullmatch(text.encode()) is not None), (lucene, text)


# --- refusals ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?<=a)b", "(? is not in the regular expressions of Lucene (character 1 of"),
        (r"(a)\1", r"back references are not in the regular expressions of Lucene (character 4 of"),
        (r"a\b", r"\b is not in the regular expressions of Lucene (character 2 of"),
        ("a~b", r"~ is an operator of Lucene that is not supported; write \~ (character 2 of"),
        ("a&b", "& is an operator"),
        ("@", "@ is an operator"),
        ("<1-5>", "< is an operator"),
        ('"a"', '" is an operator'),
        ("*a", "nothing comes before * (character 1"),
        ("a|", "an expression is missing here (character 3"),
        ("(|a)", "an expression is missing here (character 2"),
        ("(a", "the ) is missing (character 1"),
        ("a)", "there is no ( before this ) (character 2"),
        ("[a", "the ] is missing (character 1"),
        ("[", "the ] is missing (character 1"),
        ("[a-]", r"the end of this range is missing; write \- for the character (character 3"),
        ("[b-a]", "this range ends before it begins (character 2"),
        ("[é]", "'é' in [] is not ASCII, which is not supported; write (é|…) (character 2"),
        ("a{", "a number of repeats must follow {"),
        ("a{,3}", "a number of repeats must follow {"),
        ("a{3,2}", "{3,2} repeats fewer times at most than at least (character 2"),
        ("a\\", r"a character must follow \ (character 2"),
        ("(" * 65 + ")" * 65, "at most 64 groups can be nested (character 65"),
    ],
)
def test_refusal_names_the_place(pattern: str, message: str) -> None:
    with pytest.raises(DetectionError, match=re.escape(message)):
        compile_regex(pattern)


@pytest.mark.parametrize("pattern", ["a{256}", "a{1000000000}", "(a{16}){16}", "((((a{9}){9}){9}){9}){9}"])
def test_too_many_states_are_refused(pattern: str) -> None:
    with pytest.raises(DetectionError, match="has more than 256 states"):
        compile_regex(pattern)


def test_most_states_fit(fits: Callable[[bytes, bytes], bool]) -> None:
    most = MOST_STATES - 1
    program = compile_regex(f"a{{1,{most}}}")
    assert fits(program, b"a" * most)
    assert not fits(program, b"a" * (most + 1))


def test_endless_repeats_of_nothing_are_nothing(fits: Callable[[bytes, bytes], bool]) -> None:
    assert fits(compile_regex("(){1000000000}((()*)+){5}"), b"")
