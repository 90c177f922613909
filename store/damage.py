"""What reading raises where a store holds something that was not written there."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from flashtrace_agent.errors import FlashTraceError, StoreError

UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@contextmanager
def damage_explained(shown: str) -> Iterator[None]:
    """Turn what reading a damaged row raises into a StoreError of one sentence.

    Args:
        shown: how the message names the store.
    """
    try:
        yield
    except FlashTraceError:
        raise
    except UNREADABLE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise StoreError(
            f"The store {shown} holds something that cannot be read ({reason}): "
            "run `flashtrace-agent db check` to see what is damaged."
        ) from error
