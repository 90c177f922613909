"""Turn measurements into a table and into ``benchmarks/RESULTS.md``."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers

from .. import __version__
from .subjects import SUBJECTS


def environment(model: str) -> dict[str, str]:
    """Return where and with what was measured."""
    device = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"CPU, {torch.get_num_threads()} threads"
    )
    return {
        "model": model,
        "device": f"{device} ({platform.machine()})",
        "versions": f"flashtrace-agent {__version__}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}, Python {platform.python_version()}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def markdown_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table with ratios to the forward of the same case."""
    lines = [
        "| tokens in + out | subject | seconds | × forward | peak memory, GB |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        memory = f"{row['peak_bytes'] / 1e9:.2f}" if row["peak_bytes"] else ""
        tokens, label = f"{row['prompt']:,} + {row['generated']:,}", SUBJECTS[row["subject"]].label
        lines.append(f"| {tokens} | {label} | {row['seconds']:.3f} | {row['ratio']:.2f} | {memory} |")
    return "\n".join(lines)


def write_results(path: Path, heading: str, command: str, where: dict[str, str], table: str) -> None:
    """Replace the section `heading` of a Markdown file, or add it; other sections stay."""
    facts = "\n".join(f"- {name}: {value}" for name, value in where.items())
    section = f"## {heading}\n\n`{command}`\n\n{facts}\n\n{table}\n"
    text = path.read_text(encoding="utf-8") if path.exists() else "# Measurements\n"
    before, found, after = text.partition(f"## {heading}\n")
    if found:
        _, next_heading, rest = after.partition("\n## ")
        tail = f"\n## {rest}" if next_heading else ""
        path.write_text(before + section + tail, encoding="utf-8")
    else:
        path.write_text(text.rstrip("\n") + "\n\n" + section, encoding="utf-8")
