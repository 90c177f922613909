"""The browser and the server the browser tests use."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SCREENSHOTS = Path(__file__).resolve().parents[2] / "test-output"


def chromium() -> str:
    """Return the path of the system's Chromium, or fail telling how to get one."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(
            "The browser tests need Chromium: install it with "
            "`apt-get update && apt-get install -y --no-install-recommends chromium fonts-dejavu-core`, "
            'or leave these tests out with -m "not browser".'
        )
    return found


def free_port() -> int:
    """Return a port nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(store_url: str, *arguments: str, **environment: str) -> Iterator[str]:
    """Run `flashtrace-agent dashboard` over a store and yield the address it prints."""
    command = [
        *(sys.executable, "-c", "from flashtrace_agent.cli import main; main()"),
        *("dashboard", "--store", store_url, "--port", str(free_port()), "--no-browser", *arguments),
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        assert line.startswith("Dashboard at "), line + server.stdout.read()
        yield line.split()[2]
    finally:
        server.terminate()
        server.communicate(timeout=30)
