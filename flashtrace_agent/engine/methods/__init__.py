"""Attribution methods, one file each. To add one: write its file and name its class in `METHODS`."""

from __future__ import annotations

from ...errors import FlashTraceError
from .ablation import Ablation
from .auto import Auto
from .base import Method, MethodResult
from .contrast import Contrast
from .flashtrace import FlashTrace
from .gradient import GradientTimesInput
from .ifr import InformationFlowRoutes
from .ifr_tokenwise import TokenwiseInformationFlowRoutes
from .walk import Walk

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        Auto,
        Walk,
        FlashTrace,
        InformationFlowRoutes,
        TokenwiseInformationFlowRoutes,
        GradientTimesInput,
        Contrast,
        Ablation,
    )
}

__all__ = ["METHODS", "Method", "MethodResult", "method_named"]


def method_named(name: str) -> Method:
    """Return a method by name.

    Raises:
        FlashTraceError: if there is none of that name, listing those there are.
    """
    if name not in METHODS:
        raise FlashTraceError(f"There is no method {name!r}; choose one of {', '.join(METHODS)}.")
    return METHODS[name]()
