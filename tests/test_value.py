"""Values: what `dataclasses` makes of the same class, and what it says about them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense.value import FrozenValueError, as_dict, changed, made, names, value


@value
class Point:
    """A point."""

    x: int
    y: int = 7

    @property
    def sum(self) -> int:
        return self.x + self.y


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """The same, made by the standard library."""

    x: int
    y: int = 7


@value(order=True)
class Version:
    major: int
    minor: int


@value(frozen=False)
class Counts:
    seen: int = 0
    names: list[str] = made(default_factory=list)


@value
class Checked:
    x: int

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x is below 0")


@value
class Single:
    only: tuple[int, ...]


NUMBERS = st.integers(-2, 2)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_equality_hash_and_repr_are_those_of_a_dataclass(a: int, b: int, c: int, d: int) -> None:
    assert (Point(a, b) == Point(c, d)) == (Model(a, b) == Model(c, d))
    assert hash(Point(a, b)) == hash(Model(a, b))
    assert repr(Point(a, b)) == repr(Model(a, b)).replace("Model", "Point")


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_order_is_that_of_the_fields(a: int, b: int, c: int, d: int) -> None:
    assert (Version(a, b) < Version(c, d)) == ((a, b) < (c, d))
    assert (Version(a, b) >= Version(c, d)) == ((a, b) >= (c, d))


def test_a_value_is_not_equal_to_one_of_another_class_and_has_no_order_with_it() -> None:
    other: object = Version(1, 2)
    assert Point(1, 2) != other
    with pytest.raises(TypeError):
        _ = Version(1, 2) < Point(1, 2)  # type: ignore[operator]


def test_defaults_are_taken_and_those_that_are_made_are_made_anew() -> None:
    assert Point(1) == Point(1, 7) == Point(x=1)
    assert Counts().names is not Counts().names
    given: list[str] = []
    assert Counts(names=given).names is given


@pytest.mark.parametrize("given", [{}, {"x": 1, "z": 2}])
def test_wrong_arguments_are_an_error_that_names_them(given: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"__init__.*'[xz]'"):
        Point(**given)


def test_a_frozen_value_cannot_be_changed_and_another_can() -> None:
    point = Point(1)
    with pytest.raises(FrozenValueError, match="cannot assign to x: a Point is a value"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenValueError, match="cannot delete x"):
        del point.x
    counts = Counts()
    counts.seen += 1
    assert counts.seen == 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(counts)


def test_there_is_no_room_for_other_attributes() -> None:
    assert not hasattr(Point(1), "__dict__")
    with pytest.raises(AttributeError):
        Counts().other = 1  # type: ignore[attr-defined]


def test_what_a_class_defines_itself_stays() -> None:
    assert Point(1, 2).sum == 3
    assert Point.__doc__ == "A point."
    with pytest.raises(ValueError, match="below 0"):
        Checked(-1)


@pytest.mark.parametrize("one", [Point(1), Version(1, 2), Single((1,)), Counts(3, ["a"])], ids=repr)
def test_a_value_is_pickled_and_copied_as_what_it_is(one: object) -> None:
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == copy.copy(one) == one  # noqa: S301 - our own


def test_a_value_is_matched_by_position() -> None:
    match Point(3):
        case Point(x, y):
            assert (x, y) == (3, 7)


def test_a_value_is_a_dataclass_to_whoever_asks() -> None:
    point: Any = Point(1)
    assert dataclasses.is_dataclass(type(point))
    assert [field.name for field in dataclasses.fields(point)] == ["x", "y"] == [*names(Point)]
    assert dataclasses.asdict(point) == {"x": 1, "y": 7} == as_dict(point)
    assert dataclasses.replace(point, y=2) == Point(1, 2) == changed(point, y=2)
    by_name = {field.name: field for field in dataclasses.fields(Counts)}
    assert by_name["seen"].default == 0
    assert by_name["names"].default_factory is list


def test_a_class_with_a_base_is_refused() -> None:
    with pytest.raises(TypeError, match="has a base"):

        @value
        class Derived(Model):
            z: int = 0


def test_changing_a_field_that_is_none_is_an_error() -> None:
    with pytest.raises(TypeError, match="'z'"):
        changed(Point(1), z=1)
