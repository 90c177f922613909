"""Say in a line where a target came from: ``tool_name `sofas` ← user "sofas" 38 %, example:2 21 %``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .console import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from flashtrace_agent.attribution import Attribution
    from flashtrace_agent.trace import Step

_SHOWN = 3
_WORDS = 3


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
        words = strongest_words(attribution, share.name)
        quoted = f" “{words}”" if words else ""
        parts.append(f"{share.name}{quoted} {share.share:.0%}")
    template = sum(share.share for share in shares if share.name == "template")
    if template:
        parts.append(f"template {template:.0%}")
    line.append(", ".join(parts) or "nothing in the prompt")
    return line


def strongest_words(attribution: Attribution, segment_name: str) -> str:
    """Return the few words of a segment that hold most of its score, in reading order.

    A word is a run of tokens without white space between them, so that “sof” + “as” reads “sofas”.
    """
    words: list[tuple[float, int, str]] = []
    for segment in attribution.segments:
        if segment.name != segment_name:
            continue
        for position in range(segment.span.start, segment.span.end):
            piece, score = attribution.tokens[position], float(attribution.scores[position])
            joined = words and position > segment.span.start and not piece[:1].isspace()
            joined = joined and not attribution.tokens[position - 1][-1:].isspace()
            if joined:
                before = words[-1]
                words[-1] = (before[0] + score, before[1], before[2] + piece)
            else:
                words.append((score, position, piece))
    words = [word for word in words if any(character.isalnum() for character in word[2])]
    strongest = sorted(words, key=lambda word: -word[0])[:_WORDS]
    return one_line(" ".join(word[2].strip() for word in sorted(strongest, key=lambda word: word[1])), 48)
