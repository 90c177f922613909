"""Variable tracking in a language of its own, for the small model trained on it.

``benchmarks/train_chain_model.py`` trains a Qwen3-architecture model on these prompts until it solves
them, so that the true chain from answer through reasoning to prompt is known by construction.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from ...completion import Completion
from ...message import Message
from .base import Puzzle, Task

NAMES = tuple(f"{letter}{digit}" for letter in "abcdef" for digit in range(4))
NUMBERS = tuple(str(value) for value in range(10, 34))
WORDS = (*NAMES, *NUMBERS, "set", ".", "value", "of", "?")
CHAINS = 3
LENGTH = 4


@dataclass(frozen=True, slots=True)
class Chains:
    """Assignments of several chains, in the order they are written.

    Attributes:
        statements: (name, what it is set to).
        chain: names of the chain asked for, the asked one first, then its number.
    """

    statements: tuple[tuple[str, str], ...]
    chain: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """The user's message."""
        body = "".join(f" set {name} {value} ." for name, value in self.statements)
        return f"{body} value of {self.chain[0]} ?"

    @property
    def reasoning(self) -> str:
        """Every step of the chain, from the asked name to its number."""
        pairs = zip(self.chain, self.chain[1:], strict=False)
        return "".join(f" {name} {value} ." for name, value in pairs)

    def about(self, name: str) -> Chains:
        """Ask for another name of the same statements."""
        values = dict(self.statements)
        chain = [name]
        while chain[-1] in values:
            chain.append(values[chain[-1]])
        return Chains(self.statements, tuple(chain))


def draw_chains(rng: random.Random, chains: int = CHAINS, length: int = LENGTH) -> Chains:
    """Draw chains of assignments in random order; a name is always set before it is used."""
    names = rng.sample(NAMES, chains * length)
    values = rng.sample(NUMBERS, chains)
    queues = []
    for index in range(chains):
        own = names[index * length : (index + 1) * length]
        queues.append(list(zip(own, [values[index], *own[:-1]], strict=True)))
    ends = [queue[-1][0] for queue in queues]
    statements = []
    while queues:
        queue = rng.choice(queues)
        statements.append(queue.pop(0))
        queues = [left for left in queues if left]
    return Chains(tuple(statements), ()).about(rng.choice(ends))


class Chain(Task):
    """Three chains of four assignments; one chain's end is asked for, and reasoned out."""

    name = "chain"
    group = "chain"
    about = "four assignments followed in reasoning, beside two other chains (trained model)"
    held_in = True

    def puzzle(self, rng: random.Random) -> Puzzle:
        """Make one puzzle."""
        drawn = draw_chains(rng)
        pairs = zip(drawn.chain, drawn.chain[1:], strict=False)
        return Puzzle(
            messages=(Message("user", drawn.prompt),),
            evidence=tuple(f" {name} {value}" for name, value in pairs),
            answer=(drawn.chain[-1],),
            max_new_tokens=4 * LENGTH + 8,
        )

    def is_right(self, puzzle: Puzzle, completion: Completion) -> bool:
        """Ask for the exact chain in the reasoning, so that it is the true one."""
        steps = [f"{text.strip()} ." for text in puzzle.evidence]
        return (completion.reasoning or "").split() == " ".join(steps).split()
