"""What is exported can be imported again, exactly, or read as a data frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import Message
from flashtrace_agent.store import Store
from flashtrace_agent.store.jsonl import export_jsonl, import_jsonl
from flashtrace_agent.store.parquet import export_parquet

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


def test_a_filter_chooses_what_is_exported(filled: Store, tmp_path: Path) -> None:
    """The same language as everywhere."""
    assert export_jsonl(filled, tmp_path / "x.jsonl", "name = 'run 1'").traces == 1
    with pytest.raises(StoreError, match="cannot be written"):
        export_jsonl(filled, tmp_path / "nowhere" / "x.jsonl")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda lines: lines[:-1], "ends too early: it was cut short"),
        (lambda lines: lines[:5] + lines[6:], "is damaged at line .*its counts disagree"),
        (lambda lines: [*lines[:3], lines[3][:40], *lines[4:]], "is damaged at line 4"),
        (lambda lines: [*lines[:2], '{"step": {"id": 1}}', *lines[3:]], "is damaged at line 3"),
        (lambda lines: [*lines[:2], "[]", *lines[3:]], "is damaged at line 3"),
        (lambda lines: [lines[0].replace("2", "3"), *lines[1:]], "has the format 3, this version knows 2"),
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
