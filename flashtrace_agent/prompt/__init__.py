"""Prompts as tokens: rendering, exact text, named segments, and targets in what was written."""
