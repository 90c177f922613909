"""The fast forms of the two inner loops equal their definitions, on any input."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flashtrace_agent.engine.column_sums import weighted_column_sums
from flashtrace_agent.engine.layers import LayerCapture
from flashtrace_agent.engine.projection import Projection
from flashtrace_agent.engine.proximity import residual_proximity, token_proximity

seeds = st.integers(0, 2**32 - 1)


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator)


def _projection(weight: torch.Tensor) -> Projection:
    return Projection(weight, weight.norm(dim=-1), torch.zeros(weight.shape[1]), None, torch.float32)


@settings(deadline=None, max_examples=60)
@given(seed=seeds, kv_heads=st.integers(1, 3), groups=st.integers(1, 3), n=st.integers(1, 90))
def test_pruned_proximity_equals_the_two_norms(seed: int, kv_heads: int, groups: int, n: int) -> None:
    """‖y‖₁ − ‖y − z‖₁ in float64, for sums that span many orders of magnitude as attention does.

    A span's states cancel to exactly 0 in some dimensions, which half precision makes common.
    """
    g = torch.Generator().manual_seed(seed)
    heads, width, d = kv_heads * groups, 4, 11
    sums = torch.rand(heads, n, generator=g) * 10.0 ** torch.randint(-6, 2, (heads, n), generator=g)
    value = normal(g, kv_heads, n, width)
    weight = normal(g, heads, d, width)
    target = normal(g, d) * 10.0 ** torch.randint(-2, 3, (d,), generator=g)
    target[torch.rand(d, generator=g) < 0.2] = 0.0
    ours = token_proximity(sums, value, _projection(weight), target)

    y = target.double()
    v = value.double().repeat_interleave(groups, dim=0)
    z = sums.double()[..., None] * torch.einsum("hnw,hdw->hnd", v, weight.double())
    expected = (y.abs().sum() - (y - z).abs().sum(-1)).clamp_min(0).sum(0)
    scale = float(expected.max()) + 1e-9
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=2e-5 * scale)


@settings(deadline=None, max_examples=60)
@given(
    seed=seeds,
    n=st.integers(1, 40),
    window=st.none() | st.integers(1, 12),
    softcap=st.none() | st.floats(0.5, 5.0),
    targets=st.integers(1, 3),
    tile=st.integers(1, 4),
)
def test_tiled_column_sums_equal_the_full_matrix(
    seed: int, n: int, window: int | None, softcap: float | None, targets: int, tile: int
) -> None:
    """Any subset of rows, any window, soft cap and tile size."""
    from unittest.mock import patch

    g = torch.Generator().manual_seed(seed)
    heads, kv_heads, width = 4, 2, 4
    rows = torch.nonzero(torch.rand(n, generator=g) < 0.6).flatten()
    rows = rows if len(rows) else torch.tensor([n - 1])
    query, key = normal(g, heads, n, width), normal(g, kv_heads, n, width)
    weights = torch.rand(targets, len(rows), generator=g)
    layer = LayerCapture(
        query[:, rows], key, key, torch.empty(0), None, scaling=0.7, window=window, softcap=softcap
    )
    budget = 4 * heads * n * tile
    with patch.dict("flashtrace_agent.engine.attention_tiles._TILE_BYTES", {"cpu": budget}):
        ours = weighted_column_sums(layer, rows, torch.arange(len(rows)), weights)

    logits = torch.einsum("hrw,hnw->hrn", query.double(), key.double().repeat_interleave(2, dim=0)) * 0.7
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    i, j = torch.arange(n)[:, None], torch.arange(n)[None]
    visible = j <= i if window is None else (j <= i) & (j > i - window)
    attention = logits.masked_fill(~visible, -torch.inf).softmax(-1)[:, rows]
    expected = torch.einsum("mr,hrn->mhn", weights.double(), attention)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=1e-5)


@given(seed=seeds, scale=st.floats(1e-3, 1e3))
def test_proximity_ratios_do_not_change_with_the_targets_scale(seed: int, scale: float) -> None:
    """Rescaling the weights rescales s, y and r alike (identity 4)."""
    g = torch.Generator().manual_seed(seed)
    sums, value, weight = torch.rand(2, 9, generator=g), normal(g, 1, 9, 4), normal(g, 2, 7, 4)
    target, residual = normal(g, 7), normal(g, 7)
    projection = _projection(weight)

    def share(factor: float) -> torch.Tensor:
        near = token_proximity(sums * factor, value, projection, target * factor)
        return near / (near.sum() + residual_proximity(residual * factor, target * factor) + 1e-30)

    torch.testing.assert_close(share(scale), share(1.0), rtol=1e-3, atol=1e-5)
