"""`attribute` on a selection: queued, or computed here and written in batches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import TargetError
from flashtrace_agent.integrations.ray_data import Explained
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step, Trace, make_id

from .conftest import START, Run


@pytest.fixture
def steps(trace: Trace, store_url: str) -> list[Step]:
    """Return three more steps of the run, with ids and without attributions."""
    first = trace.steps[0]
    added = [replace(first, id=make_id(START, f"more {number}"), model=f"m{number}") for number in range(3)]
    with Store(store_url) as store:
        store.write_steps(added)
    return sorted(added, key=lambda step: step.id)


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch, trace: Trace, steps: list[Step], store_url: str) -> list[str]:
    """Let steps be explained without a model; return the ids of those that were."""
    with Store(store_url) as store:
        (known,) = store.get_attributions(trace.steps[0].id)
    asked: list[str] = []

    def explain_step(
        _: object, step: Step, targets: Sequence[str] | None = None, **__: Any
    ) -> list[Attribution]:
        asked.append(step.id)
        if step.model == "m1":
            raise TargetError("There is nothing to attribute.")
        return [known]

    monkeypatch.setattr("flashtrace_agent.explain.explain_step", explain_step)
    monkeypatch.setattr("flashtrace_agent.cli.loaded_model.load_attributor", lambda *_: None)
    return asked


def test_a_selection_is_queued(run: Run, steps: list[Step], store_url: str) -> None:
    """Only what is not attributed yet, each step once; nothing is computed."""
    assert run("attribute", "--all", "--queue").stdout.startswith("Queued 3 steps.")
    assert json.loads(run("attribute", "--where", "status = error", "--queue", "--json").stdout) == {
        "queued": 0
    }
    with Store(store_url) as store:
        assert store.jobs.counts()["queued"] == 3


def test_a_trace_is_queued(run: Run, trace: Trace, store_url: str) -> None:
    """Every attributable step of it, or one with its targets."""
    assert run("attribute", trace.id, "--queue").stdout.startswith("Queued 1 step.")
    assert run("attribute", trace.id, "--step", "1", "--target", "answer", "--queue").exit_code == 0
    with Store(store_url) as store:
        assert {job.targets for job in store.jobs.lease("me", count=9)} == {None, ("answer",)}


def test_a_selection_is_computed_and_goes_on_where_it_stopped(
    run: Run, steps: list[Step], explained: list[str], store_url: str
) -> None:
    """What failed is told and tried again, what is written is not."""
    outcome = run("attribute", "--all")
    assert outcome.exit_code == 1
    assert outcome.stdout == "Attributed 2 of 3 steps: 2 attributions.\n"
    assert "1 step failed" in outcome.stderr
    assert "There is nothing to attribute." in outcome.stderr
    assert explained == [step.id for step in steps]
    again = run("attribute", "--all", "--json")
    assert json.loads(again.stdout)["steps"] == 0
    assert len(explained) == 4
    with Store(store_url) as store:
        assert [len(store.get_attributions(step.id)) for step in steps] == [
            0 if step.model == "m1" else 1 for step in steps
        ]


def test_each_step_of_a_trace_is_attributed_by_its_own_model(
    run: Run, steps: list[Step], explained: list[str], store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where one model plans and another one acts."""
    with Store(store_url) as store:
        store.delete_steps([step.id for step in steps if step.model == "m1"])
    loaded: list[str | None] = []
    monkeypatch.setattr(
        "flashtrace_agent.cli.loaded_model.load_attributor", lambda _, recorded, *__: loaded.append(recorded)
    )
    assert run("attribute", steps[0].trace_id).exit_code == 0
    assert set(loaded) == {None, "m0", "m2"}


def test_a_cluster_loads_each_model_for_its_own_steps(
    run: Run, trace: Trace, steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after another; a model that is named serves them all."""
    asked: dict[str, list[str]] = {}

    def explain_on_ray(_: str, step_ids: list[str], *, model: str, **__: Any) -> Iterator[Explained]:
        asked[model] = step_ids
        return iter([Explained(step_id, [], "", "node") for step_id in step_ids])

    monkeypatch.setattr("flashtrace_agent.integrations.ray_data.explain_on_ray", explain_on_ray)
    monkeypatch.setattr("logging.disable", lambda _: None)
    assert run("attribute", "--all", "--engine", "ray").exit_code == 0
    assert asked == {step.model: [step.id] for step in steps}
    asked.clear()
    assert run("attribute", "--all", "--engine", "ray", "--model", "mine").exit_code == 0
    assert asked == {"mine": [step.id for step in steps]}


def test_the_hops_asked_for_are_told(
    run: Run, trace: Trace, explained: list[str], store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever number of passes the method keeps: the walk has two."""
    with Store(store_url) as store:
        (known,) = store.get_attributions(trace.steps[0].id)
    found = [replace(known, settings={"hops": 3})]
    monkeypatch.setattr("flashtrace_agent.explain.explain_step", lambda *_, **__: found)
    told = json.loads(run("attribute", trace.id, "--step", "1", "--hops", "3", "--json").stdout)
    assert told[0]["hops"] == 3


def test_steps_that_are_deleted_meanwhile_cost_no_other(
    run: Run, steps: list[Step], explained: list[str], store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One while it is computed, one before it is read."""
    first, second, third = (step.id for step in steps)
    with Store(store_url) as store:
        store.write_steps([replace(step, model="m0") for step in steps])

    def load(*_: object) -> None:
        with Store(store_url) as store:
            store.delete_steps([first, second])

    monkeypatch.setattr("flashtrace_agent.cli.loaded_model.load_attributor", load)
    outcome = run("attribute", "--all")
    assert (outcome.exit_code, explained) == (1, [first, third])
    assert "2 steps failed" in outcome.stderr
    assert f"step {second}: No step has an id" in outcome.stderr
    assert f"step {first}: Step {first} is not in the store" in outcome.stderr
    with Store(store_url) as store:
        assert len(store.get_attributions(third)) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Give either a TRACE"),
        (["0", "--all"], "Give either a TRACE"),
        (["--all", "--target", "answer"], "a selection is attributed whole"),
        (["--all", "--address", "auto"], "go with --engine ray"),
        (["0", "--engine", "ray"], "go with --engine ray"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run: Run, arguments: list[str], sentence: str) -> None:
    """As wrong usage."""
    outcome = run("attribute", *arguments)
    assert outcome.exit_code == 2
    assert sentence in " ".join(outcome.stderr.replace("│", " ").split())
