"""The token that stands for nothing where another is taken out, so that the rest keep their positions."""

from __future__ import annotations

from typing import Any


def filler_token(model: Any, tokenizer: Any) -> int:
    """Return the id of the padding token, else that of the end of text, else 0.

    Args:
        model: a transformers model, whose configuration is asked after the tokenizer.
        tokenizer: its tokenizer, or None.
    """
    for owner in (tokenizer, model.config.get_text_config(decoder=True)):
        for name in ("pad_token_id", "eos_token_id"):
            token = getattr(owner, name, None)
            if isinstance(token, int):
                return token
    return 0
