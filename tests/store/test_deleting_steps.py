"""Deleting steps leaves what the others need, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from flashtrace_agent.message import Message
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step

from .examples import SOFAS, make_attribution, make_model_step, make_tool_step, make_trace
from .test_sharing import dump


@pytest.fixture
def store_url(empty_copy: str) -> str:
    """Return the URL of a file, which these tests look into."""
    return empty_copy


def all_steps() -> list[Step]:
    """Return steps of two runs whose histories, ids and tools branch from each other in many places."""
    steps: list[Step] = []
    for key in ("a", "b"):
        trace = make_trace(key)
        messages = [Message("system", "You count."), Message("user", "Sofas?", name="someone")]
        ids = [7] * 600
        for number in range(4):
            output = Message("assistant", f"answer {number % 3}")
            model = make_model_step(
                trace, 2 * number, input=list(messages), output=output, prompt_ids=list(ids),
                tools=[SOFAS] * (number % 2), settings={"n": number % 3},
            )  # fmt: skip
            steps += [model, make_tool_step(trace, 2 * number + 1, model)]
            own = Message("user", f"{key if number else ''} {number}")
            messages = [*messages[: 2 + number % 2], output, own]
            ids += [number] * 200
    return steps


def write(store: Store, steps: list[Step]) -> None:
    """Write steps, an attribution of each model step, and its job."""
    store.write_steps(steps)
    models = [step for step in steps if step.kind == "model"]
    store.write_attributions([(step.id, make_attribution(step.token_ids or [])) for step in models])
    for step in models:
        store.annotate(step.trace_id, who="ada", step_id=step.id, label="bad")
        store.jobs.enqueue(step.id)


def content(store: Store) -> list[str]:
    """Return every row but those whose ids or times differ from run to run."""
    left_out = ("message_numbers", "message_traces", "annotations", "jobs", "traces ")
    return [line for line in dump(store) if not line.startswith(left_out)]


@given(gone=st.sets(st.integers(0, 15)))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_left_is_what_the_rest_would_have_written(
    tmp_path_factory: pytest.TempPathFactory, gone: set[int], empty_file: Path
) -> None:
    """Row by row, whichever steps go, in whatever order they share things."""
    steps = all_steps()
    folder = tmp_path_factory.mktemp("steps")
    for name in ("deleted", "rest"):
        (folder / name).write_bytes(empty_file.read_bytes())
    with Store(f"sqlite:///{folder}/deleted") as store, Store(f"sqlite:///{folder}/rest") as other:
        write(store, steps)
        store.delete_steps([steps[number].id for number in sorted(gone)])
        rest = [step for number, step in enumerate(steps) if number not in gone]
        if rest:
            write(other, rest)
        assert content(store) == content(other)
        assert store.check() == []
        assert store.describe()["rows"]["jobs"] == sum(step.kind == "model" for step in rest)
        for word in ("sofas", "answer", "a", "b", "2"):
            found = {each.id for each in other.list_traces(where=f"text ~ '{word}'")}
            assert {each.id for each in store.list_traces(where=f"text ~ '{word}'")} == found
        store.delete_traces(list({step.trace_id for step in steps}))
        rows = store.describe()["rows"]
        assert not any(rows.values()), rows


def test_a_long_conversation_goes_at_once(store: Store) -> None:
    """A thousand messages take a handful of questions, not thousands."""
    messages = [Message("user", f"{number}") for number in range(1000)]
    step = make_model_step(make_trace(), input=messages)
    store.write_step(step)
    asked: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        asked.append(statement)

    event.listen(store._engine, "before_cursor_execute", note)
    store.delete_trace(step.trace_id)
    event.remove(store._engine, "before_cursor_execute", note)
    assert len(asked) < 80
    assert store.describe()["rows"]["messages"] == 0


def test_unknown_steps_are_ignored(store: Store) -> None:
    """Deleting is idempotent."""
    step = make_model_step(make_trace())
    store.write_step(step)
    store.delete_steps([step.id, "nowhere"])
    store.delete_steps([step.id])
    (summary,) = store.list_traces()
    assert (summary.steps, summary.tokens, summary.fidelity) == (0, 0, None)
