"""A store is checked, copied, compacted, and parts of it deleted."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import Message
from flashtrace_agent.store import Store, database

from .examples import make_attribution, make_model_step, make_tool_step, make_trace


@pytest.fixture
def store_url(empty_copy: str) -> str:
    """Return the URL of a file, which these tests look into."""
    return empty_copy


@pytest.fixture
def filled(store: Store) -> Store:
    """Return a store with a bit of everything."""
    trace = make_trace()
    store.write_trace(trace)
    step = make_model_step(trace, input=[Message("user", "hi", name="someone"), Message("user", "\ud800")])
    store.write_step(step)
    store.write_step(make_tool_step(trace, 1, step))
    store.write_attribution(step.id, make_attribution(step.token_ids or []))
    store.jobs.enqueue(step.id)
    return store


def test_a_sound_store_has_no_problems(filled: Store) -> None:
    """Names, odd characters, arrays and jobs included."""
    assert filled.check() == []


@pytest.mark.parametrize(
    ("damage", "table", "sentence"),
    [
        ("UPDATE messages SET body = replace(body, 'hi', 'ho')", "messages", "has the identity"),
        ("UPDATE messages SET body = '{' WHERE parent IS NULL", "messages", "cannot be read"),
        ("UPDATE messages SET body = '[]' WHERE parent IS NULL", "messages", "cannot be read"),
        ("UPDATE messages SET identity = zeroblob(16)", "messages", "has the identity"),
        ("DELETE FROM messages WHERE parent IS NULL", "messages", "the message before it, .*, is not there"),
        ("DELETE FROM messages", "steps", "its messages are not there"),
        ("DELETE FROM message_numbers", "messages", "full-text search does not know it"),
        ("UPDATE token_chunks SET data = x'00'", "token_chunks", "cannot be read"),
        ("UPDATE token_chunks SET data = (SELECT data FROM token_chunks ORDER BY parent IS NULL DESC)",
         "token_chunks", "belongs to another address"),
        ("UPDATE text_chunks SET data = substr(data, 2)", "text_chunks", "cannot be read"),
        ("UPDATE documents SET kind = 'other'", "documents", "belongs to another address"),
        ("UPDATE documents SET data = x'00'", "documents", "cannot be read"),
        ("UPDATE steps SET prompt_length = 699", "steps", "states 702 token ids, but 703 are stored"),
        ("UPDATE steps SET tools_digest = zeroblob(16)", "steps", "refers to a row of documents that is not"),
        ("UPDATE attributions SET scores = substr(scores, 9)", "attributions", "cannot be read"),
        ("UPDATE attributions SET hop_scores = CAST(hop_scores || x'00' AS BLOB)",
         "attributions", "its hops take"),
        ("UPDATE attributions SET ids_digest = (SELECT digest FROM token_chunks WHERE parent IS NULL)",
         "attributions", "it has 703 scores for 256 token ids"),
        ("DELETE FROM token_chunks WHERE parent IS NULL", "token_chunks", "tokens follow it though"),
    ],
)  # fmt: skip
def test_damage_is_found_where_it_is(filled: Store, damage: str, table: str, sentence: str) -> None:
    """Whatever was changed behind the store's back."""
    with sqlite3.connect(filled.url.removeprefix("sqlite:///")) as connection:
        connection.execute(damage)
    problems = [str(problem) for problem in filled.check()]
    assert any(re.match(f"{table} .*{sentence}", problem) for problem in problems), problems


def test_a_backup_is_a_store(filled: Store, tmp_path: Path) -> None:
    """With the same content; an existing file is kept."""
    copy = tmp_path / "copy.db"
    filled.backup(copy)
    with Store(f"sqlite:///{copy}") as copied:
        assert copied.check() == []
        (summary,) = copied.list_traces()
        assert copied.get_trace(summary.id) == filled.get_trace(summary.id)
    with pytest.raises(StoreError, match="exists already: choose another file"):
        filled.backup(copy)
    with pytest.raises(StoreError, match="cannot be written"):
        filled.backup(tmp_path / "nowhere" / "copy.db")


def test_a_backup_that_is_interrupted_leaves_nothing(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it stand in the way of the next one; what a killed one left does neither."""
    copy = tmp_path / "copy.db"
    (tmp_path / "copy.db.partial").write_bytes(b"half of it")

    def interrupt(path: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupt)
        with pytest.raises(KeyboardInterrupt):
            filled.backup(copy)
    assert list(tmp_path.glob("copy*")) == []
    filled.backup(copy)
    assert list(tmp_path.glob("copy*")) == [copy]


def test_compacting_beside_a_writer_says_so(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence, as every other write."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    busy = pytest.raises(StoreError, match="held by another process")
    with Store(filled.url) as other, filled._write(), busy:
        other.vacuum()


def test_a_description_counts(filled: Store) -> None:
    """Rows by table, and bytes."""
    found = filled.describe()
    assert (found["database"], found["rows"]["steps"], found["rows"]["jobs"]) == ("sqlite", 2, 1)
    assert found["bytes"] > 100_000


def test_compacting_keeps_everything(filled: Store) -> None:
    """Full-text search still finds the right messages, and the file shrinks after a deletion."""
    path = Path(filled.url.removeprefix("sqlite:///"))
    for number in range(30):
        trace = make_trace(f"{number}", milliseconds=number + 1)
        filled.write_step(make_model_step(trace, number, result=str(number) * 20_000))
    filled.vacuum()
    large = path.stat().st_size
    for summary in filled.list_traces(where="not text ~ 'hi'"):
        filled.delete_trace(summary.id)
    filled.vacuum()
    assert path.stat().st_size < large / 2
    assert filled.check() == []
    assert len(filled.list_traces(where="text ~ 'hi'")) == 1


def test_a_plan_says_what_would_go(store: Store) -> None:
    """By filter, by size, or the oldest of those a filter finds."""
    traces = [make_trace(f"{number}", milliseconds=number, session=f"s{number % 2}") for number in range(10)]
    for number, trace in enumerate(traces):
        store.write_trace(trace)
        step = make_model_step(trace, number, input=[Message("user", str(number) * 9000)])
        store.write_step(step)
    ids = [trace.id for trace in traces]
    assert store.plan_deletion("session = s1").ids == ids[1::2]
    size = store.describe()["bytes"]
    assert store.plan_deletion(None, max_bytes=size).ids == []
    half = store.plan_deletion(None, max_bytes=size // 2)
    assert half.ids == ids[:5]
    assert (half.steps, half.attributions) == (5, 0)
    assert store.plan_deletion("session = s1", max_bytes=0).ids == ids[1::2]
    assert len(store.list_traces()) == 10
