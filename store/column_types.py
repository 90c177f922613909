"""Column types that read back exactly what was written, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Dialect, LargeBinary, String, Text
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_LONGEST_NAME = 1200
"""Bytes of a name that count. PostgreSQL refuses index entries over 2,704; one holds two names and an id."""

Id = String().with_variant(String(collation="C"), "postgresql")
"""An id. Byte order on PostgreSQL too, so that prefixes are ranges and pages follow time."""


def compact_json(value: Any) -> str:
    """Return `value` as JSON without spaces, storable in any UTF-8 text column.

    What JSON does not know is written as its `str`: a trace with an odd setting is worth more
    than no trace.
    """
    text = _ENCODER.encode(value)
    if _UNSTORABLE.search(text):  # a lone surrogate, as models write in broken escapes
        return json.dumps(value, separators=(",", ":"), default=str)
    return text


def storable(text: str) -> str:
    """Return `text` with the characters no database stores in text (NUL, lone surrogates) replaced."""
    return _UNSTORABLE.sub("�", text)


def indexable(text: str) -> str:
    """Return `text` as `Name` stores it: storable, and cut where indexes end."""
    text = storable(text)
    if len(text) <= _LONGEST_NAME // 4:
        return text
    return text.encode()[:_LONGEST_NAME].decode(errors="ignore")


class UtcTime(TypeDecorator[datetime]):
    """An aware time as whole microseconds since 1970 in UTC: exact, sortable, 8 bytes."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Return the microseconds.

        Raises:
            ValueError: if the time has no time zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone: give times in UTC, as datetime.now(UTC) does.")
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Return the time in UTC."""
        return None if value is None else _EPOCH + value * _MICROSECOND


class Digest(TypeDecorator[str]):
    """A hex digest, kept as its bytes."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        """Return the digest's bytes."""
        return None if value is None else bytes.fromhex(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], str | None]:
        """Return what gives the digest in hex."""
        return lambda value: None if value is None else _bytes(value).hex()


class Blob(TypeDecorator[bytes]):
    """Bytes. In a damaged file a number may stand there, of which Python would make as many zeros."""

    impl = LargeBinary
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], bytes | None]:
        """Return what refuses all but bytes."""
        return lambda value: None if value is None else _bytes(value)


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes | memoryview):
        raise ValueError(f"{type(value).__name__} where bytes belong")
    return bytes(value)


class Json(TypeDecorator[Any]):
    """Any JSON value as text; None is SQL's NULL.

    Text and not the database's JSON type, because PostgreSQL's refuses NUL characters and NaN,
    and a tool's result may hold either.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Return the JSON text."""
        return None if value is None else compact_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Return the value."""
        return None if value is None else json.loads(value)


class Label(TypeDecorator[str]):
    """A short text that filters compare: a name, a session, a tag.

    Characters no database stores in text (NUL, lone surrogates) become U+FFFD, since a model
    may write them in a tool's name.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text with unstorable characters replaced."""
        return None if value is None else storable(value)


class Name(Label):
    """A label that is indexed; longer ones are cut, as the name of a tool that a model made up may be."""

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text as it is stored."""
        return None if value is None else indexable(value)
