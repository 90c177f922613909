"""OpenLLMetry (Traceloop), old and new, and LiteLLM, which writes like it.

Old: ``gen_ai.prompt.N.…``, ``gen_ai.completion.N.…``, ``llm.request.functions.N.…``. New:
GenAI's attributes, with the system prompt moved out of the messages. Frames and tools carry
LangChain's objects in ``traceloop.entity.input`` and ``output``, and a chat span's reasoning
only there, in the frame around it. A transformers pipeline's contents are whole messages, as Python shows
them, and its answer begins with all that it was asked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flashtrace_agent.message import Message

from ..content_blocks import typed_blocks
from ..messages import find_said, is_message, read_messages
from ..reading import Reading
from ..record import SpanRecord
from ..tool_calls import read_call, read_tools
from ..tool_output import take_arguments, take_wrapped_result
from ..values import first_text, indexed, listing, mapping, prefixed, usage
from . import genai

_PROPERTIES = "traceloop.association.properties."
_PIPELINE = "transformers_text_generation_pipeline.call"
_LITELLM_REQUESTS = ("text_completion", "atext_completion", "responses", "aresponses", "anthropic_messages")
_REQUEST_TYPES = frozenset({"chat", "completion", "acompletion", *_LITELLM_REQUESTS})


def speaks(span: SpanRecord) -> bool:
    """Tell whether the span carries OpenLLMetry's attributes."""
    return any(
        name.startswith(("traceloop.", "gen_ai.prompt.", "gen_ai.completion.", "llm.request.", "llm.usage."))
        for name in span.attributes
    )


def read(span: SpanRecord) -> Reading | None:
    """Return what the span says."""
    given = span.attributes
    kind = first_text(given.get("traceloop.span.kind"))
    operation = first_text(given.get("gen_ai.operation.name"))
    if operation == "create_agent":
        return Reading("setup", span.name)
    if kind == "tool" or operation == "execute_tool":
        return _tool(span)
    if kind is not None:
        return _frame(span)
    request = first_text(given.get("llm.request.type"))
    if request in _REQUEST_TYPES or indexed(given, "gen_ai.prompt") or indexed(given, "gen_ai.completion"):
        return _model(span)
    reading = genai.read(span)
    if reading is not None and reading.kind == "model":
        return _model(span)
    return reading


def _model(span: SpanRecord) -> Reading:
    given = span.attributes
    reading = replace(genai.read_model(span), **_common(span))
    if not reading.input:
        reading.input = _indexed_messages(given, "gen_ai.prompt")
    completions = indexed(given, "gen_ai.completion")
    if reading.output is None and completions:
        said = _indexed_messages(given, "gen_ai.completion", "assistant")
        reading.output = _answer(reading.input, said)
        if span.name == _PIPELINE and reading.output is not None and len(reading.input) == 1:
            text = reading.output.content.removeprefix(reading.input[0].content)
            reading.output = replace(reading.output, content=text)
        reading.finish_reason = genai.finish(
            first_text(completions[0].get("finish_reason"), reading.finish_reason)
        )
    elif reading.output is not None and not reading.output.tool_calls:
        # LiteLLM numbers the calls of a message where others number the choices.
        calls = (prefixed(fields, "function_call.") for fields in completions)
        reading.output = replace(
            reading.output, tool_calls=tuple(read_call(call) for call in calls if "name" in call)
        )
    reading.tools = reading.tools or read_tools(indexed(given, "llm.request.functions"))
    reading.usage = reading.usage or usage(
        given.get("llm.usage.prompt_tokens"), given.get("llm.usage.completion_tokens")
    )
    return reading


def _tool(span: SpanRecord) -> Reading:
    given = span.attributes
    name = first_text(given.get("gen_ai.tool.name"), given.get("traceloop.entity.name")) or span.name
    reading = Reading("tool", name.removesuffix(".tool"), **_common(span))
    wrapped = mapping(given.get("traceloop.entity.input", given.get("gen_ai.tool.call.arguments")))
    kwargs = mapping(wrapped.get("kwargs"))
    reading.call_id = first_text(given.get("gen_ai.tool.call.id"), kwargs.get("tool_call_id"))
    if "inputs" in wrapped or "input_str" in wrapped:
        inputs = wrapped.get("inputs")
        take_arguments(reading, inputs if isinstance(inputs, dict) else wrapped.get("input_str"))
    else:
        take_arguments(reading, given.get("gen_ai.tool.call.arguments", given.get("traceloop.entity.input")))
    take_wrapped_result(reading, given.get("traceloop.entity.output", given.get("gen_ai.tool.call.result")))
    return reading


def _frame(span: SpanRecord) -> Reading:
    given = span.attributes
    name = first_text(given.get("gen_ai.agent.name"), given.get("traceloop.entity.name")) or span.name
    reading = Reading("frame", name, **_common(span))
    reading.said = find_said(given.get("traceloop.entity.output"))
    return reading


def _common(span: SpanRecord) -> dict[str, Any]:
    properties = prefixed(span.attributes, _PROPERTIES)
    session = first_text(
        span.attributes.get("gen_ai.conversation.id"),
        properties.get("session_id"),
        properties.get("thread_id"),
        properties.get("chat_id"),
    )
    return {"session": session, "metadata": properties}


def _answer(asked: list[Message], said: list[Message]) -> Message | None:
    """Return the first message said, without what was asked before it."""
    if not said:
        return None
    if said[: len(asked)] == asked and len(said) > len(asked):
        return said[len(asked)]
    return said[0]


def _indexed_messages(given: Any, prefix: str, role: str = "user") -> list[Message]:
    messages: list[Message] = []
    for fields in indexed(given, prefix):
        whole = [] if "role" in fields else listing(fields.get("content"))
        if whole and all(map(is_message, whole)):
            messages += read_messages(whole)
            continue
        calls = [
            {"id": call.get("id"), "name": call.get("name"), "arguments": call.get("arguments")}
            for call in indexed(fields, "tool_calls")
        ]
        if "function_call.name" in fields:
            calls = [
                {"name": fields["function_call.name"], "arguments": fields.get("function_call.arguments")}
            ]
        body = {name: fields[name] for name in ("role", "content", "name", "tool_call_id") if name in fields}
        if body.get("role") != "tool":
            body["content"] = typed_blocks(body.get("content", ""))
        reasoning = fields.get("reasoning")
        messages += read_messages(
            [{"role": role, "content": "", **body, "tool_calls": calls, "reasoning": reasoning}]
        )
    return messages
