"""The store: what everything else calls to keep traces; `Reading` and `Upkeep` hold the rest of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from flashtrace_agent.annotation import Annotation
from flashtrace_agent.attribution import Attribution
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Step, Trace, make_id, utc_now
from flashtrace_agent.trajectory import Trajectory

from .ablations import write_ablation_rows
from .annotations import delete_annotation_row, write_annotation_rows
from .attributions import write_attribution_row
from .job_queue import JobQueue
from .job_requests import write_job_rows
from .reading import Reading
from .shared_rows import SharedRows
from .traces import write_trace_rows
from .trajectories import write_trajectory_row
from .upkeep import Upkeep
from .whole_trace import WholeTrace, write_whole_traces
from .workers import Workers
from .writing import write_steps

STORE_VARIABLE = "FLASHTRACE_AGENT_STORE"


class Store(Reading, Upkeep):
    """Traces, steps and attributions in an SQL database.

    One object serves all threads of a process. Writes are acknowledged by returning: what a
    call has written survives the process. Any method raises `StoreError` with one sentence when
    the database cannot be used.

    Args:
        url: ``sqlite:///traces.db`` (relative), ``sqlite:////var/traces.db`` (absolute) or
            ``postgresql+psycopg://user@host/name``. An older store is upgraded.
        create: make a store where there is none; False to refuse, so that a mistyped path leaves
            no file behind.

    Raises:
        StoreError: if it cannot be opened, is another program's, or of a newer version.
    """

    @staticmethod
    def default_url() -> str:
        """Return the URL in ``FLASHTRACE_AGENT_STORE``, or that of a file in the user's data folder."""
        from platformdirs import user_data_dir

        configured = os.environ.get(STORE_VARIABLE)
        return configured or f"sqlite:///{Path(user_data_dir('flashtrace-agent')) / 'traces.db'}"

    def write_trace(self, trace: Trace) -> None:
        """Store the header of a trace, without its steps; an earlier one is replaced."""
        with self._write() as connection:
            write_trace_rows(connection, [trace])

    def write_step(self, step: Step) -> None:
        """Store a step; an earlier version of it is replaced.

        A step whose trace is not stored yet (children may end before their parents) gets a bare
        header, which `write_trace` completes.
        """
        self.write_steps([step])

    def write_steps(self, steps: Sequence[Step]) -> None:
        """Store steps in one transaction, all or none; see `write_step`.

        For many steps this is several times as fast as one by one: what they share is looked up
        and written together.
        """
        if steps:
            self._write_shared(lambda connection, shared: write_steps(connection, shared, steps))

    def write_together(
        self,
        traces: Sequence[Trace],
        steps: Sequence[Step],
        *,
        explain: Sequence[str] = (),
        targets: Sequence[str] | None = None,
    ) -> None:
        """Store headers and steps in one transaction, all or none; see `write_trace`, `write_steps`.

        Args:
            traces: without their steps.
            steps: of these or other traces.
            explain: ids of steps whose attribution is queued in the same transaction, so that a
                stored step is never without its job; see `JobQueue.enqueue`.
            targets: what to explain of them; None for everything they wrote.
        """

        def write(connection: Connection, shared: SharedRows) -> None:
            write_trace_rows(connection, traces)
            write_steps(connection, shared, steps)
            write_job_rows(connection, explain, targets)

        self._write_shared(write)

    def write_whole_traces(self, traces: Sequence[WholeTrace]) -> None:
        """Store traces with all that belongs to them in one transaction, all or none.

        What is stored already is replaced, except for jobs: what became of one here stands.
        """
        self._write_shared(lambda connection, shared: write_whole_traces(connection, shared, traces))

    def write_attribution(self, step_id: str, attribution: Attribution) -> str:
        """Store an attribution of a stored step and return its id.

        One with the same step, target, through, method and hops is replaced. Scores come back
        within 1/2000 of the largest score.
        """
        return self.write_attributions([(step_id, attribution)])[0]

    def write_attributions(self, items: Sequence[tuple[str, Attribution]]) -> list[str]:
        """Store attributions of stored steps in one transaction, all or none; see `write_attribution`."""
        return self._write_shared(
            lambda connection, shared: [
                write_attribution_row(connection, shared, step_id, attribution)
                for step_id, attribution in items
            ]
        )

    def write_trajectory(self, trajectory: Trajectory) -> str:
        """Store a target traced back through its run and return its id.

        One with the same step, target, method and hops is replaced.
        """
        with self._write() as connection:
            return write_trajectory_row(connection, trajectory)

    def write_ablation(self, key: str, steps: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what steps did without some lines, by step id; see `flashtrace_agent.review.proofs`.

        Raises:
            StoreError: if one of the steps is not stored.
        """
        with self._write() as connection:
            write_ablation_rows(connection, key, steps)

    def annotate(
        self,
        trace_id: str,
        *,
        who: str,
        step_id: str | None = None,
        span: Span | None = None,
        label: str | None = None,
        score: float | None = None,
        note: str = "",
    ) -> Annotation:
        """Say something about a trace, one of its steps, or a span of a step's tokens; return it.

        Raises:
            AnnotationError: if it says nothing, or something that cannot be kept.
            StoreError: if the trace or the step is not stored.
        """
        now = utc_now()
        said = Annotation(make_id(now), trace_id, now, who, step_id, span, label, score, note)
        self.write_annotations([said])
        return said

    def write_annotations(self, annotations: Sequence[Annotation]) -> None:
        """Store annotations in one transaction; those with known ids are replaced. See `annotate`."""
        with self._write() as connection:
            write_annotation_rows(connection, annotations)

    def delete_annotation(self, annotation_id: str) -> None:
        """Take an annotation back.

        Raises:
            StoreError: if there is none with this id.
        """
        with self._write() as connection:
            delete_annotation_row(connection, annotation_id)

    @property
    def jobs(self) -> JobQueue:
        """The queue of attributions to be computed."""
        return JobQueue(self._write, self._write_shared, self._read, self._condition)

    @property
    def workers(self) -> Workers:
        """The workers that are running."""
        return Workers(self._write, self._read)
