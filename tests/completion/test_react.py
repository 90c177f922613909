"""Text agents' thoughts, actions, inputs and answers are found where they are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.completion import Completion, parse_completion
from flashtrace_agent.completion.react import instructs, rounds_begin, scratchpad

LANGCHAIN = """Answer the following questions as best you can. You have access to the following tools:

search(query) - look something up

Use the following format:

Question: the input question you must answer
Thought: you should always think about what to do
Action: the action to take, should be one of [search]
Action Input: the input to the action
Observation: the result of the action
... (this Thought/Action/Action Input/Observation can repeat N times)
Thought: I now know the final answer
Final Answer: the final answer to the original input question

Begin!

Question: How many sofas?
Thought:"""


def parse(text: str) -> Completion:
    found = parse_completion(text, text_agent=True)
    for call in found.calls:
        assert text[call.name_start : call.name_end] == call.name
        assert call.start <= call.name_start <= call.end
        for argument in call.argument_spans:
            if isinstance(argument.value, str) and json.dumps(argument.value)[1:-1] == argument.value:
                assert text[argument.start : argument.end] == argument.value
    if found.reasoning_range is not None:
        assert text[slice(*found.reasoning_range)] == found.reasoning
    return found


LOOK = "Thought: I should look.\n"
ACT = LOOK + "Action: search\nAction Input: "
GIVEN = '{"query": "sofas", "limit": 3}'
BLOB = f'{{"action": "search", "action_input": {GIVEN}}}'

CALLS = {
    "langchain": " I should look.\nAction: search\nAction Input: sofas in stock\n",
    "made-up result": f"{ACT}sofas in stock\nObservation: 9\nThought: x",
    "stopped at the label": f"{ACT}sofas in stock\nObservation",
    "quoted name": "Thought: I should look.\nAction: `search`\nAction Input: sofas in stock",
    "numbered": "Thought 1: I should look.\nAction 1: search\nAction Input 1: sofas in stock",
    "bold": "**Thought:** I should look.\n**Action:** search\n**Action Input:** sofas in stock",
    "paper": "Thought 1: I should look.\nAction 1: search[sofas in stock]\nObservation 1:",
    "parentheses": "Thought: I should look.\nAction: search(sofas in stock)",
    "chinese": "思考：I should look.\n行动：search\n行动输入：sofas in stock\n观察：",
    "end of turn": "Thought: I should look.\nAction: search\nAction Input: sofas in stock<|im_end|>",
}


@pytest.mark.parametrize("text", CALLS.values(), ids=CALLS.keys())
def test_calls_with_plain_text(text: str) -> None:
    found = parse(text)
    assert found.reasoning == "I should look."
    [call] = found.calls
    assert (call.name, call.arguments) == ("search", {"input": "sofas in stock"})
    assert (found.answer, found.invalid_calls) == ("", ())


JSON_CALLS = {
    "llama index": ACT + GIVEN,
    "fenced whole": f"```\n{ACT}{GIVEN}\n```",
    "fenced input": f"{ACT}```json\n{GIVEN}\n```",
    "blob": f"{LOOK}Action:\n```json\n{BLOB}\n```\nObservation:",
    "bare blob": f"{LOOK}Action: {BLOB}",
    "conversational": f"I should look.\n```json\n{BLOB}\n```",
    "qwen-agent": f"I should look.\n✿FUNCTION✿: search\n✿ARGS✿: {GIVEN}\n✿RESULT✿",
}


@pytest.mark.parametrize("text", JSON_CALLS.values(), ids=JSON_CALLS.keys())
def test_calls_with_json(text: str) -> None:
    """Each member is an argument with its place."""
    found = parse(text)
    [call] = found.calls
    assert (call.name, call.arguments) == ("search", {"query": "sofas", "limit": 3})
    assert [text[a.start : a.end] for a in call.argument_spans] == ["sofas", "3"]
    assert found.reasoning == "I should look."
    assert found.answer == ""


ANSWERS = {
    "langchain": " I now know.\nFinal Answer: There are 4.\nAction: none of this",
    "llama index": "Thought: I now know.\nAnswer: There are 4.\nAction: none of this",
    "blob": "Thought: I now know.\nAction:\n```\n"
    '{"action": "Final Answer", "action_input": "There are 4.\\nAction: none of this"}\n```',
    "qwen-agent": "I now know.\n✿RETURN✿: There are 4.\nAction: none of this",
    "action none": "Thought: I now know.\nAction: None\nFinal Answer: There are 4.\nAction: none of this",
}


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS.keys())
def test_answers(text: str) -> None:
    """A final answer may say anything, labels included."""
    found = parse(text)
    assert found.answer.replace("\\n", "\n") == "There are 4.\nAction: none of this"
    assert (found.calls, found.reasoning) == ((), "I now know.")


def test_what_is_no_call() -> None:
    """An action without its input; thoughts that were cut off; plain words."""
    found = parse("Thought: hm.\nAction: search the web\n")
    assert [(call.text, call.error) for call in found.invalid_calls] == [
        ("Action: search the web", "The action has no input.")
    ]
    assert parse("Thought: I should").reasoning == "I should"
    found = parse("There are 4 sofas.")
    assert (found.answer, found.reasoning, found.calls) == ("There are 4 sofas.", None, ())


def test_thinking_before_the_thought_is_reasoning_too() -> None:
    found = parse("<think>\nhm\n</think>\nThought: I should look.\nAction: a\nAction Input: b")
    assert found.reasoning == "hm\n</think>\nThought: I should look."
    assert found.calls[0].name == "a"


def test_only_a_prompt_that_asks_for_it_is_a_text_agents() -> None:
    """Other models may say such words without meaning them."""
    assert instructs(LANGCHAIN)
    assert instructs('Reply with {"action": …, "action_input": …}')
    assert instructs("Solve with interleaving steps.\nThought 1: x\nAction 1: Search[y]\nObservation 1: z")
    assert not instructs("Write a plan.\nAction: something\nResult: x")
    assert not instructs("Give a Final Answer: at the end. Final Answer: x")
    text = "It is so.\nFinal Answer: 4"
    assert parse_completion(text).answer == text


def test_earlier_rounds_in_a_prompt() -> None:
    """The instructions' own labels are not taken for rounds."""
    rounds = (
        " Look.\nAction: search\nAction Input: sofas\nObservation: 4 red\nand more\nThought: Again.\nAction: "
    )
    rounds += "search\nAction Input: beds\nObservation: 6\nThought: "
    text = LANGCHAIN + rounds
    parts = scratchpad(text, rounds_begin(text))
    assert [(name, text[start:end]) for name, start, end in parts] == [
        ("reasoning", "Look."),
        ("tool_call:search", "search\nAction Input: sofas"),
        ("tool_result:1", "4 red\nand more"),
        ("reasoning", "Again."),
        ("tool_call:search", "search\nAction Input: beds"),
        ("tool_result:2", "6"),
    ]
    assert scratchpad(LANGCHAIN, rounds_begin(LANGCHAIN)) == []


WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029`:：[]✿<{"),
    min_size=1,
)
LINE = WORDS.map(str.strip).filter(
    lambda text: text and not text.startswith(("#", ">", "-", "*", "_", '"', "'"))
)
NAME = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True).filter(
    lambda name: name not in ("finish", "answer", "none")
)
ARGUMENTS = st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers() | st.none(), max_size=3)
STYLES = {
    "langchain": "Thought: {}\nAction: {}\nAction Input: {}\nObservation:",
    "fence": "Thought: {}\nAction: {}\nAction Input:\n```json\n{}\n```\n",
    "blob": 'Thought: {}\nAction:\n```\n{{"action": "{}", "action_input": {}}}\n```',
    "qwen": "{}\n✿FUNCTION✿: {}\n✿ARGS✿: {}\n✿RESULT✿: 1",
}


@given(st.sampled_from(sorted(STYLES)), LINE, NAME, ARGUMENTS, st.booleans())
def test_any_arguments_come_back(
    style: str, thought: str, name: str, arguments: dict[str, object], plain: bool
) -> None:
    """Labels, fences and quotes inside a JSON string are its words."""
    found = parse(STYLES[style].format(thought, name, json.dumps(arguments, ensure_ascii=not plain)))
    [call] = found.calls
    assert (call.name, call.arguments) == (name, arguments)
    assert found.reasoning == thought


LABELS = ["Action", "Action Input", "Thought", "Final Answer", "Observation", "```", "✿ARGS✿", "✿FUNCTION✿"]


@given(
    st.lists(st.sampled_from([*'ab {}[]"\n\n:`', '"action":', "Question:", "</think>", *LABELS])).map("".join)
)
def test_every_text_is_accepted(text: str) -> None:
    """Ranges lie in the text, in order, without overlap."""
    found = parse(text)
    ranges = [(call.start, call.end) for call in (*found.calls, *found.invalid_calls)] + list(
        found.answer_ranges
    )
    last = 0
    for start, end in sorted(ranges):
        assert last <= start <= end <= len(text)
        last = end
    done = 0
    for _, start, end in scratchpad(text):
        assert done <= start < end <= len(text)
        done = end
