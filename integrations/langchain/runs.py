"""Which LangChain run belongs under which: kept on the agent's threads, so it is always right.

The parent of a run is the run whose id LangChain names, never whatever happens to be active on
the thread: one handler serves parallel agents. The tree is kept apart from the queue of events,
so that an event dropped because the queue is full never changes anybody's parent.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from flashtrace_agent.trace import utc_now

RunKind = Literal["chain", "model", "tool"]

MAX_OPEN_RUNS = 100_000
"""Runs remembered at once; beyond it the oldest are forgotten (agents that never ended)."""


@dataclass(slots=True, eq=False)
class Run:
    """One LangChain run.

    Attributes:
        name, tags, metadata: as the start callback gave them.
        parent: the run that started it; None for the root, which is a trace.
        depth: number of ancestors.
        closed: for a root, True once its trace is finished and forgotten.
    """

    id: UUID
    kind: RunKind
    name: str
    parent: Run | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    started_at: datetime = field(default_factory=utc_now)
    depth: int = 0
    ended: bool = False
    closed: bool = False
    descendants: list[UUID] = field(default_factory=list)

    @property
    def root(self) -> Run:
        """The run at the top, itself where it has no parent."""
        run = self
        while run.parent is not None:
            run = run.parent
        return run

    def ancestors(self) -> Iterator[Run]:
        """Yield the parent, its parent and so on up to the root."""
        run = self.parent
        while run is not None:
            yield run
            run = run.parent

    @property
    def enclosing_tool(self) -> Run | None:
        """The nearest tool run this one happens inside, None outside of any."""
        return next((run for run in self.ancestors() if run.kind == "tool"), None)

    def common_depth(self, other: Run) -> int:
        """Return the depth of the deepest run above both (or one of the two itself); -1 for none."""
        a: Run | None = self
        b: Run | None = other
        while a is not b and a is not None and b is not None:
            if a.depth >= b.depth:
                a = a.parent
            else:
                b = b.parent
        return -1 if a is None or b is None else a.depth


class RunTree:
    """The open runs of one handler, from any number of threads."""

    def __init__(self, limit: int = MAX_OPEN_RUNS) -> None:
        self._runs: dict[UUID, Run] = {}
        self._lock = threading.Lock()
        self._limit = limit

    def __len__(self) -> int:
        return len(self._runs)

    def start(
        self,
        run_id: UUID,
        parent_id: UUID | None,
        kind: RunKind,
        name: str,
        tags: Sequence[str] | None,
        metadata: Mapping[str, Any] | None,
    ) -> Run | None:
        """Add a run; one whose parent was never seen becomes a root of its own.

        Returns None for a run that is already there: LangChain tells a handler twice where it
        was passed in two ways.
        """
        with self._lock:
            if run_id in self._runs:
                return None
            parent = self._runs.get(parent_id) if parent_id is not None else None
            run = Run(run_id, kind, name, parent, tags or (), metadata or {})
            if parent is not None:
                run.depth = parent.depth + 1
                run.root.descendants.append(run_id)
            self._runs[run_id] = run
            if len(self._runs) > self._limit:
                del self._runs[next(iter(self._runs))]
            return run

    def end(self, run_id: UUID) -> Run | None:
        """Close a run and return it; None where it is unknown or already closed.

        An ended run stays findable until its root ends, for children that start late.
        """
        with self._lock:
            run = self._runs.get(run_id)
            if run is None or run.ended:
                return None
            run.ended = True
            if run.root.ended:
                self._forget(run.root)
            return run

    def _forget(self, root: Run) -> None:
        open_ids: list[UUID] = []
        for run_id in root.descendants:
            run = self._runs.get(run_id)
            if run is not None and not run.ended:
                open_ids.append(run_id)
            else:
                self._runs.pop(run_id, None)
        root.descendants = open_ids
        self._runs.pop(root.id, None)
