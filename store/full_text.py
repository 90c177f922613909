"""Full-text search over messages.

Each message has a number, and its words are indexed under that number: on SQLite in an FTS5 table
that keeps neither the text nor positions, on PostgreSQL in a `tsvector` with a GIN index. Messages
are shared, so a table says which traces hold which; walking the chains from a message down to the
steps that continue it took 700 ms for a common word in 20,000 steps, this takes 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    column,
    delete,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from .chains import batches
from .schema import MessageNumberRow, MessageRow, MessageTraceRow
from .upsert import insert_new
from .words import message_words

INDEX_TABLE = "message_words"
"""Made by a migration and not described in `schema`: each database has its own kind."""

_INDEX = table(INDEX_TABLE, column("rowid", Integer), column(INDEX_TABLE, Text), column("id", Integer))
_ADD = {
    "sqlite": text("INSERT INTO message_words (rowid, words) VALUES (:id, :words)"),
    "postgresql": text(
        "INSERT INTO message_words (id, words) VALUES (:id, array_to_tsvector(string_to_array(:words, ' '))) "
        "ON CONFLICT DO NOTHING"
    ),
}
# FTS5 keeps no text here, so it must be told which words go.
_REMOVE = {
    "sqlite": text("INSERT INTO message_words (message_words, rowid, words) VALUES ('delete', :id, :words)"),
    "postgresql": text("DELETE FROM message_words WHERE id = :id"),
}
_CLEAR = {
    "sqlite": text("INSERT INTO message_words (message_words) VALUES ('delete-all')"),
    "postgresql": text("DELETE FROM message_words"),
}
_PAGE = 1000

_NUMBERS = select(MessageNumberRow.id, MessageNumberRow.digest).where(
    MessageNumberRow.digest.in_(bindparam("digests", expanding=True))
)


def index_messages(connection: Connection, bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Make new messages findable, inside a write transaction, and return their numbers by digest.

    Args:
        connection: where the messages were just inserted.
        bodies: by digest, as `Message.to_dict` gives them.
    """
    if not bodies:
        return {}
    insert_new(connection, MessageNumberRow, [{"digest": digest} for digest in bodies])
    numbers = _numbers(connection, list(bodies))
    ascending = sorted((number, digest) for digest, number in numbers.items())
    add_words(connection, [(number, bodies[digest]) for number, digest in ascending])
    return numbers


def add_words(connection: Connection, messages: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Index the words of messages under their numbers, which ascend: FTS5 takes them fastest so."""
    rows = [{"id": number, "words": " ".join(message_words(body))} for number, body in messages]
    connection.execute(_ADD[connection.dialect.name], rows)


def rebuild_index(connection: Connection, tick: Callable[[int], None] = lambda messages: None) -> None:
    """Index the words of every message anew, inside a write transaction.

    Args:
        connection: where all messages have their numbers.
        tick: told of how many more messages are indexed.
    """
    connection.execute(_CLEAR[connection.dialect.name])
    query = (
        select(MessageNumberRow.id, MessageRow.body)
        .join(MessageRow, MessageRow.digest == MessageNumberRow.digest)
        .order_by(MessageNumberRow.id)
        .limit(_PAGE)
    )
    last = 0
    while page := connection.execute(query.where(MessageNumberRow.id > last)).all():
        add_words(connection, [(row.id, row.body) for row in page])
        last = page[-1].id
        tick(len(page))


def link_traces(
    connection: Connection, links: Iterable[tuple[str, str]], known: Mapping[str, int] = MappingProxyType({})
) -> None:
    """Note which traces hold which messages, inside a write transaction.

    Args:
        connection: where the messages are stored.
        links: pairs of a message's digest and a trace's id.
        known: numbers of messages that need not be looked up.
    """
    pairs = list(links)
    numbers = {**known, **_numbers(connection, list({digest for digest, _ in pairs} - known.keys()))}
    rows = [{"message_id": numbers[digest], "trace_id": trace_id} for digest, trace_id in pairs]
    insert_new(connection, MessageTraceRow, rows)


def unlink_trace(connection: Connection, trace_id: str, digests: Iterable[str]) -> None:
    """Let search find a trace by these messages no more, inside a write transaction."""
    for batch in batches(sorted(digests)):
        numbers = select(MessageNumberRow.id).where(MessageNumberRow.digest.in_(batch))
        of_trace = (MessageTraceRow.trace_id == trace_id, MessageTraceRow.message_id.in_(numbers))
        connection.execute(delete(MessageTraceRow).where(*of_trace))


def forget_messages(connection: Connection, digests: Sequence[str]) -> None:
    """Take messages out of the index, inside a write transaction, before they are deleted."""
    query = (
        select(MessageNumberRow.id, MessageRow.body)
        .join(MessageRow, MessageRow.digest == MessageNumberRow.digest)
        .where(MessageNumberRow.digest.in_(digests))
    )
    rows = [
        {"id": number, "words": " ".join(message_words(body))} for number, body in connection.execute(query)
    ]
    if rows:
        connection.execute(_REMOVE[connection.dialect.name], rows)
        gone = [row["id"] for row in rows]
        connection.execute(delete(MessageTraceRow).where(MessageTraceRow.message_id.in_(gone)))
        connection.execute(delete(MessageNumberRow).where(MessageNumberRow.digest.in_(digests)))


def traces_with_words(words: Sequence[str], dialect: str) -> Select[str]:
    """Return the query for the ids of traces with a message that holds all of `words`."""
    return messages_with_words(words, dialect).with_only_columns(MessageTraceRow.trace_id)


def messages_with_words(words: Sequence[str], dialect: str) -> Select[str, int]:
    """Return the query for messages that hold all of `words`: trace ids and the messages' numbers."""
    if dialect == "postgresql":
        wanted = " & ".join(f"'{word}'" for word in words)  # letters and digits only, see `words_of`
        number, matches = _INDEX.c.id, column("words").op("@@")(cast(wanted, TSQUERY))
    else:
        wanted = " ".join(f'"{word}"' for word in words)
        number, matches = _INDEX.c.rowid, _INDEX.c[INDEX_TABLE].op("MATCH")(wanted)
    # A join, because SQLite gathers what an IN finds first: that took half as long again.
    query = select(MessageTraceRow.trace_id, MessageTraceRow.message_id)
    return query.join(_INDEX, number == MessageTraceRow.message_id).where(matches)


def _numbers(connection: Connection, digests: Sequence[str]) -> dict[str, int]:
    return {
        digest: number
        for batch in batches(digests)
        for number, digest in connection.execute(_NUMBERS, {"digests": batch})
    }
