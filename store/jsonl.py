"""Export traces as JSON Lines and import them again, exactly.

The first line names the format, the last one counts what came between, so that a file cut short is
recognized. Between them each trace's header is followed by its steps, each step by its
attributions, then by what is said about them, what was traced back, the jobs of its steps, and what
reviews proved of them. An
import reads the whole file before it writes anything, and writes each trace whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flashtrace_agent.annotation import Annotation
from flashtrace_agent.atomic_file import replace_file
from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import FlashTraceError, StoreError
from flashtrace_agent.trace import Fidelity, Step
from flashtrace_agent.trajectory import Trajectory

from .ablations import AblationPart
from .attributions import require_finite
from .column_types import compact_json
from .counts import Counts, Tick, no_tick
from .damage import UNREADABLE
from .field_types import check_fields
from .job_list import JobState
from .job_requests import job_id
from .plain import step_from_dict, step_to_dict, trace_from_dict, trace_to_dict
from .store import Store
from .whole_trace import WholeTrace

FORMAT = "flashtrace-agent traces"
VERSION = 3
"""Version 1 had no annotations and no trajectories, version 2 no jobs and no proofs of reviews."""

_LONGEST_HEADER = 4096
_BATCH = 200
"""Steps and attributions written in one transaction, if one trace has no more."""


def export_jsonl(store: Store, path: Path, where: str | None = None, tick: Tick = no_tick) -> Counts:
    """Write the traces a filter finds to a file, replacing it once all is written.

    Raises:
        FlashTraceError: if the file cannot be written.
    """
    counts = Counts()
    with replace_file(path) as file:
        _write_line(file.write, {"format": FORMAT, "version": VERSION})
        for whole in store.whole_traces(where):
            for record in _records(whole):
                _write_line(file.write, record)
            counts.add(whole)
            tick(1)
        _write_line(file.write, {"end": counts.to_dict()})
    return counts


def import_jsonl(store: Store, path: Path, tick: Tick = no_tick) -> Counts:
    """Write the traces of a file into a store; those it has already are replaced.

    The file is read twice, so `tick` is told of twice its bytes.

    Raises:
        StoreError: if the file is no complete export of a format this version knows; nothing is
            written then. If the store cannot take them all; the traces before are whole then.
    """
    for _ in _read(path, tick):  # the whole file, before anything is written
        pass
    counts = Counts()
    pending: list[WholeTrace] = []
    size = 0

    def flush() -> None:
        try:
            store.write_whole_traces(pending)
        except StoreError as error:
            raise StoreError(f"{error} (Of {path} {counts.traces} traces are imported.)") from error
        for whole in pending:
            counts.add(whole)
        pending.clear()

    for whole in _read(path, tick):
        pending.append(whole)
        size += len(whole.trace.steps) + sum(map(len, whole.attributions.values()))
        if size >= _BATCH:
            flush()
            size = 0
    flush()
    return counts


def is_export(path: Path) -> bool:
    """Tell by its first line whether a file is one that `export_jsonl` wrote."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline(_LONGEST_HEADER))
        return isinstance(header, dict) and header.get("format") == FORMAT
    except (OSError, ValueError, RecursionError):
        return False


def _write_line(write: Callable[[str], object], record: Mapping[str, Any]) -> None:
    write(compact_json(record) + "\n")


def _records(whole: WholeTrace) -> Iterator[dict[str, Any]]:
    yield {"trace": trace_to_dict(whole.trace)}
    for step in whole.trace.steps:
        yield {"step": step_to_dict(step)}
        for attribution in whole.attributions.get(step.id, ()):
            yield {"attribution": attribution.to_dict(), "of": step.id}
    for annotation in whole.annotations:
        yield {"annotation": annotation.to_dict()}
    for trajectory in whole.trajectories:
        yield {"trajectory": trajectory.to_dict()}
    for job in whole.jobs:
        yield {"job": job.unleased().to_dict()}
    for part in whole.ablations:
        yield {"ablation": part.to_dict()}


def _read(path: Path, tick: Tick) -> Iterator[WholeTrace]:
    try:
        with path.open("rb") as file:
            yield from _read_lines(path, file, tick)
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}): check the path.") from error


def _read_lines(path: Path, lines: Iterator[bytes], tick: Tick) -> Iterator[WholeTrace]:
    header = next(lines, b"")
    _check_header(path, header)
    tick(len(header))
    counts = Counts()
    ids: set[str] = set()
    whole: WholeTrace | None = None
    for number, line in enumerate(lines, 2):
        tick(len(line))
        try:
            record = json.loads(line)
            if whole is not None and ("trace" in record or "end" in record):
                counts.add(whole)
                yield whole
            if "end" in record:
                if Counts(**record["end"]) != counts:
                    raise ValueError("its counts disagree")
                if any(more.strip() for more in lines):
                    raise ValueError("something comes after the end")
                return
            if "trace" in record:
                trace = trace_from_dict(record["trace"])
                check_fields(trace)
                _note(ids, f"trace {trace.id}")
                whole = WholeTrace(trace)
            elif whole is None:
                raise ValueError("it begins without a trace")
            elif "step" in record:
                _note(ids, f"step {_take_step(whole, record['step']).id}")
            else:
                _take(whole, record)
        except (*UNREADABLE, FlashTraceError) as error:
            raise StoreError(f"{path} is damaged at line {number} ({error}): export it again.") from error
    raise StoreError(f"{path} ends too early: it was cut short, so export it again.")


def _note(ids: set[str], name: str) -> None:
    if name in ids:
        raise ValueError(f"the {name} comes twice")
    ids.add(name)


def _take_step(whole: WholeTrace, data: Mapping[str, Any]) -> Step:
    step = step_from_dict(data)
    check_fields(step)
    if step.trace_id != whole.trace.id:
        raise ValueError(f"the step is of the trace {step.trace_id}")
    whole.trace.steps.append(step)
    whole.attributions[step.id] = []
    return step


def _take(whole: WholeTrace, record: Mapping[str, Any]) -> None:
    """Add what a line holds to the trace it comes after, to which it must belong."""
    owner = whole.trace.id
    found: Annotation | Trajectory | JobState | AblationPart | Attribution
    if "annotation" in record:
        found = annotation = Annotation.from_dict(record["annotation"])
        owner, step_id = annotation.trace_id, annotation.step_id
        whole.annotations.append(annotation)
    elif "trajectory" in record:
        found = trajectory = Trajectory.from_dict(record["trajectory"])
        owner, step_id = trajectory.trace_id, trajectory.step_id
        whole.trajectories.append(trajectory)
    elif "job" in record:
        found = job = _job(record["job"])
        owner, step_id = job.trace_id, job.step_id
        whole.jobs.append(job)
    elif "ablation" in record:
        found = part = AblationPart.from_dict(record["ablation"])
        step_id = part.step_id
        whole.ablations.append(part)
    else:
        step_id = record["of"]
        found = _attribution(record["attribution"])
        whole.attributions[step_id].append(found)
    check_fields(found)
    if owner != whole.trace.id or (step_id is not None and step_id not in whole.attributions):
        raise ValueError(f"it is of a step {step_id} that trace {whole.trace.id} has not")


def _job(data: Mapping[str, Any]) -> JobState:
    job = JobState.from_dict(data)
    same = job_id(
        job.step_id, job.targets, method=job.method, hops=job.hops, check=job.check, review=job.review
    )
    if job.id != same:
        raise ValueError(f"the job {job.id} is not what it says")
    return job


def _attribution(data: Mapping[str, Any]) -> Attribution:
    found = Attribution.from_dict(data)
    shapes = {found.scores.shape, *(hop.scores.shape for hop in found.hops)}
    if shapes != {found.input_ids.shape} or found.input_ids.shape != (len(found.tokens),):
        raise ValueError("its tokens and scores differ in number")
    require_finite(found)
    Fidelity(found.fidelity)
    return found


def _check_header(path: Path, line: bytes) -> None:
    try:
        header = json.loads(line)
        is_ours = header["format"] == FORMAT
    except (ValueError, KeyError, TypeError, RecursionError):
        is_ours = False
    if not is_ours:
        raise StoreError(f"{path} is no export of traces: give a file that `export` wrote.")
    if header.get("version") not in range(1, VERSION + 1):
        raise StoreError(
            f"{path} has the format {header.get('version')}, this version knows {VERSION}: "
            "upgrade flashtrace-agent."
        )
