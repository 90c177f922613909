"""Token ids and token texts as chains of links of 256."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from flashtrace_agent.errors import StoreError

from .arrays import pack_ids, unpack_ids
from .chains import follow, read_links
from .column_types import compact_json
from .schema import TextChunkRow, TokenChunkRow
from .shared_rows import SharedRows

LINK_LENGTH = 256
"""Tokens per link: short enough that a step's own last link costs little, long enough to compress."""


def check_ids(ids: Sequence[int] | npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return token ids (n_tokens,) that can be stored.

    Raises:
        StoreError: if one is negative or over 32 bits.
    """
    try:
        array = np.asarray(ids, dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise StoreError(f"Token ids must be whole numbers, which these are not ({error}).") from error
    if array.size and (array.min() < 0 or array.max() >= 1 << 32):
        raise StoreError("Token ids must lie between 0 and 2**32: check what recorded them.")
    return array


def write_ids(shared: SharedRows, ids: Sequence[int] | npt.NDArray[np.int32]) -> str | None:
    """Ask for token ids and return the digest of the last link; None for no ids.

    Raises:
        StoreError: if an id is negative or over 32 bits.
    """
    array = check_ids(ids)
    if not array.size:
        return None
    links = [array[start : start + LINK_LENGTH].astype("<u4") for start in range(0, array.size, LINK_LENGTH)]
    digests = _chain_digests([link.tobytes() for link in links], b"ids")
    shared.need_chain(TokenChunkRow, digests, lambda i: {"data": pack_ids(links[i])})
    return digests[-1]


def write_texts(shared: SharedRows, texts: Sequence[str]) -> str | None:
    """Ask for token texts and return the digest of the last link; None for no texts."""
    links = [
        compact_json(list(texts[start : start + LINK_LENGTH])).encode()
        for start in range(0, len(texts), LINK_LENGTH)
    ]
    digests = _chain_digests(links, b"texts")
    shared.need_chain(TextChunkRow, digests, lambda i: {"data": zlib.compress(links[i], 6)})
    return digests[-1] if digests else None


class TokenSequences:
    """Token ids of several steps, each link decoded once."""

    def __init__(self, session: Session, heads: Sequence[str | None]) -> None:
        self._links = read_links(session, TokenChunkRow, heads)
        self._ids = {digest: unpack_ids(link.data) for digest, link in self._links.items()}

    def up_to(self, head: str | None) -> npt.NDArray[np.uint32]:
        """Return the ids (n_tokens,) of the sequence that ends in `head`."""
        parts = [self._ids[link.digest] for link in follow(self._links, head)]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint32)


def read_texts(session: Session, heads: Sequence[str | None]) -> dict[str | None, tuple[str, ...]]:
    """Return the token texts of each sequence, by the digest it ends in."""
    links = read_links(session, TextChunkRow, heads)
    try:
        texts = {digest: json.loads(zlib.decompress(link.data)) for digest, link in links.items()}
    except (zlib.error, ValueError) as error:
        raise StoreError("Token texts in the store are damaged: restore the store from a backup.") from error
    return {
        head: tuple(text for link in follow(links, head) for text in texts[link.digest])
        for head in set(heads)
    }


def _chain_digests(links: Sequence[bytes], kind: bytes) -> list[str]:
    digests: list[str] = []
    parent = b""
    for link in links:
        parent = hashlib.blake2b(parent + link, digest_size=16, person=kind).digest()
        digests.append(parent.hex())
    return digests
