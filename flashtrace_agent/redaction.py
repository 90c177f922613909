"""Take secrets out of what was recorded before any of it is written.

A rule (patterns, or a function of the user's) is applied to every text: messages, reasoning,
calls, results, schemas, errors, labels, metadata, and inside JSON that is written as text. Where
it changes anything of a model step, the step's token ids go too: they would spell out what was
taken from the text. A rule that fails takes out the whole text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from .attribution import Attribution
from .message import Message, ToolCall, ToolSchema
from .segment import Segment
from .trace import Fidelity, Step, Trace

Rule: TypeAlias = Callable[[str], str] | Sequence[str | re.Pattern[str]]

REDACTED = "[redacted]"
"""What stands where something was taken out by a pattern, or by a rule that failed."""

REASON = "redacted: its token ids are not stored"

_MAX_DEPTH = 64
_TEMPLATE = ("chat_template", "template_kwargs")


class Redaction:
    """One rule, applied to whatever is recorded.

    Args:
        rule: regular expressions whose matches become `REDACTED`, or a function from a text to
            what may be written of it. The function is called from several threads.

    Raises:
        re.error: if a pattern is none.
    """

    def __init__(self, rule: Rule) -> None:
        if callable(rule):
            self._apply = rule
        else:
            patterns = [re.compile(pattern) for pattern in rule]
            self._apply = lambda text: _without(patterns, text)

    def text(self, text: str) -> str:
        """Return what may be written of a text; JSON in it is looked into, escapes and all."""
        return self._text(text, 0)

    def value(self, value: Any) -> Any:
        """Return what may be written of a JSON-like value, keys included."""
        return self._value(value, 0)

    def step(self, step: Step) -> Step:
        """Return what may be written of a step; the same object where nothing is to be taken out."""
        clean = replace(
            step,
            name=self.text(step.name),
            error=None if step.error is None else self.text(step.error),
            input=[self._message(message) for message in step.input],
            output=None if step.output is None else self._message(step.output),
            tools=[self._schema(tool) for tool in step.tools],
            settings=self.value(step.settings),
            arguments=self.value(step.arguments),
            result=None if step.result is None else self.text(step.result),
        )
        if clean == step:
            return step
        if clean.kind == "model":
            clean.prompt_ids = clean.completion_ids = None
            clean.fidelity, clean.fidelity_reason = Fidelity.APPROXIMATE, REASON
            clean.settings = {**clean.settings, "redacted": True}
        return clean

    def trace(self, trace: Trace) -> Trace:
        """Return what may be written of a trace's header."""
        return replace(
            trace,
            name=self.text(trace.name),
            error=None if trace.error is None else self.text(trace.error),
            session=None if trace.session is None else self.text(trace.session),
            tags=[self.text(tag) for tag in trace.tags],
            prompt_version=None if trace.prompt_version is None else self.text(trace.prompt_version),
            metadata=self.value(trace.metadata),
        )

    def attribution(self, attribution: Attribution, step: Step, clean: Step) -> Attribution:
        """Return what may be written of an attribution that was computed before redaction.

        Scores, segments and shares stay. Token ids go, and so do the tokens' texts in every
        message from which something was taken out.

        Args:
            attribution: of the step as it was.
            step: the step as it was.
            clean: the step as it is written.
        """
        changed = {
            index for index, (old, new) in enumerate(zip(step.input, clean.input, strict=True)) if old != new
        }
        changed |= {-1} if step.output != clean.output else set()
        template = any(step.settings.get(key) != clean.settings.get(key) for key in _TEMPLATE)
        outside = template or step.tools != clean.tools
        tokens = list(attribution.tokens)
        known = [False] * len(tokens)
        for segment in attribution.segments:
            hidden = outside if segment.message is None else segment.message in changed
            known[segment.span.start : segment.span.end] = [not hidden] * len(segment.span)
        return replace(
            attribution,
            input_ids=np.zeros_like(attribution.input_ids),
            tokens=tuple(text if keep else "" for text, keep in zip(tokens, known, strict=True)),
            target_name=self.text(attribution.target_name),
            segments=tuple(self._segment(segment) for segment in attribution.segments),
            settings={**self.value(dict(attribution.settings)), "redacted": True},
        )

    def _segment(self, segment: Segment) -> Segment:
        return replace(segment, name=self.text(segment.name))

    def _message(self, message: Message) -> Message:
        return replace(
            message,
            content=self.text(message.content),
            reasoning=None if message.reasoning is None else self.text(message.reasoning),
            tool_calls=tuple(self._call(call) for call in message.tool_calls),
            name=None if message.name is None else self.text(message.name),
        )

    def _call(self, call: ToolCall) -> ToolCall:
        return ToolCall(call.id, self.text(call.name), self.value(call.arguments))

    def _schema(self, tool: ToolSchema) -> ToolSchema:
        return ToolSchema(
            self.text(tool.name), self.text(tool.description), self.value(dict(tool.parameters))
        )

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value, depth)
        if isinstance(value, bool) or not isinstance(value, Mapping | list | tuple | int | float):
            return value
        if depth > _MAX_DEPTH:
            return REDACTED
        if isinstance(value, Mapping):
            return {
                self._text(str(key), depth + 1): self._value(item, depth + 1) for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._value(item, depth + 1) for item in value]
        written = json.dumps(value)  # a number may be an account's
        said = self._ruled(written)
        return value if said == written else said

    def _text(self, text: str, depth: int) -> str:
        said = self._ruled(text)
        if said[:1] not in ("{", "[", '"') or depth > _MAX_DEPTH:
            return said
        try:
            parsed = json.loads(said)
        except (ValueError, RecursionError):
            return said
        clean = self._value(parsed, depth + 1)
        return said if clean == parsed else json.dumps(clean, ensure_ascii=False)

    def _ruled(self, text: str) -> str:
        try:
            said = self._apply(text)
        except Exception:  # noqa: BLE001 - a rule that fails must not let anything through
            return REDACTED
        return said if isinstance(said, str) else REDACTED


def _without(patterns: Sequence[re.Pattern[str]], text: str) -> str:
    for pattern in patterns:
        text = pattern.sub(REDACTED, text)
    return text
