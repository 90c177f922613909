"""Create the first tables.

Column types are spelled out and not taken from `schema`, because a migration must keep meaning
what it meant.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create traces, steps, attributions and the shared rows they refer to."""
    op.create_table(
        "documents",
        _digest("digest"),
        _text("kind"),
        _bytes("data"),
        sa.PrimaryKeyConstraint("digest", name="pk_documents"),
    )
    contents: dict[str, list[sa.Column[Any]]] = {
        "messages": [_digest("identity"), _text("body")],
        "token_chunks": [_bytes("data")],
        "text_chunks": [_bytes("data")],
    }
    for name, columns in contents.items():
        op.create_table(
            name,
            _digest("digest"),
            _digest("parent", nullable=True),
            *columns,
            sa.ForeignKeyConstraint(["parent"], [f"{name}.digest"], name=f"fk_{name}_parent"),
            sa.PrimaryKeyConstraint("digest", name=f"pk_{name}"),
        )
        _index(name, "parent")
    op.create_table(
        "traces",
        _id("id"),
        _text("name"),
        _time("started_at"),
        _time("ended_at", nullable=True),
        _text("status"),
        _text("session", nullable=True),
        _text("prompt_version", nullable=True),
        _text("error", nullable=True),
        _text("extra", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_traces"),
    )
    _index("traces", "status", "id")
    _index("traces", "session", "id")
    op.create_table(
        "trace_tags",
        _id("trace_id"),
        _number("position"),
        _text("tag"),
        _reference("trace_tags", "trace_id", "traces.id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("trace_id", "position", name="pk_trace_tags"),
    )
    _index("trace_tags", "tag", "trace_id")
    op.create_table(
        "steps",
        _id("id"),
        _id("trace_id"),
        _text("kind"),
        _text("name"),
        _time("started_at"),
        _time("ended_at", nullable=True),
        _id("parent_id", nullable=True),
        _text("status"),
        _number("tokens", nullable=True),
        _text("model", nullable=True),
        _text("fidelity", nullable=True),
        _text("fidelity_reason"),
        _text("finish_reason", nullable=True),
        _text("tool_call_id", nullable=True),
        _number("prompt_length", nullable=True),
        _number("completion_length", nullable=True),
        _digest("input_digest", nullable=True),
        _digest("output_digest", nullable=True),
        _digest("tokens_digest", nullable=True),
        _digest("tools_digest", nullable=True),
        _digest("settings_digest", nullable=True),
        _text("usage", nullable=True),
        _text("error", nullable=True),
        _text("arguments", nullable=True),
        _text("result", nullable=True),
        _reference("steps", "trace_id", "traces.id", ondelete="CASCADE"),
        _reference("steps", "input_digest", "messages.digest"),
        _reference("steps", "output_digest", "messages.digest"),
        _reference("steps", "tokens_digest", "token_chunks.digest"),
        _reference("steps", "tools_digest", "documents.digest"),
        _reference("steps", "settings_digest", "documents.digest"),
        sa.PrimaryKeyConstraint("id", name="pk_steps"),
    )
    _index("steps", "trace_id", "started_at", "id")
    for shared in ("input_digest", "output_digest", "tokens_digest", "tools_digest", "settings_digest"):
        _index("steps", shared)
    op.create_table(
        "attributions",
        _id("id"),
        _id("step_id"),
        _text("target_name"),
        _text("method"),
        _number("hop_count"),
        _text("model"),
        _text("fidelity"),
        _text("target"),
        _text("through"),
        _digest("ids_digest", nullable=True),
        _digest("texts_digest", nullable=True),
        _digest("segments_digest", nullable=True),
        _digest("settings_digest", nullable=True),
        _text("summary"),
        _text("hops"),
        _bytes("scores"),
        _bytes("hop_scores"),
        _reference("attributions", "step_id", "steps.id", ondelete="CASCADE"),
        _reference("attributions", "ids_digest", "token_chunks.digest"),
        _reference("attributions", "texts_digest", "text_chunks.digest"),
        _reference("attributions", "segments_digest", "documents.digest"),
        _reference("attributions", "settings_digest", "documents.digest"),
        sa.PrimaryKeyConstraint("id", name="pk_attributions"),
    )
    for shared in ("step_id", "ids_digest", "texts_digest", "segments_digest", "settings_digest"):
        _index("attributions", shared)


def _id(name: str, *, nullable: bool = False) -> sa.Column[str]:
    kind = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _digest(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _reference(table: str, column: str, target: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", ondelete=ondelete)


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
