"""Let a job ask for a check of its results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; jobs that wait ask for none."""
    op.add_column("jobs", sa.Column("wants_check", sa.Boolean(), nullable=False, server_default=sa.false()))
