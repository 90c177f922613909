"""Options that several commands share, and the store they name."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from flashtrace_agent.engine.attributor import Attributor
    from flashtrace_agent.store import Store

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="FLASHTRACE_AGENT_STORE",
        metavar="URL",
        help="The store, as in sqlite:///traces.db; by default a file in the user's data folder.",
        show_default=False,
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="FILTER",
        help="Only traces a filter finds, as in \"tool = 'get_weather' and status = error and since 7d\".",
        show_default=False,
    ),
]

TraceArgument = Annotated[
    str, typer.Argument(metavar="TRACE", help="A trace's id, or its first characters.", show_default=False)
]

StepOption = Annotated[
    str | None,
    typer.Option(
        "--step",
        metavar="S",
        help="One step only: its number in `show`, its id, or its id's first characters.",
        show_default=False,
    ),
]

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A name from `models list`, a folder, a GGUF file or a Hugging Face id; "
        "by default the model the run was recorded with.",
        show_default=False,
    ),
]


class Dtype(StrEnum):
    """What a model computes in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


DtypeOption = Annotated[
    Dtype, typer.Option("--dtype", help="What the model computes in; auto for the weights' own.")
]


def open_store(url: str | None) -> Store:
    """Open the store a `StoreOption` names.

    Raises:
        StoreError: if it cannot be opened.
    """
    from flashtrace_agent.store import Store

    return Store(url or Store.default_url())


def open_existing_store(url: str | None) -> Store:
    """Open the store a `StoreOption` names to read it; a mistyped path makes no new store.

    The default store is created, so that the first command a user tries has something to say.

    Raises:
        StoreError: if it does not exist or cannot be opened.
    """
    from flashtrace_agent.store import Store

    return Store(url, create=False) if url else Store(Store.default_url())


def load_attributor(
    model: str | None, recorded: str | None = None, dtype: Dtype = Dtype.AUTO, device: str | None = None
) -> Attributor:
    """Load the model a `ModelOption` names, else the recorded one, else the default.

    `device` is a torch device; None for all GPUs there are, else the CPU.

    Raises:
        ModelFileError: if it cannot be loaded.
    """
    import torch

    from flashtrace_agent.engine.attributor import Attributor
    from flashtrace_agent.models import DEFAULT_MODEL

    # Several devices are only worth asking for where there is one besides the CPU.
    device_map = device or ("auto" if torch.cuda.is_available() else None)
    return Attributor.from_pretrained(
        model or recorded or DEFAULT_MODEL, device_map=device_map, dtype=dtype.value
    )
