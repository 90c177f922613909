"""How many values a request holds, before any of them is made an object.

Sixty megabytes of empty attributes or of nested brackets are no larger than a body may be, and would
take gigabytes once decoded. Counting is a walk over the wire format, which allocates nothing; it is
spared for bodies too short to hold too many.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import islice
from typing import Any

from .otlp import BadRequestError

MAX_VALUES = 2_000_000
"""Values of a body: fields of protobuf's messages, or commas and brackets of JSON. Decoded they take at
most half a gigabyte; a batch of 512 spans with 40 attributes each has a twentieth."""

_TOO_MANY = "The body holds too many values: send smaller batches."
_DAMAGED = "The body is no OTLP protobuf message: it is damaged, cut short or in another encoding."
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VALUE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[,\[{]', re.DOTALL)
"""A text, or what stands before any other value but the first."""


def check_protobuf(body: bytes, message: Any, limit: int = MAX_VALUES) -> None:
    """Refuse a message with more than `limit` fields, at whatever depth.

    Args:
        body: the message as it was sent.
        message: its descriptor, which tells which fields are messages.
        limit: fields it may have.

    Raises:
        BadRequestError: if there are more, or the body is no message.
    """
    if len(body) <= 2 * limit:  # a field has a tag and at least a byte
        return
    left = limit
    waiting = [(0, len(body), _nested(message))]
    try:
        while waiting:
            at, end, nested = waiting.pop()
            while at < end:
                left -= 1
                if left < 0:
                    raise BadRequestError(_TOO_MANY)
                tag = body[at]
                at += 1
                if tag >= 0x80:
                    tag, at = _varint(body, at - 1)
                kind = tag & 7
                if kind == _BYTES:
                    size = body[at]
                    at += 1
                    if size >= 0x80:
                        size, at = _varint(body, at - 1)
                    inner = nested.get(tag >> 3)
                    if inner is not None and size:
                        waiting.append((at, min(at + size, end), _nested(inner)))
                    at += size
                elif kind == _VARINT:
                    _, at = _varint(body, at)
                elif kind == _FIXED64:
                    at += 8
                elif kind == _FIXED32:
                    at += 4
                else:
                    raise BadRequestError(_DAMAGED)  # a group, which OTLP has none of
    except IndexError as error:
        raise BadRequestError(_DAMAGED) from error


def check_json(body: bytes, limit: int = MAX_VALUES) -> None:
    """Refuse JSON with more than `limit` values, whatever its texts hold.

    Raises:
        BadRequestError: if there are more.
    """
    if body.count(b",") + body.count(b"[") + body.count(b"{") <= limit:  # an upper bound, found at once
        return
    if next(islice(_VALUE.finditer(body), limit, None), None) is not None:
        raise BadRequestError(_TOO_MANY)


@cache
def _nested(message: Any) -> dict[int, Any]:
    """Return the descriptors of a message's fields that are messages, by number."""
    return {field.number: field.message_type for field in message.fields if field.message_type is not None}


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and the place after it."""
    byte = body[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = body[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
        if shift > 63:
            raise BadRequestError(_DAMAGED)
