"""Sessions are listed by their latest trace, page by page."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from flashtrace_agent.store import Store
from flashtrace_agent.trace import make_id

from .examples import make_trace


def test_sessions_page_by_their_latest_trace(store: Store) -> None:
    """Every session once, newest first, with the number of its traces."""
    first = make_trace()
    for number in range(12):
        started = first.started_at + timedelta(minutes=number)
        trace = replace(first, id=make_id(started, str(number)), started_at=started)
        trace.session = None if number == 11 else f"session {number % 4}"
        trace.name = f"run {number}"
        store.write_trace(trace)
    page, before = store.list_sessions(limit=3)
    assert [(one.session, one.traces, one.latest_name) for one in page] == [
        ("session 2", 3, "run 10"),
        ("session 1", 3, "run 9"),
        ("session 0", 3, "run 8"),
    ]
    assert before is not None
    rest, end = store.list_sessions(limit=3, before=before)
    assert [(one.session, one.traces) for one in rest] == [("session 3", 2)]
    assert end is None
    found, _ = store.list_sessions(where="name = 'run 1'")
    assert [(one.session, one.traces) for one in found] == [("session 1", 1)]
