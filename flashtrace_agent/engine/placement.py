"""Where a model takes its input."""

from __future__ import annotations

from typing import Any

import torch


def input_device(model: Any) -> torch.device:
    """Return the device on which a model expects its token ids."""
    device: torch.device = model.get_input_embeddings().weight.device
    # Offloaded embeddings lie on no device: accelerate moves the ids itself.
    return torch.device("cpu") if device.type == "meta" else device
