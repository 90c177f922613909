"""Triton kernels of the hot loops, for GPUs.

The plain torch code beside each use (`column_sums.py`, `proximity.py`, `attention_tiles.py`) says what a
kernel computes and is what its tests compare with, under Triton's interpreter where there is no GPU.
"""

from __future__ import annotations

import logging
import os
from functools import cache
from importlib.util import find_spec
from subprocess import CalledProcessError
from typing import Any

import torch
from torch import Tensor

_log = logging.getLogger(__name__)


def kernels_serve(device: torch.device) -> bool:
    """Tell whether the kernels run on a device: a CUDA one, where Triton can launch them."""
    if device.type != "cuda":
        return False
    trouble = launcher_trouble()
    if trouble:
        _warn_once(trouble)
    return trouble is None


@cache
def launcher_trouble() -> str | None:
    """Return why Triton cannot launch kernels on this machine, or None.

    It builds its launcher with a C compiler and Python's headers, which many containers lack.
    """
    if find_spec("triton") is None:
        return "Triton is not installed"
    from triton.runtime import driver

    try:
        driver.active.utils  # noqa: B018 - builds it
    except (RuntimeError, OSError, ImportError, CalledProcessError) as error:
        return str(error)
    return None


@cache
def _warn_once(trouble: str) -> None:
    _log.warning(
        "The GPU kernels cannot be launched, and slower torch code takes their place (%s). "
        "They need Triton, a C compiler and Python's headers (gcc and python3-dev).",
        trouble,
    )


def launch(kernel: Any, grid: tuple[int, ...], first: Tensor, *arguments: Any, **options: Any) -> None:
    """Launch a kernel on the GPU that holds its first argument: Triton would take the current one."""
    with torch.cuda.device_of(first):
        kernel[grid](first, *arguments, **options)


def product_needs_float32(dtype: torch.dtype) -> bool:
    """Tell whether a kernel must widen its factors: Triton's interpreter has no bfloat16 product."""
    return dtype == torch.bfloat16 and os.environ.get("TRITON_INTERPRET") == "1"


def tile_of(head_dim: int, dtype: torch.dtype) -> tuple[int, int]:
    """Return the side of a tile and its depth, the head's size as a power of two.

    Large float32 heads take small tiles, so that a program fits the shared memory of any GPU.
    """
    depth = max(16, 1 << (head_dim - 1).bit_length())
    return (64 if depth * dtype.itemsize <= 256 else 32), depth
