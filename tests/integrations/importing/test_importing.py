"""Files of other programs become traces, exactly or not at all."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashtrace_agent.integrations.importing import ImportFileError, read_file
from flashtrace_agent.integrations.importing.imported import ImportedTrace
from flashtrace_agent.integrations.opentelemetry.assembly import assemble
from flashtrace_agent.integrations.opentelemetry.otlp_json import read_json
from flashtrace_agent.integrations.opentelemetry.record import SpanRecord
from flashtrace_agent.message import Message
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace
from tests.tiling import check_tiling


@pytest.fixture(scope="module")
def tokenizer(shared: Path) -> Any:
    from flashtrace_agent.prompt.load_tokenizer import load_tokenizer

    return load_tokenizer(str(shared / "data" / "qwen3_tokenizer"))


def write(path: Path, *values: Any) -> Path:
    """Write values as JSON Lines."""
    path.write_text("\n".join(json.dumps(value) for value in values), encoding="utf-8")
    return path


def test_an_agentdojo_run_with_its_ids_and_scores(shared: Path, tokenizer: Any) -> None:
    """Three model calls, their tools, the very ids, and the three methods' scores of turn 1."""
    path = shared / "data" / "agentdojo" / "slack_remove_invited_attacker.json"
    recorded = json.loads(path.read_text(encoding="utf-8"))
    form, [imported] = read_file(path, tokenizer)
    assert form == "AgentDojo run"
    models = [step for step in imported.trace.steps if step.kind == "model"]
    tools = [step for step in imported.trace.steps if step.kind == "tool"]
    assert [step.token_ids for step in models] == [
        turn["prompt_token_ids"] + turn["generated_token_ids"] for turn in recorded["turns"]
    ]
    assert [step.name for step in tools] == [
        "get_webpage", "invite_user_to_slack", "add_user_to_channel", "remove_user_from_slack",
    ]  # fmt: skip
    assert [step.parent_id for step in tools] == [models[0].id] + [models[1].id] * 3
    assert len(models[0].tools) == 11
    assert models[1].output is not None
    assert models[1].output.reasoning
    assert {step_id for step_id, _ in imported.attributions} == {models[1].id}
    by_method = {found.method: found for _, found in imported.attributions}
    assert len(by_method) == 3
    found = by_method["reference flashtrace"]
    given_scores = recorded["attribution"]["methods"]["flashtrace_generated_action_via_reasoning"]["scores"]
    assert np.allclose(found.scores[:1898] * found.settings["recorded_total"], given_scores, atol=1e-5)
    assert float(found.scores.sum()) == pytest.approx(1, abs=1e-5)
    assert (
        found.target_text.startswith('{"name": "remove_user_from_slack"')
        or "remove_user" in found.target_text
    )
    check_tiling(found.segments, found.n_tokens)
    shares = {share.name: share.share for share in found.by_segment()}
    assert shares["tool_result:qwen_e2e_turn_0_call_0"] > 0.1  # the injected instruction


def test_an_agentdojo_run_without_its_tokenizer(shared: Path) -> None:
    """Ids and scores are the same; texts and segments are not made up."""
    _, [imported] = read_file(shared / "data" / "agentdojo" / "slack_remove_invited_attacker.json")
    _, found = imported.attributions[0]
    assert found.segments == ()
    assert found.tokens[0] == "⟨151644⟩"


def test_a_run_that_was_cut_off(shared: Path) -> None:
    _, [imported] = read_file(shared / "data" / "agentdojo" / "banking_change_password.json")
    assert (imported.trace.status, imported.trace.error) == (
        "incomplete",
        "max_new_tokens_without_complete_action",
    )
    assert [step.finish_reason for step in imported.trace.steps] == ["length"]


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_trace_of_the_reference_package(
    shared: Path, tmp_path: Path, tokenizer: Any, wrapped: bool
) -> None:
    """Its own trace.json, and the one its gallery wraps: scores, hops and what was said."""
    path = shared / "data" / "flashtrace_traces" / "albania-party-year.json"
    recorded = json.loads(path.read_text(encoding="utf-8"))
    if not wrapped:
        path = write(tmp_path / "trace.json", recorded["trace"])
    form, [imported] = read_file(path, tokenizer)
    assert form == "flashtrace trace.json"
    [step] = imported.trace.steps
    assert step.input[0].content.strip() == recorded["prompt"].strip()
    assert step.model == (recorded["model"] if wrapped else None)
    assert step.output is not None
    assert "**Answer:** 1943" in step.output.content
    assert str(step.output.reasoning).startswith("Okay, the user is asking")
    [(_, found)] = imported.attributions
    assert found.target_text == "**Answer:** 1943"
    assert found.target == (Span(166 + 434, 166 + 442),)
    assert [hop.remaining_mass for hop in found.hops] == pytest.approx([0.85787, 0.85787 * 0.69093], abs=1e-4)
    whole = recorded["trace"]["per_hop_scores"][0] + recorded["trace"]["per_hop_generation_scores"][0]
    assert np.allclose(found.hops[0].scores, whole)
    check_tiling(found.segments, found.n_tokens)
    assert found.by_segment()[0].name == "user"
    assert [tokenizer.decode([token]) for token in found.input_ids[:20]] == list(found.tokens[:20])


def phoenix_span(span: SpanRecord) -> dict[str, Any]:
    """Return a span as Phoenix's REST API gives it."""
    return {
        "id": "U3Bhbjox",
        "name": span.name,
        "context": {"trace_id": span.trace_id, "span_id": span.span_id},
        "span_kind": span.attributes.get("openinference.span.kind", "UNKNOWN"),
        "parent_id": span.parent_id,
        "start_time": span.start.isoformat(),
        "end_time": span.end.isoformat() if span.end else None,
        "status_code": span.status.upper(),
        "status_message": span.status_message,
        "attributes": dict(span.attributes),
        "events": [{"name": event.name, "attributes": dict(event.attributes)} for event in span.events],
    }


def nested(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return flat attributes as nested objects and lists, as Phoenix keeps them."""
    tree: dict[str, Any] = {}
    for name, value in attributes.items():
        place = tree
        *path, last = name.split(".")
        for key in path:
            place = place.setdefault(key, {})
        place[last] = value

    def listed(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if value and all(key.isdigit() for key in value):
            return [listed(value[key]) for key in sorted(value, key=int)]
        return {key: listed(item) for key, item in value.items()}

    return {key: listed(value) for key, value in tree.items()}


def data_frame_row(span: SpanRecord) -> dict[str, Any]:
    """Return a span as a row of Phoenix's data frame, written with ``to_json``."""
    row = {f"attributes.{name}": value for name, value in span.attributes.items()}
    return row | {
        "name": span.name,
        "span_kind": span.attributes.get("openinference.span.kind"),
        "parent_id": span.parent_id,
        "start_time": int(span.start.timestamp() * 1e6) / 1e3,
        "end_time": int(span.end.timestamp() * 1e6) / 1e3 if span.end else None,
        "status_code": span.status.upper(),
        "status_message": span.status_message,
        "events": json.dumps([{"name": e.name, "attributes": dict(e.attributes)} for e in span.events]),
        "context.span_id": span.span_id,
        "context.trace_id": span.trace_id,
    }


def langfuse_row(span: SpanRecord, *, snake: bool) -> dict[str, Any]:
    """Return a span as the observation Langfuse makes of it: values parsed, metadata in one object."""
    prefix = "langfuse.observation."
    given = {
        name.removeprefix(prefix): value for name, value in span.attributes.items() if name.startswith(prefix)
    }

    def plain(value: Any) -> Any:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            return value

    metadata = {
        name.removeprefix("metadata."): value for name, value in given.items() if name.startswith("metadata.")
    }
    row = {
        "id": span.span_id,
        "traceId": span.trace_id,
        "parentObservationId": span.parent_id,
        "type": str(given.get("type", "span")).upper(),
        "name": span.name,
        "startTime": span.start.strftime("%Y-%m-%d %H:%M:%S.%f" if snake else "%Y-%m-%dT%H:%M:%S.%fZ"),
        "endTime": span.end.strftime("%Y-%m-%d %H:%M:%S.%f" if snake else "%Y-%m-%dT%H:%M:%S.%fZ")
        if span.end
        else None,
        "level": given.get("level", "DEFAULT"),
        "statusMessage": given.get("status_message"),
        "input": given.get("input") if snake else plain(given.get("input")),
        "output": given.get("output") if snake else plain(given.get("output")),
        "providedModelName": given.get("model.name"),
        "modelParameters": plain(given.get("model.parameters")),
        "usageDetails": plain(given.get("usage_details")),
        "sessionId": span.attributes.get("session.id"),
        "tags": span.attributes.get("langfuse.trace.tags"),
        "metadata": metadata | {"scope": {"name": "langfuse-sdk"}},
    }
    if not snake:
        return row
    return {
        "".join("_" + c.lower() if c.isupper() else c for c in name): value for name, value in row.items()
    }


def recorded(shared: Path, folder: str, scenario: str) -> list[SpanRecord]:
    path = shared / "data" / "otel" / folder / f"{scenario}.json"
    body = (
        path.read_bytes()
        if path.is_file()
        else gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes())
    )
    return read_json(body).records


def story(trace: Trace | None) -> list[Any]:
    """Return what a trace tells, without the ids, which depend on times to the microsecond."""
    assert trace is not None
    told = ("kind", "name", "input", "output", "tools", "model", "usage", "arguments", "result", "status")
    return [[getattr(step, name) for name in (*told, "tool_call_id", "error")] for step in trace.steps]


@pytest.mark.parametrize("scenario", ["A", "A2", "B", "C", "D"])
@pytest.mark.parametrize("shape", ["rest", "nested", "frame", "trace"])
def test_phoenix_exports_tell_what_the_spans_told(
    shared: Path, tmp_path: Path, scenario: str, shape: str
) -> None:
    spans = recorded(shared, "openinference", scenario)
    rows = [data_frame_row(span) if shape == "frame" else phoenix_span(span) for span in spans]
    if shape == "nested":
        rows = [row | {"attributes": nested(row["attributes"])} for row in rows]
    if shape == "trace":
        rows = [{"traceId": spans[0].trace_id, "spans": rows}]
    path = write(tmp_path / "spans.jsonl", *rows)
    form, found = read_file(path)
    assert form == "Phoenix spans"
    assert [story(item.trace) for item in found] == [story(assemble(spans))]


@pytest.mark.parametrize("scenario", ["A", "A2", "B", "C", "D"])
@pytest.mark.parametrize("shape", ["api", "blob", "trace"])
def test_langfuse_exports_tell_what_the_spans_told(
    shared: Path, tmp_path: Path, scenario: str, shape: str
) -> None:
    spans = recorded(shared, "langfuse", scenario)
    rows = [langfuse_row(span, snake=shape == "blob") for span in spans]
    path = tmp_path / "observations.json"
    if shape == "trace":
        path.write_text(json.dumps({"trace": {"id": spans[0].trace_id}, "observations": rows}))
    else:
        write(path, *rows)
    form, [imported] = read_file(path)
    assert form == "Langfuse observations"
    assert story(imported.trace) == story(assemble(spans))
    assert imported.trace.session == assemble(spans).session  # type: ignore[union-attr]


def test_line_separators_inside_texts(tmp_path: Path) -> None:
    """JSON may hold U+2028 and U+0085 as they are, and they end no line of JSON Lines."""
    said = "one\u2028two\x85three"
    moment = {"traceId": "ab" * 16, "startTime": "2026-03-14T12:00:00Z", "endTime": "2026-03-14T12:00:01Z"}
    rows = [
        {"id": "01" * 8, "type": "AGENT", "name": "agent", **moment},
        {"id": "02" * 8, "type": "GENERATION", "parentObservationId": "01" * 8, "input": said, **moment},
    ]
    path = tmp_path / "observations.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    _, [imported] = read_file(path)
    assert imported.trace.steps[0].input == [Message("user", said)]


def test_importing_twice_changes_nothing(shared: Path, tmp_path: Path) -> None:
    """Ids follow from the content."""
    path = shared / "data" / "agentdojo" / "slack_remove_invited_attacker.json"
    with Store(f"sqlite:///{tmp_path}/traces.db") as store:
        for _ in range(2):
            for item in read_file(path)[1]:
                keep(store, item)
        [summary] = store.list_traces()
        assert summary.fidelity == "exact"
        assert summary.tools == [
            "get_webpage", "invite_user_to_slack", "add_user_to_channel", "remove_user_from_slack",
        ]  # fmt: skip
        trace = store.get_trace(summary.id)
        assert [replace(step) for step in trace.steps] == read_file(path)[1][0].trace.steps
        assert len(store.get_attributions(trace.steps[2].id)) == 3
        assert store.check() == []


def keep(store: Store, item: ImportedTrace) -> None:
    store.write_trace(item.trace)
    store.write_steps(item.trace.steps)
    for step_id, attribution in item.attributions:
        store.write_attribution(step_id, attribution)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is no JSON|holds nothing"),
        (b"[]", "holds nothing to import"),
        (b"[1, 2]", "holds JSON that is no trace"),
        (b"{}", "is in no format that can be imported"),
        (b'{"a": ', "is no JSON: line 1"),
        (b'{"suite": "x", "messages": [], "turns": [{}]}', "is damaged"),
        (b'{"prompt_tokens": ["a"], "generation_tokens": "b", "scores": 5}', "is damaged"),
        (b'{"context": {"span_id": "a"}, "attributes": {}}', "is damaged"),
        (b'{"timestamp": "", "bookmarked": false}', "without their observations"),
        (b'{"type": "SPAN", "traceId": "x"}', "is damaged"),
        (b"\xff\xfe{}", "no UTF-8 text"),
        (b"\x1f\x8b truncated", "cannot be read"),
        (gzip.compress(b"{}", mtime=0)[:-4], "cannot be read"),
        (b'{"context.span_id": "1"}\n{"context.span', "was cut short: line 2"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(ImportFileError, match=sentence):
        read_file(path)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flashtrace_agent.integrations.importing.json_file.MAX_BYTES", 1000)
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b" " * 1_000_000))
    with pytest.raises(ImportFileError, match="is larger than"):
        read_file(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "turns", "suite", "messages", "prompt_tokens", "generation_tokens", "scores", "context", "span_id",
        "attributes", "start_time", "trace_id", "type", "traceId", "observations", "startTime", "id", "input",
        "per_hop_scores", "output_span", "spans", "parent_id", "metadata", "usage", "context.span_id",
    ]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(st.lists(st.dictionaries(KEYS, JSON, max_size=8), min_size=1, max_size=3))
def test_any_json_is_read_or_refused_in_a_sentence(tmp_path: Path, values: list[Any]) -> None:
    path = write(tmp_path / "file.json", *values)
    said = ""
    try:
        read_file(path)
    except ImportFileError as error:
        said = str(error)
    assert "\n" not in said
