"""Files that commands write."""

from __future__ import annotations

from pathlib import Path

from flashtrace_agent.errors import FlashTraceError


def check_folder(folder: Path) -> None:
    """Check that there is a folder to write to, before long work whose outcome is to go there.

    Raises:
        FlashTraceError: if there is none.
    """
    if not folder.is_dir():
        raise FlashTraceError(f"There is no folder {folder} to write to; make it first.")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8; halves of characters, which a model may have written, become ``?``.

    Raises:
        FlashTraceError: if the file cannot be written.
    """
    try:
        path.write_bytes(text.encode("utf-8", "replace"))
    except OSError as error:
        raise FlashTraceError(f"{path} cannot be written ({error.strerror}): choose another file.") from error
