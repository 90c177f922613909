"""``models``, ``doctor`` and ``bench``: the commands around the main job."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flashtrace_agent.store import Store
from flashtrace_agent.trace import Trace, make_id

from ..conftest import command


def test_doctor_finds_packages_device_model_and_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    Store(url).close()
    outcome = command("doctor", "--json", "--store", url)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    findings = {finding["what"]: finding for finding in json.loads(outcome.stdout)}
    assert {"Python", "torch", "transformers", "streamlit", "device", "default model", "store"} <= set(
        findings
    )
    assert "run `flashtrace-agent demo`" in findings["store"]["detail"]


def test_doctor_tells_how_many_steps_were_dropped(tmp_path: Path) -> None:
    """Over all traces, with the last of them; a trace that only talks about it does not count."""
    url = f"sqlite:///{tmp_path / 'lossy.db'}"
    with Store(url) as store:
        for day, metadata in enumerate(
            [
                {"dropped_steps": 2},
                {"note": '"dropped_steps":9'},
                {"dropped_steps": 5},
                {"dropped_steps": "x"},
            ]
        ):
            moment = datetime(2026, 1, 1 + day, tzinfo=UTC)
            store.write_trace(Trace(make_id(moment), "lossy", moment, metadata=metadata))
        newest = store.list_traces(limit=2)[1].id
    outcome = command("doctor", "--json", "--store", url)
    assert outcome.returncode == 0
    findings = {finding["what"]: finding for finding in json.loads(outcome.stdout)}
    assert "7 steps of 2 traces were dropped" in findings["recording"]["detail"]
    assert newest in findings["recording"]["detail"]
    Store(f"sqlite:///{tmp_path / 'whole.db'}").close()
    outcome = command("doctor", "--store", f"sqlite:///{tmp_path / 'whole.db'}")
    assert "no trace lacks steps" in outcome.stdout


def test_doctor_names_a_broken_store_and_fails(tmp_path: Path) -> None:
    broken = tmp_path / "traces.db"
    broken.write_bytes(b"this is no database at all" * 100)
    outcome = command("doctor", "--store", f"sqlite:///{broken}")
    assert outcome.returncode == 1
    assert "problem" in outcome.stdout


def test_a_mistyped_store_is_named_and_not_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'typo.db'}"
    assert command("doctor", "--store", url).returncode == 1
    outcome = command("attribute", "01abc", "--store", url)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("Error: ")
    assert not (tmp_path / "typo.db").exists()


def test_models_lists_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHTRACE_AGENT_MODELS", str(tmp_path))
    outcome = command("models", "list", "--json")
    (model,) = json.loads(outcome.stdout)
    assert model["name"] == "smollm2"
    assert model["default"] is True
    assert model["fetched"] is False
    assert command("models", "remove", "smollm2").stdout == "smollm2 was not there\n"
    unknown = command("models", "fetch", "gpt9")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("Error: There is no model named 'gpt9'")


@pytest.mark.model
@pytest.mark.slow
def test_bench_prints_seconds_and_ratios_and_keeps_other_sections(tmp_path: Path) -> None:
    from flashtrace_agent.bench.subjects import SUBJECTS

    results = tmp_path / "RESULTS.md"
    results.write_text("# Measurements\n\n## Something else\n\nkept\n", encoding="utf-8")
    arguments = ["--cases", "40:12", "--repeats", "1", "--subjects", "all", "--output", str(results)]
    outcome = command("bench", *arguments, "--json")
    assert outcome.returncode == 0, outcome.stderr
    rows = {row["subject"]: row for row in json.loads(outcome.stdout)["rows"]}
    assert list(rows) == list(SUBJECTS)
    assert rows["forward"]["ratio"] == 1.0
    assert all(row["seconds"] > 0 for row in rows.values())
    text = results.read_text(encoding="utf-8")
    assert "kept\n" in text
    assert "| 40 + 12 | flashtrace 0.1.1 (public call) |" in text


@pytest.mark.model
@pytest.mark.slow
def test_peak_memory_is_that_of_a_process_of_its_own() -> None:
    """What this process holds does not count: it holds a gigabyte, the measured one the model."""
    from flashtrace_agent.bench.case import Case
    from flashtrace_agent.bench.measure import peak_memory

    held = bytearray(b"x") * (1 << 30)
    peak = peak_memory("smollm2", None, Case(60, 20), "kept")
    assert 500e6 < peak < 1.2e9
    assert len(held) == 1 << 30


def test_bench_refuses_what_is_no_case() -> None:
    outcome = command("bench", "--cases", "many:few")
    assert outcome.returncode == 1
    assert "write PROMPT:GENERATED" in outcome.stderr


def test_bench_names_its_subjects_when_one_is_unknown() -> None:
    outcome = command("bench", "--subjects", "speed")
    assert outcome.returncode == 1
    assert "choose among forward, attribution" in outcome.stderr


def test_a_step_with_an_empty_completion_is_refused(tmp_path: Path) -> None:
    """Nothing was written, so there is nothing to attribute; the store is left as it was."""
    from flashtrace_agent.message import Message
    from flashtrace_agent.trace import Fidelity, Step, Trace, make_id, utc_now

    url, now = f"sqlite:///{tmp_path / 't.db'}", utc_now()
    trace = Trace(make_id(now, "trace"), "empty", now, status="ok")
    step = Step(make_id(now, "step"), trace.id, "model", "m", now, status="ok", fidelity=Fidelity.EXACT)
    step.input, step.prompt_ids, step.completion_ids = [Message("user", "hi")], [1, 2, 3], []
    with Store(url) as store:
        store.write_trace(trace)
        store.write_step(step)
    outcome = command("attribute", trace.id, "--store", url)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("Error: No model step of trace")
