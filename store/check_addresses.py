"""Check content-addressed rows, which carry their own proof: the address follows from the content."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Text, select
from sqlalchemy import type_coerce as coerce
from sqlalchemy.orm import Session, aliased

from flashtrace_agent.message import Message

from .arrays import unpack_ids
from .check_lengths import Lengths
from .check_rows import Problem, Tick, problems_by_row
from .check_words import ExpectedWords
from .messages import storage_digest
from .schema import DocumentRow, MessageNumberRow, MessageRow, TextChunkRow, TokenChunkRow
from .token_chains import LINK_LENGTH


def message_problems(session: Session, words: ExpectedWords, tick: Tick) -> Iterator[Problem]:
    """Yield messages that are not under their address, or not known to search; tell `words` of all."""
    parent = aliased(MessageRow)
    query = (
        select(
            MessageRow.digest,
            MessageRow.identity,
            coerce(MessageRow.body, Text).label("body"),
            MessageRow.parent,
            parent.identity.label("before"),
            MessageNumberRow.id.label("number"),
        )
        .outerjoin(parent, parent.digest == MessageRow.parent)
        .outerjoin(MessageNumberRow, MessageNumberRow.digest == MessageRow.digest)
    )

    def look(row: Any) -> Iterator[Problem]:
        body = json.loads(row.body)
        message = Message.from_dict(body)
        identity = message.digest(row.before or "")
        words.expect(row.number, body)
        if row.parent is not None and row.before is None:
            yield Problem("messages", row.digest, f"the message before it, {row.parent}, is not there")
        elif identity != row.identity:
            what = f"its content has the identity {identity}, not {row.identity}"
            yield Problem("messages", row.digest, what)
        elif storage_digest(message, identity, row.parent, row.before) != row.digest:
            yield Problem("messages", row.digest, "its content belongs to another address")
        if row.number is None:
            yield Problem("messages", row.digest, "full-text search does not know it")

    yield from problems_by_row(session, query, MessageRow.digest, look, tick)
    words.is_complete = True


def document_problems(session: Session, tick: Tick) -> Iterator[Problem]:
    """Yield documents that are not under their address."""

    def look(row: Any) -> Iterator[Problem]:
        content = zlib.decompress(row.data)
        json.loads(content)
        found = hashlib.blake2b(content, digest_size=16, person=row.kind.encode()[:16]).hexdigest()
        if found != row.digest:
            yield Problem("documents", row.digest, "its content belongs to another address")

    query = select(DocumentRow.digest, DocumentRow.kind, DocumentRow.data)
    return problems_by_row(session, query, DocumentRow.digest, look, tick)


def chunk_problems(
    session: Session,
    row_type: type[TokenChunkRow] | type[TextChunkRow],
    lengths: Lengths,
    tick: Tick,
) -> Iterator[Problem]:
    """Yield links of token chains that are not under their address; tell `lengths` of all."""
    table = row_type.__tablename__
    parents: set[str] = set()
    full: set[str] = set()

    def look(row: Any) -> Iterator[Problem]:
        if row_type is TokenChunkRow:
            ids = unpack_ids(row.data)
            content, count, kind = ids.astype("<u4").tobytes(), len(ids), b"ids"
        else:
            content, kind = zlib.decompress(row.data), b"texts"
            count = len(json.loads(content))
        before = bytes.fromhex(row.parent or "")
        if hashlib.blake2b(before + content, digest_size=16, person=kind).hexdigest() != row.digest:
            yield Problem(table, row.digest, "its content belongs to another address")
        if not 0 < count <= LINK_LENGTH:
            yield Problem(table, row.digest, f"it holds {count} tokens, not 1 to {LINK_LENGTH}")
        lengths.add(row.digest, row.parent, count)
        if count == LINK_LENGTH:
            full.add(row.digest)
        if row.parent is not None:
            parents.add(row.parent)

    query = select(row_type.digest, row_type.parent, row_type.data)
    yield from problems_by_row(session, query, row_type.digest, look, tick)
    for parent in sorted(parents - full):
        yield Problem(table, parent, "tokens follow it though it is damaged, not full or not there")
