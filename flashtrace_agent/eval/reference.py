"""The reference package flashtrace 0.1.1 as a peer, through its public call (extra ``[bench]``)."""

from __future__ import annotations

import contextlib
import io

import numpy as np

from ..engine.attributor import Attributor
from ..model_lock import model_lock
from .example import Example
from .scorers import CannotRunError, Floats, Scorer


class ReferencePackage(Scorer):
    """`FlashTrace.trace` on the same text, spans and model; eager attention, which it needs."""

    def __init__(self, name: str, *, span: bool) -> None:
        self.name = name
        self.passes = "1 eager forward, plus its hops"
        self._method = "ifr-span" if span else "flashtrace"

    def score(self, attributor: Attributor, example: Example) -> Floats:
        """Score the example; see `Scorer.score`."""
        try:
            from flashtrace import FlashTrace
        except ImportError as error:
            raise CannotRunError(
                "the package is not installed; run `pip install 'flashtrace-agent[bench]'`"
            ) from error
        tokenizer, model = attributor.tokenizer, attributor.model
        prompt = tokenizer.decode(example.ids[: example.n_prompt])
        written = tokenizer.decode(example.ids[example.n_prompt :])
        # It takes text and tokenizes again; scores of other tokens could not be compared.
        again = tokenizer(prompt, add_special_tokens=False).input_ids
        again += tokenizer(written, add_special_tokens=False).input_ids
        if tuple(again) != example.ids:
            raise CannotRunError("it tokenizes the text again, and gets other tokens here")
        first = example.target[0].start - example.n_prompt
        last = example.target[-1].end - example.n_prompt - 1
        with (
            model_lock(model),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            before = model.config._attn_implementation
            model.set_attn_implementation("eager")
            try:
                result = FlashTrace(model, tokenizer).trace(
                    prompt=prompt,
                    target=written,
                    output_span=(first, last),
                    reasoning_span=(0, first - 1) if first else None,
                    hops=1,
                    method=self._method,
                )
            except (ValueError, RuntimeError, AttributeError, NotImplementedError) as error:
                raise CannotRunError(f"it raises {type(error).__name__}: {error}") from error
            finally:
                model.set_attn_implementation(before)
        scores = np.zeros(len(example.ids))
        scores[: len(result.scores)] = np.nan_to_num(result.scores)
        return scores
