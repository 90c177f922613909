"""Create the table of targets traced back through whole runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of trajectories."""
    identifier = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    op.create_table(
        "trajectories",
        sa.Column("id", identifier, nullable=False),
        sa.Column("step_id", identifier, nullable=False),
        sa.Column("target_name", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("hop_count", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["step_id"], ["steps.id"], name="fk_trajectories_step_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_trajectories"),
    )
    op.create_index("ix_trajectories_step_id", "trajectories", ["step_id"])
