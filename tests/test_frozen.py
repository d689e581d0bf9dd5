"""Immutable values: what they share with frozen dataclasses."""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError, dataclass, replace

import pytest

from auditsense._frozen import Frozen


@dataclass(slots=True, eq=False, repr=False)
class Point(Frozen):
    x: int
    y: int = 0


@dataclass(slots=True, eq=False, repr=False)
class Size(Frozen):
    x: int
    y: int = 0


def test_values_of_one_class_with_equal_fields_are_equal() -> None:
    assert Point(1) == Point(1, 0)
    assert hash(Point(1)) == hash(Point(1, 0))
    assert Point(1) != Point(1, 2)
    assert Point(1) != Size(1)
    assert len({Point(1), Point(1), Size(1)}) == 2


def test_fields_cannot_change() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 2
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
        del point.x
    with pytest.raises(AttributeError):
        point.z = 2  # type: ignore[attr-defined] # there is no such field
    assert point == Point(1)


def test_values_can_be_replaced_copied_and_shown() -> None:
    point = replace(Point(1), y=3)
    assert point == Point(1, 3) == copy.copy(point) == copy.deepcopy(point)
    assert repr(point) == "Point(x=1, y=3)"


def test_values_match_patterns() -> None:
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)
        case _:
            pytest.fail("no match")
