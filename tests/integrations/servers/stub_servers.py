"""Stub model servers on a real socket: they answer as the servers' own documentation says.

Renders with a ChatML template and a byte-level tokenizer, so every answer is the truth about the
request it got.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TEMPLATE = (
    "{% if tools %}{{ '<|im_start|>system\n# Tools' }}"
    "{% for tool in tools %}{{ '\n' + (tool | tojson) }}{% endfor %}{{ '<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
    "{% if message.reasoning_content %}"
    "{{ '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{% endif %}"
    "{{ message.content }}"
    "{% for call in message.tool_calls or [] %}"
    '{{ \'<tool_call>\n{"name": "\' + call.function.name + \'", "arguments": \' }}'
    "{{ (call.function.arguments | tojson) + '}\n</tool_call>' }}{% endfor %}"
    "{% if not (leave_open and loop.last) %}{{ '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)

Answer = Callable[[str, Mapping[str, Any]], tuple[int, Any]]


@cache
def tokenizer() -> Any:
    """Return a ChatML tokenizer with one token per byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in ("<|im_start|>", "<|im_end|>")]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", chat_template=TEMPLATE)


def ids_of(text: str) -> list[int]:
    """Return a text's ids."""
    return list(tokenizer()(text, add_special_tokens=False)["input_ids"])


def render(request: Mapping[str, Any], *, begin: bool, leave_open: bool = False) -> str:
    """Return the text of a chat-completions request; arguments in text are parsed first, as servers do."""
    messages = json.loads(json.dumps(request["messages"]))
    for message in messages:
        message["reasoning_content"] = message.get("reasoning_content") or message.get("thinking")
        for call in message.get("tool_calls", ()):
            if isinstance(call["function"]["arguments"], str):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    kwargs = dict(request.get("chat_template_kwargs") or {})
    if "think" in request:
        kwargs["enable_thinking"] = request["think"]
    return str(
        tokenizer().apply_chat_template(
            messages,
            tools=request.get("tools"),
            tokenize=False,
            add_generation_prompt=begin,
            leave_open=leave_open,
            **kwargs,
        )
    )


def vllm(path: str, request: Mapping[str, Any]) -> tuple[int, Any]:
    """Answer as vLLM's `TokenizeChatRequest` and `TokenizeResponse` say."""
    if path != "/tokenize" or "messages" not in request:
        return 404, {"error": {"message": "Not Found", "code": 404}}
    ids = ids_of(render(request, begin=request.get("add_generation_prompt", True)))
    return 200, {"count": len(ids), "max_model_len": 4096, "tokens": ids, "token_strs": None}


def llama_cpp(path: str, request: Mapping[str, Any]) -> tuple[int, Any]:
    """Answer as llama.cpp's server README and `common/chat.cpp` say.

    A last message of the assistant is left open: after the prompt come its words and nothing else, and
    where the template thinks it is refused.
    """
    if path == "/props":
        return 200, {"eos_token": "<|im_end|>", "chat_template": TEMPLATE, "total_slots": 1}
    if path == "/apply-template":
        last = request["messages"][-1]
        if last["role"] == "assistant":
            if (request.get("chat_template_kwargs") or {}).get("enable_thinking", True):
                said = "Assistant response prefill is incompatible with enable_thinking."
                return 400, {"error": {"code": 400, "message": said, "type": "invalid_request_error"}}
            before = {**request, "messages": request["messages"][:-1]}
            return 200, {"prompt": render(before, begin=True) + last["content"]}
        return 200, {"prompt": render(request, begin=True)}
    if path == "/tokenize":
        return 200, {"tokens": ids_of(request["content"])}
    return 404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}


def ollama(path: str, request: Mapping[str, Any]) -> tuple[int, Any]:
    """Answer as Ollama's `ChatRequest` and `DebugInfo` say."""
    if path != "/api/chat" or not request.get("_debug_render_only"):
        return 404, {"error": "not found"}
    last = request["messages"][-1]["role"] == "assistant"
    text = render(request, begin=not last, leave_open=last)
    return 200, {
        "model": request["model"],
        "created_at": "2026-01-01T00:00:00Z",
        "_debug_info": {"rendered_template": text},
    }


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[tuple[str, dict[str, Any], dict[str, str]]]]]:
    """Serve on a free port; yield the address and the requests that came, with their headers."""
    seen: list[tuple[str, dict[str, Any], dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = json.loads(body) if body else {}
            seen.append((self.path, request, dict(self.headers)))
            status, said = answer(self.path, request)
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            kind = "text/event-stream" if data.startswith(b"data:") else "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
