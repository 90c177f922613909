"""Rotary frequencies that depend on how long a text is: LongRoPE, as in Phi-3 and Phi-4-mini.

Such a model reads every position of a text by one set of frequencies up to the length it was first
trained for, and by another beyond it. Keys made by one set do not serve the other, and a text that goes
through in chunks must be read as long from the first chunk on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


def frequency_switch(config: Any) -> int | None:
    """Return the longest text a model reads by its first set of frequencies; None where there is only one.

    Args:
        config: a transformers model's configuration.
    """
    rope = getattr(config.get_text_config(decoder=True), "rope_parameters", None) or {}
    length: int | None = None
    if rope.get("rope_type") == "longrope":
        length = rope["original_max_position_embeddings"]
    return length


@contextmanager
def read_as_whole(model: Any, n_tokens: int) -> Iterator[None]:
    """Let the body run chunks of a text as parts of all its `n_tokens`."""
    if frequency_switch(model.config) is None:
        yield
        return
    rotary = model.get_decoder().rotary_emb
    hooks = (
        rotary.register_forward_pre_hook(partial(_with_last, n_tokens - 1), with_kwargs=True),
        rotary.register_forward_hook(_without_last),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _with_last(last: int, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Add the text's last position to the positions asked for: the longest decides on the frequencies."""
    states, positions = (*args, *kwargs.values())  # (1, chunk, d), (1, chunk)
    return (states, torch.cat([positions, positions.new_full((len(positions), 1), last)], dim=1)), {}


def _without_last(_: nn.Module, args: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    return tuple(part[:, :-1] for part in output)  # cosines and sines, (1, chunk, d_h) each
