"""Check that the lengths which rows state are those of what they refer to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Text, select
from sqlalchemy import type_coerce as coerce
from sqlalchemy.orm import Session

from .arrays import unpack_scores
from .check_rows import Problem, Tick, problems_by_row
from .schema import AttributionRow, StepRow


class Lengths:
    """How many tokens the chain up to each link holds; told of all links first."""

    def __init__(self) -> None:
        self._links: dict[str, tuple[str | None, int]] = {}

    def add(self, digest: str, parent: str | None, length: int) -> None:
        """Take in a link."""
        self._links[digest] = (parent, length)

    def up_to(self, digest: str | None) -> int | None:
        """Return the number of tokens up to a link; None where the chain is damaged."""
        total = seen = 0
        while digest is not None:
            seen += 1
            if digest not in self._links or seen > len(self._links):  # a damaged chain may be a circle
                return None
            digest, length = self._links[digest]
            total += length
        return total


def step_problems(session: Session, lengths: Lengths, tick: Tick) -> Iterator[Problem]:
    """Yield steps that state another number of token ids than is stored."""

    def look(row: Any) -> Iterator[Problem]:
        stated = (row.prompt_length or 0) + (row.completion_length or 0)
        found = lengths.up_to(row.tokens_digest)
        if found is not None and found != stated:
            yield Problem("steps", row.id, f"it states {stated} token ids, but {found} are stored")

    columns = (StepRow.id, StepRow.tokens_digest, StepRow.prompt_length, StepRow.completion_length)
    return problems_by_row(session, select(*columns), StepRow.id, look, tick)


def attribution_problems(session: Session, lengths: Lengths, tick: Tick) -> Iterator[Problem]:
    """Yield attributions whose ids, texts, scores and hops differ in length."""

    def look(row: Any) -> Iterator[Problem]:
        expected = lengths.up_to(row.ids_digest)
        arrays = [row.scores]
        start = 0
        for _, size in json.loads(row.hops):
            arrays.append(row.hop_scores[start : start + size])
            start += size
        found = {len(unpack_scores(array)) for array in arrays}
        if start != len(row.hop_scores):
            yield Problem("attributions", row.id, f"its hops take {start} bytes of {len(row.hop_scores)}")
        texts = lengths.up_to(row.texts_digest)
        for what, count in [("scores", each) for each in found] + [("token texts", texts)]:
            if None not in (count, expected) and count != expected:
                yield Problem("attributions", row.id, f"it has {count} {what} for {expected} token ids")

    columns = (
        AttributionRow.id,
        AttributionRow.ids_digest,
        AttributionRow.texts_digest,
        coerce(AttributionRow.hops, Text).label("hops"),
        AttributionRow.scores,
        AttributionRow.hop_scores,
    )
    return problems_by_row(session, select(*columns), AttributionRow.id, look, tick)
