"""Recorded text to token ids, through servers that answer as theirs do."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stub_servers import ids_of, llama_cpp, ollama, serving, tokenizer, vllm
from typer.testing import CliRunner

from flashtrace_agent.cli import app
from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.integrations.servers import (
    LocalTemplate,
    ServerError,
    TokenSource,
    check_log_probs,
    recover,
    server_named,
)
from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity, Step, Trace

WEATHER = ToolSchema(
    "weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}}
)
HISTORY = [
    Message("system", "Be brief."),
    Message("user", "Weather in Zürich?"),
    Message("assistant", "", "I must look.", (ToolCall("c0", "weather", {"city": "Zürich"}),)),
    Message("tool", "sunny", tool_call_id="c0"),
]
PROMPT = (
    '<|im_start|>system\n# Tools\n{"type": "function", "function": {"name": "weather", "description": '
    '"The weather.", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}'
    "<|im_end|>\n"
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWeather in Zürich?<|im_end|>\n"
    '<|im_start|>assistant\n<tool_call>\n{"name": "weather", "arguments": {"city": "Zürich"}}\n</tool_call>'
    "<|im_end|>\n<|im_start|>tool\nsunny<|im_end|>\n<|im_start|>assistant\n"
)
COMPLETION = "<think>\nThe tool said so.\n</think>\n\nSunny.<|im_end|>"
ANSWER = Message("assistant", "Sunny.", reasoning="The tool said so.")


def step(**fields: Any) -> Step:
    content: dict[str, Any] = {
        "input": HISTORY,
        "output": ANSWER,
        "tools": [WEATHER],
        "model": "tiny",
        "status": "ok",
        "finish_reason": "stop",
        "fidelity": Fidelity.APPROXIMATE,
        "fidelity_reason": "text only",
        "usage": {"prompt_tokens": len(ids_of(PROMPT)), "completion_tokens": len(ids_of(COMPLETION))},
    }
    return Step("s" * 26, "t" * 26, "model", "m", datetime(2026, 1, 1, tzinfo=UTC), **(content | fields))


SERVERS = {"vllm": vllm, "llama.cpp": llama_cpp, "ollama": ollama}


@pytest.mark.parametrize("kind", list(SERVERS))
def test_ids_of_prompt_and_completion_come_back_exactly(kind: str) -> None:
    """With tools, calls, a result, reasoning and the end of the turn; both counts agree."""
    with serving(SERVERS[kind]) as (url, _):
        found = recover(step(), server_named(f"{kind}={url}/v1", tokenizer()))
    assert tokenizer().decode(found.prompt_ids) == PROMPT
    assert tokenizer().decode(found.completion_ids) == COMPLETION
    assert found.fidelity is Fidelity.RENDERED
    assert found.fidelity_reason.endswith("counts agree")


def test_the_models_own_template_does_without_a_server() -> None:
    """The third rung of the ladder."""
    found = recover(step(), LocalTemplate(tokenizer()))
    assert tokenizer().decode(found.prompt_ids) == PROMPT
    assert tokenizer().decode(found.completion_ids) == COMPLETION
    assert found.fidelity is Fidelity.RENDERED


@pytest.mark.parametrize("kind", list(SERVERS))
def test_a_wrong_count_is_never_called_rendered(kind: str) -> None:
    """The ids are kept as approximate, and the reason names both numbers."""
    usage = {"prompt_tokens": len(ids_of(PROMPT)) + 3, "completion_tokens": len(ids_of(COMPLETION))}
    with serving(SERVERS[kind]) as (url, _):
        found = recover(step(usage=usage), server_named(f"{kind}={url}", tokenizer()))
    assert found.fidelity is Fidelity.APPROXIMATE
    assert f"the prompt has {len(ids_of(PROMPT))} tokens, {usage['prompt_tokens']} were reported" in (
        found.fidelity_reason
    )
    assert found.token_ids is not None


def test_without_reported_counts_nothing_is_proved() -> None:
    """Nobody said how many tokens there were."""
    with serving(vllm) as (url, _):
        found = recover(step(usage={}), server_named(f"vllm={url}"))
    assert found.fidelity is Fidelity.APPROXIMATE
    assert "nobody reported how many tokens the prompt has" in found.fidelity_reason


def test_earlier_reasoning_is_sent_where_the_count_says_so() -> None:
    """Some clients send it back; the reported number tells which did."""
    longer = len(ids_of(PROMPT)) + len(ids_of("<think>\nI must look.\n</think>\n\n"))
    usage = {"prompt_tokens": longer, "completion_tokens": len(ids_of(COMPLETION))}
    with serving(vllm) as (url, _):
        found = recover(step(usage=usage), server_named(f"vllm={url}"))
    assert found.fidelity is Fidelity.RENDERED
    assert "I must look." in tokenizer().decode(found.prompt_ids)


def test_ids_the_server_wrote_come_before_those_of_the_text() -> None:
    """A server's own ids of the completion are kept, though the text would give others."""
    own = ids_of("<think>\nThe tool said so.\n</think>\nSunny.<|im_end|>")
    usage = {"prompt_tokens": len(ids_of(PROMPT)), "completion_tokens": len(own)}
    with serving(vllm) as (url, _):
        found = recover(step(completion_ids=own, usage=usage), server_named(f"vllm={url}"))
    assert found.completion_ids == own
    assert (found.fidelity, found.prompt_ids) == (Fidelity.RENDERED, ids_of(PROMPT))


def test_template_variables_reach_the_server() -> None:
    """``enable_thinking`` changes the prompt's end."""
    quiet = step(settings={"template_kwargs": {"enable_thinking": False}})
    for kind, answer in SERVERS.items():
        with serving(answer) as (url, _):
            found = recover(quiet, server_named(f"{kind}={url}", tokenizer()))
        assert tokenizer().decode(found.prompt_ids) == PROMPT + "<think>\n\n</think>\n\n"


@pytest.mark.parametrize("kind", list(SERVERS))
@pytest.mark.parametrize("reasoning", [None, "Bern next."])
def test_an_answer_with_calls_comes_back_exactly(kind: str, reasoning: str | None) -> None:
    """Two parallel calls after words, with and without reasoning, and the end of the turn."""
    calls = tuple(ToolCall(f"c{n}", "weather", {"city": city}) for n, city in enumerate(("Bern", "Genève")))
    written = "".join(
        f'<tool_call>\n{{"name": "weather", "arguments": {{"city": "{city}"}}}}\n</tool_call>'
        for city in ("Bern", "Genève")
    )
    written = f"I look.{written}<|im_end|>"
    if reasoning is not None:
        written = f"<think>\n{reasoning}\n</think>\n\n{written}"
    calling = step(
        output=Message("assistant", "I look.", reasoning, calls),
        finish_reason="tool_calls",
        usage={"prompt_tokens": len(ids_of(PROMPT)), "completion_tokens": len(ids_of(written))},
    )
    with serving(SERVERS[kind]) as (url, _):
        found = recover(calling, server_named(f"{kind}={url}", tokenizer()))
    assert tokenizer().decode(found.completion_ids) == written
    assert (found.fidelity, found.prompt_ids) == (Fidelity.RENDERED, ids_of(PROMPT))


def test_an_answer_the_server_does_not_render_leaves_the_prompt() -> None:
    """A template that refuses results without a question: what is known is kept and said."""

    def refusing(path: str, request: Any) -> tuple[int, Any]:
        if path == "/apply-template" and request["messages"][-1]["content"] == "":
            return 500, {"error": {"code": 500, "message": "roles must alternate", "type": "server_error"}}
        return llama_cpp(path, request)

    calling = Message("assistant", "", tool_calls=(ToolCall("c1", "weather", {"city": "Bern"}),))
    with serving(refusing) as (url, _):
        found = recover(step(output=calling), server_named(f"llama.cpp={url}"))
    assert (found.prompt_ids, found.completion_ids) == (ids_of(PROMPT), None)
    assert found.fidelity is Fidelity.APPROXIMATE
    assert "the template does not put the answer after the prompt" in found.fidelity_reason


def test_a_cut_off_completion_has_no_end_of_turn() -> None:
    """``finish_reason`` length: as many tokens as were reported, and no more."""
    written = len(ids_of("<think>\nThe tool said so.\n</think>\n\nSunny."))
    usage = {"prompt_tokens": len(ids_of(PROMPT)), "completion_tokens": written}
    for kind, answer in SERVERS.items():
        with serving(answer) as (url, _):
            found = recover(
                step(finish_reason="length", usage=usage), server_named(f"{kind}={url}", tokenizer())
            )
        assert tokenizer().decode(found.completion_ids).endswith("Sunny."), kind
        assert found.fidelity is Fidelity.RENDERED, kind


def test_known_ids_are_left_alone() -> None:
    """No request is made for a step that needs none."""
    exact = step(prompt_ids=[1], completion_ids=[2], fidelity=Fidelity.EXACT)
    with serving(vllm) as (url, seen):
        assert recover(exact, server_named(f"vllm={url}")) is exact
        assert seen == []


def test_requests_are_what_the_servers_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their fields, and the key from the environment."""
    monkeypatch.setenv("FLASHTRACE_AGENT_SERVER_KEY", "secret-key")
    with serving(vllm) as (url, seen):
        server_named(f"vllm={url}").prompt_ids(_conversation())
    path, request, headers = seen[0]
    assert (path, headers["Authorization"]) == ("/tokenize", "Bearer secret-key")
    assert set(request) == {"model", "messages", "tools", "add_generation_prompt"}
    assert request["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"city": "Zürich"}'
    with serving(llama_cpp) as (url, seen):
        server_named(f"llama.cpp={url}").prompt_ids(_conversation())
    assert [(path, set(request)) for path, request, _ in seen] == [
        ("/apply-template", {"messages", "tools"}),
        ("/tokenize", {"content", "add_special", "parse_special"}),
    ]
    with serving(ollama) as (url, seen):
        server_named(f"ollama={url}", tokenizer()).prompt_ids(_conversation())
    request = seen[0][1]
    assert (request["stream"], request["truncate"], request["_debug_render_only"]) == (False, False, True)
    assert request["messages"][2]["tool_calls"] == [
        {"function": {"name": "weather", "arguments": {"city": "Zürich"}}}
    ]
    assert request["messages"][3]["tool_name"] == "weather"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda path, request: (404, {"detail": "Not Found"}), "answers 404"),
        (lambda path, request: (200, b"<html>"), "cannot be asked"),
        (lambda path, request: (200, [1, 2]), "something else than a model server"),
        (lambda path, request: (200, {"tokens": ["a"]}), "without token ids"),
        (lambda path, request: (200, {"tokens": [True, -1]}), "without token ids"),
        (lambda path, request: (200, b"[" * 100_000), "cannot be asked"),
    ],
)
def test_a_server_that_answers_nonsense_is_one_sentence(answer: Any, said: str) -> None:
    """Whatever stands at that address."""
    with serving(answer) as (url, _), pytest.raises(ServerError, match=said):
        server_named(f"vllm={url}").prompt_ids(_conversation())


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    """And so are wrong names."""
    with pytest.raises(ServerError, match="check that the server runs"):
        server_named("vllm=http://127.0.0.1:9").prompt_ids(_conversation())
    with pytest.raises(ServerError, match="names no server"):
        server_named("vlm=http://127.0.0.1:9")
    with pytest.raises(ServerError, match="names no server"):
        server_named("vllm=file:///etc/passwd")
    with pytest.raises(ServerError, match="--model"):
        server_named("ollama=http://127.0.0.1:9")
    with pytest.raises(FlashTraceError, match="no finished model call"):
        recover(step(output=None), LocalTemplate(tokenizer()))


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40), extra=st.integers(-3, 3))
def test_rendered_means_that_both_counts_agree(text: str, extra: int) -> None:
    """Whatever the content (tags of the template included): no step is called rendered on a wrong count."""
    source: TokenSource = LocalTemplate(tokenizer())
    prompt = source.prompt_ids(_conversation())
    completion = ids_of(f"{text}<|im_end|>")
    usage = {"prompt_tokens": len(prompt), "completion_tokens": len(completion) + extra}
    found = recover(step(output=Message("assistant", text), usage=usage), source)
    if found.fidelity is Fidelity.RENDERED:
        assert found.completion_ids is not None
        assert len(found.completion_ids) == usage["completion_tokens"]
    if extra == 0:
        assert (found.completion_ids, found.fidelity) == (completion, Fidelity.RENDERED)


def test_log_probabilities_tell_the_models_own_words_from_others() -> None:
    """Greedy text passes; other ids are taken down to approximate, with the number in the reason."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(40)  # a confident model
    prompt = list(range(10))
    written = model.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False)[0, 10:].tolist()
    own = step(prompt_ids=prompt, completion_ids=written, fidelity=Fidelity.RENDERED, fidelity_reason="r")
    kept = check_log_probs(model, own)
    assert (kept.fidelity, kept.settings["log_prob_check"]["greedy"]) == (Fidelity.RENDERED, 1.0)
    assert "100 % of them" in kept.fidelity_reason
    others = [(token + 1) % 64 for token in written]
    doubted = check_log_probs(model, replace(own, completion_ids=others))
    assert doubted.fidelity is Fidelity.APPROXIMATE
    assert doubted.settings["log_prob_check"]["mean"] < -3
    assert "other weights, or other ids" in doubted.fidelity_reason


def _conversation() -> Any:
    from flashtrace_agent.integrations.servers.base import Conversation

    return Conversation.of(step())


def test_the_command_finds_stores_and_shows_ids(tmp_path: Path) -> None:
    """All model steps of a trace, with the reason; a second time nothing is left to do."""
    url = f"sqlite:///{tmp_path / 'traces.db'}"
    recorded = step()
    with Store(url) as store:
        store.write_trace(Trace(recorded.trace_id, "agent", recorded.started_at))
        store.write_step(recorded)
    with serving(vllm) as (address, seen):
        command = ["tokenize", "ttt", "--store", url, "--server", f"vllm={address}"]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert done.output.splitlines()[-1] == "1 rendered"
        asked = len(seen)
        done = CliRunner().invoke(app, [*command, "--json"])
        assert len(seen) == asked
    assert json.loads(done.output)[0]["reason"].endswith("counts agree")
    with Store(url) as store:
        stored = store.get_step(recorded.id)
    assert (stored.prompt_ids, stored.completion_ids) == (ids_of(PROMPT), ids_of(COMPLETION))
    assert stored.fidelity is Fidelity.RENDERED
    assert CliRunner().invoke(app, ["tokenize", "ttt", "--store", url]).exit_code == 2
