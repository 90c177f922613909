"""A secret in a run never reaches the disk: the database's bytes and its log are searched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from recorded import exact_answer, one_call
from scripted_model import ScriptedModel, call

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.integrations.langchain import FlashTraceCallbackHandler
from flashtrace_agent.redaction import REASON
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Step

SECRET = "hunter2-correct-horse"


@tool
def login(password: str) -> dict[str, str]:
    """Log in."""
    return {"session": f"for {password}", "ok": "yes"}


@tool
def fail(password: str) -> str:
    """Raise an error that quotes what it was given."""
    raise RuntimeError(f"wrong password {password}")


def run(handler: FlashTraceCallbackHandler, name: str) -> None:
    script = [AIMessage("", tool_calls=[call(name, {"password": SECRET})]), f"I used {SECRET}."]
    agent = create_agent(ScriptedModel(script=script), [login, fail], system_prompt=f"The key is {SECRET}.")
    config: Any = {"callbacks": [handler], "metadata": {"note": SECRET}, "tags": [SECRET]}
    inputs: Any = {"messages": [("user", f"Log in with {SECRET}")]}
    if name == "fail":
        with pytest.raises(RuntimeError):
            agent.invoke(inputs, config=config)
    else:
        agent.invoke(inputs, config=config)


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


@pytest.mark.parametrize("rule", [[r"hunter2\S*horse"], lambda text: text.replace(SECRET, "[gone]")])
@pytest.mark.parametrize("name", ["login", "fail"])
def test_nothing_of_a_secret_is_in_the_files(tmp_path: Path, rule: Any, name: str) -> None:
    """Not in the database and not in its write-ahead log, while the handler is open and after."""
    handler = FlashTraceCallbackHandler(f"sqlite:///{tmp_path / 'traces.db'}", redact=rule)
    run(handler, name)
    assert handler.flush(120)
    assert SECRET.encode() not in on_disk(tmp_path)
    assert handler.close()
    assert handler.errors == 0
    assert SECRET.encode() not in on_disk(tmp_path)
    with Store(f"sqlite:///{tmp_path / 'traces.db'}") as store:
        trace = store.get_trace(store.list_traces()[0].id)
    assert SECRET not in repr(trace)
    assert [step.kind for step in trace.steps][:2] == ["model", "tool"]
    assert trace.steps[1].parent_id == trace.steps[0].id
    if name == "login":
        assert trace.steps[2].output is not None
        assert "I used [" in trace.steps[2].output.content


def test_the_test_above_would_find_it(tmp_path: Path) -> None:
    """Without a rule the secret is there, in plain bytes."""
    with FlashTraceCallbackHandler(f"sqlite:///{tmp_path / 'traces.db'}") as handler:
        run(handler, "login")
    assert SECRET.encode() in on_disk(tmp_path)


def test_a_failing_store_does_not_log_what_was_said(caplog: pytest.LogCaptureFixture, store: Store) -> None:
    """Tracebacks of SQL statements carry no parameters."""
    handler = FlashTraceCallbackHandler(store)
    with store._write() as connection:
        connection.exec_driver_sql("DROP TABLE traces")
    run(handler, "login")
    assert handler.flush(120)
    assert handler.errors > 0
    handler.close()
    assert SECRET not in caplog.text


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Return the list of steps that are explained; each gets an attribution of its tokens."""
    import numpy as np

    from flashtrace_agent.segment import Segment
    from flashtrace_agent.span import Span

    seen: list[Step] = []

    def explain(attributor: Any, step: Step, targets: Any) -> list[Attribution]:
        seen.append(step)
        ids = step.token_ids or []
        return [
            Attribution(
                np.array(ids, np.int32), tuple(f"<{token}>" for token in ids), (Span(3, 5),), (),
                np.full(len(ids), 1 / len(ids), np.float32), (), "flashtrace", target_name="answer",
                segments=(
                    Segment("template", Span(0, 1)),
                    Segment("user", Span(1, 3), 0),
                    Segment("answer", Span(3, 5), -1),
                ),
            )
        ]  # fmt: skip

    monkeypatch.setattr("flashtrace_agent.explain.explain_step", explain)
    return seen


@pytest.mark.parametrize(
    ("said", "kept"),
    [("Hi", ("<1>", "", "", "<4>", "<5>")), ("Hello", ("<1>", "<2>", "<3>", "", ""))],
)
def test_redacted_steps_are_explained_before_that(
    explained: list[Step], store: Store, said: str, kept: Any
) -> None:
    """From memory; what is written of it has neither ids nor the texts of redacted messages."""
    handler = FlashTraceCallbackHandler(store, object(), redact=[said])  # type: ignore[arg-type]
    one_call(handler, exact_answer())
    assert handler.flush(120)
    (step,) = explained
    assert step.token_ids == [1, 2, 3, 4, 5]
    stored = store.get_step(step.id)
    assert (stored.token_ids, stored.fidelity_reason) == (None, REASON)
    (found,) = store.get_attributions(step.id)
    assert found.tokens == kept
    assert found.input_ids.tolist() == [0] * 5
    assert found.scores.sum() == pytest.approx(1, abs=0.01)
    assert {share.name for share in found.by_segment()} == {"user", "answer", "template"}
    assert (handler._recorder._originals, handler.errors) == ({}, 0)
    handler.close()


def test_or_they_are_not_explained_at_all(explained: list[Step], store: Store) -> None:
    """As configured; a step of which nothing was taken out is explained as ever."""
    for pattern, number in (("Hi", 0), ("nowhere", 1)):
        handler = FlashTraceCallbackHandler(store, object(), redact=[pattern], explain_redacted=False)  # type: ignore[arg-type]
        one_call(handler, exact_answer())
        assert handler.flush(120)
        assert (len(explained), handler.errors) == (number, 0)
        handler.close()
