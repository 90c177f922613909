"""Run the model again without a line: does it still do what it did?

For every sampled step, with the line taken out of its messages and the prompt rendered anew:

1. The recorded completion is forced through the model; the log-probabilities of the action's tokens (the
   calls' names and arguments, or the answer) are held against those with the whole prompt.
2. A line under which no action became much less likely is decoded too, greedily, from the first token
   that is no longer the most likely one; up to there greedy decoding cannot differ. The action that comes
   out is held against the one that comes out of the whole prompt.

Greedy decoding hangs by a hair where the most likely token leads the next one by less than 0.2 nats: edits
as small as those that step 1 lets pass turn it. A step with such a token before the end of its action is
unstable: what it decodes counts only if that happens in more than one sampled step of ten.

A line passes if every stable step does the same and the log-probabilities hold; the first step that does
something else ends its decoding. Then the lines that passed are taken out all at once, and the costliest put
back until that passes too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flashtrace_agent.message import Message, ToolSchema
from flashtrace_agent.prompt.chat_template import ChatTemplate, choose_template
from flashtrace_agent.prompt.segmentation import parse_step
from flashtrace_agent.prompt.targets import step_targets
from flashtrace_agent.trace import Step

from .dead_weight import DeadWeight
from .line_check import check_lines
from .lines import Line, stands_in
from .observation import Observation
from .proofs import Proofs
from .removal import remove_lines
from .verdict import HAIR, AblatedStep, Ablation, is_as_likely, judge

if TYPE_CHECKING:
    from flashtrace_agent.engine.attributor import Attributor
    from flashtrace_agent.engine.log_prob import ForcedTokens

_FURTHER_TOKENS = 32
"""Tokens a decoded completion may have beyond the recorded one's."""


@dataclass(slots=True)
class _Sample:
    """A step in the model's terms: its template, its prompt with all lines, what it did, and how surely."""

    step: Step
    template: ChatTemplate
    prompt: list[int]
    completion: list[int]
    action: npt.NDArray[np.bool_]
    forced: ForcedTokens
    does: str
    stable: bool


@dataclass(frozen=True, slots=True)
class _Run:
    """One step without some lines."""

    sample: _Sample
    prompt: list[int]
    forced: ForcedTokens

    @property
    def drop(self) -> float:
        action = self.sample.action
        return float(
            (self.sample.forced.log_probs[action] - self.forced.log_probs[action]).sum(dtype=np.float64)
        )


class Ablator:
    """Checks the candidates of a group with the model that wrote its steps.

    Args:
        attributor: holds the model and the tokenizer.
        sample: steps to run per line.
        tick: called after each line with its words, for a progress bar.
        proofs: what was found before, and where to keep what is found.
    """

    def __init__(
        self,
        attributor: Attributor,
        sample: int,
        tick: Callable[[str], None] = lambda _: None,
        proofs: Proofs | None = None,
    ) -> None:
        self._model = attributor.model
        self._tokenizer = attributor.tokenizer
        self._count = sample
        self._tick = tick
        self._proofs = proofs
        self._samples: dict[str, _Sample] = {}

    def check(self, dead: DeadWeight, observations: Sequence[Observation]) -> DeadWeight:
        """Return the candidates with what the re-runs showed.

        Raises:
            FlashTraceError: if a step's prompt cannot be rendered with the model's tokenizer.
        """
        return check_lines(dead, observations, self._count, self._prove, self._tick)

    def _prove(self, lines: Sequence[Line], observations: Sequence[Observation]) -> Ablation:
        """Return what running steps without lines showed before, or else run them and keep it."""
        found = self._proofs.find(lines, observations) if self._proofs is not None else None
        if found is None:
            found = self._without(lines, observations)
            if self._proofs is not None:
                self._proofs.keep(lines, found)
        return found

    def _without(self, lines: Sequence[Line], observations: Sequence[Observation]) -> Ablation:
        """Run steps without lines; steps that have only some of them lose those."""
        runs: list[tuple[Observation, _Run]] = []
        for one in observations:
            there = [line for line in lines if stands_in(line, one.layout.lines)]
            edited = remove_lines(one.step, there) if there else None
            if edited is None:
                continue
            sample = self._sample(one.step)
            prompt = self._ids(sample.template, *edited)
            forced = self._force([(prompt, sample.completion)])[0]
            runs.append((one, _Run(sample, prompt, forced)))
        if not runs:
            return judge(())
        likely = is_as_likely([run.drop for _, run in runs])
        steps: list[AblatedStep] = []
        for one, run in runs:
            # One step that does something else is enough: decoding is what takes the time.
            decode = likely and all(step.same is not False for step in steps if step.stable)
            steps.append(self._step(one, run, decode=decode))
        return judge(steps)

    def _step(self, one: Observation, run: _Run, *, decode: bool) -> AblatedStep:
        does = run.sample.does
        instead = does
        if decode:
            written = self._decoded(run.sample.completion, run.prompt, run.forced)
            instead = self._does(one.step, run.prompt, written)
        return AblatedStep(
            trace_id=one.trace.id,
            step_id=one.step.id,
            action=does,
            drop=run.drop,
            stable=run.sample.stable,
            same=instead == does if decode else None,
            instead=instead if instead != does else None,
            tokens=len(run.sample.prompt) - len(run.prompt),
        )

    def _sample(self, step: Step) -> _Sample:
        """Prepare a step once: what it did with the whole prompt is asked of the same rendering."""
        if step.id not in self._samples:
            template = choose_template(
                self._tokenizer,
                step.input,
                step.tools,
                chat_template=step.settings.get("chat_template"),
                template_kwargs=step.settings.get("template_kwargs"),
            )
            prompt = self._ids(template, step.input, step.tools)
            completion = list(step.completion_ids or ())
            forced = self._force([(prompt, completion)])[0]
            written = self._decoded(completion, prompt, forced)
            greedy = forced if written == completion else self._force([(prompt, written)])[0]
            self._samples[step.id] = _Sample(
                step=step,
                template=template,
                prompt=prompt,
                completion=completion,
                action=_action_tokens(self._tokenizer, step),
                forced=forced,
                does=self._does(step, prompt, written),
                stable=bool((greedy.leads >= HAIR).all()),
            )
        return self._samples[step.id]

    def _ids(
        self, template: ChatTemplate, messages: Sequence[Message], tools: Sequence[ToolSchema]
    ) -> list[int]:
        text = template.render(messages, tools)
        return [int(token) for token in self._tokenizer(text, add_special_tokens=False)["input_ids"]]

    def _force(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[ForcedTokens]:
        from flashtrace_agent.engine.log_prob import force_tokens

        sequences = [prompt + completion for prompt, completion in pairs]
        return force_tokens(self._model, sequences, [len(prompt) for prompt, _ in pairs])

    def _decoded(self, completion: list[int], prompt: list[int], forced: ForcedTokens) -> list[int]:
        """Return what greedy decoding writes after a prompt, taken up where it leaves the recorded text."""
        if forced.greedy.all():
            return completion
        agreed = completion[: int(np.argmin(forced.greedy))]
        limit = len(completion) - len(agreed) + _FURTHER_TOKENS
        return agreed + self._decode([*prompt, *agreed], limit)

    def _does(self, step: Step, prompt: list[int], completion: list[int]) -> str:
        return _action(self._tokenizer, replace(step, prompt_ids=prompt, completion_ids=completion))

    def _decode(self, ids: list[int], limit: int) -> list[int]:
        import torch

        from flashtrace_agent.engine.placement import input_device
        from flashtrace_agent.model_lock import model_lock

        prompt = torch.tensor([ids], device=input_device(self._model))  # (1, n)
        with model_lock(self._model), torch.no_grad():
            # Greedy in the plain sense: the model's own sampling settings and penalties are switched off.
            output: Any = self._model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=limit,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                repetition_penalty=1.0,
                pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
            )
        return [int(token) for token in output[0, len(ids) :]]


def _action_tokens(tokenizer: Any, step: Step) -> npt.NDArray[np.bool_]:
    """Mark the completion's tokens that are its action: names, arguments, failed calls, the answer."""
    action = np.zeros(len(step.completion_ids or ()), dtype=bool)
    offset = len(step.prompt_ids or ())
    for name, spans in step_targets(tokenizer, step).items():
        if name != "reasoning":
            for span in spans:
                action[span.start - offset : span.end - offset] = True
    if not action.any():
        action[:] = True  # nothing but reasoning: all of it is what the step did
    return action


def _action(tokenizer: Any, step: Step) -> str:
    """Return what a completion does, in words that are equal where the action is."""
    _, completion = parse_step(tokenizer, step)
    if not completion.calls and not completion.invalid_calls:
        return " ".join(completion.answer.split()) or "(says nothing)"
    calls = [f"{call.name}({_arguments(call.arguments)})" for call in completion.calls]
    calls += ["(a call that cannot be read)" for _ in completion.invalid_calls]
    return "; ".join(calls)


def _arguments(arguments: Mapping[str, Any]) -> str:
    pairs = sorted(arguments.items())
    return ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False, sort_keys=True)}" for name, value in pairs
    )
