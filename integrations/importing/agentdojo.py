"""Runs of AgentDojo agents with token ids and scores, as FlashTrace's evaluation records them.

The files of ``evaluations/agentdojo`` in https://github.com/wbopan/flashtrace (MIT): messages, and
for each turn the rendered prompt, its ids and those that were generated; for one of the turns,
each method's score of every prompt token. They name no times, so the file's is taken, and no token
texts, which need the tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import numpy as np

from flashtrace_agent.attribution import Attribution, Scores
from flashtrace_agent.completion import opens_reasoning, parse_completion
from flashtrace_agent.integrations.blocks import written_arguments
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.prompt.difference import rendering_difference
from flashtrace_agent.span import Span, merge_spans
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id

from .imported import ImportedTrace, SourceFile, content_key

METHODS = {
    "flashtrace_generated_action_via_reasoning": "reference flashtrace",
    "ifr_full_generated_action": "reference ifr",
    "ifr_last_generated_action_token": "reference ifr, last token",
}
"""Names under which the recorded scores are stored, beside those computed here."""


def recognises(record: Mapping[str, Any]) -> bool:
    """Tell whether a file is such a run."""
    return "turns" in record and "suite" in record and "messages" in record


def read(file: SourceFile) -> list[ImportedTrace]:
    """Return the runs of a file."""
    return [_run(file, record) for record in file.values]


def _run(file: SourceFile, record: Mapping[str, Any]) -> ImportedTrace:
    started = file.changed_at
    trace = Trace(
        id=make_id(started, content_key(record)),
        name=str(record.get("case_id") or record["suite"]),
        started_at=started,
        status="ok" if record["turns"][-1]["stopped_on_eos"] else "incomplete",
        error=None if record["turns"][-1]["stopped_on_eos"] else str(record.get("stop_reason")),
        tags=["agentdojo", str(record["suite"])],
        metadata={
            key: record[key]
            for key in (
                "case_id",
                "user_task",
                "injection_task",
                "utility",
                "attack_success",
                "source",
                "injections",
            )
            if key in record
        },
    )
    outputs = [_output(turn) for turn in record["turns"]]
    messages = _messages(record["messages"], outputs)
    places = [index for index, message in enumerate(messages) if message.role == "assistant"]
    imported = ImportedTrace(trace)
    for number, turn in enumerate(record["turns"]):
        before = places[number] if number < len(places) else len(messages)
        step = _step(trace, record, turn, messages[:before], outputs[number])
        if file.tokenizer is not None:
            step.settings["rendering"] = rendering_difference(file.tokenizer, step) or "the recorded ids"
        trace.steps.append(step)
        calls = step.output.tool_calls if step.output else ()
        for call, result in zip(calls, turn["tool_results"], strict=False):  # a cut run has fewer results
            trace.steps.append(_tool_step(trace, step, call, result, len(trace.steps)))
        if record.get("attribution", {}).get("turn_index") == number:
            imported.attributions += [(step.id, found) for found in _attributions(file, record, step)]
    trace.ended_at = trace.steps[-1].ended_at
    return imported


def _messages(recorded: Sequence[Mapping[str, Any]], outputs: Sequence[Message]) -> list[Message]:
    """Return the conversation; what the assistant says in it is what its turns put out."""
    said = iter(outputs)
    messages: list[Message] = []
    for item in recorded:
        if item["role"] == "assistant":
            messages.append(next(said))
            continue
        status: Literal["ok", "error"] = "error" if item.get("error") else "ok"
        call_id = item.get("tool_call_id")
        messages.append(Message(item["role"], item["content"] or "", tool_call_id=call_id, status=status))
    return messages


def _step(
    trace: Trace, record: Mapping[str, Any], turn: Mapping[str, Any], history: list[Message], output: Message
) -> Step:
    number = len(trace.steps)
    started = trace.started_at + timedelta(milliseconds=number)
    return Step(
        id=make_id(started, f"{trace.id}/{number}"),
        trace_id=trace.id,
        kind="model",
        name=str(record["suite"]),
        started_at=started,
        ended_at=started + timedelta(seconds=float(turn.get("generation_seconds") or 0)),
        status="ok" if turn["stopped_on_eos"] else "incomplete",
        input=history,
        output=output,
        tools=_tools(turn["rendered_prompt"]),
        model=record["model"],
        prompt_ids=[int(token) for token in turn["prompt_token_ids"]],
        completion_ids=[int(token) for token in turn["generated_token_ids"]],
        finish_reason="stop" if turn["stopped_on_eos"] else "length",
        fidelity=Fidelity.EXACT,
        fidelity_reason="ids recorded by the process that generated them",
        usage={
            "prompt_tokens": len(turn["prompt_token_ids"]),
            "completion_tokens": len(turn["generated_token_ids"]),
        },
    )


def _output(turn: Mapping[str, Any]) -> Message:
    thinking = opens_reasoning(turn["rendered_prompt"])
    parsed = parse_completion(turn["completion"], in_reasoning=thinking)
    ids = [str(result["tool_call"]["id"]) for result in turn["tool_results"]]
    calls = tuple(
        ToolCall(ids[number] if number < len(ids) else f"call_{number}", call.name, call.arguments)
        for number, call in enumerate(parsed.calls)
    )
    return Message("assistant", parsed.answer, reasoning=parsed.reasoning, tool_calls=calls)


def _tools(prompt: str) -> list[ToolSchema]:
    """Read the schemas between Qwen's ``<tools>`` tags, one a line; the file has them nowhere else."""
    body = prompt.partition("\n<tools>\n")[2].partition("\n</tools>")[0]
    return [ToolSchema.from_openai(json.loads(line)) for line in body.split("\n") if line.strip()]


def _tool_step(trace: Trace, parent: Step, call: ToolCall, result: Mapping[str, Any], number: int) -> Step:
    started = trace.started_at + timedelta(milliseconds=number)
    failed = bool(result.get("error"))
    return Step(
        id=make_id(started, f"{trace.id}/{number}"),
        trace_id=trace.id,
        kind="tool",
        name=call.name,
        started_at=started,
        ended_at=started,
        parent_id=parent.id,
        status="error" if failed else "ok",
        error=str(result["error"]) if failed else None,
        tool_call_id=call.id,
        arguments=written_arguments(call),
        result=str(result["content"]),
    )


def _attributions(file: SourceFile, record: Mapping[str, Any], step: Step) -> list[Attribution]:
    given = record["attribution"]
    ids = np.asarray(step.token_ids, dtype=np.int32)
    start = len(step.prompt_ids or ())
    target = merge_spans(Span(start + at, start + at + 1) for at in given["target_call_token_indices"])
    reasoning = (Span(start, target[0].start),)
    tokens, segments = _texts(file, step)
    found: list[Attribution] = []
    for name, method in given["methods"].items():
        last = "last_generated" in name
        spans = (Span(target[-1].end - 1, target[-1].end),) if last else target
        recursive = "via_reasoning" in name
        scores = np.zeros(len(ids))
        scores[:start] = method["scores"]
        found.append(
            Attribution(
                input_ids=ids,
                tokens=tokens,
                target=spans,
                through=reasoning if recursive else (),
                scores=normalised(scores),
                hops=(),
                method=METHODS.get(name, f"reference {name}"),
                model=record["model"],
                target_name=",".join(str(span) for span in spans),
                fidelity=Fidelity.EXACT,
                segments=segments,
                settings={"hops": given["n_hops"] if recursive else 0, "source": record.get("source", "")}
                | {"recorded_total": float(scores.sum()), "recorded_metrics": method.get("metrics", {})},
            )
        )
    return found


def _texts(file: SourceFile, step: Step) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Return token texts and segments, as far as they can be known without the tokenizer."""
    ids = step.token_ids or []
    if file.tokenizer is None:
        return tuple(f"⟨{token}⟩" for token in ids), ()
    from flashtrace_agent.prompt.segmentation import step_segments
    from flashtrace_agent.prompt.token_text import TokenText

    return tuple(TokenText(file.tokenizer, ids).pieces), tuple(step_segments(file.tokenizer, step))


def normalised(scores: np.ndarray[Any, np.dtype[np.float64]]) -> Scores:
    """Return scores that sum to 1, as an `Attribution` has them; float32 (N,)."""
    total = scores.sum()
    return (scores / total if total > 0 else scores).astype(np.float32)
