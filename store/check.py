"""Verify a store: every hash, every length, every reference, and say what is wrong where.

References are the database's foreign keys; SQLite is asked to check those and its own pages too.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from .check_addresses import chunk_problems, document_problems, message_problems
from .check_lengths import Lengths, attribution_problems, step_problems
from .check_references import reference_problems
from .check_rows import DAMAGE, Problem, Tick, one_sentence
from .check_values import CHECKED_BY_VALUE, value_problems
from .check_words import ExpectedWords
from .schema import Base, TextChunkRow, TokenChunkRow
from .shares import wrong_shares
from .totals import wrong_totals


def find_problems(session: Session, tick: Tick) -> Iterator[Problem]:
    """Yield everything that is wrong, table by table; what cannot be read is said and gone round."""
    lengths = Lengths()
    words = ExpectedWords(session)
    checks: list[tuple[str, Iterator[Problem]]] = [
        *((name, value_problems(session, name, tick)) for name in CHECKED_BY_VALUE),
        ("messages", message_problems(session, words, tick)),
        ("message_words", words.problems()),
        ("documents", document_problems(session, tick)),
        ("token_chunks", chunk_problems(session, TokenChunkRow, lengths, tick)),
        ("text_chunks", chunk_problems(session, TextChunkRow, lengths, tick)),
        ("steps", step_problems(session, lengths, tick)),
        ("attributions", attribution_problems(session, lengths, tick)),
        ("references", reference_problems(session)),
        ("traces", _summary_problems(session)),
    ]
    if session.get_bind().dialect.name == "sqlite":
        checks.insert(0, ("file", _sqlite_problems(session)))
    for table, problems in checks:
        try:
            yield from problems
        except (DBAPIError, *DAMAGE) as error:
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
