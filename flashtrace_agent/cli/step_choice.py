"""Find the step a ``--step`` option means."""

from __future__ import annotations

from flashtrace_agent.errors import StoreError
from flashtrace_agent.trace import Step, Trace


def choose_step(trace: Trace, text: str) -> Step:
    """Return the step with number `text` (1 is the first, as `show` counts) or with that id.

    Raises:
        StoreError: if no step is meant, or several.
    """
    count = len(trace.steps)
    if text.isdecimal() and not text.startswith("0") and 1 <= int(text) <= count:
        return trace.steps[int(text) - 1]
    found = [step for step in trace.steps if text and step.id.startswith(text)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise StoreError(
            f"Trace {trace.id} has no step {text!r}: give a number from 1 to {count}, or a step's id."
        )
    ids = ", ".join(step.id for step in found[:5])
    more = ", …" if len(found) > 5 else ""
    raise StoreError(f"{text!r} is the beginning of several step ids, so give more of it: {ids}{more}.")
