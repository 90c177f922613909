"""A device that is not the CPU and keeps a GPU's rules about mixing devices, where there is no GPU.

Its tensors hold their numbers in ordinary ones, and every operation on them runs on the CPU after a look at
where its arguments lie: tensors of two devices never meet, except where CUDA lets them (copies, scalars,
indices of a tensor far away). It computes nothing that a GPU would not, and says nothing about speed.

`FAR` is the device, `send` moves a module there, and code that runs on it runs inside `far_device()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

aten = torch.ops.aten
_CROSSING = {aten.copy_.default, aten._to_copy.default}
_INDEXING = {aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default}
_CPU = torch.device("cpu")


class _Backend(_DummyBackendModule):
    """What torch asks of an accelerator's module; `torch.utils.checkpoint` asks for the last two."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float32]

    def is_autocast_enabled(self) -> bool:
        return False


@cache
def _far() -> torch.device:
    _setup_privateuseone_for_python_backend("far", backend_module=_Backend())
    return torch.device("far", 0)


FAR = _far()


class FarTensor(Tensor):
    """A tensor that says it lies on `FAR`; `near` holds its numbers."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor, requires_grad: bool = False) -> Tensor:  # type: ignore[misc]
        if near.device != _CPU:  # accelerate makes a parameter anew by its class, wherever it goes
            return nn.Parameter(near, requires_grad)
        made = Tensor._make_wrapper_subclass(
            cls,
            near.shape,
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=FAR,
            requires_grad=requires_grad,
        )
        made.near = near
        return made

    @classmethod
    def __torch_dispatch__(cls, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operator, args, kwargs or {})


class _Operators(TorchDispatchMode):
    """Sends operations to `_run` that have no far argument but may make one: `torch.zeros(…, device=FAR)`."""

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operator, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """Does what torch does in C++ without asking a mode, and refuses to do for a subclass."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return function(*args, **kwargs).to(device)
        if function is Tensor.tolist and isinstance(args[0], FarTensor):
            return args[0].near.tolist()
        if function in (torch.matmul, Tensor.matmul, Tensor.__matmul__):
            left, right = args
            if left.dim() == 1:  # torch would take the added dimension away in place
                return torch.mm(left[None], right)[0]
            if right.dim() == 1:
                return torch.mm(left, right[:, None])[:, 0]
        return function(*args, **kwargs)


def _run(operator: Any, args: Any, kwargs: Any) -> Any:
    """Run an operation on the CPU; its results are far if an argument is, or if it is asked for there."""
    leaves = tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    far = [tensor for tensor in tensors if isinstance(tensor, FarTensor)]
    device = next((leaf for leaf in leaves if isinstance(leaf, torch.device)), None)
    if far and operator not in _CROSSING:
        _refuse_mixing(operator, args, tensors)
    if far and operator is aten.histc.default:  # transformers counts integers where it may: not on a CPU
        args = (args[0].float(), *args[1:])
    near_args, near_kwargs = tree_map_only(FarTensor, lambda tensor: tensor.near, (args, kwargs))
    near_args, near_kwargs = tree_map_only(torch.device, _nearer, (near_args, near_kwargs))
    result = operator(*near_args, **near_kwargs)
    lands_far = isinstance(args[0], FarTensor) if operator is aten.copy_.default else bool(far)
    if device is not None:
        lands_far = device.type == FAR.type
    if operator is aten._to_copy.default and lands_far != bool(far) and result is near_args[0]:
        result = result.clone()
    if not lands_far:
        return result
    known = {id(tensor.near): tensor for tensor in far}  # an operation in place returns its argument

    def as_far(tensor: Tensor) -> FarTensor:
        return known[id(tensor)] if id(tensor) in known else FarTensor(tensor)

    return tree_map_only(Tensor, as_far, result)


def _nearer(device: torch.device) -> torch.device:
    return _CPU if device.type == FAR.type else device


def _refuse_mixing(operator: Any, args: Any, tensors: list[Tensor]) -> None:
    near = [tensor for tensor in tensors if not isinstance(tensor, FarTensor) and tensor.dim() > 0]
    if operator in _INDEXING and isinstance(args[0], FarTensor):
        indices = [index for index in args[1] if index is not None]
        near = [tensor for tensor in near if all(tensor is not index for index in indices)]
    if near:
        raise RuntimeError(f"{operator} got tensors of two devices, {tuple(near[0].shape)} of them near")


@contextmanager
def far_device() -> Iterator[None]:
    """Make `FAR` usable while the body runs; inference mode, which no subclass outlives, is `no_grad`."""
    with mock.patch.object(torch, "inference_mode", torch.no_grad), _Operators(), _Functions():
        yield


def send(module: nn.Module) -> None:
    """Move a module's parameters and buffers to `FAR`."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(FarTensor(parameter.data))
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = FarTensor(buffer)
