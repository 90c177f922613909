"""Gather the attributions of one side of a comparison: a trace's, or a prompt version's."""

from __future__ import annotations

from collections.abc import Iterator

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import StoreError

from .store import Store

LATEST = 50
"""How many traces of a version are read; the latest."""


def of_trace(store: Store, id_or_prefix: str) -> list[Attribution]:
    """Return every attribution of a trace.

    Raises:
        StoreError: if there is no such trace, or nothing of it is attributed yet.
    """
    trace_id = store.get_trace(id_or_prefix).id
    found = list(_attributions(store, trace_id))
    if not found:
        raise StoreError(
            f"Nothing of trace {trace_id} is attributed yet: "
            f"run `flashtrace-agent attribute {trace_id}` first."
        )
    return found


def of_version(store: Store, version: str, latest: int = LATEST) -> list[Attribution]:
    """Return every attribution of the latest traces of a prompt version.

    Raises:
        StoreError: if no trace has this version, or none of them is attributed yet.
    """
    quoted = version.replace("'", "''")
    where = f"prompt_version = '{quoted}'"
    traces = store.list_traces(where=where, limit=latest)
    if not traces:
        known = ", ".join(name for name, _ in store.prompt_versions()[:10]) or "none"
        raise StoreError(f"No trace has the prompt version {version!r}: the store has {known}.")
    found = [one for trace in traces for one in _attributions(store, trace.id)]
    if not found:
        raise StoreError(
            f"Nothing of prompt version {version!r} is attributed yet: run "
            f'`flashtrace-agent worker --where "{where}"` first.'
        )
    return found


def _attributions(store: Store, trace_id: str) -> Iterator[Attribution]:
    for step_id in store.attribution_summaries(trace_id):
        yield from store.get_attributions(step_id)
