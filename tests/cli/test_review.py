"""``flashtrace-agent review`` as scripts and people use it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flashtrace_agent.store import Store

from ..review.prompts import IDLE, Recorded, write
from ..review.prompts import run as make_run
from .conftest import Run


def fill(url: str, runs: Iterator[Recorded] | list[Recorded]) -> None:
    """Store runs with their attributions."""
    with Store(url) as store:
        for recorded in runs:
            write(store, recorded)


def versions() -> list[Recorded]:
    """Return five runs of each of two prompt versions."""
    return [make_run(number, prompt_version="v1" if number < 5 else "v2") for number in range(10)]


def test_an_empty_store_and_a_store_without_attributions_say_what_to_do(run: Run, store_url: str) -> None:
    empty = run("review")
    assert empty.exit_code == 1
    assert "No model step matches" in empty.stderr
    recorded = make_run(1)
    recorded.steps = [(step, []) for step, _ in recorded.steps]
    fill(store_url, [recorded])
    bare = run("review", "--json")
    assert bare.exit_code == 1
    assert "2 not attributed yet" in bare.stderr
    assert "worker --all" in bare.stderr


def test_the_terminal_gets_findings_and_tables(run: Run, store_url: str) -> None:
    fill(store_url, versions())
    outcome = run("review")
    assert outcome.exit_code == 0, outcome.stderr
    assert IDLE in outcome.stdout
    assert "not above chance" in outcome.stdout
    assert "add --yes" in outcome.stdout
    assert re.search(r"The check of \d+ lines runs tiny \d+ times over \d+ tokens", outcome.stderr)


def test_json_has_every_part(run: Run, store_url: str) -> None:
    fill(store_url, versions())
    report = json.loads(run("review", "--json").stdout)
    assert (report["traces"], report["steps"]) == (10, 20)
    assert set(report["groups"][0]) >= {
        *("model", "ledger", "dead_weight", "tools", "arguments", "untrusted", "reasoning_load")
    }
    candidates = report["groups"][0]["dead_weight"]["candidates"]
    assert IDLE in [candidate["text"] for candidate in candidates]
    assert {candidate["verdict"] for candidate in candidates} == {"not checked"}


def test_a_selection_is_by_filter_version_and_number_of_steps(run: Run, store_url: str) -> None:
    fill(store_url, versions())

    def steps(*options: str) -> int:
        count: int = json.loads(run("review", "--json", *options).stdout)["steps"]
        return count

    assert steps("--prompt-version", "v1") == 10
    assert steps("--where", "prompt_version = v2", "--last", "4") == 4
    assert steps("--last", "3") == 3


def test_two_versions_are_compared(run: Run, store_url: str) -> None:
    fill(store_url, versions())
    report = json.loads(run("review", "--compare", "v1", "v2", "--json").stdout)
    assert report["comparison"]["before"] == "v1"
    assert report["comparison"]["groups"][0]["traces"] == [5, 5]
    assert {line["state"] for line in report["comparison"]["groups"][0]["lines"]} == {"same"}
    assert "v1 → v2" in run("review", "--compare", "v1", "v2").stdout
    missing = run("review", "--compare", "v0", "v2")
    assert missing.exit_code == 1
    assert "prompt version v0" in missing.stderr


def test_the_scores_that_people_gave_are_an_outcome(run: Run, store_url: str) -> None:
    """The latest score of each trace; traces without one do not count, and without any there is no row."""
    fill(store_url, versions())
    bare = json.loads(run("review", "--compare", "v1", "v2", "--json").stdout)
    assert "score given" not in bare["comparison"]["groups"][0]["outcomes"]
    with Store(store_url) as store:
        for recorded in versions():
            trace = recorded.trace
            store.annotate(trace.id, who="me", score=0.5)
            if recorded.trace.id != versions()[0].trace.id:
                store.annotate(trace.id, who="me", score=0.25 if trace.prompt_version == "v1" else 0.75)
        store.annotate(trace.id, step_id=recorded.steps[0][0].id, who="me", score=0.0)
    report = json.loads(run("review", "--compare", "v1", "v2", "--json").stdout)
    outcome = report["comparison"]["groups"][0]["outcomes"]["score given"]
    assert outcome["before"] == pytest.approx((0.5 + 4 * 0.25) / 5)
    assert outcome["after"] == pytest.approx(0.75)
    assert 0 < outcome["p"] < 0.1
    assert "score given" in run("review", "--compare", "v1", "v2").stdout


@pytest.mark.parametrize(
    ("condition", "code"),
    [("untrusted > 0.5", 0), ("candidate_tokens > 5", 1), ("unknown_calls = 0", 1), ("dead_tokens > 500", 1)],
)
def test_a_condition_sets_the_exit_code(run: Run, store_url: str, condition: str, code: int) -> None:
    """`dead_tokens` is not known without the check, and a gate that cannot be read must not pass."""
    fill(store_url, versions())
    outcome = run("review", "--fail-if", condition)
    assert outcome.exit_code == code
    assert code == 0 or condition.split()[0] in outcome.stderr


def test_wrong_usage_is_exit_code_2(run: Run, store_url: str) -> None:
    fill(store_url, versions())
    assert run("review", "--fail-if", "nonsense > 1").exit_code == 2
    assert run("review", "--compare", "v1", "v2", "--prompt-version", "v1").exit_code == 2
    assert run("review", "--compare", "v1", "v1").exit_code == 2
    assert run("review", "--last", "0").exit_code == 2


def test_pages_are_written(run: Run, store_url: str, tmp_path: Path) -> None:
    fill(store_url, versions())
    html, markdown = tmp_path / "review.html", tmp_path / "review.md"
    assert run("review", "--html", str(html), "--markdown", str(markdown)).exit_code == 0
    assert "<svg" in html.read_text()
    assert "| line |" in markdown.read_text()
    outcome = run("review", "--html", str(tmp_path / "missing" / "review.html"))
    assert outcome.exit_code == 1
    assert "make it first" in outcome.stderr


def test_a_store_that_changes_while_it_is_read_shows_one_state(store_url: str) -> None:
    """A step that is written between two batches must not show, nor may a deletion tear a hole."""
    fill(store_url, [make_run(number) for number in range(40)])
    with Store(store_url) as reader, Store(store_url) as writer:
        reading = reader.attributed_steps()
        seen = [next(reading)]
        fill(store_url, [make_run(99)])
        writer.delete_trace(make_run(39).trace.id)
        seen += reading
        assert len(seen) == 80
        assert all(entry.attributions for entry in seen)
        assert len(list(reader.attributed_steps())) == 80
