"""The tree of a trace's spans; parents may be missing, and may even form a circle."""

from __future__ import annotations

from collections.abc import Iterable

from .record import SpanRecord

_MAX_DEPTH = 1000
"""Ancestors looked at; deeper trees are no agent's."""


class SpanTree:
    """Spans by their identity, and who is above whom.

    Args:
        spans: of one trace, or of several that belong together; later duplicates are left out.
    """

    def __init__(self, spans: Iterable[SpanRecord]) -> None:
        self._spans: dict[str, SpanRecord] = {}
        for span in spans:
            self._spans.setdefault(span.key, span)
        self._ancestors: dict[str, tuple[str, ...]] = {}

    @property
    def spans(self) -> list[SpanRecord]:
        """All spans, in order of their start."""
        return sorted(self._spans.values(), key=lambda span: (span.start, span.key))

    def ancestors(self, span: SpanRecord) -> list[SpanRecord]:
        """Return the known spans above one, the nearest first."""
        found: list[SpanRecord] = []
        seen = {span.key}
        parent = self._parent(span)
        while parent is not None and parent.key not in seen and len(found) < _MAX_DEPTH:
            found.append(parent)
            seen.add(parent.key)
            parent = self._parent(parent)
        return found

    def path(self, span: SpanRecord) -> tuple[str, ...]:
        """Return the keys from the top down to the span."""
        if span.key not in self._ancestors:
            above = [ancestor.key for ancestor in reversed(self.ancestors(span))]
            self._ancestors[span.key] = (*above, span.key)
        return self._ancestors[span.key]

    @property
    def root(self) -> SpanRecord | None:
        """The span without a parent, the first of several; None where it has not come."""
        return next((span for span in self.spans if span.parent_id is None), None)

    @property
    def top(self) -> SpanRecord | None:
        """The root, or the one span whose parent is in a process that does not report here."""
        if self.root is not None:
            return self.root
        tops = [span for span in self.spans if self._parent(span) is None]
        return tops[0] if len(tops) == 1 and tops[0].remote_parent else None

    def _parent(self, span: SpanRecord) -> SpanRecord | None:
        return self._spans.get(f"{span.trace_id}/{span.parent_id}")
