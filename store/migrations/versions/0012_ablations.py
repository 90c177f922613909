"""Keep what steps did without lines of their prompts, and let a job ask for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the column; jobs that wait ask for none."""
    identifier = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    op.create_table(
        "ablations",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("step_id", identifier, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["steps.id"], name="fk_ablations_step_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", "step_id", name="pk_ablations"),
    )
    op.create_index("ix_ablations_step_id", "ablations", ["step_id"])
    op.create_index("ix_ablations_key", "ablations", ["key"])
    op.add_column("jobs", sa.Column("review", sa.Text(), nullable=True))
