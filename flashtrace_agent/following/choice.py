"""Which step and target a reader means who names only one of them, or none."""

from __future__ import annotations

from flashtrace_agent.errors import TargetError
from flashtrace_agent.trace import Step, Trace


def choose_target(trace: Trace, step: Step | None = None, target: str | None = None) -> tuple[Step, str]:
    """Return a model step and a target of it.

    By default the run's last words are meant: the last step that answered or called a tool, and
    its answer, else its call's name. A target alone means the last step that has it.

    Raises:
        TargetError: if there is nothing of the kind.
    """
    if step is None:
        steps = [each for each in reversed(trace.steps) if each.kind == "model"]
        if target is not None and target[:1].isdigit():
            raise TargetError(f"The span {target} needs to know its step; add --step.")
        found = (each for each in steps if (_has(each, target) if target else _main_target(each)))
        step = next(found, None)
        if step is None:
            wanted = f"has {target}" if target else "answered or called a tool"
            raise TargetError(f"No model step of trace {trace.id} {wanted}; `show {trace.id}` lists them.")
    chosen = target or _main_target(step)
    if chosen is None:
        raise TargetError(f"Step {step.id} neither answered nor called a tool; choose another step.")
    return step, chosen


def _main_target(step: Step) -> str | None:
    if step.output is not None and step.output.content.strip():
        return "answer"
    return "tool_name" if step.output is not None and step.output.tool_calls else None


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
