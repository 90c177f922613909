"""A search shows the words where they stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import Message, ToolCall
from flashtrace_agent.store import Store
from flashtrace_agent.store.search import SNIPPET, Match, _match
from flashtrace_agent.store.words import word_places, words_of

from .examples import make_model_step, make_trace


@pytest.fixture
def filled(store: Store) -> Store:
    """Return a store with three runs; the words stand in content, reasoning and arguments."""
    call = ToolCall("c", "refund", {"policy": "Zürich", "n": 1})
    for number, message in enumerate(
        [
            Message("user", "What is the refund policy?"),
            Message("assistant", "", reasoning="so " * 200 + "the POLICY on a refund " + "is " * 200),
            Message("assistant", "", tool_calls=(call,)),
        ]
    ):
        trace = make_trace(str(number), milliseconds=number, name=str(number), tags=[f"t{number}"])
        store.write_trace(trace)
        store.write_step(make_model_step(trace, input=[Message("system", "Be kind."), message]))
    return store


def marked(match: Match) -> list[str]:
    """Return the highlighted words."""
    return [match.snippet[start:end] for start, end in match.highlights]


def test_words_are_shown_where_they_stand(filled: Store) -> None:
    """Newest first, in whatever part of a message."""
    third, second, first = filled.search("policy refund")
    assert [found.name for found in (first, second, third)] == ["0", "1", "2"]
    (match,) = first.matches
    assert (match.role, match.part, match.snippet) == ("user", "content", "What is the refund policy?")
    assert marked(match) == ["refund", "policy"]
    (match,) = second.matches
    assert (match.part, marked(match)) == ("reasoning", ["POLICY", "refund"])
    assert match.snippet.startswith("…so so")
    assert match.snippet.endswith("is…")
    assert len(match.snippet) <= SNIPPET + 2
    (match,) = third.matches
    assert (match.part, match.snippet) == ("tool_call", 'refund {"policy": "Zürich", "n": 1}')
    assert marked(filled.search("zurich")[0].matches[0]) == ["Zürich"]


def test_a_search_can_be_narrowed_and_paged(filled: Store) -> None:
    """By filter, and by the last id of the page before."""
    assert [found.name for found in filled.search("refund", where="tag = t1")] == ["1"]
    (first,) = filled.search("refund", limit=1)
    assert [found.name for found in filled.search("refund", before=first.trace_id)] == ["1", "0"]
    assert filled.search("refunds") == []
    with pytest.raises(StoreError, match="no word to look for"):
        filled.search("?!")


def test_many_matches_of_a_trace_are_counted(store: Store) -> None:
    """The first three are shown, each once however often it is sent again."""
    trace = make_trace()
    messages = [Message("user", f"sofa {number}") for number in range(5)]
    store.write_steps([make_model_step(trace, number, input=messages[: number + 1]) for number in range(5)])
    (found,) = store.search("sofa")
    assert [match.snippet for match in found.matches] == ["sofa 0", "sofa 1", "sofa 2"]
    assert found.more == 2


def test_a_call_is_searched_as_it_was_meant(store: Store) -> None:
    """Line breaks and quotes in an argument are no part of its words."""
    text = 'first\nsecond "third"\tC:\\fourth \x07fifth'
    call = ToolCall("c", "mail", {"text": text, "copy": None})
    store.write_step(make_model_step(make_trace(), output=Message("assistant", "", tool_calls=(call,))))
    for word in ("second", "third", "fourth", "fifth", "copy"):
        (found,) = store.search(word)
        assert [marked(match) for match in found.matches] == [[word]]
    assert store.search("nsecond") == []
    assert store.check() == []


def test_a_long_message_is_searched_from_its_beginning(store: Store) -> None:
    """More words than PostgreSQL indexes are no reason to lose a step."""
    words = [f"w{number:07}" for number in range(200_000)]
    store.write_step(make_model_step(make_trace(), input=[Message("tool", " ".join(words))]))
    assert len(store.search("w0000007 w0020000")) == 1
    assert store.search("w0199999") == []
    assert store.check() == []


TEXTS = st.text(st.sampled_from("abß İﬁ検索é\u0301-_ \n.1"), max_size=300)


@given(text=TEXTS)
def test_places_hold_the_words_they_name(text: str) -> None:
    """Every place's own text has that word, and no place overlaps another."""
    last = 0
    for start, end, word in word_places(text):
        assert last <= start < end
        assert word in words_of(text[start:end])
        last = end


@given(text=TEXTS, wanted=st.sets(st.sampled_from(["a", "b", "ab", "検", "1", "ss"]), min_size=1))
def test_a_snippet_is_a_short_piece_of_the_text(text: str, wanted: set[str]) -> None:
    """With its highlights inside it, each one of the words."""
    match = _match({"role": "user", "content": text}, wanted)
    assert len(match.snippet) <= SNIPPET + 2
    bare = match.snippet.removeprefix("…").removesuffix("…")
    assert bare in "".join(char if char.isprintable() else " " for char in text)
    for start, end in match.highlights:
        assert set(words_of(match.snippet[start:end])) & wanted
