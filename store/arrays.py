"""Pack token ids and scores into few bytes that say what they are.

Layout: a 16-byte header (magic ``FA``, dtype character, codec, length as uint32, scale as
float64, all little-endian) and the values. Codec 1 groups the values' first bytes, then their
second bytes and so on, and deflates: high bytes of token ids and exponents of scores repeat.
Codec 0 leaves the values as they are, where that is no longer.

Measured, header included: 2.6 bytes per id on links of 256 ids drawn evenly from a vocabulary of
150,000 (text repeats itself, so takes less), 1.6 to 1.8 bytes per score on 4,000 scores.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from flashtrace_agent.errors import StoreError

_HEADER = struct.Struct("<2scBId")
_MAGIC = b"FA"
_DTYPES = {b"H": "<u2", b"I": "<u4", b"e": "<f2", b"f": "<f4"}


def pack_ids(ids: npt.NDArray[np.uint32]) -> bytes:
    """Pack token ids (n_tokens,), as uint16 where they fit."""
    small = not ids.size or int(ids.max()) < 1 << 16
    return _pack(ids, b"H" if small else b"I", 1.0)


def pack_scores(scores: npt.NDArray[Any]) -> bytes:
    """Pack scores of any shape as float16 in units of the largest magnitude.

    The error is below 1/2000 of that magnitude. Scores with NaN or infinities stay float32.
    """
    values = np.asarray(scores, dtype=np.float32).ravel()
    peak = float(np.abs(values).max()) if values.size else 0.0
    if not np.isfinite(peak):
        return _pack(values, b"f", 1.0)
    return _pack(values / np.float64(peak or 1.0), b"e", peak)


def unpack_ids(data: bytes) -> npt.NDArray[np.uint32]:
    """Undo `pack_ids`.

    Raises:
        StoreError: if the bytes are damaged.
    """
    values, _ = _unpack(data)
    return values.astype(np.uint32)


def unpack_scores(data: bytes) -> npt.NDArray[np.float32]:
    """Undo `pack_scores`; the result is float32 and flat.

    Raises:
        StoreError: if the bytes are damaged.
    """
    values, scale = _unpack(data)
    return (values.astype(np.float64) * scale).astype(np.float32)


def _pack(values: npt.NDArray[Any], code: bytes, scale: float) -> bytes:
    array = values.astype(_DTYPES[code])
    raw = array.tobytes()
    planes = array.view(np.uint8).reshape(-1, array.itemsize).T.tobytes()
    deflated = zlib.compress(planes, 6)
    codec, body = (1, deflated) if len(deflated) < len(raw) else (0, raw)
    return _HEADER.pack(_MAGIC, code, codec, array.size, scale) + body


def _unpack(data: bytes) -> tuple[npt.NDArray[Any], float]:
    try:
        magic, code, codec, length, scale = _HEADER.unpack_from(data)
        dtype = np.dtype(_DTYPES[code])
        body = data[_HEADER.size :]
        raw = zlib.decompress(body) if codec else body
    except (struct.error, KeyError, zlib.error) as error:
        raise StoreError("An array in the store is damaged: restore the store from a backup.") from error
    if magic != _MAGIC or len(raw) != length * dtype.itemsize:
        raise StoreError("An array in the store has the wrong length: restore the store from a backup.")
    if not codec:
        return np.frombuffer(raw, dtype), scale
    planes = np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, length)
    return np.ascontiguousarray(planes.T).view(dtype).ravel(), scale
