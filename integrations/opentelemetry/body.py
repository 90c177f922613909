"""A request's body: its encoding, its size, and what answers are encoded in."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

MAX_BODY = 64 * 1024 * 1024
"""Bytes of a body, decompressed."""

_CHUNK = 1024 * 1024

Encoding = Literal["protobuf", "json"]
_TYPES: dict[str, Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}


@dataclass(frozen=True, slots=True)
class RefusedError(Exception):
    """A request that is not taken; `message` says in one sentence what to do."""

    status: int
    message: str


def encoding_of(content_type: str) -> Encoding:
    """Return the encoding a Content-Type names; parameters such as ``charset`` are ignored.

    Raises:
        RefusedError: 415 for any other type.
    """
    name = content_type.partition(";")[0].strip().lower()
    if name not in _TYPES:
        raise RefusedError(
            415, f"Send application/x-protobuf or application/json, not {name or 'nothing'!r}."
        )
    return _TYPES[name]


def content_type(encoding: Encoding) -> str:
    """Return the Content-Type of an answer."""
    return next(name for name, known in _TYPES.items() if known == encoding)


def check_compression(content_encoding: str) -> bool:
    """Tell whether a Content-Encoding says gzip.

    Raises:
        RefusedError: 415 if it says anything else but ``identity``.
    """
    name = content_encoding.strip().lower()
    if name not in ("", "identity", "gzip"):
        raise RefusedError(415, f"Compress with gzip or not at all: the encoding {name!r} is not known here.")
    return name == "gzip"


def decompressed(body: bytes, limit: int = MAX_BODY) -> bytes:
    """Return the content of gzip data, never holding more than `limit` bytes of it.

    Raises:
        RefusedError: 413 if there is more, 400 if the data is damaged.
    """
    pieces: list[bytes] = []
    size = 0
    rest = body
    try:
        while rest:  # gzip data may consist of several members
            stream = zlib.decompressobj(wbits=31)
            while not stream.eof:
                piece = stream.decompress(rest, _CHUNK)
                rest = stream.unconsumed_tail
                size += len(piece)
                if size > limit:
                    raise too_large(limit)
                pieces.append(piece)
                if not piece and not rest and not stream.eof:
                    raise RefusedError(400, "The gzip data ends before its end: send the body again.")
            rest = stream.unused_data
    except zlib.error as error:
        raise RefusedError(400, "The body is not the gzip data its Content-Encoding says.") from error
    return b"".join(pieces)


def too_large(limit: int = MAX_BODY) -> RefusedError:
    """Return the refusal of a body over the limit."""
    return RefusedError(
        413, f"A request holds at most {limit // 2**20} MiB, decompressed: send smaller batches."
    )


def answered(encoding: Encoding, kind: type[Message], rejected: int, reason: str) -> bytes:
    """Return the answer to a request that was taken; empty where nothing of it was rejected.

    Args:
        encoding: the request's.
        kind: ``ExportTraceServiceResponse`` or ``ExportLogsServiceResponse``.
        rejected: how many spans or log records were not taken.
        reason: why.
    """
    answer: Any = kind()
    if rejected:
        counted = answer.partial_success.DESCRIPTOR.fields_by_number[1].name  # rejected_spans, …_log_records
        setattr(answer.partial_success, counted, rejected)
        answer.partial_success.error_message = reason
    if encoding == "json":
        return str(MessageToJson(answer, indent=None)).encode()
    return bytes(answer.SerializeToString())


def refused(encoding: Encoding, message: str) -> bytes:
    """Return the answer to a request that was not taken: a ``google.rpc.Status`` with the message."""
    if encoding == "json":
        return json.dumps({"message": message}).encode()
    text = message.encode()
    size, prefix = len(text), b"\x12"  # field 2, a string; the package with that message is not needed for it
    while size >= 0x80:
        prefix += bytes([size & 0x7F | 0x80])
        size >>= 7
    return prefix + bytes([size]) + text
