"""The check by ablation, on a real model."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flashtrace_agent.engine.log_prob import ForcedTokens
from flashtrace_agent.explain import explain_step
from flashtrace_agent.message import Message
from flashtrace_agent.prompt.rendering import render_prompt
from flashtrace_agent.review import build_report
from flashtrace_agent.review.ablation import Ablator
from flashtrace_agent.review.dead_weight import Candidate, DeadWeight
from flashtrace_agent.review.lines import Line
from flashtrace_agent.review.observation import Observation
from flashtrace_agent.review.report import Report
from flashtrace_agent.review.sampling import check_cost, sample_steps
from flashtrace_agent.review.verdict import MEAN_DROP, AblatedStep, Ablation
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id

from .prompts import PLAIN, START, run

SECRET = "The password of the day is orchid."
IDLE = "The office is on the second floor."
SYSTEM = f"You are the porter of a small house. Answer in one short sentence.\n{SECRET}\n{IDLE}"
QUESTIONS = (
    "What is the password of the day?",
    "Tell me the password of the day.",
    "Which password is it today?",
)


def test_the_sample_takes_every_trace_and_both_kinds_of_steps() -> None:
    report = build_report(entry for number in range(4) for entry in run(number))
    chosen = sample_steps(report.groups[0].observations, Line("system", "", PLAIN), 4)
    assert len({one.trace.id for one in chosen}) == 4
    assert {bool(one.step.output and one.step.output.tool_calls) for one in chosen} == {True, False}


def test_the_cost_counts_every_pass_once() -> None:
    group = build_report(entry for number in range(3) for entry in run(number)).groups[0]
    candidates = len(group.dead_weight.candidates)
    cost = check_cost(group.dead_weight, group.observations, 2)
    assert cost.runs == candidates * 2 + 2  # and once each step as it was


class ScriptedAblator(Ablator):
    """An ablator whose runs are made up: a line alone passes, two together fail."""

    def __init__(self, drops: dict[Line, float]) -> None:
        self._drops = drops
        self._count = 2
        self._tick = lambda _: None
        self._proofs = None

    def _without(self, lines: Any, observations: Any) -> Ablation:
        return Ablation((), 7.0, self._drops[lines[0]], 0.0, 0, len(lines) == 1, "")


def test_two_lines_that_each_pass_alone_may_fail_together() -> None:
    """Two sentences that say the same: the check of both at once must put one back."""
    group = build_report(entry for number in range(3) for entry in run(number)).groups[0]
    rows = [row for row in group.ledger if row.line.segment == "system" and row.line.text][:2]
    dead = DeadWeight(tuple(Candidate(row) for row in rows))
    checked = ScriptedAblator({rows[0].line: 0.0, rows[1].line: 0.05}).check(dead, group.observations)
    assert [one.verdict for one in checked.candidates] == ["removable", "removable"]
    assert [one.row.line for one in checked.removable] == [rows[0].line]
    assert checked.kept == (rows[1].line,)
    assert checked.tokens == 7


@pytest.fixture(scope="module")
def asked(default_model: Any) -> Report:
    """A review of three real steps: a secret is asked for that one line of the prompt tells."""
    entries = []
    for number, question in enumerate(QUESTIONS):
        messages = [Message("system", SYSTEM), Message("user", question)]
        prompt = render_prompt(default_model.tokenizer, messages)
        completion = list(default_model.tokenizer("The password of the day is orchid.")["input_ids"])
        moment = START.replace(minute=number)
        trace = Trace(make_id(moment, question), question, moment, status="ok")
        step = Step(
            make_id(moment, f"{question} step"),
            trace.id,
            "model",
            "smollm2",
            moment,
            status="ok",
            input=messages,
            output=Message("assistant", "The password of the day is orchid."),
            model="smollm2",
            prompt_ids=prompt.ids,
            completion_ids=completion,
            fidelity=Fidelity.EXACT,
        )
        entries.append((trace, step, explain_step(default_model, step, ["answer"])))
    return build_report(entries)


def as_candidates(report: Report, *texts: str) -> DeadWeight:
    """Return lines as candidates, whatever attribution says of them."""
    found = {row.line.text: row for row in report.groups[0].ledger if row.line.segment == "system"}
    return DeadWeight(tuple(Candidate(found[text]) for text in texts))


@pytest.mark.model
@pytest.mark.slow
def test_a_line_the_answer_needs_is_kept_whatever_attribution_says(default_model: Any, asked: Report) -> None:
    ticks: list[str] = []
    group = asked.groups[0]
    dead = Ablator(default_model, 3, ticks.append).check(
        as_candidates(asked, SECRET, IDLE), group.observations
    )
    secret, idle = dead.candidates
    assert secret.verdict == "needed"
    assert secret.ablation is not None
    assert idle.ablation is not None
    assert secret.ablation.mean_drop > 1
    assert abs(idle.ablation.mean_drop) < secret.ablation.mean_drop / 4
    assert ticks[:2] == [SECRET, IDLE]
    assert abs(len(default_model.tokenizer(SECRET)["input_ids"]) - secret.ablation.tokens) <= 1


@pytest.mark.model
@pytest.mark.slow
def test_the_drop_is_that_of_two_plain_forward_passes(default_model: Any, asked: Report) -> None:
    """Reference: run the prompt with and without the line, and read the log-probabilities off the logits."""
    import torch

    observation = asked.groups[0].observations[0]
    step = observation.step

    def log_prob(system: str) -> float:
        messages = [replace(step.input[0], content=system), *step.input[1:]]
        prompt = render_prompt(default_model.tokenizer, messages).ids
        completion = step.completion_ids or []
        with torch.no_grad():
            logits = default_model.model(torch.tensor([prompt + completion])).logits[0].float()
        table = logits.log_softmax(dim=-1)[len(prompt) - 1 : -1]
        return float(table[np.arange(len(completion)), completion].sum())

    expected = log_prob(SYSTEM) - log_prob(SYSTEM.replace(f"{SECRET}\n", ""))
    dead = Ablator(default_model, 1).check(as_candidates(asked, SECRET), [observation])
    assert dead.candidates[0].ablation is not None
    assert dead.candidates[0].ablation.steps[0].drop == pytest.approx(expected, abs=0.05)
    assert dead.tokens == 0
    assert expected > MEAN_DROP


class TurningAblator(Ablator):
    """An ablator without a model: the likelihoods hold, and the given steps do something else."""

    def __init__(self, stable: dict[str, bool], turned: set[str]) -> None:
        self._stable = stable
        self._turned = turned

    def _ids(self, template: Any, messages: Any, tools: Any) -> list[int]:
        return [1]

    def _sample(self, step: Step) -> Any:
        forced = ForcedTokens(np.zeros(1, np.float32), np.ones(1, bool), np.ones(1, np.float32))
        stable = self._stable[step.id]
        return SimpleNamespace(
            template=None,
            prompt=[1, 2],
            completion=[3],
            forced=forced,
            action=np.ones(1, bool),
            stable=stable,
        )

    def _force(self, pairs: Any) -> Any:
        return [ForcedTokens(np.zeros(1, np.float32), np.ones(1, bool), np.ones(1, np.float32))]

    def _step(self, one: Observation, run: Any, *, decode: bool) -> AblatedStep:
        same = one.step.id not in self._turned if decode else None
        return AblatedStep(one.trace.id, one.step.id, "a", 0.0, run.sample.stable, same, None, 1)


@pytest.mark.parametrize(
    ("stable", "turned", "removable"),
    [(12, 0, True), (12, 1, False), (6, 1, True), (6, 2, False), (0, 0, False)],
    ids=["same", "a stable step turns", "one turns by a hair", "two turn by a hair", "all hang by a hair"],
)
def test_one_step_in_ten_may_turn_by_a_hair_and_no_stable_one(
    stable: int, turned: int, removable: bool
) -> None:
    """Unstable steps come last, and the last ones turn."""
    observations = build_report(entry for number in range(6) for entry in run(number)).groups[0].observations
    ids = [one.step.id for one in observations]
    ablator = TurningAblator(
        {step: place < stable for place, step in enumerate(ids)}, set(ids[len(ids) - turned :])
    )
    found = ablator._without([Line("system", "", PLAIN)], observations)
    assert found.removable is removable
    assert found.tokens == 1
    assert found.reason
