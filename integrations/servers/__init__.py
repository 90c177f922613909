"""Model servers: from recorded text to the token ids that the server saw and wrote.

A server is one class with two answers: the ids of a conversation's prompt, and those of the
prompt with an answer. A new server is a new module and a line in `SERVERS`. What is made of the
answers, and what they are worth, is decided in `recovery`, the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .base import ServerError, TokenSource
from .llama_cpp import LlamaCppServer
from .local import LocalTemplate
from .ollama import OllamaServer
from .recovery import check_log_probs, recover
from .vllm import VllmServer

SERVERS: dict[str, Callable[[str, Any], TokenSource]] = {
    "vllm": lambda url, tokenizer: VllmServer(url),
    "llama.cpp": lambda url, tokenizer: LlamaCppServer(url),
    "ollama": OllamaServer,
}


def server_named(choice: str, tokenizer: Any = None) -> TokenSource:
    """Return the server that ``KIND=URL`` names, such as ``vllm=http://127.0.0.1:8000``.

    Args:
        choice: kind and address.
        tokenizer: the model's transformers tokenizer, for servers that have none to offer.

    Raises:
        ServerError: if the kind is unknown, the address is none, or a tokenizer is needed.
    """
    kind, _, url = choice.partition("=")
    if kind not in SERVERS or not url.startswith(("http://", "https://")):
        raise ServerError(
            f"{choice!r} names no server: write KIND=URL with one of {', '.join(SERVERS)}, "
            "as in vllm=http://127.0.0.1:8000."
        )
    return SERVERS[kind](url.rstrip("/").removesuffix("/v1"), tokenizer)


__all__ = [
    "SERVERS",
    "LlamaCppServer",
    "LocalTemplate",
    "OllamaServer",
    "ServerError",
    "TokenSource",
    "VllmServer",
    "check_log_probs",
    "recover",
    "server_named",
]
