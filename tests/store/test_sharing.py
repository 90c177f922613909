"""What steps have in common is stored once, and goes with the last that refers to it."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from flashtrace_agent.message import Message, ToolCall
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step, Trace

from .examples import SOFAS, make_attribution, make_model_step, make_tool_step, make_trace

TABLES = (
    "traces",
    "trace_tags",
    "trace_facets",
    "steps",
    "attributions",
    "messages",
    "message_numbers",
    "message_traces",
    "token_chunks",
    "text_chunks",
    "documents",
)


@pytest.fixture
def store_url(empty_copy: str) -> str:
    """Return the URL of a file, which these tests look into."""
    return empty_copy


def count_rows(store: Store) -> dict[str, int]:
    """Return the number of rows of each table."""
    with sqlite3.connect(store.url.removeprefix("sqlite:///")) as connection:
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}


def dump(store: Store) -> list[str]:
    """Return every row in the store; of the full-text index's own tables, only what it finds."""
    with sqlite3.connect(store.url.removeprefix("sqlite:///")) as connection:
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not name.startswith("message_words")
        ]
        rows = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
        connection.execute("CREATE VIRTUAL TABLE temp.found USING fts5vocab(main, message_words, row)")
        rows["words"] = connection.execute("SELECT term, doc FROM temp.found").fetchall()
    return sorted(f"{name} {row}" for name in rows for row in rows[name])


def record_agent(store: Store, trace: Trace, rounds: int) -> list[tuple[int, int]]:
    """Record an agent that re-sends its history each round; return (tokens, bytes) after each.

    Tokens are those that no earlier prompt held, bytes the size of the database.
    """
    generator = np.random.default_rng(1)

    def tokens(count: int) -> list[int]:
        return [int(token) for token in generator.integers(0, 49_000, count)]

    store.write_trace(trace)
    messages = [Message("system", "You count furniture."), Message("user", "Count everything.")]
    prompt = tokens(400)
    sizes: list[tuple[int, int]] = []
    for number in range(rounds):
        completion = tokens(60)
        call = ToolCall("call_0", "sofas", {"room": number})
        output = Message("assistant", reasoning=f"Room {number} is next.", tool_calls=(call,))
        step = make_model_step(
            trace,
            number,
            input=list(messages),
            output=output,
            prompt_ids=list(prompt),
            completion_ids=completion,
        )
        store.write_step(step)
        prompt += completion + tokens(40)
        messages += [output, Message("tool", f"{number} sofas", tool_call_id="call_0")]
        with sqlite3.connect(store.url.removeprefix("sqlite:///")) as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            size = pages * connection.execute("PRAGMA page_size").fetchone()[0]
        sizes.append((len(prompt), size))
    return sizes


def test_a_growing_history_costs_what_is_new(store: Store) -> None:
    """The bytes for a new token are the same in round 190 as in round 20, and few."""
    sizes = record_agent(store, make_trace(), 200)

    def bytes_per_token(first: int, last: int) -> float:
        return (sizes[last][1] - sizes[first][1]) / (sizes[last][0] - sizes[first][0])

    early, late = bytes_per_token(10, 100), bytes_per_token(109, 199)
    assert late < 1.3 * early
    # Messages, the step's row and its indexes included; each round adds 100 tokens.
    assert late < 25
    assert count_rows(store)["messages"] == 2 + 2 * 200 - 1
    rounds_of_ids = sum(tokens for tokens, _ in sizes)
    assert sizes[-1][1] < rounds_of_ids, "under one byte for each id of a prompt or completion"


def test_a_long_history_is_read_back(store: Store) -> None:
    """The chains of a long run give every step its own history."""
    trace = make_trace()
    record_agent(store, trace, 40)
    steps = store.get_trace(trace.id).steps
    assert [len(step.input) for step in steps] == [2 + 2 * number for number in range(40)]
    assert [len(step.prompt_ids or []) for step in steps] == [400 + 100 * number for number in range(40)]
    assert steps[30].input[:50] == steps[24].input


def test_writing_twice_changes_nothing(store: Store) -> None:
    """A callback delivered twice leaves the database as it was, to the last byte of data."""
    trace = make_trace()
    step = make_model_step(trace)
    attribution = make_attribution(step.token_ids or [])

    def write() -> None:
        store.write_trace(trace)
        store.write_step(step)
        store.write_step(make_tool_step(trace, 1, step))
        store.write_attribution(step.id, attribution)

    write()
    once = dump(store)
    write()
    assert dump(store) == once


def test_a_later_version_of_a_step_replaces_the_earlier(store: Store) -> None:
    """A step written when it began is completed when it ends."""
    trace = make_trace()
    begun = make_model_step(trace, output=None, completion_ids=None, ended_at=None, status="incomplete")
    ended = make_model_step(trace)
    store.write_step(begun)
    store.write_step(ended)
    assert store.get_trace(trace.id).steps == [ended]


def test_attributions_of_a_step_share_tokens_texts_and_segments(store: Store) -> None:
    """Only scores are stored per target."""
    step = make_model_step(make_trace())
    store.write_step(step)
    store.write_attribution(step.id, make_attribution(step.token_ids or []))
    before = count_rows(store)
    store.write_attribution(step.id, make_attribution(step.token_ids or [], through=(), target_name="answer"))
    assert count_rows(store) == before | {"attributions": before["attributions"] + 1}


def test_deleting_a_trace_takes_what_only_it_referred_to(store: Store) -> None:
    """Another trace with the same beginning keeps every word."""
    kept, gone = make_trace("kept"), make_trace("gone")
    record_agent(store, kept, 5)
    kept_trace = store.get_trace(kept.id)
    before = dump(store)
    record_agent(store, gone, 20)
    for step in store.get_trace(gone.id).steps[:3]:
        store.write_attribution(step.id, make_attribution(step.token_ids or []))
    assert store.delete_trace(gone.id) == gone.id
    assert dump(store) == before
    assert store.get_trace(kept.id) == kept_trace
    store.delete_trace(kept.id)
    assert set(count_rows(store).values()) == {0}


def test_deleting_leaves_the_shared_part_of_a_branch(store: Store) -> None:
    """Histories that part ways share their trunk; deleting one branch leaves trunk and other."""
    trunk = [Message("system", "s"), Message("user", "u")]
    left, right = make_trace("left"), make_trace("right")
    for trace in (left, right):
        store.write_trace(trace)
        output = Message("assistant", trace.id)
        store.write_step(make_model_step(trace, input=trunk, output=output, tools=[SOFAS]))
    assert count_rows(store)["messages"] == 4
    store.delete_trace(right.id)
    assert count_rows(store)["messages"] == 3
    assert store.get_trace(left.id).steps[0].input == trunk


def test_shared_words_are_found_in_each_trace_that_holds_them(store: Store, store_url: str) -> None:
    """By whichever process they were written, and no longer after one is deleted."""
    first, second = make_trace("first"), make_trace("second")
    record_agent(store, first, 2)
    with Store(store_url) as other:
        record_agent(other, second, 3)
    assert {found.id for found in store.list_traces(where="text ~ 'furniture'")} == {first.id, second.id}
    assert {found.id for found in store.list_traces(where="text ~ '2 next'")} == {second.id}
    store.delete_trace(first.id)
    assert {found.id for found in store.list_traces(where="text ~ 'furniture'")} == {second.id}


def test_a_step_may_come_before_its_trace(store: Store) -> None:
    """Telemetry delivers children first; the header is completed later."""
    trace = make_trace()
    step: Step = make_model_step(trace)
    store.write_step(step)
    bare = store.get_trace(trace.id)
    assert (bare.name, bare.status, bare.steps) == ("", "incomplete", [step])
    store.write_trace(trace)
    assert store.get_trace(trace.id).name == "furniture"
