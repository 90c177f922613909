"""Attribute the steps of a selection, here or on a Ray cluster, and write the results in batches."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from flashtrace_agent.errors import FlashTraceError, ModelFileError, UnsupportedModelError

from .console import print_json
from .loaded_model import LoadedModel
from .options import Dtype
from .progress import open_progress

if TYPE_CHECKING:
    from flashtrace_agent.store import Store

_BATCH = 32
"""Steps whose results are written together."""

Outcome = tuple[str, list[Any], str]
"""A step's id, its attributions, and why there are none."""


def attribute_selection(
    opened: Store,
    where: str | None,
    *,
    hops: int,
    method: str,
    model: str | None,
    dtype: Dtype,
    on_ray: bool,
    address: str | None,
    actors: int | None,
    as_json: bool,
) -> None:
    """Attribute what a filter finds and is not attributed yet, and say what came of it.

    Raises:
        FlashTraceError: naming the first failures, once the rest is done and written.
    """
    step_ids = list(opened.jobs.unattributed(where, method=method))
    if on_ray and step_ids:
        outcomes = _on_ray(opened, step_ids, hops, method, model, dtype, address, actors)
    else:
        outcomes = _here(opened, step_ids, hops, method, model, dtype)
    failed: list[str] = []
    done = written = 0
    pending: list[tuple[str, Any]] = []
    try:
        with open_progress() as progress:
            bar = progress.add_task("attributing", total=len(step_ids))
            for number, (step_id, attributions, error) in enumerate(outcomes, 1):
                if error:
                    failed.append(f"step {step_id}: {error}")
                pending += [(step_id, attribution) for attribution in attributions]
                done += not error
                if number % _BATCH == 0:
                    written += len(opened.write_attributions(pending))
                    pending.clear()
                progress.update(bar, completed=number)
    finally:  # also what was computed before an interruption
        written += len(opened.write_attributions(pending))
    if as_json:
        print_json({"steps": done, "attributions": written, "failed": failed})
    else:
        typer.echo(f"Attributed {done} of {len(step_ids)} steps: {written} attributions.")
    if failed:
        raise FlashTraceError(f"{len(failed)} steps failed, so look at why ({'; '.join(failed[:3])}).")


def _here(
    opened: Store, step_ids: list[str], hops: int, method: str, model: str | None, dtype: Dtype
) -> Iterator[Outcome]:
    from flashtrace_agent.explain import explain_step

    loaded = LoadedModel(model, dtype)
    for step_id in step_ids:
        step = opened.get_step(step_id)
        try:
            yield step_id, explain_step(loaded.for_step(step), step, hops=hops, method=method), ""
        except (ModelFileError, UnsupportedModelError):
            raise
        except FlashTraceError as error:
            yield step_id, [], str(error)


def _on_ray(
    opened: Store,
    step_ids: list[str],
    hops: int,
    method: str,
    model: str | None,
    dtype: Dtype,
    address: str | None,
    actors: int | None,
) -> Iterator[Outcome]:
    from flashtrace_agent.integrations.ray_data import explain_on_ray
    from flashtrace_agent.models import DEFAULT_MODEL

    logging.disable(logging.CRITICAL)  # Ray logs stack traces; what fails is told in one sentence
    chosen = model or opened.get_step(step_ids[0]).model or DEFAULT_MODEL
    for found in explain_on_ray(
        opened.url,
        step_ids,
        model=chosen,
        dtype=dtype.value,
        hops=hops,
        method=method,
        address=address,
        actors=actors,
    ):
        yield found.step_id, list(found.attributions), found.error
