"""What people say about traces is kept, found by filters, exported, and goes with its trace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.annotation import Annotation, AnnotationError
from flashtrace_agent.errors import StoreError
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store
from flashtrace_agent.store.jsonl import export_jsonl, import_jsonl
from flashtrace_agent.trace import Step, make_id

from .examples import START, make_model_step, make_trace


@pytest.fixture
def steps(store: Store) -> list[Step]:
    """Return the only steps of three runs named 0, 1 and 2."""
    traces = [make_trace(str(number), milliseconds=number, name=str(number)) for number in range(3)]
    for trace in traces:
        store.write_trace(trace)
    written = [make_model_step(trace) for trace in traces]
    store.write_steps(written)
    return written


def found(store: Store, where: str) -> set[str]:
    """Return the names of the traces a filter finds."""
    return {summary.name for summary in store.list_traces(where=where)}


def test_what_is_said_is_read_back(store: Store, steps: list[Step]) -> None:
    """About a trace, a step and a span, oldest first."""
    trace_id, step_id = steps[0].trace_id, steps[0].id
    said = [
        store.annotate(trace_id, who="ada", label="bad", score=-0.25),
        store.annotate(trace_id, who="judge", step_id=step_id, note="Why\n\0 \ud800?"),
        store.annotate(trace_id, who="ada", step_id=step_id, span=Span(3, 9), label="here", score=1e300),
    ]
    expected = [said[0], replace(said[1], note="Why\n� �?"), said[2]]
    assert store.annotations(trace_id) == expected
    assert store.annotations(steps[1].trace_id) == []
    assert store.check() == []


def test_filters_find_traces_by_what_is_said(store: Store, steps: list[Step]) -> None:
    """On whatever part of them."""
    store.annotate(steps[0].trace_id, who="ada", label="bad", score=-0.5)
    store.annotate(steps[0].trace_id, who="bob", step_id=steps[0].id, label="good", score=0.75)
    store.annotate(steps[1].trace_id, who="bob", step_id=steps[1].id, span=Span(0, 1), note="Wrong TOOL.")
    for where, names in {
        "label = bad": {"0"},
        "label in (bad, good)": {"0"},
        "label != bad": {"1", "2"},
        "label ~ 'OO'": {"0"},
        "score < 0": {"0"},
        "score < -0.5": set(),
        "score = -0.5": {"0"},
        "score >= 0.75": {"0"},
        "not score > 5": {"0", "1", "2"},
        "who = bob": {"0", "1"},
        "who ~ '' and not who = ada": {"1"},
        "note ~ 'tool'": {"1"},
    }.items():
        assert found(store, where) == names, where


def test_one_is_replaced_or_taken_back(store: Store, steps: list[Step]) -> None:
    """By its id."""
    said = store.annotate(steps[0].trace_id, who="ada", label="bad")
    changed = replace(said, label="good")
    store.write_annotations([changed, changed])
    assert store.annotations(said.trace_id) == [changed]
    store.delete_annotation(said.id)
    assert store.annotations(said.trace_id) == []
    with pytest.raises(StoreError, match="No annotation has the id"):
        store.delete_annotation(said.id)


def test_it_goes_with_its_trace(store: Store, steps: list[Step]) -> None:
    """And stays when the step is written again."""
    store.annotate(steps[0].trace_id, who="ada", step_id=steps[0].id, label="bad")
    store.write_steps([replace(steps[0], name="again")])
    assert len(store.annotations(steps[0].trace_id)) == 1
    store.delete_trace(steps[0].trace_id)
    assert store.annotations(steps[0].trace_id) == []
    assert store.check() == []


def test_what_it_is_about_must_be_stored(store: Store, steps: list[Step]) -> None:
    """And the step must be the trace's; nothing is written otherwise."""
    now = START
    good = Annotation(make_id(now), steps[0].trace_id, now, "ada", label="x")
    for bad in (replace(good, trace_id="nowhere"), replace(good, step_id=steps[1].id)):
        with pytest.raises(StoreError, match="in the store"):
            store.write_annotations([good, bad])
    assert store.annotations(steps[0].trace_id) == []


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"label": ""},
        {"score": float("nan")},
        {"label": "x", "span": Span(1, 2)},
        {"label": "x", "step_id": "s", "span": Span(2, 2)},
        {"label": "x" * 201},
        {"note": "x" * 100_001},
    ],
)
def test_what_says_nothing_is_refused(fields: dict[str, object]) -> None:
    """Before it reaches a store."""
    with pytest.raises(AnnotationError):
        Annotation("a", "t", START, "ada", **fields)  # type: ignore[arg-type]


def test_it_is_exported_and_imported(store: Store, steps: list[Step], tmp_path: Path) -> None:
    """With its trace, exactly."""
    said = store.annotate(steps[0].trace_id, who="ada", step_id=steps[0].id, span=Span(0, 2), score=0.1)
    path = tmp_path / "traces.jsonl"
    assert export_jsonl(store, path).annotations == 1
    with Store(f"sqlite:///{tmp_path}/other.db") as other:
        for _ in range(2):
            assert import_jsonl(other, path).annotations == 1
            assert other.annotations(said.trace_id) == [said]


def test_an_export_of_the_version_before_is_read(store: Store, steps: list[Step], tmp_path: Path) -> None:
    """It had no annotations, and counted none."""
    path = tmp_path / "traces.jsonl"
    export_jsonl(store, path)
    text = path.read_text("utf-8").replace('"version":2', '"version":1').replace(',"annotations":0', "")
    path.write_text(text, "utf-8")
    with Store(f"sqlite:///{tmp_path}/other.db") as other:
        assert import_jsonl(other, path).traces == 3


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50)


@given(label=TEXTS, score=st.none() | st.floats(allow_nan=False, allow_infinity=False), note=TEXTS)
def test_plain_dicts_are_exact(label: str, score: float | None, note: str) -> None:
    """Whatever is said."""
    said = Annotation("a", "t", START, "ada", "s", Span(1, 5), label or "x", score, note)
    assert Annotation.from_dict(said.to_dict()) == said
