"""Back-pressure, with a sink that the test can hold."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from flashtrace_agent.errors import StoreError
from flashtrace_agent.integrations.opentelemetry.receiver import Receiver
from flashtrace_agent.integrations.opentelemetry.record import SpanRecord


class HeldSink:
    """Takes spans only once it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.error: Exception | None = None

    def receive(self, spans: Sequence[SpanRecord]) -> tuple[int, str]:
        assert self.go.wait(30)
        if self.error is not None:
            raise self.error
        return 0, ""

    receive_events = receive


async def post(app: Any, body: bytes = b"{}") -> tuple[int, dict[str, str], bytes]:
    """Send one JSON request through ASGI."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/traces",
        "headers": [(b"content-type", b"application/json")],
        "query_string": b"",
    }
    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(part.get("body", b"") for part in sent[1:])


@pytest.fixture
def held() -> HeldSink:
    """Return a sink that holds requests."""
    return HeldSink()


def test_full_line_answers_503_and_when_to_come_back(held: HeldSink) -> None:
    """Requests beyond the line are turned away at once; those in it are answered in the end."""
    sink: Any = held
    receiver = Receiver(sink, max_waiting=3)

    async def scenario() -> None:
        waiting = [asyncio.create_task(post(receiver.app)) for _ in range(3)]
        await asyncio.sleep(0.05)
        status, headers, body = await post(receiver.app)
        assert (status, headers["retry-after"]) == (503, "1")
        assert b"again later" in body
        held.go.set()
        assert [(await task)[0] for task in waiting] == [200, 200, 200]
        assert (await post(receiver.app))[0] == 200

    asyncio.run(scenario())
    receiver.close()


def test_spans_that_cannot_be_kept_are_not_acknowledged(held: HeldSink) -> None:
    """A full disk is a 503, so that senders keep their spans."""
    held.error = StoreError("There is no space left.")
    held.go.set()
    sink: Any = held
    receiver = Receiver(sink)
    status, headers, body = asyncio.run(post(receiver.app))
    assert (status, headers["retry-after"]) == (503, "1")
    assert b"no space" in body
    receiver.close()


def test_body_over_the_cap_is_refused_while_it_comes(held: HeldSink) -> None:
    """An uncompressed body has the same cap."""
    sink: Any = held
    receiver = Receiver(sink, max_body=1000)
    assert asyncio.run(post(receiver.app, b" " * 1001))[0] == 413
    receiver.close()
