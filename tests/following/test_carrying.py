"""Mass goes from tokens as they were read to tokens as they were written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashtrace_agent.following.carrying import carry

IDS = st.lists(st.integers(0, 5), min_size=1, max_size=30)


def test_equal_tokens_keep_their_mass() -> None:
    assert carry(np.array([1.0, 2.0, 3.0]), [7, 8, 9], [7, 8, 9]).tolist() == [1, 2, 3]


def test_what_was_written_differently_is_spread_in_its_place() -> None:
    """``7 [1 2] 9`` was written ``7 [3 4 5] 9``; an 8 that was not written goes to what precedes it."""
    assert carry(np.array([1.0, 3.0, 3.0, 4.0]), [7, 1, 2, 9], [7, 3, 4, 5, 9]).tolist() == [1, 2, 2, 2, 4]
    assert carry(np.array([1.0, 2.0, 4.0]), [7, 8, 9], [7, 9]).tolist() == [3, 4]


@given(IDS, IDS)
def test_the_sum_is_kept(read: list[int], written: list[int]) -> None:
    mass = np.linspace(0.1, 1.0, len(read))
    carried = carry(mass, read, written)
    assert carried.shape == (len(written),)
    assert carried.sum() == pytest.approx(mass.sum())
    assert (carried >= 0).all()
