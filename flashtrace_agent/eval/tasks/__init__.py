"""Tasks with known evidence. To add one: write its class and name it in `TASKS`.

Within a group the harder ones stand first: where a model solves too few of them, the easier ones fill up.
"""

from __future__ import annotations

from ...errors import FlashTraceError
from .base import Puzzle, Task
from .chain import Chain
from .injection import InjectedInstruction
from .needles import MultiKeyNeedle, MultiQueryNeedle, MultiValueNeedle, SingleNeedle
from .reading import ExtractiveAnswer, MultiHopAnswer
from .tools import AnswerFromResult, ToolArgument, ToolFromResult, ToolName
from .variable_tracking import VariableTracking

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (
        MultiValueNeedle,
        MultiQueryNeedle,
        MultiKeyNeedle,
        SingleNeedle,
        VariableTracking,
        ToolName,
        ToolArgument,
        ToolFromResult,
        AnswerFromResult,
        InjectedInstruction,
        MultiHopAnswer,
        ExtractiveAnswer,
        Chain,
    )
}

__all__ = ["TASKS", "Puzzle", "Task", "task_named"]


def task_named(name: str) -> Task:
    """Return a task by name.

    Raises:
        FlashTraceError: if there is none of that name, listing those there are.
    """
    if name not in TASKS:
        raise FlashTraceError(f"There is no task {name!r}; choose one of {', '.join(TASKS)}.")
    return TASKS[name]()
