"""``show --trajectory`` follows a target back through the run."""

from __future__ import annotations

import json
import re

import pytest

from flashtrace_agent.defaults import DEFAULT_METHOD
from flashtrace_agent.following import choose_step_of
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace
from flashtrace_agent.trajectory import Edge, Node, Trajectory

from .conftest import Run


@pytest.fixture
def stored(store_url: str, trace: Trace) -> Trajectory:
    """Return a stored trajectory of the run's answer, worked out by hand."""
    asking, tool, answering = trace.steps
    nodes = (
        Node("target", "target", "answer", answering.id, 1.0, 0.0, end=False, text="There are 7 sofas."),
        Node("call", "tool_call", "tool_call:sofas", asking.id, 0.2, 0.5, end=False, words="red"),
        Node("result", "tool_result", "tool_result:call_0", tool.id, 0.5, 0.0, end=True, words="[b]no such"),
        Node("user", "user", "user", None, 0.5, 0.5, end=True, words="sofas?"),
    )
    edges = (
        Edge("result", "target", 0.5, "words"),
        Edge("call", "result", 0.5, "choice"),
        Edge("user", "call", 0.5, "choice"),
        Edge("user", "target", 0.3, "words"),
        Edge("call", "target", 0.2, "words"),
        Edge("user", "call", 0.2, "words"),
    )
    found = Trajectory(
        trace.id, answering.id, "answer", "There are 7 sofas.", nodes, edges,
        (answering.id, asking.id), DEFAULT_METHOD, 1, "SmolLM2", "approximate",
    )  # fmt: skip
    assert found.imbalance() < 1e-9
    with Store(store_url) as store:
        store.write_trajectory(found)
    return found


def test_the_tree_of_a_stored_trajectory(run: Run, trace: Trace, stored: Trajectory) -> None:
    """No model is needed; the words of a model cannot drive the terminal."""
    result = run("show", trace.id, "--trajectory")
    assert [line.lstrip("│├└─ ") for line in result.stdout.splitlines()] == [
        "answer `There are 7 sofas.`  step 3",
        "tool_result of sofas “[b]no such”  50 %",
        'fetched by step 1 tool_call:sofas colour="red", limit=3, led to by',
        "user “sofas?”  50 %",
        "user “sofas?”  30 %",
        "step 1 tool_call:sofas “red”  20 %",
        "user “sofas?”  20 %",
        "Whose words: tool_result of sofas 50 %, user 50 %",
        "Why looked up (50 %): user 50 %",
        "The token ids are approximate, so shares are less certain.",
    ]


def test_json_is_the_trajectory(run: Run, trace: Trace, stored: Trajectory) -> None:
    shown = json.loads(run("show", trace.id[:12], "--trajectory", "--json").stdout)
    assert shown == json.loads(json.dumps(stored.to_dict()))


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--target", "answer"], 2, "add --trajectory"),
        (["--trajectory", "--target", "5:9"], 1, "add --step"),
        (["--trajectory", "--target", "argument:size"], 1, "No model step .* has argument:size"),
        (["--trajectory", "--step", "2"], 1, "only model steps can be attributed"),
        (["--trajectory", "--step", "3", "--target", "reasoning"], 1, "has no token ids"),
    ],
)
def test_what_cannot_be_followed(
    run: Run, trace: Trace, arguments: list[str], code: int, sentence: str
) -> None:
    """One sentence, before any model is loaded."""
    result = run("show", trace.id, *arguments)
    assert result.exit_code == code
    assert re.search(sentence, " ".join(result.stderr.split()))


def test_the_step_that_is_meant(trace: Trace) -> None:
    """The last that spoke by default; a target alone is that of the last step that has it."""
    asking, _, answering = trace.steps
    assert choose_step_of(trace) == answering
    assert choose_step_of(trace, "answer") == answering
    for target in ("argument:limit", "tool_name#2", "reasoning"):
        assert choose_step_of(trace, target) == asking
