"""What is exported can be imported again, exactly, or read as a data frame."""

from __future__ import annotations

import copy
import errno
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashtrace_agent.errors import FlashTraceError, StoreError
from flashtrace_agent.message import Message
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store, jsonl
from flashtrace_agent.store.html_pages import export_html
from flashtrace_agent.store.jsonl import export_jsonl, import_jsonl
from flashtrace_agent.store.parquet import export_parquet
from flashtrace_agent.trajectory import Edge, Node, Trajectory

from .examples import make_attribution, make_model_step, make_tool_step, make_trace
from .test_sharing import dump


@pytest.fixture
def store_url(empty_copy: str) -> str:
    """Return the URL of a file, which these tests look into."""
    return empty_copy


@pytest.fixture
def filled(store: Store) -> Store:
    """Return a store with odd values in every field."""
    for number in range(3):
        trace = make_trace(f"{number}", milliseconds=number, name=f"run {number}")
        store.write_trace(trace)
        messages = [Message("system", "\ud800 \0 é", name="someone"), Message("user", "hi", example=True)]
        first = make_model_step(trace, input=messages)
        unknown = make_model_step(
            trace, 2, prompt_ids=[], completion_ids=None, usage={}, settings={}, tools=[]
        )
        store.write_steps([first, make_tool_step(trace, 1, first, arguments={}), unknown])
        store.write_attribution(first.id, make_attribution(first.token_ids or []))
        store.jobs.enqueue(first.id, ["answer"], hops=2, priority=number, check=number == 1)
    return store


def other_store(folder: Path) -> Store:
    """Return a new store beside the first."""
    return Store(f"sqlite:///{folder}/other.db")


def test_a_round_trip_is_exact(filled: Store, tmp_path: Path) -> None:
    """Every row of the new store is the old one's."""
    path = tmp_path / "traces.jsonl"
    counts = export_jsonl(filled, path)
    read = counts.to_dict()
    assert {name: count for name, count in read.items() if count} == {
        "traces": 3,
        "steps": 9,
        "attributions": 3,
        "jobs": 3,
    }
    with other_store(tmp_path) as other:
        assert import_jsonl(other, path).to_dict() == counts.to_dict()
        assert import_jsonl(other, path).to_dict() == counts.to_dict()
        numbered = ("message_numbers", "message_traces", "words")
        old, new = ([row for row in dump(each) if not row.startswith(numbered)] for each in (filled, other))
        assert new == old
        assert other.check() == []
        again = tmp_path / "again.jsonl"
        export_jsonl(other, again)
        assert again.read_bytes() == path.read_bytes()


def test_jobs_go_on_where_they_are_imported(filled: Store, tmp_path: Path) -> None:
    """Waiting, dead and done ones; one that is leased waits there, and what became of one since stands."""
    leased, dead, done = filled.jobs.lease("me", count=3)
    filled.jobs.fail(dead, "too long", retry=False)
    filled.jobs.complete(done, [])
    path = tmp_path / "traces.jsonl"
    assert export_jsonl(filled, path).jobs == 3
    with other_store(tmp_path) as other:
        import_jsonl(other, path)
        assert other.jobs.counts() == {"queued": 1, "leased": 0, "done": 1, "dead": 1}
        assert other.jobs.dead() == filled.jobs.dead()
        assert other.jobs.of_step(done.step_id) == filled.jobs.of_step(done.step_id)
        (again,) = other.jobs.lease("you")
        assert (again.id, again.attempts, again.check) == (leased.id, leased.attempts, leased.check)
        import_jsonl(other, path)
        assert other.jobs.counts()["leased"] == 1
        assert other.check() == []


def test_files_of_the_version_before_are_read(filled: Store, tmp_path: Path) -> None:
    """They hold no jobs."""
    path = tmp_path / "traces.jsonl"
    export_jsonl(filled, path)
    lines = [line for line in path.read_text().splitlines() if not line.startswith('{"job"')]
    lines[0] = lines[0].replace("3", "2")
    lines[-1] = lines[-1].replace(',"jobs":3', "")
    path.write_text("".join(f"{line}\n" for line in lines))
    with other_store(tmp_path) as other:
        assert import_jsonl(other, path).to_dict()["jobs"] == 0
        assert len(other.list_traces()) == 3


def test_a_store_that_gives_up_has_whole_traces(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was imported before is said; nothing is half there."""
    path = tmp_path / "traces.jsonl"
    export_jsonl(filled, path)
    monkeypatch.setattr(jsonl, "_BATCH", 1)
    with other_store(tmp_path) as other:
        with other._write() as connection:
            # As if the disk were full when the second trace's attributions come.
            connection.exec_driver_sql(
                "CREATE TRIGGER full BEFORE INSERT ON attributions "
                "WHEN (SELECT count(*) FROM attributions) > 0 "
                "BEGIN SELECT raise(ABORT, 'database or disk is full'); END"
            )
        with pytest.raises(StoreError, match=r"no space left .*Of .* 1 traces are imported"):
            import_jsonl(other, path)
        (summary,) = other.list_traces()
        assert other.get_trace(summary.id) == filled.get_trace(summary.id)
        assert other.check() == []


@pytest.mark.parametrize("write", [export_parquet, export_html])
def test_files_in_a_folder_appear_together(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., object]
) -> None:
    """One that cannot be written leaves what was there."""
    pytest.importorskip("pyarrow", reason="needs the extra [parquet]")
    folder = tmp_path / "out"
    write(filled, folder)
    (folder / "mine.txt").write_text("kept")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    filled.delete_trace(filled.list_traces()[0].id)

    def fail(traces: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for target in (folder, tmp_path / "new"):
        with pytest.raises(FlashTraceError, match=r"cannot be written .No space left on device"):
            write(filled, target, None, fail)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not (tmp_path / "new").exists()
    write(filled, folder)
    assert (folder / "mine.txt").read_text() == "kept"
    assert {path.name: path.stat().st_size for path in folder.iterdir()} != {
        name: len(content) for name, content in before.items()
    }


def test_a_filter_chooses_what_is_exported(filled: Store, tmp_path: Path) -> None:
    """The same language as everywhere."""
    assert export_jsonl(filled, tmp_path / "x.jsonl", "name = 'run 1'").traces == 1
    with pytest.raises(FlashTraceError, match="cannot be written"):
        export_jsonl(filled, tmp_path / "nowhere" / "x.jsonl")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda lines: lines[:-1], "ends too early: it was cut short"),
        (lambda lines: lines[:5] + lines[6:], "is damaged at line .*its counts disagree"),
        (lambda lines: [*lines[:3], lines[3][:40], *lines[4:]], "is damaged at line 4"),
        (lambda lines: [*lines[:2], '{"step": {"id": 1}}', *lines[3:]], "is damaged at line 3"),
        (lambda lines: [*lines[:2], "[]", *lines[3:]], "is damaged at line 3"),
        (lambda lines: [*lines[:3], *lines[2:]], "is damaged at line 4 .the step .* comes twice"),
        (lambda lines: [*lines[:-1], *lines[1:]], "is damaged at line .* comes twice"),
        (lambda lines: lines * 2, "is damaged at line .*something comes after the end"),
        (lambda lines: [lines[0].replace("3", "4"), *lines[1:]], "has the format 4, this version knows 3"),
        (lambda lines: [lines[0], *lines[2:]], "is damaged at line 2 .it begins without a trace"),
        (lambda lines: [*lines[:2], *(line.replace('"of":"', '"of":"x') for line in lines[2:])],
         "is damaged at line 4"),
        (lambda lines: [line.replace('"hops":2', '"hops":3') for line in lines],
         "job .* is not what it says"),
        (lambda lines: [line.replace('"prompt_ids":[', '"prompt_ids":[-1,') for line in lines],
         "Token ids must lie"),
        (lambda lines: ["{}", *lines[1:]], "is no export of traces"),
        (lambda lines: [], "is no export of traces"),
    ],
)  # fmt: skip
def test_a_damaged_file_writes_nothing(filled: Store, tmp_path: Path, damage: object, sentence: str) -> None:
    """One sentence says what is wrong with it."""
    path = tmp_path / "traces.jsonl"
    export_jsonl(filled, path)
    assert callable(damage)
    path.write_text("".join(f"{line}\n" for line in damage(path.read_text().splitlines())))
    with other_store(tmp_path) as other:
        with pytest.raises(StoreError, match=sentence):
            import_jsonl(other, path)
        assert other.list_traces() == []


ODD = (
    *(None, 5, -1, 2**70, 1.5, math.nan, True, "x", "", "a\0", "\ud800", [], ["x"], [[]], {}, {"a": 1}),
    *("9999-01-01T00:00:00", "0001-01-01T00:00:00+14:00"),
)
GONE = object()


def places(value: object) -> Iterator[list[str | int]]:
    """Yield the way to every value inside one; of a long list, to its first two items."""
    inside: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value[:2]))
    for key, inner in inside:
        yield [key]
        yield from ([key, *rest] for rest in places(inner))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """Return the lines of an export with one of everything."""
    folder = tmp_path_factory.mktemp("records")
    with other_store(folder) as store:
        trace = make_trace()
        store.write_trace(trace)
        step = make_model_step(trace, prompt_ids=[1, 2, 3], completion_ids=[4, 5])
        store.write_steps([step, make_tool_step(trace, 1, step)])
        store.write_attribution(step.id, make_attribution(step.token_ids or []))
        store.annotate(trace.id, who="ada", step_id=step.id, span=Span(0, 2), label="bad", score=1.0)
        store.jobs.enqueue(step.id, ["answer"])
        ends = (
            Node("a", "target", "x", step.id, 1.0, 0.0, False),
            Node("b", "system", "s", None, 1.0, 0.0, True),
        )
        edges = (Edge("b", "a", 1.0, "words"),)
        store.write_trajectory(Trajectory(trace.id, step.id, "answer", "x", ends, edges))
        store.write_ablation("00" * 16, {step.id: {"drop": 0.5}})
        export_jsonl(store, folder / "traces.jsonl")
    return [json.loads(line) for line in (folder / "traces.jsonl").read_text().splitlines()]


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_file_is_sound_or_refused(
    records: list[dict[str, object]], empty_file: Path, data: st.DataObject
) -> None:
    """One value is replaced or missing; then either all of it is stored, and sound, or nothing."""
    changed = copy.deepcopy(records)
    number = data.draw(st.integers(1, len(records) - 2))
    *way, last = data.draw(st.sampled_from(list(places(records[number]))))
    holder: Any = changed[number]
    for key in way:
        holder = holder[key]
    odd = data.draw(st.sampled_from([*ODD, GONE]))
    if odd is GONE:
        del holder[last]
    else:
        holder[last] = odd
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.jsonl"
        path.write_text("".join(f"{json.dumps(record)}\n" for record in changed))
        shutil.copyfile(empty_file, Path(folder) / "other.db")
        with other_store(Path(folder)) as store:
            refused = ""
            try:
                import_jsonl(store, path)
            except StoreError as error:
                refused = str(error)
            assert bool(refused) == ("is damaged at line" in refused) == (not store.list_traces()), refused
            assert store.check() == []
            export_jsonl(store, path)
            list(store.attributed_steps())
            store.delete_traces([summary.id for summary in store.list_traces()])
            assert not any(store.describe()["rows"].values())


def test_a_file_that_is_not_there(store: Store, tmp_path: Path) -> None:
    """Or is no text."""
    with pytest.raises(StoreError, match="cannot be read"):
        import_jsonl(store, tmp_path / "nothing.jsonl")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    with pytest.raises(StoreError, match="is no export of traces"):
        import_jsonl(store, tmp_path / "binary")


def test_parquet_holds_lists(filled: Store, tmp_path: Path) -> None:
    """Tokens and scores are list columns of equal length."""
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra [parquet]")
    assert export_parquet(filled, tmp_path / "out").steps == 9
    tables = {name: pq.read_table(tmp_path / "out" / f"{name}.parquet").to_pylist() for name in
              ("traces", "steps", "attributions")}  # fmt: skip
    assert [len(rows) for rows in tables.values()] == [3, 9, 3]
    (trace, *_), (step, *_), (attribution, *_) = tables.values()
    stored = filled.get_step(step["id"])
    assert (trace["tags"], trace["started_at"]) == (
        ["b", "a", "b"],
        make_trace("2", milliseconds=2).started_at,
    )
    assert (step["prompt_ids"], step["tokens"]) == (stored.prompt_ids, 703)
    assert json.loads(step["input"])[1]["content"] == "hi"
    (found,) = filled.get_attributions(attribution["step_id"])
    assert attribution["tokens"] == list(found.tokens)
    np.testing.assert_array_equal(np.asarray(attribution["scores"], np.float32), found.scores)
    assert attribution["segments"][0] == {"name": "system", "start": 0, "end": 351}
