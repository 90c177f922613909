"""What was said, called and offered in an agent's conversation.

Messages are content-addressed: `Message.digest` covers what a model can see of a
message and nothing else, so the same words re-sent in a later step have the same
identity, whatever framework carried them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]

_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call an assistant message makes.

    Attributes:
        id: the call's id within the run; may repeat between rounds (``call_0`` each time).
        name: the tool's name as the model wrote it, which need not exist.
        arguments: the parsed arguments, or the raw text where it was not a JSON object.
    """

    id: str
    name: str
    arguments: Mapping[str, Any] | str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        arguments = self.arguments if isinstance(self.arguments, str) else dict(self.arguments)
        return {"id": self.id, "name": self.name, "arguments": arguments}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ToolCall:
        """Undo `to_dict`."""
        return cls(id=data["id"], name=data["name"], arguments=data["arguments"])


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A tool the model was offered: JSON schema of its parameters, as an OpenAI function."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def to_openai(self) -> dict[str, Any]:
        """Return ``{"type": "function", "function": {…}}``, the form chat templates expect."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }
        return {"type": "function", "function": function}

    @classmethod
    def from_openai(cls, data: Mapping[str, Any]) -> ToolSchema:
        """Read an OpenAI tool definition, with or without its ``function`` wrapper."""
        function = data.get("function", data)
        return cls(
            name=function["name"],
            description=function.get("description") or "",
            parameters=function.get("parameters") or {},
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: who speaks.
        content: the text; for a tool message, the tool's result.
        reasoning: the assistant's reasoning, without its tags; None where there was none.
        tool_calls: the calls an assistant message makes, in order.
        tool_call_id: for a tool message, the call it answers.
        name: the speaker's name; not part of the identity, because frameworks add it
            between a message's output and its re-sending.
        status: ``error`` for a tool result that reports a failure.
        example: True for a worked example given in the history (few-shot), not said in this run.
    """

    role: Role
    content: str = ""
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    status: Literal["ok", "error"] = "ok"
    example: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; fields at their default are left out."""
        data: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.reasoning is not None:
            data["reasoning"] = self.reasoning
        if self.tool_calls:
            data["tool_calls"] = [call.to_dict() for call in self.tool_calls]
        if self.tool_call_id is not None:
            data["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            data["name"] = self.name
        if self.status != "ok":
            data["status"] = self.status
        if self.example:
            data["example"] = True
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Message:
        """Undo `to_dict`."""
        return cls(
            role=data["role"],
            content=data.get("content", ""),
            reasoning=data.get("reasoning"),
            tool_calls=tuple(ToolCall.from_dict(call) for call in data.get("tool_calls", ())),
            tool_call_id=data.get("tool_call_id"),
            name=data.get("name"),
            status=data.get("status", "ok"),
            example=data.get("example", False),
        )

    def digest(self, parent: str = "") -> str:
        """Return the hex identity of this message in its place after ``parent``.

        BLAKE2b-128 over the canonical JSON of everything but the name, chained with the
        parent's digest, so one digest stands for a whole history.
        """
        body = self.to_dict()
        body.pop("name", None)
        canonical = _CANONICAL.encode([parent, body])
        return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
