"""Attributions to rows and back."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.orm import Session

from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.check import Check
from flashtrace_agent.errors import StoreError
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span

from .arrays import pack_scores, unpack_scores
from .chains import batches
from .column_types import compact_json
from .documents import read_documents, write_document
from .schema import AttributionRow, StepRow
from .shared_rows import SharedRows
from .shares import add_shares, forget_shares, summaries_of
from .token_chains import TokenSequences, read_texts, write_ids, write_texts
from .upsert import insert_or_replace

_TRACE_OF_STEP = select(StepRow.trace_id).where(StepRow.id == bindparam("id"))
_STORED = select(AttributionRow.id).where(AttributionRow.id == bindparam("id"))


def write_attribution_row(
    connection: Connection, shared: SharedRows, step_id: str, attribution: Attribution
) -> str:
    """Store an attribution of a step, inside a write transaction, and return its id.

    Raises:
        StoreError: if the step is not stored, or a segment's share is no number.
    """
    trace_id = connection.scalar(_TRACE_OF_STEP, {"id": step_id})
    if trace_id is None:
        raise StoreError(f"Step {step_id} is not in the store: write the step before its attributions.")
    require_finite(attribution)
    hops = [pack_scores(hop.scores) for hop in attribution.hops]
    scores = pack_scores(attribution.scores)
    # Shares of the scores as they will be read, so that a copy of the store states the same.
    stored = replace(attribution, scores=unpack_scores(scores))
    segments = [[s.name, s.span.start, s.span.end, s.message] for s in attribution.segments]
    row = {
        "id": attribution_id(step_id, attribution),
        "step_id": step_id,
        "target_name": attribution.target_name,
        "method": attribution.method,
        "hop_count": attribution.asked_hops,
        "model": attribution.model,
        "fidelity": str(attribution.fidelity),
        "target": _pairs(attribution.target),
        "through": _pairs(attribution.through),
        "ids_digest": write_ids(shared, attribution.input_ids),
        "texts_digest": write_texts(shared, attribution.tokens),
        "segments_digest": write_document(shared, "segments", segments),
        "settings_digest": write_document(shared, "settings", dict(attribution.settings)),
        "summary": summarize(stored),
        "checked": attribution.checked.to_dict() if attribution.checked else None,
        "hops": [[hop.remaining_mass, len(data)] for hop, data in zip(attribution.hops, hops, strict=True)],
        "scores": scores,
        "hop_scores": b"".join(hops),
    }
    shared.flush()
    is_new = connection.scalar(_STORED, {"id": row["id"]}) is None
    if not is_new:
        forget_shares(connection, trace_id)
    insert_or_replace(connection, AttributionRow, [row])
    summaries = (
        [(attribution.target_name, summarize(stored))] if is_new else summaries_of(connection, trace_id)
    )
    add_shares(connection, trace_id, summaries)
    return str(row["id"])


def read_attributions(session: Session, step_ids: Sequence[str]) -> dict[str, list[Attribution]]:
    """Return the attributions of each step, in the order of their targets; what they share is read once."""
    rows: list[AttributionRow] = []
    for batch in batches(list(step_ids)):
        rows += session.scalars(select(AttributionRow).where(AttributionRow.step_id.in_(batch)))
    rows.sort(key=lambda row: (row.target, row.method, row.hop_count, row.id))
    tokens = TokenSequences(session, [row.ids_digest for row in rows])
    texts = read_texts(session, [row.texts_digest for row in rows])
    documents = read_documents(
        session, [row.segments_digest for row in rows] + [row.settings_digest for row in rows]
    )
    segments = {digest: _read_segments(documents[digest]) for digest in {row.segments_digest for row in rows}}
    found: dict[str, list[Attribution]] = {step_id: [] for step_id in step_ids}
    for row in rows:
        found[row.step_id].append(
            Attribution(
                input_ids=tokens.up_to(row.ids_digest).astype(np.int32),
                tokens=texts[row.texts_digest],
                target=_spans(row.target),
                through=_spans(row.through),
                scores=unpack_scores(row.scores),
                hops=_read_hops(row),
                method=row.method,
                model=row.model,
                target_name=row.target_name,
                fidelity=row.fidelity,
                segments=segments[row.segments_digest],
                settings=documents[row.settings_digest] or {},
                checked=Check.from_dict(row.checked) if row.checked else None,
            )
        )
    return found


def read_summaries(session: Session, trace_id: str) -> dict[str, list[dict[str, Any]]]:
    """Return what listings show of each step's attributions; decodes no array."""
    query = (
        select(AttributionRow.step_id, AttributionRow.target, AttributionRow.summary)
        .join(StepRow, StepRow.id == AttributionRow.step_id)
        .where(StepRow.trace_id == trace_id)
    )
    found: dict[str, list[tuple[Any, dict[str, Any]]]] = {}
    for step_id, target, summary in session.execute(query):
        found.setdefault(step_id, []).append((target, summary))
    return {
        step_id: [summary for _, summary in sorted(items, key=lambda item: (item[0], item[1]["hops"]))]
        for step_id, items in found.items()
    }


def summarize(attribution: Attribution) -> dict[str, Any]:
    """Return target, method, hops, fidelity and every segment's share above 0.00005."""
    return {
        "target": attribution.target_name or ",".join(str(span) for span in attribution.target),
        "method": attribution.method,
        "hops": attribution.asked_hops,
        "segments": [
            {"name": name, "share": round(share, 4)}
            for name, share in attribution.by_segment()
            if round(share, 4)
        ],
        "check": attribution.checked.to_dict() if attribution.checked else None,
        "fidelity": str(attribution.fidelity),
    }


def require_finite(attribution: Attribution) -> None:
    """Make sure that an attribution's shares are numbers that can be compared.

    Raises:
        StoreError: if one is not.
    """
    if not all(math.isfinite(share) for _, share in attribution.by_segment()):
        raise StoreError(
            f"The shares of the target {attribution.target_name!r} are no finite numbers: "
            "compute it with a model in bfloat16 or float32."
        )


def attribution_id(step_id: str, attribution: Attribution) -> str:
    """Return the id under which this attribution replaces an earlier one."""
    key = compact_json(
        [
            step_id,
            _pairs(attribution.target),
            _pairs(attribution.through),
            attribution.method,
            attribution.asked_hops,
        ]
    )
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def _read_segments(entries: Sequence[Sequence[Any]]) -> tuple[Segment, ...]:
    return tuple(Segment(name, Span(start, end), message) for name, start, end, message in entries)


def _read_hops(row: AttributionRow) -> tuple[Hop, ...]:
    hops: list[Hop] = []
    start = 0
    for remaining_mass, length in row.hops:
        hops.append(Hop(unpack_scores(row.hop_scores[start : start + length]), remaining_mass))
        start += length
    return tuple(hops)


def _pairs(spans: Sequence[Span]) -> list[list[int]]:
    return [[span.start, span.end] for span in spans]


def _spans(pairs: Sequence[Sequence[int]]) -> tuple[Span, ...]:
    return tuple(Span(start, end) for start, end in pairs)
