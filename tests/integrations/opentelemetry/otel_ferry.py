"""The agent whose spans were recorded, run again under our own handler: what a reader must find.

The recordings in ../shared/data/otel come from a scripted travel desk of a ferry company. The
same script is played here to the LangChain handler, so the expected run is written by the other
integration and not copied from what the readers return.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field

from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

SYSTEM = (
    "You are the travel desk of a small ferry company in Denmark.\n"
    "Today is Saturday 2026-03-14. Use the tools for every fact about sailings, prices and the sea; "
    "never invent a time.\n"
    "Answer in one or two short sentences, prices in DKK."
)
FAILURE = "no sailing with id 'NB-999' in the fare table"


class Passengers(BaseModel):
    """A group of passengers of one kind."""

    kind: Literal["adult", "child", "senior"] = Field(description="Fare group")
    count: int = Field(description="How many, at least 1", ge=1)


class Sailings(BaseModel):
    """List ferry sailings between two ports on one day, earliest first."""

    origin: str = Field(description="Port of departure, as spelled in Danish")
    destination: str = Field(description="Port of arrival, as spelled in Danish")
    date: str = Field(description="Day of travel, ISO 8601 (YYYY-MM-DD)")
    max_results: int = Field(default=5, description="At most this many sailings")


class Price(BaseModel):
    """Price of one sailing in Danish kroner for the given passengers."""

    sailing_id: str = Field(description="Id as returned by find_sailings")
    passengers: list[Passengers] = Field(description="Who travels")
    bicycle: bool = Field(default=False, description="Whether bicycles are taken along, one per passenger")


class Forecast(BaseModel):
    """Wind and wave forecast near a port."""

    port: str = Field(description="Port name")
    date: str = Field(description="ISO 8601 day")


_SAILINGS = {
    "Marstal": [("MR-0715", "07:15", "08:10"), ("MR-1040", "10:40", "11:35")],
    "Svendborg": [
        ("SA-0815", "08:15", "09:30"),
        ("SA-1115", "11:15", "12:30"),
        ("SA-1745", "17:45", "19:00"),
    ],
    "Fynshav": [("FS-0640", "06:40", "07:50")],
}


@tool(args_schema=Sailings)
def find_sailings(origin: str, destination: str, date: str, max_results: int = 5) -> str:
    """List ferry sailings between two ports on one day, earliest first."""
    found = [{"id": id, "departs": departs, "arrives": arrives} for id, departs, arrives in _SAILINGS[origin]]
    return json.dumps({"date": date, "sailings": found})


@tool(args_schema=Forecast)
def sea_forecast(port: str, date: str) -> str:
    """Wind and wave forecast near a port."""
    return f'{port} {date}\nwind: SW 7 m/s, gusts 11 m/s\nwaves: 0.6 m\nnote: "fine for small craft"'


@tool(args_schema=Price)
def ticket_price(sailing_id: str, passengers: list[Passengers], bicycle: bool = False) -> str:
    """Price of one sailing in Danish kroner for the given passengers."""
    if sailing_id == "NB-999":
        raise LookupError(FAILURE)
    return json.dumps({"sailing_id": sailing_id, "currency": "DKK", "total": 178.5})


class Scripted(BaseChatModel):
    """Says what the script says."""

    script: list[AIMessage]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.script.pop(0))])


def _says(
    text: str,
    *calls: tuple[str, str, dict[str, Any]],
    thought: str | None,
    usage: tuple[int, int] | None,
    model: str = "Qwen/Qwen3-8B",
) -> AIMessage:
    return AIMessage(
        text,
        additional_kwargs={} if thought is None else {"reasoning_content": thought + "\n"},
        tool_calls=[{"id": f"chatcmpl-tool-{id}", "name": name, "args": args} for id, name, args in calls],
        response_metadata={"model_name": model, "finish_reason": "tool_calls" if calls else "stop"},
        usage_metadata=None
        if usage is None
        else {"input_tokens": usage[0], "output_tokens": usage[1], "total_tokens": sum(usage)},
    )


_A = (
    "Is there a boat from Marstal to Rudkøbing tomorrow morning?",
    lambda: [
        _says(
            "",
            (
                "5f2c81aa03b94e1c9d6e7a4410c2f6d8",
                "find_sailings",
                {"origin": "Marstal", "destination": "Rudkøbing", "date": "2026-03-15"},
            ),
            thought="The user wants sailings Marstal to Rudkøbing tomorrow. Today is Saturday 2026-03-14, "
            "so tomorrow is 2026-03-15. I should call find_sailings.",
            usage=(637, 106),
        ),
        _says(
            "Yes, two: MR-0715 leaves Marstal at 07:15 (arrives 08:10) and MR-1040 at 10:40 (arrives 11:35).",
            thought="Two sailings: 07:15 and 10:40. Both are in the morning.",
            usage=(785, 84),
        ),
    ],
)
_B = (
    "I'm taking my daughter (9) from Svendborg to Ærøskøbing on Monday. What's the first boat after 10, "
    "how's the sea, and what do we pay?",
    lambda: [
        _says(
            "Let me look that up.",
            (
                "b1d0e6f2a7c84c55a3b2910f4e6d7c80",
                "sea_forecast",
                {"port": "Svendborg", "date": "2026-03-16"},
            ),
            (
                "b1d0e6f2a7c84c55a3b2910f4e6d7c81",
                "find_sailings",
                {
                    "origin": "Svendborg",
                    "destination": "Ærøskøbing",
                    "date": "2026-03-16",
                    "max_results": 3,
                },
            ),
            thought="Monday is 2026-03-16. I need the sailings and the sea forecast; these are independent, "
            "so I can ask for both at once. The price needs the sailing id, so that comes after.",
            usage=(665, 156),
        ),
        _says(
            "",
            (
                "77aa31c9e0f54b0f8b1c6d2e9f003412",
                "ticket_price",
                {
                    "sailing_id": "SA-1115",
                    "passengers": [{"kind": "adult", "count": 1}, {"kind": "child", "count": 1}],
                },
            ),
            thought="First after 10 is SA-1115. One adult and one child.",
            usage=(952, 79),
        ),
        _says(
            "SA-1115 leaves at 11:15 and arrives at 12:30; the two of you pay 178.50 DKK. "
            "Expect 7 m/s from the southwest and waves of 0.6 m.",
            thought="119 + 59.5 = 178.5 DKK. Sea is calm enough.",
            usage=(1050, 85),
        ),
    ],
)
_C = (
    "When is the earliest boat from Fynshav to Søby on Sunday?",
    lambda: [
        _says(
            "",
            (
                "0c4e1d7730aa4f6c8e2b5a9d1f6b2e11",
                "search_timetable",
                {"from": "Fynshav", "to": "Søby", "day": "Sunday"},
            ),
            thought="I need the timetable for Fynshav to Søby on 2026-03-15.",
            usage=(638, 68),
        ),
        _says(
            "",
            (
                "9a8b7c6d5e4f43b2a1908f7e6d5c4b3a",
                "find_sailings",
                {"origin": "Fynshav", "destination": "Søby", "date": "2026-03-15", "max_results": 1},
            ),
            thought="search_timetable is not a valid tool. The right one is find_sailings.",
            usage=(715, 77),
        ),
        _says(
            "The earliest is FS-0640 at 06:40, arriving in Søby at 07:50.",
            thought="FS-0640 at 06:40.",
            usage=(836, 49),
        ),
    ],
)
_D = (
    "How much is sailing NB-999 for two seniors with bikes?",
    lambda: [
        _says(
            "",
            (
                "2f1e0d9c8b7a46958473625140fedcba",
                "ticket_price",
                {"sailing_id": "NB-999", "passengers": [{"kind": "senior", "count": 2}], "bicycle": True},
            ),
            thought=None,
            usage=None,
            model="meta-llama/Llama-3.1-8B-Instruct",
        )
    ],
)
_SCRIPTS: dict[str, tuple[str, Callable[[], list[AIMessage]]]] = {
    "A": _A,
    "A2": _A,
    "B": _B,
    "C": _C,
    "D": _D,
}


def handler_trace(scenario: str, folder: Path) -> Trace:
    """Return the trace our LangChain handler writes for a scenario."""
    question, script = _SCRIPTS[scenario]
    url = f"sqlite:///{folder / scenario}.db"
    agent = create_agent(
        Scripted(script=script()),
        [find_sailings, sea_forecast, ticket_price],
        system_prompt=SYSTEM,
        name="travel_desk",
    )
    handler = FlashTraceCallbackHandler(url)
    config: Any = {"callbacks": [handler], "metadata": {"session_id": "kiosk-42"} if scenario == "B" else {}}
    ask: Any = {"messages": [{"role": "user", "content": question}]}
    if scenario == "D":
        with pytest.raises(LookupError):
            agent.invoke(ask, config=config)
    else:
        agent.invoke(ask, config=config)
    assert handler.close(30)
    with Store(url) as store:
        return _in_call_order(store.get_trace(store.list_traces(limit=1)[0].id))


def _in_call_order(trace: Trace) -> Trace:
    """Sort parallel tools by their calls; which thread is first is chance."""
    places = {
        call.id: (place, index)
        for place, step in enumerate(trace.steps)
        for index, call in enumerate(step.output.tool_calls if step.output else ())
    }
    order = {step.id: (place, 0) for place, step in enumerate(trace.steps) if step.kind == "model"}
    order |= {
        step.id: (places[step.tool_call_id or ""][0], 1 + places[step.tool_call_id or ""][1])
        for step in trace.steps
        if step.kind == "tool"
    }
    trace.steps.sort(key=lambda step: order[step.id])
    return trace
