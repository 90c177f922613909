"""A collector in a process of its own, as a user starts it, and requests to it."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


@dataclass
class Answer:
    """What the collector answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Collector:
    """`flashtrace-agent collect` on a free port of this machine."""

    folder: Path
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder / 'traces.db'}"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "flashtrace_agent", "collect", "--port", "0", "--store", self.store]
        self.process = subprocess.Popen(
            [*command, *self.arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **self.environment, "PYTHONUNBUFFERED": "1"},
        )
        lines: queue.Queue[str] = queue.Queue()
        stream = self.process.stdout
        assert stream is not None
        threading.Thread(target=lambda: deque(map(lines.put, stream)), daemon=True).start()
        seen = lines.get(timeout=60)
        found = re.search(r"http://\S+", seen)
        assert found, seen
        self.url = found[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """End it without any warning."""
        self.process.kill()
        self.process.wait(30)

    def post(self, body: bytes, content_type: str = PROTOBUF, **headers: str) -> Answer:
        """Send a body and return the answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(
            self.url, body, {"Content-Type": content_type, **named}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read())


def otlp(*spans: dict[str, Any]) -> bytes:
    """Return an OTLP JSON request of spans given as OTLP writes them, attributes as plain dicts."""
    written = []
    for number, span in enumerate(spans, 1):
        attributes = [
            {"key": key, "value": {"stringValue": value}} for key, value in span.get("attributes", {}).items()
        ]
        fields = {
            "traceId": f"{number:032x}",
            "spanId": f"{number:016x}",
            "name": "chat",
            "startTimeUnixNano": "1773489600000000000",
            "endTimeUnixNano": "1773489601000000000",
        }
        written.append({**fields, **span, "attributes": attributes})
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": written}]}]}).encode()
