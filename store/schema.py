"""The tables, as typed declarative models.

Large columns come last, so that a scan over the small ones reads few pages. The first
migration is a frozen copy of what stands here; a test compares the two.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Double, ForeignKey, Index, MetaData, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from .column_types import Blob, Digest, Id, Json, Label, Name, UtcTime

OPEN_JOBS = "status IN ('queued', 'leased')"
HAS_ERROR = "error IS NOT NULL"


class Base(DeclarativeBase):
    """Common metadata; constraints get the same names on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        }
    )


class TraceRow(Base):
    """The header of one run, and what its steps amount to (see `flashtrace_agent.store.totals`)."""

    __tablename__ = "traces"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Name)
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)
    status: Mapped[str] = mapped_column(Label)
    session: Mapped[str | None] = mapped_column(Name)
    prompt_version: Mapped[str | None] = mapped_column(Name)
    error: Mapped[Any] = mapped_column(Json, nullable=True)
    extra: Mapped[Any] = mapped_column(Json, nullable=True)
    steps: Mapped[int] = mapped_column(server_default=text("0"))
    tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    fidelity: Mapped[str | None] = mapped_column(Label)

    # Each index ends in the id, so that it gives the newest of what it finds by itself.
    __table_args__ = (
        Index(None, "status", "id"),
        Index(None, "session", "id"),
        Index(None, "name", "id"),
        Index(None, "prompt_version", "id"),
        Index(None, "started_at", "id"),
        Index(None, "tokens", "id"),
        Index(None, "fidelity", "id"),
        Index("ix_traces_latency", text("(ended_at - started_at)"), "id"),
        Index("ix_traces_errors", "id", sqlite_where=text(HAS_ERROR), postgresql_where=text(HAS_ERROR)),
    )


class FacetRow(Base):
    """A tool (`field` is ``tool``) or a model (``model``) that some step of a trace used."""

    __tablename__ = "trace_facets"

    trace_id: Mapped[str] = mapped_column(Id, ForeignKey("traces.id", ondelete="CASCADE"), primary_key=True)
    field: Mapped[str] = mapped_column(Label, primary_key=True)
    value: Mapped[str] = mapped_column(Name, primary_key=True)
    first_at: Mapped[datetime] = mapped_column(UtcTime)

    __table_args__ = (Index(None, "field", "value", "trace_id"), {"sqlite_with_rowid": False})


class TagRow(Base):
    """One tag of a trace; `position` keeps their order."""

    __tablename__ = "trace_tags"

    trace_id: Mapped[str] = mapped_column(Id, ForeignKey("traces.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(Name)

    __table_args__ = (Index(None, "tag", "trace_id"),)


class MessageRow(Base):
    """A message in its place: one link of a conversation.

    `digest` covers everything including the names of the speakers, so that reading gives back
    what was written; `identity` is `Message.digest`, what a model can see. Without names in a
    conversation the two are equal.
    """

    __tablename__ = "messages"

    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    parent: Mapped[str | None] = mapped_column(Digest, ForeignKey("messages.digest"), index=True)
    identity: Mapped[str] = mapped_column(Digest)
    body: Mapped[Any] = mapped_column(Json)


class MessageNumberRow(Base):
    """The number under which the full-text index knows a message; a rowid may change, this may not."""

    __tablename__ = "message_numbers"

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(Digest, ForeignKey("messages.digest"), unique=True)


class MessageTraceRow(Base):
    """A trace that holds a message, for full-text search: one row per new message of a trace.

    `trace_id` is no foreign key, because deleting a trace finds these rows through its messages
    and so needs no index from traces, which would double the table.
    """

    __tablename__ = "message_traces"

    message_id: Mapped[int] = mapped_column(ForeignKey("message_numbers.id"), primary_key=True)
    trace_id: Mapped[str] = mapped_column(Id, primary_key=True)

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - read once by SQLAlchemy


class TokenChunkRow(Base):
    """Up to 256 token ids: one link of a token sequence. Only the last link may be shorter."""

    __tablename__ = "token_chunks"

    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    parent: Mapped[str | None] = mapped_column(Digest, ForeignKey("token_chunks.digest"), index=True)
    data: Mapped[bytes] = mapped_column(Blob)


class TextChunkRow(Base):
    """The texts of up to 256 tokens: one link, cut like a token sequence."""

    __tablename__ = "text_chunks"

    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    parent: Mapped[str | None] = mapped_column(Digest, ForeignKey("text_chunks.digest"), index=True)
    data: Mapped[bytes] = mapped_column(Blob)


class DocumentRow(Base):
    """A JSON value many rows share: ``tools``, ``settings`` or ``segments``."""

    __tablename__ = "documents"

    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    kind: Mapped[str] = mapped_column(Label)
    data: Mapped[bytes] = mapped_column(Blob)


class StepRow(Base):
    """One model call or tool call.

    `tokens` counts prompt and completion (by ids, else as reported). The token chain holds the
    prompt's ids followed by the completion's; a length is NULL where its ids are unknown.
    `parent_id` is no foreign key: a child may be recorded before its parent ends.
    """

    __tablename__ = "steps"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    trace_id: Mapped[str] = mapped_column(Id, ForeignKey("traces.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(Label)
    name: Mapped[str] = mapped_column(Name)
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)
    parent_id: Mapped[str | None] = mapped_column(Id)
    status: Mapped[str] = mapped_column(Label)
    tokens: Mapped[int | None]
    model: Mapped[str | None] = mapped_column(Name)
    fidelity: Mapped[str | None] = mapped_column(Label)
    fidelity_reason: Mapped[str] = mapped_column(Label)
    finish_reason: Mapped[str | None] = mapped_column(Label)
    tool_call_id: Mapped[str | None] = mapped_column(Label)
    prompt_length: Mapped[int | None]
    completion_length: Mapped[int | None]
    input_digest: Mapped[str | None] = mapped_column(Digest, ForeignKey("messages.digest"), index=True)
    output_digest: Mapped[str | None] = mapped_column(Digest, ForeignKey("messages.digest"), index=True)
    tokens_digest: Mapped[str | None] = mapped_column(Digest, ForeignKey("token_chunks.digest"), index=True)
    tools_digest: Mapped[str | None] = mapped_column(Digest, ForeignKey("documents.digest"), index=True)
    settings_digest: Mapped[str | None] = mapped_column(Digest, ForeignKey("documents.digest"), index=True)
    usage: Mapped[Any] = mapped_column(Json, nullable=True)
    error: Mapped[Any] = mapped_column(Json, nullable=True)
    arguments: Mapped[Any] = mapped_column(Json, nullable=True)
    result: Mapped[Any] = mapped_column(Json, nullable=True)

    # Errors are few, so the second index is small.
    __table_args__ = (
        Index(None, "trace_id", "started_at", "id"),
        Index("ix_steps_errors", "trace_id", sqlite_where=text(HAS_ERROR), postgresql_where=text(HAS_ERROR)),
    )


class AttributionRow(Base):
    """One attribution of a step.

    `id` is a digest over step, target, through, method and hops, so writing the same again
    replaces the row. `hop_scores` holds the hops' arrays one after the other and `hops` a pair
    (remaining mass, bytes) for each; `summary` is what listings show.
    """

    __tablename__ = "attributions"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    step_id: Mapped[str] = mapped_column(Id, ForeignKey("steps.id", ondelete="CASCADE"), index=True)
    target_name: Mapped[str] = mapped_column(Label)
    method: Mapped[str] = mapped_column(Label)
    hop_count: Mapped[int]
    model: Mapped[str] = mapped_column(Label)
    fidelity: Mapped[str] = mapped_column(Label)
    target: Mapped[Any] = mapped_column(Json)
    through: Mapped[Any] = mapped_column(Json)
    ids_digest: Mapped[str | None] = mapped_column(Digest, ForeignKey("token_chunks.digest"), index=True)
    texts_digest: Mapped[str | None] = mapped_column(Digest, ForeignKey("text_chunks.digest"), index=True)
    segments_digest: Mapped[str | None] = mapped_column(Digest, ForeignKey("documents.digest"), index=True)
    settings_digest: Mapped[str | None] = mapped_column(Digest, ForeignKey("documents.digest"), index=True)
    summary: Mapped[Any] = mapped_column(Json)
    checked: Mapped[Any | None] = mapped_column(Json)
    hops: Mapped[Any] = mapped_column(Json)
    scores: Mapped[bytes] = mapped_column(Blob)
    hop_scores: Mapped[bytes] = mapped_column(Blob)


class TrajectoryRow(Base):
    """One target traced back through its run, as `Trajectory.to_dict`.

    `id` is a digest over step, target, method and hops, so writing the same again replaces it.
    """

    __tablename__ = "trajectories"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    step_id: Mapped[str] = mapped_column(Id, ForeignKey("steps.id", ondelete="CASCADE"), index=True)
    target_name: Mapped[str] = mapped_column(Label)
    method: Mapped[str] = mapped_column(Label)
    hop_count: Mapped[int]
    model: Mapped[str] = mapped_column(Label)
    data: Mapped[Any] = mapped_column(Json)


class AblationRow(Base):
    """What one step did without some lines of its prompt: a part of a proof that they may go.

    See `flashtrace_agent.review.proofs`. `key` says what was proved of which prompt, `id` also on which
    steps; `steps` is their number, so that a proof that lost one to a deletion is not taken for whole.
    """

    __tablename__ = "ablations"

    id: Mapped[str] = mapped_column(Digest, primary_key=True)
    step_id: Mapped[str] = mapped_column(
        Id, ForeignKey("steps.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    key: Mapped[str] = mapped_column(Digest, index=True)
    position: Mapped[int]
    steps: Mapped[int]
    data: Mapped[Any] = mapped_column(Json)


class ShareRow(Base):
    """How much a trace's attributions of a target draw on a segment; see `flashtrace_agent.store.shares`.

    `trace_id` is no foreign key, because deleting a trace finds these rows through its attributions
    and so needs no index from traces, which would double the table.
    """

    __tablename__ = "trace_shares"

    segment: Mapped[str] = mapped_column(Name, primary_key=True)
    target: Mapped[str] = mapped_column(Name, primary_key=True)
    trace_id: Mapped[str] = mapped_column(Id, primary_key=True)
    least: Mapped[float] = mapped_column(Double)
    most: Mapped[float] = mapped_column(Double)
    times: Mapped[int]

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - read once by SQLAlchemy


class AnnotationRow(Base):
    """What somebody says about a trace, or about a step or span of it."""

    __tablename__ = "annotations"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    trace_id: Mapped[str] = mapped_column(Id, ForeignKey("traces.id", ondelete="CASCADE"), index=True)
    step_id: Mapped[str | None] = mapped_column(Id, ForeignKey("steps.id", ondelete="CASCADE"), index=True)
    span_start: Mapped[int | None]
    span_end: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    who: Mapped[str] = mapped_column(Label)
    label: Mapped[str | None] = mapped_column(Label)
    score: Mapped[float | None] = mapped_column(Double)
    note: Mapped[str] = mapped_column(Label)

    __table_args__ = (
        Index(None, "label", "trace_id"),
        Index(None, "score", "trace_id"),
        Index(None, "who", "trace_id"),
    )


class JobRow(Base):
    """One attribution to be computed, or, where `review` says of which, the check of a review's idle lines.

    `due_at` is when the job may be taken: for a queued one after its back-off, for a leased one
    when the lease runs out. `lease` names who holds it now, so that a worker that lost its job
    cannot finish it.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    step_id: Mapped[str] = mapped_column(Id, ForeignKey("steps.id", ondelete="CASCADE"), index=True)
    targets: Mapped[Any] = mapped_column(Json, nullable=True)
    method: Mapped[str] = mapped_column(Label)
    hop_count: Mapped[int]
    wants_check: Mapped[bool] = mapped_column(server_default=false())
    review: Mapped[Any] = mapped_column(Json, nullable=True)
    priority: Mapped[int]
    status: Mapped[str] = mapped_column(Label)
    attempts: Mapped[int]
    max_attempts: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    due_at: Mapped[datetime] = mapped_column(UtcTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcTime)
    lease: Mapped[str | None] = mapped_column(Label)
    worker: Mapped[str | None] = mapped_column(Label)
    error: Mapped[Any] = mapped_column(Json, nullable=True)

    # The index holds open jobs only, in the order they are taken: taking one costs the same whatever
    # number waits or is finished. (With an index on the status alone, SQLite would take that and sort.)
    __table_args__ = (
        Index(
            "ix_jobs_open",
            text("(-priority)"),
            "due_at",
            "id",
            sqlite_where=text(OPEN_JOBS),
            postgresql_where=text(OPEN_JOBS),
        ),
        Index(
            "ix_jobs_dead",
            "finished_at",
            sqlite_where=text("status = 'dead'"),
            postgresql_where=text("status = 'dead'"),
        ),
    )


class WorkerRow(Base):
    """A running worker and when it last gave a sign of life; `id` is its name."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    seen_at: Mapped[datetime] = mapped_column(UtcTime)
