"""One small language says which traces are meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashtrace_agent.message import Message
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.store import Store, TraceSummary
from flashtrace_agent.store.filter_syntax import FilterError, parse_filter
from flashtrace_agent.store.words import words_of
from flashtrace_agent.trace import Fidelity

from .conftest import DATABASES
from .examples import make_attribution, make_model_step, make_tool_step, make_trace


@pytest.fixture(scope="module", params=DATABASES)
def module_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URL of a new database that the tests of this module share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('filters')}/traces.db"
    make: Callable[[], str] = request.getfixturevalue("postgres_url")
    return make()


@pytest.fixture(scope="module")
def filled(module_url: str) -> Iterator[Store]:
    """Return a store with four runs: sofas, weather, old, bare. Tests only read it."""
    with Store(module_url) as store:
        record_runs(store)
        yield store


def record_runs(store: Store) -> None:
    """Write runs that differ in every field."""
    now = datetime.now(UTC)
    sofas = make_trace("sofas", name="sofas", tags=["a b"])
    sofas = replace(sofas, started_at=now - timedelta(days=1), ended_at=now)
    weather = make_trace("weather", milliseconds=1, name="weather", status="error", tags=["prod", "100%"])
    weather = replace(
        weather,
        started_at=now - timedelta(hours=1),
        ended_at=None,
        session="it's",
        prompt_version="v3",
        error="Timed out\nafter 9 s",
    )
    old = make_trace("old", milliseconds=2, name="old", session=None, prompt_version=None, tags=[])
    bare = make_trace("bare", milliseconds=3, name="bare", session="s", tags=["prod"])
    for trace in (sofas, weather, old, bare):
        store.write_trace(trace)
    first = make_model_step(sofas)
    store.write_step(first)
    store.write_step(make_tool_step(sofas, 1, first))
    asked = [Message("user", "Wie ist das Wetter in Zürich?")]
    second = make_model_step(
        weather, input=asked, model="qwen", prompt_ids=list(range(5000)), fidelity=Fidelity.RENDERED
    )
    store.write_step(second)
    tool = make_tool_step(weather, 1, second, status="error", error='no "tool" 100%', result=None)
    store.write_step(replace(tool, name="get_weather"))
    store.write_step(make_model_step(old, fidelity=Fidelity.APPROXIMATE))
    store.write_step(make_model_step(old, 1))
    segments = (
        Segment("system", Span(0, 300)),
        Segment("tool_result:call_0", Span(300, 500)),
        Segment("tool_result:call_1", Span(500, 703)),
    )
    scores = make_attribution(first.token_ids or []).scores * 0
    scores[0], scores[300], scores[600] = 0.4, 0.35, 0.25
    store.write_attribution(
        first.id, make_attribution(first.token_ids or [], scores=scores, segments=segments)
    )


def found(store: Store, where: str) -> set[str]:
    """Return the names of the traces a filter finds."""
    return {summary.name for summary in store.list_traces(where=where)}


ALL = {"sofas", "weather", "old", "bare"}


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("tool = 'sofas'", {"sofas"}),
        ("tool != sofas", ALL - {"sofas"}),
        ("tool in ('sofas', \"get_weather\")", {"sofas", "weather"}),
        ("tool not in (sofas, get_weather)", {"old", "bare"}),
        ("tool ~ 'WEATHER'", {"weather"}),
        ("model = smollm2", {"sofas", "old"}),
        ("tag = '100%'", {"weather"}),
        ("tag ~ '0%'", {"weather"}),
        ("tag ~ '_'", set()),
        ("not tag = prod", {"sofas", "old"}),
        ("session = 'it''s'", {"weather"}),
        ('session = "it\'s"', {"weather"}),
        ("session != 's'", ALL - {"bare"}),
        ("prompt_version in (v2, v3)", {"sofas", "weather", "bare"}),
        ("name = old or name = bare", {"old", "bare"}),
        ("status = error", {"weather"}),
        ("fidelity = exact", {"sofas"}),
        ("fidelity = approximate", {"old"}),
        ("fidelity != exact", ALL - {"sofas"}),
        ("tokens > 4000", {"weather"}),
        ("tokens = 0", {"bare"}),
        ("tokens in (703, 0)", {"sofas", "bare"}),
        ("latency <= 1s", {"old", "bare"}),
        ("latency > 2h and latency < 2d", {"sofas"}),
        ("since 7d", {"sofas", "weather"}),
        ("SINCE 90m", {"weather"}),
        ("before 2026-01-01", {"old", "bare"}),
        ("started >= '2025-03-01T12:00:00+00:00' and before 1d", {"old", "bare", "sofas"}),
        ("error ~ 'TIMED OUT\nafter'", {"weather"}),
        ("error ~ 'no \"tool\" 100%'", {"weather"}),
        ("error = 'Timed out\nafter 9 s'", {"weather"}),
        ("not error ~ ''", ALL - {"weather"}),
        ("text ~ 'zurich'", {"weather"}),
        ("text ~ 'wetter ZÜRICH'", {"weather"}),
        ("text ~ 'many sofas'", {"sofas", "old"}),
        ("text ~ 'sofa'", set()),
        ("text ~ 'red' and not tool = sofas", {"old", "weather"}),
        ("segment tool_result share > 0.5", {"sofas"}),
        ("segment tool_result share > 0.5 of target tool_call", {"sofas"}),
        ("segment tool_result share > 0.5 of target answer", set()),
        ("segment 'tool_result:call_0' share >= 0.5", set()),
        ("segment tool share > 0.1", set()),
        ("segment user share < 0.1 of target tool_name", {"sofas"}),
        ("(tool = sofas or status = error) and tokens > 4000", {"weather"}),
        ("tool = sofas or status = error and tokens > 9999", {"sofas"}),
        ("not (tool = sofas or status = error)", {"old", "bare"}),
        ("tool = 'get_weather' and status = 'error' and tokens > 4000 and since 7d", {"weather"}),
    ],
)  # fmt: skip
def test_what_a_filter_finds(filled: Store, where: str, names: set[str]) -> None:
    """Each field, each comparison, and how they combine."""
    assert found(filled, where) == names


def test_ids_are_found_by_their_beginnings(filled: Store) -> None:
    """Of traces and of steps."""
    stored = filled.get_trace(filled.list_traces(where="name = sofas")[0].id)
    assert found(filled, f"trace = {stored.id}") == {"sofas"}
    assert found(filled, f"trace = {stored.id[:2]}") == ALL
    assert found(filled, f"step = {stored.steps[1].id.upper()}") == {"sofas"}
    assert found(filled, "step = 'zz\0'") == set()


def test_filters_page_by_key(filled: Store) -> None:
    """Each page goes on where the last one ended."""
    where = "not tool = get_weather"
    first = filled.list_traces(where=where, limit=2)
    second = filled.list_traces(where=where, limit=2, before=first[-1].id)
    assert [s.id for s in first + second] == [s.id for s in filled.list_traces(where=where)]


@pytest.mark.parametrize(
    ("where", "at", "sentence"),
    [
        ("", 1, "it is empty"),
        ("  ", 3, "it is empty"),
        ("tol = 'x'", 1, "there is no field 'tol'; the fields are trace, step, tool"),
        ("tool 'x'", 6, "a comparison is missing"),
        ("tool = ", 8, "a value is missing"),
        ("tool = and", 8, "a value is missing; quote the word"),
        ("tool = 'x", 8, "the text that begins here is not closed; write ' after it"),
        ("tool = 'x' status = ok", 12, "'status' is not expected here"),
        ("(tool = x", 10, "the parenthesis is not closed"),
        ("tool in ('a' 'b')", 14, "the list is not closed"),
        ("tool not = 'a'", 10, "`in` is missing"),
        ("tool = x or", 12, "a condition is missing"),
        ("tool < 'x'", 6, "tool can be compared with = ~ != in only"),
        ("tokens > many", 10, "'many' is no number of tokens"),
        ("tokens ~ 5", 8, "tokens can be compared with"),
        ("latency > 5x", 11, "'5x' is no duration"),
        ("since yesterday", 7, "'yesterday' is no time"),
        ("since 99999999d", 7, "is no duration|is before all times"),
        ("status = eror", 10, "status is ok, error or incomplete"),
        ("fidelity = 'exac'", 12, "fidelity is approximate, rendered or exact"),
        ("text ~ '!?'", 8, "there is no word to look for"),
        ("text = 'x'", 6, "text can be compared with ~ only"),
        ("segment system > 0.5", 16, "`share` is missing"),
        ("segment system share > half", 24, "a share is a number"),
        ("segment system share > 0.5 of answer", 31, "`target` is missing"),
        ("tool = 'x'; DROP TABLE traces", 11, "';' means nothing here"),
        ("tool = x -- y", 10, "'-' means nothing here"),
        ("(" * 60 + "tool = x" + ")" * 60, 52, "nested more than 50 deep"),
        (" or ".join(["tool = x"] * 201), 2401, "more than 200 conditions"),
        ("not " * 5000 + "tool = x", 205, "nested more than 50 deep"),
    ],
)  # fmt: skip
def test_a_mistake_is_shown_where_it_is(filled: Store, where: str, at: int, sentence: str) -> None:
    """The sentence counts from 1, and the caret stands under the character."""
    with pytest.raises(FilterError, match=sentence) as caught:
        filled.list_traces(where=where)
    first, shown, caret = str(caught.value).split("\n")
    assert first.startswith(f"The filter is wrong at character {at}: ")
    assert first.endswith(".")
    assert shown == "  " + where
    assert caret.index("^") == at + 1


def test_the_caret_stands_under_wide_characters() -> None:
    """Which take two columns of a terminal; a line break takes one, an accent by itself none."""
    with pytest.raises(FilterError) as caught:
        parse_filter("tool = '検索e\u0301'\n)")
    _, shown, caret = str(caught.value).split("\n")
    assert shown == "  tool = '検索e\u0301' )"
    assert len(caret) - 1 == 2 + len("tool = '' ") + 5


ATTACKS = [
    "'; DROP TABLE traces; --",
    "' OR '1'='1",
    "x' UNION SELECT * FROM traces --",
    "%",
    "\\",
    "\0",
    "\ud800",
    '"*" OR NEAR(a b)',
    "body:x*",
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("field", ["name =", "tool ~", "tag in", "text ~", "error ~", "trace =", "segment"])
def test_text_stays_text(filled: Store, field: str, attack: str) -> None:
    """What looks like SQL, LIKE or FTS5 syntax is compared, never run."""
    quoted = "'" + attack.replace("'", "''") + "'"
    where = f"{field} {quoted}"
    if field == "tag in":
        where = f"{field} ({quoted})"
    elif field == "segment":
        where = f"{field} {quoted} share > 0.5 of target {quoted}"
    expected = {"weather"} if attack == "%" and field == "error ~" else set()
    if field == "text ~" and not words_of(attack):
        with pytest.raises(FilterError, match="there is no word"):
            found(filled, where)
    else:
        assert found(filled, where) == expected
    assert len(filled.list_traces()) == 4


def test_an_attack_is_found_where_it_is_stored(store: Store) -> None:
    """As any other text."""
    for number, attack in enumerate(ATTACKS[:5]):
        trace = make_trace(attack, milliseconds=number, name=attack)
        store.write_trace(trace)
        store.write_step(make_model_step(trace, input=[Message("user", attack + " marmalade")]))
        assert found(store, "name = '" + attack.replace("'", "''") + "'") == {attack}
    assert found(store, "text ~ 'union marmalade'") == {ATTACKS[2]}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Return an empty store for many filters."""
    with Store(f"sqlite:///{tmp_path_factory.mktemp('filters')}/traces.db") as store:
        yield store


WORDS = "tool = 'x' tokens > 40 ( ) and or not in since 7d segment share of target text ~ , 0.5 '' \" ; é"
PIECES = st.sampled_from(WORDS.split(" "))


@given(text=st.text(max_size=40) | st.lists(PIECES, max_size=14).map(" ".join))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_filter_or_a_mistake_in_it(empty: Store, text: str) -> None:
    """Nothing else is raised, and a mistake lies within the text."""
    try:
        result: list[TraceSummary] | FilterError = empty.list_traces(where=text)
    except FilterError as error:
        result = error
    if isinstance(result, FilterError):
        assert 0 <= result.position <= len(text)
        assert str(result).count("\n") == 2
    else:
        assert result == []


VALUES = st.text(max_size=20).filter(lambda text: "\0" not in text and text.isprintable())


@given(value=VALUES, other=VALUES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_quoted_value_finds_itself_and_nothing_else(empty: Store, value: str, other: str) -> None:
    """Whatever characters a session's name has."""
    traces = [make_trace(f"{number} {name}", session=name) for number, name in enumerate((value, other))]
    for trace in traces:
        empty.write_trace(trace)
    quoted = "'" + value.replace("'", "''") + "'"
    try:
        ids = {summary.id for summary in empty.list_traces(where=f"session = {quoted}")}
        assert ids == {trace.id for trace in traces if trace.session == value}
    finally:
        for trace in traces:
            empty.delete_trace(trace.id)
