"""Named pieces of a step's token sequence."""

from __future__ import annotations

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
