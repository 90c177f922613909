"""Which step and target a reader means who names only one of them, or neither."""

from __future__ import annotations

from flashtrace_agent.errors import TargetError
from flashtrace_agent.trace import Step, Trace

MAIN_TARGETS = ("answer", "tool_name", "invalid_call", "reasoning")
"""What a reader who names only a step asks for: the first of these that it has."""


def choose_step_of(trace: Trace, target: str | None = None) -> Step:
    """Return the last model step that has a target; by default the last that answered or called.

    Raises:
        TargetError: if there is none, or the target is a span, which needs its step.
    """
    if target is not None and target[:1].isdigit():
        raise TargetError(f"The span {target} needs to know its step; add --step.")
    for step in reversed(trace.steps):
        if step.kind == "model" and (_has(step, target) if target else _spoke(step)):
            return step
    wanted = f"has {target}" if target else "answered or called a tool"
    raise TargetError(f"No model step of trace {trace.id} {wanted}; `show {trace.id}` lists them.")


def main_target(step: Step) -> str:
    """Return which of `MAIN_TARGETS` a step has by its message, which shows no failed calls."""
    if step.output is not None and step.output.content.strip():
        return "answer"
    return "tool_name" if step.output is not None and step.output.tool_calls else "reasoning"


def _spoke(step: Step) -> bool:
    return step.output is not None and bool(step.output.content.strip() or step.output.tool_calls)


def _has(step: Step, target: str) -> bool:
    """Tell by its message whether a step has a target, as `step_targets` names them."""
    if step.output is None:
        return False
    name, _, number = target.rpartition("#")
    if not name or not number.isdecimal():
        name, number = target, "1"
    if name in ("answer", "invalid_call"):
        return bool(step.output.content.strip())
    if name == "reasoning":
        return bool(step.output.reasoning)
    calls = step.output.tool_calls
    if not 0 < int(number) <= len(calls):
        return False
    arguments = calls[int(number) - 1].arguments
    return name == "tool_name" or (
        not isinstance(arguments, str) and name.removeprefix("argument:") in arguments
    )
