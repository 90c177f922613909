"""One run's events to one step: names, messages, token ids, usage and settings in their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from flashtrace_agent.message import Message
from flashtrace_agent.prompt.text_agents import read_turn
from flashtrace_agent.trace import Fidelity, Step, make_id

from ..blocks import content_text, written_arguments
from .convert import from_langchain, offered_tools
from .events import Failure, ModelEnded, ModelStarted, ToolEnded, ToolStarted
from .runs import Run
from .snapshot import Snapshot, thaw

SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "max_new_tokens",
    "max_tokens",
    "max_completion_tokens",
    "stop",
)
"""Invocation parameters that are kept in a step's settings where they are set."""

MAX_ID = 2**31
"""No vocabulary is larger."""

MAX_BITS = 4096
"""Larger integers are kept as hexadecimal text."""

MAX_DEPTH = 32
"""Arguments and results nested deeper are cut off."""

UNFINISHED = "text only: the call did not finish"

STAND_IN = "invalid_tool"
"""What `AgentExecutor` runs for a tool that does not exist, with the name that was called as an argument."""


def step_id(run: Run) -> str:
    """Return the id of the step a run becomes."""
    return make_id(run.started_at, str(run.id))


def open_model_step(event: ModelStarted, trace_id: str) -> Step:
    """Return the step of a model call that has begun."""
    run, params = event.run, event.params
    messages = [from_langchain(thaw(snapshot)) for snapshot in event.messages]
    if event.prompt is not None:
        messages = [Message("user", event.prompt)]
    return Step(
        id=step_id(run),
        trace_id=trace_id,
        kind="model",
        name=run.name,
        started_at=run.started_at,
        input=messages,
        tools=offered_tools(params),
        model=_first_text(params.get("model_name"), params.get("model"), run.metadata.get("ls_model_name")),
        settings={key: plain(params[key]) for key in SAMPLING if params.get(key) is not None},
        fidelity=Fidelity.APPROXIMATE,
        fidelity_reason=UNFINISHED,
    )


def close_model_step(step: Step, event: ModelEnded) -> None:
    """Complete the step of a model call that has ended."""
    step.ended_at = event.at
    _close(step, event.failure)
    message = thaw(event.message) if event.message is not None else None
    if message is not None:
        step.output = from_langchain(message)
    elif event.text is not None:
        step.output = Message("assistant", event.text)
    read_turn(step)
    metadata = message.response_metadata if message is not None else {}
    step.model = _first_text(metadata.get("model_name"), metadata.get("model"), step.model)
    info = event.generation_info or {}
    step.finish_reason = _first_text(
        metadata.get("finish_reason"),
        metadata.get("stop_reason"),
        metadata.get("done_reason"),
        info.get("finish_reason"),
    )
    step.usage = _usage(message, event.llm_output or {})
    _set_token_ids(step, metadata.get("flashtrace"), metadata.get("logprobs") or info.get("logprobs"))


def open_tool_step(event: ToolStarted, trace_id: str) -> Step:
    """Return the step of a tool run that has begun."""
    arguments = event.arguments
    return Step(
        id=step_id(event.run),
        trace_id=trace_id,
        kind="tool",
        name=_missing_tool(event) or event.run.name,
        started_at=event.run.started_at,
        tool_call_id=event.tool_call_id,
        arguments=arguments if isinstance(arguments, str) else plain_items(arguments),
    )


def close_tool_step(step: Step, event: ToolEnded) -> None:
    """Complete the step of a tool run that has ended."""
    step.ended_at = event.at
    _close(step, event.failure)
    if event.failure is None:
        message = _tool_message(event)
        if message is None:
            step.result = content_text(plain(event.output))
            if step.name != event.run.name:  # a stand-in answered that there is no such tool
                step.status, step.error = "error", step.result
            return
        step.tool_call_id = step.tool_call_id or message.tool_call_id
        take_result(step, message)


def take_result(step: Step, message: ToolMessage) -> None:
    """Give a tool step the result the model is shown, and its error where it reports one."""
    step.result = content_text(message.content)
    if message.status == "error":
        step.status = "error"
        step.error = step.error or step.result


def answered_step(call_step: Step, index: int, message: ToolMessage) -> Step:
    """Return the step of a call that was answered although no tool ran.

    That is what a call to a tool that does not exist looks like, and a call a human rejected.
    It begins when the model had made the call, so that it sorts before what follows.
    """
    call = call_step.output.tool_calls[index] if call_step.output else None
    began = call_step.ended_at or call_step.started_at
    step = Step(
        id=make_id(began, f"{call_step.id}/{index}"),
        trace_id=call_step.trace_id,
        kind="tool",
        name=call.name if call else message.name or "",
        started_at=began,
        ended_at=began,
        parent_id=call_step.id,
        status="ok",
        tool_call_id=message.tool_call_id,
        arguments=written_arguments(call) if call else None,
    )
    take_result(step, message)
    return step


def tool_answer(snapshot: Snapshot) -> ToolMessage | None:
    """Return the pictured message where it is a tool's result."""
    message = thaw(snapshot)
    return message if isinstance(message, ToolMessage) else None


def plain(value: Any, depth: int = 0) -> Any:
    """Return a JSON-ready copy of a value; what JSON has no form for becomes its text."""
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return hex(value)  # Python writes no longer ones as decimals
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth >= MAX_DEPTH:  # a structure may hold itself
        return "…"
    if isinstance(value, Mapping):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    try:
        return plain(value.model_dump(), depth + 1) if hasattr(value, "model_dump") else str(value)
    except Exception:  # noqa: BLE001 - it is somebody else's code, and the result is there all the same
        return f"<{type(value).__name__}>"


def plain_items(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that are plain JSON values; objects a framework injects are left out."""
    return {str(key): plain(value) for key, value in values.items() if _is_plain(value)}


def _is_plain(value: Any, depth: int = 0) -> bool:
    if depth >= MAX_DEPTH:
        return True
    if isinstance(value, Mapping):
        return all(_is_plain(item, depth + 1) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(item, depth + 1) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def _close(step: Step, failure: Failure | None) -> None:
    if failure is None:
        step.status = "ok"
    elif failure.kind == "error":
        step.status, step.error = "error", failure.text
    else:
        step.status = "incomplete"


def _missing_tool(event: ToolStarted) -> str | None:
    """Return the name a model called where a stand-in runs for a tool that does not exist."""
    if event.run.name != STAND_IN or not isinstance(event.arguments, Mapping):
        return None
    return _first_text(event.arguments.get("requested_tool_name"))


def _tool_message(event: ToolEnded) -> ToolMessage | None:
    if event.message is not None:
        return tool_answer(event.message)
    update = getattr(event.output, "update", None)  # a tool that returns LangGraph's Command
    messages = update.get("messages", ()) if isinstance(update, Mapping) else ()
    if not isinstance(messages, Sequence):
        return None
    return next((message for message in messages if isinstance(message, ToolMessage)), None)


def _usage(message: BaseMessage | None, llm_output: Mapping[str, Any]) -> dict[str, int]:
    reported = message.usage_metadata if isinstance(message, AIMessage) else None
    counts: Any = reported or llm_output.get("token_usage") or llm_output.get("usage")
    if not isinstance(counts, Mapping):
        return {}
    names = ("input_tokens", "output_tokens") if reported else ("prompt_tokens", "completion_tokens")
    found = dict(zip(("prompt_tokens", "completion_tokens"), map(counts.get, names), strict=True))
    return {name: count for name, count in found.items() if isinstance(count, int)}


def _set_token_ids(step: Step, exact: Any, logprobs: Any) -> None:
    """Take the ids the generating process reported; without them the step is known as text only."""
    ids = exact if isinstance(exact, Mapping) else {}
    prompt = _token_ids(ids.get("prompt_token_ids"))
    completion = _token_ids(ids.get("completion_token_ids"))
    for key in ("chat_template_hash", "template_kwargs", "chat_template"):
        if ids.get(key) is not None:
            step.settings[key] = plain(ids[key])
    if prompt and completion is not None:
        step.prompt_ids, step.completion_ids = prompt, completion
        step.fidelity = Fidelity.EXACT
        step.fidelity_reason = "ids from the generating process"
        return
    step.completion_ids = _logged_ids(logprobs)
    if step.status == "ok":
        step.fidelity_reason = (
            f"text only: {step.model or step.name} reports no token ids"
            if step.completion_ids is None
            else "ids of the completion from its log-probabilities; those of the prompt are not reported"
        )


def _token_ids(value: Any) -> list[int] | None:
    """Return a list of token ids; None where it is none."""
    if not isinstance(value, list | tuple) or not set(map(type, value)) <= {int}:
        return None
    return list(value) if not value or (min(value) >= 0 and max(value) < MAX_ID) else None


def _logged_ids(logprobs: Any) -> list[int] | None:
    """Return the ids in log-probabilities whose tokens are written as ``token_id:123``.

    vLLM writes them so where a request has ``return_tokens_as_token_ids``.
    """
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, Sequence) or not content:
        return None
    ids: list[int] = []
    for item in content:
        token = item.get("token") if isinstance(item, Mapping) else None
        kind, _, number = token.partition(":") if isinstance(token, str) else ("", "", "")
        if kind != "token_id" or not (number.isascii() and number.isdigit()):
            return None
        ids.append(int(number))
    return ids


def _first_text(*candidates: Any) -> str | None:
    return next((text for text in candidates if isinstance(text, str) and text), None)
