"""LangChain and LangGraph: record runs with a callback handler, run local models exactly.

Public names load lazily, so that importing the package needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .activation import install, record, uninstall
    from .chat_model import ChatTransformers
    from .chat_vllm import ChatVLLM
    from .handler import FlashTraceCallbackHandler

_HOME = {
    "ChatTransformers": "chat_model",
    "ChatVLLM": "chat_vllm",
    "FlashTraceCallbackHandler": "handler",
    "install": "activation",
    "record": "activation",
    "uninstall": "activation",
}

__all__ = ["ChatTransformers", "ChatVLLM", "FlashTraceCallbackHandler", "install", "record", "uninstall"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
