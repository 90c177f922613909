"""Note which traces hold which messages, so that full-text search need not walk chains."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FILL = """
INSERT INTO message_traces (message_id, trace_id)
WITH RECURSIVE held (trace_id, digest) AS (
    SELECT trace_id, input_digest FROM steps WHERE input_digest IS NOT NULL
    UNION SELECT trace_id, output_digest FROM steps WHERE output_digest IS NOT NULL
    UNION SELECT held.trace_id, messages.parent FROM held JOIN messages ON messages.digest = held.digest
    WHERE messages.parent IS NOT NULL
)
SELECT message_numbers.id, held.trace_id
FROM held JOIN message_numbers ON message_numbers.digest = held.digest
"""


def upgrade() -> None:
    """Create the table and fill it from the steps that are there."""
    op.create_table(
        "message_traces",
        sa.Column("message_id", sa.Integer(), nullable=False),
        sa.Column(
            "trace_id", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False
        ),
        sa.ForeignKeyConstraint(["message_id"], ["message_numbers.id"], name="fk_message_traces_message_id"),
        sa.PrimaryKeyConstraint("message_id", "trace_id", name="pk_message_traces"),
        sqlite_with_rowid=False,
    )
    op.execute(_FILL)
