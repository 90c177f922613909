"""Messages in every form that spans carry them, to the project's own type.

One reader for all dialects, because they mix: OpenAI's dicts (``role``, ``content``,
``tool_calls``), LangChain's in three spellings (``{"lc": 1, "kwargs"}``, ``{"type", "data"}``, flat),
GenAI's (``role``, ``parts``) and Anthropic's (calls and results as content blocks). What a
message carries beside its words (finish reason, usage, model) comes along in `Said`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flashtrace_agent.message import Message, Role, ToolCall

from ..blocks import CALL_BLOCKS, ROLES, block_type, content_text, text_and_reasoning
from .complaints import COMPLAINTS
from .content_blocks import typed_blocks
from .parts import read_parts
from .responses import is_item, joined_turns, read_item
from .tool_calls import read_call
from .values import first_text, listing, mapping, parsed, usage

_CONSTRUCTORS = {
    "SystemMessage": "system",
    "HumanMessage": "user",
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "ToolMessage": "tool",
    "FunctionMessage": "tool",
}
_OTHER_ROLES: dict[str, Role] = {
    "model": "assistant",
    "aimessagechunk": "assistant",
    "bot": "assistant",
    "tool-call": "assistant",  # smolagents, which sends results as the user's words
    "tool-response": "user",
    "tool_responses": "tool",  # Gemma's
}
_OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-fA-F]+>")
"""What an instrumentation writes that has no words for a stream."""

_MAX_NESTED = 10_000
"""Objects looked at when messages are searched for in a larger structure."""


@dataclass(slots=True)
class Said:
    """A message and what the span says about it."""

    message: Message
    finish_reason: str | None = None
    model: str | None = None
    usage: dict[str, int] = field(default_factory=dict)


def read_messages(value: Any) -> list[Message]:
    """Return the messages in `value`: a list of them, one, or an object that holds them.

    Plain text is what a user said.
    """
    return [said.message for said in read_said(value)]


def read_said(value: Any, role: Role = "user") -> list[Said]:
    """Do as `read_messages`, with what comes along; plain text is said by `role`."""
    found = parsed(value)
    if isinstance(found, str):
        return [Said(Message(role, found))] if found else []
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], list):
        found = found[0]  # LangChain gives a batch of conversations
    if isinstance(value, str) and isinstance(found, list) and not any(map(_speaks, found)):
        return [Said(Message(role, value))]  # text that happens to be a JSON list
    if isinstance(found, list):
        said = [said for item in found for said in _one(item, role)]
        if any(map(is_item, found)):
            return [Said(turn) for turn in joined_turns(item.message for item in said)]
        return said
    if isinstance(found, dict):
        if is_message(found):
            return _one(found, role)
        for key in ("messages", "input", "prompts", "prompt"):
            if found.get(key):
                return _told(found) + read_said(found[key], role)
    return []


def read_output(value: Any) -> Said | None:
    """Return the message a model wrote: of LangChain's result, OpenAI's response, or given as such."""
    if isinstance(value, str) and _OBJECT.fullmatch(value):
        return None
    found = parsed(value)
    if isinstance(found, dict) and not is_message(found):
        extra = mapping(found.get("llm_output"))
        if found.get("generations"):
            generation = _first(_first(found["generations"]))
            return _completed(_generated(generation), mapping(generation), extra)
        if found.get("choices"):
            choice = mapping(_first(found["choices"]))
            said = read_said(choice.get("message") or choice.get("text"), "assistant")
            return _completed(_last(said), choice, mapping(found))
        for key in ("output", "messages", "message", "content", "text"):
            if found.get(key):
                return _completed(_last(read_said(found[key], "assistant")), mapping(found))
        return None
    return _completed(_last(read_said(found, "assistant")), mapping(found))


def find_said(value: Any) -> list[Said]:
    """Return the messages anywhere inside a structure, in the order they stand there."""
    found: list[Said] = []
    waiting = [parsed(value)]
    for _ in range(_MAX_NESTED):
        if not waiting:
            return found
        item = waiting.pop()
        if isinstance(item, dict):
            if is_message(item):
                found += _one(item, "user")
            else:
                waiting += reversed(list(item.values()))
        elif isinstance(item, list):
            waiting += reversed(item)
    COMPLAINTS.note("a span's output holds too many objects to search for messages", len(found))
    return found


def is_message(value: Any) -> bool:
    """Tell whether an object is a message, and not one that holds messages."""
    if not isinstance(value, dict):
        return False
    body = _unwrapped(value)
    speaks = "content" in body or "parts" in body or "tool_calls" in body
    role = body.get("role") or body.get("type")
    if speaks and isinstance(body.get("role"), str):
        return True
    return speaks and isinstance(role, str) and role.lower() in ROLES


def without_reasoning(message: Message) -> Message:
    """Return what is left of a message when a framework re-sends it: words and calls, no name."""
    return Message(
        message.role, message.content, tool_calls=message.tool_calls, tool_call_id=message.tool_call_id
    )


def _told(request: Mapping[str, Any]) -> list[Said]:
    """Return the system prompt beside the messages of a request: Anthropic's, or the Responses API's."""
    told = request.get("system") or request.get("instructions")
    return [Said(Message("system", content_text(told)))] if isinstance(told, str | list) else []


def _speaks(value: Any) -> bool:
    return isinstance(value, dict | str | list)


def _one(value: Any, role: Role) -> list[Said]:
    found = parsed(value)
    if isinstance(found, str):
        return [Said(Message(role, found))]
    if isinstance(found, list):
        return [said for item in found for said in _one(item, role) if not isinstance(item, list)]
    if not isinstance(found, dict):
        if found is not None:
            COMPLAINTS.note("a message is neither text nor an object", found)
        return []
    if is_item(found):
        return [Said(read_item(found))]
    body = _unwrapped(found)
    if isinstance(body.get("message"), dict) and "role" not in body:
        return _one(body["message"], role)
    return _from_body(body, role)


def _from_body(body: Mapping[str, Any], default: Role) -> list[Said]:
    role = _role(body, default)
    name = first_text(body.get("name"))
    messages = _from_parts(role, body, name) if "parts" in body else _from_content(role, body, name)
    metadata = mapping(body.get("response_metadata"))
    reported = mapping(body.get("usage_metadata"))
    said = Said(
        messages[-1],
        finish_reason=first_text(
            body.get("finish_reason"), metadata.get("finish_reason"), metadata.get("stop_reason")
        ),
        model=first_text(metadata.get("model_name"), metadata.get("model")),
        usage=usage(reported.get("input_tokens"), reported.get("output_tokens")),
    )
    return [*map(Said, messages[:-1]), said]


def _from_parts(role: Role, body: Mapping[str, Any], name: str | None) -> list[Message]:
    *before, last = read_parts(role, body["parts"], name)
    if role == "assistant" and not last.tool_calls:  # LiteLLM writes them beside the parts
        last = replace(last, tool_calls=_tool_calls(body, {}, ()))
    elif role == "tool" and last.tool_call_id is None:
        last = replace(last, tool_call_id=first_text(body.get("tool_call_id")))
    return [*before, last]


def _from_content(role: Role, body: Mapping[str, Any], name: str | None) -> list[Message]:
    extra = mapping(body.get("additional_kwargs"))
    content = body.get("content", body.get("text"))  # DSPy's answers are texts
    content = typed_blocks(content) if isinstance(content, list) else content
    blocks = content if isinstance(content, list) else []
    results = [block for block in blocks if isinstance(block, dict) and block.get("type") == "tool_result"]
    if results and role in ("user", "tool"):
        rest = [block for block in blocks if block not in results]
        messages = [_tool_result(block) for block in results]
        return messages + ([Message(role, content_text(rest), name=name)] if rest else [])
    if isinstance(content, str | list):
        text, thoughts = text_and_reasoning(content)
    else:
        text, thoughts = content_text(content), None
    if role == "tool":
        call_id = first_text(body.get("tool_call_id"), body.get("id") if "type" not in body else None)
        failed = body.get("status") == "error"
        return [Message(role, text, tool_call_id=call_id, name=name, status="error" if failed else "ok")]
    if role != "assistant":
        example = bool(extra.get("example"))
        return [Message(role, text, name=name, example=example)]
    if thoughts is None:
        thoughts = _reasoning(body) or _reasoning(extra)
    return [
        Message(
            role,
            text,
            reasoning=thoughts,
            tool_calls=_tool_calls(body, extra, blocks),
            name=name,
            example=bool(extra.get("example")),
        )
    ]


def _role(body: Mapping[str, Any], default: Role) -> Role:
    given = body.get("role") or body.get("type")
    role = ROLES.get(given.lower()) if isinstance(given, str) else None
    if role is None and isinstance(given, str):
        role = _OTHER_ROLES.get(given.lower())
    if role is None:
        COMPLAINTS.note("a message has an unknown role and counts as the user's", given)
        return default
    return role


def _unwrapped(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of a message LangChain has serialised."""
    kwargs, data = value.get("kwargs"), value.get("data")
    if "lc" in value and isinstance(kwargs, dict):
        path = value.get("id")
        kind = path[-1] if isinstance(path, list) and path else None
        role = _CONSTRUCTORS.get(kind) if isinstance(kind, str) else None
        return {**kwargs, "role": role} if role else kwargs
    if isinstance(data, dict) and isinstance(value.get("type"), str):
        return {"type": value["type"], **data}
    return value


def _reasoning(body: Mapping[str, Any]) -> str | None:
    for key in ("reasoning_content", "reasoning", "thinking"):
        value = body.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, dict):
            return text_and_reasoning([{"type": "reasoning", **value}])[1]
    return None


def _tool_calls(
    body: Mapping[str, Any], extra: Mapping[str, Any], blocks: Iterable[Any]
) -> tuple[ToolCall, ...]:
    written = listing(body.get("tool_calls")) + listing(body.get("invalid_tool_calls"))
    if not written:
        written = listing(extra.get("tool_calls"))
    if not written:
        written = [block for block in blocks if isinstance(block, dict) and block_type(block) in CALL_BLOCKS]
    if not written:
        written = listing(body.get("function_call") or extra.get("function_call"))
    return tuple(read_call(call) for call in written if isinstance(call, dict))


def _tool_result(block: Mapping[str, Any]) -> Message:
    return Message(
        "tool",
        content_text(block.get("content")),
        tool_call_id=first_text(block.get("tool_use_id"), block.get("tool_call_id"), block.get("id")),
        status="error" if block.get("is_error") is True else "ok",
    )


def _generated(generation: Any) -> Said | None:
    fields = mapping(generation)
    if fields.get("message"):
        return _last(read_said(fields["message"], "assistant"))
    text = first_text(fields.get("text"))
    return Said(Message("assistant", text)) if text is not None else None


def _completed(said: Said | None, *sources: Mapping[str, Any]) -> Said | None:
    """Add what stands beside the message to what stands in it."""
    if said is None:
        return None
    for source in sources:
        info = mapping(source.get("generation_info"))
        reported = mapping(source.get("token_usage") or source.get("usage"))
        said.finish_reason = said.finish_reason or first_text(
            source.get("finish_reason"),
            source.get("stop_reason"),
            info.get("finish_reason"),
            info.get("done_reason"),
        )
        said.model = said.model or first_text(source.get("model_name"), source.get("model"))
        said.usage = said.usage or usage(
            reported.get("prompt_tokens", reported.get("input_tokens")),
            reported.get("completion_tokens", reported.get("output_tokens")),
        )
    return said


def _first(value: Any) -> Any:
    items = listing(value)
    return items[0] if items else None


def _last(said: list[Said]) -> Said | None:
    return said[-1] if said else None
