"""A new store for each test, on each database."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from flashtrace_agent.store import Store

from .postgres import find_server, running_server

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[Callable[[], str]]:
    """Return a function that makes a database of a PostgreSQL server and returns its URL."""
    pytest.importorskip("psycopg", reason="needs the extra [postgres]")
    programs = find_server()
    if programs is None:
        pytest.skip("needs PostgreSQL's server programs (apt-get install postgresql), which are not here")
    numbers = count()
    with running_server(programs) as url:
        engine = create_engine(url, isolation_level="AUTOCOMMIT")

        def make_database(of: str) -> str:
            name = "template_store" if of == "template1" else f"store_{next(numbers)}"
            with engine.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {of}")
            return make_url(url).set(database=name).render_as_string(hide_password=False)

        Store(make_database("template1")).close()
        yield lambda: make_database("template_store")
        engine.dispose()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of a store file that does not exist yet, in a folder that does not either."""
    return f"sqlite:///{tmp_path}/data/traces.db"


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty store file to copy, which is quicker than to migrate."""
    path = tmp_path_factory.mktemp("template") / "traces.db"
    with Store(f"sqlite:///{path}") as store:
        store.vacuum()  # writes the log back
    return path


@pytest.fixture
def empty_copy(sqlite_url: str, empty_file: Path) -> str:
    """Return the URL of an empty store file."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    path.parent.mkdir()
    shutil.copyfile(empty_file, path)
    return sqlite_url


@pytest.fixture(params=DATABASES)
def store_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty store; modules that look into files take SQLite's only."""
    if request.param == "sqlite":
        url: str = request.getfixturevalue("empty_copy")
        return url
    make: Callable[[], str] = request.getfixturevalue("postgres_url")
    return make()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Return an empty store."""
    with Store(store_url) as opened:
        yield opened
