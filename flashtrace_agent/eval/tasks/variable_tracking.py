"""Variable tracking with reasoning, after RULER: follow assignments to a number, one line at a time."""

from __future__ import annotations

import random

from ...message import Message
from .base import Puzzle, Task
from .words import number, shown

_NAMES = "ABCDEFGHJKLMNPQRTUVW"
_EXAMPLE = shown(
    "S = 4172\nZ = 9365\nY = Z\nX = S\nWhat is the value of X?",
    "The value of X is 4172.",
    reasoning="X = S. S = 4172. So X = 4172.",
)


class VariableTracking(Task):
    """Two chains of two assignments; one chain's end is asked for."""

    name = "variable_tracking"
    group = "tracking"
    about = "two assignments followed in reasoning, beside another chain"
    held_in = True

    def puzzle(self, rng: random.Random) -> Puzzle:
        """Make one puzzle."""
        names = rng.sample(_NAMES, 4)
        first, second = number(rng), number(rng)
        while second == first:
            second = number(rng)
        heads = [f"{names[0]} = {first}", f"{names[1]} = {second}"]
        tails = [f"{names[2]} = {names[0]}", f"{names[3]} = {names[1]}"]
        evidence = (heads[0], tails[0])
        rng.shuffle(heads)
        rng.shuffle(tails)
        lines = "\n".join(heads + tails)
        return Puzzle(
            messages=(*_EXAMPLE, Message("user", f"{lines}\nWhat is the value of {names[2]}?")),
            evidence=evidence,
            answer=(first,),
            max_new_tokens=64,
        )
