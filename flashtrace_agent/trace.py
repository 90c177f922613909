"""A run of an agent: a trace of model steps and tool steps."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from .message import Message, ToolSchema

Status = Literal["ok", "error", "incomplete"]
StepKind = Literal["model", "tool"]

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


class Fidelity(StrEnum):
    """How well the token ids of a step are known."""

    EXACT = "exact"
    """Ids from the process or server that generated them."""
    RENDERED = "rendered"
    """Re-rendered with the chat template, and the count agrees with the reported one."""
    APPROXIMATE = "approximate"
    """Text only, or attributed with a stand-in model."""

    @classmethod
    def weakest(cls, found: Iterable[str]) -> Fidelity:
        """Return the one that comes last in this order."""
        return max(map(cls, found), key=list(cls).index)


@dataclass(slots=True)
class Step:
    """One model call or one tool call of a trace.

    A model step has `input`, `output`, `tools` and, where known, token ids; a tool step has
    `tool_call_id`, `arguments` and `result`. Times are UTC.

    Attributes:
        id: sortable and URL-safe; see `make_id`.
        parent_id: the step that caused this one: for a tool step, the model step that called
            it; for a model step inside a tool (a nested agent), that tool step.
        prompt_ids: token ids the model was given; None where unknown.
        completion_ids: token ids it wrote, end-of-turn token included; None where unknown.
        fidelity: how the ids are known; None for tool steps.
        fidelity_reason: why, in a few words.
        usage: the reported counts: ``prompt_tokens``, ``completion_tokens``.
        settings: what is needed to render the prompt again: ``chat_template_hash``,
            ``template_kwargs``, ``tokenizer``, sampling parameters.
    """

    id: str
    trace_id: str
    kind: StepKind
    name: str
    started_at: datetime
    ended_at: datetime | None = None
    parent_id: str | None = None
    status: Status = "incomplete"
    error: str | None = None
    # model steps
    input: list[Message] = field(default_factory=list)
    output: Message | None = None
    tools: list[ToolSchema] = field(default_factory=list)
    model: str | None = None
    prompt_ids: list[int] | None = None
    completion_ids: list[int] | None = None
    finish_reason: str | None = None
    fidelity: Fidelity | None = None
    fidelity_reason: str = ""
    usage: dict[str, int] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    # tool steps
    tool_call_id: str | None = None
    arguments: dict[str, Any] | str | None = None
    result: str | None = None

    @property
    def token_ids(self) -> list[int] | None:
        """Prompt and completion ids in one list, or None where either is unknown."""
        if self.prompt_ids is None or self.completion_ids is None:
            return None
        return self.prompt_ids + self.completion_ids


@dataclass(slots=True)
class Trace:
    """One run of an agent."""

    id: str
    name: str
    started_at: datetime
    ended_at: datetime | None = None
    status: Status = "incomplete"
    error: str | None = None
    session: str | None = None
    tags: list[str] = field(default_factory=list)
    prompt_version: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


def utc_now() -> datetime:
    """Return the present as an aware UTC datetime."""
    return datetime.now(UTC)


def make_id(moment: datetime, key: str | None = None) -> str:
    """Return a 26-character id that sorts by time: 48 bits of milliseconds, 80 of key.

    The layout is ULID's (Crockford base 32, lower case). With a `key` (a run id, a span id)
    the id is a function of its arguments, so recording the same thing twice writes one row.
    """
    milliseconds = int(moment.timestamp() * 1000) & (1 << 48) - 1
    if key is None:
        tail = secrets.randbits(80)
    else:
        tail = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=10).digest(), "big")
    number = milliseconds << 80 | tail
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
