"""The reference package flashtrace 0.1.1 as a subject (extra ``[bench]``)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

from ..engine.attributor import Attributor
from ..errors import FlashTraceError
from .case import Case, sequence


def reference_subject(attributor: Attributor, case: Case) -> Callable[[], Any]:
    """Return a call of its public ``trace`` on the same text, spans and model, with eager attention.

    Raises:
        FlashTraceError: if the package is not installed.
    """
    try:
        from flashtrace import FlashTrace
    except ImportError as error:
        raise FlashTraceError(
            "The reference package is not installed; run `pip install 'flashtrace-agent[bench]'`."
        ) from error
    ids = sequence(attributor, case)
    tokenizer = attributor.tokenizer
    prompt, target = tokenizer.decode(ids[: case.prompt]), tokenizer.decode(ids[case.prompt :])
    # The package re-tokenizes the target, so that its length can differ by a few tokens from ours.
    generated = len(tokenizer(target, add_special_tokens=False).input_ids)
    answer = len(case.answer)
    tracer = FlashTrace(attributor.model, tokenizer)

    def run() -> Any:
        before = attributor.model.config._attn_implementation
        attributor.model.set_attn_implementation("eager")  # it needs the attention matrices
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                return tracer.trace(
                    prompt=prompt,
                    target=target,
                    output_span=(generated - answer, generated - 1),
                    reasoning_span=(0, generated - answer - 1),
                    hops=1,
                )
        finally:
            attributor.model.set_attn_implementation(before)

    return run
