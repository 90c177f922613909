"""Index what filters ask for, and the words of messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flashtrace_agent.store.full_text import index_messages
from flashtrace_agent.store.schema import MessageRow

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BATCH = 2000


def upgrade() -> None:
    """Create the indexes and the full-text index, and put the messages that are there into it."""
    connection = op.get_bind()
    op.create_table(
        "message_numbers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["messages.digest"], name="fk_message_numbers_digest"),
        sa.UniqueConstraint("digest", name="uq_message_numbers_digest"),
        sa.PrimaryKeyConstraint("id", name="pk_message_numbers"),
    )
    if connection.dialect.name == "postgresql":
        op.execute("CREATE TABLE message_words (id INTEGER PRIMARY KEY, words TSVECTOR NOT NULL)")
        op.execute("CREATE INDEX ix_message_words_words ON message_words USING gin (words)")
    else:
        # Neither the text (it is in messages) nor positions: about a third of the text's size.
        op.execute(
            "CREATE VIRTUAL TABLE message_words USING fts5"
            "(words, content='', detail='none', columnsize=0, tokenize='unicode61')"
        )
    columns = ["trace_id", "kind", "name", "model", "fidelity", "tokens"]
    op.create_index(f"ix_steps_{'_'.join(columns)}", "steps", columns)
    has_error = sa.text("error IS NOT NULL")
    op.create_index(
        "ix_steps_errors", "steps", ["trace_id"], sqlite_where=has_error, postgresql_where=has_error
    )
    messages = sa.select(MessageRow.digest, MessageRow.body).order_by(MessageRow.digest).limit(_BATCH)
    page = {row.digest: row.body for row in connection.execute(messages)}
    while page:
        index_messages(connection, page)
        following = messages.where(MessageRow.digest > max(page))
        page = {row.digest: row.body for row in connection.execute(following)}
