"""What each part of the method `walk` is worth: the same walk with one thing changed at a time.

    python benchmarks/variants.py --model benchmarks/models/chain --examples 40 --output FILE

Every matrix is spelled out, as in the tests' oracle, so that a variant is a few lines; the evaluator and its
metrics are those of ``flashtrace-agent eval``. Only tasks the method was chosen on are used: what it was
not chosen on is kept for `benchmarks/FAITHFULNESS.md`.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from flashtrace_agent.engine.attention_tiles import attention_tiles
from flashtrace_agent.engine.attributor import Attributor
from flashtrace_agent.engine.methods.walk import is_pause
from flashtrace_agent.engine.projection import dense_projection, unbiased_value
from flashtrace_agent.eval.evaluator import Effort, evaluate
from flashtrace_agent.eval.example import Example
from flashtrace_agent.eval.records import Records
from flashtrace_agent.eval.report import HEADINGS, gap
from flashtrace_agent.eval.scorers import Floats, Scorer, scorer_named
from flashtrace_agent.eval.summary import Group, groups
from flashtrace_agent.eval.tasks import TASKS

HERE = Path(__file__).parent
METRICS = (
    "recovery_5", "recovery_10", "rise_t", "mas_t", "comprehensiveness_t", "rise_g", "mas_g",
    "comprehensiveness_g",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parts:
    """One layer's rows: attention (H, R, N), values (H, N, d_h), W_O (H, d, d_h), x and y (R, d)."""

    attention: Tensor
    value: Tensor
    weight: Tensor
    entering: Tensor
    state: Tensor


@dataclass(frozen=True, slots=True)
class Variant:
    """A walk with some part changed; the defaults are the method itself."""

    about: str
    depth: float = 2.0
    predicting: float = 0.5
    in_reasoning: float = 0.25
    hops: int = 10_000
    direction: Callable[[Tensor], Tensor] = torch.sign
    heads_apart: bool = False
    against_mean: bool = False
    residual: bool = True
    scaled: bool = True
    pauses: bool = False

    def shares(self, layers: list[Parts]) -> Tensor:
        """Return float64 (R, N), what each row comes from."""
        total = torch.zeros(layers[0].attention.shape[1:], dtype=torch.float64)
        for number, parts in enumerate(layers, start=1):
            direction = self.direction(parts.state)  # (R, d)
            along = torch.einsum("rd,hde->hre", direction, parts.weight)  # (H, R, d_h)
            projected = torch.einsum("hre,hne->hrn", along, parts.value)  # (H, R, N)
            if self.against_mean:  # what a head would bring without this token
                projected = projected - (parts.attention * projected).sum(-1, keepdim=True)
            brought = parts.attention * projected
            near = brought.clamp_min(0).sum(0) if self.heads_apart else brought.sum(0).clamp_min(0)  # (R, N)
            kept = (direction * parts.entering).sum(-1).clamp_min(0) * self.residual  # (R,)
            whole = (near.sum(-1) + kept).clamp_min(1e-30)
            total += (number / len(layers)) ** self.depth * (near / whole[:, None]).double()
        return total / total.sum(1, keepdim=True) if self.scaled else total

    def score(self, shares: Tensor, first: int, example: Example) -> Floats:
        """Return where walks end, (N,); row 0 of `shares` belongs to position `first`."""
        n_tokens = shares.shape[1]
        rows = np.zeros((n_tokens, n_tokens))
        rows[first:] = shares.numpy()
        steps = (1 - self.predicting) * rows
        steps[1:] += self.predicting * rows[:-1]
        underway = np.zeros(n_tokens)
        for span in example.target:
            underway[span.start : span.end] = 1.0
        through = np.zeros(n_tokens, dtype=np.bool_)
        for span in example.through:
            through[span.start : span.end] = True
        underway /= underway.sum()
        if through.any():
            underway = (1 - self.in_reasoning) * underway + self.in_reasoning * through / through.sum()
        ends = np.zeros(n_tokens)
        for _ in range(self.hops + 1):
            reached = underway @ steps
            ends += np.where(through, 0.0, reached)
            underway = np.where(through, reached, 0.0)
            if underway.sum() < 1e-6:
                break
        ends[example.n_prompt :] = 0.0
        return ends


def unit(state: Tensor) -> Tensor:
    """Return the state's direction by length."""
    return state / state.norm(dim=-1, keepdim=True)


VARIANTS = {
    "own-rows": Variant("a token's own row alone explains it, as in FlashTrace", predicting=0.0),
    "predicting-rows": Variant("the row before a token alone explains it", predicting=1.0),
    "from-the-target": Variant("every walk starts at the target", in_reasoning=0.0),
    "from-anywhere": Variant("half of the walks start in the reasoning", in_reasoning=0.5),
    "one-hop": Variant("the walk is broken off after one hop through the reasoning", hops=1),
    "no-hop": Variant("nothing passes through the reasoning", hops=0),
    "all-layers-alike": Variant("every layer counts the same", depth=0.0),
    "layers-by-depth": Variant("layer l counts l / L", depth=1.0),
    "layers-by-cube": Variant("layer l counts (l / L)³", depth=3.0),
    "by-length": Variant("y / ‖y‖₂ instead of the sign of y", direction=unit),
    "heads-apart": Variant("each head's pull is cut at zero before they are added", heads_apart=True),
    "against-mean": Variant("a value counts by what it differs from the head's mean", against_mean=True),
    "no-residual": Variant("the residual stream takes no share of a layer", residual=False),
    "with-pauses": Variant("spacing and sentence marks keep their scores", pauses=True),
    "unscaled": Variant("a row counts by how much its layers took from attention", scaled=False),
}


class VariantScorer(Scorer):
    """A variant as the evaluator takes it."""

    passes = "not counted"

    def __init__(self, name: str) -> None:
        self.name = name
        self._variant = VARIANTS[name]

    def score(self, attributor: Attributor, example: Example) -> Floats:
        """Score the example; see `Scorer.score`."""
        layers = spell_out(attributor, example)
        scores = self._variant.score(self._variant.shares(layers), example.n_prompt - 1, example)
        if not self._variant.pauses:
            scores[[is_pause(piece) for piece in attributor.pieces(example.ids)]] = 0.0
        return scores


@lru_cache(maxsize=1)
def spell_out(attributor: Attributor, example: Example) -> list[Parts]:
    """Return every layer's matrices for the rows from the last prompt token on; all variants share them."""
    rows = np.arange(example.n_prompt - 1, len(example.ids))
    capture = attributor.capture(example.ids, rows)
    found = []
    with torch.inference_mode():
        modules = attributor.family.layers(attributor.model)
        for layer, module in zip(capture.layers, modules, strict=True):
            projection = dense_projection(layer, attributor.family, module)
            attention = torch.zeros(layer.query.shape[0], len(rows), len(example.ids))
            for tile in attention_tiles(layer, layer.query, capture.rows):
                attention[:, tile.start : tile.stop, tile.low : tile.high] = tile.attention
            value = unbiased_value(layer, projection)
            value = value.repeat_interleave(len(attention) // len(value), dim=0)  # (H, N, d_h)
            attended = torch.einsum("hre,hde->rd", attention @ value, projection.weight) + projection.offset
            state = layer.state.float()
            found.append(Parts(attention, value, projection.weight, state - attended, state))
    return found


def report(found: list[Group], command: str) -> str:
    """Return the differences to the method itself as Markdown."""
    lines = ["# Parts of the method `walk`, one changed at a time", "", f"`{command}`", ""]
    lines += [
        "Mean paired difference to `walk` with its 95 % interval, every group weighing the same; **bold** "
        "where the interval excludes zero. Metrics as in [FAITHFULNESS.md](FAITHFULNESS.md).",
        "",
    ]
    for group in found:
        solved = ", ".join(f"{count} of `{name}`" for name, count in group.solved.items())
        lines.append(f"- {group.model}: {solved}")
    lines += ["", "| changed | " + " | ".join(HEADINGS[metric] for metric in METRICS) + " |"]
    lines.append("| --- |" + " ---: |" * len(METRICS))
    names = {"flashtrace": "the method `flashtrace`"} | {name: VARIANTS[name].about for name in VARIANTS}
    for name, about in names.items():
        lines.append(f"| {about} | " + " | ".join(gap(found, name, "walk", m) for m in METRICS) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every variant, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", help="by default the chain model and smollm2")
    parser.add_argument("--examples", type=int, default=20, help="of each group of tasks")
    parser.add_argument("--results", type=Path, help="JSON Lines of what is finished; goes on from it")
    parser.add_argument("--output", type=Path, help="write the table there, as Markdown")
    options = parser.parse_args()
    scorers = [scorer_named("walk"), scorer_named("flashtrace"), *(VariantScorer(name) for name in VARIANTS)]
    records = Records(options.results)
    effort = replace(Effort(examples=20, groups=10, subsets=0), examples=options.examples)
    names = options.model or [str(HERE / "models" / "chain"), "smollm2"]
    held_in = [task for task in TASKS.values() if task.held_in]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for name in names:
            own = [task() for task in held_in if (task.name == "chain") == Path(name).is_dir()]
            attributor = Attributor.from_pretrained(name)
            wanted = effort.examples * len({task.group for task in own})
            bar = progress.add_task(name, total=wanted)
            evaluate(attributor, own, scorers, effort, records, tick=lambda _, at=bar: progress.advance(at))
    text = report(groups(records), shlex.join(["python", *sys.argv]))
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
