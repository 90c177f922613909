"""Everyday words that puzzles are made of."""

from __future__ import annotations

import random

from ...message import Message

ANIMALS = (
    "tiger", "horse", "eagle", "mouse", "sheep", "whale", "snake", "zebra", "goose", "shark",
    "spider", "turtle", "monkey", "dragon",
)  # fmt: skip
FRUITS = (
    "mango", "lemon", "peach", "grape", "melon", "banana", "cherry", "orange", "apple", "plum",
    "pear", "lime", "olive", "tomato", "carrot", "onion",
)  # fmt: skip
PEOPLE = (
    "Anna", "Peter", "Maria", "Thomas", "Julia", "David", "Laura", "Martin", "Helen", "Robert",
    "Emma", "Simon", "Alice", "Frank", "Clara", "Henry",
)  # fmt: skip
CITIES = (
    "Paris", "London", "Berlin", "Madrid", "Rome", "Vienna", "Dublin", "Oslo", "Lisbon", "Athens",
    "Prague", "Warsaw", "Tokyo", "Cairo", "Boston", "Chicago",
)  # fmt: skip
JOBS = (
    "baker", "doctor", "teacher", "lawyer", "farmer", "painter", "driver", "nurse", "singer", "writer",
    "dentist", "pilot",
)  # fmt: skip
ITEMS = (
    "lamp", "chair", "sofa", "desk", "mirror", "rug", "shelf", "clock", "stool", "bench", "vase", "pillow",
)  # fmt: skip
FILLERS = (
    "The grass is green.",
    "The sky is blue.",
    "The sun is warm.",
    "Birds sing in the morning.",
    "The road leads to the river.",
    "Many people like to read.",
    "The train was late again.",
    "It rained for most of the week.",
    "The shop opens at nine.",
    "Children play in the park.",
    "The bridge was built of stone.",
    "A cat slept on the wall.",
    "The soup was too hot.",
    "Nobody had locked the gate.",
    "The window faces the garden.",
    "Music came from the hall.",
)


def number(rng: random.Random) -> str:
    """Return a number of four different digits, so that no digit repeats by chance within it."""
    digits = rng.sample("123456789", 4)
    return "".join(digits)


def numbers(rng: random.Random, count: int) -> list[str]:
    """Return different four-digit numbers."""
    found: list[str] = []
    while len(found) < count:
        if (drawn := number(rng)) not in found:
            found.append(drawn)
    return found


def shuffled(rng: random.Random, *groups: list[str]) -> str:
    """Return the sentences of all groups in random order as one paragraph."""
    sentences = [sentence for group in groups for sentence in group]
    rng.shuffle(sentences)
    return " ".join(sentences)


def shown(question: str, answer: str, reasoning: str | None = None) -> tuple[Message, Message]:
    """Return a worked example: a question and how it is answered."""
    return (
        Message("user", question, example=True),
        Message("assistant", answer, reasoning=reasoning, example=True),
    )
