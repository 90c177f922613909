"""Stores as they are on a bad day."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from flashtrace_agent.trace import Step, Trace


class Broken:
    """A store that cannot write."""

    def __init__(self) -> None:
        self.closed = False

    def write_trace(self, trace: Trace) -> None:
        raise OSError("disk full")

    def write_step(self, step: Step) -> None:
        raise OSError("disk full")

    def write_together(self, traces: Sequence[Trace], steps: Sequence[Step], **jobs: Any) -> None:
        raise OSError("disk full")

    def close(self) -> None:
        self.closed = True


class Slow(Broken):
    """A store that waits for a signal before each write."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.began = threading.Event()
        self.written: list[Any] = []

    def write_together(self, traces: Sequence[Trace], steps: Sequence[Step], **jobs: Any) -> None:
        self.began.set()
        self.go.wait(120)
        self.written += [*traces, *steps]

    def traces(self) -> list[Trace]:
        """Return each trace as it was written last, with its steps."""
        found = {item.id: item for item in self.written if isinstance(item, Trace)}
        steps = {item.id: item for item in self.written if isinstance(item, Step)}
        for trace in found.values():
            trace.steps = [step for step in steps.values() if step.trace_id == trace.id]
        return list(found.values())
