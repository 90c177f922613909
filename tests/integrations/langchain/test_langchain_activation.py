"""Recording without passing callbacks: a block, or the whole process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage
from recorded import python, traces
from scripted_model import ScriptedModel, add, call

from flashtrace_agent.integrations.langchain import (
    FlashTraceCallbackHandler,
    install,
    record,
    uninstall,
)
from flashtrace_agent.store import Store


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Leave no handler installed for other tests."""
    yield
    uninstall()


def say(text: str, **config: Any) -> None:
    FakeListChatModel(responses=["fine"]).invoke(text, config=config or None)


def names(store: Store) -> list[str]:
    return [store.get_trace(s.id).steps[0].input[0].content for s in reversed(store.list_traces())]


def test_a_block_records_what_begins_inside_it(store: Store) -> None:
    """All is written when it is left; options are the handler's."""
    say("before")
    with record(store, session="s-1"):
        say("inside")
    say("after")
    assert names(store) == ["inside"]
    assert store.list_traces()[0].session == "s-1"


def test_blocks_nest_and_the_inner_one_counts(store: Store, tmp_path: Path) -> None:
    """A run is recorded once, by the nearest handler."""
    with Store(f"sqlite:///{tmp_path / 'inner.db'}") as inner, record(store):
        with record(inner):
            say("deep")
        say("shallow")
        assert names(inner) == ["deep"]
    assert names(store) == ["shallow"]


def test_a_block_belongs_to_its_task(store: Store) -> None:
    """Two coroutines at once, only one of which records."""

    async def recorded() -> None:
        with record(store):
            await asyncio.sleep(0.01)
            await FakeListChatModel(responses=["fine"]).ainvoke("mine")

    async def other() -> None:
        await FakeListChatModel(responses=["fine"]).ainvoke("not mine")

    async def main() -> None:
        await asyncio.gather(recorded(), other(), other())

    asyncio.run(main())
    assert names(store) == ["mine"]


def test_a_handler_given_to_a_block_stays_open(handler: FlashTraceCallbackHandler, store: Store) -> None:
    """The block waits until its runs are written, and no more."""
    with record(handler) as same:
        assert same is handler
        say("one")
    assert names(store) == ["one"]
    say("two", callbacks=[handler])
    assert len(traces(handler, store)) == 2


def test_an_installed_handler_sees_all_threads_and_nested_runs(store: Store) -> None:
    """One trace for an agent with its steps, not one for each of its runs."""
    from langchain.agents import create_agent

    handler = install(store)
    thread = threading.Thread(target=say, args=("from a thread",))
    thread.start()
    thread.join()
    script = [AIMessage("", tool_calls=[call("add", {"a": 1, "b": 2})]), "3"]
    create_agent(ScriptedModel(script=script), [add]).invoke({"messages": [("user", "add")]})
    first, second = traces(handler, store)
    assert first.steps[0].input[0].content == "from a thread"
    assert [step.kind for step in second.steps] == ["model", "tool", "model"]
    assert second.steps[1].parent_id == second.steps[0].id


def test_a_callback_that_is_passed_comes_first(
    handler: FlashTraceCallbackHandler, store: Store, tmp_path: Path
) -> None:
    """A run is recorded once."""
    with Store(f"sqlite:///{tmp_path / 'installed.db'}") as other:
        install(other)
        say("mine", callbacks=[handler])
        uninstall()
        assert other.list_traces() == []
    assert len(traces(handler, store)) == 1


def test_the_environment_switches_an_installed_handler_off(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read anew for each run; a block in the code is not affected."""
    handler = install(store)
    monkeypatch.setenv("FLASHTRACE_AGENT_RECORD", "0")
    say("silent")
    with record(handler):
        say("asked for")
    monkeypatch.setenv("FLASHTRACE_AGENT_RECORD", "1")
    say("loud")
    assert handler.flush(120)
    assert names(store) == ["asked for", "loud"]


def test_installing_again_changes_nothing_or_replaces(store: Store, tmp_path: Path) -> None:
    """Without arguments the installed handler comes back; with a store there is a new one."""
    first = install(store)
    assert install() is first
    with Store(f"sqlite:///{tmp_path / 'second.db'}") as other:
        second = install(other)
        assert second is not first
        say("hello")
        uninstall()
        assert names(other) == ["hello"]
    assert store.list_traces() == []
    uninstall()


def test_a_handler_has_its_options_already(handler: FlashTraceCallbackHandler) -> None:
    """Options beside a handler would be ignored without a word."""
    with pytest.raises(TypeError, match="options already"):
        install(handler, session="s")


def test_one_line_records_a_process_where_the_command_line_reads(tmp_path: Path) -> None:
    """No flush, no close, no store: the environment says where."""
    url = f"sqlite:///{tmp_path / 'default.db'}"
    python(
        f"""
        import os
        os.environ["FLASHTRACE_AGENT_STORE"] = {url!r}
        from flashtrace_agent.integrations.langchain import install
        install()
        from langchain_core.language_models.fake_chat_models import FakeListChatModel
        FakeListChatModel(responses=["fine"]).invoke("Hello")
        """
    )
    with Store(url) as store:
        assert names(store) == ["Hello"]
