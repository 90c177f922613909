"""Runs of an agent as spans, and a collector to send them to: what the receiver is measured with."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WORDS = ["mirror", "sofa", "lamp", "count", "seven", "of", "the", "red", "which", "and", "is", "table"]


def text(tokens: int, seed: int = 0) -> str:
    """Return about so many tokens of words."""
    return " ".join(itertools.islice(itertools.cycle(WORDS[seed % 7 :] + WORDS[: seed % 7]), tokens))


def request(first: int, runs: int) -> bytes:
    """Return a protobuf request of so many runs of six spans: an agent, three chats, two tools."""
    message = ExportTraceServiceRequest()
    spans = message.resource_spans.add().scope_spans.add().spans
    for number in range(first, first + runs):
        trace_id = number.to_bytes(16, "big")
        history = [_message("system", text(60)), _message("user", f"Question {number}? {text(20, number)}")]
        began = 1_773_489_600_000_000_000 + number * 1_000_000
        for k in range(6):
            span = spans.add(trace_id=trace_id, span_id=(6 * number + k + 1).to_bytes(8, "big"))
            span.start_time_unix_nano, span.end_time_unix_nano = began + k * 1000, began + k * 1000 + 900
            if k < 5:
                span.parent_span_id = (6 * number + 6).to_bytes(8, "big")
            values = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "bench"}
            span.name = "invoke_agent bench"
            if k in (0, 2, 4):
                part: dict[str, Any] = {"type": "text", "content": f"Seven {number}."}
                if k < 4:
                    part = {
                        "type": "tool_call",
                        "id": f"c{k}",
                        "name": "look",
                        "arguments": {"k": k, "n": number},
                    }
                answer = {"role": "assistant", "parts": [part], "finish_reason": "stop"}
                values = {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.request.model": "bench-1",
                    "gen_ai.input.messages": json.dumps(history),
                    "gen_ai.output.messages": json.dumps([answer]),
                }
                history = [*history, answer]
                span.name = "chat bench-1"
            elif k < 5:
                result = f"seen {number} {k}"
                values = {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": "look",
                    "gen_ai.tool.call.id": f"c{k - 1}",
                    "gen_ai.tool.call.result": result,
                }
                response = {"type": "tool_call_response", "id": f"c{k - 1}", "response": result}
                history = [*history, {"role": "tool", "parts": [response]}]
                span.name = "execute_tool look"
            for key, value in values.items():
                span.attributes.add(key=key).value.string_value = value
            if k == 5:
                span.start_time_unix_nano, span.end_time_unix_nano = began, began + 9000
    return bytes(message.SerializeToString())


def _message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


class Collector:
    """`flashtrace-agent collect` on a store of its own, in a process of its own."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "flashtrace_agent", "collect", "--port", "0", "--store", url]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        found = re.search(r"http://\S+", self.process.stdout.readline())
        assert found is not None
        self.url = found[0]

    def post(self, body: bytes) -> bool:
        """Send a request until it is accepted; return False where the collector is gone."""
        while True:
            sent = urllib.request.Request(self.url, body, {"Content-Type": "application/x-protobuf"})
            try:
                with urllib.request.urlopen(sent, timeout=60) as answer:
                    return bool(answer.status == 200)
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
                time.sleep(0.05)
            except OSError:
                return False

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(120) == 0


RUNS_A_REQUEST = 85
"""With six spans a run, about the 512 spans that exporters send at once."""


def send(collector: Collector, spans: int, watch: Callable[[int], None] | None = None) -> tuple[int, float]:
    """Send so many spans over two connections; return how many were acknowledged, and the seconds."""
    firsts = iter(range(1, spans // 6 + 1, RUNS_A_REQUEST))
    lock, done = threading.Lock(), [0]

    def sender() -> None:
        while True:
            with lock:
                first = next(firsts, None)
            if first is None or not collector.post(request(first, RUNS_A_REQUEST)):
                return
            with lock:
                done[0] += 6 * RUNS_A_REQUEST
                if watch is not None:
                    watch(done[0])

    threads = [threading.Thread(target=sender) for _ in range(2)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done[0], time.perf_counter() - begin
