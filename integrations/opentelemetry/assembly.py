"""Spans to a trace, whatever order they came in.

1. Every span is read in its dialect; those about nothing but plumbing only hold the tree together.
2. Model calls become steps in order of time. One that another instrumentation reports again,
   inside the first, is the same step. What outputs and prompts lost, they give each other.
3. What a chat span lost (reasoning, finish reason) is looked up in the frames around it.
4. Tool spans become steps under the model step that called them.
5. Tool messages in later prompts and in frames complete what is missing: results of tools that
   raised, and calls of tools that do not exist, which have no span at all.
6. The root gives the trace its name, times and outcome.

The result depends on the set of spans only. It is a pure function: storage is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter

from flashtrace_agent.message import Message
from flashtrace_agent.prompt.text_agents import read_turn
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id

from ..blocks import written_arguments
from .calls import Calls, answered_step, trailing_answers
from .dialects import read_span
from .failures import Failure, failure_of
from .header import fill_header
from .histories import complete_histories, complete_outputs, complete_reasoning
from .messages import Said, without_reasoning
from .node import Node
from .record import SpanRecord
from .tree import SpanTree
from .values import plain_text

NO_IDS = "text only: spans carry no token ids"


def assemble(spans: Iterable[SpanRecord], trace_id: str | None = None) -> Trace | None:
    """Return the trace that spans amount to, None where they are about no agent's run.

    Args:
        spans: all spans known of the run, in any order, repeated or not.
        trace_id: the id the trace already has; by default made from the first span's start.
    """
    tree = SpanTree(spans)
    nodes = [node for node in map(_node, tree.spans) if node is not None]
    if all(node.reading.kind == "setup" for node in nodes):
        return None
    first = tree.top or tree.spans[0]
    trace = Trace(
        id=trace_id or make_id(first.start, f"trace/{first.trace_id}"), name="", started_at=first.start
    )
    by_key = {node.span.key: node for node in nodes}
    for node in nodes:
        node.above = [by_key[span.key] for span in tree.ancestors(node.span) if span.key in by_key]
        node.path = tree.path(node.span)
    models = sorted(_of_kind(nodes, "model"), key=attrgetter("started_at"))
    for node in models:
        _add_model(trace, node)
    complete_reasoning([(node.reading.input, node.step) for node in models if node.step is not None])
    complete_outputs(trace.steps)
    complete_histories(trace.steps)
    calls = Calls()
    for node in models:
        if node.step is not None:
            read_turn(node.step)
            calls.add(node.step, node.path, node.scope)
    for node in _of_kind(nodes, "tool"):
        _add_tool(trace, node, calls)
    for node in nodes:
        if node.step is not None and node.step.parent_id is None and node.enclosing is not None:
            node.step.parent_id = node.enclosing.id
    _break_circles(trace)
    _reconcile(trace, nodes, calls)
    _mark_failed_results(trace)
    trace.steps.sort(key=lambda step: (step.started_at, step.id))
    fill_header(trace, tree, nodes)
    return trace


def _node(span: SpanRecord) -> Node | None:
    reading = read_span(span)
    if reading is None:
        return None
    failure = failure_of(span, reading.failure)
    if failure is None and reading.failed:
        failure = Failure(reading.result or "the span reports an error without a reason")
    return Node(span, reading, failure)


def _of_kind(nodes: list[Node], kind: str) -> list[Node]:
    return [node for node in nodes if node.reading.kind == kind]


def _new_step(trace: Trace, node: Node) -> Step:
    span, reading = node.span, node.reading
    is_model = reading.kind == "model"
    graph_node = plain_text(reading.metadata.get("langgraph_node")) if is_model else None
    step = Step(
        id=make_id(span.start, span.key),
        trace_id=trace.id,
        kind="model" if is_model else "tool",
        name=graph_node or reading.name,
        started_at=node.started_at,
        ended_at=span.end,
    )
    if node.failure is not None:
        step.status = "error" if node.failure.kind == "error" else "incomplete"
        step.error = node.failure.text if node.failure.kind == "error" else None
    else:
        step.status = "ok" if span.end is not None else "incomplete"
    trace.steps.append(step)
    node.step = step
    return step


def _add_model(trace: Trace, node: Node) -> None:
    reading = node.reading
    _recover(node)
    outer = node.outer
    if outer is not None and outer.reading.kind == "model" and _same_call(outer, node):
        _merge(outer, node)
        return
    step = _new_step(trace, node)
    step.input = [replace(message, reasoning=None) for message in reading.input]
    step.output = reading.output
    step.tools = reading.tools
    step.model = reading.model
    step.finish_reason = reading.finish_reason
    step.usage = reading.usage
    step.settings = {**reading.settings, "otel_span": node.span.key}
    if step.input != reading.input:
        # Chat clients do not send earlier reasoning back, whatever the framework keeps of it:
        # with it, no reported prompt length could be met. That it was there is noted.
        step.settings["reasoning_in_history"] = True
    step.fidelity = Fidelity.APPROXIMATE
    step.fidelity_reason = NO_IDS


def _recover(node: Node) -> None:
    """Take what a chat span lost from the frames around it.

    Tools from the nearest that has any; reasoning and finish reason from the nearest whose output
    holds the same message.
    """
    reading = node.reading
    if not reading.tools:
        reading.tools = next((above.reading.tools for above in node.above if above.reading.tools), [])
    if reading.output is None:
        return
    wanted = without_reasoning(reading.output)
    for above in node.above:
        said = _same_message(above.reading.said, wanted)
        if said is None:
            continue
        if reading.output.reasoning is None and said.message.reasoning:
            reading.output = replace(reading.output, reasoning=said.message.reasoning)
        reading.finish_reason = reading.finish_reason or said.finish_reason
        reading.model = reading.model or said.model
        reading.usage = reading.usage or said.usage
        return


def _same_message(said: list[Said], wanted: Message) -> Said | None:
    return next((item for item in reversed(said) if without_reasoning(item.message) == wanted), None)


def _same_call(outer: Node, inner: Node) -> bool:
    """Tell whether two instrumentations report one call, the one inside the other."""
    first = outer.step.output if outer.step is not None else outer.reading.output
    second = inner.reading.output
    if first is None:
        return True
    if second is None:  # an attempt that failed, before another that did not, is a call of its own
        return inner.failure is None or not inner.reading.input
    if first.tool_calls and first.tool_calls == second.tool_calls:
        return not (first.content and second.content) or first.content == second.content
    return without_reasoning(first) == without_reasoning(second)


def _merge(outer: Node, inner: Node) -> None:
    """Fill in what the outer span of a call lacks."""
    step, reading = outer.step, inner.reading
    if step is None:
        return
    inner_input = [replace(message, reasoning=None) for message in reading.input]
    if step.output is None and inner_input:
        step.input = inner_input
    else:
        step.input = max(step.input, inner_input, key=_amount)  # one may leave out words beside calls
    if step.output is None:
        step.output = reading.output
    elif reading.output is not None:
        step.output = replace(
            step.output,
            content=step.output.content or reading.output.content,
            reasoning=step.output.reasoning or reading.output.reasoning,
        )
    step.tools = step.tools or reading.tools
    step.model = step.model or reading.model
    step.finish_reason = step.finish_reason or reading.finish_reason
    step.usage = step.usage or reading.usage
    step.settings = {**reading.settings, **step.settings}


def _amount(messages: list[Message]) -> int:
    """Return how much a prompt says: its characters, and its calls."""
    return sum(len(message.content) + len(message.tool_calls) for message in messages)


def _add_tool(trace: Trace, node: Node, calls: Calls) -> None:
    reading = node.reading
    outer = node.outer
    if outer is not None and outer.step is not None and _same_tool(outer, node):
        outer.step.result = reading.result if outer.step.result is None else outer.step.result
        if node.failure is not None and node.failure.kind == "error":
            outer.step.status, outer.step.error = "error", outer.step.error or node.failure.text
        return
    step = _new_step(trace, node)
    step.tool_call_id = reading.call_id
    step.arguments = reading.arguments
    step.result = reading.result
    call = calls.of_tool(
        reading.name, reading.call_id, reading.arguments, node.span.start, node.path, node.scope
    )
    if call is None:
        inside = node.enclosing is not None
        step.parent_id = None if inside or reading.call_id else _text_model_before(trace, step)
        return
    step.parent_id = call.step.id
    step.tool_call_id = reading.call_id or call.made.id or None
    step.arguments = written_arguments(call.made)  # free of what a framework injects
    call.answer = step


def _same_tool(outer: Node, inner: Node) -> bool:
    """Tell whether two instrumentations report one tool's run, the one inside the other."""
    first, second = outer.reading, inner.reading
    if first.kind != "tool" or first.name != second.name:
        return False
    known_as = first.call_id or (outer.step.tool_call_id if outer.step is not None else None)
    same_id = second.call_id is not None and second.call_id == known_as
    return same_id or first.arguments == second.arguments


def _text_model_before(trace: Trace, tool: Step) -> str | None:
    """Return the model step a text agent's tool belongs to: such models make no calls, only text."""
    best: Step | None = None
    for step in trace.steps:
        silent = step.kind == "model" and not (step.output and step.output.tool_calls)
        if (
            silent
            and step.started_at <= tool.started_at
            and (best is None or step.started_at >= best.started_at)
        ):
            best = step
    return best.id if best else None


def _break_circles(trace: Trace) -> None:
    """Free steps that would be their own ancestors, as spans with circular parents make them."""
    parents = {step.id: step for step in trace.steps}
    for step in trace.steps:
        seen = {step.id}
        above = parents.get(step.parent_id or "")
        while above is not None and above.id not in seen:
            seen.add(above.id)
            above = parents.get(above.parent_id or "")
        if above is step:
            step.parent_id = None


def _reconcile(trace: Trace, nodes: list[Node], calls: Calls) -> None:
    """Account for every tool result that is seen: complete its step, or make the missing one."""
    frames = sorted(_of_kind(nodes, "frame"), key=lambda node: node.span.end or node.span.start)
    for node in frames:  # first, because they tell a failure from a result
        history = [said.message for said in node.reading.said]
        _take_answers(trace, node, history, calls, at_end=True)
    for node in _of_kind(nodes, "model"):
        if node.step is not None:
            _take_answers(trace, node, node.step.input, calls, at_end=False)


def _take_answers(trace: Trace, node: Node, history: list[Message], calls: Calls, *, at_end: bool) -> None:
    seen = (node.span.end if at_end else None) or node.started_at
    for answer in trailing_answers(history):
        call = calls.of_message(answer, seen, node.path, node.scope)
        if call is None:
            continue  # answers a call of an earlier trace of the session
        if call.answer is None:
            call.answer = answered_step(call, answer.message)
            trace.steps.append(call.answer)
        elif call.answer.result is None:
            call.answer.result = answer.message.content  # the tool raised, and the agent was told so


def _mark_failed_results(trace: Trace) -> None:
    """Give the tool messages in prompts the status that some dialects leave out."""
    failed = {
        (step.tool_call_id, step.result)
        for step in trace.steps
        if step.kind == "tool" and step.status == "error"
    }
    for step in trace.steps if failed else ():
        step.input = [
            replace(message, status="error")
            if message.role == "tool" and (message.tool_call_id, message.content) in failed
            else message
            for message in step.input
        ]
