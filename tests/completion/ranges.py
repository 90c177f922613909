"""What must hold of any completion's pieces."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from flashtrace_agent.completion import Completion


def check_ranges(completion: Completion) -> None:
    """Assert that every range lies in the text, in order, and says what the value says."""
    text = completion.text
    ranges: list[tuple[int, int]] = []
    if completion.reasoning_range is not None:
        assert text[slice(*completion.reasoning_range)] == completion.reasoning
        assert completion.reasoning is not None
        assert completion.reasoning == completion.reasoning.strip() != ""
        ranges.append(completion.reasoning_range)
    answers = [text[start:end] for start, end in completion.answer_ranges]
    assert "\n".join(answers) == completion.answer
    assert all(answer == answer.strip() != "" for answer in answers)
    ranges += completion.answer_ranges
    for call in completion.calls:
        ranges.append((call.start, call.end))
        assert call.start <= call.body_start <= call.name_start < call.name_end <= call.body_end <= call.end
        assert set(call.arguments) == {argument.name for argument in call.argument_spans}
        for argument in call.argument_spans:
            assert call.arguments[argument.name] == argument.value
            assert call.body_start <= argument.start <= argument.end <= call.body_end
    for attempt in completion.invalid_calls:
        ranges.append((attempt.start, attempt.end))
        assert attempt.text == text[attempt.start : attempt.end]
        assert attempt.error.endswith(".")
    ranges.sort()
    assert all(0 <= start < end <= len(text) for start, end in ranges)
    assert all(one[1] <= two[0] for one, two in pairwise(ranges))


def written(completion: Completion) -> list[dict[str, Any]]:
    """Return what is written at each argument's place, per call."""
    return [
        {argument.name: completion.text[argument.start : argument.end] for argument in call.argument_spans}
        for call in completion.calls
    ]
