"""How the steps a command goes through are to be attributed."""

from __future__ import annotations

from dataclasses import dataclass

from .options import Dtype


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the options say; `model` is None for the one each step was recorded with."""

    hops: int
    method: str
    model: str | None
    dtype: Dtype
