"""Export traces as JSON Lines and import them again, exactly.

The first line names the format, the last one counts what came between, so that a file cut short is
recognized. Between them each trace's header is followed by its steps, each step by its
attributions, and all of them by what is said about them. An import reads the whole file before it
writes anything.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flashtrace_agent.annotation import Annotation
from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import StoreError
from flashtrace_agent.trace import Step, Trace
from flashtrace_agent.trajectory import Trajectory

from .column_types import compact_json
from .plain import step_from_dict, step_to_dict, trace_from_dict, trace_to_dict
from .store import Store

FORMAT = "flashtrace-agent traces"
VERSION = 2
"""Version 1 had no annotations and no trajectories."""

Item = Trace | Step | Annotation | Trajectory | tuple[str, Attribution]

_LONGEST_HEADER = 4096
_PAGE = 100
_BATCH = 200


@dataclass(slots=True)
class Counts:
    """How much was written."""

    traces: int = 0
    steps: int = 0
    attributions: int = 0
    annotations: int = 0
    trajectories: int = 0

    def __str__(self) -> str:
        counted = [f"{self.traces} traces", f"{self.steps} steps", f"{self.attributions} attributions"]
        counted += [f"{self.annotations} annotations"] if self.annotations else []
        counted += [f"{self.trajectories} trajectories"] if self.trajectories else []
        return f"{', '.join(counted[:-1])} and {counted[-1]}"

    def to_dict(self) -> dict[str, int]:
        """Return a JSON-ready dict."""
        return asdict(self)


def trace_ids(store: Store, where: str | None) -> Iterator[str]:
    """Yield the ids of the traces a filter finds, newest first."""
    before = None
    while page := store.list_traces(where=where, limit=_PAGE, before=before):
        yield from (summary.id for summary in page)
        before = page[-1].id


def export_jsonl(store: Store, path: Path, where: str | None = None) -> Counts:
    """Write the traces a filter finds to a file, replacing it once all is written.

    Raises:
        StoreError: if the file cannot be written.
    """
    counts = Counts()
    partial = path.with_name(path.name + ".partial")
    try:
        try:
            with partial.open("w", encoding="utf-8") as file:
                for record in _records(store, where, counts):
                    file.write(compact_json(record) + "\n")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror}): choose another file.") from error
    return counts


def import_jsonl(store: Store, path: Path) -> Counts:
    """Write the traces of a file into a store; those it has already are replaced.

    Raises:
        StoreError: if the file is no complete export of a format this version knows; nothing is
            written then.
    """
    for _ in _read(path):  # the whole file, before anything is written
        pass
    counts = Counts()
    steps: list[Step] = []
    attributions: list[tuple[str, Attribution]] = []
    annotations: list[Annotation] = []
    trajectories: list[Trajectory] = []

    def flush() -> None:
        store.write_steps(steps)
        store.write_attributions(attributions)
        store.write_annotations(annotations)
        for trajectory in trajectories:
            store.write_trajectory(trajectory)
        for written in (steps, attributions, annotations, trajectories):
            written.clear()

    for item in _read(path):
        if isinstance(item, Trace):
            counts.traces += 1
            store.write_trace(item)
        elif isinstance(item, Step):
            counts.steps += 1
            steps.append(item)
        elif isinstance(item, Annotation):
            counts.annotations += 1
            annotations.append(item)
        elif isinstance(item, Trajectory):
            counts.trajectories += 1
            trajectories.append(item)
        else:
            counts.attributions += 1
            attributions.append(item)
        if len(steps) + len(attributions) + len(annotations) + len(trajectories) >= _BATCH:
            flush()
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


def _records(store: Store, where: str | None, counts: Counts) -> Iterator[dict[str, Any]]:
    yield {"format": FORMAT, "version": VERSION}
    for trace_id in trace_ids(store, where):
        trace = store.get_trace(trace_id)
        counts.traces += 1
        yield {"trace": trace_to_dict(trace)}
        for step in trace.steps:
            counts.steps += 1
            yield {"step": step_to_dict(step)}
            for attribution in store.get_attributions(step.id):
                counts.attributions += 1
                yield {"attribution": attribution.to_dict(), "of": step.id}
        for annotation in store.annotations(trace_id):
            counts.annotations += 1
            yield {"annotation": annotation.to_dict()}
        for trajectory in store.get_trajectories(trace_id):
            counts.trajectories += 1
            yield {"trajectory": trajectory.to_dict()}
    yield {"end": counts.to_dict()}


def _read(path: Path) -> Iterator[Item]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from _read_lines(path, file)
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}): check the path.") from error
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} is no export of traces: give a file that `export` wrote.") from error


def _read_lines(path: Path, lines: Iterator[str]) -> Iterator[Item]:
    _check_header(path, next(lines, ""))
    counts = Counts()
    for number, line in enumerate(lines, 2):
        try:
            record = json.loads(line)
            if "end" in record:
                if {"annotations": 0, "trajectories": 0, **record["end"]} != counts.to_dict():
                    raise ValueError("its counts disagree")
                return
            if "trace" in record:
                counts.traces += 1
                yield trace_from_dict(record["trace"])
            elif "step" in record:
                counts.steps += 1
                yield step_from_dict(record["step"])
            elif "annotation" in record:
                counts.annotations += 1
                yield Annotation.from_dict(record["annotation"])
            elif "trajectory" in record:
                counts.trajectories += 1
                yield Trajectory.from_dict(record["trajectory"])
            else:
                counts.attributions += 1
                yield record["of"], Attribution.from_dict(record["attribution"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{path} is damaged at line {number} ({error}): export it again.") from error
    raise StoreError(f"{path} ends too early: it was cut short, so export it again.")


def _check_header(path: Path, line: str) -> None:
    try:
        header = json.loads(line)
        is_ours = header["format"] == FORMAT
    except (ValueError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise StoreError(f"{path} is no export of traces: give a file that `export` wrote.")
    if header.get("version") not in range(1, VERSION + 1):
        raise StoreError(
            f"{path} has the format {header.get('version')}, this version knows {VERSION}: "
            "upgrade flashtrace-agent."
        )
