"""`ChatVLLM` on a stub that answers as vLLM does: ids and reasoning end in the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from stub_servers import ids_of, render, serving, tokenizer

pytest.importorskip("langchain_openai", reason="needs the extra openai")

from langchain.agents import create_agent
from langchain_core.tools import tool

from flashtrace_agent.integrations.langchain import ChatVLLM, FlashTraceCallbackHandler
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity, Trace

CALL = {"id": "c0", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
TURNS: list[dict[str, Any]] = [
    {
        "message": {"role": "assistant", "content": None, "reasoning": "I must add.", "tool_calls": [CALL]},
        "text": "<think>\nI must add.\n</think>\n\n<tool_call>\n"
        '{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call><|im_end|>',
        "finish_reason": "tool_calls",
    },
    {
        "message": {"role": "assistant", "content": "It is 3."},
        "text": "It is 3.<|im_end|>",
        "finish_reason": "stop",
    },
]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def answer(path: str, request: Mapping[str, Any]) -> tuple[int, Any]:
    """Answer as vLLM's chat completions: the second turn once a tool has answered."""
    if path != "/v1/chat/completions":
        return 404, {"error": {"message": "Not Found"}}
    turn = TURNS[any(message["role"] == "tool" for message in request["messages"])]
    given = {**request, "messages": [{**m, "content": m["content"] or ""} for m in request["messages"]]}
    prompt, written = ids_of(render(given, begin=True)), ids_of(turn["text"])
    usage = {"prompt_tokens": len(prompt), "completion_tokens": len(written)}
    usage["total_tokens"] = sum(usage.values())
    head = {"id": "chatcmpl-1", "created": 1, "model": request["model"], "usage": usage}
    wants = request.get("return_token_ids")
    if not request.get("stream"):
        choice = {"index": 0, "message": turn["message"], "finish_reason": turn["finish_reason"]}
        if request.get("return_tokens_as_token_ids"):
            content = [
                {"token": f"token_id:{token}", "logprob": -0.1, "top_logprobs": []} for token in written
            ]
            choice["logprobs"] = {"content": content}
        if wants:
            choice["token_ids"] = written
        body = {**head, "object": "chat.completion", "choices": [choice]}
        return 200, {**body, "prompt_token_ids": prompt} if wants else body
    deltas = [{"role": "assistant", "content": ""}]
    said = turn["message"]
    deltas += [{"reasoning": word} for word in _pieces(said.get("reasoning"))]
    deltas += [{"content": word} for word in _pieces(said["content"])]
    deltas += [{"tool_calls": [{"index": 0, **call}]} for call in said.get("tool_calls", ())]
    cuts = [round(len(written) * k / (len(deltas) - 1)) for k in range(len(deltas))]
    chunks = []
    for k, delta in enumerate(deltas):
        last = k == len(deltas) - 1
        choice = {"index": 0, "delta": delta, "finish_reason": turn["finish_reason"] if last else None}
        chunk = {**head, "object": "chat.completion.chunk", "usage": None, "choices": [choice]}
        if wants and k == 0:
            chunk["prompt_token_ids"] = prompt
        elif wants:
            choice["token_ids"] = written[cuts[k - 1] : cuts[k]]
        chunks.append(chunk)
    chunks.append({**head, "object": "chat.completion.chunk", "choices": []})
    return 200, "".join(f"data: {json.dumps(c)}\n\n" for c in chunks).encode() + b"data: [DONE]\n\n"


def _pieces(text: str | None) -> list[str]:
    return [] if text is None else [word + " " for word in text.split(" ")[:-1]] + [text.split(" ")[-1]]


def run(url: str, store: Store, how: str, **options: Any) -> Trace:
    model = ChatVLLM(model="tiny", base_url=f"{url}/v1", api_key="none", **options)
    agent: Any = create_agent(model, [add])
    inputs = {"messages": [("user", "1 + 2?")]}
    with FlashTraceCallbackHandler(store) as handler:
        config: Any = {"callbacks": [handler]}
        if how == "invoke":
            agent.invoke(inputs, config=config)
        elif how == "ainvoke":
            asyncio.run(agent.ainvoke(inputs, config=config))
        else:
            list(agent.stream(inputs, config=config, stream_mode="messages"))
        assert handler.errors == 0
    (summary,) = store.list_traces()
    return store.get_trace(summary.id)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store(f"sqlite:///{tmp_path / 'traces.db'}") as opened:
        yield opened


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream"])
def test_ids_and_reasoning_end_in_the_store(store: Store, how: str) -> None:
    """Exactly the server's ids, streamed or not, with the reasoning that ChatOpenAI drops."""
    kwargs = {"enable_thinking": True}
    with serving(answer) as (url, seen):
        trace = run(url, store, how, extra_body={"chat_template_kwargs": kwargs})
    assert all(request["return_token_ids"] for _, request, _ in seen)
    models = [step for step in trace.steps if step.kind == "model"]
    assert [step.fidelity for step in models] == [Fidelity.EXACT] * 2
    for step, turn, (_, request, _) in zip(models, TURNS, seen, strict=True):
        assert step.output is not None
        assert step.output.reasoning == turn["message"].get("reasoning")
        assert tokenizer().decode(step.completion_ids) == turn["text"]
        given = {**request, "messages": [{**m, "content": m["content"] or ""} for m in request["messages"]]}
        assert step.prompt_ids == ids_of(render(given, begin=True))
        assert step.settings["template_kwargs"] == kwargs
        assert step.usage == {
            "prompt_tokens": len(step.prompt_ids),
            "completion_tokens": len(step.completion_ids or ()),
        }


def test_ids_of_the_completion_come_from_log_probabilities_too(store: Store) -> None:
    """Where the server knows no ``return_token_ids``: the prompt's ids are still to be found."""
    with serving(answer) as (url, _):
        options = {"return_token_ids": False, "return_tokens_as_token_ids": True}
        trace = run(url, store, "invoke", logprobs=True, extra_body=options)
    step = trace.steps[-1]
    assert tokenizer().decode(step.completion_ids) == "It is 3.<|im_end|>"
    assert (step.prompt_ids, step.fidelity) == (None, Fidelity.APPROXIMATE)
    assert "log-probabilities" in step.fidelity_reason
