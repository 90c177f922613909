"""Load a tokenizer without its model."""

from __future__ import annotations

from typing import Any

from flashtrace_agent.errors import ModelFileError


def load_tokenizer(name: str) -> Any:
    """Return the transformers tokenizer in a folder or of a Hugging Face id.

    Raises:
        ModelFileError: if there is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise ModelFileError(
            f"There is no tokenizer {name!r}: give a folder with its files or a Hugging Face id."
        ) from error
