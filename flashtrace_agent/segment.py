"""Named pieces of a step's token sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .span import Span


@dataclass(frozen=True, slots=True)
class Segment:
    """A named piece of a prompt or completion.

    Attributes:
        name: ``system``, ``tool_schema:NAME``, ``example:k``, ``user``, ``assistant``,
            ``reasoning``, ``tool_call:NAME``, ``tool_result:ID``, ``answer`` or ``template``.
            A name may occur several times (every template token run is ``template``); a
            reader sums them.
        span: the tokens.
        message: index of the input message it belongs to; None for template and tool schemas,
            and -1 for the completion.
    """

    name: str
    span: Span
    message: int | None = None


def check_tiling(segments: Sequence[Segment], n_tokens: int) -> None:
    """Check that segments cover ``[0, n_tokens)`` in order with no gap and no overlap.

    Raises:
        ValueError: naming the first place where they do not.
    """
    position = 0
    for segment in segments:
        if segment.span.start != position or not segment.span:
            raise ValueError(
                f"segment {segment.name!r} covers {segment.span}, but token {position} comes next"
            )
        position = segment.span.end
    if position != n_tokens:
        raise ValueError(f"segments end at token {position} of {n_tokens}")
