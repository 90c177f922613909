"""Prompts and outputs that lost something on the way get it back from each other, and only they."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from otel_recordings import all_traces
from otel_spans import START, TRACE, chat, run, said, span

from flashtrace_agent.integrations.opentelemetry.histories import (
    complete_histories,
    complete_outputs,
    complete_reasoning,
)
from flashtrace_agent.integrations.opentelemetry.record import SpanRecord
from flashtrace_agent.integrations.opentelemetry.sink import SpanSink
from flashtrace_agent.message import Message, ToolCall
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step

Round = tuple[str, list[str]]
"""What the model says, and what the tools that it calls answer."""

rounds = st.lists(
    st.tuples(st.sampled_from(["", "Let me see."]), st.lists(st.sampled_from("ab"), min_size=1, max_size=3)),
    max_size=4,
)


def steps_of(conversation: Sequence[Round], *, resends_words: bool = True) -> list[Step]:
    """Return the model steps of a run, each with the whole history, perhaps without words beside calls."""
    history = [Message("user", "Go.")]
    steps = []
    for number, (words, results) in enumerate([*conversation, ("Done.", [])]):
        calls = tuple(ToolCall(f"c{number}.{k}", "look", {"at": k}) for k in range(len(results)))
        output = Message("assistant", words, tool_calls=calls)
        steps.append(
            Step(
                id=str(number),
                trace_id="t",
                kind="model",
                name="chat",
                started_at=START,
                input=list(history),
                output=output,
            )
        )
        answers = [
            Message("tool", text, tool_call_id=call.id) for call, text in zip(calls, results, strict=True)
        ]
        history += [output if resends_words else replace(output, content=""), *answers]
    return steps


@given(rounds, st.sampled_from([(True, True), (True, False), (False, True)]))
def test_lost_calls_come_back(conversation: list[Round], loses: tuple[bool, bool]) -> None:
    """Without calls, ids and perhaps wordless messages, prompts become what they were."""
    resends_words, drops_wordless = loses
    whole = steps_of(conversation, resends_words=resends_words)
    lossy = copy.deepcopy(whole)
    for step in lossy:
        step.input = [
            replace(message, tool_calls=(), tool_call_id=None)
            for message in step.input
            if not (drops_wordless and message.tool_calls and not message.content)
        ]
    complete_histories(lossy)
    assert [step.input for step in lossy] == [step.input for step in whole]
    assert [bool(step.settings) for step in lossy] == [number > 0 for number in range(len(whole))]


@given(rounds, st.booleans())
def test_lost_outputs_come_back(conversation: list[Round], keeps_words: bool) -> None:
    """An output without its calls, or none at all, is what the next prompt repeats."""
    whole = steps_of(conversation)
    lossy = copy.deepcopy(whole)
    for step in lossy[:-1]:
        step.output = replace(step.output, tool_calls=()) if keeps_words and step.output else None
    complete_outputs(lossy)
    assert [step.output for step in lossy] == [step.output for step in whole]
    assert [bool(step.settings) for step in lossy] == [
        number < len(conversation) for number in range(len(whole))
    ]


@given(rounds, st.sampled_from([None, "Hm."]))
def test_lost_reasoning_comes_back(conversation: list[Round], thought: str | None) -> None:
    """What a later prompt says that a step thought, the step thought; the last one's is lost."""
    steps = steps_of(conversation)
    for step in steps:
        step.input = [
            replace(message, reasoning=thought) if message.role == "assistant" else message
            for message in step.input
        ]
    complete_reasoning([(step.input, step) for step in steps])
    known = [step.output.reasoning for step in steps if step.output]
    assert known == [thought] * len(conversation) + [None]
    assert [bool(step.settings) for step in steps] == [found is not None for found in known]


def test_a_failed_attempt_gets_no_output() -> None:
    """Of two steps with one prompt, the output is that of the one that did not fail."""
    first, last = steps_of([("", ["a"])])
    failed = replace(copy.deepcopy(first), status="error", output=None)
    silent = replace(copy.deepcopy(first), output=None)
    complete_outputs([failed, silent, last])
    assert (failed.output, silent.output) == (None, first.output)
    unanswered = replace(copy.deepcopy(first), output=None)
    complete_outputs([unanswered, first, last])
    assert unanswered.output is None  # the other attempt wrote it


@given(rounds)
def test_whole_prompts_stay_as_they_are(conversation: list[Round]) -> None:
    """Nothing is put into a prompt that has its calls, nor into an output that has its own."""
    whole = steps_of(conversation)
    untouched = copy.deepcopy(whole)
    complete_outputs(untouched)
    complete_histories(untouched)
    assert untouched == whole


def openlits(*, question: str, trace: str, second: float, words: str) -> list[SpanRecord]:
    """Return two chats as OpenLIT reports a client's: two traces, and no calls in the second's prompt."""
    answer = said("assistant", words)
    answer["parts"] += [{"type": "tool_call", "id": "c", "name": "add", "arguments": {"q": question}}]
    first = chat([said("user", question)], answer)
    second_chat = chat([said("user", question), said("tool", f"of {question}")], said("assistant", "Done."))
    return [
        span(1, first, trace=trace, second=second),
        span(2, second_chat, trace=trace[:-1] + "0", second=second + 1),
    ]


@pytest.mark.parametrize("words", ["", "Let me see."])
def test_chats_without_calls_in_their_histories_are_one_run(words: str, store: Store, sink: SpanSink) -> None:
    """Two runs of two chats each, whose wordless messages are lost, come apart again."""
    one = openlits(question="1?", trace="a" * 32, second=0, words=words)
    two = openlits(question="2?", trace="b" * 32, second=0.25, words=words)
    for each in (one[1], two[1], one[0], two[0]):
        sink.receive([each])
    sink.settle()
    traces = all_traces(store)
    assert [[step.kind for step in trace.steps] for trace in traces] == [["model", "tool", "model"]] * 2
    for trace in traces:
        first, answer, last = trace.steps
        assert answer.result == f"of {first.input[0].content}"
        assert first.output is not None
        assert last.input[1] == replace(first.output, content="")
        assert last.settings["calls_restored"] is True


def lossy_chat(number: int, history: Sequence[Any], answer: Any, keeps: str) -> SpanRecord:
    """Return a chat that is a trace of its own, with some of its answer: "words calls", or calls "joined"."""
    words = [part for part in answer["parts"] if part["type"] == "text"] if "words" in keeps else []
    calls = [part for part in answer["parts"] if part["type"] == "tool_call"]
    if "joined" in keeps and calls:
        together = "".join(json.dumps(call["arguments"]) for call in calls)
        calls = [{**calls[0], "name": "look" * len(calls), "arguments": together}]
    elif "calls" not in keeps:
        calls = []
    attributes = chat(history, {**answer, "parts": words + calls})
    if not keeps:
        del attributes["gen_ai.output.messages"]
    return span(number, attributes, trace=f"{number:032x}")


def chats(question: str, conversation: Sequence[Round], first: int, keeps: str) -> list[SpanRecord]:
    """Return a conversation's chats, each with the whole history and what is kept of its answer."""
    history: list[Any] = [said("user", question)]
    found = []
    for number, (words, results) in enumerate([*conversation, ("Done.", [])], first):
        calls = [{"type": "tool_call", "name": "look", "arguments": {"at": k}} for k in range(len(results))]
        answer = said("assistant", words)
        answer["parts"] += calls
        found.append(lossy_chat(number, history, answer, keeps))
        history = [*history, answer, *(said("tool", text) for text in results)]
    return found


@settings(deadline=None, max_examples=30)
@given(
    rounds,
    rounds,
    st.sampled_from(["words calls", "words joined", "words", ""]),
    st.randoms(use_true_random=False),
)
def test_chats_that_lose_their_answers_are_one_run(
    one: list[Round], other: list[Round], keeps: str, order: random.Random
) -> None:
    """Two agents' chats, in any order, without the calls or any answer, come apart into their runs."""
    pieces = chats("1?", one, 1, keeps) + chats("2?", other, 50, keeps)
    order.shuffle(pieces)
    with TemporaryDirectory() as folder, Store(f"sqlite:///{folder}/traces.db") as store:
        with closing(SpanSink(store)) as sink:
            for piece in pieces:
                sink.receive([piece])
        found = all_traces(store)
    assert [trace.steps[0].input[0].content for trace in found] == ["1?", "2?"]
    for trace, conversation in zip(found, [one, other], strict=True):
        results = [step.result for step in trace.steps if step.kind == "tool"]
        assert results == [text for _, answers in conversation for text in answers]
        outputs = [step.output for step in trace.steps if step.kind == "model" and step.output]
        said_and_called = [(output.content, len(output.tool_calls)) for output in outputs]
        assert said_and_called[: len(conversation)] == [
            (words, len(answers)) for words, answers in conversation
        ]


def test_only_chats_that_a_history_continues_are_joined(store: Store, sink: SpanSink) -> None:
    """A run that ended with the words that another said beside its call stays alone; so does a failed one."""
    question = [said("user", "1?")]
    failed = replace(lossy_chat(1, question, said("assistant", ""), ""), status="error")
    ended = lossy_chat(2, question, said("assistant", "Let me see."), "words")
    for piece in (failed, ended, *chats("1?", [("Let me see.", ["a"])], 3, "words calls")):
        sink.receive([piece])
    assert [len(trace.steps) for trace in all_traces(store)] == [1, 1, 3]


def test_calls_of_another_prompt_are_not_put_in() -> None:
    """A result whose prompt no step of the run had stays alone."""
    answer = {"type": "tool_call", "id": "c", "name": "add", "arguments": {}}
    steps = run(
        span(1, chat([said("user", "1?")], {"role": "assistant", "parts": [answer]}), trace=TRACE),
        span(2, chat([said("user", "2?"), said("tool", "two")], said("assistant", "2.")), parent=1),
    ).steps
    last = steps[-1]
    assert [message.role for message in last.input] == ["user", "tool"]
    assert "calls_restored" not in last.settings
