"""What a store answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from flashtrace_agent.annotation import Annotation
from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import StoreError
from flashtrace_agent.trace import Step, Trace
from flashtrace_agent.trajectory import Trajectory

from .ablations import read_ablations
from .annotations import read_annotations, read_scores
from .attributed import AttributedStep, read_attributed_steps
from .attributions import read_attributions, read_summaries
from .schema import StepRow, TraceRow
from .sessions import SessionSummary, list_session_rows
from .steps import read_models, read_steps
from .summary import TraceSummary
from .traces import count_versions, list_trace_rows, neighbour_ids, read_trace, resolve_id
from .trajectories import read_trajectories
from .transactions import Transactions
from .whole_trace import WholeTrace, read_whole_trace

if TYPE_CHECKING:
    from .search import Found

_PAGE = 100
"""Traces looked up at once."""


class Reading(Transactions):
    """Lists, searches and reads what a store holds. See `Store`."""

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

    def count_traces(self, where: str | None = None) -> int:
        """Return how many traces a filter finds; without one, how many there are.

        Raises:
            FilterError: if the filter cannot be understood.
        """
        query = select(func.count()).select_from(TraceRow)
        condition = self._condition(where)
        with self._read() as reading:
            return reading.scalar(query if condition is None else query.where(condition)) or 0

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

    def prompt_versions(self) -> list[tuple[str, int]]:
        """Return the prompt versions there are with their numbers of traces, the one used last first."""
        with self._read() as reading:
            return count_versions(reading)

    def neighbours(self, trace_id: str) -> tuple[str | None, str | None]:
        """Return the ids of the next newer and the next older trace; None where there is none."""
        with self._read() as reading:
            return neighbour_ids(reading, trace_id)

    def get_trace(self, id_or_prefix: str) -> Trace:
        """Return a trace with its steps in order of time.

        Raises:
            StoreError: if no trace or several have an id that begins so.
        """
        with self._read() as reading:
            return read_trace(reading, resolve_id(reading, TraceRow, id_or_prefix))

    def get_step(self, id_or_prefix: str) -> Step:
        """Return one step.

        Raises:
            StoreError: if no step or several have an id that begins so.
        """
        with self._read() as reading:
            row = reading.get_one(StepRow, resolve_id(reading, StepRow, id_or_prefix))
            return read_steps(reading, [row])[0]

    def models_of(self, step_ids: Sequence[str]) -> dict[str, str | None]:
        """Return which model wrote each of the steps that are stored; None where that is not known."""
        with self._read() as reading:
            return read_models(reading, step_ids)

    def get_attributions(self, step_id: str) -> list[Attribution]:
        """Return the attributions of a step, in the order of their targets in the sequence."""
        with self._read() as reading:
            return read_attributions(reading, [step_id])[step_id]

    def attribution_summaries(self, trace_id: str) -> dict[str, list[dict[str, Any]]]:
        """Return, per step id, what listings show of its attributions; decodes no array.

        Each is ``{"target", "method", "hops", "segments": [{"name", "share"}], "check",
        "fidelity"}``, segments by share, largest first.
        """
        with self._read() as reading:
            return read_summaries(reading, trace_id)

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
        with self._read() as reading:
            yield from read_attributed_steps(reading, condition, prompt_version, last)

    def get_trajectories(self, trace_id: str) -> list[Trajectory]:
        """Return what was traced back through a trace, in the order of the targets' steps."""
        with self._read() as reading:
            return read_trajectories(reading, trace_id)

    def annotations(self, trace_id: str) -> list[Annotation]:
        """Return what is said about a trace, its steps and their spans, oldest first."""
        with self._read() as reading:
            return read_annotations(reading, [trace_id])

    def scores(self, trace_ids: Sequence[str]) -> dict[str, float]:
        """Return the latest score given to each trace as a whole; nothing for those without one."""
        with self._read() as reading:
            return read_scores(reading, trace_ids)

    def ablations(self, key: str) -> list[dict[str, Mapping[str, Any]]]:
        """Return what is kept under a key, each by step id, the largest first; nothing that lost a step."""
        with self._read() as reading:
            return read_ablations(reading, key)
