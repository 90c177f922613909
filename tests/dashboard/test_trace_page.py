"""The page of one trace, run by Streamlit without a browser."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from flashtrace_agent.store import Store

from .agent_run import Run
from .app_pages import click, link_labels, open_page, tree


def test_trace_opens_at_its_last_answer(app: AppTest, good_run: Run) -> None:
    """A good trace shows the whole conversation and what the model said last."""
    open_page(app, "trace.py", trace=good_run.trace.id)
    assert tree(app)["chosen"] == good_run.trace.steps[2].id
    assert [message.name for message in app.chat_message][-1] == "assistant"
    assert "There are 12 lamps left in stock." in [text.value for text in app.text]
    assert app.query_params["step"] == good_run.trace.steps[2].id
    assert not any("prompt_ids" in one.value for one in app.json)  # Raw is sent once it is asked for
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


def test_an_empty_result_is_said_in_words(app: AppTest, good_run: Run) -> None:
    """A tool that returned nothing leaves more than an empty frame."""
    tool = good_run.trace.steps[1]
    with Store(Store.default_url()) as store:
        store.write_step(replace(tool, result=""))
    open_page(app, "trace.py", trace=good_run.trace.id, step=tool.id)
    assert "an empty text" in [caption.value for caption in app.caption]


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


def test_steps_that_name_each_other_as_parents_are_still_a_tree(app: AppTest, good_run: Run) -> None:
    """A recording may say so; drawn as it stands, the tree would have no end."""
    first, tool, last = good_run.trace.steps
    with Store(Store.default_url()) as store:
        store.write_steps([replace(first, parent_id=tool.id), replace(last, parent_id=last.id)])
    open_page(app, "trace.py", trace=good_run.trace.id)
    assert [row["parent"] for row in tree(app)["steps"]] == [None, first.id, None]


def test_a_trace_without_a_name_is_called_by_its_id(app: AppTest, good_run: Run) -> None:
    """There is a heading to see which trace it is; a name of pages is cut."""
    with Store(Store.default_url()) as store:
        for name, shown in ((" ", good_run.trace.id), ("w" * 10_000, "w" * 159 + "…")):
            store.write_trace(replace(good_run.trace, name=name))
            open_page(app, "trace.py", trace=good_run.trace.id)
            assert app.header[0].value == shown


def test_failed_trace_opens_at_its_fault(app: AppTest, failed_run: Run) -> None:
    """Errors are seen at a glance: the trace's, the unknown tool and the tool step's."""
    open_page(app, "trace.py", trace=failed_run.trace.id)
    assert tree(app)["chosen"] == failed_run.trace.steps[0].id
    assert [bool(step["fault"]) for step in tree(app)["steps"]] == [True, True]
    errors = [error.value.replace("\\", "") for error in app.error]
    assert errors[0] == failed_run.trace.error
    assert "No tool called **sofas** was offered to the model." in errors
    assert errors[-1] == failed_run.trace.steps[1].error
