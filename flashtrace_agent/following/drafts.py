"""A trajectory's nodes and edges while mass is still being added to them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast, get_args

import numpy as np

from flashtrace_agent.segment import Segment
from flashtrace_agent.strongest import strongest_words
from flashtrace_agent.trace import Step
from flashtrace_agent.trajectory import Edge, Flow, Node, NodeKind

from .carrying import Mass

TEXT_LIMIT = 200
"""Characters of a segment's text kept in its node."""


@dataclass(slots=True)
class Draft:
    """A node in the making; see `Node`."""

    id: str
    kind: NodeKind
    label: str
    step: str | None
    end: bool = False
    text: str = ""
    note: str = ""
    mass: dict[Flow, float] = field(default_factory=dict)
    seen: dict[tuple[str, ...], Mass] = field(default_factory=dict)

    def describe(self, pieces: Sequence[str], scores: Mass) -> None:
        """Take in a stretch of the segment with its scores, added to those in other prompts."""
        stretch = tuple(pieces)
        self.seen[stretch] = self.seen[stretch] + scores if stretch in self.seen else np.array(scores)

    def finish(self) -> Node:
        """Return the node."""
        text = self.text or " … ".join("".join(stretch) for stretch in self.seen)
        words = strongest_words((stretch, scores.tolist()) for stretch, scores in self.seen.items())
        named = self.kind != "template"  # which repeats what it says all over the prompt
        return Node(
            id=self.id,
            kind=self.kind,
            label=self.label,
            step=self.step,
            mass=self.mass.get("words", 0.0),
            choice=self.mass.get("choice", 0.0),
            end=self.end,
            text=text[:TEXT_LIMIT] if named else "",
            words=words[:TEXT_LIMIT] if named else "",
            note=self.note,
        )


class Drafts:
    """All nodes and edges of a trajectory in the making."""

    def __init__(self) -> None:
        self._drafts: dict[str, Draft] = {}
        self._edges: dict[tuple[str, str, Flow], float] = {}

    def add(self, draft: Draft, flow: Flow, mass: float) -> Draft:
        """Give mass to a node, new or known by its id, and return it."""
        known = self._drafts.setdefault(draft.id, draft)
        known.mass[flow] = known.mass.get(flow, 0.0) + mass
        return known

    def connect(self, source: str, target: str, flow: Flow, mass: float) -> None:
        """Note that `target` owes mass to `source`."""
        self._edges[source, target, flow] = self._edges.get((source, target, flow), 0.0) + mass

    def describe(self, node: str, pieces: Sequence[str], scores: Mass) -> None:
        """Let a node take in its tokens and their scores."""
        self._drafts[node].describe(pieces, scores)

    def rest(self, node: str, flow: Flow, note: str) -> None:
        """Let mass come to rest at a node that was not followed."""
        draft = self._drafts[node]
        draft.end = draft.end or flow == "words"
        draft.note = draft.note or note

    def nodes(self, order: Sequence[str]) -> tuple[Node, ...]:
        """Return the nodes: the target, what steps wrote by step, latest first, then what they were given."""
        place = {step: index for index, step in enumerate(order)}
        finished = [draft.finish() for draft in self._drafts.values()]

        def rank(node: Node) -> tuple[int, int, float]:
            if node.kind == "target":
                return (0, 0, 0.0)
            if not node.end and node.step in place:
                return (1, -place[node.step], -node.mass)
            return (2, 0, -node.mass - node.choice)

        return tuple(sorted(finished, key=rank))

    def edges(self) -> tuple[Edge, ...]:
        """Return the edges, largest first."""
        found = [Edge(*key[:2], mass, key[2]) for key, mass in self._edges.items()]
        return tuple(sorted(found, key=lambda edge: -edge.mass))


def family(name: str) -> NodeKind:
    """Return the kind of a segment: its name up to the colon."""
    kind = name.partition(":")[0]
    return cast(NodeKind, kind) if kind in get_args(NodeKind) else "answer"


def end_of(step: Step, segment: Segment) -> Draft:
    """Return the node of a prompt's segment that nobody in the run wrote.

    The same message in the prompts of several steps is one node; two that say the same are two.
    """
    name, kind = segment.name, family(segment.name)
    if segment.message is None or kind == "example":
        return Draft(name, kind, name, None, end=True)
    message = step.input[segment.message]
    before = step.input[: segment.message]
    alike = sum(other.role == message.role and other.content == message.content for other in before)
    said = f"{message.role}\0{message.content}\0{alike}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(said, digest_size=6).hexdigest()
    number = 1 + sum(other.role == message.role and not other.example for other in before)
    label = f"{name}#{number}" if number > 1 and kind in ("user", "system") else name
    note = "no earlier step of this trace wrote it" if kind in ("assistant", "reasoning", "tool_call") else ""
    return Draft(f"{name}/{digest}", "assistant" if note else kind, label, None, end=True, note=note)
