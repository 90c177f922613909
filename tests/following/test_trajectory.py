"""A target's mass goes back through the run, and none of it is lost."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.following import build_trajectory
from flashtrace_agent.message import Message, ToolCall
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.trajectory import Trajectory

from .runs import ByWord, Run, token

SYSTEM, USER = Message("system", "be good"), Message("user", "price of lamp")


def two_steps(**second: object) -> tuple[Run, Message]:
    """A call, its result, and an answer."""
    run = Run()
    call = ToolCall("call_0", "look", {"item": "bulb"})
    asked = Message("assistant", reasoning="think", tool_calls=(call,))
    asking = run.say([SYSTEM, USER], asked)
    result = run.ran(asking, call, "35 euros")
    answer = Message("assistant", "it is 35")
    run.say([SYSTEM, USER, asked, result], answer, **second)
    return run, asked


def masses(trajectory: Trajectory) -> dict[str, tuple[float, float]]:
    return {
        node.label: (round(node.mass, 6), round(node.choice, 6))
        for node in trajectory.nodes
        if node.kind != "target"
    }


def test_worked_example() -> None:
    """Scores by word, so that each step's division is known: worked out by hand.

    Step 2's prompt: lamp .2, bulb .3 (its own call), 35 .5. Step 1's: lamp .2 and good .6, that
    is ¼ and ¾. So words: lamp .2 + .3·¼, good .3·¾, 35 .5; the choice of the result, ½ in all,
    goes lamp .5·¼, good .5·¾.
    """
    run, _ = two_steps()
    explainer = ByWord(run, {"lamp": 0.2, "bulb": 0.3, "35": 0.5})
    first, _, last = run.trace.steps

    def named(step: object, target: str) -> object:
        found = ByWord.named(explainer, last, target)
        explainer.shares = {token("lamp"): 0.2, token("good"): 0.6}
        return found

    explainer.named = named  # type: ignore[method-assign, assignment]
    found = build_trajectory(run.trace, last, "answer", explainer)
    assert masses(found) == {
        "user": (0.275, 0.125),
        "system": (0.225, 0.375),
        "tool_call:look": (0.3, 0.5),
        "tool_result:call_0": (0.5, 0.0),
    }
    assert [node.label for node in found.ends()] == ["tool_result:call_0", "user", "system"]
    assert [node.label for node in found.reasons()] == ["system", "user"]
    assert found.imbalance() < 1e-6
    (words, choice) = (weights for _, weights in explainer.asked)
    call = first.prompt_ids, first.completion_ids
    at = {token_id: index for index, token_id in enumerate([*call[0], *call[1]])}  # type: ignore[misc]
    assert {i: round(float(words[i]), 6) for i in np.flatnonzero(words)} == {at[token("bulb")]: 0.3}
    assert {i: round(float(choice[i]), 6) for i in np.flatnonzero(choice)} == {
        at[token("look")]: 0.25,
        at[token("bulb")]: 0.25,
    }


def test_an_end_says_why_it_was_not_followed() -> None:
    """A message nobody in the run wrote, and a step whose token ids are unknown."""
    run, asked = two_steps()
    first, _, last = run.trace.steps
    last.input[2] = replace(asked, tool_calls=(ToolCall("call_0", "look", {"item": "other"}),))
    found = build_trajectory(run.trace, last, "answer", ByWord(run, rest=1.0))
    strange = next(node for node in found.nodes if node.kind == "assistant")
    assert strange.end
    assert strange.note == "no earlier step of this trace wrote it"
    assert {node.step for node in found.nodes} == {None, last.id}

    last.input[2] = asked
    first.prompt_ids = None
    found = build_trajectory(run.trace, last, "answer", ByWord(run, rest=1.0))
    call = next(node for node in found.nodes if node.kind == "tool_call")
    assert call.end
    assert call.step == first.id
    assert "has no token ids" in call.note
    assert found.imbalance() < 1e-6


def test_a_message_is_known_however_it_was_sent_back() -> None:
    """Without reasoning, with another call id, arguments as text, raw calls in the content."""
    for sent in (
        Message("assistant", tool_calls=(ToolCall("call_0", "look", '{"item":  "bulb"}'),)),
        Message("assistant", ' <tool_call>\n{"name": "look", "arguments": {"item": "bulb"}}\n</tool_call>'),
    ):
        run, _ = two_steps()
        first, _, last = run.trace.steps
        last.input[2] = sent
        found = build_trajectory(run.trace, last, "answer", ByWord(run, rest=1.0))
        assert first.id in found.steps


def test_the_same_words_in_the_same_place_are_preferred() -> None:
    """Two steps made the same call; the history says which one is meant."""
    run = Run()
    call = ToolCall("call_0", "look", {"item": "bulb"})
    said = Message("assistant", tool_calls=(call,))
    here = run.say([SYSTEM, USER], said)
    there = run.say([SYSTEM, Message("user", "another question")], said)
    last = run.say(
        [SYSTEM, USER, said, Message("tool", "35", tool_call_id="call_0")], Message("assistant", "x")
    )
    found = build_trajectory(run.trace, last, "answer", ByWord(run, rest=1.0))
    assert here.id in found.steps
    assert there.id not in found.steps


def test_little_mass_rests_where_it_came() -> None:
    run, _ = two_steps()
    explainer = ByWord(run, {"lamp": 1.0, "bulb": 0.0001})
    found = build_trajectory(run.trace, run.trace.steps[-1], "answer", explainer)
    call = next(node for node in found.nodes if node.kind == "tool_call")
    assert call.end
    assert call.note.startswith("less than 0.1 %")
    assert explainer.asked == []
    assert found.imbalance() < 1e-6


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Agents that call tools in parallel, repeat themselves, trim histories, and lose token ids."""
    words = st.sampled_from(list("abcdef"))
    texts = st.lists(words, min_size=1, max_size=4).map(" ".join)
    run = Run()
    history = [SYSTEM, USER]
    for _ in range(draw(st.integers(0, 5))):
        count = draw(st.integers(1, 3))
        names = draw(st.lists(st.sampled_from(["look", "find"]), min_size=count, max_size=count))
        calls = tuple(ToolCall(f"call_{i}", name, {"q": draw(texts)}) for i, name in enumerate(names))
        output = Message("assistant", draw(st.just("") | texts), draw(st.none() | texts), calls)
        unknown = {"prompt_ids": None} if draw(st.integers(0, 9)) == 0 else {}
        step = run.say(history, output, **unknown)
        history = [*history, replace(output, reasoning=None) if draw(st.booleans()) else output]
        for call in calls:
            message = run.ran(step, call, draw(texts))
            if draw(st.integers(0, 3)) == 0:  # an agent inside the tool
                tool = run.trace.steps[-1]
                task = dict(call.arguments)["q"] if draw(st.booleans()) else "d e"  # type: ignore[arg-type]
                inner = run.say([Message("user", task)], Message("assistant", message.content))
                inner.parent_id = tool.id
            history = [*history, replace(message, tool_call_id=None) if draw(st.booleans()) else message]
        if draw(st.integers(0, 4)) == 0:
            history = [history[0], *history[-2:]]
        if draw(st.integers(0, 4)) == 0:
            history = [*history, Message("user", draw(texts)), Message("assistant", draw(texts))]
    run.say(history, Message("assistant", "the end"))
    return run


@given(runs(), st.dictionaries(st.sampled_from([*"abcdef", "lamp", "<user>"]), st.floats(0, 1)))
def test_no_mass_is_lost_or_made(run: Run, shares: dict[str, float]) -> None:
    """On any run: ends add up to 1, what flows in flows out, and edges point from before to after."""
    order = {step.id: index for index, step in enumerate(run.trace.steps)}
    last = run.trace.steps[-1]
    found = build_trajectory(run.trace, last, "answer", ByWord(run, shares, rest=0.01))
    assert found.imbalance() < 1e-6
    assert sum(node.mass for node in found.ends()) == pytest.approx(1.0, abs=1e-6)
    by_id = {node.id: node for node in found.nodes}
    assert len(by_id) == len(found.nodes)
    fetched = sum(
        node.mass for node in found.nodes if node.kind == "tool_result" and found.into(node.id, "choice")
    )
    assert sum(node.choice for node in found.reasons()) == pytest.approx(fetched, abs=1e-6)
    for edge in found.edges:
        source, target = by_id[edge.source], by_id[edge.target]
        assert edge.mass > 0
        if source.step is not None and target.step is not None:
            assert order[source.step] < order[target.step]
        assert edge.flow == "choice" or not target.end
    assert Trajectory.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@given(runs())
def test_words_of_a_step_are_in_the_prompt_that_owes_them(run: Run) -> None:
    """An edge exists only if the text was in the prompt: dropped reasoning gets none."""
    last = run.trace.steps[-1]
    found = build_trajectory(run.trace, last, "answer", ByWord(run, rest=1.0))
    assert not any(node.kind == "reasoning" for node in found.nodes)


def test_a_text_agents_rounds_are_followed() -> None:
    """All rounds stand in one message: thoughts and actions lead to their steps, results to their calls."""
    ask = "Action: a tool\nAction Input: its input\nObservation: r\n\nQuestion: how many lamps"
    run = Run()
    history, rounds = ask, []
    rounds_said = [("first", "bulb", "no bulb"), ("then", "lamp", "12 lamps")]
    for thought, item, result in rounds_said:
        call = ToolCall("call_0", "look", {"input": item})
        said = Message("assistant", reasoning=thought, tool_calls=(call,))
        step = run.say([Message("user", history)], said)
        rounds.append(step)
        run.ran(step, call, result)
        history += f"\nThought: {thought}\nAction: look\nAction Input: {item}\nObservation: {result}"
    last = run.say([Message("user", history)], Message("assistant", "12"))
    # The generator of these runs knows whole messages only, so this prompt is cut up by hand.
    names = [
        "user",
        "reasoning",
        "tool_call:look",
        "tool_result:1",
        "reasoning",
        "tool_call:look",
        "tool_result:2",
    ]
    words = ["how many lamps", "first", "look bulb", "no bulb", "then", "look lamp", "12 lamps"]
    ids: list[int] = []
    segments: list[Segment] = []
    for name, text in zip(names, words, strict=True):
        start = len(ids)
        ids += [token(word) for word in text.split()]
        segments.append(Segment(name, Span(start, len(ids)), 0))
    segments.append(Segment("answer", Span(len(ids), len(ids) + 1), -1))
    last.prompt_ids, last.completion_ids = ids, [token("12")]
    run.segments[last.id] = segments
    found = build_trajectory(run.trace, last, "answer", ByWord(run, rest=1.0))
    assert found.imbalance() < 1e-6
    assert found.steps == (last.id, rounds[1].id, rounds[0].id)
    written = {(node.step, node.label) for node in found.nodes if node.kind in ("reasoning", "tool_call")}
    assert written == {(step.id, label) for step in rounds for label in ("reasoning", "tool_call:look")}
    ran = [step.id for step in run.trace.steps if step.kind == "tool"]
    assert {node.step for node in found.nodes if node.kind == "tool_result"} == set(ran)


def test_an_agent_inside_a_tool_is_followed() -> None:
    """Its answer is the tool's result, and its task the argument it was called with."""
    run = Run()
    call = ToolCall("call_0", "ask", {"task": "count the lamps"})
    asked = Message("assistant", tool_calls=(call,))
    asking = run.say([SYSTEM, USER], asked)
    result = run.ran(asking, call, "twelve in all")
    tool = run.trace.steps[-1]
    inner = run.say([Message("user", "count the lamps")], Message("assistant", "twelve in all"))
    inner.parent_id = tool.id
    last = run.say([SYSTEM, USER, asked, result], Message("assistant", "12"))
    found = build_trajectory(run.trace, last, "answer", ByWord(run, rest=1.0))
    assert found.imbalance() < 1e-6
    assert found.steps == (last.id, inner.id, asking.id)
    by_id = {node.id: node for node in found.nodes}
    edges = {(by_id[edge.source].label, by_id[edge.target].label) for edge in found.edges}
    assert {("answer", "answer"), ("tool_call:ask", "answer"), ("user", "tool_call:ask")} <= edges
    assert not any(node.kind == "tool_result" for node in found.nodes)
    assert {node.kind for node in found.ends()} == {"system", "user", "tool_schema", "template"}

    run.trace.steps.remove(inner)
    run.trace.steps.append(inner)  # its machine's clock is ahead, so the walk does not come by it
    found = build_trajectory(run.trace, last, "answer", ByWord(run, rest=1.0))
    assert found.imbalance() < 1e-6
    assert next(node for node in found.ends() if node.kind == "tool_result").step == tool.id

    run.trace.steps.insert(2, run.trace.steps.pop())
    inner.output = Message("assistant", "something else")
    found = build_trajectory(run.trace, last, "answer", ByWord(run, rest=1.0))
    assert next(node for node in found.ends() if node.kind == "tool_result").step == tool.id
