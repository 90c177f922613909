"""What the server process keeps between the runs of a page's script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

import streamlit as st

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Kept(Protocol[P, R_co]):
    """A function whose results are kept, by its arguments."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Return what was kept, or compute it."""

    def clear(self) -> None:
        """Forget all results."""


def kept(**options: Any) -> Callable[[Callable[P, R_co]], Kept[P, R_co]]:
    """Return the decorator `st.cache_resource` with the types it has."""
    decorate: Callable[[Callable[P, R_co]], Kept[P, R_co]] = st.cache_resource(**options)
    return decorate
