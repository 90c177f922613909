"""How long a sequence a model can hold."""

from __future__ import annotations

from typing import Any

_STRETCHED = ("linear", "yarn")
"""Rotary embeddings that are stretched by a factor, often without `max_position_embeddings` saying so.

Not ``dynamic``: beyond the trained length its frequencies depend on the longest text the model ever ran, so
the same text would not get the same scores twice.
"""


def context_length(config: Any) -> int | None:
    """Return the tokens a model can hold, prompt and completion together; None where not stated.

    Args:
        config: a transformers model's configuration.
    """
    config = config.get_text_config(decoder=True)
    length = getattr(config, "max_position_embeddings", None)
    if not isinstance(length, int):
        return None
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") not in _STRETCHED:
        return length
    trained = rope.get("original_max_position_embeddings") or length
    return max(length, int(trained * rope["factor"]))
