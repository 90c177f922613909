"""Load a causal language model and its tokenizer from wherever users keep them.

A name is, in this order: a fetched catalogue model (`flashtrace_agent.models`), a local folder,
a ``.gguf`` file, or a Hugging Face id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from ..errors import ModelFileError
from ..models import CATALOGUE, ensure_model


def load_model(
    name: str,
    *,
    gguf_file: str | None = None,
    device_map: Any = None,
    dtype: Any = "auto",
    check_config: Callable[[Any], None] | None = None,
) -> tuple[Any, Any]:
    """Return ``(model, tokenizer)``, the model in evaluation mode.

    Args:
        name: catalogue name, local folder, path of a ``.gguf`` file, or Hugging Face id.
        gguf_file: name of a GGUF file inside the folder or repository.
        device_map: as in transformers; None leaves the model on the CPU.
        dtype: torch dtype, its name, or ``"auto"`` for the one the weights are stored in. On the
            CPU ``"auto"`` means float32, which is faster there and loses nothing.
        check_config: called with the configuration before the weights are fetched; may raise.

    Raises:
        ModelFileError: if there is no such model or its files cannot be read.
    """
    requested = name
    if name in CATALOGUE:
        name = str(ensure_model(name))
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and gguf_file is None:
        if not path.is_file():
            raise ModelFileError(f"There is no file {path}; give the path of a GGUF file that exists.")
        name, gguf_file, path = str(path.parent), path.name, path.parent
    if gguf_file is not None and path.is_dir():
        _check_gguf(path / gguf_file)
    if path.is_dir():
        name = str(path)
    elif name.startswith((".", "~")) or path.is_absolute() or len(path.parts) > 2:
        raise ModelFileError(f"There is no folder {path}; give a folder with transformers weights.")
    extra: dict[str, Any] = {} if gguf_file is None else {"gguf_file": gguf_file}
    try:
        config = AutoConfig.from_pretrained(name, **extra)
        if check_config is not None:
            check_config(config)
        tokenizer = AutoTokenizer.from_pretrained(name, **extra)
        with _quiet() if requested in CATALOGUE else nullcontext():
            model = AutoModelForCausalLM.from_pretrained(
                name,
                config=config,
                device_map=device_map,
                dtype=_resolve_dtype(dtype, device_map),
                **extra,
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelFileError(
            f"Cannot load the model {name!r}: give a catalogue name ({', '.join(CATALOGUE)}), a folder with "
            f"transformers weights, a .gguf file or a Hugging Face id that can be reached ({reason[0]})"
        ) from error
    if gguf_file is not None:
        _restore_gguf_splitting(tokenizer, Path(name) / gguf_file)
    # What is recorded with a run: the name it can be loaded by again, not this machine's cache folder.
    model.config._name_or_path = model.name_or_path = requested
    return model.eval(), tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """Show no bar for a model that loads in a second."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _resolve_dtype(dtype: Any, device_map: Any) -> Any:
    if dtype == "auto" and device_map in (None, "cpu"):
        return torch.float32
    if dtype == "auto" and device_map == "auto" and not torch.cuda.is_available():
        return torch.float32
    return dtype


def _check_gguf(path: Path) -> None:
    """Read the header and the tensor table; raise one sentence if they are damaged."""
    if not path.is_file():
        raise ModelFileError(f"There is no file {path}; give the name of a GGUF file that exists.")
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        last = max(int(tensor.data_offset) + int(tensor.n_bytes) for tensor in reader.tensors)
    except Exception as error:
        raise ModelFileError(f"{path} is not a readable GGUF file ({error}); download it again.") from error
    if last > path.stat().st_size:
        raise ModelFileError(f"{path} is cut off (its tensors need {last:,} bytes); download it again.")


def _restore_gguf_splitting(tokenizer: Any, path: Path) -> None:
    """Restore the digit splitting that the GGUF header names and transformers' converter leaves out.

    SmolLM splits every digit off before byte-level BPE; without it, runs of spaces before digits
    would be cut differently from how the model was trained.
    """
    if not path.is_file():
        return
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    field = GGUFReader(path).get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
