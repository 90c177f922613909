"""The journal's events: what log records say about spans, until it is read together with them.

A span and its events come in different requests, in any order. An event is kept under its span's ids
whether the span is there or not, and a repeated one changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from .record import EventRecord, SpanEvent, SpanRecord

MAX_TRACE_EVENTS = 100_000
"""Events kept of one trace; older conventions send one for each message of each call."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY, trace TEXT NOT NULL, span TEXT NOT NULL, at INTEGER NOT NULL,
    digest BLOB NOT NULL, body BLOB NOT NULL, UNIQUE (trace, span, at, digest)
);
"""

_KNOWN = "SELECT 1 FROM events WHERE trace = ? AND span = ? AND at = ? AND digest = ?"


def add_events(db: sqlite3.Connection, trace: str, events: Sequence[EventRecord]) -> tuple[int, int]:
    """Keep the events of one trace; return how many were new, and how many too many."""
    (known,) = db.execute("SELECT count(*) FROM events WHERE trace = ?", (trace,)).fetchone()
    added = refused = 0
    for event in events:
        content = json.dumps([event.event.name, event.event.attributes], separators=(",", ":")).encode()
        digest = hashlib.blake2b(content, digest_size=16).digest()
        key = (trace, event.span_id, event.at, digest)
        if db.execute(_KNOWN, key).fetchone() is not None:
            continue
        if known + added >= MAX_TRACE_EVENTS:
            refused += 1
            continue
        db.execute(
            "INSERT INTO events (trace, span, at, digest, body) VALUES (?, ?, ?, ?, ?)",
            (*key, zlib.compress(content, 1)),
        )
        added += 1
    return added, refused


def with_events(db: sqlite3.Connection, run: str, spans: Iterable[SpanRecord]) -> list[SpanRecord]:
    """Return a run's spans, each with the events that came by themselves after its own."""
    rows = db.execute(
        "SELECT trace, span, body FROM events WHERE trace IN (SELECT trace FROM traces WHERE run = ?)"
        " ORDER BY at, number",
        (run,),
    )
    found: dict[str, list[SpanEvent]] = {}
    for trace, span, body in rows:
        name, attributes = json.loads(zlib.decompress(body))
        found.setdefault(f"{trace}/{span}", []).append(SpanEvent(name, attributes))
    return [
        replace(span, events=(*span.events, *found[span.key])) if span.key in found else span
        for span in spans
    ]
