"""What a task is: a generator of prompts whose answer and evidence are known by construction."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from ...completion import Completion
from ...message import Message, ToolSchema


@dataclass(frozen=True, slots=True)
class Puzzle:
    """One prompt with its right answer.

    Attributes:
        messages: the conversation so far, worked examples included.
        evidence: texts of the prompt that determine the target. Each occurs in it exactly once.
        answer: what a right completion must contain, in this order, in the part `target` names.
        target: what is explained: ``answer`` (the places of `answer` in the model's answer),
            ``tool_name`` or ``argument:NAME`` (all of it).
        tools: the tools on offer.
        max_new_tokens: a right completion is never longer.
    """

    messages: tuple[Message, ...]
    evidence: tuple[str, ...]
    answer: tuple[str, ...]
    target: str = "answer"
    tools: tuple[ToolSchema, ...] = ()
    max_new_tokens: int = 24


class Task(ABC):
    """A kind of puzzle.

    Attributes:
        name: what users write as ``--task``.
        group: kind of task; tasks of one group share a table.
        about: one phrase for tables.
        held_in: True where the improved method was chosen on this task, False where the task only
            confirmed the choice (`docs/faithfulness.md`).
    """

    name: ClassVar[str]
    group: ClassVar[str]
    about: ClassVar[str]
    held_in: ClassVar[bool] = False

    @abstractmethod
    def puzzle(self, rng: random.Random) -> Puzzle:
        """Make one puzzle; the same state of `rng` makes the same one."""

    def is_right(self, puzzle: Puzzle, completion: Completion) -> bool:
        """Tell whether a completion solves the puzzle beyond containing the target."""
        return True
