"""What each instrumentation's spans can carry, found out from its recordings.

The table in docs/opentelemetry.md is printed by `table` and compared by a test. Run this file to
print it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from otel_ferry import FAILURE
from otel_recordings import INSTRUMENTATIONS, RECORDINGS, run_spans

from flashtrace_agent.integrations.opentelemetry.assembly import assemble
from flashtrace_agent.trace import Step, Trace

Traces = Mapping[str, Trace]

_MARKS = {True: "yes", False: "**no**", None: "not recorded"}


def models(trace: Trace) -> list[Step]:
    """Return a trace's model steps."""
    return [step for step in trace.steps if step.kind == "model"]


def tools(trace: Trace) -> list[Step]:
    """Return a trace's tool steps."""
    return [step for step in trace.steps if step.kind == "tool"]


def _thoughts(traces: Traces, expected: Traces, scenarios: str) -> bool:
    return all(
        [step.output and step.output.reasoning for step in models(traces[name])]
        == [step.output and step.output.reasoning for step in models(expected[name])]
        for name in scenarios.split()
    )


CAPABILITIES: dict[str, Callable[[Traces, Traces], bool | None]] = {
    "messages, calls and results": lambda traces, expected: all(
        [step.result for step in tools(traces[name])] == [step.result for step in tools(expected[name])]
        for name in "ABC"
    ),
    "the agent's name": lambda traces, _: traces["A"].name == "travel_desk",
    "the session": lambda traces, _: traces["B"].session == "kiosk-42",
    "tool schemas": lambda traces, expected: all(
        [tool.name for tool in step.tools] == [tool.name for tool in expected["A"].steps[0].tools]
        for step in models(traces["A"])
    ),
    "reasoning": lambda traces, expected: _thoughts(traces, expected, "A B C"),
    "reasoning as a content block": lambda traces, expected: (
        _thoughts(traces, expected, "A2") if "A2" in traces else None
    ),
    "finish reasons": lambda traces, expected: all(
        [step.finish_reason for step in models(traces[name])]
        == [step.finish_reason for step in models(expected[name])]
        for name in "ABCD"
    ),
    "token counts": lambda traces, _: all(step.usage for name in "ABC" for step in models(traces[name])),
    "times of tools": lambda traces, _: all(
        step.ended_at and step.ended_at > step.started_at for step in tools(traces["B"])
    ),
    "a call to a tool that does not exist": lambda traces, _: (
        [step.status for step in tools(traces["C"])] == ["error", "ok"]
    ),
    "a tool that raises": lambda traces, _: [step.status for step in tools(traces["D"])] == ["error"],
    "the exception's type": lambda traces, _: (
        [step.error for step in tools(traces["D"])] == [f"LookupError: {FAILURE}"]
    ),
    "the run's failure": lambda traces, _: traces["D"].status == "error",
}


def recorded_traces(instrumentation: str) -> dict[str, Trace]:
    """Return the trace of each scenario, as an instrumentation's spans tell it."""
    traces: dict[str, Trace] = {}
    for name, scenario in RECORDINGS:
        if name == instrumentation:
            trace = assemble(run_spans(name, scenario))
            assert trace is not None
            traces[scenario] = trace
    return traces


def table(expected: Traces) -> str:
    """Return the table of capabilities in Markdown."""
    found = {name: recorded_traces(name) for name in INSTRUMENTATIONS}
    lines = [
        "| | " + " | ".join(f"`{name}`" for name in INSTRUMENTATIONS) + " |",
        "| --- |" + " --- |" * len(INSTRUMENTATIONS),
    ]
    for name, carries in CAPABILITIES.items():
        marks = [_MARKS[carries(found[given], expected)] for given in INSTRUMENTATIONS]
        lines.append(f"| {name} | " + " | ".join(marks) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    import sys
    import tempfile
    from pathlib import Path

    from otel_ferry import handler_trace
    from otel_recordings import SCENARIOS

    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(table({name: handler_trace(name, Path(folder)) for name in SCENARIOS}) + "\n")
