"""From messages and tools to a prompt's text and token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flashtrace_agent.message import Message, ToolSchema

from .chat_template import choose_template


@dataclass(frozen=True)
class RenderedPrompt:
    """A prompt as the model is given it.

    Attributes:
        text: the rendered text.
        ids: its token ids.
        template_hash: SHA-256 of the template's Jinja source, in hex.
        template_kwargs: the template's variables, a pinned date included.
        chat_template: the template's source if it is not the tokenizer's own, else None.
    """

    text: str
    ids: list[int]
    template_hash: str
    template_kwargs: dict[str, Any]
    chat_template: str | None


def render_prompt(
    tokenizer: Any,
    messages: Sequence[Message],
    tools: Sequence[ToolSchema] = (),
    *,
    chat_template: str | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
    add_generation_prompt: bool = True,
) -> RenderedPrompt:
    """Render a conversation with a chat template and tokenize it.

    Args:
        tokenizer: a transformers tokenizer.
        messages: the conversation.
        tools: the tools on offer.
        chat_template: Jinja source; by default the tokenizer's own, or the bundled ChatML one
            where that leaves out the conversation's tools.
        template_kwargs: further variables for the template, such as ``enable_thinking``.
        add_generation_prompt: end with the start of the assistant's turn.

    Raises:
        FlashTraceError: if there is no template that fits, or it refuses the conversation.
    """
    template = choose_template(
        tokenizer, messages, tools, chat_template=chat_template, template_kwargs=template_kwargs
    )
    text = template.render(messages, tools, add_generation_prompt=add_generation_prompt)
    # The template writes the special tokens itself; adding them again would double the BOS.
    ids = [int(token) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
    return RenderedPrompt(
        text=text,
        ids=ids,
        template_hash=template.digest,
        template_kwargs=template.kwargs,
        chat_template=None if template.own else template.text,
    )
