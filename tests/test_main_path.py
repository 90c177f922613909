"""The whole path on a real model: an agent runs, is recorded, explained, shown and exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from flashtrace_agent.cli import app
from flashtrace_agent.store import Store

from .conftest import Demo, command
from .tiling import check_tiling

pytestmark = [pytest.mark.model, pytest.mark.slow]


def traces(demo: Demo) -> list[dict[str, Any]]:
    outcome = command("list", "--store", demo.store, "--json")
    assert outcome.returncode == 0, outcome.stderr
    listed: list[dict[str, Any]] = json.loads(outcome.stdout)
    return listed


def shown(demo: Demo, trace: str) -> dict[str, Any]:
    outcome = command("show", trace, "--store", demo.store, "--json")
    assert outcome.returncode == 0, outcome.stderr
    result: dict[str, Any] = json.loads(outcome.stdout)
    return result


def test_the_demo_prints_six_questions_with_sources(demo: Demo) -> None:
    """Each question, what the agent did, and the shares that come from this very run."""
    from flashtrace_agent.demo.agent import QUESTIONS

    for question in QUESTIONS:
        assert question in demo.output
    assert demo.output.count("←") >= 12
    assert "flashtrace-agent dashboard --store" in demo.output


def test_every_run_is_listed_and_its_steps_are_exact(demo: Demo) -> None:
    listed = traces(demo)
    assert len(listed) == 6
    assert {trace["fidelity"] for trace in listed} == {"exact"}
    for trace in listed:
        steps = shown(demo, trace["id"])["steps"]
        model_steps = [step for step in steps if step["kind"] == "model"]
        assert model_steps
        for step in model_steps:
            assert step["attributions"], step["id"]
            for attribution in step["attributions"]:
                assert sum(share["share"] for share in attribution["segments"]) == pytest.approx(1, abs=1e-2)


def test_every_tool_call_is_matched_to_its_result_or_error(demo: Demo) -> None:
    """A call to a tool that does not exist fires no callback; its error is there all the same."""
    outcomes: list[tuple[str, str]] = []
    for trace in traces(demo):
        steps = shown(demo, trace["id"])["steps"]
        results = {step["tool_call_id"]: step for step in steps if step["kind"] == "tool"}
        for step in steps:
            for call in step["tool_calls"]:
                if call["id"] in results:
                    outcomes.append((call["name"], results[call["id"]]["status"]))
    assert ("get_price", "ok") in outcomes
    assert any(status == "error" and name not in ("get_price", "count_items") for name, status in outcomes)


def test_the_users_item_matters_more_to_the_argument_than_to_the_tool(demo: Demo) -> None:
    """A sanity check on real numbers: an item copied from the question is traced to the question."""
    lamp = next(trace for trace in traces(demo) if "lamp" in trace["name"])
    step = shown(demo, lamp["id"])["steps"][0]
    shares = {
        attribution["target"]: {share["name"]: share["share"] for share in attribution["segments"]}
        for attribution in step["attributions"]
    }
    assert shares["argument:item"]["user"] > shares["tool_name"]["user"]


def test_stored_attributions_tile_the_step_and_sum_to_one(demo: Demo) -> None:
    with Store(demo.store) as store:
        for summary in store.list_traces():
            for step in store.get_trace(summary.id).steps:
                for attribution in store.get_attributions(step.id):
                    check_tiling(attribution.segments, attribution.n_tokens)
                    assert float(attribution.scores.sum()) == pytest.approx(1.0, abs=1e-2)
                    assert np.isfinite(attribution.scores).all()
                    assert "".join(attribution.tokens[: len(step.prompt_ids or [])]).startswith(
                        "<|im_start|>"
                    )


def test_attribute_again_from_the_store_gives_the_recorded_scores(demo: Demo, default_model: Any) -> None:
    """Explained in the agent's process from the kept capture, and here by a forward: the same scores."""
    from flashtrace_agent.explain import explain_step

    with Store(demo.store) as store:
        step = next(step for step in store.get_trace(store.list_traces()[0].id).steps if step.kind == "model")
        recorded = {a.target_name: a for a in store.get_attributions(step.id)}
    again = explain_step(default_model, step)
    assert {result.target_name for result in again} == set(recorded)
    for result in again:
        largest = float(result.scores.max())
        np.testing.assert_allclose(result.scores, recorded[result.target_name].scores, atol=2e-3 * largest)


def test_attribute_and_html_export_from_the_command_line(demo: Demo, tmp_path: Path) -> None:
    trace = traces(demo)[0]["id"]
    outcome = command(
        "attribute", trace, "--step", "1", "--target", "tool_name", "--store", demo.store, "--json"
    )
    assert outcome.returncode == 0, outcome.stderr
    (result,) = json.loads(outcome.stdout)
    assert result["target"] == "tool_name"
    assert result["segments"][0]["share"] > 0

    page = tmp_path / "step.html"
    outcome = command("show", trace, "--step", "1", "--html", str(page), "--store", demo.store)
    assert outcome.returncode == 0, outcome.stderr
    assert "tool_name" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--step", "1", "--target", "magic"], "has no target 'magic'"),
        (["--target", "argument:colour_of_the_sky"], "No step of trace"),
        (["--step", "1", "--target", "5:999999"], "outside step"),
        (["--step", "1", "--model", "./no/such/folder"], "There is no folder"),
        (["--method", "magic"], "There is no method 'magic'"),
    ],
)
def test_a_wrong_request_gets_one_sentence(demo: Demo, arguments: list[str], words: str) -> None:
    # In this process, because each new one would spend seconds on importing torch.
    with Store(demo.store) as store:
        trace = store.list_traces()[0].id
    outcome = CliRunner().invoke(app, ["attribute", trace, *arguments, "--store", demo.store])
    assert outcome.exit_code == 1
    assert words in outcome.stderr
    assert len([line for line in outcome.stderr.splitlines() if line.startswith("Error:")]) == 1
