"""Values: what `dataclasses.dataclass(frozen=True, slots=True)` makes, without what that has to load.

Importing `dataclasses` takes half as long as starting Python (it loads inspect, ast, dis, tokenize), and it
compiles six functions a class; see docs/adr/21-values.md. For whoever asks, a value is a dataclass all the
same: `dataclasses.fields`, `asdict`, `replace` and `is_dataclass` take it.

Rule 1: a value has slots, equality by its fields, a hash if it is frozen, a repr that can be evaluated, and
        can be pickled and matched. What dataclasses have besides (inheritance, fields
        by keyword only or not of __init__) it has not; a class that asks for it is refused.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, dataclass_transform, overload

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


# Of the class that is given; the one that is made has its own.
_NOT_COPIED: Final = {
    *("__dict__", "__weakref__", "__annotations__"),
    *("__annotate__", "__annotate_func__", "__annotations_cache__"),  # from Python 3.14 on
}


class _Made:
    """A default that is made anew for each object."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make


def made(*, default_factory: Callable[[], _T]) -> _T:
    """Return the default of a field whose value each object gets anew, as `dataclasses.field` does."""
    return _Made(default_factory)  # type: ignore[return-value]  # what the field gets is made by it


class FrozenValueError(AttributeError):
    """Somebody tried to change a value."""


class _Fields:
    """Says what `dataclasses` wants to know of a class, once somebody asks."""

    def __get__(self, _: object, cls: type) -> dict[str, Any]:
        import dataclasses  # noqa: PLC0415 - what this module does without

        found: dict[str, Any] = {}
        for name in names(cls):
            given = _defaults(cls).get(name, dataclasses.MISSING)
            factory = given.make if isinstance(given, _Made) else None
            one: Any = (
                dataclasses.field(default_factory=factory)
                if factory is not None
                else dataclasses.field(default=given)
            )
            one.name, one.type = name, cls.__annotations__[name]
            one._field_type = dataclasses._FIELD  # type: ignore[attr-defined]  # noqa: SLF001 - as it marks them
            found[name] = one
        return found


def names(cls: type) -> tuple[str, ...]:
    """Return the fields of a value class, in order."""
    found: tuple[str, ...] = cls.__match_args__  # type: ignore[attr-defined]
    return found


def _defaults(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = cls.__defaults__  # type: ignore[attr-defined]
    return found


def changed(one: _T, **fields: object) -> _T:
    """Return a value like *one* but for these fields.

    Raises:
        TypeError: there is no such field.
    """
    cls = type(one)
    return cls(**{name: getattr(one, name) for name in names(cls)} | fields)


def as_dict(one: object) -> dict[str, Any]:
    """Return the fields of a value by name, without looking into them."""
    return {name: getattr(one, name) for name in names(type(one))}


def _init(cls: type, fields: tuple[str, ...], defaults: dict[str, Any], *, frozen: bool) -> Any:  # noqa: ANN401 - a function
    """Compile __init__: it runs for every hit, and one that loops over its arguments is slow."""
    given: dict[str, Any] = {"_set": object.__setattr__, "_Made": _Made}
    parameters, body = [], []
    for name in fields:
        parameter = name
        if name in defaults:
            given[f"_d_{name}"] = defaults[name]
            parameter += f"=_d_{name}"
        parameters.append(parameter)
        taken = name
        if isinstance(defaults.get(name), _Made):
            taken = f"_d_{name}.make() if {name} is _d_{name} else {name}"
        body.append(f" _set(self,{name!r},{taken})" if frozen else f" self.{name}={taken}")
    if hasattr(cls, "__post_init__"):
        body.append(" self.__post_init__()")
    exec(f"def __init__(self,{','.join(parameters)}):\n" + "\n".join(body), given)  # noqa: S102 - of names of fields only
    made_init = given["__init__"]
    made_init.__qualname__ = f"{cls.__qualname__}.__init__"
    made_init.__annotations__ = {name: cls.__annotations__[name] for name in fields} | {"return": None}
    return made_init


def _repr(self: object) -> str:
    listed = ", ".join(f"{name}={getattr(self, name)!r}" for name in names(type(self)))
    return f"{type(self).__qualname__}({listed})"


def _refuse_to_set(self: object, name: str, _: object) -> NoReturn:
    raise FrozenValueError(f"cannot assign to {name}: a {type(self).__name__} is a value")


def _refuse_to_delete(self: object, name: str) -> NoReturn:
    raise FrozenValueError(f"cannot delete {name}: a {type(self).__name__} is a value")


def _reduce(self: object) -> tuple[Any, ...]:
    cls = type(self)
    return _restored, (cls, tuple(getattr(self, name) for name in names(cls)))


def _restored(cls: type[_T], fields: tuple[object, ...]) -> _T:
    """Return a value as it was pickled; what it had checked then is not checked again."""
    one = object.__new__(cls)
    for name, field in zip(names(cls), fields, strict=True):
        object.__setattr__(one, name, field)
    return one


def _compared(fields: tuple[str, ...], *, order: bool, frozen: bool) -> dict[str, Any]:
    if len(fields) > 1:
        key: Callable[[Any], Any] = attrgetter(*fields)
    else:
        key = lambda one: tuple(getattr(one, name) for name in fields)  # noqa: E731 - two ways to one name

    def __eq__(self: object, other: object) -> bool:  # noqa: N807 - becomes a method
        return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: object) -> int:  # noqa: N807 - the same
        return hash(key(self))

    def __lt__(self: object, other: object) -> bool:  # noqa: N807 - the same
        return key(self) < key(other) if other.__class__ is self.__class__ else NotImplemented

    def __le__(self: object, other: object) -> bool:  # noqa: N807 - the same
        return key(self) <= key(other) if other.__class__ is self.__class__ else NotImplemented

    found: dict[str, Any] = {"__eq__": __eq__, "__hash__": __hash__ if frozen else None}
    return found | ({"__lt__": __lt__, "__le__": __le__} if order else {})


def _make(cls: type[_T], *, frozen: bool, order: bool) -> type[_T]:
    if cls.__bases__ != (object,):
        raise TypeError(f"{cls.__name__} has a base; a value has none")
    annotations = dict(cls.__annotations__)
    fields = tuple(annotations)
    body = {name: entry for name, entry in cls.__dict__.items() if name not in _NOT_COPIED}
    defaults = {name: body.pop(name) for name in fields if name in body}
    made_class: dict[str, Any] = {
        "__annotations__": annotations,
        "__slots__": fields,
        "__match_args__": fields,
        "__defaults__": defaults,
        "__dataclass_fields__": _Fields(),
        "__init__": _init(cls, fields, defaults, frozen=frozen),
        "__repr__": _repr,
        "__reduce__": _reduce,
        **_compared(fields, order=order, frozen=frozen),
    }
    if frozen:
        made_class |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
    again: type[_T] = type(cls.__name__, (), made_class | body)
    return again


@overload
def value(cls: type[_T], /) -> type[_T]: ...


@overload
def value(*, frozen: bool = True, order: bool = False) -> Callable[[type[_T]], type[_T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(made,))
def value(
    cls: type[_T] | None = None, /, *, frozen: bool = True, order: bool = False
) -> type[_T] | Callable[[type[_T]], type[_T]]:
    """Make a class a value: see the module.

    Args:
        cls: whose annotated names are the fields, in order.
        frozen: nothing can be set afterwards, so it can be hashed.
        order: values are compared by their fields, in order.

    Raises:
        TypeError: the class has a base.
    """
    if cls is None:
        return lambda given: _make(given, frozen=frozen, order=order)
    return _make(cls, frozen=frozen, order=order)
