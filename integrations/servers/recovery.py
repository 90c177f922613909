"""From recorded text to token ids, and what they are worth.

1. Ids that the generating server reported are kept.
2. The prompt is rendered by the server, or with the model's template; what counts is whether it
   has as many tokens as the server reported. Clients differ in whether they send earlier
   reasoning back, so both ways are tried.
3. The completion is what the template makes of the answer after that prompt, if it has as many
   tokens as were reported. A server's own ids, if there are any, come first: re-written
   arguments and stripped tags change the tokens.
4. Only if both counts agree is the step `rendered`; else its ids are `approximate`, and the
   reason says which count differs.
5. With the weights at hand, the completion's log-probabilities tell ids that the model would
   have written from others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.percent import percent
from flashtrace_agent.trace import Fidelity, Step

from .base import Conversation, TokenSource

TAIL = 2
"""Tokens that templates write after the end of a turn, which nobody generated (a newline)."""

LEAST_LOG_PROB = -3.0
"""Mean natural log-probability below which a completion is not what the model wrote: sampled text
of language models lies between 0 and -1.5 a token, text read at a wrong offset below -5."""


def recover(step: Step, source: TokenSource) -> Step:
    """Return a model step with the token ids a source gives for it, and their fidelity.

    A step whose ids are known already (`exact` or `rendered`) comes back as it is.

    Raises:
        FlashTraceError: if the source cannot render the prompt, or the step is no model step.
    """
    if step.kind != "model" or step.output is None:
        raise FlashTraceError(f"Step {step.id} is no finished model call: there is nothing to tokenize.")
    if step.token_ids is not None and step.fidelity is not Fidelity.APPROXIMATE:
        return step
    conversation, prompt = _prompt(step, source)
    doubts = _doubt("prompt", len(prompt), step.usage.get("prompt_tokens"))
    reported = step.usage.get("completion_tokens")
    completion, how = step.completion_ids, "ids of the completion from the server"
    if completion is None:
        completion, how = _completion(step, source, conversation, prompt, reported), "completion rendered too"
    if completion is None:
        doubts += ["the template does not put the answer after the prompt"]
    else:
        doubts += _doubt("completion", len(completion), reported)
    reasons = [f"prompt rendered by {source.name}, {how}", *(doubts or ["counts agree"])]
    return replace(
        step,
        prompt_ids=prompt,
        completion_ids=completion,
        fidelity=Fidelity.APPROXIMATE if doubts else Fidelity.RENDERED,
        fidelity_reason="; ".join(reasons),
    )


def check_log_probs(model: Any, step: Step) -> Step:
    """Return a step whose ids were checked against the model's own probabilities.

    Args:
        model: the transformers causal LM that is to have written the step.
        step: a model step with token ids.

    The settings get ``log_prob_check`` (mean log-probability in nats per token, share of tokens
    that the model finds most probable, number of tokens). Ids the model would hardly have written
    (below `LEAST_LOG_PROB`) become `approximate`.

    Raises:
        FlashTraceError: if the step has no ids.
    """
    from flashtrace_agent.engine.log_prob import force_tokens  # torch, only where it is used

    ids, prompt = step.token_ids, step.prompt_ids
    if not ids or not prompt or not step.completion_ids:
        raise FlashTraceError(f"Step {step.id} has no token ids to check.")
    (forced,) = force_tokens(model, [ids], [len(prompt)])
    mean, greedy = forced.total / len(step.completion_ids), float(forced.greedy.mean())
    verdict = f"{mean:.2f} nats a token, {percent(greedy, 0)} of them the model's first choice"
    fidelity = step.fidelity
    if mean < LEAST_LOG_PROB:
        fidelity = Fidelity.APPROXIMATE
        verdict += ": other weights, or other ids"
    return replace(
        step,
        fidelity=fidelity,
        fidelity_reason=f"{step.fidelity_reason}; {verdict}",
        settings={
            **step.settings,
            "log_prob_check": {
                "mean": round(mean, 4),
                "greedy": round(greedy, 4),
                "tokens": len(step.completion_ids),
            },
        },
    )


def _prompt(step: Step, source: TokenSource) -> tuple[Conversation, list[int]]:
    """Return the request, and its ids, that has as many tokens as reported; else the likeliest."""
    first = Conversation.of(step)
    ids = source.prompt_ids(first)
    reported = step.usage.get("prompt_tokens")
    if reported in (None, len(ids)) or not any(message.reasoning for message in step.input):
        return first, ids
    second = Conversation.of(step, keep_reasoning=True)
    others = source.prompt_ids(second)
    return (second, others) if len(others) == reported else (first, ids)


def _completion(
    step: Step, source: TokenSource, conversation: Conversation, prompt: list[int], reported: int | None
) -> list[int] | None:
    assert step.output is not None
    try:
        whole = source.whole_ids(conversation, step.output)
    except FlashTraceError:
        return None  # servers refuse to go on from an answer with calls; the reason says so
    if whole[: len(prompt)] != prompt:
        return None
    written = whole[len(prompt) :]
    ended = step.finish_reason != "length"
    end = source.end_of_turn() if ended else None
    if reported is None:
        return written if end is None or end not in written else written[: written.index(end) + 1]
    if end is not None and len(written) == reported - 1 and end not in written:
        return [*written, end]
    return written[:reported] if len(written) - reported in range(TAIL + 1) else written


def _doubt(what: str, length: int, reported: int | None) -> list[str]:
    if reported is None:
        return [f"nobody reported how many tokens the {what} has"]
    return [] if length == reported else [f"the {what} has {length} tokens, {reported} were reported"]
