"""``export`` and ``import`` move traces between stores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flashtrace_agent.trace import Trace

from .conftest import Run


def test_traces_move_to_another_store(run: Run, trace: Trace, tmp_path: Path) -> None:
    """Which is created."""
    path, other = tmp_path / "traces.jsonl", f"sqlite:///{tmp_path}/new/other.db"
    told = run("export", "-o", str(path), "--where", "tool = sofas").stdout
    assert told == f"Wrote 1 trace, 3 steps and 1 attribution to {path}\n"
    assert run("import", str(path), "--store", other).stdout.startswith("Read 1 trace, 3 steps")
    shown = [run("show", trace.id, "--json", *more).stdout for more in ((), ("--store", other))]
    assert json.loads(shown[0]) == json.loads(shown[1])


def test_a_folder_is_no_file(run: Run, trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to give; pages go into the folder at hand."""
    monkeypatch.chdir(tmp_path)
    for file_format in ("jsonl", "otlp"):
        for folder in (".", "..", "/", str(tmp_path)):
            result = run("export", "--format", file_format, "-o", folder)
            assert (result.exit_code, "is a folder: give the name of a file" in result.stderr) == (1, True)
    assert run("export", "--format", "html", "-o", ".").exit_code == 0
    assert (tmp_path / "index.html").exists()


def test_parquet_needs_a_folder(run: Run, trace: Trace, tmp_path: Path) -> None:
    """A file of that name is in the way."""
    (tmp_path / "file").touch()
    result = run("export", "--format", "parquet", "-o", str(tmp_path / "file"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_files_of_other_programs_are_imported(run: Run, shared: Path, tmp_path: Path) -> None:
    """What was read is said; a damaged file leaves nothing behind."""
    path = shared / "data" / "flashtrace_traces" / "albania-party-year.json"
    result = run("import", str(path))
    assert result.stdout.startswith(f"Read 1 trace, 1 step and 1 attribution from {path} (flashtrace trace")
    [listed] = json.loads(run("list", "--json").stdout)
    assert listed["name"] == "Year the Albanian ruling party fell"
    shown = json.loads(run("show", listed["id"], "--json").stdout)
    assert shown["steps"][0]["attributions"][0]["method"] == "reference flashtrace"
    assert " by reference flashtrace (approximate)" in run("show", listed["id"]).stdout

    cut = tmp_path / "cut.json"
    cut.write_bytes(path.read_bytes()[:5000])
    result = run("import", str(cut))
    assert result.exit_code == 1
    assert "is no JSON" in result.stderr
    assert len(json.loads(run("list", "--json").stdout)) == 1


def test_a_run_without_token_texts_says_how_to_have_them(run: Run, shared: Path) -> None:
    path = str(shared / "data" / "agentdojo" / "slack_remove_invited_attacker.json")
    assert "add --tokenizer" in run("import", path).stdout
    tokenizer = str(shared / "data" / "qwen3_tokenizer")
    assert "--tokenizer" not in run("import", path, "--tokenizer", tokenizer).stdout
    result = run("import", path, "--tokenizer", "/nowhere")
    assert result.exit_code == 1
    assert "There is no tokenizer" in result.stderr


def test_pages_and_spans_are_written(run: Run, trace: Trace, tmp_path: Path) -> None:
    """A page for each trace; spans that `collect` reads again."""
    assert run("export", "--format", "html", "-o", str(tmp_path / "pages")).exit_code == 0
    assert "How many sofas?" in (tmp_path / "pages" / f"{trace.id}.html").read_text("utf-8")
    spans, other = tmp_path / "spans.jsonl", f"sqlite:///{tmp_path}/new/other.db"
    assert run("export", "--format", "otlp", "-o", str(spans)).stdout.startswith("Wrote 1 trace, 3 steps")
    told = run("collect", "--file", str(spans), "--store", other)
    assert told.stdout == f"Read 5 spans from {spans}\n"
    (found,) = json.loads(run("list", "--json", "--store", other).stdout)
    assert (found["name"], found["status"], found["tools"]) == (
        "furniture",
        "error",
        ["mirrors", "sofas"],  # the failed call, too
    )
