"""Traces from files that other programs wrote, one module for each format.

A format is two functions: ``recognises(record)`` tells by the first JSON value of a file whether
the file is in that format, and ``read(file)`` returns the traces in it. A new format is a new
module and a line in `FORMATS`. What `flashtrace-agent export` wrote is read by the store itself.

A file is read as a whole before anything is written, so that one that is damaged leaves no half
of it behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import agentdojo, langfuse, phoenix, reference_trace
from .imported import ImportedTrace, ImportFileError, SourceFile
from .json_file import read_values

__all__ = ["FORMATS", "Format", "ImportFileError", "ImportedTrace", "read_file"]


@dataclass(frozen=True, slots=True)
class Format:
    """One format."""

    name: str
    recognises: Callable[[Mapping[str, Any]], bool]
    read: Callable[[SourceFile], list[ImportedTrace]]


FORMATS: tuple[Format, ...] = (
    Format("AgentDojo run", agentdojo.recognises, agentdojo.read),
    Format("flashtrace trace.json", reference_trace.recognises, reference_trace.read),
    Format("Phoenix spans", phoenix.recognises, phoenix.read),
    Format("Langfuse observations", langfuse.recognises, langfuse.read),
)


def read_file(path: Path, tokenizer: Any = None) -> tuple[str, list[ImportedTrace]]:
    """Return the format of a file, and the traces in it.

    Args:
        path: JSON or JSON Lines, gzipped or not.
        tokenizer: the transformers tokenizer of the model that the file is about, where it is at
            hand: some formats hold ids without texts, or the other way round.

    Raises:
        ImportFileError: if the file cannot be read, is in no known format, or is damaged.
    """
    values = read_values(path)
    chosen = next((form for form in FORMATS if form.recognises(values[0])), None)
    if chosen is None:
        known = ", ".join(form.name for form in FORMATS)
        raise ImportFileError(
            f"{path} is in no format that can be imported: give a file from `export`, or one of {known}."
        )
    try:
        found = chosen.read(SourceFile(path, values, tokenizer))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise ImportFileError(
            f"{path} looks like {chosen.name} but is damaged ({error!r}): export it again."
        ) from error
    if not found:
        raise ImportFileError(f"{path} ({chosen.name}) holds no model call: export the agent's runs.")
    return chosen.name, found
