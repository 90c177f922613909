"""A store is copied whole or not at all, to either kind of database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import Message
from flashtrace_agent.store import Store
from flashtrace_agent.store.copying import copy_rows

from .conftest import DATABASES
from .examples import make_attribution, make_model_step, make_tool_step, make_trace


@pytest.fixture(params=DATABASES)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a second, empty store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/copy.db"
    make: Callable[[], str] = request.getfixturevalue("postgres_url")
    return make()


@pytest.fixture
def filled(store: Store) -> Store:
    """Return a store with everything in it, odd characters and long chains among it."""
    for number in range(3):
        trace = make_trace(str(number), milliseconds=number, name=f"é \ud800 {number}", error="\0")
        store.write_trace(trace)
        messages = [Message("system", "You \0 count.", name="someone"), Message("user", f"Sofas {number}?")]
        messages += [Message("user", f"{number} {k}") for k in range(20)]
        step = make_model_step(trace, input=messages, prompt_ids=list(range(2000)))
        store.write_steps([step, make_tool_step(trace, 1, step, result="\ud800 \0")])
        store.write_attribution(step.id, make_attribution(step.token_ids or []))
        store.annotate(trace.id, who="ada", step_id=step.id, label="bad", score=0.1 + 0.2)
        store.jobs.enqueue(step.id, priority=number)
    return store


def test_a_copy_is_the_store(filled: Store, target: str, tmp_path: Path) -> None:
    """Every row, and back again: the digest says so, and so do reading, searching, working and writing."""
    copied: dict[str, int] = {}

    def count(table: str, rows: int) -> None:
        copied[table] = copied.get(table, 0) + rows

    with Store(target) as other:
        digest = filled.copy_to(other, count)
        rows = filled.describe()["rows"]
        assert {name: copied.get(name, 0) for name in rows} == rows == other.describe()["rows"]
        assert other.check() == []
        for summary in filled.list_traces():
            assert other.get_trace(summary.id) == filled.get_trace(summary.id)
            assert other.annotations(summary.id) == filled.annotations(summary.id)
        assert [found.name for found in other.search("sofas 2")] == ["é � 2"]
        trace = make_trace("new", milliseconds=9)
        with Store(f"sqlite:///{tmp_path}/back.db") as back:
            assert other.copy_to(back) == digest
        other.write_step(make_model_step(trace, input=[Message("user", "Written afterwards.")]))
        assert len(other.search("afterwards")) == 1
        assert len(other.jobs.lease("me", count=9)) == 3
        other.delete_trace(trace.id)
        assert other.check() == []


def test_nothing_is_copied_over_something(filled: Store, target: str) -> None:
    """The target keeps what it has."""
    trace = make_trace("theirs")
    with Store(target) as other:
        other.write_trace(trace)
        with pytest.raises(StoreError, match="holds something already: give the URL of a new or empty store"):
            filled.copy_to(other)
        assert [summary.id for summary in other.list_traces()] == [trace.id]


def test_an_interrupted_copy_leaves_nothing(filled: Store, target: str) -> None:
    """And can be begun again."""

    def interrupt(table: str, rows: int) -> None:
        if table == "attributions":
            raise KeyboardInterrupt

    with Store(target) as other:
        with pytest.raises(KeyboardInterrupt):
            filled.copy_to(other, interrupt)
        assert set(other.describe()["rows"].values()) == {0}
        filled.copy_to(other)
        assert other.check() == []


def test_a_copy_that_differs_is_not_kept(filled: Store, target: str) -> None:
    """As if the target's disk had changed a byte."""
    with Store(target) as other:

        def damage(table: str, rows: int) -> None:
            if table == "message_words":
                connection.exec_driver_sql("UPDATE steps SET tokens = tokens + 1 WHERE kind = 'model'")

        wanted = pytest.raises(StoreError, match="The copy of table steps is not what was read")
        with wanted, other._write() as connection:
            copy_rows(filled._engine, connection, damage)
        assert set(other.describe()["rows"].values()) == {0}
