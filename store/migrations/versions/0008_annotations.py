"""Create annotations; let the queue's indexes follow how it is asked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table with its indexes, and make the queue's indexes anew."""
    identifier = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    op.create_table(
        "annotations",
        sa.Column("id", identifier, nullable=False),
        sa.Column("trace_id", identifier, nullable=False),
        sa.Column("step_id", identifier, nullable=True),
        sa.Column("span_start", sa.Integer(), nullable=True),
        sa.Column("span_end", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["trace_id"], ["traces.id"], name="fk_annotations_trace_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["step_id"], ["steps.id"], name="fk_annotations_step_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_annotations"),
    )
    for columns in (["trace_id"], ["step_id"], *([name, "trace_id"] for name in ("label", "score", "who"))):
        op.create_index(f"ix_annotations_{'_'.join(columns)}", "annotations", columns)
    is_open = sa.text("status IN ('queued', 'leased')")
    op.drop_index("ix_jobs_open", "jobs")
    op.create_index(
        "ix_jobs_open",
        "jobs",
        [sa.text("(-priority)"), "due_at", "id"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.drop_index("ix_jobs_status", "jobs")
    is_dead = sa.text("status = 'dead'")
    op.create_index("ix_jobs_dead", "jobs", ["finished_at"], sqlite_where=is_dead, postgresql_where=is_dead)
