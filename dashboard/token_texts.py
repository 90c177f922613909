"""The texts of a step's tokens where nothing of it is explained yet, for a reader to choose among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import ModelFileError
from flashtrace_agent.prompt.local_tokenizer import LocalTokenizer, find_tokenizer
from flashtrace_agent.prompt.token_text import TokenText
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Step

from .kept import kept
from .text import plain


def blank(step: Step) -> Attribution | None:
    """Return an attribution of nothing, which has the step's tokens; None where their texts are not known.

    They are known where the ids are, and the files of the model's tokenizer lie on this machine.
    """
    ids = step.token_ids
    path = find_tokenizer(step.model) if ids and step.model else None
    if ids is None or path is None:
        return None
    try:
        tokenizer = _read(str(path), path.stat().st_mtime_ns)
    except ModelFileError as error:
        st.warning(plain(str(error)), icon=":material/warning:")
        return None
    written = len(step.prompt_ids or [])
    return Attribution(
        input_ids=np.asarray(ids, dtype=np.int32),
        tokens=TokenText(tokenizer, ids).pieces,
        target=(),
        through=(),
        scores=np.zeros(len(ids), dtype=np.float32),
        hops=(),
        method="",
        model=step.model or "",
        fidelity=str(step.fidelity or ""),
        segments=(
            Segment("prompt", Span(0, written), None),
            Segment("generated", Span(written, len(ids)), -1),
        ),
    )


@kept(show_spinner=False, max_entries=4)
def _read(path: str, changed_ns: int) -> LocalTokenizer:
    """Return a tokenizer, kept while its file stays as it is."""
    return LocalTokenizer(Path(path))
