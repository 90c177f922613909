"""What is asked for: jobs as they enter the queue."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from sqlalchemy import Connection

from flashtrace_agent.defaults import DEFAULT_METHOD
from flashtrace_agent.trace import utc_now

from .column_types import compact_json
from .schema import JobRow
from .steps import require_steps
from .upsert import insert_new


class JobOptions(TypedDict, total=False):
    """How an attribution is wanted, if not as usual.

    Attributes:
        method: a registered method.
        hops: hops of the recursion.
        priority: higher ones are taken first.
        max_attempts: how often it is tried.
        check: whether the results are to be checked as well (`flashtrace_agent.check`).
    """

    method: str
    hops: int
    priority: int
    max_attempts: int
    check: bool


def write_job_rows(
    connection: Connection,
    step_ids: Sequence[str],
    targets: Sequence[str] | None = None,
    *,
    method: str = DEFAULT_METHOD,
    hops: int = 1,
    priority: int = 0,
    max_attempts: int = 5,
    check: bool = False,
    review: Mapping[str, Any] | None = None,
) -> list[str]:
    """Queue the attribution of stored steps, inside a write transaction; see `JobQueue.enqueue_steps`."""
    require_steps(connection, step_ids, "write the step before queueing it")
    now = utc_now()
    rows = [
        {
            "id": job_id(step_id, targets, method=method, hops=hops, check=check, review=review),
            "step_id": step_id,
            "targets": None if targets is None else sorted(set(targets)),
            "method": method,
            "hop_count": hops,
            "wants_check": check,
            "review": None if review is None else dict(review),
            "priority": priority,
            "status": "queued",
            "attempts": 0,
            "max_attempts": max_attempts,
            "created_at": now,
            "due_at": now,
        }
        for step_id in step_ids
    ]
    insert_new(connection, JobRow, rows)
    return [str(row["id"]) for row in rows]


def job_id(
    step_id: str,
    targets: Sequence[str] | None = None,
    *,
    method: str = DEFAULT_METHOD,
    hops: int = 1,
    check: bool = False,
    review: Mapping[str, Any] | None = None,
) -> str:
    """Return the id of the job that a request is: the same request is the same job.

    A review's is the same whatever step of it stands for it.
    """
    wanted = None if targets is None else sorted(set(targets))
    more = [*(["check"] if check else []), *([dict(review)] if review is not None else [])]
    key = compact_json(["" if review is not None else step_id, wanted, method, hops, *more])
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
