"""Verify a store: every hash, every length, every reference, and say what is wrong where.

Content-addressed rows carry their own proof: the address of a row is recomputed from its content
and its parent's address. Lengths that rows state are compared with what they refer to. References
are the database's foreign keys; SQLite is asked to check those and its own pages too.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator

from sqlalchemy import Text, func, select
from sqlalchemy import type_coerce as coerce
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, aliased

from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import Message

from .arrays import unpack_ids, unpack_scores
from .check_references import reference_problems
from .check_rows import Problem, one_sentence, rows_by_key
from .check_values import CHECKED_BY_VALUE, value_problems
from .check_words import ExpectedWords
from .damage import UNREADABLE
from .messages import storage_digest
from .schema import (
    AttributionRow,
    Base,
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

_DAMAGE = (*UNREADABLE, StoreError)

Tick = Callable[[int], None]
"""Called with how many more rows are checked; rows of some tables are looked at several times."""


def find_problems(session: Session, tick: Tick) -> Iterator[Problem]:
    """Yield everything that is wrong, table by table; what cannot be read is said and gone round."""
    lengths = _Lengths()
    words = ExpectedWords(session)
    checks: list[tuple[str, Iterator[Problem]]] = [
        *((name, value_problems(session, name, tick)) for name in CHECKED_BY_VALUE),
        ("messages", _message_problems(session, words, tick)),
        ("message_words", words.problems()),
        ("documents", _document_problems(session, tick)),
        ("token_chunks", _chunk_problems(session, TokenChunkRow, b"ids", lengths, tick)),
        ("text_chunks", _chunk_problems(session, TextChunkRow, b"texts", lengths, tick)),
        ("steps", _step_problems(session, lengths, tick)),
        ("attributions", _attribution_problems(session, lengths, tick)),
        ("references", reference_problems(session)),
        ("traces", _summary_problems(session)),
    ]
    if session.get_bind().dialect.name == "sqlite":
        checks.insert(0, ("file", _sqlite_problems(session)))
    for table, problems in checks:
        try:
            yield from problems
        except (DBAPIError, *_DAMAGE) as error:
            session.rollback()
            yield Problem(table, "", f"it cannot be read to its end ({one_sentence(error)})")


def count_checked(session: Session) -> int:
    """Return how many rows `find_problems` will tick."""
    names = [
        *CHECKED_BY_VALUE,
        "messages",
        "documents",
        "token_chunks",
        "text_chunks",
        "steps",
        "attributions",
    ]
    counts = (select(func.count()).select_from(Base.metadata.tables[name]) for name in names)
    return sum(session.scalar(count) or 0 for count in counts)


class _Lengths:
    """How many tokens the chain up to each link holds."""

    def __init__(self) -> None:
        self._links: dict[str, tuple[str | None, int]] = {}

    def add(self, digest: str, parent: str | None, length: int) -> None:
        self._links[digest] = (parent, length)

    def up_to(self, digest: str | None) -> int | None:
        total = seen = 0
        while digest is not None:
            seen += 1
            if digest not in self._links or seen > len(self._links):  # a damaged chain may be a circle
                return None
            digest, length = self._links[digest]
            total += length
        return total


def _summary_problems(session: Session) -> Iterator[Problem]:
    for trace_id in wrong_totals(session.connection()):
        yield Problem("traces", trace_id, "what is stated of its steps does not follow from them")
    for trace_id in wrong_shares(session.connection()):
        yield Problem("traces", trace_id, "its shares do not follow from its attributions")


def _sqlite_problems(session: Session) -> Iterator[Problem]:
    connection = session.connection()
    for (what,) in connection.exec_driver_sql("PRAGMA integrity_check"):
        if what != "ok":
            yield Problem("file", "", "; ".join(str(what).splitlines()))
    for table, row, target, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield Problem(table, f"row {row}", f"refers to a row of {target} that is not there")


def _message_problems(session: Session, words: ExpectedWords, tick: Tick) -> Iterator[Problem]:
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
    for row in rows_by_key(session, query, MessageRow.digest, tick):
        if isinstance(row, Problem):
            yield row
            continue
        try:
            body = json.loads(row.body)
            message = Message.from_dict(body)
            identity = message.digest(row.before or "")
            words.expect(row.number, body)
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
    words.is_complete = True


def _document_problems(session: Session, tick: Tick) -> Iterator[Problem]:
    query = select(DocumentRow.digest, DocumentRow.kind, DocumentRow.data)
    for row in rows_by_key(session, query, DocumentRow.digest, tick):
        if isinstance(row, Problem):
            yield row
            continue
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
    session: Session,
    row_type: type[TokenChunkRow] | type[TextChunkRow],
    kind: bytes,
    lengths: _Lengths,
    tick: Tick,
) -> Iterator[Problem]:
    table = row_type.__tablename__
    parents: list[str] = []
    full: set[str] = set()
    query = select(row_type.digest, row_type.parent, row_type.data)
    for row in rows_by_key(session, query, row_type.digest, tick):
        if isinstance(row, Problem):
            yield row
            continue
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


def _step_problems(session: Session, lengths: _Lengths, tick: Tick) -> Iterator[Problem]:
    columns = (StepRow.id, StepRow.tokens_digest, StepRow.prompt_length, StepRow.completion_length)
    for row in rows_by_key(session, select(*columns), StepRow.id, tick):
        if isinstance(row, Problem):
            yield row
            continue
        stated = (row.prompt_length or 0) + (row.completion_length or 0)
        found = lengths.up_to(row.tokens_digest)
        if found is not None and found != stated:
            yield Problem("steps", row.id, f"it states {stated} token ids, but {found} are stored")


def _attribution_problems(session: Session, lengths: _Lengths, tick: Tick) -> Iterator[Problem]:
    columns = (
        AttributionRow.id,
        AttributionRow.ids_digest,
        AttributionRow.texts_digest,
        coerce(AttributionRow.hops, Text).label("hops"),
        AttributionRow.scores,
        AttributionRow.hop_scores,
    )
    for row in rows_by_key(session, select(*columns), AttributionRow.id, tick):
        if isinstance(row, Problem):
            yield row
            continue
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
