"""Captures kept from generation, so that text written in this process needs no second forward.

While a model generates, it computes all that attribution reads. Whoever generates may keep that
here, under the exact token ids; the attributor looks here before it runs the model. A byte budget
bounds what is kept, the oldest going first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .capture import Capture

DEFAULT_BUDGET = 512 << 20
"""Bytes of captures kept per model unless set otherwise: about ten steps of the default model."""


class KeptCaptures:
    """A model's captures by the token ids they belong to; safe to use from several threads."""

    def __init__(self, budget: int = DEFAULT_BUDGET) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self._captures: OrderedDict[bytes, tuple[Capture, int]] = OrderedDict()

    def set_budget(self, budget: int) -> None:
        """Keep at most `budget` bytes from now on."""
        with self._lock:
            self._budget = budget
            self._evict()

    def put(self, ids: Sequence[int], capture: Capture) -> None:
        """Keep a capture of `ids`; one larger than the whole budget is let go at once."""
        with self._lock:
            self._captures[_key(ids)] = (capture, capture.n_bytes)
            self._evict()

    def get(self, ids: Sequence[int]) -> Capture | None:
        """Return the capture of exactly these ids, or None."""
        with self._lock:
            found = self._captures.get(_key(ids))
            return found[0] if found else None

    def clear(self) -> None:
        """Free all memory."""
        with self._lock:
            self._captures.clear()

    def _evict(self) -> None:
        total = sum(size for _, size in self._captures.values())
        while total > self._budget:
            _, (_, size) = self._captures.popitem(last=False)
            total -= size


_kept: WeakKeyDictionary[Any, KeptCaptures] = WeakKeyDictionary()
_guard = threading.Lock()


def kept_captures(model: Any) -> KeptCaptures:
    """Return the captures kept for a model object, the same ones for every caller."""
    with _guard:
        if model not in _kept:
            _kept[model] = KeptCaptures()
        return _kept[model]


def _key(ids: Sequence[int]) -> bytes:
    return np.asarray(ids, dtype=np.int32).tobytes()
