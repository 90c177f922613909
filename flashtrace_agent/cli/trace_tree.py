"""Draw a trace as a tree: steps, their calls with results, and what each choice drew on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.text import Text
from rich.tree import Tree

from flashtrace_agent.annotation import Annotation
from flashtrace_agent.count_of import count_of
from flashtrace_agent.defaults import DEFAULT_METHOD
from flashtrace_agent.message import ToolCall
from flashtrace_agent.percent import percent
from flashtrace_agent.store.steps import count_tokens
from flashtrace_agent.trace import Fidelity, Step, Trace

from .console import STATUS_STYLES, arguments_line, one_line
from .show import Summaries

_TEXT_LIMIT = 300
"""Characters of reasoning, results and answers; `show --json` has them whole."""
_CALL_LIMIT = 200
_TOP_SEGMENTS = 3
_SMALLEST_SHARE = 0.01


def trace_tree(
    trace: Trace, steps: Sequence[Step], summaries: Summaries, said: Sequence[Annotation] = ()
) -> Tree:
    """Return the tree of the chosen steps; numbers are positions in the whole trace.

    `said` are the trace's annotations; those of other steps are left out.
    """
    tree = Tree(_heading(trace))
    for each in said:
        if each.step_id is None:
            tree.add(_remark(each))
    numbers = {step.id: number for number, step in enumerate(trace.steps, 1)}
    chosen = {step.id for step in steps}
    places: dict[str, Tree] = {}
    for step in steps:
        above = places.get(step.parent_id or "", tree) if step.parent_id in chosen else tree
        branch = above.add(_step_heading(numbers[step.id], step))
        places[step.id] = branch
        _add_details(branch, trace, step, summaries.get(step.id, []))
        for each in said:
            if each.step_id == step.id:
                branch.add(_remark(each))
    if not steps:
        tree.add("no steps were recorded")
    return tree


def results_by_call(trace: Trace, step: Step) -> list[str | None]:
    """Return, for each call of a model step, its result as text; None where none was recorded.

    The result is that of the tool step which this step caused. Where tools were not recorded it
    is looked for among the messages the next model step was given beyond this step's own, since
    call ids may repeat from round to round.
    """
    calls = step.output.tool_calls if step.output else ()
    tool_steps = {
        other.tool_call_id: other
        for other in reversed(trace.steps)
        if other.kind == "tool" and other.parent_id == step.id
    }
    told = {
        message.tool_call_id: message.content
        for message in reversed(_new_messages_after(trace, step))
        if message.role == "tool"
    }
    results: list[str | None] = []
    for call in calls:
        ran = tool_steps.get(call.id)
        recorded = None if ran is None else (ran.result if ran.error is None else f"error: {ran.error}")
        results.append(recorded if recorded is not None else told.get(call.id))
    return results


def _new_messages_after(trace: Trace, step: Step) -> list[Any]:
    known = len(step.input)
    later = trace.steps[trace.steps.index(step) + 1 :]
    for other in later:
        if other.kind == "model" and other.input[:known] == step.input:
            return other.input[known:]
    return []


def _remark(annotation: Annotation) -> Text:
    said = one_line(str(annotation), _TEXT_LIMIT)
    return Text.assemble((f"{one_line(annotation.who, 40)}: ", "magenta"), said)


def _heading(trace: Trace) -> Text:
    parts: list[str | tuple[str, str]] = [
        (trace.status, STATUS_STYLES[trace.status]),
        f"{trace.started_at:%Y-%m-%d %H:%M} UTC",
        count_of(len(trace.steps), "step"),
    ]
    if trace.session:
        parts.append(f"session {one_line(trace.session, 40)}")
    if trace.tags:
        parts.append(one_line(", ".join(trace.tags), 60))
    heading = Text.assemble((one_line(trace.name, 80) or "trace", "bold"), "  ", (trace.id, "dim"), "  ")
    heading.append_text(_joined(parts))
    if trace.error:
        heading.append(f"\n{one_line(trace.error, _TEXT_LIMIT)}", "red")
    dropped = trace.metadata.get("dropped_steps")
    if isinstance(dropped, int):
        heading.append(f"\n{count_of(dropped, 'step')} were dropped: the store could not keep up", "yellow")
    return heading


def _step_heading(number: int, step: Step) -> Text:
    parts: list[str | tuple[str, str]] = [(step.status, STATUS_STYLES[step.status])]
    tokens = count_tokens(step)
    if tokens is not None:
        parts.append(count_of(tokens, "token"))
    if step.fidelity is not None:
        parts.append(f"{step.fidelity} ids")
    heading = Text.assemble(
        f"{number} ", step.kind, " ", (one_line(step.name, 60), "bold"), "  ", (step.id, "dim"), "  "
    )
    heading.append_text(_joined(parts))
    return heading


def _add_details(branch: Tree, trace: Trace, step: Step, attributions: Sequence[Mapping[str, Any]]) -> None:
    if step.kind == "tool":
        if step.arguments:
            branch.add(_labelled("arguments", arguments_line(step.arguments, _CALL_LIMIT)))
        if step.result is not None and step.result != step.error:  # which is said below
            branch.add(_labelled("result", one_line(step.result, _TEXT_LIMIT)))
    elif step.output is not None:
        if step.output.reasoning:
            branch.add(_labelled("reasoning", one_line(step.output.reasoning, _TEXT_LIMIT)))
        results = results_by_call(trace, step)
        for call, result in zip(step.output.tool_calls, results, strict=True):
            shown = "no result recorded" if result is None else one_line(result, _TEXT_LIMIT)
            given = arguments_line(call.arguments, _CALL_LIMIT)
            written = one_line(f"{call.name}({given})", _CALL_LIMIT)
            branch.add(_labelled("calls", f"{written} → {shown}"))
        if step.output.content.strip():
            branch.add(_labelled("answer", one_line(step.output.content, _TEXT_LIMIT)))
        if step.fidelity is not None and step.fidelity is not Fidelity.EXACT and step.fidelity_reason:
            branch.add(_labelled(f"{step.fidelity} ids", one_line(step.fidelity_reason, _TEXT_LIMIT)))
    if step.error:
        branch.add(Text(f"error: {one_line(step.error, _TEXT_LIMIT)}", "red"))
    for attribution in attributions:
        branch.add(_why(step, attribution))


def _why(step: Step, attribution: Mapping[str, Any]) -> Text:
    target = str(attribution["target"])
    calls = step.output.tool_calls if step.output else ()
    value = _target_value(target, calls)
    shares = [item for item in attribution["segments"] if item["share"] >= _SMALLEST_SHARE][:_TOP_SEGMENTS]
    sources = ", ".join(f"{one_line(item['name'], 60)} {percent(item['share'])}" for item in shares)
    line = Text.assemble(("why ", "dim"), (one_line(target, 60), "bold cyan"))
    if value:
        line.append(f" `{one_line(value, 40)}`")
    line.append(f" ← {sources or 'segments unknown'}")
    if attribution.get("check"):
        line.append(f" check: {attribution['check']['verdict']}", "dim")
    if attribution["method"] != DEFAULT_METHOD:
        line.append(f" by {one_line(attribution['method'], 40)}", "dim")
    if attribution["fidelity"] != "exact":
        line.append(f" ({attribution['fidelity']})", "yellow")
    return line


def _target_value(target: str, calls: Sequence[ToolCall]) -> str:
    """Return the words a target name stands for: ``argument:city#2`` is an argument of call 2."""
    name, _, number = target.rpartition("#")
    if not name or not number.isdecimal():
        name, number = target, "1"
    index = int(number) - 1
    if not 0 <= index < len(calls):
        return ""
    call = calls[index]
    if name == "tool_name":
        return call.name
    argument = name.removeprefix("argument:")
    if argument == name or isinstance(call.arguments, str) or argument not in call.arguments:
        return ""
    value = call.arguments[argument]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _labelled(label: str, text: str) -> Text:
    return Text.assemble((f"{label} ", "dim"), text)


def _joined(parts: Iterable[str | tuple[str, str]]) -> Text:
    return Text(" · ").join(
        Text(part) if isinstance(part, str) else Text(part[0], style=part[1]) for part in parts
    )
