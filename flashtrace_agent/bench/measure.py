"""Time subjects in turn, so that a noisy machine disturbs them alike, and measure their memory apart."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ..errors import FlashTraceError
from .case import Case


def interleaved_medians(
    subjects: dict[str, Callable[[], Any]], repeats: int, tick: Callable[[], None]
) -> dict[str, float]:
    """Return each subject's median seconds over `repeats` rounds after one warm-up round.

    Args:
        tick: called after each single run, for a progress bar.
    """
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for round_number in range(repeats + 1):
        for name, run in subjects.items():
            _synchronise()
            started = time.perf_counter()
            run()
            _synchronise()
            if round_number:
                seconds[name].append(time.perf_counter() - started)
            tick()
    return {name: median(values) for name, values in seconds.items()}


def peak_memory(model: str, shape: str | None, case: Case, subject: str) -> int:
    """Return the peak bytes a fresh process needs for one run of a subject, weights included.

    On a CUDA machine that is what the allocator held on the device; elsewhere resident memory.
    """
    arguments = json.dumps({"model": model, "shape": shape, "case": str(case), "subject": subject})
    outcome = subprocess.run(  # noqa: S603 - our own module, arguments as JSON
        [sys.executable, "-m", "flashtrace_agent.bench.measure", arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
    )
    if outcome.returncode != 0:
        last = (outcome.stderr.strip().splitlines() or ["no output"])[-1]
        raise FlashTraceError(f"Measuring the memory of {subject!r} failed: {last}")
    return int(outcome.stdout.strip().splitlines()[-1])


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _one_run(arguments: str) -> None:
    """Run one subject once and print the process's peak bytes; the child side of `peak_memory`."""
    from .case import load_subject_model
    from .subjects import SUBJECTS

    wanted = json.loads(arguments)
    case = Case.parse(wanted["case"])
    attributor = load_subject_model(wanted["model"], wanted["shape"], case.prompt + case.generated)
    SUBJECTS[wanted["subject"]].prepare(attributor, case)()
    sys.stdout.write(f"\n{_peak_bytes()}\n")


def _peak_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():
        # On Linux `getrusage` also counts what the parent held when it forked this process.
        fields = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    _one_run(sys.argv[1])
