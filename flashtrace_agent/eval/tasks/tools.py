"""Tool-using agents: which request, schema line or result caused a call or an answer."""

from __future__ import annotations

import random

from ...completion import Completion
from ...message import Message, ToolCall, ToolSchema
from .base import Puzzle, Task
from .words import ITEMS, numbers

_SYSTEM = Message("system", "You are the assistant of a shop. Look facts up with a tool, then answer.")


def _schema(name: str, description: str, parameter: str = "item") -> ToolSchema:
    properties = {parameter: {"type": "string"}}
    return ToolSchema(name, description, {"type": "object", "properties": properties})


_PRICE = _schema("get_price", "Look up the price of one item in euros.")
_COUNT = _schema("count_items", "Count how many units of an item are in stock.")


def _call(
    number: int, name: str, arguments: dict[str, str], reasoning: str | None = None, *, example: bool = False
) -> Message:
    calls = (ToolCall(f"call_{number}", name, arguments),)
    return Message("assistant", reasoning=reasoning, tool_calls=calls, example=example)


def _result(number: int, text: str, *, example: bool = False) -> Message:
    return Message("tool", text, tool_call_id=f"call_{number}", example=example)


def _price_example(*, reasoning: bool) -> tuple[Message, ...]:
    why = "The user asks for the price of a table. I need get_price with item table." if reasoning else None
    return (
        Message("user", "What does a table cost?", example=True),
        _call(1, "get_price", {"item": "table"}, why, example=True),
        _result(1, "150 euros per table", example=True),
        Message("assistant", "A table costs 150 euros.", example=True),
    )


def _count_example() -> tuple[Message, ...]:
    why = "The user asks for the number of beds. I need count_items with item bed."
    return (
        Message("user", "How many beds are in stock?", example=True),
        _call(2, "count_items", {"item": "bed"}, why, example=True),
        _result(2, "6 units of bed", example=True),
        Message("assistant", "There are 6 beds in stock.", example=True),
    )


class _OneCall(Task):
    """A call is right if it is the only one and has the expected name and argument."""

    def is_right(self, puzzle: Puzzle, completion: Completion) -> bool:
        """Ask for exactly one call."""
        return len(completion.calls) == 1 and not completion.invalid_calls


class ToolArgument(_OneCall):
    """The argument comes from the user's word."""

    name = "tool_argument"
    group = "tools"
    about = "the item a call asks for, from the request"
    held_in = True

    def puzzle(self, rng: random.Random) -> Puzzle:
        """Make one puzzle."""
        item = rng.choice(ITEMS)
        ask = Message("user", f"What does a {item} cost?")
        return Puzzle(
            messages=(_SYSTEM, *_price_example(reasoning=True), *_count_example(), ask),
            tools=(_PRICE, _COUNT),
            evidence=(item,),
            answer=(item,),
            target="argument:item",
            max_new_tokens=72,
        )


class ToolFromResult(_OneCall):
    """The argument comes from an earlier tool's result, beside a distracting one."""

    name = "tool_from_result"
    group = "tools"
    about = "a number handed from one tool's result to the next call, beside another result"

    def puzzle(self, rng: random.Random) -> Puzzle:
        """Make one puzzle."""
        first, second = rng.sample(ITEMS, 2)
        right, wrong = numbers(rng, 2)
        find = _schema("find_article", "Find the article number of an item.")
        order = _schema("order", "Order an item by its article number.", "article")
        history = (
            Message("user", "Order a table.", example=True),
            _call(1, "find_article", {"item": "table"}, example=True),
            _result(1, "table: article 5830", example=True),
            _call(2, "order", {"article": "5830"}, "The table is article 5830. I need order.", example=True),
            _result(2, "ordered", example=True),
            Message("assistant", "The table is ordered.", example=True),
            Message("user", f"Order a {second} and a {first}."),
            _call(3, "find_article", {"item": second}),
            _result(3, f"{second}: article {wrong}"),
            _call(4, "order", {"article": wrong}),
            _result(4, "ordered"),
            _call(5, "find_article", {"item": first}),
            _result(5, f"{first}: article {right}"),
        )
        return Puzzle(
            messages=(Message("system", "You are the assistant of a shop."), *history),
            tools=(find, order),
            evidence=(f"article {right}",),
            answer=(right,),
            target="argument:article",
            max_new_tokens=72,
        )


class ToolName(_OneCall):
    """The tool follows from the request's verb and the schema's line that matches it."""

    name = "tool_name"
    group = "tools"
    about = "which tool is called, from the request and the schema's line"
    held_in = True

    def puzzle(self, rng: random.Random) -> Puzzle:
        """Make one puzzle."""
        item = rng.choice(ITEMS)
        asks_price = rng.random() < 0.5
        tool = _PRICE if asks_price else _COUNT
        request = f"What does a {item} cost?" if asks_price else f"How many {item}s are in stock?"
        return Puzzle(
            messages=(_SYSTEM, *_price_example(reasoning=True), *_count_example(), Message("user", request)),
            tools=(_PRICE, _COUNT),
            evidence=(tool.description, request),
            answer=(tool.name,),
            target="tool_name",
            max_new_tokens=72,
        )


class AnswerFromResult(Task):
    """The answer's number comes from one of two results."""

    name = "tool_answer"
    group = "tools"
    about = "the number answered, from the last of several results"
    held_in = True

    def puzzle(self, rng: random.Random) -> Puzzle:
        """Make one puzzle."""
        first, second = rng.sample(ITEMS, 2)
        right, wrong = numbers(rng, 2)
        history = (
            *_price_example(reasoning=False),
            Message("user", f"What does a {first} cost?"),
            _call(3, "get_price", {"item": first}),
            _result(3, f"{wrong} euros per {first}"),
            Message("assistant", f"A {first} costs {wrong} euros."),
            Message("user", f"What does a {second} cost?"),
            _call(4, "get_price", {"item": second}),
            _result(4, f"{right} euros per {second}"),
        )
        return Puzzle(
            messages=(_SYSTEM, *history),
            tools=(_PRICE,),
            evidence=(f"{right} euros",),
            answer=(right,),
            max_new_tokens=32,
        )
