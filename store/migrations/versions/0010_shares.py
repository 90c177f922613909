"""Keep beside each trace how much its attributions draw on each segment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flashtrace_agent.store.shares import add_shares, attributed_traces, summaries_of

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and fill it from the attributions that are there."""
    op.create_table(
        "trace_shares",
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column(
            "trace_id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("least", sa.Double(), nullable=False),
        sa.Column("most", sa.Double(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("segment", "target", "trace_id", name="pk_trace_shares"),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    for trace_id in list(attributed_traces(connection)):
        add_shares(connection, trace_id, summaries_of(connection, trace_id))
