"""Run migrations on the connection that `flashtrace_agent.store.migrate` passes in."""

from __future__ import annotations

from alembic import context

from flashtrace_agent.store.migrate import VERSION_TABLE
from flashtrace_agent.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
# The caller holds the transaction, so that a migration is stored whole or not at all.
context.run_migrations()
