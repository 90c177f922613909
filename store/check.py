"""Verify a store: every hash, every length, every reference, and say what is wrong where.

Content-addressed rows carry their own proof: the address of a row is recomputed from its content
and its parent's address. Lengths that rows state are compared with what they refer to. References
are the database's foreign keys; SQLite is asked to check those and its own pages too.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, func, select
from sqlalchemy import type_coerce as coerce
from sqlalchemy.orm import Session, aliased

from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import Message

from .arrays import unpack_ids, unpack_scores
from .messages import storage_digest
from .schema import (
    AttributionRow,
    DocumentRow,
    MessageNumberRow,
    MessageRow,
    StepRow,
    TextChunkRow,
    TokenChunkRow,
)
from .shares import wrong_shares
from .token_chains import LINK_LENGTH
from .totals import wrong_totals

_PAGE = 1000
_DAMAGE = (StoreError, zlib.error, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a store: in which table, in which row, what."""

    table: str
    row: str
    what: str

    def __str__(self) -> str:
        return f"{self.table} {self.row}: {self.what}"


def find_problems(session: Session) -> Iterator[Problem]:
    """Yield everything that is wrong, table by table."""
    if session.get_bind().dialect.name == "sqlite":
        yield from _sqlite_problems(session)
    yield from _message_problems(session)
    yield from _document_problems(session)
    lengths = _Lengths()
    for row_type, kind in ((TokenChunkRow, b"ids"), (TextChunkRow, b"texts")):
        yield from _chunk_problems(session, row_type, kind, lengths)
    yield from _step_problems(session, lengths)
    yield from _attribution_problems(session, lengths)
    for trace_id in wrong_totals(session.connection()):
        yield Problem("traces", trace_id, "what is stated of its steps does not follow from them")
    for trace_id in wrong_shares(session.connection()):
        yield Problem("traces", trace_id, "its shares do not follow from its attributions")


class _Lengths:
    """How many tokens the chain up to each link holds."""

    def __init__(self) -> None:
        self._links: dict[str, tuple[str | None, int]] = {}

    def add(self, digest: str, parent: str | None, length: int) -> None:
        self._links[digest] = (parent, length)

    def up_to(self, digest: str | None) -> int | None:
        total = 0
        while digest is not None:
            if digest not in self._links:
                return None
            digest, length = self._links[digest]
            total += length
        return total


def _sqlite_problems(session: Session) -> Iterator[Problem]:
    connection = session.connection()
    for (what,) in connection.exec_driver_sql("PRAGMA integrity_check"):
        if what != "ok":
            yield Problem("file", "", what)
    for table, row, target, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield Problem(table, f"row {row}", f"refers to a row of {target} that is not there")


def _message_problems(session: Session) -> Iterator[Problem]:
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
    for row in _pages(session, query, MessageRow.digest):
        try:
            message = Message.from_dict(json.loads(row.body))
            identity = message.digest(row.before or "")
        except _DAMAGE as error:
            yield Problem("messages", row.digest, f"its content cannot be read ({error})")
            continue
        if row.parent is not None and row.before is None:
            yield Problem("messages", row.digest, f"the message before it, {row.parent}, is not there")
        elif identity != row.identity:
            yield Problem(
                "messages", row.digest, f"its content has the identity {identity}, not {row.identity}"
            )
        elif storage_digest(message, identity, row.parent, row.before) != row.digest:
            yield Problem("messages", row.digest, "its content belongs to another address")
        if row.number is None:
            yield Problem("messages", row.digest, "full-text search does not know it")


def _document_problems(session: Session) -> Iterator[Problem]:
    query = select(DocumentRow.digest, DocumentRow.kind, DocumentRow.data)
    for row in _pages(session, query, DocumentRow.digest):
        try:
            content = zlib.decompress(row.data)
            json.loads(content)
        except _DAMAGE as error:
            yield Problem("documents", row.digest, f"its content cannot be read ({error})")
            continue
        found = hashlib.blake2b(content, digest_size=16, person=row.kind.encode()[:16]).hexdigest()
        if found != row.digest:
            yield Problem("documents", row.digest, "its content belongs to another address")


def _chunk_problems(
    session: Session, row_type: type[TokenChunkRow] | type[TextChunkRow], kind: bytes, lengths: _Lengths
) -> Iterator[Problem]:
    table = row_type.__tablename__
    parents: list[str] = []
    full: set[str] = set()
    query = select(row_type.digest, row_type.parent, row_type.data)
    for row in _pages(session, query, row_type.digest):
        try:
            if row_type is TokenChunkRow:
                ids = unpack_ids(row.data)
                content, count = ids.astype("<u4").tobytes(), len(ids)
            else:
                content = zlib.decompress(row.data)
                count = len(json.loads(content))
        except _DAMAGE as error:
            yield Problem(table, row.digest, f"its content cannot be read ({error})")
            continue
        before = bytes.fromhex(row.parent or "")
        if hashlib.blake2b(before + content, digest_size=16, person=kind).hexdigest() != row.digest:
            yield Problem(table, row.digest, "its content belongs to another address")
        if not 0 < count <= LINK_LENGTH:
            yield Problem(table, row.digest, f"it holds {count} tokens, not 1 to {LINK_LENGTH}")
        lengths.add(row.digest, row.parent, count)
        if count == LINK_LENGTH:
            full.add(row.digest)
        if row.parent is not None:
            parents.append(row.parent)
    for parent in sorted(set(parents) - full):
        yield Problem(table, parent, "tokens follow it though it is damaged, not full or not there")


def _step_problems(session: Session, lengths: _Lengths) -> Iterator[Problem]:
    columns = (StepRow.id, StepRow.tokens_digest, StepRow.prompt_length, StepRow.completion_length)
    for row in _pages(session, select(*columns), StepRow.id):
        stated = (row.prompt_length or 0) + (row.completion_length or 0)
        found = lengths.up_to(row.tokens_digest)
        if found is not None and found != stated:
            yield Problem("steps", row.id, f"it states {stated} token ids, but {found} are stored")
    last = func.coalesce(StepRow.output_digest, StepRow.input_digest)
    orphans = (
        select(StepRow.id)
        .outerjoin(MessageRow, MessageRow.digest == last)
        .where(last.is_not(None), MessageRow.digest.is_(None))
    )
    for step_id in session.scalars(orphans):
        yield Problem("steps", step_id, "its messages are not there")


def _attribution_problems(session: Session, lengths: _Lengths) -> Iterator[Problem]:
    columns = (
        AttributionRow.id,
        AttributionRow.ids_digest,
        AttributionRow.texts_digest,
        coerce(AttributionRow.hops, Text).label("hops"),
        AttributionRow.scores,
        AttributionRow.hop_scores,
    )
    for row in _pages(session, select(*columns), AttributionRow.id):
        expected = lengths.up_to(row.ids_digest)
        try:
            arrays = [row.scores]
            start = 0
            for _, size in json.loads(row.hops):
                arrays.append(row.hop_scores[start : start + size])
                start += size
            found = {len(unpack_scores(array)) for array in arrays}
        except _DAMAGE as error:
            yield Problem("attributions", row.id, f"its scores cannot be read ({error})")
            continue
        if start != len(row.hop_scores):
            yield Problem("attributions", row.id, f"its hops take {start} bytes of {len(row.hop_scores)}")
        texts = lengths.up_to(row.texts_digest)
        for what, count in [("scores", each) for each in found] + [("token texts", texts)]:
            if None not in (count, expected) and count != expected:
                yield Problem("attributions", row.id, f"it has {count} {what} for {expected} token ids")


def _pages(session: Session, query: Any, key: Any) -> Iterator[Any]:
    """Yield rows in pages by key, so that a store of any size is checked in little memory."""
    page = session.execute(query.order_by(key).limit(_PAGE)).all()
    while page:
        yield from page
        page = session.execute(query.where(key > page[-1][0]).order_by(key).limit(_PAGE)).all()
