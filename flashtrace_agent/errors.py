"""Errors a user can act on. Each message is one sentence that says what to do."""

from __future__ import annotations


class FlashTraceError(Exception):
    """Base class: something the user asked for cannot be done, and the message says why."""


class UnsupportedModelError(FlashTraceError):
    """The model's architecture has no adapter, or a module the adapter needs is missing."""


class ModelFileError(FlashTraceError):
    """A model is unknown, cannot be downloaded, is damaged or fails its checksum."""


class SequenceError(FlashTraceError, ValueError):
    """Token ids or spans that cannot be attributed: out of range, empty, overlapping, too long."""


class StoreError(FlashTraceError):
    """The store cannot be opened, read or written."""


class TargetError(FlashTraceError):
    """The requested target does not exist in the step."""
