"""Keep beside each trace what listings show and filters ask of its steps, and index it.

The steps' own wide index goes: nothing asks the steps any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TOTALS = """
UPDATE traces SET
    steps = (SELECT count(*) FROM steps WHERE trace_id = traces.id),
    tokens = (SELECT coalesce(sum(tokens), 0) FROM steps WHERE trace_id = traces.id),
    fidelity = CASE (
        SELECT min(CASE fidelity WHEN 'approximate' THEN 0 WHEN 'rendered' THEN 1 WHEN 'exact' THEN 2 END)
        FROM steps WHERE trace_id = traces.id
    ) WHEN 0 THEN 'approximate' WHEN 1 THEN 'rendered' WHEN 2 THEN 'exact' END
"""
_FACETS = """
INSERT INTO trace_facets (trace_id, field, value, first_at)
SELECT trace_id, kind, CASE kind WHEN 'tool' THEN name ELSE model END, min(started_at)
FROM steps WHERE kind = 'tool' OR model IS NOT NULL
GROUP BY trace_id, kind, CASE kind WHEN 'tool' THEN name ELSE model END
"""


def upgrade() -> None:
    """Create columns, table and indexes, and fill them from the steps that are there."""
    identifier = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    op.add_column("traces", sa.Column("steps", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("traces", sa.Column("tokens", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.add_column("traces", sa.Column("fidelity", sa.Text(), nullable=True))
    op.create_table(
        "trace_facets",
        sa.Column("trace_id", identifier, nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["trace_id"], ["traces.id"], name="fk_trace_facets_trace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trace_id", "field", "value", name="pk_trace_facets"),
        sqlite_with_rowid=False,
    )
    op.execute(_TOTALS)
    op.execute(_FACETS)
    op.create_index("ix_trace_facets_field_value_trace_id", "trace_facets", ["field", "value", "trace_id"])
    for column in ("name", "prompt_version", "started_at", "tokens", "fidelity"):
        op.create_index(f"ix_traces_{column}_id", "traces", [column, "id"])
    op.create_index("ix_traces_latency", "traces", [sa.text("(ended_at - started_at)"), "id"])
    has_error = sa.text("error IS NOT NULL")
    op.create_index("ix_traces_errors", "traces", ["id"], sqlite_where=has_error, postgresql_where=has_error)
    op.drop_index("ix_steps_trace_id_kind_name_model_fidelity_tokens", "steps")
