"""Steps of several models in one store are each explained with the model that wrote them."""

from __future__ import annotations

from typing import Any

import pytest

from flashtrace_agent.cli import loaded_model
from flashtrace_agent.cli.loaded_model import LoadedModel
from flashtrace_agent.trace import Step, utc_now


def _step(model: str | None) -> Step:
    return Step("s", "t", "model", "m", utc_now(), model=model)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the models loaded, in order."""
    names: list[Any] = []

    def load(model: str | None, recorded: str | None, dtype: str, device: str | None) -> object:
        names.append(model or recorded)
        return object()

    monkeypatch.setattr(loaded_model, "load_attributor", load)
    return names


def test_another_model_takes_the_place_of_the_first(loads: list[Any]) -> None:
    loaded = LoadedModel(None)
    first = loaded.for_step(_step("a"))
    assert loaded.for_step(_step("a")) is first
    assert loaded.for_step(_step("b")) is not first
    assert loads == ["a", "b"]


def test_a_model_that_is_named_serves_every_step(loads: list[Any]) -> None:
    loaded = LoadedModel("mine")
    assert loaded.for_step(_step("a")) is loaded.for_step(_step("b"))
    assert loads == ["mine"]
