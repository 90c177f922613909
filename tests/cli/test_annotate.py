"""`annotate` says something about a trace, lists what is said, and takes it back."""

from __future__ import annotations

import json

from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace

from .conftest import START, Run


def test_something_is_said_and_listed(run: Run, trace: Trace) -> None:
    """About the trace, a step, some of its tokens; the list has them all."""
    assert "Nothing is said" in run("annotate", trace.id).stdout
    run("annotate", trace.id[:10], "--label", "bad", "--score", "0.25", "--who", "ada")
    run("annotate", trace.id, "--step", "1", "--span", "3:9", "--note", "[b]why[/b]\nhere", "--who", "bob")
    shown = run("annotate", trace.id).stdout
    assert "step 1, 3:9" in shown
    assert "[b]why[/b] here" in shown
    first, second = json.loads(run("annotate", trace.id, "--json").stdout)
    assert (first["label"], first["score"], first["who"], first["step_id"]) == ("bad", 0.25, "ada", None)
    assert (second["step_id"], second["span"]) == (trace.steps[0].id, [3, 9])
    assert [each["id"] for each in json.loads(run("list", "--where", "label = bad", "--json").stdout)] == [
        trace.id
    ]
    assert "label" not in json.loads(run("list", "--json").stdout)[0]


def test_it_is_taken_back(run: Run, trace: Trace, store_url: str) -> None:
    """By its id or its beginning, and of this trace only."""
    (said,) = json.loads(run("annotate", trace.id, "--score", "1", "--json").stdout)
    assert said["who"]
    with Store(store_url) as store:
        store.write_trace(Trace("other", "", START))
    other = run("annotate", "other", "--remove", said["id"])
    assert (other.exit_code, "is none of its annotations" in other.stderr) == (1, True)
    assert json.loads(run("annotate", trace.id, "--remove", said["id"][:20], "--json").stdout) == []
    assert run("annotate", trace.id, "--remove", said["id"]).exit_code == 1
    assert run("annotate", trace.id, "--remove", "").exit_code == 1


def test_wrong_usage_is_refused(run: Run, trace: Trace) -> None:
    """A step without words, a span without a step, one that is none or ends beyond the step."""
    assert run("annotate", trace.id, "--step", "1").exit_code == 2
    assert run("annotate", trace.id, "--label", "x", "--span", "3:9").exit_code == 2
    for span in ("3-9", "3:101", "5:5"):
        outcome = run("annotate", trace.id, "--label", "x", "--step", "1", "--span", span)
        assert outcome.exit_code == 2, span
    assert (
        "outside the 100 tokens"
        in run("annotate", trace.id, "--label", "x", "--step", "1", "--span", "3:101").stderr
    )


def test_show_has_what_is_said(run: Run, trace: Trace) -> None:
    """At the trace, or at the step it is about."""
    run("annotate", trace.id, "--label", "bad", "--who", "ada")
    run("annotate", trace.id, "--step", "3", "--score", "0.5", "--note", "[red]x", "--who", "bob")
    shown = run("show", trace.id).stdout
    assert shown.index("ada: bad") < shown.index("1 model") < shown.index("bob: 0.5 · [red]x")
    said = json.loads(run("show", trace.id, "--json").stdout)["annotations"]
    assert [each["who"] for each in said] == ["ada", "bob"]
    narrowed = run("show", trace.id, "--step", "1", "--json").stdout
    assert [each["who"] for each in json.loads(narrowed)["annotations"]] == ["ada"]
