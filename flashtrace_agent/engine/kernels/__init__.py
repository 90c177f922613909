"""Triton kernels of the hot loops, for GPUs.

The plain torch code beside each use (`column_sums.py`, `proximity.py`, `attention_tiles.py`) says what a
kernel computes and is what its tests compare with, under Triton's interpreter where there is no GPU.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch
from torch import Tensor


def kernels_serve(device: torch.device) -> bool:
    """Tell whether the kernels run on a device: a CUDA one, with Triton there as torch brings it."""
    return device.type == "cuda" and find_spec("triton") is not None


def product_needs_float32(dtype: torch.dtype) -> bool:
    """Tell whether a kernel must widen its factors: Triton's interpreter has no bfloat16 product."""
    return dtype == torch.bfloat16 and os.environ.get("TRITON_INTERPRET") == "1"


def tile_of(head_dim: int, dtype: torch.dtype) -> tuple[int, int]:
    """Return the side of a tile and its depth, the head's size as a power of two.

    Large float32 heads take small tiles, so that a program fits the shared memory of any GPU.
    """
    depth = max(16, 1 << (head_dim - 1).bit_length())
    return (64 if depth * dtype.itemsize <= 256 else 32), depth


def narrowed(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return tensors in the half precision they came from, which tensor cores take, if nothing is lost."""
    for dtype in (torch.bfloat16, torch.float16):
        narrow = tuple(tensor.to(dtype) for tensor in tensors)
        if all(torch.equal(half.float(), tensor) for half, tensor in zip(narrow, tensors, strict=True)):
            return narrow
    return tensors
