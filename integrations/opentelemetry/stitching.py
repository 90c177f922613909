"""Runs from chat spans that know nothing of each other.

Where only the model client is instrumented, every chat is the root of its own trace. But an
agent re-sends its history: a chat whose input begins with another chat's input and output
continues it. Histories are compared by digests of what survives the re-sending (calls without ids,
else words; OpenLIT's histories have words alone, and no message where there were none). Outputs lose as much:
OpenLIT's and, streamed, OpenLLMetry's of Ollama's client have no calls, OpenInference's JavaScript runs them
together, and streams that its Python cannot read leave no output at all. Of several chats that end alike the
latest one that nothing continues yet is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from flashtrace_agent.message import Message

from .dialects import detect, read_span
from .histories import tells_calls
from .journal import Journal
from .messages import without_reasoning
from .reading import Reading
from .record import SpanRecord

_LAYERS = 3
"""Instrumentations that may report one call: the framework's, the client's, and the client itself."""

_LOST = "lost:"
"""What the digest of an output begins with that may have said more than is known of it."""

_PREFIXES = 8
"""Places at the end of an input where the chat it continues may have ended."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A trace that is one chat.

    Attributes:
        prefixes: digests of its input up to each of the last places where an earlier chat may have
            ended, latest first, and in each form in which that chat may have reported the last.
        ends: digests of its input and output, in each form in which they may be re-sent; none where
            it failed.
    """

    trace: str
    started: str
    prefixes: tuple[str, ...]
    ends: tuple[str, ...]


def lone_chat(spans: Sequence[SpanRecord]) -> Chat | None:
    """Return the chat that a trace consists of, None where it is more or something else.

    Several instrumentations may report the one call, each inside the other.
    """
    about = list(islice((span for span in spans if detect(span) is not None), _LAYERS + 1))
    roots = [span for span in about if span.parent_id is None]
    if len(about) > _LAYERS or len(roots) != 1:
        return None
    readings = {span.span_id: read_span(span) for span in about}
    span, reading = roots[0], readings[roots[0].span_id]
    if reading is None or any(each is None or each.kind != "model" for each in readings.values()):
        return None
    if not reading.input:  # all that is said is said by the inner one
        reading = next((each for each in readings.values() if each is not None and each.input), reading)
    digests = _digests(reading.input)
    return Chat(
        span.trace_id,
        span.start.isoformat(timespec="microseconds"),
        tuple(_prefixes(reading.input, digests)),
        tuple(_ends(reading, digests)) if reading.input and span.status != "error" else (),
    )


def _prefixes(history: Sequence[Message], digests: Sequence[str]) -> list[str]:
    """Return the digests of a history, which are given for each message, up to its last joints."""
    joints = _joints(history)
    prefixes = [digests[index] for index in joints[: -_PREFIXES - 1 : -1]]
    if joints and history[joints[-1]].role == "assistant":
        last = joints[-1]
        before = digests[last - 1] if last else ""
        words = _digests([replace(history[last], tool_calls=())], before)[-1]
        prefixes[1:1] = [_LOST + words, _LOST + before]
    return prefixes


def _ends(reading: Reading, digests: Sequence[str]) -> list[str]:
    """Return the digests of a chat's history with its output, given those of its input."""
    output = reading.output or Message("assistant")
    words = replace(output, tool_calls=())
    ends = [_digests([said], digests[-1])[-1] for said in (output, words)]
    if tells_calls(output):
        ends += digests[-1:]
    else:
        ends.append(_LOST + (ends[-1] if words.content else digests[-1]))
    return list(dict.fromkeys(ends))


def stitch(journal: Journal, chat: Chat) -> str | None:
    """Join a chat with the one it continues and the one that continues it.

    Returns the run they are now, None for a chat that stands alone.
    """
    journal.remember_history(chat.trace, chat.started, chat.prefixes, chat.ends)
    run: str | None = None
    before = _continued(journal, chat)
    if before is not None:
        run = journal.join(before, chat.trace)
    after = journal.chat_continuing(chat.ends, chat.started)
    if after is not None and after != chat.trace:
        run = journal.join(chat.trace, after)
    return run


def _continued(journal: Journal, chat: Chat) -> str | None:
    if not chat.prefixes:
        return None
    found = journal.chats_ending_in(chat.prefixes, chat.started)
    candidates = [(trace, digest, claimed) for trace, digest, claimed in found if trace != chat.trace]
    for digest in chat.prefixes:  # the longest common history first
        alike = [(trace, claimed) for trace, known, claimed in candidates if known == digest]
        if alike:
            return next((trace for trace, claimed in alike if not claimed), alike[0][0])
    return None


def _joints(messages: Sequence[Message]) -> list[int]:
    """Return the indices of messages that may be the last that an earlier chat knew.

    Those are the assistant's, and what stands before a result whose call's message is lost.
    """
    joints: list[int] = []
    due = 0
    for index, message in enumerate(messages):
        if message.role == "assistant":
            joints.append(index)
            due = len(message.tool_calls)
        elif message.role == "tool":
            if due <= 0 and index and messages[index - 1].role != "assistant":
                joints.append(index - 1)
            due -= 1
    return joints


def _digests(messages: Sequence[Message], before: str = "") -> list[str]:
    """Return the digest of a history up to each of its messages; `before` is that of what precedes them."""
    digests: list[str] = []
    for message in messages:
        kept = without_reasoning(message)
        if kept.tool_calls:
            # Some leave out the words beside calls, in histories alone, and LiteLLM the ids, in outputs.
            calls = tuple(replace(call, id="") for call in kept.tool_calls)
            kept = replace(kept, content="", tool_calls=calls)
        kept = replace(kept, tool_call_id=None)
        digests.append(kept.digest(digests[-1] if digests else before))
    return digests
