"""A whole run as one standalone HTML page: what was said, step by step, and what each choice drew on.

Like the page of a heat map (see `html`), it asks nothing of the network, and nothing that was said in
the run can become markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from .annotation import Annotation
from .attribution import Attribution
from .count_of import count_of
from .html import heatmap_markup, heatmap_page_script, heatmap_page_style, markup, standalone_page
from .message import Message, ToolCall
from .percent import percent
from .trace import Step, Trace

_SOURCES = 4
"""Segments named beside a target; the heat map has all."""


def render_trace_html(
    trace: Trace,
    attributions: Mapping[str, Sequence[Attribution]],
    annotations: Sequence[Annotation] = (),
) -> str:
    """Return a standalone page about a trace.

    Args:
        trace: with its steps.
        attributions: of its steps, by their ids; the page has a heat map where there are any.
        annotations: what is said about it.

    Raises:
        FlashTraceError: if a score is not a finite number.
    """
    numbers = {step.id: number for number, step in enumerate(trace.steps, 1)}
    found = [
        replace(each, target_name=f"step {numbers[step.id]}: {each.target_name}")
        for step in trace.steps
        for each in attributions.get(step.id, ())
    ]
    body = [*_body(trace, numbers, attributions, annotations)]
    if found:
        body += ["<h2>What the model drew on</h2>", heatmap_markup(found)]
    script = heatmap_page_script() if found else ""
    return standalone_page(trace.name or trace.id, heatmap_page_style(), "\n".join(body), script)


def _body(
    trace: Trace,
    numbers: Mapping[str, int],
    attributions: Mapping[str, Sequence[Attribution]],
    annotations: Sequence[Annotation],
) -> Iterator[str]:
    yield f"<h1>{markup(trace.name or trace.id)}</h1>"
    facts = [
        trace.id,
        trace.status,
        f"{trace.started_at:%Y-%m-%d %H:%M:%S} UTC",
        count_of(len(trace.steps), "step"),
    ]
    facts += [f"session {trace.session}"] if trace.session else []
    facts += [f"prompt version {trace.prompt_version}"] if trace.prompt_version else []
    facts += [", ".join(trace.tags)] if trace.tags else []
    yield f"<p>{markup(' · '.join(facts))}</p>"
    if trace.error:
        yield f'<div class="said error"><pre>{markup(trace.error)}</pre></div>'
    yield from _remarks([each for each in annotations if each.step_id is None])
    shown: list[Message] = []
    for step in trace.steps:
        yield f"<section>\n<h2>{numbers[step.id]} · {markup(_heading(step))}</h2>"
        if step.kind == "model":
            # A re-sent history is not repeated.
            known = _common(shown, step.input)
            for message in step.input[known:]:
                yield from _message(message)
            shown = list(step.input)
            if step.output is not None:
                yield from _message(step.output)
                shown.append(step.output)
        else:
            yield from _tool(step)
        if step.error:
            yield f'<div class="said error"><pre>{markup(step.error)}</pre></div>'
        yield from _sources(attributions.get(step.id, ()))
        yield from _remarks([each for each in annotations if each.step_id == step.id])
        yield "</section>"


def _heading(step: Step) -> str:
    ids = step.token_ids
    facts = [step.kind, step.name, step.status]
    facts += [count_of(len(ids), "token")] if ids is not None else []
    facts += [str(step.fidelity)] if step.fidelity is not None else []
    return " · ".join(facts)


def _common(before: Sequence[Message], messages: Sequence[Message]) -> int:
    count = 0
    while count < min(len(before), len(messages)) and before[count] == messages[count]:
        count += 1
    return count


def _message(message: Message) -> Iterator[str]:
    state = "error" if message.status == "error" else message.role
    yield f'<div class="said {state}"><span class="role">{markup(message.role)}</span>'
    if message.reasoning:
        yield f"<details open><summary>reasoning</summary><pre>{markup(message.reasoning)}</pre></details>"
    if message.content:
        yield f"<pre>{markup(message.content)}</pre>"
    for call in message.tool_calls:
        yield f"<pre>{markup(_call(call))}</pre>"
    yield "</div>"


def _tool(step: Step) -> Iterator[str]:
    yield f'<div class="said tool"><span class="role">tool {markup(step.name)}</span>'
    if step.arguments is not None:
        yield f"<pre>{markup(_call(ToolCall('', step.name, step.arguments)))}</pre>"
    if step.result is not None:
        yield f"<pre>{markup(step.result)}</pre>"
    yield "</div>"


def _call(call: ToolCall) -> str:
    arguments = call.arguments
    shown = (
        arguments if isinstance(arguments, str) else json.dumps(dict(arguments), ensure_ascii=False, indent=1)
    )
    return f"{call.name}({shown})"


def _sources(found: Sequence[Attribution]) -> Iterator[str]:
    if not found:
        return
    yield "<table>"
    for attribution in found:
        shares = [share for share in attribution.by_segment() if share.share > 0][:_SOURCES]
        sources = ", ".join(f"{share.name} {percent(share.share)}" for share in shares)
        yield (
            f"<tr><td>{markup(attribution.target_name)}</td><td>{markup(attribution.target_text)}</td>"
            f"<td>← {markup(sources)}</td></tr>"
        )
    yield "</table>"


def _remarks(annotations: Sequence[Annotation]) -> Iterator[str]:
    for each in annotations:
        yield f"<p>{markup(each.who)}: {markup(str(each))}</p>"
