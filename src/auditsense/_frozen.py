"""Base of small immutable values.

`dataclass(frozen=True)` compiles six methods for each class while it is imported, a third of a millisecond
each; commands start faster with shared ones. Only `__init__` is left to it:

    @dataclass(slots=True, eq=False, repr=False)
    class Call(Frozen):
        arch: int
        syscall: int
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import ClassVar


class Frozen:
    """A value that never changes. Equal are values of one class with equal fields."""

    __slots__ = ()
    if TYPE_CHECKING:
        __match_args__: ClassVar[tuple[str, ...]]

    def _compared(self) -> tuple[object, ...]:
        """Return what makes two values of the class equal: all fields."""
        return tuple([getattr(self, name) for name in self.__match_args__])

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            self._compared() == other._compared()
            if isinstance(other, Frozen) and type(other) is type(self)
            else NotImplemented
        )

    def __hash__(self) -> int:
        return hash((type(self), self._compared()))

    if not TYPE_CHECKING:  # a type checker would take any attribute for one

        def __setattr__(self, name: str, value: object) -> None:
            if hasattr(self, name):  # a slot is empty until __init__ fills it
                raise FrozenInstanceError(f"cannot assign to field {name!r}")
            object.__setattr__(self, name, value)

        def __delattr__(self, name: str) -> None:
            raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({fields})"
