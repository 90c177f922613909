"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

if TYPE_CHECKING:
    from playwright.sync_api import Browser

if not torch.cuda.is_available():
    # Interpret the GPU kernels. Triton reads this when it is imported, by whichever package comes first.
    os.environ["TRITON_INTERPRET"] = "1"

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real recordings beside the project, or skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the recordings in ../shared, which are not here")
    return SHARED


@pytest.fixture(scope="session")
def default_model() -> Any:
    """Return an attributor over the default model's real weights, fetched as a user would."""
    from flashtrace_agent import Attributor
    from flashtrace_agent.models import ensure_model

    ensure_model()
    return Attributor.from_pretrained("smollm2")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the module."""
    from playwright.sync_api import expect, sync_playwright

    from .dashboard.browser import ARGUMENTS, PATIENCE_MS, chromium

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield started
        started.close()


@dataclass(frozen=True)
class Demo:
    """One real run of the demo command."""

    store: str
    output: str


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "flashtrace_agent", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Run ``flashtrace-agent demo`` once for all tests that look at what it recorded."""
    store = f"sqlite:///{tmp_path_factory.mktemp('demo') / 'traces.db'}"
    outcome = command("demo", "--store", store)
    assert outcome.returncode == 0, outcome.stderr
    return Demo(store, outcome.stdout)
