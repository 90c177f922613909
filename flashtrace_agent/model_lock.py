"""One lock per loaded model, shared by everything that runs it.

Generation and attribution may hold the same model object in one process, and attribution hooks
its modules while it runs. Both take this lock around each forward pass, so neither sees the
other half done.
"""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

_locks: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()
_guard = threading.Lock()


def model_lock(model: Any) -> threading.RLock:
    """Return the lock of a model object, the same one for every caller while the model lives."""
    with _guard:
        lock = _locks.get(model)
        if lock is None:
            lock = _locks[model] = threading.RLock()
        return lock
