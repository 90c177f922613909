"""Traces and steps as plain dicts and back, exactly: what export files hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from flashtrace_agent.message import Message, ToolSchema
from flashtrace_agent.trace import Fidelity, Step, Trace

from .token_chains import check_ids

_TIMES = ("started_at", "ended_at")


def trace_to_dict(trace: Trace) -> dict[str, Any]:
    """Return a trace's header, JSON-ready, without its steps."""
    data = {field.name: getattr(trace, field.name) for field in fields(Trace) if field.name != "steps"}
    return _with_times(data)


def trace_from_dict(data: Mapping[str, Any]) -> Trace:
    """Undo `trace_to_dict`.

    Raises:
        TypeError, ValueError, KeyError: if the data is not one.
    """
    return Trace(**_read_times(data))


def step_to_dict(step: Step) -> dict[str, Any]:
    """Return a step, JSON-ready; fields at their default are left out."""
    data: dict[str, Any] = {}
    for field in fields(Step):
        value = getattr(step, field.name)
        if value is not None and value != [] and value != {}:
            data[field.name] = value
    if step.input:
        data["input"] = [message.to_dict() for message in step.input]
    if step.output is not None:
        data["output"] = step.output.to_dict()
    if step.tools:
        data["tools"] = [asdict(tool) for tool in step.tools]
    for name in ("prompt_ids", "completion_ids", "arguments"):  # known to be empty is not unknown
        if getattr(step, name) is not None:
            data[name] = getattr(step, name)
    return _with_times(data)


def step_from_dict(data: Mapping[str, Any]) -> Step:
    """Undo `step_to_dict`.

    Raises:
        TypeError, ValueError, KeyError: if the data is not one.
    """
    content = _read_times(data)
    content["input"] = [Message.from_dict(message) for message in data.get("input", ())]
    if "output" in data:
        content["output"] = Message.from_dict(data["output"])
    content["tools"] = [ToolSchema(**tool) for tool in data.get("tools", ())]
    for name in ("prompt_ids", "completion_ids"):
        check_ids(data.get(name) or ())
    if "fidelity" in data:
        content["fidelity"] = Fidelity(data["fidelity"])
    return Step(**content)


def _with_times(data: dict[str, Any]) -> dict[str, Any]:
    return data | {name: data[name].isoformat() for name in _TIMES if data.get(name) is not None}


def _read_times(data: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: datetime.fromisoformat(data[name]) for name in _TIMES if data.get(name) is not None}
    for name, time in times.items():
        if time.tzinfo is None:
            raise ValueError(f"{name} has no time zone")
    return dict(data) | times
