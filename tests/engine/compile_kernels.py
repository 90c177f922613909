"""Compile every kernel for GPUs that need not be there; print what each needs as JSON.

Run apart from the tests, whose process interprets kernels: ``python -m tests.engine.compile_kernels``.
"""

from __future__ import annotations

import json
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from flashtrace_agent.engine.kernels import attention, column_sums, excess, row_attention, tile_of

_POINTERS = {
    "positions": "*i32", "begins": "*i32", "ends": "*i32", "order": "*i32", "dimensions": "*i32",
    "widths": "*i32", "out": "*fp32", "log_sums": "*fp32", "weights": "*fp32", "sums": "*fp32",
    "target": "*fp32", "scaling": "fp32", "softcap": "fp32",
}  # fmt: skip
_DATA = {"q", "k", "value", "weight", "directions"}
_KERNELS = (
    (attention._log_sums_kernel, 1),
    (column_sums._column_sums_kernel, 1),
    (column_sums._column_sums_kernel, column_sums._TARGETS),
    (excess._excess_kernel, 1),
    (row_attention._along_kernel, 1),
)


def _compile(kernel: Any, targets: int, dtype: torch.dtype, head_dim: int, capability: int) -> dict[str, Any]:
    data = {torch.bfloat16: "*bf16", torch.float32: "*fp32"}[dtype]
    side, depth = tile_of(head_dim, dtype)
    constants = {"GROUPS": 4, "HAS_CAP": True, "WIDEN": False, "DEPTH": depth, "TARGETS": targets}
    constants |= dict.fromkeys(("ROWS", "KEYS", "TOKENS", "DIMENSIONS"), side)
    signature = {}
    for name in kernel.arg_names:
        if name in constants:
            signature[name] = "constexpr"
        else:
            signature[name] = data if name in _DATA else _POINTERS.get(name, "i32")
    used = {name: value for name, value in constants.items() if name in kernel.arg_names}
    # As at a launch: pointers are aligned and head sizes even, so that loads are wide and pipelined.
    aligned = {
        (at,): [["tt.divisibility", 16]]
        for at, name in enumerate(kernel.arg_names)
        if signature[name].startswith("*") or name == "head_dim"
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=used, attrs=aligned)
    stages = {"num_stages": row_attention.STAGES} if kernel is row_attention._along_kernel else {}
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=stages)
    return {
        "kernel": kernel.__name__,
        "dtype": str(dtype).removeprefix("torch."),
        "head_dim": head_dim,
        "capability": capability,
        "shared_bytes": compiled.metadata.shared,
        "tensor_cores": "mma" in compiled.asm["ptx"],
    }


if __name__ == "__main__":
    cases = [
        (torch.bfloat16, 64, 80),
        (torch.bfloat16, 128, 80),
        (torch.bfloat16, 128, 90),
        (torch.bfloat16, 256, 90),
        (torch.float32, 128, 80),
    ]
    print(json.dumps([_compile(*kernel, *case) for case in cases for kernel in _KERNELS]))  # noqa: T201
