"""The decoding loop: token ids in, token ids out, one at a time.

A loop of our own instead of `model.generate`, because an agent re-sends its whole history with
each call: the keys and values of the longest common prefix are taken over from the call before,
and only the new tokens are run. Greedy decoding gives the ids `model.generate(do_sample=False)`
gives.

1. Take over the cache for the longest common prefix; at least the last token is run again.
2. Run the rest of the prompt at once, then each chosen token alone.
3. Choose: the largest logit, or a draw after transformers' temperature, top-k and top-p.
4. Put the cache back, and keep what attribution needs, however the loop ends.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    DynamicCache,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.cache_utils import DynamicLayer

from flashtrace_agent.engine.capture import Recorder
from flashtrace_agent.engine.families import family_of
from flashtrace_agent.engine.kept import kept_captures
from flashtrace_agent.engine.placement import input_device
from flashtrace_agent.engine.rotary import frequency_switch
from flashtrace_agent.errors import UnsupportedModelError
from flashtrace_agent.model_lock import model_lock


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen.

    Attributes:
        temperature: 0 for the most likely token each time; above, draws from flatter and
            flatter distributions.
        top_k: draw from the k most likely tokens only; None for all.
        top_p: draw from the most likely tokens that hold this share together; None for all.
        seed: makes the draws repeatable; None for fresh ones.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None


class PrefixCache:
    """The keys and values of the last sequence that was run, for the next one to begin with.

    One sequence at most is kept. `take` hands it out for good, so two generations that overlap
    never share one: the second starts afresh, and the last to end is kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: list[int] = []
        self._past: DynamicCache | None = None

    def take(self, input_ids: Sequence[int], switch: int | None = None) -> tuple[DynamicCache | None, int]:
        """Return a cache of a prefix of `input_ids` and its length; ``(None, 0)`` where there is none.

        The prefix is shorter than `input_ids`, because the last token's logits are needed. Keys made for
        a text up to `switch` tokens do not serve one beyond, nor the other way round (`engine.rotary`).
        """
        with self._lock:
            past, ids = self._past, self._ids
            self._past, self._ids = None, []
        if past is None or (switch is not None and (len(ids) > switch) != (len(input_ids) > switch)):
            return None, 0
        common = _common_prefix(ids, input_ids[:-1])
        surplus = len(ids) - common
        if common == 0 or (surplus and not _can_crop(past)):
            return None, 0
        if surplus:
            past.crop(-surplus)
        return past, common

    def put(self, ids: Sequence[int], past: DynamicCache) -> None:
        """Keep the cache of a sequence, in place of the one before."""
        with self._lock:
            self._past, self._ids = past, list(ids)

    def clear(self) -> None:
        """Free the memory."""
        with self._lock:
            self._past, self._ids = None, []


def generate(
    model: Any,
    input_ids: Sequence[int],
    *,
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
    sampling: Sampling | None = None,
    cache: PrefixCache | None = None,
    keep: bool = False,
) -> Generator[int, None, None]:
    """Yield the ids a causal LM writes after `input_ids`.

    The model's lock is held for each forward pass and released between them, so that an
    iterator may be left unfinished, or moved to another thread, at any token.

    Args:
        model: a transformers causal LM.
        input_ids: the prompt, at least one id.
        max_new_tokens: at most this many.
        stop_ids: ids that end the generation; the one that does is yielded too.
        sampling: how tokens are chosen; greedy by default.
        cache: where the keys and values of the call before are, and this call's will be.
        keep: keep what attribution needs (`flashtrace_agent.engine.kept`), so that explaining
            this text takes no forward pass.
    """
    sequence = list(input_ids)
    choose = _Chooser(model, sampling or Sampling())
    switch = frequency_switch(model.config)
    past, known = cache.take(sequence, switch) if cache is not None else (None, 0)
    if past is None:
        past, known = DynamicCache(config=model.config), 0
    extra = {"logits_to_keep": 1} if _takes_logits_to_keep(model) else {}
    device = input_device(model)
    recorder = _recorder(model, past, len(sequence), max_new_tokens) if keep else None
    intact = True
    try:
        for _ in range(max_new_tokens):
            pending = torch.tensor([sequence[known:]], device=device)  # (1, new tokens)
            intact = False
            with model_lock(model), torch.no_grad(), _recording(recorder, known, pending.shape[1]):
                output = model(input_ids=pending, past_key_values=past, use_cache=True, **extra)
                token = choose(sequence, output.logits[:, -1, :])
            intact = True
            known = len(sequence)
            sequence.append(token)
            yield token
            if token in stop_ids:
                return
            if known == switch:
                # The next token makes the text a long one, for which all keys are made anew.
                past, known, recorder = DynamicCache(config=model.config), 0, None
    finally:
        # A forward pass that raised may have extended some layers and not others.
        if cache is not None and intact:
            cache.put(sequence[:known], past)
        if recorder is not None and intact and known > len(input_ids):
            kept_captures(model).put(sequence, recorder.finish(known))


def _recorder(model: Any, past: DynamicCache, written_from: int, max_new_tokens: int) -> Recorder | None:
    """Return a recorder of the rows to be written, or None where nothing can be kept.

    Another attention implementation than SDPA would be changed by recording it, and a layer with a
    sliding window lets go of the keys attribution needs.
    """
    config = model.config.get_text_config(decoder=True)
    if config._attn_implementation != "sdpa" or not _can_crop(past):
        return None
    try:
        family = family_of(model)
    except UnsupportedModelError:
        return None  # such a model can be run, only not explained
    # The row before the first written token predicted it.
    rows = torch.arange(max(0, written_from - 1), written_from + max_new_tokens)
    return Recorder(family, model, rows)


@contextmanager
def _recording(recorder: Recorder | None, start: int, length: int) -> Iterator[None]:
    if recorder is None:
        yield
        return
    recorder.begin_chunk(start, length)
    with recorder.attached():
        yield


class _Chooser:
    """Picks the next id from the last position's logits, as transformers' `generate` would."""

    def __init__(self, model: Any, sampling: Sampling) -> None:
        self._greedy = sampling.temperature == 0
        self._processors = LogitsProcessorList()
        config = getattr(model, "generation_config", None)
        penalty = getattr(config, "repetition_penalty", None)
        if penalty is not None and penalty != 1.0:
            self._processors.append(RepetitionPenaltyLogitsProcessor(penalty))
        self._generator: torch.Generator | None = None
        if self._greedy:
            return
        self._processors.append(TemperatureLogitsWarper(sampling.temperature))
        if sampling.top_k is not None:
            self._processors.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p is not None and sampling.top_p < 1:
            self._processors.append(TopPLogitsWarper(sampling.top_p))
        if sampling.seed is not None:
            self._generator = torch.Generator(device="cpu").manual_seed(sampling.seed)

    def __call__(self, sequence: Sequence[int], logits: torch.Tensor) -> int:
        scores = logits.float()  # (1, vocabulary)
        if self._processors:
            scores = self._processors(torch.tensor([sequence], device=scores.device), scores)
        if self._greedy:
            return int(scores.argmax(dim=-1))
        # Drawn on the CPU, so that a seed means the same on every device.
        shares = scores.softmax(dim=-1).cpu()
        return int(torch.multinomial(shares, num_samples=1, generator=self._generator))


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    length = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        length += 1
    return length


def _can_crop(past: DynamicCache) -> bool:
    # Sliding windows and recurrent states have forgotten what a shorter sequence would need.
    return all(type(layer) is DynamicLayer for layer in past.layers)


def _takes_logits_to_keep(model: Any) -> bool:
    return "logits_to_keep" in inspect.signature(model.forward).parameters
