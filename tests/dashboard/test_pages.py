"""The pages, run by Streamlit without a browser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

from .agent_run import Run, trajectory_of


def open_page(app: AppTest, page: str, **query: str) -> AppTest:
    """Run the app and go to a page with the given query."""
    app.run()
    app.query_params.clear()
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page(page).run()
    assert not app.exception
    return app


def shown(app: AppTest) -> dict[str, Any]:
    """Return the attribution the heat map on the page was given."""
    (component,) = app.get("bidi_component")
    found: dict[str, Any] = json.loads(component.proto.json)["attributions"][0]
    return found


def tree(app: AppTest) -> dict[str, Any]:
    """Return what the tree of steps on the page was given."""
    (component,) = app.get("bidi_component")
    found: dict[str, Any] = json.loads(component.proto.json)
    return found


def click(app: AppTest, label: str) -> None:
    """Press the button with this label."""
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception


def link_labels(app: AppTest) -> list[str]:
    """Return the labels of the page's links."""
    return [link.proto.label for link in app.get("page_link")]


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


def test_store_that_cannot_be_opened_is_one_sentence(
    app: AppTest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged store is reported on the page, not as a traceback."""
    (tmp_path / "bad.db").write_bytes(b"this is no database" * 100)
    monkeypatch.setenv("FLASHTRACE_AGENT_STORE", f"sqlite:///{tmp_path / 'bad.db'}")
    app.run()
    assert not app.exception
    assert len(app.error) == 1


def test_trace_opens_at_its_last_answer(app: AppTest, good_run: Run) -> None:
    """A good trace shows the whole conversation and what the model said last."""
    open_page(app, "trace.py", trace=good_run.trace.id)
    assert tree(app)["chosen"] == good_run.trace.steps[2].id
    assert [message.name for message in app.chat_message][-1] == "assistant"
    assert "There are 12 lamps left in stock." in [text.value for text in app.text]
    assert app.query_params["step"] == good_run.trace.steps[2].id
    assert link_labels(app) == ["Trajectory", "Compare", "Why this answer?"]


def test_trace_shows_offered_tools_and_folds_examples(app: AppTest, good_run: Run) -> None:
    """System prompt, tools and worked examples are there, folded."""
    open_page(app, "trace.py", trace=good_run.trace.id)
    labels = [expander.label for expander in app.expander]
    assert labels[0] == "Offered tools (2): lookup, reserve"
    assert labels[1].startswith("System prompt")
    assert labels[2] == "Worked examples (2)"


def test_call_is_shown_with_its_result(app: AppTest, good_run: Run) -> None:
    """A model step shows each call with the answer of the tool step it caused, and asks why."""
    step = good_run.trace.steps[0]
    open_page(app, "trace.py", trace=good_run.trace.id, step=step.id)
    codes = [code.value for code in app.code]
    place = codes.index('lookup(item="lamp", field="stock")')
    assert json.loads(codes[place + 1]) == {"item": "lamp", "stock": 12}
    labels = ["Why this reasoning?", "Why lookup?", "Why this item?", "Why this field?"]
    assert link_labels(app)[2:] == labels


def test_tool_step_shows_arguments_and_result(app: AppTest, good_run: Run) -> None:
    """Choosing the tool step shows what it was called with and what it returned."""
    open_page(app, "trace.py", trace=good_run.trace.id, step=good_run.trace.steps[1].id)
    assert app.code[0].value == 'lookup(item="lamp", field="stock")'
    assert app.query_params["step"] == good_run.trace.steps[1].id


def test_steps_and_traces_are_walked_one_by_one(app: AppTest, good_run: Run, failed_run: Run) -> None:
    """Previous and next step, newer and older trace, each with its address."""
    steps = good_run.trace.steps
    open_page(app, "trace.py", trace=good_run.trace.id, step=steps[0].id)
    rows = tree(app)["steps"]
    assert [row["parent"] for row in rows] == [None, steps[0].id, None]
    assert rows[0]["start"] == 0
    assert rows[2]["start"] + rows[2]["length"] == pytest.approx(1.0)
    click(app, "Next step")
    assert app.query_params["step"] == steps[1].id
    click(app, "Previous step")
    assert app.query_params["step"] == steps[0].id
    assert next(button for button in app.button if button.label == "Previous step").disabled
    assert next(button for button in app.button if button.label == "Newer trace").disabled
    click(app, "Older trace")
    assert app.query_params["trace"] == failed_run.trace.id
    click(app, "Newer trace")
    assert app.query_params["trace"] == good_run.trace.id


def test_failed_trace_opens_at_its_fault(app: AppTest, failed_run: Run) -> None:
    """Errors are seen at a glance: the trace's, the unknown tool and the tool step's."""
    open_page(app, "trace.py", trace=failed_run.trace.id)
    assert tree(app)["chosen"] == failed_run.trace.steps[0].id
    assert [bool(step["fault"]) for step in tree(app)["steps"]] == [True, True]
    errors = [error.value.replace("\\", "") for error in app.error]
    assert errors[0] == failed_run.trace.error
    assert "No tool called **sofas** was offered to the model." in errors
    assert errors[-1] == failed_run.trace.steps[1].error


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


def test_what_cannot_be_compared_is_said(app: AppTest, failed_run: Run, good_run: Run) -> None:
    """A trace without attributions tells the command; without versions the page says so."""
    open_page(app, "compare.py", a=good_run.trace.id, b=failed_run.trace.id)
    assert "is attributed yet" in app.info[0].value
    app.button_group(key="compare-kind").set_value("versions").run()
    assert "no two prompt versions" in app.info[0].value
    assert not app.exception


def _traces() -> list[Any]:
    with Store(Store.default_url()) as store:
        return list(store.list_traces())
