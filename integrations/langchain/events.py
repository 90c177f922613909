"""What the callbacks hand to the background thread: plain pictures of what happened, unconverted."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .runs import Run
from .snapshot import Snapshot


@dataclass(slots=True)
class TraceStarted:
    """A root run began."""

    run: Run


@dataclass(slots=True)
class TraceEnded:
    """A root run ended, well or badly."""

    run: Run
    at: datetime
    failure: Failure | None = None


@dataclass(slots=True)
class ModelStarted:
    """A model was called with messages, or with one text (a text-completion model)."""

    run: Run
    messages: Sequence[Snapshot]
    prompt: str | None
    params: Mapping[str, Any]
    answers: Sequence[Snapshot]
    """The tool results at the end of the input."""


@dataclass(slots=True)
class ModelEnded:
    """A model answered, or failed, possibly after part of an answer."""

    run: Run
    at: datetime
    message: Snapshot | None = None
    text: str | None = None
    llm_output: Mapping[str, Any] | None = None
    generation_info: Mapping[str, Any] | None = None
    failure: Failure | None = None


@dataclass(slots=True)
class ToolStarted:
    """A tool was run."""

    run: Run
    tool_call_id: str | None
    arguments: Mapping[str, Any] | str


@dataclass(slots=True)
class ToolEnded:
    """A tool returned, raised, or was interrupted."""

    run: Run
    at: datetime
    message: Snapshot | None = None
    """The output where it is a message."""
    output: Any = None
    """The output where it is not."""
    failure: Failure | None = None


@dataclass(slots=True)
class ToolAnswers:
    """A chain's output contained tool results, some of which may have had no tool run."""

    run: Run
    at: datetime
    answers: Sequence[Snapshot]


@dataclass(slots=True)
class Failure:
    """Why a run ended without a result.

    Attributes:
        text: type and message of the exception.
        kind: ``error``; ``interrupted`` for LangGraph's control flow (a pause for a human, a
            jump to another graph); ``stopped`` where the caller ended it (a stream not read to
            its end, a cancelled task, Ctrl-C), and where no end was ever seen.
    """

    text: str
    kind: str = "error"

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Describe an exception now, while it is at hand; keeping it would keep its frames alive."""
        name = type(error).__name__
        try:
            text = f"{name}: {error}" if str(error) else name
        except Exception:  # noqa: BLE001 - it is somebody else's code, and the run has failed all the same
            text = name
        langgraph = sys.modules.get("langgraph.errors")
        if langgraph is not None and isinstance(error, langgraph.GraphBubbleUp):
            return cls(text, "interrupted")
        return cls(text) if isinstance(error, Exception) else cls(text, "stopped")


Event = TraceStarted | TraceEnded | ModelStarted | ModelEnded | ToolStarted | ToolEnded | ToolAnswers
