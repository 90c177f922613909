"""The tokenizer of a model whose files lie on this machine, read without torch and without asking anyone.

It has what `TokenText` needs of a transformers tokenizer: enough to say what text token ids stand for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flashtrace_agent.errors import ModelFileError
from flashtrace_agent.models import CATALOGUE, is_fetched, model_folder

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

FILE = "tokenizer.json"


class LocalTokenizer:
    """A ``tokenizer.json``, to look token ids up in.

    Attributes:
        backend_tokenizer: the tokenizer as the file describes it.
        added_tokens_decoder: its added tokens by id.
    """

    def __init__(self, path: Path) -> None:
        """Read the file at `path`.

        Raises:
            ModelFileError: if it holds no tokenizer.
        """
        from tokenizers import Tokenizer

        try:
            self.backend_tokenizer: Tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise ModelFileError(
                f"{path} cannot be read as a tokenizer ({error}): fetch the model's files again."
            ) from error
        self.added_tokens_decoder: dict[int, AddedToken] = self.backend_tokenizer.get_added_tokens_decoder()

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str | None]:
        """Return the vocabulary's piece for each id; None for an id it does not have."""
        return [self.backend_tokenizer.id_to_token(index) for index in ids]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False, **_: bool) -> str:
        """Return the text of a sequence; further arguments of transformers' method change nothing here."""
        text: str = self.backend_tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text


def find_tokenizer(model: str) -> Path | None:
    """Return the tokenizer's file of a model that is on this machine, else None.

    Args:
        model: catalogue name, local folder, or Hugging Face id in the hub's local cache.
    """
    if model in CATALOGUE:
        return model_folder(model) / FILE if is_fetched(model) else None
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder / FILE if (folder / FILE).is_file() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(model, FILE)
    except HFValidationError:  # the name of no repository, such as a served model's
        return None
    return Path(cached) if isinstance(cached, str) else None
