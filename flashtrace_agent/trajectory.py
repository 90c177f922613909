"""Where a target came from across all steps of a run: a graph of segments whose masses add up to 1.

A target (the final answer, an argument of a call) has mass 1. Attribution hands it to the segments
of its step's prompt. What an earlier step of the run wrote hands its mass on, in the prompt of that
step. Mass comes to rest on the **ends**: what nobody in the run wrote (system prompt, tool schemas,
examples, user, tool results, the template's own tokens), and what could not be followed further,
with a note that says why. The ends' masses add up to 1.

A tool result is an end, because nobody in the run wrote its words: an answer that obeys an
instruction hidden in a web page came from that page, however it was asked for. Why the page was
fetched is another question with another answer, so it is a second flow, `choice`: as much mass as
came to rest on a result starts anew at the call that fetched it, and goes back the same way; only
that it passes through results on to *their* calls, so that it ends at what set the run going.

So each node has two masses, each edge belongs to one flow, and at every node as much flows in as
flows out. Read `mass` for "whose words are these", `choice` for "why were they looked up".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Flow = Literal["words", "choice"]
NodeKind = Literal[
    "target",
    "reasoning",
    "tool_call",
    "answer",
    "tool_result",
    "system",
    "user",
    "assistant",
    "tool_schema",
    "example",
    "template",
]


@dataclass(frozen=True, slots=True)
class Node:
    """A segment of the run: the target, what a step wrote, or what it was given.

    Attributes:
        id: unique in its trajectory.
        kind: what it is; ``assistant`` is a message in the agent's name that no step wrote.
        label: its segment's name, as in ``tool_schema:get_price``; for the target, the target's.
        step: the step that wrote it, or the tool step that returned it; None where there is none.
        mass: share of the target that came to its words, in [0, 1].
        choice: share of the target that rests on tool results which were fetched because of it.
        end: True where words come to rest.
        text: the segment's first characters.
        words: its strongest words, in reading order; empty where not known.
        note: why mass ends here although a step may have written it; else empty.
    """

    id: str
    kind: NodeKind
    label: str
    step: str | None
    mass: float
    choice: float
    end: bool
    text: str = ""
    words: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """Mass that a node owes to another.

    Attributes:
        source: id of the node it comes from, the cause.
        target: id of the node that owes it, the effect.
        mass: share of the trajectory's target, in (0, 1].
        flow: ``words``, or ``choice`` (see the module's text).
    """

    source: str
    target: str
    mass: float
    flow: Flow


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One target traced back through a whole run.

    Attributes:
        trace_id: the run.
        step_id: the model step that wrote the target.
        target_name: as in `Attribution.target_name`.
        text: the target's words.
        nodes: the target first, then by step, latest first, then the ends by mass.
        edges: by mass, largest first.
        steps: ids of the model steps that were attributed, latest first.
        method: the attribution method.
        hops: how often influence on a step's own words was passed on in it.
        model: the model that was attributed.
        fidelity: the weakest of the attributed steps'.
    """

    trace_id: str
    step_id: str
    target_name: str
    text: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    steps: tuple[str, ...] = ()
    method: str = ""
    hops: int = 1
    model: str = ""
    fidelity: str = "exact"

    def node(self, node_id: str) -> Node:
        """Return a node by its id.

        Raises:
            KeyError: if there is none.
        """
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)

    def ends(self) -> list[Node]:
        """Return where words come to rest, largest mass first; the masses add up to 1."""
        return sorted(
            (node for node in self.nodes if node.end and node.mass > 0), key=lambda node: -node.mass
        )

    def reasons(self) -> list[Node]:
        """Return what choices came from, largest first: ends of the flow `choice`.

        Their choices add up to the mass on tool results that a call of the run fetched.
        """
        led = {edge.target for edge in self.edges if edge.flow == "choice"}
        found = (node for node in self.nodes if node.choice > 0 and node.id not in led)
        return sorted(found, key=lambda node: -node.choice)

    def into(self, node_id: str, flow: Flow | None = None) -> list[Edge]:
        """Return what a node owes its mass to, largest first, in one flow or in both."""
        found = (e for e in self.edges if e.target == node_id and flow in (None, e.flow))
        return sorted(found, key=lambda edge: -edge.mass)

    def imbalance(self) -> float:
        """Return by how much mass is lost or made anywhere: 0 but for rounding."""
        gaps = [abs(sum(node.mass for node in self.nodes if node.end) - 1.0)]
        given: dict[tuple[str, Flow], float] = {}
        owed: dict[tuple[str, Flow], float] = {}
        for edge in self.edges:
            given[edge.source, edge.flow] = given.get((edge.source, edge.flow), 0.0) + edge.mass
            owed[edge.target, edge.flow] = owed.get((edge.target, edge.flow), 0.0) + edge.mass
        for node in self.nodes:
            if node.kind != "target":
                gaps.append(abs(given.get((node.id, "words"), 0.0) - node.mass))
                gaps.append(abs(given.get((node.id, "choice"), 0.0) - node.choice))
            if not node.end:
                gaps.append(abs(owed.get((node.id, "words"), 0.0) - node.mass))
            if (node.id, "choice") in owed:
                # A result's own mass starts the flow that led to its call.
                expected = node.choice + (node.mass if node.kind == "tool_result" else 0.0)
                gaps.append(abs(owed[node.id, "choice"] - expected))
        return max(gaps)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; `from_dict` undoes it. Node and edge keys are their attributes."""
        return {
            "trace": self.trace_id,
            "step": self.step_id,
            "target": self.target_name,
            "text": self.text,
            "method": self.method,
            "hops": self.hops,
            "model": self.model,
            "fidelity": self.fidelity,
            "steps": list(self.steps),
            "nodes": [asdict(node) for node in self.nodes],
            "edges": [asdict(edge) for edge in self.edges],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trajectory:
        """Undo `to_dict`."""
        return cls(
            trace_id=data["trace"],
            step_id=data["step"],
            target_name=data["target"],
            text=data["text"],
            nodes=tuple(Node(**node) for node in data["nodes"]),
            edges=tuple(Edge(**edge) for edge in data["edges"]),
            steps=tuple(data["steps"]),
            method=data["method"],
            hops=data["hops"],
            model=data["model"],
            fidelity=data["fidelity"],
        )
