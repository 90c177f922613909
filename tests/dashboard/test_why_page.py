"""The page that says why, run by Streamlit without a browser."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

from .agent_run import Run
from .app_pages import click, open_page, shown


def test_why_changes_with_the_target(app: AppTest, good_run: Run) -> None:
    """Choosing another target sends the heat map other scores and changes the address."""
    step = good_run.trace.steps[0]
    open_page(app, "why.py", trace=good_run.trace.id, step=step.id, target="argument:item")
    first = shown(app)
    assert first["name"] == "argument:item"
    assert first["text"] == "lamp"
    assert [view["label"] for view in first["views"]] == ["Final", "Hop 0", "Hop 1"]
    app.button_group[0].set_value("tool_name").run()
    second = shown(app)
    assert second["name"] == "tool_name"
    assert second["views"][0]["scores"] != first["views"][0]["scores"]
    assert app.query_params["target"] == "tool_name"


def test_why_changes_with_the_step(app: AppTest, good_run: Run) -> None:
    """Choosing another step shows its targets, without complaint about the one before's."""
    steps = good_run.trace.steps
    open_page(app, "why.py", trace=good_run.trace.id, step=steps[0].id, target="tool_name")
    app.selectbox[0].set_value(steps[2].id).run()
    assert not app.exception
    assert shown(app)["name"] == "answer"
    assert not app.info


def test_why_accepts_shortened_ids(app: AppTest, good_run: Run) -> None:
    """The beginning of a trace's id is enough in an address."""
    open_page(app, "why.py", trace=good_run.trace.id[:20], target="answer")
    assert app.query_params["trace"] == good_run.trace.id


def test_why_says_when_there_is_no_such_target(app: AppTest, good_run: Run) -> None:
    """A link to a target the step does not have shows another one and says so."""
    open_page(app, "why.py", trace=good_run.trace.id, target="argument:colour")
    assert "no target argument:colour" in app.info[0].value.replace("\\", "")
    assert shown(app)["name"] == "reasoning"
    with Store(Store.default_url()) as store:
        assert store.jobs.open() == []


def test_a_link_to_a_span_that_is_not_explained_queues_it(app: AppTest, good_run: Run) -> None:
    """The job waits in the store, the page says that no worker runs and how to start one."""
    step = good_run.trace.steps[0]
    length = len(step.token_ids or [])
    open_page(app, "why.py", trace=good_run.trace.id, step=step.id, target=f"{length - 5}:{length - 3}")
    with Store(Store.default_url()) as store:
        (job,) = store.jobs.open()
        assert (job.step_id, job.targets) == (step.id, (f"{length - 5}:{length - 3}",))
        assert any("No worker is running" in text.value for text in app.markdown)
        assert app.code[0].value == f"flashtrace-agent worker --watch --store {store.url}"
        cancel = next(button for button in app.button if button.label == "Cancel")
        cancel.click().run()
        assert store.jobs.open() == []
    assert [button.label for button in app.button if button.label == "Explain it"] == ["Explain it"]
    assert not app.exception


def test_a_failed_request_shows_its_error_and_is_tried_again(app: AppTest, good_run: Run) -> None:
    """What the worker could not do is said; trying again queues it anew."""
    step = good_run.trace.steps[0]
    target = f"{len(step.prompt_ids or [])}:{len(step.prompt_ids or []) + 2}"
    with Store(Store.default_url()) as store:
        store.jobs.enqueue(step.id, [target])
        (job,) = store.jobs.lease("me")
        store.jobs.fail(job, "The model is gone.", retry=False)
        open_page(app, "why.py", trace=good_run.trace.id, step=step.id, target=target)
        assert any("The model is gone" in text.value for text in app.markdown)
        next(button for button in app.button if button.label == "Try again").click().run()
        assert [job.status for job in store.jobs.of_step(step.id)] == ["queued"]


def test_everything_of_a_step_is_explained_at_once(app: AppTest, failed_run: Run) -> None:
    """A step without any attribution offers one button; nothing is queued before."""
    step = failed_run.trace.steps[0]
    open_page(app, "why.py", trace=failed_run.trace.id)
    with Store(Store.default_url()) as store:
        assert store.jobs.open() == []
        click(app, "Explain everything")
        (job,) = store.jobs.open()
    assert (job.step_id, job.targets) == (step.id, None)
    assert any("waits in the queue" in text.value for text in app.markdown)


def test_the_reverse_view_knows_every_target_of_the_trace(app: AppTest, good_run: Run) -> None:
    """The heat map gets the shares of all stored targets, with their steps."""
    open_page(app, "why.py", trace=good_run.trace.id, target="argument:item")
    (component,) = app.get("bidi_component")
    data = json.loads(component.proto.json)
    found = {(target["where"], target["name"]) for target in data["influence"]}
    assert found == {
        ("step 1", "reasoning"),
        ("step 1", "tool_name"),
        ("step 1", "argument:item"),
        ("step 1", "argument:field"),
        ("step 3", "answer"),
    }
    (item,) = (target for target in data["influence"] if target["shown"])
    shares = dict(good_run.attributions[good_run.trace.steps[0].id][2].by_segment())
    assert item["shares"]["user"] == pytest.approx(shares["user"], abs=1e-3)
    assert {part["name"] for part in data["parts"]} == {
        "reasoning",
        "tool_name",
        "argument:item",
        "argument:field",
    }


def test_step_without_attributions_tells_the_command(app: AppTest, failed_run: Run, store_url: str) -> None:
    """The empty state has the command to paste, for this very step and store."""
    trace: Trace = failed_run.trace
    open_page(app, "why.py", trace=trace.id)
    assert app.code[0].value == (
        f"flashtrace-agent attribute {trace.id} --step {trace.steps[0].id} --target tool_name "
        f"--store {store_url}"
    )


def test_approximate_fidelity_is_marked(app: AppTest, good_run: Run) -> None:
    """The heat map is told the attribution's fidelity, to show beside the numbers."""
    from dataclasses import replace

    step = good_run.trace.steps[2]
    original: Attribution = good_run.attributions[step.id][0]
    with Store(Store.default_url()) as store:
        store.write_attribution(step.id, replace(original, fidelity="approximate", method="other"))
    open_page(app, "why.py", trace=good_run.trace.id, step=step.id, target="answer")
    app.button_group[0].set_value("answer (other, 2 passes)").run()
    assert {shown(app)["fidelity"], shown(app)["method"]} & {"approximate", "other"}
