"""A selection is spread over a real Ray cluster of two machines, both of them here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashtrace_agent import Attributor
from flashtrace_agent.explain import explain_step
from flashtrace_agent.integrations.ray_data import explain_on_ray
from flashtrace_agent.message import Message
from flashtrace_agent.store import Store
from flashtrace_agent.trace import Fidelity, Step, Trace, make_id, utc_now
from tests.conftest import command
from tests.integrations.langchain.tiny_models import llama, tokenizer

ray = pytest.importorskip("ray", reason="needs the extra [ray]")
pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Return the address of a cluster of two nodes of two processors each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    made.add_node(num_cpus=2)
    made.wait_for_nodes()
    yield made.address
    made.shutdown()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny random model with its tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    llama().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def record(url: str, count: int) -> list[Step]:
    """Store a run of model steps with ids; one is longer than the model's context."""
    trace = Trace(make_id(utc_now()), "run", utc_now(), status="ok")
    generator = np.random.default_rng(0)
    steps = [
        Step(
            make_id(utc_now(), str(number)), trace.id, "model", "tiny", utc_now(), status="ok",
            input=[Message("user", "hello")], output=Message("assistant", "yes"), model="tiny",
            prompt_ids=generator.integers(5, 200, 1500 if number else 5000).tolist(),
            completion_ids=[7, 8, 9], fidelity=Fidelity.EXACT,
        )
        for number in range(count)
    ]  # fmt: skip
    with Store(url) as store:
        store.write_trace(trace)
        store.write_steps(steps)
    return steps


def attribute(cluster: str, url: str, model: Path) -> Any:
    """Run the command, and return its outcome."""
    where = ("--store", url, "--engine", "ray", "--address", cluster, "--model", str(model))
    return command("attribute", "--where", "name = run", *where, "--json")


def test_a_cluster_computes_what_one_process_does(cluster: str, model: Path, tmp_path: Path) -> None:
    """Every step once, on both machines; what is there is not computed again."""
    url = f"sqlite:///{tmp_path}/traces.db"
    steps = record(url, 57)
    with Store(url) as store:
        first = list(store.jobs.unattributed())[:48]  # enough that the second actor is needed, too
        # A tiny model is done before a second actor is there.
        ray.data.DataContext.get_current().wait_for_min_actors_s = 120
        found = list(explain_on_ray(url, first, model=str(model), address=cluster))
        assert sorted(each.step_id for each in found) == first
        assert len({each.node for each in found}) == 2
        assert [each.step_id for each in found if each.error] == [steps[0].id]
        store.write_attributions([(each.step_id, a) for each in found for a in each.attributions])
    outcome = attribute(cluster, url, model)
    assert outcome.returncode == 1, outcome.stderr
    told = json.loads(outcome.stdout)
    assert (told["steps"], len(told["failed"])) == (9, 1)
    assert steps[0].id in told["failed"][0]
    attributor = Attributor.from_pretrained(str(model))
    with Store(url) as store:
        for step in steps[1:4] + steps[-2:]:
            expected = explain_step(attributor, store.get_step(step.id))
            stored = store.get_attributions(step.id)
            assert [each.target_name for each in stored] == [each.target_name for each in expected]
            for ours, theirs in zip(stored, expected, strict=True):
                np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-3)
        assert store.check() == []


def test_what_fails_is_one_sentence(cluster: str, tmp_path: Path) -> None:
    """Though Ray itself logs a stack trace for a model that is nowhere."""
    url = f"sqlite:///{tmp_path}/traces.db"
    record(url, 2)
    outcome = attribute(cluster, url, tmp_path / "nowhere")
    assert outcome.returncode == 1
    assert "Traceback" not in outcome.stderr
    assert "The Ray cluster failed" in outcome.stderr
    assert "There is no folder" in outcome.stderr
