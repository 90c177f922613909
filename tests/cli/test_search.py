"""`search` finds messages by their words."""

from __future__ import annotations

import json

from flashtrace_agent.trace import Trace

from .conftest import Run


def test_messages_are_found(run: Run, trace: Trace) -> None:
    """With a line for each; --json says where the words stand."""
    shown = run("search", "many", "SOFAS").stdout
    assert trace.id in shown
    assert "user: How many sofas?" in shown
    (found,) = json.loads(run("search", "many sofas", "--json").stdout)
    assert found["trace_id"] == trace.id
    assert found["matches"][0]["highlights"] == [[4, 8], [9, 14]]


def test_nothing_found_is_said(run: Run, trace: Trace) -> None:
    """And no words, or a wrong filter, are an error."""
    assert run("search", "elephants").stdout == "No message holds all of these words.\n"
    assert run("search", "elephants", "--json").stdout == "[]\n"
    assert "no word to look for" in run("search", "?").stderr
    assert "character 1" in run("search", "sofas", "--where", "tol = x").stderr


def test_what_a_tool_said_cannot_drive_the_terminal(run: Run, trace: Trace) -> None:
    """Escape sequences are shown as spaces, markup as it is."""
    assert "\x1b" not in run("search", "31mmirrors").stdout
    assert "[bold]7[/bold]" in run("search", "there are sofas").stdout
