"""vLLM: ``POST /tokenize`` renders a chat with its tools and template and returns the ids.

Request ``{model, messages, tools, add_generation_prompt, chat_template_kwargs}``, answer ``{count,
max_model_len, tokens}`` (vLLM's ``entrypoints/serve/tokenize/protocol.py``).
"""

from __future__ import annotations

from typing import Any

from flashtrace_agent.message import Message

from .base import Conversation, TokenSource, ask, ids_in


class VllmServer(TokenSource):
    """A vLLM server with its OpenAI-compatible API.

    Args:
        url: its address, without ``/v1``.
    """

    name = "vLLM's /tokenize"

    def __init__(self, url: str) -> None:
        self._url = f"{url}/tokenize"

    def prompt_ids(self, conversation: Conversation) -> list[int]:
        return self._tokenize(conversation, conversation.openai_messages(), True)

    def whole_ids(self, conversation: Conversation, answer: Message) -> list[int]:
        return self._tokenize(conversation, conversation.openai_messages(answer), False)

    def _tokenize(self, conversation: Conversation, messages: list[dict[str, Any]], begin: bool) -> list[int]:
        body = conversation.openai_request(messages) | {"add_generation_prompt": begin}
        if conversation.model:
            body["model"] = conversation.model
        return ids_in(ask(self._url, body), "tokens", self._url)
