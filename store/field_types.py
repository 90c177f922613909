"""Check that what was read from a file is what its classes say.

A dataclass takes whatever it is given. What a damaged or made-up file puts into one would be stored, and
fail where somebody reads it.
"""

from __future__ import annotations

from dataclasses import is_dataclass
from datetime import UTC, datetime
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .column_types import storable

_LEAST, _MOST = -(1 << 31), (1 << 31) - 1
"""Whole numbers that every column takes."""

_IDS = ("id", "trace_id", "step_id", "parent_id")


def check_fields(item: object) -> None:
    """Check a dataclass, and those in it; of its own ids, also that a database can hold them.

    Raises:
        ValueError: naming the first field that holds something else than its type says.
    """
    _check_types(item)
    for name in _IDS:
        value = getattr(item, name, None)
        if value is not None and (storable(value) != value or (name == "id" and not value)):
            raise ValueError(f"{value!r} is no {name}")


def _check_types(item: object) -> None:
    kind: Any = type(item)
    for name, hint in _hints(kind).items():
        value = getattr(item, name)
        if not _fits(value, hint):
            raise ValueError(f"the {name} of a {kind.__name__} cannot be {repr(value)[:40]}")


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is Literal:
        return value in arguments
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in arguments)
    if origin in (list, tuple):
        return isinstance(value, origin) and _all_fit(value, arguments[0])
    if origin is not None:
        return isinstance(value, origin)
    if hint is int:
        return _all_fit([value], int)
    if hint is float:
        return type(value) in (int, float)
    if not isinstance(value, hint):
        return False
    if is_dataclass(hint):
        _check_types(value)
    # A moment in no time zone, or before the year 1 in UTC, cannot be stored.
    return hint is not datetime or (value.tzinfo is not None and bool(value.astimezone(UTC)))


def _all_fit(values: list[Any] | tuple[Any, ...], hint: Any) -> bool:
    if hint is int:  # in one go: a step has thousands
        is_int = set(map(type, values)) <= {int}
        return is_int and (not values or (min(values) >= _LEAST and max(values) <= _MOST))
    return all(_fits(value, hint) for value in values)
