"""Which LangChain run belongs under which: kept on the agent's threads, so it is always right.

The parent of a run is the run whose id LangChain names, never whatever happens to be active on
the thread: one handler serves parallel agents. The tree is kept apart from the queue of events,
so that an event dropped because the queue is full never changes anybody's parent.

Runs that never end (a killed task, a framework that forgets a callback) leave whole, root and
all: those of a trace in which nothing has happened for too long, and, where there are too many
runs, those of the trace in which nothing has happened the longest.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from flashtrace_agent.trace import utc_now

RunKind = Literal["chain", "model", "tool"]

MAX_OPEN_RUNS = 100_000
"""Runs remembered at once."""

MAX_IDLE_S = 24 * 3600.0
"""A trace in which nothing has happened for so many seconds is given up."""

ENDED_KEPT = 1000
"""Ended runs of an open trace that are remembered, for children that start late."""


@dataclass(slots=True, eq=False)
class Run:
    """One LangChain run.

    Attributes:
        name, tags, metadata: as the start callback gave them.
        parent: the run that started it; None for the root, which is a trace.
        depth: number of ancestors.
        dropped: True where its step was given up, and with it all that happens inside.
        closed: for a root, True once its trace is finished and forgotten.
        lost: for a root, how many steps of the trace were given up.
        lost_calls: for a root, ids of calls whose model step was given up.
    """

    id: UUID
    kind: RunKind
    name: str
    parent: Run | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    started_at: datetime = field(default_factory=utc_now)
    depth: int = field(init=False)
    ended: bool = False
    dropped: bool = field(init=False)
    closed: bool = False
    lost: int = 0
    lost_calls: set[str] = field(default_factory=set)
    _root: Run | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        parent = self.parent
        self._root = None if parent is None else parent.root  # no circle: memory is freed at once
        self.depth = 0 if parent is None else parent.depth + 1
        self.dropped = parent is not None and parent.dropped

    @property
    def root(self) -> Run:
        """The run at the top, itself where it has no parent."""
        return self._root or self

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


def run_name(
    kind: RunKind, described: Mapping[str, Any], metadata: Mapping[str, Any], given: str | None
) -> str:
    """Return a run's name: as given, else the graph node of a model, else the class or tool.

    Args:
        kind: of the run.
        described: LangChain's description of what runs.
        metadata: of the run.
        given: the name the start callback gave, if any.
    """
    if given:
        return given
    if kind == "model" and metadata.get("langgraph_node"):
        return str(metadata["langgraph_node"])
    path = described.get("id") or [kind]
    return str(described.get("name") or path[-1])


@dataclass(slots=True)
class _Tree:
    """The runs of one trace that are remembered."""

    root: Run
    touched: float
    open: set[UUID] = field(default_factory=set)
    ended: deque[UUID] = field(default_factory=deque)


class RunTree:
    """The open runs of one handler, from any number of threads.

    Args:
        limit: runs remembered at once.
        max_idle: seconds without a start or an end after which a trace is given up.
    """

    def __init__(self, limit: int = MAX_OPEN_RUNS, max_idle: float = MAX_IDLE_S) -> None:
        self._limit = limit
        self._max_idle = max_idle
        self.clear()

    def __len__(self) -> int:
        return len(self._runs)

    def clear(self) -> None:
        """Forget everything, the lock included: in a forked child nobody is left to release it."""
        self._lock = threading.Lock()
        self._runs: dict[UUID, Run] = {}
        self._trees: OrderedDict[UUID, _Tree] = OrderedDict()  # the longest untouched first

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
            if parent is None:
                self._trees[run_id] = _Tree(run, time.monotonic())
            self._runs[run_id] = run
            self._touch(run).open.add(run_id)
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
            tree = self._touch(run)
            tree.open.discard(run_id)
            tree.ended.append(run_id)
            keep = 0 if run.root.ended else ENDED_KEPT
            while len(tree.ended) > keep:
                self._runs.pop(tree.ended.popleft(), None)
            if run.root.ended and not tree.open:
                del self._trees[run.root.id]
            return run

    def is_open_root(self, run_id: UUID | None) -> bool:
        """Tell whether an id is that of a root run that has not ended."""
        run = self._runs.get(run_id) if run_id is not None else None
        return run is not None and run.parent is None and not run.ended

    def give_up(self, *, everything: bool = False) -> list[tuple[Run, timedelta]]:
        """Forget traces that were idle too long or are too many.

        Returns the roots that had not ended, each with how long ago the last thing happened.
        """
        given_up: list[tuple[Run, timedelta]] = []
        now = time.monotonic()
        with self._lock:
            while self._trees:
                tree = next(iter(self._trees.values()))
                is_old = tree.touched <= now - self._max_idle
                if not (everything or is_old or len(self._runs) > self._limit):
                    break
                for run_id in (*tree.open, *tree.ended):
                    self._runs.pop(run_id, None)
                del self._trees[tree.root.id]
                if not tree.root.ended:
                    given_up.append((tree.root, timedelta(seconds=now - tree.touched)))
        return given_up

    def _touch(self, run: Run) -> _Tree:
        tree = self._trees[run.root.id]
        tree.touched = time.monotonic()
        self._trees.move_to_end(run.root.id)
        return tree
