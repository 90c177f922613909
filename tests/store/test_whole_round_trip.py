"""Whatever a store holds, an export of it imported elsewhere is the same store."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashtrace_agent.annotation import Annotation
from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.span import Span
from flashtrace_agent.store import JobState, Store
from flashtrace_agent.store.ablations import AblationPart
from flashtrace_agent.store.job_requests import job_id
from flashtrace_agent.store.jsonl import export_jsonl, import_jsonl
from flashtrace_agent.store.whole_trace import WholeTrace
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id
from flashtrace_agent.trajectory import Edge, Node, Trajectory

from .examples import START, make_attribution
from .test_round_trip import JSON_VALUES, MESSAGES
from .test_sharing import dump

TIMES = st.integers(0, 10**12).map(lambda microseconds: START + timedelta(microseconds=microseconds))
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
OBJECTS = st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3)
IDS = st.none() | st.lists(st.integers(0, 2**31 - 1), max_size=300)
COUNTED = st.sampled_from(["prompt_tokens", "completion_tokens"])
STATUSES = st.sampled_from(["ok", "error", "incomplete"])


@st.composite
def steps(draw: st.DrawFn, trace_id: str, number: int) -> Step:
    started = draw(TIMES)
    common = {
        "ended_at": draw(st.none() | TIMES),
        "parent_id": draw(st.none() | WORDS),
        "status": draw(STATUSES),
        "error": draw(st.none() | st.text(max_size=20)),
    }
    if draw(st.booleans()):
        content = {"tool_call_id": draw(st.none() | WORDS), "result": draw(st.none() | st.text(max_size=20))}
        arguments = draw(st.none() | OBJECTS | st.text(max_size=9))
        return Step(
            make_id(started, f"{trace_id} {number}"), trace_id, "tool", draw(WORDS), started,
            **common, **content, arguments=arguments,
        )  # fmt: skip
    return Step(
        make_id(started, f"{trace_id} {number}"), trace_id, "model", draw(WORDS), started, **common,
        input=draw(st.lists(MESSAGES, max_size=3)), output=draw(st.none() | MESSAGES),
        model=draw(st.none() | WORDS), prompt_ids=draw(IDS), completion_ids=draw(IDS),
        finish_reason=draw(st.none() | WORDS), fidelity=draw(st.none() | st.sampled_from(list(Fidelity))),
        fidelity_reason=draw(WORDS), settings=draw(OBJECTS),
        usage=draw(st.dictionaries(COUNTED, st.integers(0, 9))),
    )  # fmt: skip


@st.composite
def attributions(draw: st.DrawFn, step: Step, number: int) -> Attribution:
    ids = step.token_ids or [1, 2, 3]
    count = max(len(ids), 3)
    scores = np.array(draw(st.lists(st.floats(0, 1, width=16), min_size=count, max_size=count)), np.float32)
    return make_attribution(
        (ids * 3)[:count], target=(Span(0, number + 1),), through=(), segments=(), scores=scores,
        hops=(Hop(scores, draw(st.floats(0, 1))),), target_name=draw(WORDS), method="flashtrace",
        settings=draw(OBJECTS) | {"hops": 1},
    )  # fmt: skip


@st.composite
def jobs(draw: st.DrawFn, step: Step) -> JobState:
    targets = draw(st.none() | st.lists(WORDS, unique=True, max_size=2).map(sorted).map(tuple))
    hops, check = draw(st.integers(0, 3)), draw(st.booleans())
    status = draw(st.sampled_from(["queued", "done", "dead"]))
    review = draw(st.none() | OBJECTS.map(lambda content: {**content, "step": step.id}))
    return JobState(
        id=job_id(step.id, targets, method="ramp", hops=hops, check=check, review=review), review=review,
        trace_id=step.trace_id,
        step_id=step.id, targets=targets, method="ramp", hops=hops, check=check,
        priority=draw(st.integers(-5, 5)), status=status, attempts=draw(st.integers(0, 5)), max_attempts=5,
        created_at=draw(TIMES), due_at=draw(TIMES), finished_at=None if status == "queued" else draw(TIMES),
        worker=draw(st.none() | WORDS), error=draw(st.none() | st.text(max_size=20)),
    )  # fmt: skip


@st.composite
def whole_traces(draw: st.DrawFn, number: int) -> WholeTrace:
    started = draw(TIMES)
    trace = Trace(
        make_id(started, str(number)), draw(WORDS), started, draw(st.none() | TIMES), draw(STATUSES),
        error=draw(st.none() | st.text(max_size=20)), session=draw(st.none() | WORDS),
        tags=draw(st.lists(WORDS, max_size=3)), prompt_version=draw(st.none() | WORDS),
        metadata=draw(OBJECTS),
    )  # fmt: skip
    trace.steps = [draw(steps(trace.id, n)) for n in range(draw(st.integers(0, 3)))]
    whole = WholeTrace(trace)
    for n in range(draw(st.integers(0, 2))):
        step = draw(st.none() | st.sampled_from(trace.steps)) if trace.steps else None
        span = Span(n, n + 2) if step and draw(st.booleans()) else None
        said = draw(st.text(min_size=1, max_size=20).map(lambda text: text.replace("\0", "").strip() or "x"))
        note = said.encode("utf-8", "replace").decode()
        score = draw(st.none() | st.floats(allow_nan=False, allow_infinity=False))
        whole.annotations.append(
            Annotation(make_id(started, f"{number} {n}"), trace.id, draw(TIMES), draw(WORDS),
                       step and step.id, span, draw(st.none() | WORDS), score, note)
        )  # fmt: skip
    for step in trace.steps:
        if step.kind == "model":
            count = draw(st.integers(0, 2))
            whole.attributions[step.id] = [draw(attributions(step, n)) for n in range(count)]
            if draw(st.booleans()):
                nodes = (
                    Node("a", "target", draw(WORDS), step.id, 1.0, 0.0, False),
                    Node("b", "system", "system", None, draw(st.floats(0, 1)), 0.0, True),
                )
                edges = (Edge("b", "a", draw(st.floats(0, 1)), "words"),)
                whole.trajectories.append(
                    Trajectory(trace.id, step.id, draw(WORDS), draw(st.text(max_size=9)), nodes, edges)
                )
        if draw(st.booleans()):
            whole.jobs.append(draw(jobs(step)))
            key, data = draw(st.binary(min_size=16, max_size=16)).hex(), draw(OBJECTS)
            part = AblationPart(
                key[::-1], step.id, key, draw(st.integers(0, 9)), draw(st.integers(1, 9)), data
            )
            whole.ablations.append(part)
    return whole


@st.composite
def stores(draw: st.DrawFn) -> list[WholeTrace]:
    return [draw(whole_traces(number)) for number in range(draw(st.integers(0, 3)))]


@given(content=stores())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_store_is_the_same_elsewhere(empty_file: Path, content: list[WholeTrace]) -> None:
    """Row by row; and exported from there, it is the same file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("one.db", "other.db"):
            shutil.copyfile(empty_file, folder / file)
        with Store(f"sqlite:///{folder}/one.db") as one, Store(f"sqlite:///{folder}/other.db") as other:
            one.write_whole_traces(content)
            counts = export_jsonl(one, folder / "one.jsonl")
            assert (counts.traces, counts.jobs) == (len(content), sum(len(whole.jobs) for whole in content))
            assert import_jsonl(other, folder / "one.jsonl") == counts
            numbered = ("message_numbers", "message_traces", "words")
            rows = [[row for row in dump(each) if not row.startswith(numbered)] for each in (one, other)]
            assert rows[0] == rows[1]
            assert one.check() == other.check() == []
            written = {whole.trace.id: whole for whole in content}
            for whole in other.whole_traces():
                origin = written[whole.trace.id]
                assert sorted(whole.trace.steps, key=id_of) == sorted(origin.trace.steps, key=id_of)
                assert sorted(whole.annotations, key=id_of) == sorted(origin.annotations, key=id_of)
                assert sorted(whole.jobs, key=id_of) == sorted(origin.jobs, key=id_of)
                assert sorted(whole.ablations, key=part_of) == sorted(origin.ablations, key=part_of)
                assert whole.trajectories == sorted(
                    origin.trajectories,
                    key=lambda t: [step.id for step in whole.trace.steps].index(t.step_id),
                )
            export_jsonl(other, folder / "other.jsonl")
            assert (folder / "one.jsonl").read_bytes() == (folder / "other.jsonl").read_bytes()


def id_of(item: Step | Annotation | JobState) -> str:
    """Return what to sort by."""
    return item.id


def part_of(part: AblationPart) -> tuple[str, str]:
    """Return what to sort by: the steps of one proof share its id."""
    return part.id, part.step_id
