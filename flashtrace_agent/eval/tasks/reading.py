"""Questions about a short text: extractive, and over two sentences with reasoning."""

from __future__ import annotations

import random

from ...message import Message
from .base import Puzzle, Task
from .words import CITIES, JOBS, PEOPLE, shown


class ExtractiveAnswer(Task):
    """A fact of one person out of three."""

    name = "extractive_qa"
    group = "reading"
    about = "one person's city or job out of three"
    held_in = True

    def puzzle(self, rng: random.Random) -> Puzzle:
        """Make one puzzle."""
        people, cities, jobs = rng.sample(PEOPLE, 3), rng.sample(CITIES, 3), rng.sample(JOBS, 3)
        facts = [
            f"{person} lives in {city} and works there as a {job}."
            for person, city, job in zip(people, cities, jobs, strict=True)
        ]
        asks_city = rng.random() < 0.5
        who = rng.randrange(3)
        question = f"Where does {people[who]} live?" if asks_city else f"What is the job of {people[who]}?"
        answer = cities[who] if asks_city else jobs[who]
        example = shown(
            "Victor lives in Geneva and works there as a cook. Sofia lives in Milan and works there as a "
            f"tailor.\n{'Where does Sofia live?' if asks_city else 'What is the job of Sofia?'} "
            "Reply with one word.",
            "Milan" if asks_city else "tailor",
        )
        prompt = f"{' '.join(facts)}\n{question} Reply with one word."
        evidence = (f"{people[who]} lives in", f" {answer}{' and' if asks_city else '.'}")
        return Puzzle((*example, Message("user", prompt)), evidence, (answer,), max_new_tokens=8)


class MultiHopAnswer(Task):
    """A colleague's city: two sentences have to be joined."""

    name = "multihop_qa"
    group = "reading"
    about = "two sentences joined in reasoning, beside others"
    held_in = True

    def puzzle(self, rng: random.Random) -> Puzzle:
        """Make one puzzle."""
        people, cities = rng.sample(PEOPLE, 4), rng.sample(CITIES, 2)
        links = [f"The boss of {people[i]} is {people[i + 2]}." for i in range(2)]
        homes = [f"{people[i + 2]} lives in {cities[i]}." for i in range(2)]
        example = shown(
            "The boss of Victor is Sofia. Sofia lives in Milan.\nWhere does the boss of Victor live?",
            "The boss of Victor lives in Milan.",
            reasoning="The boss of Victor is Sofia. Sofia lives in Milan.",
        )
        evidence = (links[0], homes[0])
        rng.shuffle(links)
        rng.shuffle(homes)
        prompt = f"{' '.join(links + homes)}\nWhere does the boss of {people[0]} live?"
        return Puzzle((*example, Message("user", prompt)), evidence, (cities[0],), max_new_tokens=56)
