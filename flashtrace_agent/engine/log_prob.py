"""How probable a model finds given tokens, teacher-forced, in many edited versions of one sequence.

Ablations, deletion metrics and checks all ask this: some tokens before a target are removed or
replaced, and the target's log-probability is read again. What all versions begin with runs once
and stays in a KV cache; the rest goes through in batches, padded at the right, which no causal
row can see. The language-model head runs only where a log-probability is wanted.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import DynamicCache

from ..errors import SequenceError
from ..model_lock import model_lock
from .placement import input_device
from .rotary import frequency_switch, read_as_whole

BATCH_TOKENS = 8192
"""Tokens of one batched forward."""
LOGIT_BYTES = 256 << 20
"""Bytes of one batch's float32 logits."""


@dataclass(frozen=True, slots=True)
class ForcedTokens:
    """What the model makes of the tokens it is made to write.

    Attributes:
        log_probs: float32 (n,), natural log-probability of each token given all before it.
        greedy: bool (n,), whether it is the model's most probable token there.
        leads: float32 (n,), by how many nats the most probable token leads the next one there.
    """

    log_probs: npt.NDArray[np.float32]
    greedy: npt.NDArray[np.bool_]
    leads: npt.NDArray[np.float32]

    @property
    def total(self) -> float:
        """Log-probability of all tokens together, in nats."""
        return float(self.log_probs.sum(dtype=np.float64))


def force_tokens(
    model: Any,
    sequences: Sequence[Sequence[int]],
    starts: Sequence[int],
    *,
    tick: Callable[[int], None] | None = None,
) -> list[ForcedTokens]:
    """Read the log-probabilities of the tokens from ``starts[i]`` to the end of each sequence.

    Args:
        model: a transformers causal LM in evaluation mode.
        sequences: token ids, each without padding; they may differ in length.
        starts: first token whose log-probability is wanted, by sequence; at least 1.
        tick: called with the number of sequences done since the last call, for a progress bar.

    Raises:
        SequenceError: if a start leaves no token to read or no token before it, or a
            log-probability is NaN.
    """
    if not sequences:
        return []
    for ids, start in zip(sequences, starts, strict=True):
        if not 1 <= start < len(ids):
            raise SequenceError(
                f"Log-probabilities from token {start} of {len(ids)} make no sense; "
                "start at 1 or later, before the end."
            )
    results: dict[int, ForcedTokens] = {}
    for group in _read_alike(model, sequences):
        forced = _force_alike(model, [sequences[i] for i in group], [starts[i] for i in group], tick)
        results.update(zip(group, forced, strict=True))
    return [results[index] for index in range(len(sequences))]


def _read_alike(model: Any, sequences: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the indices of sequences that can share keys, group by group (see `rotary`)."""
    switch = frequency_switch(model.config)
    if switch is None:
        return [list(range(len(sequences)))]
    short = [index for index, ids in enumerate(sequences) if len(ids) <= switch]
    long = [index for index, ids in enumerate(sequences) if len(ids) > switch]
    return [group for group in (short, long) if group]


def _force_alike(
    model: Any,
    sequences: Sequence[Sequence[int]],
    starts: Sequence[int],
    tick: Callable[[int], None] | None,
) -> list[ForcedTokens]:
    """Do what `force_tokens` does for sequences that can share keys."""
    shared = min(_common_prefix(sequences), min(starts) - 1)
    results: list[ForcedTokens | None] = [None] * len(sequences)
    with model_lock(model), torch.no_grad(), read_as_whole(model, max(map(len, sequences))):
        cache = _prefill(model, sequences[0][:shared]) if shared else None
        for batch in _batches(model, sequences, starts, shared):
            forced = _force_batch(
                model, [sequences[i][shared:] for i in batch], [starts[i] - shared for i in batch], cache
            )
            for index, tokens in zip(batch, forced, strict=True):
                results[index] = tokens
            if tick is not None:
                tick(len(batch))
    return [result for result in results if result is not None]


def _common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    columns = zip(*sequences, strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def _prefill(model: Any, ids: Sequence[int]) -> DynamicCache:
    # No configuration is given to the cache: it must keep all keys even where a layer's window is short.
    cache = DynamicCache()
    for start in range(0, len(ids), BATCH_TOKENS):
        chunk = list(ids[start : start + BATCH_TOKENS])
        part = torch.tensor([chunk], device=input_device(model))  # (1, chunk)
        model(input_ids=part, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache


def _batches(
    model: Any, sequences: Sequence[Sequence[int]], starts: Sequence[int], shared: int
) -> Iterator[list[int]]:
    """Yield indices of sequences of similar length that fit one forward together."""
    vocabulary = model.config.get_text_config(decoder=True).vocab_size
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]), reverse=True)
    batch: list[int] = []
    wanted = 0
    for index in order:
        longest = len(sequences[batch[0]] if batch else sequences[index]) - shared
        widest = max(wanted, longest - (starts[index] - shared) + 1)
        size = len(batch) + 1
        too_large = size * longest > BATCH_TOKENS or size * widest * vocabulary * 4 > LOGIT_BYTES
        if batch and too_large:
            yield batch
            batch, widest = [], len(sequences[index]) - starts[index] + 1
        batch.append(index)
        wanted = widest
    yield batch


def _force_batch(
    model: Any, sequences: list[Sequence[int]], starts: list[int], cache: DynamicCache | None
) -> list[ForcedTokens]:
    longest = max(map(len, sequences))
    padded = torch.zeros(len(sequences), longest, dtype=torch.long)  # (B, n)
    for row, ids in enumerate(sequences):
        padded[row, : len(ids)] = torch.tensor(list(ids))
    padded = padded.to(input_device(model))
    if cache is not None:
        cache = copy.deepcopy(cache)
        cache.batch_repeat_interleave(len(sequences))
    first = min(starts) - 1  # the row before a token predicts it
    output = model(
        input_ids=padded,
        past_key_values=cache,
        use_cache=cache is not None,
        logits_to_keep=longest - first,
    )
    logits: Tensor = output.logits  # (B, longest − first, V)
    following = padded[:, first + 1 :]  # (B, longest − first − 1)
    forced = []
    for row, (ids, start) in enumerate(zip(sequences, starts, strict=True)):
        table = logits[row, start - 1 - first : len(ids) - 1 - first].float()  # (tokens, V)
        tokens = following[row, start - 1 - first : len(ids) - 1 - first].to(table.device)  # (tokens,)
        chosen = table.gather(1, tokens[:, None])[:, 0] - table.logsumexp(dim=-1)  # (tokens,)
        if bool(chosen.isnan().any()):
            raise SequenceError(
                "The model gives NaN log-probabilities; load it in bfloat16 or float32, "
                "or look for damaged weights."
            )
        best, second = table.topk(2, dim=-1).values.unbind(dim=-1)  # (tokens,) each
        greedy = table.argmax(dim=-1) == tokens
        forced.append(ForcedTokens(chosen.cpu().numpy(), greedy.cpu().numpy(), (best - second).cpu().numpy()))
    return forced
