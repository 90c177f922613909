"""What of a step can be explained, and what of it already is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.prompt.targets import text_targets
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Step, Trace

from .data import position_of


@dataclass(frozen=True, slots=True)
class Choice:
    """A target the reader can choose.

    Attributes:
        id: the target's name; with the method, where it was computed in several ways.
        name: what a job asks for: a name, or ``START:END``.
        text: the tokens it stands for; empty where they are not known.
        attribution: the result; None where it is not computed yet.
    """

    id: str
    name: str
    text: str
    attribution: Attribution | None = None


def choices(
    step: Step, attributions: Sequence[Attribution], tokens: Sequence[str], wanted: str | None
) -> list[Choice]:
    """Return what can be chosen: what is computed, then what else has a name, then what is wanted.

    Args:
        step: a model step.
        attributions: what is computed of it.
        tokens: text of each of its tokens; empty where they are not known.
        wanted: a target's name or ``START:END``.
    """
    names = [one.target_name for one in attributions]
    found: dict[str, Choice] = {}
    for one in attributions:
        several = names.count(one.target_name) > 1
        key = f"{one.target_name} ({one.method}, {len(one.hops)} passes)" if several else one.target_name
        found[key] = Choice(key, one.target_name, one.target_text, one)
    for name, text in named_texts(step, tokens).items():
        if name not in names:
            found[name] = Choice(name, name, text)
    if wanted and wanted not in found and wanted not in names:
        span = parse_span(wanted, tokens)
        if span is not None:
            found[wanted] = Choice(wanted, wanted, "".join(tokens[span.start : span.end]))
    return list(found.values())


def named_parts(step: Step, tokens: Sequence[str]) -> dict[str, tuple[Span, ...]]:
    """Return the named parts of a completion whose token texts are known; else nothing."""
    if not tokens or step.prompt_ids is None:
        return {}
    return text_targets(tokens, len(step.prompt_ids))


def named_texts(step: Step, tokens: Sequence[str]) -> dict[str, str]:
    """Return the targets of a step that have a name, with their texts."""
    if not tokens:
        return _recorded_texts(step)
    return {
        name: " … ".join("".join(tokens[span.start : span.end]) for span in spans)
        for name, spans in named_parts(step, tokens).items()
    }


def name_of(span: Span, parts: Mapping[str, tuple[Span, ...]]) -> str:
    """Return the name of the part that `span` is, or is one of the ranges of, else ``START:END``."""
    return next((name for name, spans in parts.items() if span in spans), str(span))


def parse_span(text: str, tokens: Sequence[str]) -> Span | None:
    """Return the tokens ``START:END`` means in a step; None where it means none."""
    try:
        span = Span.parse(text)
    except ValueError:
        return None
    return span if span and span.end <= len(tokens) else None


def influence(
    trace: Trace, step: Step, shown: str, summaries: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Return, for the reverse view, the stored targets of a trace and the segments they drew on."""
    steps = {one.id: one for one in trace.steps}
    return [
        {
            "step": step_id,
            "where": f"step {position_of(trace, steps[step_id]) + 1}",
            "name": summary["target"],
            "text": "",
            "shown": step_id == step.id and summary["target"] == shown,
            "shares": {segment["name"]: segment["share"] for segment in summary["segments"]},
        }
        for step_id, found in sorted(summaries.items())
        for summary in found
    ]


def _recorded_texts(step: Step) -> dict[str, str]:
    """Return the targets' texts as the message has them: the tokens are not known yet."""
    found: dict[str, str] = {}
    if step.output is None:
        return found
    if step.output.reasoning and step.output.reasoning.strip():
        found["reasoning"] = step.output.reasoning.strip()
    for number, call in enumerate(step.output.tool_calls, start=1):
        suffix = f"#{number}" if number > 1 else ""
        found[f"tool_name{suffix}"] = call.name
        if isinstance(call.arguments, Mapping):
            for name, value in call.arguments.items():
                if value != "":
                    found[f"argument:{name}{suffix}"] = str(value)
    if step.output.content.strip():
        found["answer"] = step.output.content.strip()
    return found
