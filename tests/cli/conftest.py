"""A store with one run of a small agent, and a way to call the command line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.cli import app
from flashtrace_agent.defaults import DEFAULT_METHOD
from flashtrace_agent.message import Message, ToolCall
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id

START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)


class Invocation:
    """The outcome of one command."""

    def __init__(self, exit_code: int, stdout: str, stderr: str, error: BaseException | None) -> None:
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr
        self.error = error


Run = Callable[..., Invocation]


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """Return the URL of an empty store."""
    url = f"sqlite:///{tmp_path}/traces.db"
    Store(url).close()
    return url


@pytest.fixture
def run(store_url: str) -> Run:
    """Return a function that calls the command line on the store as a shell would, into a pipe."""

    def call(*arguments: str) -> Invocation:
        result = CliRunner().invoke(app, list(arguments), env={"FLASHTRACE_AGENT_STORE": store_url})
        return Invocation(result.exit_code, result.stdout, result.stderr, result.exception)

    return call


@pytest.fixture
def trace(store_url: str) -> Trace:
    """Return a stored run: a model calls two tools, one fails, and the model answers."""
    trace = Trace(
        make_id(START, "run"),
        "furniture",
        START,
        START + timedelta(seconds=9),
        "error",
        session="s1",
        tags=["demo"],
    )
    opening = [Message("system", "You count."), Message("user", "How many sofas?")]
    calls = (
        ToolCall("call_0", "sofas", {"colour": "red", "limit": 3}),
        ToolCall("call_1", "mirrors", "{half"),
    )
    output = Message("assistant", reasoning="The user asks\n  for sofas.", tool_calls=calls)
    results = [
        Message("tool", "no such tool", tool_call_id="call_0", status="error"),
        Message("tool", "3 \x1b[31mmirrors", tool_call_id="call_1"),
    ]
    asking = _step(
        trace,
        1,
        input=opening,
        output=output,
        prompt_ids=list(range(90)),
        completion_ids=list(range(90, 100)),
    )
    tool = Step(
        make_id(START, "tool"),
        trace.id,
        "tool",
        "sofas",
        START + timedelta(seconds=2),
        parent_id=asking.id,
        status="error",
        error="no tool is named sofas",
        tool_call_id="call_0",
        arguments={"colour": "red", "limit": 3},
    )
    answering = _step(
        trace,
        3,
        input=[*opening, output, *results],
        output=Message("assistant", "There are [bold]7[/bold] sofas."),
        usage={"prompt_tokens": 100, "completion_tokens": 7},
        fidelity=Fidelity.APPROXIMATE,
    )
    trace.steps = [asking, tool, answering]
    with Store(store_url) as store:
        store.write_trace(trace)
        for step in trace.steps:
            store.write_step(step)
        store.write_attribution(asking.id, _attribution())
    return trace


def _step(trace: Trace, second: int, **fields: object) -> Step:
    content = {"status": "ok", "fidelity": Fidelity.EXACT, **fields}
    moment = START + timedelta(seconds=second)
    return Step(make_id(moment, str(second)), trace.id, "model", "SmolLM2", moment, **content)  # type: ignore[arg-type]


def _attribution() -> Attribution:
    scores = np.zeros(100, np.float32)
    scores[10:20], scores[30:60], scores[60:90] = 0.041, 0.007, 0.38 / 30
    names = (("system", 0, 10), ("user", 10, 20), ("template", 20, 30), ("example:2", 30, 60))
    segments = [Segment(name, Span(start, end)) for name, start, end in names]
    segments += [Segment("tool_schema:sofas", Span(60, 90)), Segment("tool_call:sofas", Span(90, 100))]
    return Attribution(
        input_ids=np.arange(100, dtype=np.int32),
        tokens=tuple(f" t{token}" for token in range(100)),
        target=(Span(92, 94),),
        through=(Span(90, 92),),
        scores=scores,
        hops=(Hop(scores, 1.0), Hop(scores, 0.4)),
        method=DEFAULT_METHOD,
        target_name="tool_name",
        segments=tuple(segments),
        settings={"hops": 1},
    )
