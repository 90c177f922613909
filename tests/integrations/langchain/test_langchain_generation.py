"""The decoding loop: the same ids as transformers, with less work."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_models import llama, long_phi3, qwen3

from flashtrace_agent.integrations.langchain.generation import PrefixCache, Sampling, generate
from flashtrace_agent.model_lock import model_lock

PROMPT = list(range(10, 60))
MODELS = pytest.mark.parametrize("build", [llama, qwen3])


def reference(model: Any, prompt: list[int], n: int, **kwargs: Any) -> list[int]:
    """Return what transformers' own generate writes."""
    ids = torch.tensor([prompt])
    output = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=n, pad_token_id=0, **kwargs
    )
    return output[0, len(prompt) :].tolist()


def ours(model: Any, prompt: list[int], n: int, **kwargs: Any) -> list[int]:
    return list(generate(model, prompt, max_new_tokens=n, **kwargs))


class Counting:
    """Counts the tokens a model is run on."""

    def __init__(self, model: Any) -> None:
        self.lengths: list[int] = []
        model.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, module: Any, args: Any, kwargs: Any) -> None:
        self.lengths.append(kwargs["input_ids"].shape[1])


@MODELS
def test_greedy_ids_are_those_of_transformers(build: Callable[..., Any]) -> None:
    """Token for token."""
    model = build()
    assert ours(model, PROMPT, 40) == reference(model, PROMPT, 40)


def test_keys_made_for_short_texts_do_not_serve_long_ones() -> None:
    """Phi-3 and Phi-4-mini change their frequencies at 4,096 tokens, this model at 32."""
    model, cache = long_phi3(), PrefixCache()
    assert ours(model, PROMPT[:20], 30) == reference(model, PROMPT[:20], 30)
    for length in (20, 48, 24):
        assert ours(model, PROMPT[:length], 6, cache=cache) == reference(model, PROMPT[:length], 6)


@MODELS
def test_an_end_token_ends_it_and_is_yielded(build: Callable[..., Any]) -> None:
    """As `generate` does with eos_token_id."""
    model = build()
    end = reference(model, PROMPT, 10)[4]
    wanted = reference(model, PROMPT, 40, eos_token_id=end)
    assert ours(model, PROMPT, 40, stop_ids={end}) == wanted
    assert wanted[-1] == end


def test_a_configured_repetition_penalty_is_kept() -> None:
    """Qwen2.5 ships one in its generation config."""
    model = llama()
    model.generation_config.repetition_penalty = 1.5
    penalised = ours(model, PROMPT, 30)
    assert penalised == reference(model, PROMPT, 30)
    model.generation_config.repetition_penalty = None
    assert penalised != ours(model, PROMPT, 30)


@MODELS
def test_a_longer_prompt_runs_only_its_new_tokens(build: Callable[..., Any]) -> None:
    """The next call of an agent begins with the last prompt and answer."""
    model, cache = build(), PrefixCache()
    first = ours(model, PROMPT, 10, cache=cache)
    longer = PROMPT + first + [70, 71, 72]
    wanted = reference(model, longer, 10)
    counting = Counting(model)
    assert ours(model, longer, 10, cache=cache) == wanted
    # The last token written was never run; it and the three new ones are.
    assert counting.lengths == [4] + [1] * 9


def test_a_history_that_branches_off_is_cropped() -> None:
    """Templates drop old reasoning: the common prefix may end anywhere."""
    model, cache = llama(), PrefixCache()
    ours(model, PROMPT, 10, cache=cache)
    branched = [*PROMPT[:30], 90, 91]
    wanted = reference(model, branched, 10)
    counting = Counting(model)
    assert ours(model, branched, 10, cache=cache) == wanted
    assert counting.lengths[0] == 2


def test_the_same_prompt_again_and_a_shorter_one() -> None:
    """At least the last token is run, for its logits."""
    model, cache = llama(), PrefixCache()
    first = ours(model, PROMPT, 10, cache=cache)
    counting = Counting(model)
    assert ours(model, PROMPT, 10, cache=cache) == first
    assert ours(model, PROMPT[:20], 10, cache=cache) == reference(model, PROMPT[:20], 10)
    assert counting.lengths[0] == counting.lengths[10] == 1


def test_a_sliding_window_is_not_cropped() -> None:
    """Its cache has forgotten what a branch would need, so the branch starts afresh."""
    model, cache = qwen3(use_sliding_window=True, sliding_window=16, max_window_layers=1), PrefixCache()
    assert ours(model, PROMPT, 10, cache=cache) == reference(model, PROMPT, 10)
    branched = [*PROMPT[:30], 90, 91]
    assert ours(model, branched, 10, cache=cache) == reference(model, branched, 10)


def test_an_unfinished_generation_leaves_a_usable_cache() -> None:
    """A stream nobody reads to its end gives back its cache when it is dropped."""
    model, cache = llama(), PrefixCache()
    stream = generate(model, PROMPT, max_new_tokens=10, cache=cache)
    begun = [next(stream) for _ in range(3)]
    del stream
    gc.collect()
    longer = PROMPT + begun + [70]
    wanted = reference(model, longer, 5)
    counting = Counting(model)
    assert ours(model, longer, 5, cache=cache) == wanted
    assert counting.lengths[0] == 2


def test_two_generations_at_once_do_not_share_a_cache() -> None:
    """Interleaved streams write what each would alone."""
    model, cache = llama(), PrefixCache()
    other = list(range(100, 140))
    ours(model, PROMPT[:20], 2, cache=cache)
    pairs = list(
        zip(
            generate(model, PROMPT, max_new_tokens=10, cache=cache),
            generate(model, other, max_new_tokens=10, cache=cache),
            strict=True,
        )
    )
    assert [a for a, _ in pairs] == reference(model, PROMPT, 10)
    assert [b for _, b in pairs] == reference(model, other, 10)


def test_a_failing_forward_pass_costs_the_cache_not_the_next_call() -> None:
    """A half-extended cache must not be used again."""
    model, cache = llama(), PrefixCache()
    wanted = ours(model, PROMPT, 5, cache=cache)

    def burst(*_: Any) -> None:
        raise RuntimeError("out of memory")

    handle = model.model.layers[1].register_forward_pre_hook(burst)
    with pytest.raises(RuntimeError, match="out of memory"):
        ours(model, [*PROMPT, 1], 5, cache=cache)
    handle.remove()
    assert ours(model, PROMPT, 5, cache=cache) == wanted


def test_a_seed_repeats_a_draw() -> None:
    """The same ids with the same seed, others with another."""
    model = llama()
    draws = [
        ours(model, PROMPT, 20, sampling=Sampling(temperature=1.5, top_k=100, top_p=0.95, seed=seed))
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]


def test_top_k_of_one_is_greedy() -> None:
    """The warpers are applied."""
    model = llama()
    assert ours(model, PROMPT, 20, sampling=Sampling(temperature=1.0, top_k=1)) == ours(model, PROMPT, 20)
    assert ours(model, PROMPT, 20, sampling=Sampling(temperature=1.0, top_p=1e-6)) == ours(model, PROMPT, 20)


def test_the_lock_is_one_per_model_and_goes_with_it() -> None:
    """Generation and attribution of one model find the same lock."""
    first, second = llama(), llama()
    assert model_lock(first) is model_lock(first)
    assert model_lock(first) is not model_lock(second)


def test_no_lock_is_held_between_tokens() -> None:
    """Another thread can use the model while a stream is being read."""
    import threading

    model = llama()
    stream = generate(model, PROMPT, max_new_tokens=10)
    next(stream)
    got: list[bool] = []

    def take() -> None:
        got.append(model_lock(model).acquire(timeout=1))
        model_lock(model).release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    assert got == [True]
