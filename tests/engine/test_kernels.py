"""The Triton kernels against the plain torch they replace: on a GPU, or under Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytest.importorskip("triton", reason="Triton is not installed")

from flashtrace_agent.engine import column_sums, kernels, proximity, row_shares  # noqa: E402
from flashtrace_agent.engine.attention_tiles import attention_tiles  # noqa: E402
from flashtrace_agent.engine.attributor import Attributor  # noqa: E402
from flashtrace_agent.engine.kernels import column_sums as sum_kernels  # noqa: E402
from flashtrace_agent.engine.kernels.attention import KernelRows  # noqa: E402
from flashtrace_agent.engine.kernels.excess import sorted_excess  # noqa: E402
from flashtrace_agent.engine.kernels.row_attention import KernelTile  # noqa: E402
from flashtrace_agent.engine.layers import LayerCapture  # noqa: E402
from flashtrace_agent.engine.projection import Projection  # noqa: E402

from . import oracle  # noqa: E402
from .test_against_oracle import ANSWER, REASONING, N, assert_totals_agree, token_ids  # noqa: E402
from .test_walk import expected_scores, mask  # noqa: E402
from .tiny_models import CONFIGS, tiny_model  # noqa: E402
from .tiny_tokenizer import tiny_tokenizer  # noqa: E402

VIEWS = [(None, None), (37, None), (None, 3.0), (5, 2.0)]


def _layer(
    seed: int, n: int, kv_heads: int, groups: int, head_dim: int, dtype: torch.dtype
) -> tuple[LayerCapture, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    rows = torch.nonzero(torch.rand(n, generator=g) < 0.4).flatten()
    rows = rows if len(rows) else torch.tensor([n - 1])

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g).to(DEVICE, dtype)

    layer = LayerCapture(
        query=normal(kv_heads * groups, len(rows), head_dim),
        key=normal(kv_heads, n, head_dim),
        value=normal(kv_heads, n, head_dim),
        state=normal(len(rows), 8),
        row_scale=None,
        scaling=head_dim**-0.5,
        window=None,
        softcap=None,
    )
    return layer, rows.to(DEVICE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("window", "softcap"), VIEWS)
@pytest.mark.parametrize(
    ("n", "kv_heads", "groups", "head_dim", "targets"),
    [(150, 2, 2, 24, 3), (65, 1, 3, 64, 17), (150, 2, 2, 24, 1)],
)
def test_column_sums(
    dtype: torch.dtype, window: int | None, softcap: float | None,
    n: int, kv_heads: int, groups: int, head_dim: int, targets: int,
) -> None:  # fmt: skip
    """Grouped queries, odd head sizes, one target, more than a tile holds, rows with gaps."""
    layer, rows = _layer(n, n, kv_heads, groups, head_dim, dtype)
    layer.window, layer.softcap = window, softcap
    weights = torch.rand(targets, len(rows), generator=torch.Generator().manual_seed(1)).to(DEVICE)
    ours = sum_kernels.column_sums(KernelRows.of(layer, rows, torch.arange(len(rows))), weights)
    expected = column_sums._tiled_column_sums(layer, layer.query, rows, weights)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5 * float(expected.max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("window", "softcap"), VIEWS)
@pytest.mark.parametrize(("n", "kv_heads", "groups", "head_dim"), [(150, 2, 2, 24), (65, 1, 3, 64)])
def test_row_attention(
    dtype: torch.dtype, window: int | None, softcap: float | None,
    n: int, kv_heads: int, groups: int, head_dim: int,
) -> None:  # fmt: skip
    """How far tokens pull every other captured row."""
    layer, rows = _layer(n, n, kv_heads, groups, head_dim, dtype)
    layer.window, layer.softcap = window, softcap
    used = torch.arange(0, len(rows), 2)
    g = torch.Generator().manual_seed(2)
    directions = torch.randn(len(used), kv_heads * groups, head_dim, generator=g).to(DEVICE, dtype)
    ours = KernelTile(KernelRows.of(layer, rows, used))
    along = ours.along(directions, layer.value)
    for tile in attention_tiles(layer, layer.query[:, used], rows[used]):
        inside = slice(tile.start, tile.stop)
        expected = torch.zeros(tile.stop - tile.start, n, device=DEVICE)
        expected[:, tile.low : tile.high] = tile.along(directions[inside].float(), layer.value.float())
        torch.testing.assert_close(
            along[inside], expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("n", "kv_heads", "groups", "head_dim", "d"), [(150, 2, 2, 24, 100), (63, 1, 3, 64, 65)]
)
def test_proximity(
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    n: int,
    kv_heads: int,
    groups: int,
    head_dim: int,
    d: int,
) -> None:
    """With sums over many orders of magnitude, and dimensions where the target is zero."""
    g = torch.Generator().manual_seed(d)
    heads = kv_heads * groups
    sums = torch.rand(heads, n, generator=g) * 10.0 ** torch.randint(-5, 2, (heads, n), generator=g)
    value = torch.randn(kv_heads, n, head_dim, generator=g).to(dtype).float()
    weight = torch.randn(heads, d, head_dim, generator=g).to(dtype).float()
    target = torch.randn(d, generator=g) * 10.0 ** torch.randint(-2, 3, (d,), generator=g)
    target[::7] = 0.0
    sums, value, weight, target = (tensor.to(DEVICE) for tensor in (sums, value, weight, target))
    projection = Projection(weight, weight.norm(dim=-1), torch.zeros(d, device=DEVICE), None, dtype)
    monkeypatch.setattr(proximity, "kernels_serve", lambda device: False)
    expected = proximity.token_proximity(sums, value, projection, target)
    calls: list[int] = []

    def counted(*inner: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return sorted_excess(*inner)

    monkeypatch.setattr("flashtrace_agent.engine.kernels.excess.sorted_excess", counted)
    monkeypatch.setattr(proximity, "kernels_serve", lambda device: True)
    ours = proximity.token_proximity(sums, value, projection, target)
    assert calls
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=2e-5 * float(expected.max()))


@pytest.mark.parametrize("name", CONFIGS)
def test_whole_hops_through_the_kernels_agree_with_the_oracle(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every architecture, both hops, in float32."""
    monkeypatch.setattr(column_sums, "kernels_serve", lambda device: True)
    monkeypatch.setattr(proximity, "kernels_serve", lambda device: True)
    model, ids = tiny_model(name), token_ids()
    result = Attributor(model.to(DEVICE), None).attribute(ids, ANSWER, REASONING, method="flashtrace")
    layers = oracle.observe(model.cpu(), ids)
    weights = torch.zeros(N, dtype=torch.float64)
    weights[ANSWER.start : ANSWER.end] = 1.0
    for computed in result.hops:
        totals = oracle.hop_totals(layers, weights)
        assert_totals_agree(computed.scores, totals)
        weights = torch.zeros(N, dtype=torch.float64)
        weights[REASONING.start : REASONING.end] = totals[REASONING.start : REASONING.end]


@pytest.mark.parametrize("name", CONFIGS)
def test_walks_through_the_kernels_agree_with_the_oracle(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every architecture, in float32."""
    monkeypatch.setattr(row_shares, "kernels_serve", lambda device: True)
    model, ids = tiny_model(name), token_ids()
    attributor = Attributor(model.to(DEVICE), tiny_tokenizer())
    result = attributor.attribute(ids, ANSWER, REASONING, method="walk")
    expected = expected_scores(model.cpu(), ids, mask(ANSWER).double(), mask(REASONING))
    assert_totals_agree(result.scores, expected)


def test_kernels_are_launched_where_their_arguments_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton takes the current GPU, which holds nothing of a layer that lies on another one."""
    entered: list[torch.Tensor] = []

    def device_of(tensor: torch.Tensor) -> AbstractContextManager[None]:
        entered.append(tensor)
        return nullcontext()

    class Kernel:
        def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
            return lambda first, *_: launched.append((grid, entered[-1] is first))

    launched: list[tuple[tuple[int, ...], bool]] = []
    monkeypatch.setattr(torch.cuda, "device_of", device_of)
    kernels.launch(Kernel(), (3, 2), torch.zeros(1), torch.zeros(2))
    assert launched == [((3, 2), True)]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Failed to find C compiler."),
        subprocess.CalledProcessError(1, ["gcc", "driver.c"]),
        PermissionError("the cache folder is read-only"),
    ],
)
def test_a_gpu_whose_kernels_cannot_be_launched_is_served_by_torch(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Driver:
        @property
        def active(self) -> None:
            raise error

    monkeypatch.setattr("triton.runtime.driver", Driver())
    kernels.launcher_trouble.cache_clear()
    try:
        assert not any(kernels.kernels_serve(torch.device("cuda", index)) for index in (0, 1))
    finally:
        kernels.launcher_trouble.cache_clear()
    (record,) = caplog.records
    assert str(error) in record.getMessage()
    assert "C compiler" in record.getMessage()


@pytest.mark.slow
def test_kernels_compile_for_gpus_that_are_not_here() -> None:
    """Half precision reaches the tensor cores, and tiles fit the shared memory of 8.6 (99 KB) and 9.0."""
    outcome = subprocess.run(
        [sys.executable, "-m", "tests.engine.compile_kernels"],
        cwd=Path(__file__).parents[2],
        env={name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"},
        capture_output=True,
        text=True,
        check=True,
    )
    compiled = json.loads(outcome.stdout)
    assert {entry["kernel"] for entry in compiled} == {
        "_log_sums_kernel",
        "_column_sums_kernel",
        "_excess_kernel",
        "_along_kernel",
    }
    for entry in compiled:
        assert entry["tensor_cores"] == (entry["dtype"] == "bfloat16"), entry
        assert entry["shared_bytes"] <= {80: 99, 90: 227}[entry["capability"]] * 1024, entry
