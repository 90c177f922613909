"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real recordings beside the project, or skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the recordings in ../shared, which are not here")
    return SHARED
