"""No server at all: render again with the model's own template and tokenizer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flashtrace_agent.message import Message
from flashtrace_agent.prompt.rendering import render_prompt

from .base import Conversation, TokenSource


class LocalTemplate(TokenSource):
    """The chat template and tokenizer of weights that are here.

    Args:
        tokenizer: a transformers tokenizer.
    """

    name = "the model's own template"

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def prompt_ids(self, conversation: Conversation) -> list[int]:
        return self._ids(conversation, _history(conversation), True)

    def whole_ids(self, conversation: Conversation, answer: Message) -> list[int]:
        return self._ids(conversation, [*_history(conversation), answer], False)

    def end_of_turn(self) -> int | None:
        """Return the tokenizer's end-of-sequence token."""
        token = self._tokenizer.eos_token_id
        return None if token is None else int(token)

    def _ids(self, conversation: Conversation, messages: list[Message], begin: bool) -> list[int]:
        return render_prompt(
            self._tokenizer,
            messages,
            conversation.tools,
            template_kwargs=conversation.template_kwargs,
            add_generation_prompt=begin,
        ).ids


def _history(conversation: Conversation) -> list[Message]:
    if conversation.keep_reasoning:
        return list(conversation.messages)
    return [replace(message, reasoning=None) for message in conversation.messages]
