"""The store: what everything else calls to keep and to read traces."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.orm import Session

from flashtrace_agent.annotation import Annotation
from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import StoreError
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Step, Trace, make_id, utc_now
from flashtrace_agent.trajectory import Trajectory

from .ablations import read_ablations, write_ablation_rows
from .annotations import delete_annotation_row, read_annotations, read_scores, write_annotation_rows
from .attributed import AttributedStep, read_attributed_steps
from .attributions import read_attributions, read_summaries, write_attribution_row
from .damage import damage_explained
from .database import explained_errors, shown_url
from .job_queue import JobQueue
from .job_requests import write_job_rows
from .schema import StepRow, TraceRow
from .sessions import SessionSummary, list_session_rows
from .shared_rows import SharedRows
from .steps import read_steps
from .summary import TraceSummary
from .traces import (
    count_versions,
    list_trace_rows,
    neighbour_ids,
    read_trace,
    resolve_id,
    write_trace_rows,
)
from .trajectories import read_trajectories, write_trajectory_row
from .upkeep import Upkeep
from .whole_trace import WholeTrace, read_whole_trace, write_whole_traces
from .workers import Workers
from .writing import write_steps

if TYPE_CHECKING:
    from .search import Found

STORE_VARIABLE = "FLASHTRACE_AGENT_STORE"

_PAGE = 100
"""Traces looked up at once."""


class Store(Upkeep):
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

    def get_trajectories(self, trace_id: str) -> list[Trajectory]:
        """Return what was traced back through a trace, in the order of the targets' steps."""
        with self._read() as reading:
            return read_trajectories(reading, trace_id)

    def write_ablation(self, key: str, steps: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what steps did without some lines, by step id; see `flashtrace_agent.review.proofs`.

        Raises:
            StoreError: if one of the steps is not stored.
        """
        with self._write() as connection:
            write_ablation_rows(connection, key, steps)

    def ablations(self, key: str) -> list[dict[str, Mapping[str, Any]]]:
        """Return what is kept under a key, each by step id, the largest first; nothing that lost a step."""
        with self._read() as reading:
            return read_ablations(reading, key)

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

    def annotations(self, trace_id: str) -> list[Annotation]:
        """Return what is said about a trace, its steps and their spans, oldest first."""
        with self._read() as reading:
            return read_annotations(reading, [trace_id])

    def scores(self, trace_ids: Sequence[str]) -> dict[str, float]:
        """Return the latest score given to each trace as a whole; nothing for those without one."""
        with self._read() as reading:
            return read_scores(reading, trace_ids)

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
        return JobQueue(self._write, self._write_shared, self._read, self._engine.dialect.name)

    @property
    def workers(self) -> Workers:
        """The workers that are running."""
        return Workers(self._write, self._read)

    def mark_incomplete(self, trace_id: str, reason: str = "") -> None:
        """State that a run was cut off: it and its steps without an end become ``incomplete``.

        Args:
            trace_id: the full id.
            reason: recorded as their error where one is given.
        """
        values: dict[str, Any] = {"status": "incomplete"}
        if reason:
            values["error"] = reason
        with self._write() as connection:
            unfinished = (StepRow.trace_id == trace_id, StepRow.ended_at.is_(None))
            connection.execute(update(StepRow).where(*unfinished).values(**values))
            header = update(TraceRow).where(TraceRow.id == trace_id)
            connection.execute(header.values(ended_at=utc_now(), **values))

    def list_traces(
        self,
        *,
        limit: int = 50,
        before: str | None = None,
        status: str | None = None,
        session: str | None = None,
        where: str | None = None,
    ) -> list[TraceSummary]:
        """Return traces, newest first.

        Args:
            limit: at most this many.
            before: only older ones than the trace with this id: the last id of the page before.
            status: only ``ok``, ``error`` or ``incomplete`` ones.
            session: only those of this session.
            where: only those a filter finds, as in ``tool = 'get_weather' and since 7d``.

        Raises:
            FilterError: if the filter cannot be understood; the message shows where.
        """
        with self._read() as reading:
            return list_trace_rows(
                reading,
                limit=limit,
                before=before,
                status=status,
                session_name=session,
                where=self._condition(where),
            )

    def search(
        self, text: str, *, where: str | None = None, limit: int = 20, before: str | None = None
    ) -> list[Found]:
        """Return the newest traces with a message that holds all the words of `text`, and where.

        Args:
            text: words, in any order and any case.
            where: only traces this filter finds.
            limit: at most so many traces.
            before: only older ones than the trace with this id: the last id of the page before.

        Raises:
            StoreError: if there is no word in `text`.
            FilterError: if the filter cannot be understood.
        """
        from .search import search_messages
        from .words import words_of

        words = words_of(text)
        if not words:
            raise StoreError(f"There is no word to look for in {text!r}; give some, as in 'red sofas'.")
        condition = self._condition(where)
        with self._read() as reading:
            dialect = self._engine.dialect.name
            return search_messages(reading, words, dialect, where=condition, limit=limit, before=before)

    def list_sessions(
        self, *, limit: int = 50, before: str | None = None, where: str | None = None
    ) -> tuple[list[SessionSummary], str | None]:
        """Return sessions, that with the latest trace first, and the `before` of the page after.

        Args:
            limit: at most this many.
            before: from the page before; None for the first page.
            where: count only traces a filter finds.

        Raises:
            FilterError: if the filter cannot be understood; the message shows where.
        """
        with self._read() as reading:
            return list_session_rows(reading, limit=limit, before=before, where=self._condition(where))

    def get_trace(self, id_or_prefix: str) -> Trace:
        """Return a trace with its steps in order of time.

        Raises:
            StoreError: if no trace or several have an id that begins so.
        """
        with self._read() as reading:
            return read_trace(reading, resolve_id(reading, TraceRow, id_or_prefix))

    def whole_traces(self, where: str | None = None) -> Iterator[WholeTrace]:
        """Yield the traces a filter finds with all that belongs to them, newest first.

        Each is read in one transaction; one that is deleted meanwhile is left out.

        Raises:
            FilterError: if the filter cannot be understood.
        """
        before = None
        while page := self.list_traces(where=where, limit=_PAGE, before=before):
            for summary in page:
                with self._read() as reading:
                    is_there = reading.get(TraceRow, summary.id) is not None
                    whole = read_whole_trace(reading, summary.id) if is_there else None
                if whole is not None:
                    yield whole
            before = page[-1].id

    def count_traces(self, where: str | None = None) -> int:
        """Return how many traces a filter finds; without one, how many there are.

        Raises:
            FilterError: if the filter cannot be understood.
        """
        query = select(func.count()).select_from(TraceRow)
        condition = self._condition(where)
        with self._read() as reading:
            return reading.scalar(query if condition is None else query.where(condition)) or 0

    def prompt_versions(self) -> list[tuple[str, int]]:
        """Return the prompt versions there are with their numbers of traces, the one used last first."""
        with self._read() as reading:
            return count_versions(reading)

    def neighbours(self, trace_id: str) -> tuple[str | None, str | None]:
        """Return the ids of the next newer and the next older trace; None where there is none."""
        with self._read() as reading:
            return neighbour_ids(reading, trace_id)

    def get_step(self, id_or_prefix: str) -> Step:
        """Return one step.

        Raises:
            StoreError: if no step or several have an id that begins so.
        """
        with self._read() as reading:
            row = reading.get_one(StepRow, resolve_id(reading, StepRow, id_or_prefix))
            return read_steps(reading, [row])[0]

    def get_attributions(self, step_id: str) -> list[Attribution]:
        """Return the attributions of a step, in the order of their targets in the sequence."""
        with self._read() as reading:
            return read_attributions(reading, [step_id])[step_id]

    def attributed_steps(
        self, *, where: str | None = None, prompt_version: str | None = None, last: int | None = None
    ) -> Iterator[AttributedStep]:
        """Yield model steps with their traces' headers and their attributions, oldest first.

        All of it is read in one transaction: what is written meanwhile does not show.

        Args:
            where: only steps of traces a filter finds.
            prompt_version: only steps of traces with this version.
            last: only so many of the newest.

        Raises:
            FilterError: if the filter cannot be understood.
        """
        condition = self._condition(where)
        shown = shown_url(self.url)
        with explained_errors(self.url), damage_explained(shown), self._engine.connect() as connection:
            if self._engine.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with Session(connection) as reading:
                yield from read_attributed_steps(reading, condition, prompt_version, last)

    def attribution_summaries(self, trace_id: str) -> dict[str, list[dict[str, Any]]]:
        """Return, per step id, what listings show of its attributions; decodes no array.

        Each is ``{"target", "method", "hops", "segments": [{"name", "share"}], "check",
        "fidelity"}``, segments by share, largest first.
        """
        with self._read() as reading:
            return read_summaries(reading, trace_id)
