"""JSON values that many rows share, stored once under their digest."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.orm import Session

from flashtrace_agent.errors import StoreError

from .chains import batches
from .column_types import compact_json
from .schema import DocumentRow
from .upsert import insert_new

Kind = Literal["tools", "settings", "segments"]

_KIND = select(DocumentRow.kind).where(DocumentRow.digest == bindparam("digest"))


def write_document(connection: Connection, kind: Kind, value: Any) -> str | None:
    """Store `value` and return its digest; None for an empty value."""
    if not value:
        return None
    content = compact_json(value).encode()
    digest = hashlib.blake2b(content, digest_size=16, person=kind.encode()).hexdigest()
    if connection.scalar(_KIND, {"digest": digest}) is None:
        row = {"digest": digest, "kind": kind, "data": zlib.compress(content, 6)}
        insert_new(connection, DocumentRow, [row])
    return digest


def read_documents(session: Session, digests: Iterable[str | None]) -> dict[str | None, Any]:
    """Return the values by digest; None maps to an empty list.

    Raises:
        StoreError: if a document is damaged.
    """
    values: dict[str | None, Any] = {None: []}
    for batch in batches(sorted({digest for digest in digests if digest is not None})):
        query = select(DocumentRow.digest, DocumentRow.data).where(DocumentRow.digest.in_(batch))
        for digest, data in session.execute(query):
            try:
                values[digest] = json.loads(zlib.decompress(data))
            except (zlib.error, ValueError) as error:
                raise StoreError(
                    f"The entry {digest} in the store is damaged: restore the store from a backup."
                ) from error
    return values
