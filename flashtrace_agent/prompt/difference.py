"""Say how a step's recorded prompt differs from what its messages and tools render to here."""

from __future__ import annotations

from typing import Any

from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.trace import Step

from .rendering import render_prompt
from .token_text import TokenText

_SHOWN = 40
"""Characters shown of what differs."""


def rendering_difference(tokenizer: Any, step: Step) -> str:
    """Return in words where a step's prompt ids leave those that are rendered here; empty for nowhere.

    Args:
        tokenizer: the transformers tokenizer of the ids.
        step: a model step with known prompt ids; its settings' template and variables are used.
    """
    recorded = step.prompt_ids or []
    try:
        rendered = render_prompt(
            tokenizer,
            step.input,
            step.tools,
            chat_template=step.settings.get("chat_template"),
            template_kwargs=step.settings.get("template_kwargs"),
        ).ids
    except FlashTraceError as error:
        return f"it cannot be rendered here: {error}"
    if rendered == recorded:
        return ""
    pairs = enumerate(zip(rendered, recorded, strict=False))
    same = next((at for at, (ours, theirs) in pairs if ours != theirs), min(len(rendered), len(recorded)))
    beyond = TokenText(tokenizer, recorded[same:]).text
    if same == len(rendered):
        return f"the recorded ids, but for {_quoted(beyond)} after them"
    ours = TokenText(tokenizer, rendered[same:]).text
    where = f"the same up to token {same} of {len(recorded)}"
    return f"{where}, then {_quoted(beyond)} was recorded and {_quoted(ours)} is rendered"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
