"""A small real agent: a furniture shop's assistant with two tools over a data file.

The default model is small enough to err in instructive ways (a wrong tool, a tool that does not
exist, a result misread), which is what there is to explain. Nothing here tells it the answers.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

# The second line is for its authors, as prompts that many hands have been at carry along; `review` finds
# out what it is worth to the model.
SYSTEM_PROMPT = (
    "You are the assistant of a furniture shop. Look facts up with a tool, then answer in one short "
    "sentence.\n"
    "Keep these notes in step with the web site."
)

QUESTIONS = (
    "What does a lamp cost?",
    "How many sofas are in stock?",
    "How many mirrors are left?",
    "Is a desk cheaper than a sofa?",
    "What colour is the sofa?",
    "How many chairs and how many rugs are there?",
)

SHOP: dict[str, dict[str, int]] = json.loads(
    (resources.files("flashtrace_agent.demo") / "shop.json").read_text(encoding="utf-8")
)


@tool
def count_items(item: str) -> str:
    """Count how many units of an item are in stock."""
    return f"{SHOP[item]['units']} units of {item}" if item in SHOP else f"no item named {item}"


@tool
def get_price(item: str) -> str:
    """Look up the price of one item in euros."""
    return f"{SHOP[item]['price']} euros per {item}" if item in SHOP else f"no item named {item}"


def worked_examples() -> list[BaseMessage]:
    """Return two worked examples for the head of the history, marked as such."""
    return [
        *_example(
            number=1,
            question="What does a table cost?",
            wish="price of a table",
            call=("get_price", "table"),
            result="150 euros per table",
            answer="A table costs 150 euros.",
        ),
        *_example(
            number=2,
            question="How many beds are in stock?",
            wish="number of beds",
            call=("count_items", "bed"),
            result="6 units of bed",
            answer="There are 6 beds in stock.",
        ),
    ]


def build_agent(model: Any) -> Any:
    """Return LangChain's own agent over the shop's tools."""
    return create_agent(model, [count_items, get_price], system_prompt=SYSTEM_PROMPT, name="furniture shop")


def _example(
    *, number: int, question: str, wish: str, call: tuple[str, str], result: str, answer: str
) -> list[BaseMessage]:
    tool_name, item = call
    call_id = f"example_{number}"
    mark: dict[str, Any] = {"example": True}
    thought = f"The user asks for the {wish}. I need {tool_name} with item {item}."
    calls = [{"name": tool_name, "args": {"item": item}, "id": call_id}]
    return [
        HumanMessage(question, additional_kwargs=mark),
        AIMessage("", tool_calls=calls, additional_kwargs=mark | {"reasoning_content": thought}),
        ToolMessage(result, tool_call_id=call_id, name=tool_name, additional_kwargs=mark),
        AIMessage(answer, additional_kwargs=mark | {"reasoning_content": f"The tool says {result}."}),
    ]
