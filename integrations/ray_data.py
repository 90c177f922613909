"""Spread the attribution of steps over the machines of a Ray cluster.

1. A task on the machine that was asked reads the steps from the store, so that a store in a file need
   not be reachable from the others.
2. A fixed number of actors, one to a GPU where there are any, each load the model once and explain
   the steps they are sent.
3. Results come back as they are ready, for the caller to write.

Needs the extra ``[ray]``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flashtrace_agent.attribution import Attribution
from flashtrace_agent.defaults import DEFAULT_METHOD
from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.explain import explain_step
from flashtrace_agent.store import Store
from flashtrace_agent.store.plain import step_from_dict, step_to_dict

_STEPS = 8
"""Steps that travel together, to and from an actor."""

Rows = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Explained:
    """What became of a step: its attributions, or why there are none, and the Ray node that computed it."""

    step_id: str
    attributions: Sequence[Attribution]
    error: str
    node: str


def explain_on_ray(
    url: str,
    step_ids: Sequence[str],
    *,
    model: str,
    dtype: str = "auto",
    hops: int = 1,
    method: str = DEFAULT_METHOD,
    address: str | None = None,
    actors: int | None = None,
) -> Iterator[Explained]:
    """Yield the attributions of steps, in no particular order, as they are computed.

    Args:
        url: of the store that holds the steps.
        step_ids: which.
        model: what each actor loads: a name, a folder or file that every machine has, or a hub id.
        dtype: as `flashtrace_agent.Attributor.from_pretrained` takes it.
        hops: how often influence on the model's own words is passed on.
        method: a registered method.
        address: of a running cluster, as in ``auto`` on one of its machines; None to start one here.
        actors: how many; None for one a GPU, on a cluster without any one a machine.

    Raises:
        FlashTraceError: if Ray is not installed, the cluster cannot be reached, or an actor fails.
    """
    with _cluster(address) as ray:
        explained = _pipeline(ray, url, step_ids, (model, dtype, hops, method), actors)
        for row in explained.iter_rows():
            found = [Attribution.from_dict(item) for item in json.loads(row["attributions"])]
            yield Explained(row["id"], found, row["error"], row["node"])


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Be part of a cluster, a new one here without an `address`, and yield the package `ray`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports to its makers otherwise
    try:
        import ray
    except ImportError as error:
        raise FlashTraceError("The engine ray needs Ray: pip install 'flashtrace-agent[ray]'.") from error
    ours = not ray.is_initialized()
    try:
        if ours:
            ray.init(address=address, log_to_driver=False, include_dashboard=False if not address else None)
        yield ray
    except (ray.exceptions.RayError, ConnectionError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise FlashTraceError(f"The Ray cluster failed: {reason}") from error
    finally:
        if ours:
            ray.shutdown()


def _pipeline(
    ray: Any, url: str, step_ids: Sequence[str], explainer: tuple[object, ...], actors: int | None
) -> Any:
    """Return the data set of results, which computes itself as it is read.

    Args:
        explainer: the arguments of `_Explainer`.
    """
    ray.data.DataContext.get_current().enable_progress_bars = False
    gpus = int(ray.cluster_resources().get("GPU", 0))
    processors = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    machines = [number for number in processors if number]
    count = actors or gpus or len(machines)
    ids = ray.data.from_items(
        [{"id": step_id} for step_id in step_ids],
        override_num_blocks=max(1, -(-len(step_ids) // _STEPS)),
    )
    # Asks for no processor, as the actors may hold them all; two at a time keep ahead of any actor.
    steps = ids.map_batches(
        _read_steps,
        fn_args=(url,),
        batch_size=_STEPS,
        num_cpus=0,
        concurrency=2,
        label_selector={"ray.io/node-id": ray.get_runtime_context().get_node_id()},
    )
    return steps.map_batches(
        _Explainer,
        fn_constructor_args=explainer,
        batch_size=_STEPS,
        # Few ahead, so that the first actor does not take what the others could do.
        compute=ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=2),
        num_gpus=1 if gpus else 0,
        num_cpus=1 if gpus else _processors(machines, count),
    )


def _processors(machines: Sequence[float], actors: int) -> float:
    """Return what an actor asks for, so that no machine gets a second one before each has one.

    Args:
        machines: processors of each machine.
        actors: how many are to be placed on them.
    """
    on_each = -(-actors // max(1, len(machines)))
    return 0.75 * min(machines, default=1.0) / on_each


def _read_steps(rows: Rows, url: str) -> dict[str, list[str]]:
    with Store(url, create=False) as store:
        steps = [json.dumps(step_to_dict(store.get_step(step_id))) for step_id in rows["id"]]
    return {"id": list(rows["id"]), "step": steps}


class _Explainer:
    """An actor: the model, loaded once."""

    def __init__(self, model: str, dtype: str, hops: int, method: str) -> None:
        import ray
        import torch

        from flashtrace_agent.engine.attributor import Attributor

        device_map = "auto" if torch.cuda.is_available() else None
        self._attributor = Attributor.from_pretrained(model, device_map=device_map, dtype=dtype)
        self._node = ray.get_runtime_context().get_node_id()
        self._hops = hops
        self._method = method

    def __call__(self, rows: Rows) -> dict[str, list[str]]:
        found = [self._explain(step) for step in rows["step"]]
        return {
            "id": list(rows["id"]),
            "attributions": [attributions for attributions, _ in found],
            "error": [error for _, error in found],
            "node": [self._node] * len(found),
        }

    def _explain(self, step: str) -> tuple[str, str]:
        try:
            results = explain_step(
                self._attributor, step_from_dict(json.loads(step)), hops=self._hops, method=self._method
            )
        except FlashTraceError as error:
            return "[]", str(error)
        except Exception as error:  # noqa: BLE001 - one step must not end the others; it is told
            return "[]", f"{type(error).__name__}: {error}"
        return json.dumps([result.to_dict() for result in results]), ""
