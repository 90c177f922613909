"""What is kept beside a trace always follows from its steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity, Step

from .examples import at, make_model_step, make_tool_step, make_trace

STEPS = st.fixed_dictionaries(
    {
        "trace": st.integers(0, 1),
        "number": st.integers(0, 3),
        "tool": st.none() | st.sampled_from(["", "sofas", "chairs"]),
        "model": st.none() | st.sampled_from(["a", "b"]),
        "fidelity": st.none() | st.sampled_from(list(Fidelity)),
        "ids": st.none() | st.lists(st.integers(0, 9), max_size=3),
        "at": st.integers(0, 5),
    }
)


def make_step(content: dict[str, Any]) -> Step:
    """Return a step; the same trace and number are the same step."""
    trace = make_trace(str(content["trace"]))
    model = make_model_step(trace, content["number"])
    if content["tool"] is not None:
        tool = make_tool_step(trace, content["number"], model)
        return replace(tool, name=content["tool"], started_at=at(content["at"]))
    fields = {"model": content["model"], "fidelity": content["fidelity"], "prompt_ids": content["ids"]}
    return replace(model, usage={}, started_at=at(content["at"]), **fields)


def expected(steps: list[Step]) -> tuple[int, int, str | None, list[str]]:
    """Return a trace's steps, tokens, fidelity and tools, worked out the slow way."""
    fidelities = [step.fidelity for step in steps if step.fidelity is not None]
    lowest = min(fidelities, key=list(reversed(Fidelity)).index, default=None)
    ordered = sorted(steps, key=lambda step: (step.started_at, step.name))
    tools = dict.fromkeys(step.name for step in ordered if step.kind == "tool" and step.name)
    tokens = sum(len(step.token_ids or ()) for step in steps)
    return len(steps), tokens, None if lowest is None else str(lowest), list(tools)


@given(written=st.lists(st.lists(STEPS, max_size=4), max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_listings_say_what_the_steps_amount_to(store: Store, written: list[list[dict[str, Any]]]) -> None:
    """However often steps are written again, with other tools, models, ids and times."""
    stored: dict[str, Step] = {}
    for batch in written:
        steps = [make_step(content) for content in batch]
        store.write_steps(steps)
        stored |= {step.id: step for step in steps}
    by_trace: dict[str, list[Step]] = {}
    for step in stored.values():
        by_trace.setdefault(step.trace_id, []).append(step)
    try:
        found = {s.id: (s.steps, s.tokens, s.fidelity, s.tools) for s in store.list_traces()}
        assert found == {trace_id: expected(steps) for trace_id, steps in by_trace.items()}
        for model in ("a", "b"):
            using = {step.trace_id for step in stored.values() if step.model == model}
            assert {s.id for s in store.list_traces(where=f"model = {model}")} == using
        assert store.check() == []
    finally:
        for trace_id in by_trace:
            store.delete_trace(trace_id)


def test_wrong_totals_are_a_problem(store: Store) -> None:
    """Whichever of them was changed behind the store's back."""
    traces = [make_trace(str(number), milliseconds=number) for number in range(4)]
    for trace in traces:
        store.write_steps([make_model_step(trace), make_tool_step(trace, 1, make_model_step(trace))])
    with store._write() as connection:
        for number, change in enumerate(
            [
                "UPDATE traces SET tokens = 1",
                "UPDATE traces SET fidelity = NULL",
                "UPDATE trace_facets SET value = 'other'",
            ]
        ):
            column = "trace_id" if "facets" in change else "id"
            field = " AND field = 'tool'" if "facets" in change else ""
            connection.execute(text(f"{change} WHERE {column} = :id{field}"), {"id": traces[number].id})
    problems = Counter((problem.table, problem.row) for problem in store.check())
    assert problems == Counter(("traces", trace.id) for trace in traces[:3])


@pytest.fixture
def sqlite_store(empty_copy: str) -> Iterator[Store]:
    """Return an empty store in a file."""
    with Store(empty_copy) as opened:
        yield opened


# What each comparison may read: a search of an index, or one walk over a small one.
INDEXED = {
    "trace = 01a": "SEARCH traces USING COVERING INDEX sqlite_autoindex_traces_1",
    "step = 01a": "SEARCH steps USING INDEX sqlite_autoindex_steps_1",
    "name = x": "SEARCH traces USING COVERING INDEX ix_traces_name_id",
    "session = x": "SEARCH traces USING COVERING INDEX ix_traces_session_id",
    "prompt_version in (x, y)": "SEARCH traces USING COVERING INDEX ix_traces_prompt_version_id",
    "tag = x": "SEARCH trace_tags USING COVERING INDEX ix_trace_tags_tag_trace_id",
    "tool = x": "SEARCH trace_facets USING COVERING INDEX ix_trace_facets_field_value_trace_id",
    "model = x": "SEARCH trace_facets USING COVERING INDEX ix_trace_facets_field_value_trace_id",
    "tool ~ x": "SEARCH trace_facets USING COVERING INDEX ix_trace_facets_field_value_trace_id",
    "status = error": "SEARCH traces USING COVERING INDEX ix_traces_status_id",
    "fidelity = exact": "SEARCH traces USING COVERING INDEX ix_traces_fidelity_id",
    "error ~ x": "ix_steps_errors",
    "tokens > 5": "SEARCH traces_1 USING COVERING INDEX ix_traces_tokens_id",
    "latency > 5s": "ix_traces_latency",
    "since 7d": "SEARCH traces_1 USING COVERING INDEX ix_traces_started_at_id",
    "label = bad": "SEARCH annotations USING COVERING INDEX ix_annotations_label_trace_id",
    "score < 0.5": "SEARCH annotations USING COVERING INDEX ix_annotations_score_trace_id",
    "who = x": "SEARCH annotations USING COVERING INDEX ix_annotations_who_trace_id",
    "segment system share > 0.5": "USING PRIMARY KEY (segment=? AND target=?)",
    "segment system share < 0.5 of target answer": "USING PRIMARY KEY (segment=? AND target=?)",
    "text ~ 'red sofas'": "SCAN message_words VIRTUAL TABLE INDEX",
}


def plans(store: Store, **arguments: Any) -> list[str]:
    """Return how SQLite finds what a listing asks for, a line per step of its plan."""
    asked: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        asked.append((statement, parameters))

    event.listen(store._engine, "before_cursor_execute", note)
    store.list_traces(**arguments)
    event.remove(store._engine, "before_cursor_execute", note)
    with store._engine.connect() as connection:
        return [
            row[3]
            for statement, parameters in asked
            if statement.startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


@pytest.mark.parametrize("where", INDEXED)
def test_each_filter_uses_an_index(sqlite_store: Store, where: str) -> None:
    """As SQLite plans it; none walks steps or messages, nor asks something of each trace."""
    plan = plans(sqlite_store, where=where)
    assert any(INDEXED[where] in line for line in plan), plan
    assert not any("CORRELATED" in line for line in plan), plan
    for table in ("steps", "messages", "attributions", "message_numbers", "message_traces"):
        scans = [line for line in plan if line.startswith(f"SCAN {table}")]
        assert all("ix_steps_errors" in line for line in scans), plan


@pytest.mark.parametrize("where", [None, *INDEXED])
def test_a_page_further_down_is_found_by_index_too(sqlite_store: Store, where: str | None) -> None:
    """Keyset paging: `before` is a search as well."""
    plan = plans(sqlite_store, where=where, before="01a")
    assert not any(line.startswith("SCAN traces ") for line in plan), plan


def test_totals_hold_while_several_write_one_trace(store: Store, store_url: str) -> None:
    """New steps and steps written again, each writer with connections of its own."""
    trace = make_trace()

    def write(writer: int) -> None:
        with Store(store_url) as other:
            for number in range(12):
                ids = [writer] * number
                own = make_model_step(trace, 100 * writer + number, prompt_ids=ids, model=f"m{writer}")
                shared = make_model_step(trace, number, prompt_ids=ids, fidelity=list(Fidelity)[writer % 3])
                other.write_steps([own, shared])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(1, 5)))
    assert store.check() == []
    (summary,) = store.list_traces()
    assert summary.steps == 12 * 4 + 12
