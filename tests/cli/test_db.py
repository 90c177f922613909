"""``db`` looks after the store, ``delete`` takes traces out of it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

from .conftest import START, Run


def test_a_sound_store_is_said_to_be(run: Run, trace: Trace) -> None:
    """Also for scripts."""
    assert run("db", "check").stdout == "The store is sound.\n"
    assert json.loads(run("db", "check", "--json").stdout) == []


def test_damage_is_listed(run: Run, trace: Trace, store_url: str) -> None:
    """Row by row, with exit code 1."""
    with sqlite3.connect(store_url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE documents SET data = x'00'")
    result = run("db", "check")
    assert result.exit_code == 1
    assert result.stdout.startswith("documents ")
    assert "restore it from a backup" in result.stderr
    assert json.loads(run("db", "check", "--json").stdout)[0]["table"] == "documents"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE messages SET body = '{'",
        "UPDATE documents SET data = x'00'",
        "UPDATE token_chunks SET data = 7",
        "UPDATE attributions SET scores = x'4641', summary = '[]'",
        "UPDATE steps SET fidelity = 'no', arguments = '{'",
        "UPDATE traces SET started_at = 'yesterday'",
        "DELETE FROM text_chunks",
        "DROP TABLE messages",
        "UPDATE flashtrace_agent_schema SET version_num = '9999'",
    ],
)
def test_a_damaged_store_is_said_to_be_in_one_sentence(
    run: Run, trace: Trace, store_url: str, tmp_path: Path, damage: str
) -> None:
    """By whatever reads it, and by what deletes from it; nothing is written half."""
    with sqlite3.connect(store_url.removeprefix("sqlite:///")) as connection:
        connection.execute(damage)
    other = f"sqlite:///{tmp_path}/other.db"
    out = str(tmp_path / "out")
    commands = [
        ("list",), ("list", "--json"), ("list", "--where", "text ~ 'sofas'"), ("show", trace.id),
        ("show", trace.id, "--json"), ("search", "sofas"), ("annotate", trace.id), ("review", "--json"),
        ("db", "info"), ("db", "check"), ("db", "copy", other), ("compare", trace.id, trace.id),
        *(("export", "--format", name, "-o", f"{out}/{name}") for name in ("jsonl", "otlp", "html")),
        ("delete", trace.id), ("delete", trace.id, "--yes"),
    ]  # fmt: skip
    failed = 0
    Path(out).mkdir()
    for command in commands:
        result = run(*command)
        assert result.error is None or isinstance(result.error, SystemExit), (command, result.error)
        failed += result.exit_code
        if result.exit_code:
            assert result.stderr.startswith("Error: "), (command, result.stderr)
            assert result.stderr.count("\n") == 1, (command, result.stderr)
            assert not list(Path(out).rglob("*.partial")), command
    assert failed


def test_the_store_is_described(run: Run, trace: Trace) -> None:
    """In lines and as JSON."""
    assert json.loads(run("db", "info", "--json").stdout)["rows"]["steps"] == 3
    assert "steps                      3" in run("db", "info").stdout


def test_upgrade_backup_and_vacuum(run: Run, trace: Trace, tmp_path: Path) -> None:
    """Each says what it did."""
    assert run("db", "upgrade").stdout.startswith("The store is at schema 0")
    copy = tmp_path / "copy.db"
    assert run("db", "backup", str(copy)).stdout == f"Wrote {copy}\n"
    assert json.loads(run("list", "--json", "--store", f"sqlite:///{copy}").stdout)[0]["id"] == trace.id
    assert run("db", "vacuum").stdout == "The store is compact.\n"


@pytest.mark.parametrize("command", [("db", "check"), ("db", "info"), ("db", "vacuum"), ("delete", "x")])
def test_a_mistyped_store_is_not_created(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    """As with every command that needs what is there."""
    assert run(*command, "--store", f"sqlite:///{tmp_path}/typo.db").exit_code == 1
    assert not (tmp_path / "typo.db").exists()


def test_deleting_shows_first(run: Run, trace: Trace, store_url: str) -> None:
    """Nothing goes without --yes."""
    result = run("delete", "--where", "tool = sofas")
    would = f"{trace.id}\nWould delete 1 trace with 3 steps and 1 attribution; add --yes to do it.\n"
    assert (result.exit_code, result.stdout) == (0, would)
    assert "Would delete 1 trace" in run("delete", trace.id[:12]).stdout
    assert "Would delete 0 traces" in run("delete", "--max-size", "2GB").stdout
    assert "Would delete 1 trace" in run("delete", "--max-size", "1.5kb").stdout
    with Store(store_url) as store:
        assert len(store.list_traces()) == 1
    assert "Deleted 1 trace with 3 steps" in run("delete", "--where", "tool = sofas", "--yes").stdout
    with Store(store_url) as store:
        assert store.list_traces() == []


def test_one_trace_is_that_one(run: Run, store_url: str) -> None:
    """Another whose id begins with its whole id is none of it."""
    with Store(store_url) as store:
        for number in (1, 10, 11):
            store.write_trace(Trace(f"run{number}", "", START))
    assert "Deleted 1 trace" in run("delete", "run1", "--yes").stdout
    with Store(store_url) as store:
        assert [summary.id for summary in store.list_traces()] == ["run11", "run10"]


def test_a_filter_cannot_leave_the_age(run: Run, trace: Trace) -> None:
    """It is read by itself before it is narrowed to what is old."""
    outcome = run("delete", "--older-than", "9999d", "--where", "status = ok) or (status = error", "--yes")
    assert (outcome.exit_code, "wrong at character 12" in outcome.stderr) == (1, True)
    assert "1 trace" in run("delete", "--where", "status = error").stdout


@pytest.mark.parametrize(
    "arguments",
    [(), ("x", "--where", "status = ok"), ("--max-size", "much"), ("--max-size", "9" * 400 + "GB")],
)
def test_it_must_be_clear_what_to_delete(run: Run, arguments: tuple[str, ...]) -> None:
    """Wrong usage otherwise."""
    assert run("delete", *arguments).exit_code == 2


def test_a_store_is_copied(run: Run, trace: Trace, tmp_path: Path) -> None:
    """Once; a second time the target is not empty."""
    other = f"sqlite:///{tmp_path}/copy/copy.db"
    told = run("db", "copy", other)
    assert told.stdout.startswith("Copied 1 trace with 3 steps; both stores have the digest "), told.stderr
    assert run("show", trace.id, "--json", "--store", other).stdout == run("show", trace.id, "--json").stdout
    again = run("db", "copy", other)
    assert (again.exit_code, "holds something already" in again.stderr) == (1, True)


def test_old_traces_go_by_age(run: Run, trace: Trace) -> None:
    """Alone or narrowed by a filter."""
    assert "Would delete 1 trace" in run("delete", "--older-than", "1d").stdout
    assert "Would delete 0 traces" in run("delete", "--older-than", "9999d").stdout
    assert (
        "Would delete 0 traces" in run("delete", "--older-than", "1d", "--where", "tag = x or tag = y").stdout
    )
    assert run("delete", "--older-than", "soon").exit_code == 2
    assert "Deleted 1 trace" in run("delete", "--older-than", "1d", "--where", "tag = demo", "--yes").stdout
