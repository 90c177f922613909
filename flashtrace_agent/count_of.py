"""How a number of things is written everywhere."""

from __future__ import annotations


def count_of(count: int, noun: str, plural: str = "") -> str:
    """Return a number of things, as ``1 line`` or ``3,000 lines``; `plural` where it is not an s more."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plural or noun + 's'}"
