"""Model families, one file each. To add one: write its file and name its class in `FAMILIES`."""

from __future__ import annotations

from typing import Any

from torch import nn

from ...errors import UnsupportedModelError
from .base import Family
from .llama import LlamaFamily
from .phi3 import Phi3Family
from .post_norm import PostNormFamily

FAMILIES: tuple[type[Family], ...] = (LlamaFamily, PostNormFamily, Phi3Family)

__all__ = ["FAMILIES", "Family", "check_supported", "family_of", "supported_model_types"]


def supported_model_types() -> list[str]:
    """Return every ``config.model_type`` that has an adapter, sorted."""
    return sorted(name for family in FAMILIES for name in family.model_types)


def family_of(model: nn.Module) -> Family:
    """Return the adapter of a model.

    Raises:
        UnsupportedModelError: if no family serves its ``config.model_type``, or a PEFT adapter puts
            virtual tokens before the prompt.
    """
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        raise UnsupportedModelError(
            "This adapter puts virtual tokens before the prompt, which no source token stands for; explain "
            "the model without it, or with an adapter of its weights, such as LoRA."
        )
    return _family_serving(getattr(model, "config", None), type(model).__name__)


def check_supported(config: Any) -> None:
    """Refuse a model by its configuration, before its weights are fetched and read.

    Raises:
        UnsupportedModelError: if no family serves its ``model_type``.
    """
    _family_serving(config, (config.architectures or [type(config).__name__])[0])


def _family_serving(config: Any, architecture: str) -> Family:
    model_type = getattr(config, "model_type", None)
    for family in FAMILIES:
        if model_type in family.model_types:
            return family()
    raise UnsupportedModelError(
        f"{architecture} (model_type {model_type!r}) has no adapter for its decoder layers; "
        f"supported are {', '.join(supported_model_types())}. CONTRIBUTING.md says how to add one."
    )
