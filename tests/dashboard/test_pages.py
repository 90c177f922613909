"""What all pages share, and the pages without a file of their own, run by Streamlit without a browser."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from flashtrace_agent.store import Store

from ..review.prompts import run, write
from .agent_run import Run, trajectory_of
from .app_pages import click, link_labels, open_page, tree


def test_store_that_cannot_be_opened_is_one_sentence(
    app: AppTest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged store is reported on the page, not as a traceback."""
    (tmp_path / "bad.db").write_bytes(b"this is no database" * 100)
    monkeypatch.setenv("FLASHTRACE_AGENT_STORE", f"sqlite:///{tmp_path / 'bad.db'}")
    app.run()
    assert not app.exception
    assert len(app.error) == 1


@pytest.mark.parametrize("page", ["trace.py", "why.py", "trajectory.py"])
def test_page_without_a_trace_leads_to_the_list(app: AppTest, page: str) -> None:
    """Coming from the menu with nothing chosen is no error."""
    open_page(app, page)
    assert "Choose a trace" in app.info[0].value
    assert link_labels(app) == ["Go to the list of traces"]


@pytest.mark.parametrize("page", ["trace.py", "why.py", "trajectory.py"])
def test_unknown_trace_is_one_sentence(app: AppTest, page: str) -> None:
    """An address with an id that is not in the store says so."""
    open_page(app, page, trace="nosuchtrace")
    assert "nosuchtrace" in app.error[0].value


def test_menu_remembers_the_last_trace(app: AppTest, good_run: Run) -> None:
    """Going from a trace to Why by the menu keeps the trace and the step."""
    step = good_run.trace.steps[0]
    open_page(app, "trace.py", trace=good_run.trace.id, step=step.id)
    open_page(app, "why.py")
    assert app.query_params["trace"] == good_run.trace.id
    assert app.selectbox[0].value == step.id


def test_token_is_asked_for_before_anything_is_shown(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a token set nothing of the store appears until it is given."""
    monkeypatch.setattr("flashtrace_agent.dashboard.access._PENALTY_SECONDS", 0)
    monkeypatch.setenv("FLASHTRACE_AGENT_DASHBOARD_TOKEN", "grüner Tee")
    app.run()
    assert not app.dataframe
    app.text_input[0].set_value("wrong")
    app.button[0].click().run()
    assert app.error[0].value == "This is not the token."
    assert not app.dataframe
    app.text_input[0].set_value("grüner Tee")
    app.button[0].click().run()
    assert not app.exception
    assert len(app.dataframe) == 1


def test_jobs_show_queue_workers_and_failures(app: AppTest, good_run: Run, failed_run: Run) -> None:
    """What waits can be cancelled, what failed tried again or dismissed."""
    step, other = good_run.trace.steps[0], failed_run.trace.steps[0]
    with Store(Store.default_url()) as store:
        store.jobs.enqueue(other.id, ["answer"])
        (job,) = store.jobs.lease("host:7")
        store.jobs.fail(job, "Step has no target 'answer'.", retry=False)
        store.jobs.enqueue(step.id)
        with store.workers.announced("host:7"):
            open_page(app, "jobs.py")
            assert [metric.value for metric in app.metric] == ["1", "0", "0", "1"]
            assert any("host:7" in text.value.replace("\\", "") for text in app.markdown)
            assert any("no target" in text.value for text in app.caption)
        click(app, "Try again")
        assert [job.status for job in store.jobs.of_step(other.id)] == ["queued"]
        assert any("No worker is running" in text.value for text in app.markdown)
        click(app, "Cancel")
        click(app, "Cancel")
        assert store.jobs.open() == []
    assert any("Nothing waits" in text.value for text in app.caption)
    assert any("No job has failed" in text.value for text in app.caption)


def test_a_run_that_was_not_traced_back_tells_the_command(app: AppTest, good_run: Run) -> None:
    """The empty state of the trajectory page."""
    open_page(app, "trajectory.py", trace=good_run.trace.id)
    assert app.code[0].value == (
        f"flashtrace-agent show {good_run.trace.id} --trajectory --store {Store.default_url()}"
    )


def test_a_run_without_model_steps_cannot_be_traced_back(app: AppTest, good_run: Run) -> None:
    """No command is offered that would fail."""
    with Store(Store.default_url()) as store:
        store.write_trace(replace(good_run.trace, id="bare", steps=[]))
    open_page(app, "trajectory.py", trace="bare")
    assert "no model step" in app.info[0].value
    assert not app.code


def test_a_trajectory_is_drawn_and_listed(app: AppTest, good_run: Run) -> None:
    """The diagram gets the stored graph; the table has its ends, largest first, adding up to 1."""
    with Store(Store.default_url()) as store:
        store.write_trajectory(trajectory_of(good_run))
    open_page(app, "trajectory.py", trace=good_run.trace.id)
    assert len(tree(app)["edges"]) == 13
    table = app.dataframe[0].value
    assert list(table["Source"])[:2] == ["tool_result:call_0", "user"]
    assert sum(table["Share"]) == pytest.approx(1.0)


def test_two_traces_are_compared(app: AppTest, good_run: Run) -> None:
    """Segments and lines with both shares; the target can be chosen, the address names both."""
    ids = [trace.id for trace in _traces() if trace.tools == ["lookup"]]
    open_page(app, "compare.py", a=ids[1], b=ids[0])
    assert "1 and 1 attributions" in app.caption[0].value
    segments, lines = (table.value for table in app.dataframe)
    assert "system" in list(segments["Segment"])
    changed = lines[lines["Line in B"] == "How many lamps are left?"]
    assert list(changed["Line in A"]) == ["How many mirrors are left?"]
    app.button_group(key="compare-target").set_value("tool_name").run()
    assert not app.exception
    assert (app.query_params["a"], app.query_params["b"]) == (ids[1], ids[0])


def test_an_address_to_compare_may_be_short_or_outdated(app: AppTest, good_run: Run) -> None:
    """Shortened ids are filled in; a trace that is gone is said to be, and another one is offered."""
    known = good_run.trace.id
    open_page(app, "compare.py", a=known[:20], b="01gone")
    assert app.query_params["a"] == known
    assert "01gone" in app.warning[0].value
    assert app.query_params["b"] in {trace.id for trace in _traces()} - {known}


def test_what_cannot_be_compared_is_said(app: AppTest, failed_run: Run, good_run: Run) -> None:
    """A trace without attributions tells the command; without versions the page says so."""
    open_page(app, "compare.py", a=good_run.trace.id, b=failed_run.trace.id)
    assert "is attributed yet" in app.info[0].value
    app.button_group(key="compare-kind").set_value("versions").run()
    assert "no two prompt versions" in app.info[0].value
    assert not app.exception


def test_the_review_of_two_models_names_them_as_they_are(app: AppTest) -> None:
    """The titles of the parts are Markdown, which could load a picture; every column has a name."""
    with Store(Store.default_url()) as store:
        for number in range(3):
            write(store, run(number))
            write(store, run(number + 3, model="![x](https://pictures.example/x.png)"))
    open_page(app, "review.py")
    titles = [tab.label for tab in app.tabs if "pictures" in tab.label]
    assert titles
    assert all(title.startswith(r"\!\[x\]\(") for title in titles)
    assert all(name.strip() for table in app.dataframe for name in table.value.columns)


def _traces() -> list[Any]:
    with Store(Store.default_url()) as store:
        return list(store.list_traces())
