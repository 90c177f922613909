"""``list`` shows traces to people and to scripts."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from flashtrace_agent.cli.list_traces import traces_table
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

from .conftest import Run


def test_an_empty_store_says_what_to_do(run: Run) -> None:
    """The first thing a new user sees."""
    result = run("list")
    assert result.exit_code == 0
    assert "flashtrace-agent demo" in result.stdout


def test_json_of_an_empty_store_is_an_empty_array(run: Run) -> None:
    """Scripts get an array whatever is there."""
    assert json.loads(run("list", "--json").stdout) == []


def test_json_has_the_promised_keys(run: Run, trace: Trace) -> None:
    """Scripts rely on them."""
    (item,) = json.loads(run("list", "--json").stdout)
    item.pop("ended_at")
    assert item == {
        "id": trace.id,
        "name": "furniture",
        "status": "error",
        "started_at": "2025-03-01T12:00:00+00:00",
        "session": "s1",
        "steps": 3,
        "tools": ["sofas"],
        "tokens": 207,
        "fidelity": "approximate",
        "tags": ["demo"],
    }


def test_a_pipe_gets_everything_and_no_colours(run: Run, trace: Trace) -> None:
    """Whole ids, so that the next command can use them."""
    output = run("list").stdout
    assert trace.id in output
    assert "\x1b" not in output
    assert len(output.splitlines()) == 2
    for word in ("furniture", "error", "2025-03-01 12:00", "207", "approximate", "sofas", "s1", "demo"):
        assert word in output


def test_filters_and_their_empty_answer(run: Run, trace: Trace) -> None:
    """An empty answer to a filter is not an empty store."""
    assert len(json.loads(run("list", "--status", "error", "--session", "s1", "--json").stdout)) == 1
    assert json.loads(run("list", "--status", "ok", "--json").stdout) == []
    assert "No trace matches" in run("list", "--session", "other").stdout


def test_the_limit_keeps_the_newest(run: Run, trace: Trace, store_url: str) -> None:
    """Later ids sort later."""
    with Store(store_url) as store:
        store.write_trace(replace(trace, id="7" + trace.id[1:], name="later"))
    assert [item["name"] for item in json.loads(run("list", "-n", "1", "--json").stdout)] == ["later"]


@pytest.mark.parametrize("width", [30, 50, 80, 100, 140])
def test_the_table_fits_the_terminal(trace: Trace, store_url: str, width: int) -> None:
    """No line wraps; the part of the id that names the trace, its status and its time are never cut."""
    with Store(store_url) as store:
        store.write_trace(replace(trace, name="a long name \x1b[31m of an agent " * 4, tags=["tag"] * 20))
        summaries = store.list_traces()
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(traces_table(summaries, width))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 2
    assert all(cell_len(line) <= width for line in lines)
    assert trace.id[:13] in lines[1]
    assert "error" in lines[1].split()
    assert width < 80 or "2025-03-01 12:00" in lines[1]
    assert "\x1b" not in lines[1]


def test_a_filter_chooses(run: Run, trace: Trace) -> None:
    """The language is the store's."""
    where = "tool = sofas and tokens > 100 and segment user share > 0.4 of target tool_name"
    assert len(json.loads(run("list", "--where", where, "--json").stdout)) == 1
    assert "No trace matches" in run("list", "--where", "tool = other").stdout


def test_a_mistake_in_a_filter_is_shown(run: Run, trace: Trace) -> None:
    """With a caret under the character."""
    result = run("list", "--where", "tool = sofas and tokns > 1")
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("Error: The filter is wrong at character 18: there is no field 'tokns'")
    assert lines[1:] == ["  tool = sofas and tokns > 1", " " * 19 + "^"]


@pytest.mark.parametrize("command", [("list",), ("show", "x"), ("attribute", "x")])
def test_a_mistyped_store_is_not_created(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Reading what is not there says so, and leaves neither file nor folder."""
    result = run(*command, "--store", f"sqlite:///{tmp_path}/typo/traces.db")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: There is no store at {tmp_path}/typo/traces.db: check the path")
    assert not (tmp_path / "typo").exists()
