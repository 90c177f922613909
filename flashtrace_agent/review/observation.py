"""What one attributed step says about the lines of its prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.trace import Step, Trace

from .chance import chance_levels
from .lines import Layout, lay_out
from .recovery import recorded_recovery, recovery

Floats = npt.NDArray[np.float64]
Kind = Literal["tool", "argument", "call", "answer"]

KINDS: tuple[Kind, ...] = ("tool", "argument", "answer")
"""The three choices a line can influence: which tool, which arguments, which answer."""


@dataclass(frozen=True, slots=True)
class TargetShares:
    """Where one target of a step came from.

    Shares are of what fell on the prompt's text; what rests on the chat template is set aside.

    Attributes:
        name: the attributed target: ``tool_name``, ``argument:item#2``, ``answer``, …
        kind: ``tool`` (its name, or a failed attempt at a call), ``argument``, ``call`` (a whole call) or
            ``answer``.
        call: which of the step's calls, from 0; None for an answer or an attempt without a name.
        text: the target's words.
        shares: (n_lines,) share of each line of the step's layout; they sum to 1.
        instruction_chance: (n_lines,) share by chance among the prompt owner's lines; NaN for others.
        instruction_above: (n_lines,) True where an owner's line is above 95 % of the windows.
        text_above: (n_lines,) the same among all lines of the text.
        segments: share of each segment of the prompt.
        segments_above: segments above 95 % of windows of their length in the text.
        template: share of the whole score that rests on the template.
        recovery: Recovery@10 % of an injected text that the trace's metadata names; None without one.
        recorded_recovery: the same, as recorded with imported scores.
        reasoning: share of hop 0 that stands on the step's own reasoning, template aside; None where
            the step has no reasoning before the target.
    """

    name: str
    kind: Kind
    call: int | None
    text: str
    shares: Floats
    instruction_chance: Floats
    instruction_above: npt.NDArray[np.bool_]
    text_above: npt.NDArray[np.bool_]
    segments: dict[str, float]
    segments_above: frozenset[str]
    template: float
    reasoning: float | None
    recovery: float | None = None
    recorded_recovery: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """A model step with its prompt's lines and the targets that are attributed.

    Attributes:
        step: the step; its input, tools and calls are read, its ids are used by the ablation.
        trace: its trace's header.
        layout: the lines of the prompt.
        segment_tokens: tokens of each segment of the prompt, ``template`` included.
        targets: one per attributed target.
        model: the model that explained it.
        method: the attribution method.
        hops: hops asked for.
        fidelity: of the token ids.
    """

    step: Step
    trace: Trace
    layout: Layout
    segment_tokens: dict[str, int]
    targets: tuple[TargetShares, ...]
    model: str
    method: str
    hops: int
    fidelity: str

    @property
    def tokenizer(self) -> str:
        """Name of the recorded tokenizer, empty where it is not known."""
        return str(self.step.settings.get("tokenizer") or "")


def observe(trace: Trace, step: Step, attributions: Sequence[Attribution]) -> Observation | None:
    """Read a step's attributions of one method and depth; None where they have no segments.

    Args:
        trace: the header of the step's trace.
        step: a model step.
        attributions: of that step, all with the same method and hops.
    """
    usable = [one for one in attributions if one.segments]
    if not usable:
        return None
    first = usable[0]
    layout = lay_out(step.input, step.tools, first.segments, first.tokens)
    segment_tokens: dict[str, int] = {}
    for segment in first.segments:
        if segment.message != -1:
            segment_tokens[segment.name] = segment_tokens.get(segment.name, 0) + len(segment.span)
    targets = []
    for one in usable:
        role = _role(one)
        if role is None or len(one.scores) != len(layout.line_of_token):
            continue
        found = _shares(one, *role, layout, segment_tokens)
        if found is not None:
            rates = (recovery(trace, one, layout), recorded_recovery(one))
            targets.append(replace(found, recovery=rates[0], recorded_recovery=rates[1]))
    return Observation(
        step=step,
        trace=trace,
        layout=layout,
        segment_tokens=segment_tokens,
        targets=tuple(targets),
        model=first.model or step.model or "",
        method=first.method,
        hops=first.asked_hops,
        fidelity=str(first.fidelity),
    )


def _role(attribution: Attribution) -> tuple[Kind, int | None] | None:
    """Return what a target is and of which call; None for reasoning and anything else."""
    name, _, number = attribution.target_name.partition("#")
    call = int(number) - 1 if number.isdigit() else 0
    if name == "tool_name":
        return "tool", call
    if name == "invalid_call":
        return "tool", None
    if name.startswith("argument:"):
        return "argument", call
    if name == "answer":
        return "answer", None
    if name == "reasoning":
        return None
    # A span given in tokens: a call if it lies in one.
    calls = [s for s in attribution.segments if s.message == -1 and s.name.startswith("tool_call:")]
    for index, segment in enumerate(calls):
        if any(span.overlaps(segment.span) for span in attribution.target):
            return "call", index
    return None


def _shares(
    attribution: Attribution,
    kind: Kind,
    call: int | None,
    layout: Layout,
    segment_tokens: Mapping[str, int],
) -> TargetShares | None:
    """Divide a target's scores among the prompt's lines; None where nothing fell on its text."""
    on_text = layout.line_of_token >= 0  # (n_tokens,)
    scores = attribution.scores.astype(np.float64)
    total = scores[on_text].sum()
    if not np.isfinite(total) or total <= 0:
        return None
    whole = scores[: len(on_text)].sum()
    scores /= total
    n_lines, owned = len(layout.lines), layout.owned
    line_of_text = layout.line_of_token[on_text]  # (n_text,)
    shares: Floats = np.bincount(line_of_text, weights=scores[on_text], minlength=n_lines).astype(np.float64)
    segments: dict[str, float] = {}
    for line, share in zip(layout.lines, shares.tolist(), strict=True):
        segments[line.segment] = segments.get(line.segment, 0.0) + share
    among_owned = chance_levels(scores[on_text][owned[line_of_text]], layout.lengths[owned])
    instruction_chance = np.full(n_lines, np.nan)
    instruction_chance[owned] = among_owned.share
    instruction_above = np.zeros(n_lines, dtype=bool)
    instruction_above[owned] = shares[owned] > among_owned.threshold
    sizes = np.array([segment_tokens[name] for name in segments], dtype=np.int64)
    free = chance_levels(scores[on_text], np.concatenate([layout.lengths, sizes]))
    return TargetShares(
        name=attribution.target_name,
        kind=kind,
        call=call,
        text=attribution.target_text,
        shares=shares,
        instruction_chance=instruction_chance,
        instruction_above=instruction_above,
        text_above=shares > free.threshold[:n_lines],
        segments=segments,
        segments_above=frozenset(
            name
            for name, threshold in zip(segments, free.threshold[n_lines:].tolist(), strict=True)
            if segments[name] > threshold
        ),
        template=float(1 - total / whole),
        reasoning=_on_reasoning(attribution, on_text),
    )


def _on_reasoning(attribution: Attribution, on_text: npt.NDArray[np.bool_]) -> float | None:
    """Return which part of hop 0, template aside, stands on the reasoning the step wrote before."""
    end = max(span.start for span in attribution.target)
    own = np.zeros(len(on_text), dtype=bool)
    for segment in attribution.segments:
        if segment.message == -1 and segment.name == "reasoning" and segment.span.start < end:
            own[segment.span.start : segment.span.end] = True
    if not own.any() or not attribution.hops:
        return None
    scores = attribution.hops[0].scores.astype(np.float64)
    reasoning, text = scores[own].sum(), scores[on_text].sum()
    return float(reasoning / (reasoning + text)) if reasoning + text > 0 else None


def call_arguments(step: Step, call: int | None) -> tuple[str, Mapping[str, object]]:
    """Return a call's tool and arguments; empty where there is no such call or no JSON object."""
    calls = step.output.tool_calls if step.output is not None else ()
    if call is None or call >= len(calls):
        return "", {}
    arguments: object = calls[call].arguments
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = {}
    return calls[call].name, arguments if isinstance(arguments, Mapping) else {}
