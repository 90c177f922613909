"""Parts of a page that draw themselves again on their own, and how an error is shown on any page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import streamlit as st

from flashtrace_agent.errors import FlashTraceError

from .text import plain

P = ParamSpec("P")


def show_error(error: FlashTraceError) -> None:
    """Show an error's sentence, and below it the place it points at, as a mistake in a filter does."""
    sentence, *picture = str(error).split("\n", 1)
    st.error(plain(sentence), icon=":material/error:")
    if picture:
        st.code(picture[0], language=None)


def live(draw: Callable[P, None], run_every: float | None) -> Callable[P, None]:
    """Return a function that draws a part of the page, again every `run_every` seconds.

    Such a part keeps its errors from the page, so what the user can mend is shown here: a sentence
    in the part's place.
    """

    @wraps(draw)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except FlashTraceError as error:
            show_error(error)

    part: Callable[P, None] = st.fragment(guarded, run_every=run_every)
    return part
