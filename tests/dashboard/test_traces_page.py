"""The list of traces, run by Streamlit without a browser."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from flashtrace_agent.store import Store

from .agent_run import Run


def test_list_shows_every_trace_newest_first(app: AppTest) -> None:
    """The table has a row per trace with what one needs to choose."""
    app.run()
    assert not app.exception
    table = app.dataframe[0].value
    assert list(table["Status"]) == [["ok"], ["error"], ["ok"]]
    assert list(table["Tools"]) == [["lookup"], ["sofas"], ["lookup"]]
    assert list(table["Fidelity"]) == [["exact"]] * 3
    assert list(table["Steps"]) == [3, 2, 3]
    assert table["Time"].is_monotonic_decreasing


def test_list_shows_the_latest_score(app: AppTest, good_run: Run) -> None:
    """What somebody gave the trace as a whole."""
    with Store(Store.default_url()) as store:
        store.annotate(good_run.trace.id, who="me", score=0.25)
        store.annotate(good_run.trace.id, who="me", score=0.75)
        store.annotate(good_run.trace.id, step_id=good_run.trace.steps[0].id, who="me", score=0.0)
    app.run()
    scores = app.dataframe[0].value["Score"]
    assert list(scores.dropna()) == [0.75]


def test_quick_filters_and_the_filter_box_narrow_the_list(app: AppTest) -> None:
    """Both together, as the address says; no match is said in words."""
    app.run()
    app.button_group(key="quick").set_value(["errors"]).run()
    assert list(app.dataframe[0].value["Tools"]) == [["sofas"]]
    app.text_input(key="where").set_value("tool = lookup or tool = sofas").run()
    assert list(app.dataframe[0].value["Tools"]) == [["sofas"]]
    app.button_group(key="quick").set_value([]).run()
    assert len(app.dataframe[0].value["Tools"]) == 3
    assert app.query_params["where"] == "tool = lookup or tool = sofas"
    app.text_input(key="where").set_value("tool = nothing").run()
    assert not app.dataframe
    assert "No trace agrees with" in app.info[0].value
    assert not app.exception


def test_a_filter_that_is_wrong_shows_the_character(app: AppTest) -> None:
    """The sentence of the store's language, and the place below it."""
    app.run()
    app.text_input(key="where").set_value("tokens > many").run()
    assert "character 10" in app.error[0].value.replace("\\", "")
    text, caret = app.code[0].value.rstrip().split("\n")
    assert text.strip() == "tokens > many"
    assert caret.index("^") == text.index("many")
    assert not app.exception


def test_the_filter_of_an_address_is_used(app: AppTest) -> None:
    """A link with a filter shows what it finds."""
    app.query_params["where"] = "status = error"
    app.run()
    assert list(app.dataframe[0].value["Tools"]) == [["sofas"]]
    assert app.text_input(key="where").value == "status = error"


def test_list_by_session(app: AppTest) -> None:
    """One row per session with its latest trace; a filter counts only what it finds."""
    app.run()
    app.toggle(key="sessions").set_value(True).run()
    table = app.dataframe[0].value
    assert list(table["Session"]) == ["morning shift"]
    assert list(table["Traces"]) == [3]
    app.button_group(key="quick").set_value(["errors"]).run()
    assert list(app.dataframe[0].value["Traces"]) == [1]
    assert not app.exception


def test_list_pages_through_more_traces_than_fit(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older and Newer walk through the pages without losing or repeating a trace."""
    from .agent_run import build_failed_run
    from .conftest import fill

    fill(Store.default_url(), [build_failed_run(number) for number in range(10, 70)])
    app.run()
    first = list(app.dataframe[0].value["Time"])
    assert len(first) == 50
    app.button[-1].click().run()
    second = list(app.dataframe[0].value["Time"])
    assert len(second) == 13
    assert max(second) < min(first)
    next(button for button in app.button if button.label == "Newer").click().run()
    assert list(app.dataframe[0].value["Time"]) == first


def test_empty_store_tells_how_to_get_a_trace(
    app: AppTest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without traces the list names the command that makes one."""
    monkeypatch.setenv("FLASHTRACE_AGENT_STORE", f"sqlite:///{tmp_path / 'empty.db'}")
    app.run()
    assert not app.exception
    assert app.code[0].value == "flashtrace-agent demo"
