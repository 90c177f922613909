"""Traces as an OTLP/JSON file, and such a file read again.

Each line is a whole OTLP request with the spans of one trace, as the OpenTelemetry collector's file
exporter writes them: a root span for the run, a ``chat`` span for each model step with its messages
and an ``execute_tool`` span for each tool step, in the GenAI semantic conventions, and what was found
as ``flashtrace.attribution`` spans inside. Ids are functions of the steps' ids, so exported twice it
is the same trace. Conventions have no place for token ids, which JSON Lines keep.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashtrace_agent.atomic_file import replace_file
from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.message import Message
from flashtrace_agent.store.counts import Counts, Tick, no_tick
from flashtrace_agent.trace import Step, Trace

from .otlp import BadRequestError
from .otlp_json import read_json
from .summaries import SCOPE, SPAN_NAME, summary_attributes
from .values import SAMPLING

if TYPE_CHECKING:
    from flashtrace_agent.store import Store

    from .sink import SpanSink

_INTERNAL, _CLIENT = 1, 3
_OK, _ERROR = 1, 2


def export_otlp(store: Store, path: Path, where: str | None = None, tick: Tick = no_tick) -> Counts:
    """Write the traces a filter finds to a file, replacing it once all is written.

    Raises:
        FlashTraceError: if the file cannot be written.
    """
    counts = Counts()
    with replace_file(path) as file:
        for whole in store.whole_traces(where):
            file.write(json.dumps(otlp_request(whole.trace, whole.attributions)) + "\n")
            counts.add_steps(whole)
            tick(1)
    return counts


def read_otlp(sink: SpanSink, path: Path) -> int:
    """Give the spans of a file to a sink, and return how many it took.

    Raises:
        FlashTraceError: if the file cannot be read, or a line is no OTLP/JSON request; the lines
            before it are taken.
    """
    taken = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        batch = read_json(line)
                    except BadRequestError as error:
                        raise FlashTraceError(
                            f"{path} is no OTLP/JSON file, see line {number}: {error}"
                        ) from error
                    refused, _ = sink.receive(batch.records)
                    taken += len(batch.records) - refused
    except OSError as error:
        raise FlashTraceError(f"{path} cannot be read ({error.strerror}): check the path.") from error
    return taken


def otlp_request(trace: Trace, attributions: Mapping[str, Sequence[Attribution]]) -> dict[str, Any]:
    """Return the OTLP/JSON request with the spans of a trace and of what was found in it, by step."""
    identity = hashlib.blake2b(trace.id.encode(), digest_size=16).hexdigest()
    root = _span_id(trace.id)
    known = {step.id for step in trace.steps}
    spans = [_run_span(trace)]
    for step in trace.steps:
        parent = _span_id(step.parent_id) if step.parent_id in known and step.parent_id else root
        spans.append({**_step_span(step), "parentSpanId": parent})
        for found in attributions.get(step.id, ()):
            spans.append({**_attribution_span(step, found), "parentSpanId": _span_id(step.id)})
    for span in spans:
        span["traceId"] = identity
    service = {"key": "service.name", "value": {"stringValue": trace.name or SCOPE}}
    scoped = {"scope": {"name": SCOPE}, "spans": spans}
    return {"resourceSpans": [{"resource": {"attributes": [service]}, "scopeSpans": [scoped]}]}


def _run_span(trace: Trace) -> dict[str, Any]:
    attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": trace.name or None,
        "gen_ai.conversation.id": trace.session,
        "flashtrace.trace.id": trace.id,
        "flashtrace.tags": trace.tags or None,
        "flashtrace.prompt_version": trace.prompt_version,
    }
    name = f"invoke_agent {trace.name}".strip()
    ended = trace.ended_at or max((step.ended_at or step.started_at for step in trace.steps), default=None)
    span = _span(_span_id(trace.id), name, trace.started_at, ended, attributes)
    return span | _status(trace.status == "error", trace.error)


def _step_span(step: Step) -> dict[str, Any]:
    is_model = step.kind == "model"
    name = f"chat {step.model}" if is_model else f"execute_tool {step.name}"
    attributes = _model_attributes(step) if is_model else _tool_attributes(step)
    span = _span(_span_id(step.id), name, step.started_at, step.ended_at, attributes)
    return span | {"kind": _CLIENT if is_model else _INTERNAL} | _status(step.status == "error", step.error)


def _model_attributes(step: Step) -> dict[str, Any]:
    usage = step.usage
    prompt = len(step.prompt_ids) if step.prompt_ids is not None else usage.get("prompt_tokens")
    written = len(step.completion_ids) if step.completion_ids is not None else usage.get("completion_tokens")
    output = None
    if step.output is not None:
        output = [_message(step.output) | {"finish_reason": step.finish_reason or "stop"}]
    tools = [{"type": "function", **asdict(tool)} for tool in step.tools]
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": step.model,
        "gen_ai.response.model": step.model,
        "gen_ai.input.messages": _json([_message(message) for message in step.input]),
        "gen_ai.output.messages": None if output is None else _json(output),
        "gen_ai.tool.definitions": _json(tools) if tools else None,
        "gen_ai.response.finish_reasons": [step.finish_reason] if step.finish_reason else None,
        "gen_ai.usage.input_tokens": prompt,
        "gen_ai.usage.output_tokens": written,
        **{f"gen_ai.request.{name}": step.settings.get(name) for name in SAMPLING},
        "flashtrace.step.id": step.id,
    }


def _tool_attributes(step: Step) -> dict[str, Any]:
    arguments = step.arguments
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": step.name,
        "gen_ai.tool.call.id": step.tool_call_id,
        "gen_ai.tool.call.arguments": arguments if isinstance(arguments, str | None) else _json(arguments),
        "gen_ai.tool.call.result": step.result,
        "flashtrace.step.id": step.id,
    }


def _attribution_span(step: Step, found: Attribution) -> dict[str, Any]:
    key = f"{step.id}/{found.target_name}/{found.method}/{len(found.hops)}"
    moment = step.ended_at or step.started_at
    return _span(
        _span_id(key), f"{SPAN_NAME} {found.target_name}", moment, moment, summary_attributes(step, found)
    )


def _message(message: Message) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if message.reasoning is not None:
        parts.append({"type": "reasoning", "content": message.reasoning})
    if message.role == "tool":
        result = {"type": "tool_call_response", "id": message.tool_call_id, "response": message.content}
        parts.append(result | ({"is_error": True} if message.status == "error" else {}))
    elif message.content or not (parts or message.tool_calls):
        parts.append({"type": "text", "content": message.content})
    parts += [{"type": "tool_call", **call.to_dict()} for call in message.tool_calls]
    return {"role": message.role, "parts": parts} | ({"name": message.name} if message.name else {})


def _span(
    span_id: str, name: str, started: datetime, ended: datetime | None, attributes: Mapping[str, Any]
) -> dict[str, Any]:
    span: dict[str, Any] = {
        "spanId": span_id,
        "name": name,
        "kind": _INTERNAL,
        "startTimeUnixNano": _nanoseconds(started),
        "attributes": [
            {"key": key, "value": _value(value)} for key, value in attributes.items() if value is not None
        ],
    }
    if ended is not None:
        span["endTimeUnixNano"] = _nanoseconds(ended)
    return span


def _status(failed: bool, reason: str | None) -> dict[str, Any]:
    return {"status": {"code": _ERROR, "message": reason or ""} if failed else {"code": _OK}}


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": value if isinstance(value, str) else _json(value)}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _span_id(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=8).hexdigest()


def _nanoseconds(moment: datetime) -> str:
    whole = int(moment.replace(microsecond=0).timestamp())
    return str(whole * 1_000_000_000 + moment.microsecond * 1000)
