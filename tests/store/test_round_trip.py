"""What is read is what was written."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import Message, ToolCall
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step

from .examples import SOFAS, START, make_attribution, make_model_step, make_tool_step, make_trace

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CALLS = st.builds(
    ToolCall,
    id=st.text(max_size=8),
    name=st.text(max_size=12),
    arguments=st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3) | st.text(max_size=20),
)
MESSAGES = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=st.text(max_size=60),
    reasoning=st.none() | st.text(max_size=20),
    tool_calls=st.lists(CALLS, max_size=2).map(tuple),
    tool_call_id=st.none() | st.text(max_size=8),
    name=st.none() | st.text(max_size=8),
    status=st.sampled_from(["ok", "error"]),
    example=st.booleans(),
)


@pytest.fixture
def trace_steps() -> list[Step]:
    """Return a model step, its tool step and the answer that follows."""
    trace = make_trace()
    first = make_model_step(trace)
    tool = make_tool_step(trace, 1, first)
    assert first.output is not None
    history = [*first.input, first.output, Message("tool", "7", tool_call_id="call_0")]
    answer = make_model_step(trace, 2, input=history, output=Message("assistant", "Seven."), tools=[])
    return [first, tool, answer]


def test_a_trace_comes_back_whole(store: Store, trace_steps: list[Step]) -> None:
    """Header and steps are equal to what was written, steps in order of time."""
    trace = make_trace(steps=trace_steps)
    store.write_trace(trace)
    for step in reversed(trace_steps):
        store.write_step(step)
    assert store.get_trace(trace.id) == trace
    assert store.get_step(trace_steps[1].id) == trace_steps[1]


@given(messages=st.lists(MESSAGES, max_size=5), output=st.none() | MESSAGES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_messages_come_back(store: Store, messages: list[Message], output: Message | None) -> None:
    """Whatever Unicode, names and arguments a conversation holds, it is read back equal."""
    step = make_model_step(make_trace(), input=messages, output=output)
    store.write_step(step)
    assert store.get_step(step.id) == step


@given(
    prompt=st.none() | st.lists(st.integers(0, 2**32 - 1), max_size=600),
    completion=st.none() | st.lists(st.integers(0, 2**17), max_size=300),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_token_ids_come_back(
    store: Store, prompt: list[int] | None, completion: list[int] | None
) -> None:
    """Unknown, empty and long token lists stay apart."""
    step = make_model_step(make_trace(), prompt_ids=prompt, completion_ids=completion)
    store.write_step(step)
    read = store.get_step(step.id)
    assert (read.prompt_ids, read.completion_ids) == (prompt, completion)


@pytest.mark.parametrize(
    "fields",
    [
        {"input": [], "output": None, "tools": [], "settings": {}, "usage": {}},
        {"status": "error", "error": "broke\0 \ud83d", "ended_at": None, "fidelity": None},
        {"tools": [SOFAS, replace(SOFAS, name="mirrors", parameters={})]},
        {"input": [Message("user", "half a pair: \ud83d")]},
        {"arguments": "not JSON {", "result": "NUL \0 and \ud83d"},
        {"arguments": {"n": float("inf")}},
    ],
    ids=["empty", "error", "tools", "surrogate", "raw-arguments", "infinity"],
)
def test_unusual_steps_come_back(store: Store, fields: dict[str, Any]) -> None:
    """Empty, broken and odd values are read back equal."""
    step = make_model_step(make_trace(), **fields)
    store.write_step(step)
    assert store.get_step(step.id) == step


def test_a_long_name_is_cut_where_indexes_end(store: Store) -> None:
    """Whatever a model called a tool, and whoever named the run: the rest is stored, and found by them."""
    names = "".join(random.Random(0).choices("abcdefghij\N{GRINNING FACE}", k=20_000))
    trace = make_trace(name=names[:5000], session=names[5000:9000], tags=[names[9000:]], prompt_version=names)
    store.write_trace(trace)
    model = make_model_step(trace, model=names[:7000])
    tool = replace(make_tool_step(trace, 1, model), name=names[3000:])
    store.write_steps([model, tool])
    segments = (Segment(names, Span(0, 703)),)
    found = make_attribution(model.token_ids or [], target_name=names, segments=segments)
    store.write_attribution(model.id, found)
    read = store.get_trace(trace.id)
    assert trace.name.startswith(read.name)
    assert len(read.name.encode()) in range(1197, 1201)
    for where in (f"name = '{trace.name}' and tool = '{tool.name}'", f"segment '{names}' share > 0.5"):
        assert [each.id for each in store.list_traces(where=where)] == [trace.id]
    assert store.get_attributions(model.id)[0].target_name == names
    assert store.check() == []


def test_reported_counts_that_are_none_do_not_count(store: Store) -> None:
    """They are kept as they came; no column takes them."""
    trace = make_trace()
    for number, count in enumerate((2**70, -1, 1.5, "many", None, True)):
        step = make_model_step(trace, number, prompt_ids=None, usage={"prompt_tokens": count})
        store.write_step(step)
        assert store.get_step(step.id).usage == step.usage
    (summary,) = store.list_traces()
    assert (summary.steps, summary.tokens) == (6, 0)
    assert store.check() == []


def test_a_value_that_no_database_takes_says_so(store: Store) -> None:
    """In one sentence, and nothing is half-written."""
    trace = make_trace()
    for odd in (replace(trace, id="\ud800"), replace(trace, started_at=datetime.max)):
        with pytest.raises(StoreError, match="A value cannot be stored"):
            store.write_trace(odd)
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    call = ToolCall("", "dig", {"x": deep})
    with pytest.raises(StoreError, match="cannot be stored"):
        store.write_step(make_model_step(trace, output=Message("assistant", tool_calls=(call,))))
    assert store.list_traces() == []


def test_unstorable_characters_in_a_name_are_replaced(store: Store) -> None:
    """A model may call a tool by half a surrogate pair; the step is kept nevertheless."""
    trace = make_trace()
    step = replace(make_tool_step(trace, 0, make_model_step(trace)), name="a\ud83d\0b")
    store.write_step(step)
    assert store.get_step(step.id).name == "a��b"


def test_names_do_not_change_identity_but_are_kept(store: Store) -> None:
    """Frameworks add a speaker's name on re-sending; both forms are read as they were."""
    trace = make_trace()
    first = make_model_step(trace)
    assert first.output is not None
    named = replace(first.output, name="agent")
    second = make_model_step(trace, 1, input=[*first.input, named])
    store.write_step(first)
    store.write_step(second)
    assert store.get_step(first.id).output == first.output
    assert store.get_step(second.id).input[-1].name == "agent"


def test_times_are_utc_to_the_microsecond(store: Store) -> None:
    """A time given in another zone is the same moment, read in UTC."""
    zone = timezone(timedelta(hours=-7))
    trace = make_trace(ended_at=START.astimezone(zone))
    store.write_trace(trace)
    ended = store.get_trace(trace.id).ended_at
    assert ended == START
    assert ended is not None
    assert ended.tzinfo is UTC


def test_a_time_without_zone_is_refused(store: Store) -> None:
    """A naive time could be anything, so it is not guessed."""
    with pytest.raises(StoreError, match="no time zone"):
        store.write_trace(make_trace(ended_at=datetime(2025, 1, 1)))


@pytest.mark.parametrize("ids", [[-1], [2**32], [2**70], ["a"]])
def test_token_ids_that_are_none_are_refused(store: Store, ids: list[Any]) -> None:
    """Nothing of the step is stored then."""
    step = make_model_step(make_trace(), prompt_ids=ids)
    with pytest.raises(StoreError, match="Token ids must"):
        store.write_step(step)
    assert store.list_traces() == []


def test_a_message_json_cannot_hold_is_refused(store: Store) -> None:
    """The sentence says what is wrong."""
    call = ToolCall("c", "sofas", {"colour": object()})
    step = make_model_step(make_trace(), output=Message("assistant", tool_calls=(call,)))
    with pytest.raises(StoreError, match="cannot be stored as JSON"):
        store.write_step(step)
