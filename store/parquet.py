"""Export traces, steps and attributions as Parquet files, for pandas, Polars and DuckDB.

`traces.parquet`, `steps.parquet` and `annotations.parquet` hold one row each; `attributions.parquet`
holds tokens, ids and scores as list columns. What has no fixed shape (messages, arguments) is JSON text.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from flashtrace_agent.annotation import Annotation
from flashtrace_agent.atomic_file import replace_files
from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import StoreError
from flashtrace_agent.trace import Step, Trace

from .column_types import compact_json
from .jsonl import Counts, Tick, no_tick
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
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise StoreError("Parquet files need pyarrow: pip install 'flashtrace-agent[parquet]'.") from error
    text, number, time = pa.string(), pa.int64(), pa.timestamp("us", tz="UTC")
    schemas = {
        "traces": pa.schema(
            [(name, text) for name in ("id", "name", "status", "session", "prompt_version", "error")]
            + [("started_at", time), ("ended_at", time), ("tags", pa.list_(text)), ("metadata", text)]
        ),
        "steps": pa.schema(
            [(name, text) for name in ("id", "trace_id", "kind", "name", "parent_id", "status", "error")]
            + [("started_at", time), ("ended_at", time), ("model", text), ("fidelity", text)]
            + [
                ("tokens", number),
                ("prompt_ids", pa.list_(pa.int32())),
                ("completion_ids", pa.list_(pa.int32())),
            ]
            + [(name, text) for name in ("input", "output", "tool_call_id", "arguments", "result")]
        ),
        "attributions": pa.schema(
            [(name, text) for name in ("step_id", "trace_id", "target", "method", "model", "fidelity")]
            + [("ids", pa.list_(pa.int32())), ("tokens", pa.list_(text)), ("scores", pa.list_(pa.float32()))]
            + [("segments", pa.list_(pa.struct([("name", text), ("start", number), ("end", number)])))]
            + [("check", text)]
        ),
        "annotations": pa.schema(
            [(name, text) for name in ("id", "trace_id", "step_id", "label")]
            + [("score", pa.float64()), ("note", text), ("who", text), ("created_at", time)]
            + [("start", number), ("end", number)]
        ),
    }
    counts = Counts()
    pending: dict[str, list[dict[str, Any]]] = {name: [] for name in schemas}
    with replace_files(folder) as partial, ExitStack() as opened:
        writers = {
            name: opened.enter_context(
                pq.ParquetWriter(partial / f"{name}.parquet", schema, compression="zstd")
            )
            for name, schema in schemas.items()
        }

        def flush(at: int) -> None:
            for name, rows in pending.items():
                if len(rows) >= at:
                    writers[name].write_table(pa.Table.from_pylist(rows, schemas[name]))
                    rows.clear()

        for whole in store.whole_traces(where):
            pending["traces"].append(_trace_row(whole.trace))
            said = [_annotation_row(each) for each in whole.annotations]
            pending["annotations"] += said
            counts.traces += 1
            counts.annotations += len(said)
            for step in whole.trace.steps:
                pending["steps"].append(_step_row(step))
                rows = [_attribution_row(step, found) for found in whole.attributions[step.id]]
                pending["attributions"] += rows
                counts.steps += 1
                counts.attributions += len(rows)
                flush(_ROWS)
            tick(1)
        flush(1)
    return counts


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
