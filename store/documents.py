"""JSON values that many rows share, stored once under their digest."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from flashtrace_agent.errors import StoreError

from .chains import batches
from .column_types import compact_json
from .schema import DocumentRow
from .shared_rows import SharedRows

Kind = Literal["tools", "settings", "segments"]


def write_document(shared: SharedRows, kind: Kind, value: Any) -> str | None:
    """Ask for `value` and return its digest; None for an empty value."""
    if not value:
        return None
    content = compact_json(value).encode()
    digest = hashlib.blake2b(content, digest_size=16, person=kind.encode()).hexdigest()
    shared.need_document(digest, lambda: {"kind": kind, "data": zlib.compress(content, 6)})
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
