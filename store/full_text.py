"""Full-text search over messages.

Each message has a number, and its words are indexed under that number: on SQLite in an FTS5 table
that keeps neither the text nor positions, on PostgreSQL in a `tsvector` with a GIN index. A
message stands for its place in a conversation, so the traces that hold it are found by walking
down the chain to the steps that continue it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    union,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from .chains import batches
from .schema import MessageNumberRow, MessageRow, StepRow
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
    "postgresql": text("DELETE FROM message_words WHERE id = :id AND :words IS NOT NULL"),
}

_NUMBERS = select(MessageNumberRow.id, MessageNumberRow.digest).where(
    MessageNumberRow.digest.in_(bindparam("digests", expanding=True))
)


def index_messages(connection: Connection, bodies: Mapping[str, Mapping[str, Any]]) -> None:
    """Make new messages findable, inside a write transaction.

    Args:
        connection: where the messages were just inserted.
        bodies: by digest, as `Message.to_dict` gives them.
    """
    if not bodies:
        return
    insert_new(connection, MessageNumberRow, [{"digest": digest} for digest in bodies])
    rows: list[dict[str, Any]] = []
    for batch in batches(list(bodies)):
        for number, digest in connection.execute(_NUMBERS, {"digests": batch}):
            rows.append({"id": number, "words": " ".join(message_words(bodies[digest]))})
    rows.sort(key=lambda row: row["id"])  # FTS5 takes ascending numbers fastest
    connection.execute(_ADD[connection.dialect.name], rows)


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
        connection.execute(delete(MessageNumberRow).where(MessageNumberRow.digest.in_(digests)))


def traces_with_words(words: Sequence[str], dialect: str) -> Select[str]:
    """Return the query for the ids of traces with a message that holds all of `words`."""
    if dialect == "postgresql":
        wanted = " & ".join(f"'{word}'" for word in words)  # letters and digits only, see `words_of`
        numbers = select(_INDEX.c.id).where(column("words").op("@@")(cast(wanted, TSQUERY)))
    else:
        wanted = " ".join(f'"{word}"' for word in words)
        numbers = select(_INDEX.c.rowid).where(_INDEX.c[INDEX_TABLE].op("MATCH")(wanted))
    held = select(MessageNumberRow.digest).where(MessageNumberRow.id.in_(numbers)).cte(recursive=True)
    held = held.union(select(MessageRow.digest).join(held, MessageRow.parent == held.c.digest))
    digests = select(held.c.digest)
    by_input = select(StepRow.trace_id).where(StepRow.input_digest.in_(digests))
    by_output = select(StepRow.trace_id).where(StepRow.output_digest.in_(digests))
    either = union(by_input, by_output).subquery()
    return select(either.c.trace_id)
