"""Ollama: renders a chat on request, but has no tokenizer to ask; the model's own is needed here.

``POST /api/chat`` with ``_debug_render_only`` (a field of its ``ChatRequest`` that its
documentation leaves out) answers ``{_debug_info: {rendered_template}}`` without generating.
Ollama's messages differ from OpenAI's: arguments are objects, a tool's result names its tool, and
reasoning is ``thinking``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flashtrace_agent.message import Message

from .base import Conversation, ServerError, TokenSource, ask, text_in


class OllamaServer(TokenSource):
    """An Ollama server.

    Args:
        url: its address.
        tokenizer: the model's transformers tokenizer.

    Raises:
        ServerError: if there is no tokenizer.
    """

    name = "Ollama's rendered template and the model's tokenizer"

    def __init__(self, url: str, tokenizer: Any) -> None:
        if tokenizer is None:
            raise ServerError(
                "Ollama renders prompts but gives no token ids: name the model's weights with --model."
            )
        self._url = f"{url}/api/chat"
        self._tokenizer = tokenizer

    def prompt_ids(self, conversation: Conversation) -> list[int]:
        return self._tokenize(conversation, _messages(conversation.messages, conversation.keep_reasoning))

    def whole_ids(self, conversation: Conversation, answer: Message) -> list[int]:
        messages = _messages(conversation.messages, conversation.keep_reasoning)
        return self._tokenize(conversation, [*messages, *_messages([answer], True)])

    def end_of_turn(self) -> int | None:
        """Return the tokenizer's end-of-sequence token."""
        token = self._tokenizer.eos_token_id
        return None if token is None else int(token)

    def _tokenize(self, conversation: Conversation, messages: list[dict[str, Any]]) -> list[int]:
        body: dict[str, Any] = {
            "model": conversation.model or "",
            "messages": messages,
            "stream": False,
            "truncate": False,  # else earlier messages go where the context set here is shorter than there
            "_debug_render_only": True,
        }
        if conversation.tools:
            body["tools"] = conversation.openai_tools()
        if "enable_thinking" in conversation.template_kwargs:
            body["think"] = bool(conversation.template_kwargs["enable_thinking"])
        text = text_in(ask(self._url, body), self._url, "_debug_info", "rendered_template")
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        begin = self._tokenizer.bos_token_id
        # The runner puts the BOS before a text that lacks it, where the model wants one.
        wants_bos = begin is not None and self._tokenizer("")["input_ids"][:1] == [begin]
        return [begin, *ids] if wants_bos and ids[:1] != [begin] else list(ids)


def _messages(messages: Sequence[Message], keep_reasoning: bool) -> list[dict[str, Any]]:
    names: dict[str, str] = {}
    found: list[dict[str, Any]] = []
    for message in messages:
        data: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.reasoning is not None and keep_reasoning:
            data["thinking"] = message.reasoning
        if message.tool_calls:
            data["tool_calls"] = [
                {"function": {"name": call.name, "arguments": _object(call.arguments)}}
                for call in message.tool_calls
            ]
            names.update((call.id, call.name) for call in message.tool_calls)
        if message.role == "tool":
            data["tool_name"] = message.name or names.get(message.tool_call_id or "", "")
        found.append(data)
    return found


def _object(arguments: Any) -> dict[str, Any]:
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return {}
    return dict(arguments) if isinstance(arguments, dict) else {}
