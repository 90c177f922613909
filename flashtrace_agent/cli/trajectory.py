"""Find a trajectory in the store, or compute and store it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flashtrace_agent.defaults import DEFAULT_METHOD
from flashtrace_agent.following.choice import main_target
from flashtrace_agent.trace import Step, Trace
from flashtrace_agent.trajectory import Trajectory

from .options import Dtype, load_attributor
from .progress import waiting

if TYPE_CHECKING:
    from flashtrace_agent.store import Store

HOPS = 1


def trace_back(
    opened: Store, trace: Trace, step: Step, target: str | None, model: str | None, dtype: Dtype
) -> Trajectory:
    """Return where a target of a step, by default its main one, came from across the run.

    A stored answer is used unless another model is asked for.

    Raises:
        TargetError: if the step cannot be attributed or has no such target.
        ModelFileError: if the model cannot be loaded.
    """
    stored = {
        known.target_name: known
        for known in opened.get_trajectories(trace.id)
        if (known.step_id, known.method, known.hops) == (step.id, DEFAULT_METHOD, HOPS)
        and model in (None, known.model)
    }
    # What looks like an answer in the message may be a failed call: only the model's tokens tell.
    for name in [target] if target else [main_target(step), "invalid_call"]:
        if name in stored:
            return stored[name]
    found = _compute(trace, step, target, model, dtype)
    opened.write_trajectory(found)
    return found


def _compute(trace: Trace, step: Step, target: str | None, model: str | None, dtype: Dtype) -> Trajectory:
    from flashtrace_agent.explain import known_ids
    from flashtrace_agent.following.with_model import explain_trajectory

    known_ids(step)  # says what is missing before a model is loaded
    numbers = {each.id: number for number, each in enumerate(trace.steps, 1)}
    with waiting("loading the model") as say:
        attributor = load_attributor(model, step.model, dtype)

        def tell(visited: Step) -> None:
            say(f"tracing back, now at step {numbers[visited.id]}")

        return explain_trajectory(
            attributor, trace, step, target, hops=HOPS, method=DEFAULT_METHOD, on_step=tell
        )
