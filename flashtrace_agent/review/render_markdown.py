"""A review as Markdown, for a pull request or a file beside the prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flashtrace_agent.percent import percent

from .document import Block, Document, Stack, Table, Words, cell_text

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#!~$])")


def render_markdown(document: Document) -> str:
    """Return the document as GitHub-flavoured Markdown; nothing a prompt says becomes markup."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Document) -> Iterator[str]:
    yield f"# {_plain(document.title)}"
    yield ""
    for name, value in document.facts:
        yield f"- {_plain(name)}: {_plain(value)}"
    yield ""
    for finding in document.findings:
        yield (
            f"- **{_plain(finding.text)}**"
            if finding.tone in ("good", "bad")
            else f"- {_plain(finding.text)}"
        )
    for section in document.sections:
        yield from ("", f"## {_plain(section.title)}")
        for block in section.blocks:
            yield ""
            yield from _block(block)
    yield from ("", _plain(document.note))


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Table):
        yield "| " + " | ".join(map(_plain, block.columns)) + " |"
        yield "|" + " --- |" * len(block.columns)
        for row in block.rows:
            yield "| " + " | ".join(_plain(cell_text(cell)) for cell in row) + " |"
    elif isinstance(block, Stack):
        for name, parts in block.bars:
            words = ", ".join(f"{_plain(part)} {percent(share)}" for part, share in parts if share >= 0.005)
            yield f"- {_plain(name)}: {words}"
    else:
        yield _plain(block.text if isinstance(block, Words) else block)


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
