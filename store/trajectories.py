"""Trajectories to rows and back."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from flashtrace_agent.trajectory import Trajectory

from .column_types import compact_json
from .schema import StepRow, TrajectoryRow
from .steps import require_steps
from .upsert import insert_or_replace


def write_trajectory_row(connection: Connection, trajectory: Trajectory) -> str:
    """Store a trajectory, inside a write transaction, and return its id.

    Raises:
        StoreError: if the step of its target is not stored.
    """
    require_steps(connection, [trajectory.step_id], "write the step before its trajectories")
    row = {
        "id": trajectory_id(trajectory),
        "step_id": trajectory.step_id,
        "target_name": trajectory.target_name,
        "method": trajectory.method,
        "hop_count": trajectory.hops,
        "model": trajectory.model,
        "data": trajectory.to_dict(),
    }
    insert_or_replace(connection, TrajectoryRow, [row])
    return str(row["id"])


def read_trajectories(session: Session, trace_id: str) -> list[Trajectory]:
    """Return the trajectories of a trace, in the order of their steps and targets' names."""
    query = (
        select(TrajectoryRow.data)
        .join(StepRow, StepRow.id == TrajectoryRow.step_id)
        .where(StepRow.trace_id == trace_id)
        .order_by(StepRow.started_at, StepRow.id, TrajectoryRow.target_name, TrajectoryRow.id)
    )
    return [Trajectory.from_dict(data) for data in session.scalars(query)]


def trajectory_id(trajectory: Trajectory) -> str:
    """Return the id under which this trajectory replaces an earlier one."""
    key = compact_json([trajectory.step_id, trajectory.target_name, trajectory.method, trajectory.hops])
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
