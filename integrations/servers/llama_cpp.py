"""llama.cpp's server: ``POST /apply-template`` renders a chat, ``POST /tokenize`` makes ids of it.

``/apply-template`` takes what ``/v1/chat/completions`` takes and answers ``{prompt}``; a last
message of the assistant is left open, for the model to go on. ``/tokenize`` takes ``{content,
add_special, parse_special}`` and answers ``{tokens}`` (``tools/server/README.md``). The server
itself tokenizes prompts with special tokens added, and its templates leave the BOS out.
"""

from __future__ import annotations

from typing import Any

from flashtrace_agent.message import Message

from .base import Conversation, TokenSource, ask, ids_in, text_in


class LlamaCppServer(TokenSource):
    """A ``llama-server``, started with ``--jinja`` where tools are used.

    Args:
        url: its address, without ``/v1``.
    """

    name = "llama.cpp's /apply-template and /tokenize"

    def __init__(self, url: str) -> None:
        self._url = url

    def prompt_ids(self, conversation: Conversation) -> list[int]:
        return self._tokenize(self._rendered(conversation, conversation.openai_messages()))

    def whole_ids(self, conversation: Conversation, answer: Message) -> list[int]:
        return self._tokenize(self._rendered(conversation, conversation.openai_messages(answer)))

    def end_of_turn(self) -> int | None:
        """Return the id of the token that ``GET /props`` names as the end."""
        text = ask(f"{self._url}/props").get("eos_token")
        ids = self._tokenize(text, special=False) if isinstance(text, str) and text else []
        return ids[0] if len(ids) == 1 else None

    def _rendered(self, conversation: Conversation, messages: list[dict[str, Any]]) -> str:
        url = f"{self._url}/apply-template"
        body: dict[str, Any] = {"messages": messages}
        if conversation.tools:
            body["tools"] = conversation.openai_tools()
        if conversation.template_kwargs:
            body["chat_template_kwargs"] = dict(conversation.template_kwargs)
        return text_in(ask(url, body), url, "prompt")

    def _tokenize(self, text: str, *, special: bool = True) -> list[int]:
        url = f"{self._url}/tokenize"
        return ids_in(
            ask(url, {"content": text, "add_special": special, "parse_special": True}), "tokens", url
        )
