"""Two sides are aligned by content, and every share of the prompt is counted once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.compare import compare
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span

Piece = tuple[str, str, float]  # segment, line, its score


def make(pieces: list[Piece], target: str = "answer", model: str = "m") -> Attribution:
    """Return an attribution of a prompt made of lines; every line is one token per word."""
    tokens: list[str] = []
    scores: list[float] = []
    segments: list[Segment] = []
    for name, line, score in pieces:
        first, *rest = line.split(" ")
        words = [first, *(" " + word for word in rest), "\n"]
        start = len(tokens)
        tokens += words
        scores += [score / len(words)] * len(words)
        segments.append(Segment(name, Span(start, len(tokens)), 0))
    end = len(tokens)
    segments.append(Segment("answer", Span(end, end + 1), -1))
    return Attribution(
        input_ids=np.zeros(end + 1, np.int32),
        tokens=(*tokens, "42"),
        target=(Span(end, end + 1),),
        through=(),
        scores=np.array([*scores, 0.0], np.float32),
        hops=(),
        method="flashtrace",
        model=model,
        target_name=target,
        segments=tuple(segments),
    )


OLD = [
    ("system", "Be brief.", 0.1),
    ("system", "Never guess a number, look it up.", 0.4),
    ("system", "Speak like a pirate.", 0.0),
    ("user", "How many lamps?", 0.5),
]
NEW = [
    ("system", "Be brief.", 0.3),
    ("system", "Never guess numbers, always look it up.", 0.1),
    ("tool_schema:lookup", "Look up one item.", 0.2),
    ("user", "What does a sofa cost?", 0.4),
]


def test_lines_are_aligned_by_content() -> None:
    """Same words, alike words, the one line left, and what stands on one side only."""
    (found,) = compare([make(OLD)], [make(NEW)])
    rows = {
        (row.segment, row.change, row.text_a, row.text_b): round(row.difference, 4) for row in found.lines
    }
    assert rows == {
        ("system", "same", "Be brief.", "Be brief."): 0.2,
        (
            "system",
            "changed",
            "Never guess a number, look it up.",
            "Never guess numbers, always look it up.",
        ): -0.3,
        ("system", "only a", "Speak like a pirate.", None): 0.0,
        ("tool_schema:lookup", "only b", None, "Look up one item."): 0.2,
        ("user", "changed", "How many lamps?", "What does a sofa cost?"): -0.1,
    }
    assert [(row.segment, row.change) for row in found.segments] == [
        ("tool_schema:lookup", "only b"),
        ("system", "same"),
        ("user", "same"),
    ]
    assert abs(found.lines[0].difference) == max(abs(row.difference) for row in found.lines)


def test_a_side_is_the_mean_of_its_attributions() -> None:
    """Also where a line is not in all of them; second calls count with the first."""
    a = [make(OLD, "tool_name"), make(OLD[1:], "tool_name#2")]
    (found,) = compare(a, [make(OLD, "tool_name")])
    brief = next(row for row in found.lines if row.text_a == "Be brief.")
    assert (brief.share_a, brief.share_b) == (pytest.approx(0.05), pytest.approx(0.1))
    assert (found.a.attributions, found.b.attributions) == (2, 1)


def test_only_targets_of_both_sides_are_compared() -> None:
    """A target one side lacks is left out."""
    assert [one.target for one in compare([make(OLD), make(OLD, "reasoning")], [make(NEW)])] == ["answer"]
    assert compare([make(OLD)], []) == []


def test_different_models_are_warned_of() -> None:
    """Their shares are no like with like."""
    (found,) = compare([make(OLD)], [make(OLD, model="other")])
    assert "models differ" in found.warnings()[0]
    assert all(row.difference == 0 for row in found.lines)


LINES = st.lists(
    st.tuples(
        st.sampled_from(["system", "user", "tool_result:1"]),
        st.text("abc ", min_size=1, max_size=12).map(str.strip).filter(bool),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=8,
)


@given(LINES, LINES)
def test_every_line_and_share_is_counted_once(a: list[Piece], b: list[Piece]) -> None:
    """Whatever the prompts: the rows hold each side's lines once, and its whole score."""
    (found,) = compare([make(a)], [make(b)])
    for side, pieces in (("a", a), ("b", b)):
        texts = [(row.segment, getattr(row, f"text_{side}")) for row in found.lines]
        there = [text for text in texts if text[1] is not None]
        assert len(there) == len(set(there))
        assert set(there) == {(name, line) for name, line, _ in pieces}
        for rows in (found.lines, found.segments):
            total = sum(getattr(row, f"share_{side}") for row in rows)
            assert total == pytest.approx(sum(score for _, _, score in pieces), abs=1e-5)


def test_sides_swap() -> None:
    """Comparing b with a gives the opposite differences."""
    (there,) = compare([make(OLD)], [make(NEW)])
    (back,) = compare([make(NEW)], [make(OLD)])
    assert sorted((row.segment, -round(row.difference, 6)) for row in back.lines) == sorted(
        (row.segment, round(row.difference, 6)) for row in there.lines
    )
