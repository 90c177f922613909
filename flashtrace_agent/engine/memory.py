"""What to do when a device runs out of memory: free what torch holds back, and ask for less."""

from __future__ import annotations

import gc

import torch


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell whether an error means that an allocation failed, on an accelerator or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def release_memory() -> None:
    """Give back what failed work left behind and torch's caches hold."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
