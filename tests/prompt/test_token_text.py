"""Text and ids agree to the byte, whatever the tokenizer."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashtrace_agent.prompt.token_bytes import _decode_stepwise, token_bytes
from flashtrace_agent.prompt.token_text import TokenText
from flashtrace_agent.span import Span

relaxed = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@relaxed
@given(text=st.text())
def test_text_of_encoded_text_is_that_text(merging_tokenizer: Any, text: str) -> None:
    """Encoding and reading back loses nothing."""
    assert TokenText(merging_tokenizer, _ids(merging_tokenizer, text)).text == text


@relaxed
@given(data=st.data())
def test_any_ids_read_as_the_tokenizer_decodes_them(merging_tokenizer: Any, data: st.DataObject) -> None:
    """Ids that break characters apart read as the tokenizer's own decoding, with U+FFFD."""
    ids = data.draw(st.lists(st.integers(0, len(merging_tokenizer) - 1)))
    expected = merging_tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    assert TokenText(merging_tokenizer, ids).text == expected


@relaxed
@given(data=st.data())
def test_every_token_belongs_to_some_character(merging_tokenizer: Any, data: st.DataObject) -> None:
    """Whatever the ids, the characters' spans together hold every token that has bytes."""
    ids = data.draw(st.lists(st.integers(0, len(merging_tokenizer) - 1), max_size=20))
    token_text = TokenText(merging_tokenizer, ids)
    assert len(token_text.pieces) == len(ids)
    spans = [token_text.span(at, at + 1) for at in range(len(token_text.text))]
    covered = {index for span in spans for index in range(span.start, span.end)}
    assert covered >= {index for index, part in enumerate(token_bytes(merging_tokenizer, ids)) if part}


@relaxed
@given(text=st.text(min_size=1), data=st.data())
def test_a_span_is_the_tokens_with_a_byte_of_the_range(
    merging_tokenizer: Any, text: str, data: st.DataObject
) -> None:
    """From the first of them to the last."""
    ids = _ids(merging_tokenizer, text)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    first, last = len(text[:start].encode()), len(text[:end].encode())
    edges = list(accumulate(map(len, token_bytes(merging_tokenizer, ids)), initial=0))
    touched = [index for index, (a, b) in enumerate(pairwise(edges)) if a < last and first < b]
    assert TokenText(merging_tokenizer, ids).span(start, end) == Span(touched[0], touched[-1] + 1)


def test_an_empty_range_is_an_empty_span(byte_tokenizer: Any) -> None:
    """No characters, no tokens; also at the very end and beyond."""
    token_text = TokenText(byte_tokenizer, _ids(byte_tokenizer, "añb"))
    assert token_text.span(1, 1) == Span(1, 1)
    assert token_text.span(3, 3) == Span(4, 4)
    assert token_text.span(7, 9) == Span(4, 4)
    assert token_text.span(1, 2) == Span(1, 3)


def test_reversed_ranges_are_refused(byte_tokenizer: Any) -> None:
    """A range that cannot be raises ValueError."""
    token_text = TokenText(byte_tokenizer, _ids(byte_tokenizer, "ab"))
    with pytest.raises(ValueError, match="not a range"):
        token_text.span(2, 1)


def test_special_tokens_are_written_out(byte_tokenizer: Any) -> None:
    """A special token's text is its name, as one piece."""
    token_text = TokenText(byte_tokenizer, _ids(byte_tokenizer, "<|im_start|>user\nhi<|im_end|>"))
    assert token_text.text == "<|im_start|>user\nhi<|im_end|>"
    assert token_text.pieces[0] == "<|im_start|>"


def test_unknown_ids_have_no_text(byte_tokenizer: Any) -> None:
    """A padding row of the embedding matrix may be generated; it has no bytes."""
    token_text = TokenText(byte_tokenizer, [65, 10**6, 66])
    assert token_text.n_tokens == 3
    assert token_text.pieces[1] == ""
    assert len(token_text.text) == 2


def test_no_ids_are_no_text(byte_tokenizer: Any) -> None:
    """An empty sequence has empty text and only empty spans."""
    token_text = TokenText(byte_tokenizer, [])
    assert (token_text.text, token_text.pieces, token_text.span(0, 0)) == ("", (), Span(0, 0))


@relaxed
@given(text=st.text(alphabet="abc é世👩", min_size=1))
def test_sentencepiece_bytes_and_spaces(sentencepiece_tokenizer: Any, text: str) -> None:
    """Spaces and byte pieces of SentencePiece read as the text that was encoded."""
    ids = _ids(sentencepiece_tokenizer, text)
    token_text = TokenText(sentencepiece_tokenizer, ids)
    assert token_text.text == text
    assert token_text.text == sentencepiece_tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def test_other_tokenizers_are_decoded_step_by_step(wordpiece_tokenizer: Any) -> None:
    """A WordPiece tokenizer's text is its own decoding, cut into its tokens."""
    ids = _ids(wordpiece_tokenizer, "the playing games")
    token_text = TokenText(wordpiece_tokenizer, ids)
    assert token_text.text == "the playing games"
    assert token_text.pieces == ("the", " play", "ing", " game", "s")


@relaxed
@given(text=st.text())
def test_stepwise_decoding_agrees_with_byte_lookup(merging_tokenizer: Any, text: str) -> None:
    """The general way gives the same text as the exact one."""
    ids = _ids(merging_tokenizer, text)
    assert b"".join(_decode_stepwise(merging_tokenizer, ids)).decode() == text
