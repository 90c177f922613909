"""Prompts are cut into lines that cover every token once and can be taken out again."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.message import Message, ToolSchema
from flashtrace_agent.review.lines import Line, lay_out, split_lines
from flashtrace_agent.review.removal import is_removable, remove_lines, without_text
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Step

from .prompts import COUNT, IDLE, PLAIN, PRICE, START, SYSTEM, USEFUL, run


def test_a_line_of_several_sentences_is_cut_into_them() -> None:
    text = "Be brief, e.g. one line. Never guess a number!\n\n  - Use `lookup`. \n1. First do this"
    assert split_lines(text) == [
        "Be brief, e.g. one line.",
        "Never guess a number!",
        "- Use `lookup`.",
        "1. First do this",
    ]


@given(st.text(alphabet="ab .!?\nA1。", max_size=80))
def test_lines_are_pieces_of_the_text_in_order_and_leave_only_white_space(text: str) -> None:
    position = 0
    rest = ""
    for line in split_lines(text):
        found = text.find(line, position)
        assert found >= 0
        rest += text[position:found]
        position = found + len(line)
    assert not (rest + text[position:]).strip()


def test_every_token_of_the_prompts_text_has_one_line() -> None:
    _, step, attributions = next(iter(run(1)))
    first = attributions[0]
    layout = lay_out(step.input, step.tools, first.segments, first.tokens)
    for segment in first.segments:
        covered = layout.line_of_token[segment.span.start : segment.span.end]
        is_text = segment.message != -1 and segment.name != "template"
        assert ((covered >= 0) == is_text).all()
    assert layout.lengths.sum() == (layout.line_of_token >= 0).sum()
    assert [line.text for line in layout.lines if line.segment == "system"] == [PLAIN, USEFUL, IDLE]
    parts = {line.part: line.text for line in layout.lines if line.segment == "tool_schema:price"}
    assert parts["description"] == "Look up what one item costs."
    assert parts["parameter:item"] == "Singular name of the item."


def test_tokens_that_hold_parts_of_characters_still_find_their_line() -> None:
    """Byte-level tokens cut an emoji into pieces, each of which shows as U+FFFD."""
    source = "Sei höflich 🙂 zu allen.\nAntworte kurz und klar."
    pieces = (
        "Sei h",
        "\ufffd",
        "\ufffd",
        "flich ",
        "\ufffd",
        "\ufffd",
        " zu allen",
        ".\n",
        "Antworte",
        " kurz und klar.",
    )
    segments = [Segment("system", Span(0, len(pieces)), 0)]
    layout = lay_out([Message("system", source)], [], segments, pieces)
    assert [line.text for line in layout.lines] == source.split("\n")
    assert layout.line_of_token.tolist() == [0] * 8 + [1] * 2


def test_descriptions_are_found_where_a_template_prints_json() -> None:
    tool = ToolSchema("note", 'Write "it" down.\nOne line each.', {})
    printed = json.dumps(tool.to_openai())
    pieces = tuple(printed[i : i + 3] for i in range(0, len(printed), 3))
    layout = lay_out([], [tool], [Segment("tool_schema:note", Span(0, len(pieces)))], pieces)
    assert [line.text for line in layout.lines if line.part == "description"] == [
        'Write "it" down.',
        "One line each.",
    ]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_a_removed_line_leaves_no_gap() -> None:
    assert without_text(SYSTEM, USEFUL) == f"{PLAIN}\n{IDLE}"
    assert without_text(SYSTEM, IDLE) == f"{PLAIN}\n{USEFUL}"
    assert without_text("One here. Two here. Three.", "Two here.") == "One here. Three."
    assert without_text("  - a\n  - b\n", "- a") == "  - b\n"
    assert without_text("One", "Two") is None


def test_the_same_words_inside_another_line_stay() -> None:
    """And a line that stands twice goes twice: without one of them nothing would be proved."""
    assert without_text("Never say Be kind.\nBe kind.", "Be kind.") == "Never say Be kind."
    kind = "Always be kind here."
    assert without_text(f"{kind}\nAnswer in one line. {kind}\nEnd.", kind) == "Answer in one line.\nEnd."
    assert without_text("All of it", "of") == "All it"


@given(
    st.lists(st.sampled_from(["Be brief.", "- Use it", "Say so now.", "x"]), min_size=1, max_size=6),
    st.data(),
)
def test_removing_a_line_removes_that_line_only(lines: list[str], data: st.DataObject) -> None:
    unique = list(dict.fromkeys(lines))
    gone = data.draw(st.sampled_from(unique))
    rest = without_text("\n".join(unique), gone)
    assert rest is not None
    assert _lines(rest) == [line for line in unique if line != gone]


def _step() -> Step:
    call = Message("assistant", "Here.", example=True)
    messages = [
        Message("system", SYSTEM),
        Message("user", "One?", example=True),
        call,
        Message("user", "Two?", example=True),
        call,
        Message("user", "Now?"),
    ]
    return Step("s", "t", "model", "m", START, input=messages, tools=[PRICE, COUNT])


def test_lines_tools_descriptions_and_examples_can_be_taken_out() -> None:
    step = _step()
    lines = [
        Line("system", "", IDLE),
        Line("tool_schema:price", "parameter:item", "Singular name of the item."),
        Line("tool_schema:count", "", ""),
        Line("example:1", "", ""),
    ]
    assert all(is_removable(line) for line in lines)
    edited = remove_lines(step, lines)
    assert edited is not None
    messages, tools = edited
    assert messages[0].content == f"{PLAIN}\n{USEFUL}"
    assert [message.content for message in messages[1:]] == ["Two?", "Here.", "Now?"]
    assert [tool.name for tool in tools] == ["price"]
    assert tools[0].parameters["properties"]["item"] == {"type": "string"}
    assert step.tools[0].parameters["properties"]["item"]["description"], "the step itself stays as it was"


def test_what_is_not_there_cannot_be_taken_out() -> None:
    assert remove_lines(_step(), [Line("system", "", "No such line.")]) is None
    assert remove_lines(_step(), [Line("example:7", "", "")]) is None
    assert not is_removable(Line("tool_schema:price", "name", "price"))
    assert not is_removable(Line("user", "", "Now?"))


def test_a_line_with_a_repeated_word_is_found_in_order() -> None:
    """The second `Use it.` must not be taken for the first."""
    text = "Use it now please.\nThen stop.\nUse it now please."
    pieces = tuple(text[i : i + 4] for i in range(0, len(text), 4))
    layout = lay_out([Message("system", text)], [], [Segment("system", Span(0, len(pieces)), 0)], pieces)
    assert np.unique(layout.line_of_token).tolist() == [0, 1]
    assert layout.line_of_token[-1] == 0
