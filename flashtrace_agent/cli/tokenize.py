"""``flashtrace-agent tokenize``: find the token ids of runs recorded as text."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flashtrace_agent.errors import FlashTraceError

from .console import print_json
from .options import (
    Dtype,
    DtypeOption,
    JsonOption,
    StepOption,
    StoreOption,
    TraceArgument,
    load_attributor,
    open_existing_store,
)
from .progress import open_progress
from .step_choice import choose_step

if TYPE_CHECKING:
    from flashtrace_agent.trace import Step


def tokenize(
    trace_id: TraceArgument,
    step: StepOption = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="KIND=URL",
            help="The server that ran the model: vllm, llama.cpp or ollama with its address, "
            "as in vllm=http://127.0.0.1:8000. Its key, if any, is in FLASHTRACE_AGENT_SERVER_KEY.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="Whose tokenizer and weights to use: a name from `models list`, a folder, a GGUF file or a "
            "Hugging Face id.",
            show_default=False,
        ),
    ] = None,
    dtype: DtypeOption = Dtype.AUTO,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Find the token ids of a trace recorded as text, and check them.

    The server renders and tokenizes the recorded messages; with --model, the weights' own template
    does where no server is named, and the weights say whether they would have written the answer.
    Only where the counts agree with those reported is a step `rendered`.
    """
    if server is None and model is None:
        raise typer.BadParameter("name the --server that ran the model, its weights as --model, or both.")
    from flashtrace_agent.integrations.servers import LocalTemplate, check_log_probs, recover, server_named

    with open_existing_store(store) as opened:
        trace = opened.get_trace(trace_id)
        wanted = [choose_step(trace, step)] if step else [each for each in trace.steps if _has_answer(each)]
        if not wanted:
            raise FlashTraceError(
                f"Trace {trace.id} has no finished model step: there is nothing to tokenize."
            )
        attributor: Any = load_attributor(model, dtype=dtype) if model else None
        tokenizer = attributor.tokenizer if attributor else None
        source = server_named(server, tokenizer) if server else LocalTemplate(tokenizer)
        found: list[Step] = []
        with open_progress() as progress:
            for each in progress.track(wanted, description="tokenizing"):
                recovered = recover(each, source)
                unchecked = "log_prob_check" not in recovered.settings
                if attributor is not None and recovered.token_ids and unchecked:
                    recovered = check_log_probs(attributor.model, recovered)
                if recovered is not each:
                    opened.write_step(recovered)
                found.append(recovered)
    if as_json:
        print_json([_summary(each) for each in found])
        return
    for each in found:
        typer.echo(f"{each.id} {each.fidelity}: {each.fidelity_reason}")
    counts = Counter(str(each.fidelity) for each in found)
    typer.echo(", ".join(f"{number} {fidelity}" for fidelity, number in counts.items()))


def _has_answer(step: Step) -> bool:
    return step.kind == "model" and step.output is not None


def _summary(step: Step) -> dict[str, Any]:
    return {
        "step": step.id,
        "fidelity": str(step.fidelity),
        "reason": step.fidelity_reason,
        "prompt_tokens": None if step.prompt_ids is None else len(step.prompt_ids),
        "completion_tokens": None if step.completion_ids is None else len(step.completion_ids),
        "log_prob_check": step.settings.get("log_prob_check"),
    }
