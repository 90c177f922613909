"""The standalone page: complete, safe whatever the tokens say, and asking nothing of the network."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.attribution import Attribution, Hop
from flashtrace_agent.check import Check
from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.html import NOTE, render_html, viewer_data
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span


def make(tokens: tuple[str, ...] = ("sys", "tem", "ask", "think", "call"), **changed: Any) -> Attribution:
    """Return an attribution of the last token, with as many scores as tokens."""
    n = len(tokens)
    scores = np.arange(n, 0, -1, dtype=np.float32)
    scores[-1] = 0
    fields: dict[str, Any] = {
        "input_ids": np.arange(n, dtype=np.int32),
        "tokens": tokens,
        "target": (Span(n - 1, n),),
        "through": (Span(n - 2, n - 1),),
        "scores": scores / scores.sum(),
        "hops": (Hop(scores * 3, 0.4), Hop(scores[::-1].copy(), 0.1)),
        "method": "flashtrace",
        "model": "tiny",
        "target_name": "tool_name",
        "fidelity": "rendered",
    }
    return Attribution(**(fields | changed))


SEGMENTS = (Segment("system", Span(0, 2)), Segment("user", Span(2, 3)), Segment("reasoning", Span(3, 5)))


class Page(HTMLParser):
    """The parts of a page: its elements, its scripts and every address it mentions."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"] or ""
        if tag == "script":
            self._in_script = True
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = self._in_script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data


PLAIN_TAGS = Page(render_html([make()])).tags


def test_page_asks_nothing_of_the_network() -> None:
    """No element points outside, and the content security policy forbids the rest."""
    html = render_html([make()])
    page = Page(html)
    assert page.addresses == ["data:,"]
    assert "default-src 'none'" in page.policy
    assert not re.search(r"https?://|@import|url\(", html)


def test_policy_allows_exactly_the_script_of_the_page() -> None:
    """The hash in the policy is that of the script, so the browser runs it and nothing else."""
    page = Page(render_html([make()]))
    digest = base64.b64encode(hashlib.sha256(page.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.policy


def test_data_is_embedded_once_and_complete() -> None:
    """The page holds the viewer's data as JSON, once."""
    attribution = make(segments=SEGMENTS)
    page = Page(render_html([attribution]))
    assert len(page.scripts) == 2
    assert json.loads(page.scripts[0]) == viewer_data([attribution])


@pytest.mark.parametrize(
    "token",
    ["</script>", "<!--", "<script>alert(1)</script>", "]]>", '"', "\\", "&lt;", "\u2028", "$data", "\ud83d"],
)
def test_markup_in_tokens_stays_text(token: str) -> None:
    """A token cannot end the script it is embedded in, nor add an element to the page."""
    attribution = make((token, token, "c", "d", token), target_name=token)
    page = Page(render_html([attribution], title=token))
    assert page.tags == PLAIN_TAGS
    assert json.loads(page.scripts[0])["sequences"][0]["tokens"][0] == token


@given(st.lists(st.text(st.characters(), max_size=8), min_size=1, max_size=6).map(tuple))
def test_any_text_survives(tokens: tuple[str, ...]) -> None:
    """Whatever characters tokens are made of, the page carries them and can be written as UTF-8."""
    attribution = make((*tokens, "through", "target"))
    html = render_html([attribution], title="".join(tokens))
    html.encode("utf-8")
    page = Page(html)
    assert page.tags == PLAIN_TAGS
    assert tuple(json.loads(page.scripts[0])["sequences"][0]["tokens"]) == attribution.tokens


def test_views_are_the_final_score_and_every_hop() -> None:
    """Each view has its own scores and sum; hops also say what stayed on the reasoning."""
    item = viewer_data([make()])["attributions"][0]
    assert [view["label"] for view in item["views"]] == ["Final", "Hop 0", "Hop 1"]
    assert [view["remaining_mass"] for view in item["views"]] == [None, 0.4, 0.1]
    assert item["views"][0]["total"] == pytest.approx(1.0)
    assert item["views"][1]["scores"] == pytest.approx([15, 12, 9, 6, 0])
    assert (item["fidelity"], item["method"], item["model"]) == ("rendered", "flashtrace", "tiny")


def test_segments_are_ranked_by_share_of_the_view() -> None:
    """The ranking agrees with `Attribution.by_segment`, and segments of one name are summed."""
    segments = (*SEGMENTS[:2], Segment("system", Span(3, 5)))
    attribution = make(segments=segments)
    ranked = viewer_data([attribution])["attributions"][0]["views"][0]["segments"]
    assert [(name, share) for name, share, _ in ranked] == [
        (name, pytest.approx(share, rel=1e-4)) for name, share in attribution.by_segment()
    ]
    assert [count for _, _, count in ranked] == [4, 1]


def test_attributions_of_one_step_share_their_tokens() -> None:
    """Several targets of a step embed the tokens once; another step's are kept apart."""
    data = viewer_data([make(), make(target_name="answer"), make(("x", "y", "z"))])
    assert [item["sequence"] for item in data["attributions"]] == [0, 0, 1]
    assert len(data["sequences"]) == 2


def test_unnamed_target_is_shown_by_its_position() -> None:
    """A target without a name is called by its span."""
    assert viewer_data([make(target_name="")])["attributions"][0]["name"] == "4:5"


def test_page_says_what_attribution_is_not() -> None:
    """The note that attribution is evidence, not proof, is on every page."""
    assert NOTE.startswith("Attribution is evidence, not proof")
    assert "Attribution is evidence, not proof" in render_html([make()])


def test_nothing_to_draw_is_an_error() -> None:
    """An empty list of attributions is refused with a sentence."""
    with pytest.raises(FlashTraceError, match="pass at least one attribution"):
        render_html([])


def test_scores_that_are_not_numbers_are_an_error() -> None:
    """NaN scores would make a page that says nothing; the error says what to do."""
    with pytest.raises(FlashTraceError, match="float32"):
        render_html([make(scores=np.array([np.nan, 0, 0, 0, 0], dtype=np.float32))])


def test_to_html_writes_the_page(tmp_path: Path) -> None:
    """`Attribution.to_html` writes a file that begins as HTML."""
    make(("é", "\ud800", "x")).to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_check_stands_beside_the_fidelity() -> None:
    """Its verdict, and what was found in words; none where it was not asked."""
    check = Check("tokens", 5, 100, "target", 2.5, (0.1, 0.3), 12.5, 8.0, 20.0, "strong")
    item = viewer_data([make(checked=check)])["attributions"][0]
    assert item["check"]["verdict"] == "strong"
    assert "top 5 of 100 tokens costs the target 2.50 nats, 12.5 times" in item["check"]["help"]
    assert viewer_data([make()])["attributions"][0]["check"] is None
