"""The result of attributing one target: a score for every source token, and how it came about."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .check import Check
from .segment import Segment
from .span import Span

if TYPE_CHECKING:
    from .engine.attributor import Attributor

Scores = npt.NDArray[np.float32]


class TokenScore(NamedTuple):
    """One source token with its final score."""

    position: int
    text: str
    score: float


class SegmentShare(NamedTuple):
    """One segment name with the share of the final score its tokens hold together."""

    name: str
    share: float


@dataclass(frozen=True, slots=True)
class Hop:
    """One backward pass of the recursion.

    Attributes:
        scores: float32 (n_tokens,), raw token totals summed over layers, before any masking.
        remaining_mass: share of the target's influence still standing on the reasoning after
            this hop, the product of ρ up to and including it; in [0, 1].
    """

    scores: Scores
    remaining_mass: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {"scores": _plain(self.scores), "remaining_mass": self.remaining_mass}


@dataclass(frozen=True, slots=True)
class Attribution:
    """Scores of every source token for one target.

    Attributes:
        input_ids: int32 (n_tokens,), prompt + completion.
        tokens: text of each token (n_tokens,); pieces of one character may be ``\\ufffd``.
        target: the attributed spans.
        through: the reasoning spans the recursion passed through; empty for none.
        scores: float32 (n_tokens,), the final score; sums to 1 over the sources, 0 elsewhere.
        hops: the passes that led there, hop 0 first.
        method: registered name of the method.
        model: name or path of the model.
        target_name: ``tool_name``, ``argument:NAME``, ``answer``, ``reasoning`` or ``START:END``.
        fidelity: how the token ids are known, see `flashtrace_agent.trace.Fidelity`.
        segments: named pieces that tile the sequence; empty where not known.
        settings: what else determined the numbers (hops asked for, dtype, library versions).
        checked: what `check` found, if it was asked.
    """

    input_ids: npt.NDArray[np.int32]
    tokens: tuple[str, ...]
    target: tuple[Span, ...]
    through: tuple[Span, ...]
    scores: Scores
    hops: tuple[Hop, ...]
    method: str
    model: str = ""
    target_name: str = ""
    fidelity: str = "exact"
    segments: tuple[Segment, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    checked: Check | None = None

    @property
    def n_tokens(self) -> int:
        """Length of the sequence, prompt + completion."""
        return len(self.input_ids)

    @property
    def target_text(self) -> str:
        """The attributed tokens as text, spans joined by an ellipsis."""
        return " … ".join("".join(self.tokens[span.start : span.end]) for span in self.target)

    @property
    def asked_hops(self) -> int:
        """The hops asked for, or as many as followed hop 0 where that is not recorded."""
        asked = self.settings.get("hops")
        return asked if isinstance(asked, int) else max(len(self.hops) - 1, 0)

    def top(self, k: int = 10) -> list[TokenScore]:
        """Return the `k` source tokens with the highest scores, highest first."""
        order = np.argsort(-self.scores, kind="stable")[: max(k, 0)]
        scored = (TokenScore(int(i), self.tokens[i], float(self.scores[i])) for i in order)
        return [token for token in scored if token.score > 0]

    def by_segment(self, segments: Iterable[Segment] | None = None) -> list[SegmentShare]:
        """Return each segment name's share of the final score, largest first.

        Segments of one name are summed. Without an argument the attribution's own are used.
        """
        shares: dict[str, float] = {}
        for segment in self.segments if segments is None else segments:
            mass = float(self.scores[segment.span.start : segment.span.end].sum(dtype=np.float64))
            shares[segment.name] = shares.get(segment.name, 0.0) + mass
        ranked = sorted(shares.items(), key=lambda item: -item[1])
        return [SegmentShare(name, share) for name, share in ranked]

    def check(
        self, attributor: Attributor, *, unit: Literal["tokens", "segments"] = "tokens", draws: int = 16
    ) -> Attribution:
        """Return a copy whose `checked` says whether the top tokens (or segment) matter to the model.

        They are removed, then as many random others, `draws` times, and the target's log-probability is
        read each time. See `flashtrace_agent.engine.checking.run_check`.

        Args:
            attributor: holds the model that wrote the text.

        Raises:
            SequenceError: if too little stands before the target to compare with.
        """
        from .engine.checking import run_check

        return replace(self, checked=run_check(attributor, self, unit=unit, draws=draws))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; `from_dict` undoes it."""
        return {
            "method": self.method,
            "model": self.model,
            "target_name": self.target_name,
            "target": [[span.start, span.end] for span in self.target],
            "through": [[span.start, span.end] for span in self.through],
            "fidelity": self.fidelity,
            "input_ids": [int(token) for token in self.input_ids],
            "tokens": list(self.tokens),
            "scores": _plain(self.scores),
            "hops": [hop.to_dict() for hop in self.hops],
            "segments": [
                {
                    "name": segment.name,
                    "start": segment.span.start,
                    "end": segment.span.end,
                    "message": segment.message,
                }
                for segment in self.segments
            ],
            "settings": dict(self.settings),
            "check": self.checked.to_dict() if self.checked else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Attribution:
        """Undo `to_dict`."""
        return cls(
            input_ids=np.asarray(data["input_ids"], dtype=np.int32),
            tokens=tuple(data["tokens"]),
            target=_spans(data["target"]),
            through=_spans(data["through"]),
            scores=np.asarray(data["scores"], dtype=np.float32),
            hops=tuple(
                Hop(np.asarray(hop["scores"], dtype=np.float32), hop["remaining_mass"])
                for hop in data["hops"]
            ),
            method=data["method"],
            model=data["model"],
            target_name=data["target_name"],
            fidelity=data["fidelity"],
            segments=tuple(
                Segment(item["name"], Span(item["start"], item["end"]), item["message"])
                for item in data["segments"]
            ),
            settings=data["settings"],
            checked=Check.from_dict(data["check"]) if data.get("check") else None,
        )

    def to_json(self, path: str | Path) -> None:
        """Write `to_dict` to a file as UTF-8 JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), ensure_ascii=False), encoding="utf-8")

    def to_html(self, path: str | Path) -> None:
        """Write a standalone page with the token heat map and the ranking of segments."""
        from .html import render_html

        Path(path).write_text(render_html([self]), encoding="utf-8")


def _plain(scores: Scores) -> list[float]:
    return [float(score) for score in scores]


def _spans(pairs: Sequence[Sequence[int]]) -> tuple[Span, ...]:
    return tuple(Span(start, end) for start, end in pairs)
