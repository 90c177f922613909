"""What is used where nobody says otherwise. Loads nothing, for the command line's help shows it."""

from __future__ import annotations

DEFAULT_METHOD = "auto"
"""A name in `flashtrace_agent.engine.methods.METHODS`."""
