"""Attribute the steps of a selection, here or on a Ray cluster, and write the results in batches."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from flashtrace_agent.count_of import count_of
from flashtrace_agent.errors import FlashTraceError, ModelFileError, StoreError, UnsupportedModelError

from .console import print_json
from .loaded_model import LoadedModel
from .progress import open_progress
from .recipe import Recipe

if TYPE_CHECKING:
    from flashtrace_agent.store import Store

_BATCH = 32
"""Steps whose results are written together."""

Outcome = tuple[str, list[Any], str]
"""A step's id, its attributions, and why there are none."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray cluster: its address, None for one started here; its actors, None for one a GPU."""

    address: str | None
    actors: int | None


def attribute_selection(
    opened: Store, where: str | None, recipe: Recipe, cluster: Cluster | None, *, as_json: bool
) -> None:
    """Attribute what a filter finds and is not attributed yet, and say what came of it.

    Args:
        opened: the store.
        where: only traces this filter finds; None for all.
        recipe: how.
        cluster: where; None for here.
        as_json: say it as JSON.

    Raises:
        FlashTraceError: naming the first failures, once the rest is done and written.
    """
    step_ids = list(opened.jobs.unattributed(where, method=recipe.method))
    if cluster is not None and step_ids:
        outcomes = _on_ray(opened, step_ids, recipe, cluster)
    else:
        outcomes = _here(opened, step_ids, recipe)
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
                    written += _write(opened, pending, failed)
                    pending = []
                progress.update(bar, completed=number)
    finally:  # also what was computed before an interruption
        written += _write(opened, pending, failed)
    if as_json:
        print_json({"steps": done, "attributions": written, "failed": failed})
    else:
        typer.echo(
            f"Attributed {done} of {count_of(len(step_ids), 'step')}: {count_of(written, 'attribution')}."
        )
    if failed:
        raise FlashTraceError(
            f"{count_of(len(failed), 'step')} failed, so look at why ({'; '.join(failed[:3])})."
        )


def _write(opened: Store, items: list[tuple[str, Any]], failed: list[str]) -> int:
    """Write attributions and return how many; what cannot be written is noted and costs no other."""
    try:
        return len(opened.write_attributions(items))
    except StoreError as error:  # as where a step was deleted meanwhile
        if len(items) > 1:
            return sum(_write(opened, [item], failed) for item in items)
        failed.append(f"step {items[0][0]}: {error}")
        return 0


def _here(opened: Store, step_ids: list[str], recipe: Recipe) -> Iterator[Outcome]:
    from flashtrace_agent.explain import explain_step

    loaded = LoadedModel(recipe.model, recipe.dtype)
    for step_id in step_ids:
        try:
            step = opened.get_step(step_id)
            attributor = loaded.for_step(step)
            yield step_id, explain_step(attributor, step, hops=recipe.hops, method=recipe.method), ""
        except (ModelFileError, UnsupportedModelError):
            raise
        except FlashTraceError as error:
            yield step_id, [], str(error)


def _on_ray(opened: Store, step_ids: list[str], recipe: Recipe, cluster: Cluster) -> Iterator[Outcome]:
    from flashtrace_agent.integrations.ray_data import explain_on_ray
    from flashtrace_agent.models import DEFAULT_MODEL

    logging.disable(logging.CRITICAL)  # Ray logs stack traces; what fails is told in one sentence
    written_by = opened.models_of(step_ids)
    by_model: dict[str, list[str]] = {}
    for step_id in step_ids:
        model = recipe.model or written_by.get(step_id) or DEFAULT_MODEL
        by_model.setdefault(model, []).append(step_id)
    for model, ids in by_model.items():
        for found in explain_on_ray(
            opened.url,
            ids,
            model=model,
            dtype=recipe.dtype.value,
            hops=recipe.hops,
            method=recipe.method,
            address=cluster.address,
            actors=cluster.actors,
        ):
            yield found.step_id, list(found.attributions), found.error
