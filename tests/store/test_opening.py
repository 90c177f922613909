"""Stores open, upgrade, or say in one sentence why not."""

from __future__ import annotations

import os
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

import flashtrace_agent.store
from flashtrace_agent.errors import StoreError
from flashtrace_agent.store import Store
from flashtrace_agent.store.full_text import INDEX_TABLE
from flashtrace_agent.store.migrate import SCHEMA_REVISION, VERSION_TABLE
from flashtrace_agent.store.schema import Base

from .examples import make_model_step, make_trace

MIGRATIONS = Path(flashtrace_agent.store.__file__).parent / "migrations"


@pytest.fixture
def store_url(sqlite_url: str) -> str:
    """Return the URL of a file that is not there yet."""
    return sqlite_url


@pytest.mark.filterwarnings("ignore:.*expression-based index")  # reflection leaves them out
def test_a_new_store_gets_its_folder_and_tables(store: Store, store_url: str) -> None:
    """The migrations make exactly the tables the models describe."""
    engine = create_engine(store_url)
    with engine.connect() as connection:
        # The full-text index is of another kind on each database, so no model describes it.
        options = {
            "version_table": VERSION_TABLE,
            "include_name": lambda name, kind, _: kind != "table" or not name.startswith(INDEX_TABLE),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == SCHEMA_REVISION
    engine.dispose()


def test_the_newest_migration_is_the_known_one() -> None:
    """The constant that saves importing Alembic is up to date."""
    assert ScriptDirectory(MIGRATIONS).get_current_head() == SCHEMA_REVISION


def test_sqlite_is_set_up_for_several_processes(store: Store, store_url: str) -> None:
    """Write-ahead log, foreign keys, a patient lock."""
    assert sqlite3.connect(store_url.removeprefix("sqlite:///")).execute(
        "PRAGMA journal_mode"
    ).fetchone() == ("wal",)
    with store._engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("foreign_keys", "busy_timeout", "synchronous")
        }
    assert values == {"foreign_keys": 1, "busy_timeout": 30_000, "synchronous": 1}


def test_opening_a_current_store_does_not_import_alembic(store: Store, store_url: str) -> None:
    """The command line opens stores all the time."""
    saved = {name: module for name, module in sys.modules.items() if name.startswith("alembic")}
    for name in saved:
        del sys.modules[name]
    try:
        Store(store_url).close()
        assert not [name for name in sys.modules if name.startswith("alembic")]
    finally:
        sys.modules.update(saved)


def test_threads_may_create_stores_at_once(tmp_path: Path) -> None:
    """Alembic by itself migrates one database at a time."""

    def create(number: int) -> int:
        with Store(f"sqlite:///{tmp_path}/{number}.db") as store:
            store.write_trace(make_trace())
            return len(store.list_traces())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(create, range(8))) == [1] * 8


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    """As `mktemp` leaves one."""
    path = tmp_path / "traces.db"
    path.touch()
    with Store(f"sqlite:///{path}") as store:
        assert store.list_traces() == []


def test_an_older_store_is_upgraded_with_its_content(store_url: str) -> None:
    """What was written before there was a full-text index is found by it."""
    trace = make_trace()
    with Store(store_url) as store:
        store.write_trace(trace)
        step = make_model_step(trace)
        store.write_step(step)
        with store._write() as connection:
            for table in (
                "ablations",
                "trajectories",
                "workers",
                "annotations",
                "trace_shares",
                "trace_facets",
                "jobs",
                "message_traces",
                "message_words",
                "message_numbers",
            ):
                connection.exec_driver_sql(f"DROP TABLE {table}")
            indexed = ("name_id", "prompt_version_id", "started_at_id", "tokens_id", "fidelity_id")
            indexes = ["ix_steps_errors", "ix_traces_latency", "ix_traces_errors"]
            for index in indexes + [f"ix_traces_{columns}" for columns in indexed]:
                connection.exec_driver_sql(f"DROP INDEX {index}")
            for column in ("steps", "tokens", "fidelity"):
                connection.exec_driver_sql(f"ALTER TABLE traces DROP COLUMN {column}")
            connection.exec_driver_sql("ALTER TABLE attributions DROP COLUMN checked")
            connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
    with Store(store_url) as store:
        assert store.get_step(step.id) == step
        assert [found.id for found in store.list_traces(where="text ~ 'many sofas'")] == [trace.id]
        assert len(store.list_traces(where="model = smollm2 and tokens = 703")) == 1
        assert store.check() == []


def test_words_are_indexed_anew(store: Store, store_url: str) -> None:
    """Those of calls were wrong before version 0013."""
    step = make_model_step(make_trace())
    store.write_step(step)
    with store._write() as connection:
        connection.exec_driver_sql("INSERT INTO message_words (message_words) VALUES ('delete-all')")
        connection.exec_driver_sql("INSERT INTO message_words (rowid, words) VALUES (1, 'nsofas')")
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '0012'")
    store.close()
    with Store(store_url) as store:
        assert store.list_traces(where="text ~ nsofas") == []
        assert len(store.list_traces(where="text ~ sofas")) == 1
        assert store.check() == []


def test_a_store_from_a_newer_version_is_refused(store: Store, store_url: str) -> None:
    """Nothing is changed in it."""
    store.close()
    path = store_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StoreError, match=r"newer version \(schema 9999, this one knows .*\): upgrade"):
        Store(store_url)
    with sqlite3.connect(path) as connection:
        assert connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone() == ("9999",)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """Nothing is added to it, and not a byte of it changes."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (title TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"belongs to another program .*'recipes'.* choose another"):
        Store(f"sqlite:///{path}")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """And left as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes, please keep them.")
    with pytest.raises(StoreError, match="is not an SQLite database: choose another file"):
        Store(f"sqlite:///{path}")
    assert path.read_text().startswith("These are my notes")


def test_a_damaged_database_is_reported(store: Store, store_url: str) -> None:
    """The header is right, the rest is not."""
    store.close()
    path = Path(store_url.removeprefix("sqlite:///"))
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with pytest.raises(StoreError, match=r"is damaged .*restore it from a backup"):
        Store(store_url)


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    """The sentence proposes a file in it."""
    with pytest.raises(StoreError, match="is a folder: give the path of a file"):
        Store(f"sqlite:///{tmp_path}")


def test_a_path_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    """A parent that is no folder stops the folder's creation."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be written .*choose another file"):
        Store(f"sqlite:///{tmp_path}/file/traces.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_protected_file_or_folder_cannot_be_written(store: Store, store_url: str, tmp_path: Path) -> None:
    """Both say so in the same words."""
    store.close()
    path = Path(store_url.removeprefix("sqlite:///"))
    path.chmod(0o400)
    with pytest.raises(StoreError, match="cannot be written"):
        Store(store_url)
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be written"):
        Store(f"sqlite:///{tmp_path}/new/traces.db")
    tmp_path.chmod(0o700)


def test_a_database_that_becomes_read_only_says_so(store: Store) -> None:
    """The same sentence when writing fails later."""
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match="cannot be written: check the rights"):
        store.write_trace(make_trace())


def test_a_full_disk_says_so(store: Store) -> None:
    """And nothing is half-written."""
    with store._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    trace = make_trace()
    with pytest.raises(StoreError, match="no space left for the store"):
        store.write_step(make_model_step(trace, result="x" * 100_000))
    assert store.list_traces() == []


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://host/traces", "cannot be a 'mysql' URL: use sqlite"),
        ("https://host/traces", "cannot be a 'https' URL: use sqlite"),
        ("traces.db", "is no store URL: write sqlite:///traces.db"),
        ("", "is no store URL: write sqlite:///traces.db"),
        ("sqlite://", "must be a file that lasts"),
        ("sqlite:///:memory:", "must be a file that lasts"),
    ],
)
def test_urls_that_are_no_store(url: str, sentence: str) -> None:
    """Each says what to write instead."""
    with pytest.raises(StoreError, match=sentence):
        Store(url)


def test_postgresql_without_its_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain ``postgresql://`` URL means psycopg 3."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match="pip install 'psycopg"):
        Store("postgresql://user@host/name")


def test_the_default_store_is_configurable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment decides, else the user's data folder."""
    monkeypatch.setenv("FLASHTRACE_AGENT_STORE", "sqlite:///mine.db")
    assert Store.default_url() == "sqlite:///mine.db"
    monkeypatch.delenv("FLASHTRACE_AGENT_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Store.default_url().startswith("sqlite:///")
    assert Store.default_url().endswith("traces.db")
