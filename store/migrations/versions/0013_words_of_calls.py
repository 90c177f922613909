"""Index the words of messages anew: in calls, the first one of each line was not found."""

from __future__ import annotations

from alembic import op

from flashtrace_agent.store.full_text import rebuild_index

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put the words of every message into the index again."""
    rebuild_index(op.get_bind())
