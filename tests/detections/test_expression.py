"""The tree that the front ends build."""

from __future__ import annotations

from auditsense.detections.expression import OPPOSITE, And, Constant, Not, Operator, Or, Test

_NUMBER = Test("process.pid", Operator.LESS, (3,))


def test_opposite_comparisons_split_the_numbers() -> None:
    """Each number passes exactly one of a comparison and its opposite."""
    holds = {
        Operator.LESS: lambda value: value < 3,
        Operator.AT_MOST: lambda value: value <= 3,
        Operator.GREATER: lambda value: value > 3,
        Operator.AT_LEAST: lambda value: value >= 3,
    }
    for operator, opposite in OPPOSITE.items():
        assert all(holds[operator](value) != holds[opposite](value) for value in (2, 3, 4))


def test_trees_are_values() -> None:
    """Equal trees are equal and can be keys, so that the compiler can share them."""
    tree = And((Or((_NUMBER, Constant(value=False))), Not(_NUMBER)))
    same = And((Or((Test("process.pid", Operator.LESS, (3,), line=7), Constant(value=False))), Not(_NUMBER)))
    assert tree == same
    assert len({tree, same}) == 1
