"""Say in a line where a target came from: ``tool_name `sofas` ← user "sofas" 38 %, example:2 21 %``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flashtrace_agent.percent import percent
from flashtrace_agent.strongest import strongest_words

from .console import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from flashtrace_agent.attribution import Attribution
    from flashtrace_agent.trace import Step

_SHOWN = 3


def print_sources(console: Console, found: list[tuple[Step, Attribution]]) -> None:
    """Print the sources of every attribution, grouped by step."""
    last = ""
    for step, attribution in found:
        if step.id != last:
            console.print(f"[bold]{step.kind}[/] {step.id}")
            last = step.id
        console.print(sources_line(attribution))


def sources_line(attribution: Attribution, indent: str = "  ") -> Text:
    """Return one line: the target's text, then its strongest segments with their strongest words."""
    from rich.text import Text

    line = Text(indent)
    line.append(attribution.target_name, style="cyan")
    line.append(f" `{one_line(attribution.target_text, 60)}`", style="bold")
    line.append(" ← ")
    shares = [share for share in attribution.by_segment() if share.share > 0]
    named = [share for share in shares if share.name != "template"]
    parts = []
    for share in named[:_SHOWN]:
        words = _words(attribution, share.name)
        quoted = f" “{words}”" if words else ""
        parts.append(f"{share.name}{quoted} {percent(share.share)}")
    template = sum(share.share for share in shares if share.name == "template")
    if template:
        parts.append(f"template {percent(template)}")
    line.append(", ".join(parts) or "nothing in the prompt")
    if attribution.checked is not None:
        line.append(f"\n{indent}  check {attribution.checked.sentence()}", style="dim")
    return line


def _words(attribution: Attribution, segment_name: str) -> str:
    spans = [segment.span for segment in attribution.segments if segment.name == segment_name]
    stretches = (
        (attribution.tokens[span.start : span.end], attribution.scores[span.start : span.end].tolist())
        for span in spans
    )
    return one_line(strongest_words(stretches), 48)
