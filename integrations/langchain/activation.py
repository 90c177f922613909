"""Record without passing callbacks: for a stretch of code, or for the whole process.

LangChain asks every registered hook for a handler when a run begins. There is one hook here; it
answers with the handler of the enclosing `record` block, else with the installed one. A handler
that the caller passes as a callback comes first: a run is recorded once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from langchain_core.tracers.context import register_configure_hook

from .handler import FlashTraceCallbackHandler

if TYPE_CHECKING:
    from flashtrace_agent.store import Store

SWITCH_VARIABLE = "FLASHTRACE_AGENT_RECORD"
"""Set to 0, false, no or off, it silences an installed handler; read whenever a run begins."""

_OFF = frozenset({"0", "false", "no", "off"})


class _Active:
    """Stands where LangChain expects a ContextVar, of which it uses `get` alone.

    A plain ContextVar would not do for the whole process: what one thread sets, a thread that was
    started otherwise does not see.
    """

    def __init__(self) -> None:
        self.block: ContextVar[FlashTraceCallbackHandler | None] = ContextVar(
            "flashtrace_agent_record", default=None
        )
        self.installed: FlashTraceCallbackHandler | None = None
        self.is_registered = False

    def get(self) -> FlashTraceCallbackHandler | None:
        """Return the handler a run that begins now is recorded by."""
        inner = self.block.get()
        if inner is not None or os.environ.get(SWITCH_VARIABLE, "").strip().lower() in _OFF:
            return inner
        return self.installed

    def register(self) -> None:
        """Tell LangChain, once."""
        if not self.is_registered:
            hook = cast("ContextVar[Any]", self)
            register_configure_hook(hook, inheritable=True, handle_class=FlashTraceCallbackHandler)
            self.is_registered = True


_active = _Active()


def install(
    store: FlashTraceCallbackHandler | Store | str | None = None, **options: Any
) -> FlashTraceCallbackHandler:
    """Record every run of this process from now on, in all threads; return the handler.

    Where one is installed already, it is returned if nothing is asked for, else replaced and
    closed. Switch recording off without touching the code by ``FLASHTRACE_AGENT_RECORD=0``.

    Args:
        store: a handler, or the store to make one for; by default the one the command line reads.
        options: what `FlashTraceCallbackHandler` takes besides.

    Raises:
        StoreError: if the store cannot be opened.
    """
    if _active.installed is not None and store is None and not options:
        return _active.installed
    handler = _handler(store, options)
    if handler is not _active.installed:
        uninstall()
    _active.register()
    _active.installed = handler
    return handler


def uninstall() -> None:
    """Write what waits, close the installed handler, and record no more; harmless where there is none."""
    handler, _active.installed = _active.installed, None
    if handler is not None:
        handler.close()


@contextmanager
def record(
    store: FlashTraceCallbackHandler | Store | str | None = None, **options: Any
) -> Iterator[FlashTraceCallbackHandler]:
    """Record the runs that begin inside a ``with`` block; on leaving, all of them are written.

    ::

        with record("sqlite:///traces.db", session="support-7"):
            agent.invoke(inputs)

    Args:
        store: a handler, which stays open afterwards, or the store to make one for; by default
            the one the command line reads.
        options: what `FlashTraceCallbackHandler` takes besides.

    Raises:
        StoreError: if the store cannot be opened.
    """
    handler = _handler(store, options)
    _active.register()
    before = _active.block.set(handler)
    try:
        yield handler
    finally:
        _active.block.reset(before)
        if handler is store:
            handler.flush()
        else:
            handler.close()


def _handler(
    store: FlashTraceCallbackHandler | Store | str | None, options: dict[str, Any]
) -> FlashTraceCallbackHandler:
    if isinstance(store, FlashTraceCallbackHandler):
        if options:
            raise TypeError("A handler has its options already: give them to FlashTraceCallbackHandler.")
        return store
    return FlashTraceCallbackHandler(store, **options)
