"""``trace.json`` of the reference package: one prompt, what was generated, and each hop's scores.

What ``TraceResult.to_json`` of https://github.com/wbopan/flashtrace (MIT) writes, alone or wrapped
with the model's name, prompt and text as in its demo gallery. Tokens are texts without ids, and
those of the chat template around the prompt are left out, so such a step is `approximate` and
cannot be attributed anew. There is no time in it: the file's is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.completion import parse_completion
from flashtrace_agent.message import Message
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id

from .agentdojo import normalised
from .imported import ImportedTrace, SourceFile, content_key

METHOD = "reference flashtrace"


def recognises(record: Mapping[str, Any]) -> bool:
    """Tell whether a file is such a trace."""
    trace = record.get("trace", record)
    return isinstance(trace, Mapping) and {"prompt_tokens", "generation_tokens", "scores"} <= trace.keys()


def read(file: SourceFile) -> list[ImportedTrace]:
    """Return the traces of a file."""
    return [_trace(file, record) for record in file.values]


def _trace(file: SourceFile, record: Mapping[str, Any]) -> ImportedTrace:
    given: Mapping[str, Any] = record.get("trace", record)
    started = file.changed_at
    key = content_key(record)
    prompt = "".join(given["prompt_tokens"])
    written = "".join(given["generation_tokens"])
    name = str(record.get("title") or file.path.stem)
    trace = Trace(
        id=make_id(started, key),
        name=name,
        started_at=started,
        ended_at=started,
        status="ok",
        tags=["flashtrace"],
        metadata={"source": record["source"]} if "source" in record else {},
    )
    parsed = parse_completion(written)
    step = Step(
        id=make_id(started, f"{key}/0"),
        trace_id=trace.id,
        kind="model",
        name=name,
        started_at=started,
        ended_at=started,
        status="ok",
        input=[Message("user", str(record.get("prompt", prompt)))],
        output=Message("assistant", parsed.answer, reasoning=parsed.reasoning),
        model=record.get("model"),
        fidelity=Fidelity.APPROXIMATE,
        fidelity_reason="a trace.json names token texts, without ids and without the chat template's",
    )
    trace.steps = [step]
    return ImportedTrace(trace, [(step.id, _attribution(file, record, given, str(step.model or "")))])


def _attribution(
    file: SourceFile, record: Mapping[str, Any], given: Mapping[str, Any], model: str
) -> Attribution:
    tokens = (*given["prompt_tokens"], *given["generation_tokens"])
    start = len(given["prompt_tokens"])
    target = _span(given.get("output_span"), start) or Span(start, len(tokens))
    through = _span(given.get("reasoning_span"), start)
    scores = np.zeros(len(tokens))
    scores[:start] = given["scores"]
    generated = given.get("per_hop_generation_scores") or []
    ratios = np.cumprod(given.get("thinking_ratios") or [1.0] * len(given["per_hop_scores"]))
    asked = int(record.get("hops", max(len(given["per_hop_scores"]) - 1, 0)))
    hops: list[Hop] = []
    for index, hop in enumerate(given["per_hop_scores"]):
        rest = generated[index] if index < len(generated) else [0.0] * (len(tokens) - start)
        whole = np.asarray([*hop, *rest], dtype=np.float32)
        if len(whole) != len(tokens):
            raise ValueError(f"hop {index} scores {len(whole)} of {len(tokens)} tokens")
        hops.append(Hop(whole, float(ratios[min(index, len(ratios) - 1)])))
    return Attribution(
        input_ids=_ids(file.tokenizer, given),
        tokens=tokens,
        target=(target,),
        through=(through,) if through else (),
        scores=normalised(scores),
        hops=tuple(hops),
        method=METHOD,
        model=model,
        target_name="answer",
        fidelity=Fidelity.APPROXIMATE,
        segments=_segments(start, len(tokens), target, through),
        settings={"hops": asked, "recorded_total": float(scores.sum())},
    )


def _span(pair: Any, offset: int) -> Span | None:
    """Return a span of the generated tokens as one of the whole; the file's last token is part of it."""
    return Span(offset + int(pair[0]), offset + int(pair[1]) + 1) if pair else None


def _segments(start: int, end: int, target: Span, through: Span | None) -> tuple[Segment, ...]:
    named = [("reasoning", through)] if through else []
    named.append(("answer", target))
    segments = [Segment("user", Span(0, start), 0)] if start else []
    done = start
    for name, span in sorted(named, key=lambda item: item[1]):
        if span.start > done:
            segments.append(Segment("template", Span(done, span.start), -1))
        if span.end > max(done, span.start):
            segments.append(Segment(name, Span(max(done, span.start), span.end), -1))
            done = span.end
    if done < end:
        segments.append(Segment("template", Span(done, end), -1))
    return tuple(segments)


def _ids(tokenizer: Any, given: Mapping[str, Any]) -> npt.NDArray[np.int32]:
    """Return the tokens' ids where the tokenizer cuts both texts into these very tokens, else zeros."""
    ids: list[int] = []
    for tokens in (given["prompt_tokens"], given["generation_tokens"]):
        found = None
        if tokenizer is not None:
            found = tokenizer("".join(tokens), add_special_tokens=False)["input_ids"]
        ids += found if found is not None and len(found) == len(tokens) else [0] * len(tokens)
    return np.asarray(ids, dtype=np.int32)
