"""Search the messages of traces for words, and show where they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from .chains import batches
from .full_text import messages_with_words
from .schema import MessageNumberRow, MessageRow, MessageTraceRow, TraceRow
from .words import message_parts, word_places

SNIPPET = 160
"""Characters of a snippet, about."""

SHOWN = 3
"""Messages of a trace that a search shows; the others are counted."""


@dataclass(frozen=True, slots=True)
class Match:
    """A message that holds all the words, and a piece of it where most of them stand.

    Attributes:
        role: the message's.
        part: ``content``, ``reasoning`` or ``tool_call``.
        snippet: the piece, with an ellipsis where it was cut.
        highlights: where the words stand in the snippet, as pairs of start and end.
    """

    role: str
    part: str
    snippet: str
    highlights: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Found:
    """A trace with matching messages; `more` of them are not shown."""

    trace_id: str
    name: str
    status: str
    started_at: datetime
    matches: list[Match]
    more: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {**asdict(self), "started_at": self.started_at.isoformat()}


def search_messages(
    session: Session,
    words: Sequence[str],
    dialect: str,
    *,
    where: ColumnElement[bool] | None,
    limit: int,
    before: str | None,
) -> list[Found]:
    """Return the newest traces with a message that holds all of `words`, newest first."""
    matching = messages_with_words(words, dialect)
    query = select(TraceRow).where(TraceRow.id.in_(matching.with_only_columns(MessageTraceRow.trace_id)))
    if where is not None:
        query = query.where(where)
    if before is not None:
        query = query.where(TraceRow.id < before)
    traces = list(session.scalars(query.order_by(TraceRow.id.desc()).limit(limit)))
    of_traces: dict[str, list[int]] = {}
    for batch in batches([trace.id for trace in traces]):
        pairs = matching.where(MessageTraceRow.trace_id.in_(batch)).order_by(MessageTraceRow.message_id)
        for trace_id, number in session.execute(pairs):
            of_traces.setdefault(trace_id, []).append(number)
    found: list[Found] = []
    for trace in traces:
        numbers = of_traces.get(trace.id, [])
        bodies = session.scalars(
            select(MessageRow.body)
            .join(MessageNumberRow, MessageNumberRow.digest == MessageRow.digest)
            .where(MessageNumberRow.id.in_(numbers[:SHOWN]))
            .order_by(MessageNumberRow.id)
        )
        matches = [_match(body, set(words)) for body in bodies]
        more = max(0, len(numbers) - SHOWN)
        found.append(Found(trace.id, trace.name, trace.status, trace.started_at, matches, more))
    return found


def _match(body: Mapping[str, Any], words: set[str]) -> Match:
    candidates = [(part, text, list(_places(text, words))) for part, text in message_parts(body)]
    part, text, places = max(candidates, key=lambda item: len({word for _, _, word in item[2]}))
    start, end = _window(text, places)
    before, after = "…" if start else "", "…" if end < len(text) else ""
    # One character for one, so that places stay where they are.
    piece = "".join(char if char.isprintable() else " " for char in text[start:end])
    shift = len(before) - start
    highlights = [(s + shift, e + shift) for s, e, _ in places if start <= s and e <= end]
    return Match(str(body.get("role", "")), part, before + piece + after, highlights)


def _places(text: str, words: set[str]) -> Iterator[tuple[int, int, str]]:
    for start, end, word in word_places(text):
        if word in words:
            yield start, end, word


def _window(text: str, places: Sequence[tuple[int, int, str]]) -> tuple[int, int]:
    """Return the piece of the text that holds the most different words, cut at spaces."""
    best, most = 0, 0
    for index, (start, _, _) in enumerate(places):
        inside = {word for s, e, word in places[index : index + 50] if e <= start + SNIPPET}
        if len(inside) > most:
            best, most = index, len(inside)
    first = places[best][0] if places else 0
    start = max(0, min(first - SNIPPET // 4, len(text) - SNIPPET))
    end = min(len(text), start + SNIPPET)
    space = text.find(" ", start, first)
    if start and space >= 0:
        start = space + 1
    space = text.rfind(" ", first, end)
    last = max((e for _, e, _ in places if e <= end), default=0)
    if end < len(text) and space >= last:
        end = space
    return start, end
