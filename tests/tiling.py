"""What must hold of every step's segments."""

from __future__ import annotations

from collections.abc import Sequence

from flashtrace_agent.segment import Segment


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
