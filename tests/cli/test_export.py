"""``export`` and ``import`` move traces between stores."""

from __future__ import annotations

import json
from pathlib import Path

from flashtrace_agent.trace import Trace

from .conftest import Run


def test_traces_move_to_another_store(run: Run, trace: Trace, tmp_path: Path) -> None:
    """Which is created."""
    path, other = tmp_path / "traces.jsonl", f"sqlite:///{tmp_path}/new/other.db"
    told = run("export", "-o", str(path), "--where", "tool = sofas").stdout
    assert told == f"Wrote 1 traces, 3 steps and 1 attributions to {path}\n"
    assert run("import", str(path), "--store", other).stdout.startswith("Read 1 traces, 3 steps")
    shown = [run("show", trace.id, "--json", *more).stdout for more in ((), ("--store", other))]
    assert json.loads(shown[0]) == json.loads(shown[1])


def test_parquet_needs_a_folder(run: Run, trace: Trace, tmp_path: Path) -> None:
    """A file of that name is in the way."""
    (tmp_path / "file").touch()
    result = run("export", "--format", "parquet", "-o", str(tmp_path / "file"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
