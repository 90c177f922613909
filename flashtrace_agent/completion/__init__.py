"""What a model wrote, taken apart: reasoning, answer and tool calls with character ranges."""

from .parse import opens_reasoning, parse_completion
from .pieces import Completion, InvalidCall, ParsedArgument, ParsedCall

__all__ = [
    "Completion",
    "InvalidCall",
    "ParsedArgument",
    "ParsedCall",
    "opens_reasoning",
    "parse_completion",
]
