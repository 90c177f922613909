"""Turn values of a trace into text that Streamlit shows as it stands.

Labels and messages in Streamlit are Markdown, and Markdown can load pictures from elsewhere:
whatever a model or a tool wrote passes through `plain` before it becomes one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flashtrace_agent.message import ToolCall

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>$:&@/])")

STATUS_COLOR = {"ok": "green", "error": "red", "incomplete": "orange"}
STATUS_ICON = {
    "ok": ":material/check_circle:",
    "error": ":material/error:",
    "incomplete": ":material/pending:",
}
FIDELITY_COLOR = {"exact": "green", "rendered": "orange", "approximate": "red"}


def plain(text: str) -> str:
    """Return Markdown that reads exactly as `text`, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def badge_label(text: str) -> str:
    """Return `plain` text for a badge, whose brackets Streamlit escapes itself."""
    return plain(text).replace("\\[", "[").replace("\\]", "]")


def clip(text: str, length: int = 80) -> str:
    """Return `text` on one line, cut to `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def duration(start: datetime, end: datetime | None) -> str:
    """Return the time between two moments, as ``850 ms`` or ``4.2 s``; empty while it runs."""
    if end is None:
        return ""
    seconds = (end - start).total_seconds()
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def moment(time: datetime) -> str:
    """Return a UTC time to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")


def call_text(call: ToolCall) -> str:
    """Return a call the way one would type it: ``lookup(item="mirror")``."""
    return f"{call.name}({arguments_text(call.arguments)})"


def arguments_text(arguments: Any) -> str:
    """Return arguments as ``name=value`` pairs; raw text where they were not an object."""
    if not isinstance(arguments, Mapping):
        return str(arguments)
    return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())


def pretty(text: str) -> tuple[str, str | None]:
    """Return `text` indented where it is JSON, and the language to colour it in."""
    try:
        value = json.loads(text)
    except ValueError:
        return text, None
    if not isinstance(value, dict | list):
        return text, None
    return json.dumps(value, ensure_ascii=False, indent=2), "json"
