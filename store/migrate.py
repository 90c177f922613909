"""Bring a database to the schema of this version.

Opening a store at the current revision costs one query; Alembic is imported only to change one.
"""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection, String, column, inspect, select, table, text

from flashtrace_agent.errors import StoreError

SCHEMA_REVISION = "0013"
"""The newest migration in `migrations/versions`; a test compares the two."""

VERSION_TABLE = "flashtrace_agent_schema"
"""Our own name, so that another program's Alembic table is not taken for ours."""

_POSTGRES_LOCK = 0x466C6173685472
"""Key of the advisory lock under which one process migrates at a time."""


_ALEMBIC_LOCK = threading.Lock()
"""Alembic keeps its context in a module, so two threads must not migrate two databases at once."""


def current_revision(connection: Connection) -> str | None:
    """Return the revision a database is at; None for one with no tables.

    Raises:
        StoreError: if the tables in it are another program's.
    """
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE in tables:
        return connection.scalar(select(column("version_num", String)).select_from(table(VERSION_TABLE)))
    if tables:
        raise StoreError(
            f"This database belongs to another program (it holds a table {tables[0]!r}): "
            "choose another file or database for the store."
        )
    return None


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing, inside a write transaction.

    Raises:
        StoreError: if the database is another program's or of a newer version.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
    current = current_revision(connection)  # again: another process may have been faster
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"This store was written by a newer version (schema {current}, this one knows "
            f"{SCHEMA_REVISION}): upgrade flashtrace-agent."
        )
    config.attributes["connection"] = connection
    with _ALEMBIC_LOCK:
        command.upgrade(config, "head")
