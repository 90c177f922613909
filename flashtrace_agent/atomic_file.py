"""Write files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from .errors import FlashTraceError


@contextmanager
def replace_file(path: Path) -> Iterator[TextIO]:
    """Yield a text file to write; it takes the place of `path` once the block has ended well.

    Raises:
        FlashTraceError: if it cannot be written; what was at `path` is still there then.
    """
    if path.is_dir():
        raise FlashTraceError(f"{path} is a folder: give the name of a file in it.")
    partial = path.with_name(path.name + ".partial")
    try:
        try:
            with partial.open("w", encoding="utf-8") as file:
                yield file
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise FlashTraceError(f"{path} cannot be written ({error.strerror}): choose another file.") from error


@contextmanager
def replace_files(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write files into; they move to `folder` once the block has ended well.

    Files of the same names are replaced, others stay.

    Raises:
        FlashTraceError: if they cannot be written; what was in `folder` is still there then.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
                yield Path(partial)
                for file in Path(partial).iterdir():
                    os.replace(file, folder / file.name)
        except BaseException:
            if is_new:
                folder.rmdir()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise FlashTraceError(f"{folder} cannot be written ({reason}): choose another folder.") from error
