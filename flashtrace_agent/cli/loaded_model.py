"""The one model a command holds while it goes through steps, which may come from several models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .options import Dtype, load_attributor

if TYPE_CHECKING:
    from flashtrace_agent.engine.attributor import Attributor
    from flashtrace_agent.trace import Step


class LoadedModel:
    """Loads a model with the first step that needs it, so that nothing to do costs nothing.

    Args:
        model: the model for every step; None for the one each step was written by.
    """

    def __init__(self, model: str | None, dtype: Dtype = Dtype.AUTO, device: str | None = None) -> None:
        self._model = model
        self._dtype = dtype
        self._device = device
        self._wanted: str | None = None
        self._attributor: Attributor | None = None

    def for_step(self, step: Step) -> Attributor:
        """Return the model for a step; another one makes room for it.

        Raises:
            ModelFileError: if it cannot be loaded.
        """
        wanted = self._model or step.model
        if self._attributor is None or wanted != self._wanted:
            self._attributor = None  # free its memory before the next is loaded
            self._attributor = load_attributor(self._model, step.model, self._dtype, self._device)
            self._wanted = wanted
        return self._attributor
