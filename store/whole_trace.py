"""A trace with all that belongs to it, read in one transaction and written in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from flashtrace_agent.annotation import Annotation
from flashtrace_agent.attribution import Attribution
from flashtrace_agent.trace import Trace
from flashtrace_agent.trajectory import Trajectory

from .ablations import AblationPart, read_ablation_parts, write_ablation_parts
from .annotations import read_annotations, write_annotation_rows
from .attributions import read_attributions, write_attribution_row
from .job_list import JobState, jobs_of_trace, write_job_states
from .shared_rows import SharedRows
from .traces import read_trace, write_trace_rows
from .trajectories import read_trajectories, write_trajectory_row
from .writing import write_steps


@dataclass(slots=True)
class WholeTrace:
    """A trace with its steps, and what was found, said and is still to be computed of them.

    Attributes:
        attributions: by the step's id; a step without any may be left out.
        ablations: the parts that proofs of reviews have in its steps.
    """

    trace: Trace
    attributions: dict[str, list[Attribution]] = field(default_factory=dict)
    annotations: list[Annotation] = field(default_factory=list)
    trajectories: list[Trajectory] = field(default_factory=list)
    jobs: list[JobState] = field(default_factory=list)
    ablations: list[AblationPart] = field(default_factory=list)


def read_whole_trace(session: Session, trace_id: str) -> WholeTrace:
    """Return a trace and all that belongs to it."""
    trace = read_trace(session, trace_id)
    step_ids = [step.id for step in trace.steps]
    return WholeTrace(
        trace,
        read_attributions(session, step_ids),
        read_annotations(session, [trace_id]),
        read_trajectories(session, trace_id),
        jobs_of_trace(session, trace_id),
        read_ablation_parts(session, step_ids),
    )


def write_whole_traces(connection: Connection, shared: SharedRows, traces: Sequence[WholeTrace]) -> None:
    """Store traces and all that belongs to them, inside a write transaction.

    What is stored already is replaced, except for jobs, of which what became of them here stands, and for
    proofs of reviews, which are there or not.
    """
    write_trace_rows(connection, [each.trace for each in traces])
    write_steps(connection, shared, [step for each in traces for step in each.trace.steps])
    for each in traces:
        for step_id, attributions in each.attributions.items():
            for attribution in attributions:
                write_attribution_row(connection, shared, step_id, attribution)
        for trajectory in each.trajectories:
            write_trajectory_row(connection, trajectory)
    write_annotation_rows(connection, [said for each in traces for said in each.annotations])
    write_job_states(connection, [job for each in traces for job in each.jobs])
    write_ablation_parts(connection, [part for each in traces for part in each.ablations])
