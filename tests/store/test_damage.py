"""However a store's file is damaged, it is said in a sentence, and `check` finds what reading meets."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.message import Message
from flashtrace_agent.store import Store
from flashtrace_agent.trajectory import Edge, Node, Trajectory

from .examples import make_attribution, make_model_step, make_tool_step, make_trace


@pytest.fixture(scope="module")
def sound(empty_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store file with something in every table."""
    path = tmp_path_factory.mktemp("sound") / "traces.db"
    shutil.copyfile(empty_file, path)
    with Store(f"sqlite:///{path}") as store:
        for number in range(3):
            trace = make_trace(str(number), milliseconds=number, name=f"run {number}")
            store.write_trace(trace)
            messages = [Message("system", "You count.", name="someone"), Message("user", f"Sofas {number}?")]
            step = make_model_step(trace, input=messages, prompt_ids=list(range(number, 600 + number)))
            store.write_steps([step, make_tool_step(trace, 1, step)])
            store.write_attribution(step.id, make_attribution(step.token_ids or []))
            store.annotate(trace.id, who="ada", step_id=step.id, label="bad", note="Why?")
            store.jobs.enqueue(step.id, ["answer"])
            nodes = (Node("a", "target", "answer", step.id, 1.0, 0.0, False),)
            store.write_trajectory(
                Trajectory(trace.id, step.id, "answer", "Seven.", nodes, (Edge("a", "a", 1.0, "words"),))
            )
            store.write_ablation("00" * 16, {step.id: {"lost": 0.5}})
        store.vacuum()
    return path


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """Yield a copy to damage."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "traces.db"
        shutil.copyfile(path, copy)
        yield copy


def read_everything(store: Store) -> list[object]:
    """Return what every way to read gives; an error in its place where it gives none."""
    found: list[object] = []

    def attempt(read: Callable[[], object]) -> None:
        try:
            found.append(read())
        except FlashTraceError as error:
            found.append(error)

    attempt(lambda: [summary.id for summary in store.list_traces()])
    attempt(lambda: store.list_sessions())
    attempt(lambda: [hit.name for hit in store.search("sofas")])
    for where in (
        "tool = sofas",
        "text ~ 'count'",
        "label = bad",
        "segment system share > 0.1",
        "tokens > 1",
    ):
        attempt(lambda where=where: [summary.id for summary in store.list_traces(where=where)])
    for number in range(3):
        trace_id = make_trace(str(number), milliseconds=number).id
        attempt(lambda trace_id=trace_id: store.get_trace(trace_id))
        attempt(lambda trace_id=trace_id: store.attribution_summaries(trace_id))
        attempt(lambda trace_id=trace_id: store.get_trajectories(trace_id))
        attempt(lambda trace_id=trace_id: store.annotations(trace_id))
    attempt(lambda: store.ablations("00" * 16))
    attempt(lambda: store.jobs.open())
    attempt(lambda: store.jobs.counts())
    attempt(lambda: [repr(each.attributions) for each in store.attributed_steps()])
    attempt(lambda: [whole.trace.id for whole in store.whole_traces()])
    attempt(lambda: store.plan_deletion(None))
    return found


def outcome(path: Path) -> tuple[list[object], list[str]]:
    """Return what reading gives and what `check` says; nothing but a sentence may be raised."""
    try:
        with Store(f"sqlite:///{path}", create=False) as store:
            read = read_everything(store)
            try:
                problems = [str(problem) for problem in store.check()]
            except FlashTraceError as error:
                problems = [str(error)]
    except FlashTraceError as error:
        return [error], [str(error)]
    assert all("\n" not in problem for problem in problems), problems
    return read, problems


def test_what_is_undamaged_is_sound(sound: Path) -> None:
    """Every way to read gives something, and `check` finds nothing."""
    with copied(sound) as path:
        read, problems = outcome(path)
    assert problems == []
    assert not [each for each in read if isinstance(each, Exception)]


DAMAGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=6)


@given(flips=DAMAGES, kept=st.just(1.0) | st.floats(0, 1), page=st.none() | st.floats(0, 1, exclude_max=True))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_damaged_bytes_are_found(sound: Path, flips: Any, kept: float, page: Any) -> None:
    """Bytes turned, a page lost, the file cut: what `check` calls sound can be read."""
    content = bytearray(sound.read_bytes())
    for place, change in flips:
        content[int(place * len(content))] ^= change
    if page is not None:
        start = int(page * len(content)) // 4096 * 4096
        content[start : start + 4096] = bytes(4096)
    with copied(sound) as path:
        path.write_bytes(content[: int(kept * len(content))])
        read, problems = outcome(path)
        assert problems or not [each for each in read if isinstance(each, Exception)]


VALUES = st.one_of(
    st.none(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(max_size=9),
    st.binary(max_size=20),
    st.sampled_from(["[]", "{}", "null", '{"role": 1}', "[[1]]", "[1, 2]", b"\xff", b"FA", '"x"']),
)  # fmt: skip


@given(data=st.data())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_damaged_values_are_found(sound: Path, data: st.DataObject) -> None:
    """Another value in any column of any row, or the row gone: what cannot be read, `check` names."""
    with copied(sound) as path:
        with closing(sqlite3.connect(path)) as connection, connection:
            tables = [name for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'message_words%'"
            )]  # fmt: skip
            table = data.draw(st.sampled_from(tables), "table")
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            rows = connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            if not rows:
                return
            row = data.draw(st.sampled_from(rows), "row")
            column = data.draw(st.sampled_from([None, *columns]), "column")
            same = " AND ".join(f"{name} IS ?" for name in columns)
            if column is None:
                connection.execute(f"DELETE FROM {table} WHERE {same}", row)
            else:
                value = data.draw(VALUES, "value")
                try:
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {same}", (value, *row))
                except sqlite3.IntegrityError:
                    return  # SQLite has refused it
        read, problems = outcome(path)
        assert problems or not [each for each in read if isinstance(each, Exception)]


@given(flips=DAMAGES, kept=st.just(1.0) | st.floats(0, 1))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_damaged_log_loses_the_last_writes_only(sound: Path, flips: Any, kept: float) -> None:
    """What was written back into the file is there; what follows is there whole or not at all."""
    with copied(sound) as path:
        with Store(f"sqlite:///{path}") as store:
            for number in range(3, 6):
                trace = make_trace(str(number), milliseconds=number)
                store.write_together([trace], [make_model_step(trace)])
            log = bytearray(Path(f"{path}-wal").read_bytes())
            shutil.copyfile(path, path.with_name("cut.db"))
        for place, change in flips:
            log[int(place * len(log))] ^= change
        Path(f"{path.with_name('cut.db')}-wal").write_bytes(log[: int(kept * len(log))])
        with Store(f"sqlite:///{path.with_name('cut.db')}") as store:
            assert store.check() == []
            found = store.list_traces()
            assert [summary.name for summary in found][-3:] == ["run 2", "run 1", "run 0"]
            for summary in found:
                assert store.get_trace(summary.id).steps


def test_chains_that_go_in_circles_end(sound: Path) -> None:
    """Reading, checking and deleting say so, instead of going round for ever."""
    with copied(sound) as path:
        with closing(sqlite3.connect(path)) as connection, connection:
            for table in ("messages", "token_chunks", "text_chunks"):
                connection.execute(f"UPDATE {table} SET parent = digest")
        read, problems = outcome(path)
        assert problems
        assert any("lacks the entry" in str(each) for each in read)
        with Store(f"sqlite:///{path}") as store, pytest.raises(FlashTraceError):
            store.delete_trace(store.list_traces()[0].id)


def test_what_cannot_be_read_is_named(sound: Path) -> None:
    """One row with bytes that are no text among many that can be read."""
    with copied(sound) as path:
        with closing(sqlite3.connect(path)) as connection, connection:
            digest = connection.execute(
                "SELECT hex(digest) FROM messages ORDER BY digest LIMIT 1"
            ).fetchone()[0]
            connection.execute(
                "UPDATE messages SET body = CAST(x'ff7b' AS TEXT) WHERE hex(digest) = ?", (digest,)
            )
        _, problems = outcome(path)
        assert any(
            problem.startswith(f"messages {digest.lower()}: it cannot be read") for problem in problems
        )
