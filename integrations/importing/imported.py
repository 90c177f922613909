"""What importers are given and what they return."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.trace import Trace


class ImportFileError(FlashTraceError):
    """A file cannot be imported."""


@dataclass(slots=True)
class ImportedTrace:
    """A trace with its steps, and attributions by the id of their step."""

    trace: Trace
    attributions: list[tuple[str, Attribution]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that was read.

    Attributes:
        path: where it is.
        values: the JSON objects in it, at least one.
        tokenizer: the transformers tokenizer of its model, or None.
    """

    path: Path
    values: Sequence[Mapping[str, Any]]
    tokenizer: Any = None

    @property
    def changed_at(self) -> datetime:
        """When the file was last changed, UTC; the time of runs that tell none of their own."""
        return datetime.fromtimestamp(self.path.stat().st_mtime, UTC)


def content_key(value: Any) -> str:
    """Return a digest of a JSON value, so that importing the same again replaces the same trace."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
