"""OpenInference (Arize Phoenix): flattened messages, with the framework's objects beside them.

``llm.input_messages.N.message.…`` is complete but for reasoning, which LangChain's
instrumentation leaves only inside the JSON of ``output.value``; LangChain.js' leaves content blocks and ids
to the JSON too, and Mistral's ids and tools. A tool's span has no call id of
its own: it is in the ToolMessage it returned, or, where the tool raised, only in the parent.
DSPy names it by the method called (``add.__call__``). LlamaIndex calls every method of a model a model's
call, also those that prepare one (``OpenAI._prepare_chat_with_tools``).
Of the Responses API each item is a message.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from flashtrace_agent.message import Message

from ...blocks import content_text, users_tags
from ..content_blocks import typed_blocks
from ..messages import Said, find_said, read_messages, read_output
from ..reading import Reading
from ..record import SpanRecord
from ..responses import joined_turns
from ..tool_calls import read_tools
from ..tool_output import tool_reading
from ..values import first_text, indexed, listing, mapping, sampling, usage

_MODEL_KINDS = frozenset({"LLM"})
_CONTINUED = ("tool-call", "tool-response")
"""Roles of smolagents, which sends what follows a message of the same speaker as a part of it."""
_RUN_ID = re.compile(r"_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What CrewAI's kickoffs have in their name, each another one."""

_PRIVATE = re.compile(r"\._(?!_)\w+$")
_FRAME_KINDS = frozenset({"AGENT", "CHAIN", "GUARDRAIL", "RETRIEVER", "UNKNOWN", "PROMPT"})


def speaks(span: SpanRecord) -> bool:
    """Tell whether the span carries OpenInference attributes."""
    return "openinference.span.kind" in span.attributes


def read(span: SpanRecord) -> Reading | None:
    """Return what the span says."""
    kind = (first_text(span.attributes.get("openinference.span.kind")) or "").upper()
    if kind in _MODEL_KINDS:
        return None if _PRIVATE.search(span.name) else _model(span)
    if kind == "TOOL":
        return _tool(span)
    return _frame(span) if kind in _FRAME_KINDS else None


def _model(span: SpanRecord) -> Reading:
    given = span.attributes
    reading = Reading("model", span.name, **_common(span))
    reading.input = _completed(_messages(given, "llm.input_messages"), given.get("input.value"))
    answer = given.get("output.value")
    output = read_output(answer)
    if output is not None and span.status == "error" and output.message.content == answer:
        output = None  # BeeAI says there why it failed
    flat = _messages(given, "llm.output_messages")
    reading.take(_merged(flat[0] if flat else None, output))
    invocation = mapping(given.get("llm.invocation_parameters"))
    reading.tools = read_tools([tool.get("tool.json_schema") for tool in indexed(given, "llm.tools")])
    offered = invocation.get("tools") or invocation.get("functions")
    reading.tools = reading.tools or read_tools(offered or mapping(given.get("input.value")).get("tools"))
    reading.model = first_text(given.get("llm.model_name"), reading.model, invocation.get("model"))
    reading.finish_reason = first_text(given.get("llm.finish_reason"), reading.finish_reason)
    reported = usage(given.get("llm.token_count.prompt"), given.get("llm.token_count.completion"))
    reading.usage = reported or reading.usage
    reading.settings = sampling(invocation)
    return reading


def _tool(span: SpanRecord) -> Reading:
    given = span.attributes
    result = given.get("output.value")
    output = mapping(result)
    is_llama_indexs = "blocks" in output and "tool_name" in output
    reading = tool_reading(
        first_text(given.get("tool.name")) or span.name.removesuffix(".__call__").removesuffix(".acall"),
        first_text(given.get("tool_call.id"), given.get("tool.id")),
        given.get("input.value", given.get("tool_call.function.arguments", given.get("tool.parameters"))),
        content_text(output["blocks"]) if is_llama_indexs else result,
        **_common(span),
    )
    reading.failed = reading.failed or (is_llama_indexs and output.get("is_error") is True)
    return reading


def _frame(span: SpanRecord) -> Reading:
    given = span.attributes
    name = first_text(given.get("agent.name")) or _RUN_ID.sub("", span.name)
    reading = Reading("frame", name, **_common(span))
    reading.said = find_said(given.get("output.value"))
    return reading


def _common(span: SpanRecord) -> dict[str, Any]:
    given = span.attributes
    metadata = mapping(given.get("metadata"))
    session = first_text(given.get("session.id"), metadata.get("session_id"), metadata.get("thread_id"))
    tags = users_tags(listing(given.get("tag.tags")))
    return {"session": session, "tags": tuple(tags), "metadata": metadata}


def _messages(given: Any, prefix: str) -> list[Message]:
    messages: list[Message] = []
    for fields in indexed(given, prefix):
        if not any(name.startswith("message.") for name in fields):
            continue  # Agno writes one as JSON, which `output.value` has too
        body = {
            name: fields[f"message.{name}"]
            for name in ("role", "content", "name", "tool_call_id", "reasoning", "reasoning_content")
            if f"message.{name}" in fields
        }
        contents = [_content(block) for block in indexed(fields, "message.contents")]
        if body.get("role") == "tool":
            body["content"] = typed_blocks(body.get("content"))  # Anthropic's results are blocks, as JSON
        if contents:
            # `content`, where there is one too, is the first block written a second time or the
            # text before the blocks, of which reasoning is not a part.
            body["content"] = _joined(body.get("content"), contents)
        calls = [_call(call) for call in indexed(fields, "message.tool_calls")]
        legacy = fields.get("message.function_call_name")
        if legacy and not calls:
            calls = [{"name": legacy, "arguments": fields.get("message.function_call_arguments_json")}]
        said = read_messages([{"content": "", **body, "tool_calls": calls}])
        if body.get("role") in _CONTINUED and messages and messages[-1].role == said[0].role:
            messages[-1] = replace(messages[-1], content=f"{messages[-1].content}\n{said[0].content}")
        else:
            messages += said
    turns = joined_turns(messages)
    # Several messages of an output may as well be choices.
    if len(turns) < len(messages) and isinstance(mapping(given.get("output.value")).get("output"), list):
        return turns
    return messages


def _joined(content: Any, blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    texts = [block.get("text") for block in blocks if block.get("type") == "text"]
    if isinstance(content, str) and content and content not in texts:
        return [{"type": "text", "text": content}, *blocks]
    return blocks


def _content(fields: dict[str, Any]) -> dict[str, Any]:
    kind = fields.get("message_content.type")
    text = first_text(fields.get("message_content.text"), fields.get("message_content.reasoning"))
    return {"type": kind, "text": text} if text is not None else {"type": kind or "text"}


def _call(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": fields.get("tool_call.id"),
        "name": fields.get("tool_call.function.name"),
        "arguments": fields.get("tool_call.function.arguments"),
    }


def _completed(flat: list[Message], request: Any) -> list[Message]:
    """Return flattened messages with what only the request's JSON has."""
    if flat and not any(map(_lacks, flat)):
        return flat
    whole = read_messages(request)
    if not flat or [message.role for message in flat] != [message.role for message in whole]:
        return flat or whole
    return list(map(_filled, flat, whole))


def _lacks(message: Message) -> bool:
    if message.role == "tool":
        return message.tool_call_id is None
    return not message.content if not message.tool_calls else not all(call.id for call in message.tool_calls)


def _filled(flat: Message, whole: Message) -> Message:
    """Return a flattened message with the words and ids that the same message has elsewhere."""
    calls = flat.tool_calls or whole.tool_calls
    if len(calls) == len(whole.tool_calls):
        calls = tuple(
            replace(call, id=call.id or known.id) for call, known in zip(calls, whole.tool_calls, strict=True)
        )
    return replace(
        flat,
        content=flat.content or whole.content,
        tool_calls=calls,
        tool_call_id=flat.tool_call_id or whole.tool_call_id,
    )


def _merged(flat: Message | None, output: Said | None) -> Said | None:
    """Return the flattened message with what only the JSON has."""
    if flat is None or output is None:
        return output if flat is None else Said(flat)
    said, reasoning = output.message.content, flat.reasoning or output.message.reasoning
    has_said = bool(said or output.message.tool_calls)
    if _lacks(flat):
        flat = _filled(flat, output.message)
    if reasoning is None and has_said and said != flat.content and flat.content.startswith(said):
        # smolagents' reasoning is one more block of text
        flat, reasoning = replace(flat, content=said), flat.content[len(said) :]
    return replace(output, message=replace(flat, reasoning=reasoning))
