"""What instrumentations write where they have nothing to say, or more than was said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from otel_spans import chat, reading, said, span

from flashtrace_agent.integrations.opentelemetry.failures import Failure, failure_of


def test_an_object_is_no_answer() -> None:
    """OpenInference writes a stream that it cannot read as Python shows it."""
    written = {"openinference.span.kind": "LLM", "input.value": "1?"}
    stream = {"output.value": "<groq.Stream object at 0x7f3420be7e10>"}
    assert reading({**written, **stream}, "openinference").output is None
    named = {"output.value": "A <groq.Stream object at 0x7f3420be7e10>"}
    assert reading({**written, **named}, "openinference").output is not None


def test_a_failure_is_no_answer() -> None:
    """BeeAI writes why a call failed where the answer would be."""
    written = {"openinference.span.kind": "LLM", "input.value": "1?", "output.value": "ChatModelError: Lost."}
    assert reading(written, "openinference", status="error").output is None
    assert reading(written, "openinference").output is not None


def test_runs_of_one_crew_have_one_name() -> None:
    """CrewAI puts an id of its own into the name of each run of an unnamed crew."""
    name = "Crew_3d0dd5b4-70a6-4e36-b7e4-b5fce8282758.kickoff"
    assert reading({"openinference.span.kind": "CHAIN"}, "openinference", name=name).name == "Crew.kickoff"


@pytest.mark.parametrize(("value", "is_set"), [(-1, False), ([], False), (0, True), (["."], True)])
def test_settings_that_nobody_set(value: Any, is_set: bool) -> None:
    """OpenLIT writes -1 and empty lists for what a request leaves open; 0 is a setting."""
    written = chat([said("user", "1?")], said("assistant", "2."))
    name = "stop" if isinstance(value, list) else "max_tokens"
    key = "gen_ai.request.stop_sequences" if name == "stop" else "gen_ai.request.max_tokens"
    assert reading({**written, key: value}, "genai").settings == ({name: value} if is_set else {})


@given(st.text(min_size=1).filter(lambda text: text == text.strip()), st.booleans())
def test_a_stack_is_no_part_of_the_message(words: str, is_twice: bool) -> None:
    """JavaScript's stack, and what LangChain.js puts before it: the message once more."""
    again = f"\n\nError: {words}" if is_twice else ""
    frames = "\n    at fails (file:///app/agent.mjs:10:104)\n    at async node:internal/timers:95:5"
    failed = span(1, status="error", status_message=words + again + frames)
    assert failure_of(failed) == failure_of(span(1, status="error", status_message=words))
    assert failure_of(span(1, status="error", status_message="lost\n    at sea")) == Failure(
        "lost\n    at sea"
    )
