"""``compare`` shows what two traces or prompt versions drew on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from flashtrace_agent.store import Store

from ..dashboard.agent_run import build_failed_run, build_run
from .conftest import Run


@pytest.fixture
def ids(store_url: str) -> list[str]:
    """Two traces of two prompt versions, with attributions, and one without."""
    runs = [build_run(1, "lamp"), build_run(2, "sofa"), build_failed_run(3)]
    with Store(store_url) as store:
        for number, run in enumerate(runs, start=1):
            store.write_trace(replace(run.trace, prompt_version=f"v{number}"))
            store.write_steps(run.trace.steps)
            for step_id, attributions in run.attributions.items():
                for attribution in attributions:
                    store.write_attribution(step_id, attribution)
    return [run.trace.id for run in runs]


def test_two_traces(run: Run, ids: list[str]) -> None:
    """The question differs and stands in one row; the rules are the same."""
    compared = json.loads(run("compare", ids[0], ids[1], "--target", "answer", "--json").stdout)
    (answer,) = compared
    assert answer["target"] == "answer"
    changed = [row for row in answer["lines"] if row["segment"] == "user"]
    assert [(row["change"], row["text_a"], row["text_b"]) for row in changed] == [
        ("changed", "How many lamps are left?", "How many sofas are left?")
    ]
    output = run("compare", ids[0], ids[1]).stdout
    for word in ("answer (1 and 1 attributions, fidelity exact)", "argument:item", "system", "difference"):
        assert word in output


def test_what_a_prompt_says_does_not_drive_the_terminal(run: Run, store_url: str) -> None:
    """Escape sequences in it are not passed on."""
    with Store(store_url) as store:
        ids = []
        for number, item in ((1, "lamp\x1b[2J"), (2, "sofa\x1b[2J")):
            one = build_run(number, item)
            ids.append(one.trace.id)
            store.write_trace(one.trace)
            store.write_steps(one.trace.steps)
            for step_id, attributions in one.attributions.items():
                store.write_attributions((step_id, attribution) for attribution in attributions)
    output = run("compare", *ids, "--rows", "99").stdout
    assert "lamp" in output
    assert "\x1b" not in output


def test_two_versions(run: Run, ids: list[str]) -> None:
    """A version stands for its traces."""
    by_version = json.loads(run("compare", "v1", "v2", "--versions", "--json").stdout)
    assert by_version == json.loads(run("compare", ids[0], ids[1], "--json").stdout)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["0", "2"], "is attributed yet: run `flashtrace-agent attribute"),
        (["v1", "v9", "--versions"], "No trace has the prompt version 'v9': the store has v3, v2, v1."),
        (["v1", "v3", "--versions"], "Nothing of prompt version 'v3' is attributed yet"),
        (
            ["0", "1", "--target", "colour"],
            "tool_name, argument:item, argument:field, answer can be",
        ),
    ],
)
def test_what_cannot_be_compared_is_said(run: Run, ids: list[str], words: list[str], sentence: str) -> None:
    """One sentence, exit code 1."""
    result = run("compare", *(ids[int(word)] if word.isdecimal() else word for word in words))
    assert result.exit_code == 1
    assert sentence in " ".join(result.stderr.split())
