"""Why a span failed, in one line, as the exception itself would say it.

Instrumentations write the exception into the status message, into an exception event, into
``error.type``, or its repr with a traceback glued to it into any of those.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from .record import SpanRecord
from .values import first_text

_REPR = re.compile(
    r"""^(?P<type>[A-Za-z_][\w.]*)\((?P<quote>['"])(?P<message>.*?)(?P=quote),?\)""", re.DOTALL
)
_NAMED = re.compile(
    r"^(?P<type>[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Timeout)): (?P<message>.*)", re.DOTALL
)
_TRACEBACK = "Traceback (most recent call last)"
_JAVASCRIPT_FRAME = re.compile(r"\n {4}at [^\n]*:\d+:\d+\)?(?=\n|$)")
_REPEATED = re.compile(r"(?P<message>.+)\n\n[\w.]+: (?P=message)", re.DOTALL)
_INTERRUPTS = frozenset({"GraphInterrupt", "NodeInterrupt", "GraphBubbleUp", "ParentCommand"})
_VAGUE = frozenset({"", "Exception", "_OTHER", "Error"})


@dataclass(frozen=True, slots=True)
class Failure:
    """How a span failed; an interrupt is control flow of LangGraph and no error."""

    text: str
    kind: Literal["error", "interrupted"] = "error"


def failure_of(span: SpanRecord, note: str | None = None) -> Failure | None:
    """Return how a span failed, None where it did not.

    Args:
        span: the span; its status, events and ``error.type`` are looked at.
        note: what the dialect says about it beside those.
    """
    event = next((event for event in span.events if event.name == "exception"), None)
    given = span.attributes.get("error.type")
    if span.status != "error" and not given and note is None:
        return None
    attributes = event.attributes if event is not None else {}
    kind = _short(first_text(attributes.get("exception.type"), given) or "")
    message = first_text(attributes.get("exception.message"), span.status_message, note) or ""
    kind, message = _taken_apart(kind, message)
    if kind in _INTERRUPTS:
        return Failure(f"{kind}: {message}" if message else kind, "interrupted")
    if kind in _VAGUE:
        return Failure(message or kind or "the span reports an error without a reason")
    return Failure(kind if message in ("", kind) else f"{kind}: {message}")


def _taken_apart(kind: str, message: str) -> tuple[str, str]:
    """Return type and message of an exception whose repr and traceback stand in the message."""
    head = _without_stack(message).strip()
    written = _REPR.match(head) or _NAMED.match(head)
    if written and (kind in _VAGUE or _short(written["type"]) == kind):
        return _short(written["type"]), written["message"]
    return kind, head


def _without_stack(message: str) -> str:
    """Return a message before the stack glued to it; LangChain.js says it once more at the stack's head."""
    head = _JAVASCRIPT_FRAME.split(message.split(_TRACEBACK, 1)[0], maxsplit=1)[0]
    repeated = _REPEATED.fullmatch(head)
    return repeated["message"] if repeated else head


def _short(name: str) -> str:
    return name.rpartition(".")[2]
