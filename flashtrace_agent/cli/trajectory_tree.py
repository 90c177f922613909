"""Draw a trajectory as a tree: what each part of a run owes its words to, and where they end."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from flashtrace_agent.percent import percent
from flashtrace_agent.trace import Trace
from flashtrace_agent.trajectory import Edge, Flow, Node, Trajectory

from .console import arguments_line, one_line

_SMALLEST = 0.005
"""Mass below which a branch is only counted."""
_TEXT_LIMIT = 60


def trajectory_tree(trace: Trace, trajectory: Trajectory) -> Group:
    """Return the tree of a trajectory with its ends below; all percentages are of the target."""
    drawing = _Drawing(trace, trajectory)
    ends = _ranking(drawing, "Whose words", trajectory.ends(), "mass")
    parts: list[Tree | Text] = [drawing.tree(), ends]
    if any(edge.flow == "choice" for edge in trajectory.edges):
        fetched = sum(node.choice for node in trajectory.reasons())
        parts.append(_ranking(drawing, f"Why looked up ({percent(fetched)})", trajectory.reasons(), "choice"))
    notes = dict.fromkeys(f"{drawing.name(node)}: {node.note}" for node in trajectory.nodes if node.note)
    parts += [Text(f"Not followed: {note}.", "yellow") for note in notes]
    if trajectory.fidelity != "exact":
        doubt = f"The token ids are {trajectory.fidelity}, so shares are less certain."
        parts.append(Text(doubt, "yellow"))
    return Group(*parts)


class _Drawing:
    """Draws each node's own branches once, where it is met first."""

    def __init__(self, trace: Trace, trajectory: Trajectory) -> None:
        self._trajectory = trajectory
        self._steps = {step.id: step for step in trace.steps}
        self._numbers = {step.id: number for number, step in enumerate(trace.steps, 1)}
        self._nodes = {node.id: node for node in trajectory.nodes}
        self._drawn: set[tuple[str, Flow]] = set()

    def tree(self) -> Tree:
        """Return the whole tree."""
        target = self._trajectory.nodes[0]
        heading = Text.assemble(
            (one_line(target.label, _TEXT_LIMIT), "bold cyan"),
            f" `{one_line(self._trajectory.text, 80)}`",
            (f"  step {self._numbers.get(self._trajectory.step_id, '?')}", "dim"),
        )
        root = Tree(heading)
        self._branch(root, target, "words")
        return root

    def name(self, node: Node) -> str:
        """Return a node's name: its segment, with its step or the call that fetched it."""
        label = one_line(node.label, _TEXT_LIMIT)
        step = self._steps.get(node.step or "")
        if node.kind == "tool_result" and step is not None:
            return f"tool_result of {one_line(step.name, 40)}"
        if step is not None:
            return f"step {self._numbers[step.id]} {label}"
        return label

    def _branch(self, tree: Tree, node: Node, flow: Flow) -> None:
        if (node.id, flow) in self._drawn:
            return
        self._drawn.add((node.id, flow))
        edges = self._trajectory.into(node.id, flow)
        small = [edge for edge in edges if edge.mass < _SMALLEST]
        for edge in edges:
            if edge not in small:
                self._add(tree, edge)
        if small:
            share = sum(edge.mass for edge in small)
            tree.add(Text(f"{len(small)} smaller  {percent(share)}", "dim"))

    def _add(self, tree: Tree, edge: Edge) -> None:
        source = self._nodes[edge.source]
        line = Text.assemble((self.name(source), "cyan"))
        quoted = source.words or one_line(source.text, _TEXT_LIMIT)
        if quoted:
            line.append(f" “{one_line(quoted, _TEXT_LIMIT)}”")
        line.append(f"  {percent(edge.mass)}", "bold")
        again = (source.id, edge.flow) in self._drawn and self._trajectory.into(source.id, edge.flow)
        if again:
            line.append("  (see above)", "dim")
        branch = tree.add(line)
        self._branch(branch, source, edge.flow)
        if edge.flow == "words" and source.kind == "tool_result":
            self._add_choice(branch, source)

    def _add_choice(self, branch: Tree, result: Node) -> None:
        """Under a result, say which call fetched it and what led to that call."""
        if (result.id, "choice") in self._drawn:
            return
        self._drawn.add((result.id, "choice"))
        for edge in self._trajectory.into(result.id, "choice"):
            call = self._nodes[edge.source]
            line = Text.assemble(("fetched by ", "dim"), (self.name(call), "cyan"))
            ran = self._steps.get(result.step or "")
            if ran is not None and ran.arguments:
                line.append(f" {arguments_line(ran.arguments, _TEXT_LIMIT)}")
            line.append(", led to by", "dim")
            self._branch(branch.add(line), call, "choice")


def _ranking(drawing: _Drawing, title: str, nodes: list[Node], attribute: str) -> Text:
    """Return one line with the largest nodes and what the others add up to."""
    shares = [(drawing.name(node), float(getattr(node, attribute))) for node in nodes]
    shown = [f"{name} {percent(share)}" for name, share in shares if share >= 0.02]
    rest = sum(share for _, share in shares if share < 0.02)
    if rest >= 0.0005:
        shown.append(f"others {percent(rest)}")
    return Text.assemble((f"{title}: ", "bold"), ", ".join(shown))
