"""Needles in filler text, after RULER (Hsieh et al. 2024): single, multi-key, multi-value, multi-query."""

from __future__ import annotations

import random

from ...message import Message
from .base import Puzzle, Task
from .words import ANIMALS, FILLERS, FRUITS, number, shown, shuffled


def _puzzle(rng: random.Random, *, keys: int, asked: int = 1, values: int = 1, fillers: int) -> Puzzle:
    names, words = rng.sample(FRUITS, keys), iter(rng.sample(ANIMALS, keys * values))
    facts = {name: [next(words) for _ in range(values)] for name in names}
    needles = [f"The code for {name} is {word}." for name in names for word in facts[name]]
    text = shuffled(rng, needles, rng.sample(FILLERS, fillers))
    wanted = sorted(names[:asked], key=text.index)
    found = [word for name in wanted for word in sorted(facts[name], key=text.index)]
    if values > 1:
        shot = "The code for water is rabbit. Snow fell at night. The code for water is camel."
        example = shown(f"{shot}\nWhat are the codes for water?", "The codes for water are rabbit and camel.")
        question = f"What are the codes for {wanted[0]}?"
    else:
        shot = "The code for water is rabbit. Snow fell at night. The code for bread is camel."
        replies = ["The code for water is rabbit.", "The code for bread is camel."][2 - asked :]
        asks = "What are the codes for water and bread?" if asked > 1 else "What is the code for bread?"
        example = shown(f"{shot}\n{asks}", " ".join(replies))
        both = f"What are the codes for {' and '.join(wanted)}?"
        question = both if asked > 1 else f"What is the code for {wanted[0]}?"
    evidence = tuple(f"{name} is {word}" for name in wanted for word in facts[name])
    prompt = Message("user", f"{text}\n{question}")
    return Puzzle((*example, prompt), evidence, tuple(found), max_new_tokens=24)


class SingleNeedle(Task):
    """One needle, nothing like it nearby."""

    name = "needle"
    group = "needles"
    about = "one number in filler text"
    held_in = True

    def puzzle(self, rng: random.Random) -> Puzzle:
        """Make one puzzle."""
        name, code = rng.choice(FRUITS), number(rng)
        text = shuffled(rng, [f"The secret code for {name} is {code}."], rng.sample(FILLERS, 12))
        example = shown(
            "The sea is deep. The secret code for water is 5830. Snow fell at night.\n"
            "What is the secret code for water? Reply with the code only.",
            "5830",
        )
        question = f"What is the secret code for {name}? Reply with the code only."
        prompt = Message("user", f"{text}\n{question}")
        return Puzzle((*example, prompt), (f"{name} is {code}",), (code,), max_new_tokens=12)


class MultiKeyNeedle(Task):
    """One needle among others that differ in key and value."""

    name = "needle_multikey"
    group = "needles"
    about = "one word, beside those of two other keys"
    held_in = True

    def puzzle(self, rng: random.Random) -> Puzzle:
        """Make one puzzle."""
        return _puzzle(rng, keys=3, fillers=4)


class MultiValueNeedle(Task):
    """Two needles of one key; both are asked for."""

    name = "needle_multivalue"
    group = "needles"
    about = "both words of one key"

    def puzzle(self, rng: random.Random) -> Puzzle:
        """Make one puzzle."""
        return _puzzle(rng, keys=1, values=2, fillers=5)


class MultiQueryNeedle(Task):
    """Two keys are asked for at once."""

    name = "needle_multiquery"
    group = "needles"
    about = "the words of two keys out of three"

    def puzzle(self, rng: random.Random) -> Puzzle:
        """Make one puzzle."""
        return _puzzle(rng, keys=3, asked=2, fillers=4)
