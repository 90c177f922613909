"""Choosing a chat template, and rendering with it.

Many small models have a ChatML template that silently leaves tools out: the agent would be
explained by tools its model never saw. So the template is tried on the conversation at hand,
with its tools, calls and results and without; where nothing changes, the bundled
``chatml_tools.jinja`` takes its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import TemplateError

from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.message import Message, ToolSchema

from .template_messages import template_messages, template_tools

# What Jinja code raises on conversations it was not written for.
_REFUSALS = (TemplateError, TypeError, ValueError, LookupError, AttributeError)


class TemplateRefusedError(FlashTraceError):
    """The chat template raises on this conversation."""


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template with its settings.

    Attributes:
        tokenizer: the transformers tokenizer that runs it.
        text: its Jinja source.
        kwargs: further variables for it, such as ``enable_thinking`` or ``date_string``.
        own: True if it is the tokenizer's own.
    """

    tokenizer: Any
    text: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    own: bool = False

    @property
    def digest(self) -> str:
        """The SHA-256 of the source, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema] = (),
        *,
        add_generation_prompt: bool = True,
    ) -> str:
        """Return the prompt's text.

        Raises:
            TemplateRefusedError: if the template raises on this conversation.
        """
        return self.render_dicts(
            template_messages(messages, self.text),
            template_tools(tools),
            add_generation_prompt=add_generation_prompt,
        )

    def render_or_none(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema] = (),
        *,
        add_generation_prompt: bool = True,
    ) -> str | None:
        """Do as `render`, but return None where the template refuses the conversation."""
        try:
            return self.render(messages, tools, add_generation_prompt=add_generation_prompt)
        except TemplateRefusedError:
            return None

    def render_dicts(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]],
        *,
        add_generation_prompt: bool = True,
    ) -> str:
        """Do as `render` with messages and tools already in the template's form."""
        try:
            text = self.tokenizer.apply_chat_template(
                messages,
                tools=tools or None,  # Llama's announces tools for an empty list
                chat_template=self.text,
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
                **self.kwargs,
            )
        except _REFUSALS as error:
            raise TemplateRefusedError(
                f"The chat template does not accept this conversation ({error}); "
                "change the messages or pass another chat_template."
            ) from error
        return str(text)


def choose_template(
    tokenizer: Any,
    messages: Sequence[Message],
    tools: Sequence[ToolSchema] = (),
    *,
    chat_template: str | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
) -> ChatTemplate:
    """Return the template for a conversation.

    That is `chat_template` if given, else the tokenizer's own, else, where that one has no
    place for the conversation's tools, calls or results, the bundled one.

    Raises:
        FlashTraceError: if the bundled one is needed, but the model does not speak ChatML.
    """
    kwargs = dict(template_kwargs or {})
    if chat_template is not None:
        return _with_date(ChatTemplate(tokenizer, chat_template, kwargs))
    own = _own_template(tokenizer, tools)
    if own is not None:
        template = _with_date(ChatTemplate(tokenizer, own, kwargs, own=True))
        reason = _why_unfit(template, messages, tools)
        if reason is None:
            return template
    else:
        reason = "The tokenizer has no chat template"
    if "<|im_start|>" not in tokenizer.get_vocab():
        raise FlashTraceError(f"{reason}: pass chat_template= with one that fits the model.")
    return ChatTemplate(tokenizer, bundled_template(), kwargs)


@cache
def bundled_template() -> str:
    """Return the Jinja source of the bundled ChatML template with tools."""
    return resources.files(__package__).joinpath("chatml_tools.jinja").read_text(encoding="utf-8")


def _own_template(tokenizer: Any, tools: Sequence[ToolSchema]) -> str | None:
    if not getattr(tokenizer, "chat_template", None):
        return None
    return str(tokenizer.get_chat_template(tools=template_tools(tools) or None))


def _with_date(template: ChatTemplate) -> ChatTemplate:
    """Pin the date of a template that prints today's, so that it can be rendered again."""
    dated = "strftime_now" in template.text and "date_string" in template.text
    if not dated or "date_string" in template.kwargs:
        return template
    today = datetime.now().strftime("%d %b %Y")  # local, as strftime_now in transformers
    return replace(template, kwargs={**template.kwargs, "date_string": today})


def _why_unfit(
    template: ChatTemplate, messages: Sequence[Message], tools: Sequence[ToolSchema]
) -> str | None:
    """Say why a template cannot show this conversation's tools; None if it can."""
    without_calls = [replace(message, tool_calls=()) for message in messages]
    without_results = [replace(m, content="") if m.role == "tool" else m for m in messages]
    try:
        text = template.render(messages, tools)
    except TemplateRefusedError as error:
        spoken = [message for message in without_calls if message.role != "tool"]
        if template.render_or_none(spoken, ()) is None:
            raise  # not because of the tools
        return f"The tokenizer's chat template refuses the tools, calls or results ({error.__cause__})"
    if tools and template.render_or_none(messages, ()) == text:
        return "The tokenizer's chat template leaves the tools out"
    if without_calls != list(messages) and template.render_or_none(without_calls, tools) == text:
        return "The tokenizer's chat template leaves tool calls out"
    if without_results != list(messages) and template.render_or_none(without_results, tools) == text:
        return "The tokenizer's chat template leaves tool results out"
    return None
