"""Export traces, steps and attributions as Parquet files, for pandas, Polars and DuckDB.

`traces.parquet`, `steps.parquet` and `annotations.parquet` hold one row each; `attributions.parquet`
holds tokens, ids and scores as list columns. What has no fixed shape (messages, arguments) is JSON text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from flashtrace_agent.annotation import Annotation
from flashtrace_agent.atomic_file import replace_files
from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import StoreError
from flashtrace_agent.trace import Step, Trace

from .column_types import compact_json
from .counts import Counts, Tick, no_tick
from .steps import count_tokens
from .store import Store

_ROWS = 500
"""Rows gathered before they are written as one group."""


def export_parquet(store: Store, folder: Path, where: str | None = None, tick: Tick = no_tick) -> Counts:
    """Write the traces a filter finds into four files in `folder`.

    Raises:
        StoreError: if pyarrow is not installed.
        FlashTraceError: if the folder cannot be written.
    """
    schemas = _schemas()
    counts = Counts()
    with replace_files(folder) as partial, ExitStack() as opened:
        add = {
            name: opened.enter_context(_open_table(partial / f"{name}.parquet", schema))
            for name, schema in schemas.items()
        }
        for whole in store.whole_traces(where):
            add["traces"](_trace_row(whole.trace))
            for step in whole.trace.steps:
                add["steps"](_step_row(step))
                for found in whole.attributions[step.id]:
                    add["attributions"](_attribution_row(step, found))
            for said in whole.annotations:
                add["annotations"](_annotation_row(said))
            counts.add_steps(whole)
            counts.annotations += len(whole.annotations)
            tick(1)
    return counts


def _schemas() -> dict[str, Any]:
    """Return the columns of each file.

    Raises:
        StoreError: if pyarrow is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise StoreError("Parquet files need pyarrow: pip install 'flashtrace-agent[parquet]'.") from error
    text, number, time = pa.string(), pa.int64(), pa.timestamp("us", tz="UTC")
    ids = pa.list_(pa.int32())
    segment = pa.struct([("name", text), ("start", number), ("end", number)])

    times = [("started_at", time), ("ended_at", time)]

    def texts(names: str) -> list[tuple[str, Any]]:
        return [(name, text) for name in names.split()]

    return {
        "traces": pa.schema(
            [
                *texts("id name status session prompt_version error"),
                *times,
                ("tags", pa.list_(text)),
                ("metadata", text),
            ]
        ),
        "steps": pa.schema(
            [
                *texts("id trace_id kind name parent_id status error"),
                *times,
                *texts("model fidelity"),
                ("tokens", number),
                ("prompt_ids", ids),
                ("completion_ids", ids),
                *texts("input output tool_call_id arguments result"),
            ]
        ),
        "attributions": pa.schema(
            [
                *texts("step_id trace_id target method model fidelity"),
                ("ids", ids),
                ("tokens", pa.list_(text)),
                ("scores", pa.list_(pa.float32())),
                ("segments", pa.list_(segment)),
                ("check", text),
            ]
        ),
        "annotations": pa.schema(
            [
                *texts("id trace_id step_id label"),
                ("score", pa.float64()),
                *texts("note who"),
                ("created_at", time),
                ("start", number),
                ("end", number),
            ]
        ),
    }


@contextmanager
def _open_table(path: Path, schema: Any) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield what adds a row to a file; rows are written in groups."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    with pq.ParquetWriter(path, schema, compression="zstd") as file:

        def add(row: dict[str, Any]) -> None:
            rows.append(row)
            if len(rows) >= _ROWS:
                flush()

        def flush() -> None:
            file.write_table(pa.Table.from_pylist(rows, schema))
            rows.clear()

        yield add
        if rows:
            flush()


def _trace_row(trace: Trace) -> dict[str, Any]:
    names = ("id", "name", "status", "session", "prompt_version", "error", "started_at", "ended_at", "tags")
    return _fields(trace, *names) | {"metadata": compact_json(trace.metadata)}


def _step_row(step: Step) -> dict[str, Any]:
    names = ("id", "trace_id", "kind", "name", "parent_id", "status", "error", "started_at", "ended_at")
    more = ("model", "fidelity", "prompt_ids", "completion_ids", "tool_call_id", "result")
    return _fields(step, *names, *more) | {
        "tokens": count_tokens(step),
        "input": compact_json([message.to_dict() for message in step.input]),
        "output": None if step.output is None else compact_json(step.output.to_dict()),
        "arguments": None if step.arguments is None else compact_json(step.arguments),
    }


def _attribution_row(step: Step, found: Attribution) -> dict[str, Any]:
    return {
        "step_id": step.id,
        "trace_id": step.trace_id,
        "target": found.target_name,
        "ids": found.input_ids,
        "tokens": [_unicode(token) for token in found.tokens],
        "scores": found.scores,
        "segments": [
            {"name": _unicode(segment.name), "start": segment.span.start, "end": segment.span.end}
            for segment in found.segments
        ],
        "check": compact_json(found.checked.to_dict()) if found.checked else None,
        **_fields(found, "method", "model", "fidelity"),
    }


def _annotation_row(annotation: Annotation) -> dict[str, Any]:
    names = ("id", "trace_id", "step_id", "label", "score", "note", "who", "created_at")
    span = annotation.span
    return _fields(annotation, *names) | {"start": span and span.start, "end": span and span.end}


def _fields(item: object, *names: str) -> dict[str, Any]:
    values = {name: getattr(item, name) for name in names}
    return {name: _unicode(value) if isinstance(value, str) else value for name, value in values.items()}


def _unicode(text: str) -> str:
    """Return `text` with lone surrogates replaced, which Parquet's UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()
