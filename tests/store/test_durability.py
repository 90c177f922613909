"""What was acknowledged survives whatever happens to the process.

`benchmarks/durability.py` does the same two hundred times.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest

from benchmarks.durability import KINDS, Broken, Tally, finish, run_round, verify


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_nothing_is_lost(kind: str) -> None:
    """Recorder and worker are killed, out of space, or lose their rights; then the rest is worked off."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        folder = Path(name)
        folder.chmod(0o755)
        tally = Tally()
        chance = random.Random(kind)
        for number, happening in enumerate(("killed", kind, kind)):
            run_round(folder, f"round {number}", happening, chance, tally)
            verify(folder, tally)
        finish(folder, tally)
        assert tally.written
        assert tally.happened["jobs done"] >= len(tally.written)
        assert (kind == "killed") != (tally.happened["refused told"] > 0)
        tally.written.append("round 0 99999")
        with pytest.raises(Broken, match="1 steps were said to be written and are not there"):
            verify(folder, tally)
