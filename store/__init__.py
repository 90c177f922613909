"""Keep traces, their steps and their attributions in an SQL database.

A trace is one row and each of its steps another. What a step says is not in the step's row but
in content-addressed chains: a message is stored under the digest of its role, its parts and the
message before it, and the step holds only the digest of the last message of its input. An agent
that re-sends its growing history at every step therefore adds one row per new message, and the
same words in the same place have the same address in every step. Token ids and token texts are
chains too, 256 to a link, so that steps share the prefix they have in common. Lists of tool
schemas, settings and segments are content-addressed documents, compressed and stored once.

An attribution is one row under its step. Its scores and its hops' scores are compact arrays
(float16 scaled by the maximum, compressed, with dtype and length declared in the bytes: see
`flashtrace_agent.store.arrays`), and the share of each segment is written next to them, so a
listing decodes no array. Every write is one short transaction and idempotent: recording the
same thing twice changes nothing. SQLite files are in WAL mode, so several processes may write at
once and a killed one loses nothing it was told is stored; the schema changes only by the Alembic
migrations in `migrations/`, which run when a store is opened.
"""

from .job_leases import Job
from .job_list import JobState
from .job_queue import JobQueue
from .store import Store
from .summary import TraceSummary
from .workers import Worker

__all__ = ["Job", "JobQueue", "JobState", "Store", "TraceSummary", "Worker"]
