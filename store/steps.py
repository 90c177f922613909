"""Steps to rows and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from flashtrace_agent.errors import StoreError
from flashtrace_agent.message import ToolSchema
from flashtrace_agent.trace import Fidelity, Step

from .chains import batches
from .documents import read_documents, write_document
from .messages import Conversations, write_conversation
from .schema import StepRow
from .shared_rows import SharedRows
from .token_chains import TokenSequences, write_ids

_MOST_TOKENS = 1 << 30
"""No step has more."""


def step_rows(shared: SharedRows, steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return the rows of steps, having asked for what they refer to."""
    return [_row(shared, step) for step in steps]


def _row(shared: SharedRows, step: Step) -> dict[str, Any]:
    conversation = write_conversation(shared, step.trace_id, step.input, step.output)
    return {
        "id": step.id,
        "trace_id": step.trace_id,
        "kind": step.kind,
        "name": step.name,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "parent_id": step.parent_id,
        "status": step.status,
        "tokens": count_tokens(step),
        "model": step.model,
        "fidelity": None if step.fidelity is None else str(step.fidelity),
        "fidelity_reason": step.fidelity_reason,
        "finish_reason": step.finish_reason,
        "tool_call_id": step.tool_call_id,
        "prompt_length": None if step.prompt_ids is None else len(step.prompt_ids),
        "completion_length": None if step.completion_ids is None else len(step.completion_ids),
        "input_digest": conversation.input_digest,
        "output_digest": conversation.output_digest,
        "tokens_digest": write_ids(shared, [*(step.prompt_ids or ()), *(step.completion_ids or ())]),
        "tools_digest": write_document(shared, "tools", [_plain_tool(tool) for tool in step.tools]),
        "settings_digest": write_document(shared, "settings", step.settings),
        "usage": step.usage or None,
        "error": step.error,
        "arguments": step.arguments,
        "result": step.result,
    }


def read_steps(session: Session, rows: Sequence[StepRow]) -> list[Step]:
    """Return the steps of `rows`, in their order; what they share is read once."""
    heads = [row.input_digest for row in rows] + [row.output_digest for row in rows]
    conversations = Conversations(session, heads)
    tokens = TokenSequences(session, [row.tokens_digest for row in rows])
    documents = read_documents(
        session, [row.tools_digest for row in rows] + [row.settings_digest for row in rows]
    )
    steps: list[Step] = []
    for row in rows:
        ids: list[int] = tokens.up_to(row.tokens_digest).tolist()
        prompt_end = row.prompt_length or 0
        steps.append(
            Step(
                id=row.id,
                trace_id=row.trace_id,
                kind="tool" if row.kind == "tool" else "model",
                name=row.name,
                started_at=row.started_at,
                ended_at=row.ended_at,
                parent_id=row.parent_id,
                status=row.status,  # type: ignore[arg-type]  # written from the same Literal
                error=row.error,
                input=conversations.up_to(row.input_digest),
                output=conversations.at(row.output_digest),
                tools=[ToolSchema(**tool) for tool in documents[row.tools_digest]],
                model=row.model,
                prompt_ids=None if row.prompt_length is None else ids[:prompt_end],
                completion_ids=None if row.completion_length is None else ids[prompt_end:],
                finish_reason=row.finish_reason,
                fidelity=None if row.fidelity is None else Fidelity(row.fidelity),
                fidelity_reason=row.fidelity_reason,
                usage=row.usage or {},
                settings=documents[row.settings_digest] or {},
                tool_call_id=row.tool_call_id,
                arguments=row.arguments,
                result=row.result,
            )
        )
    return steps


def read_models(session: Session, step_ids: Sequence[str]) -> dict[str, str | None]:
    """Return which model wrote each of the steps that are stored; None where that is not known."""
    models: dict[str, str | None] = {}
    for batch in batches(step_ids):
        query = select(StepRow.id, StepRow.model).where(StepRow.id.in_(batch))
        models.update((step_id, model) for step_id, model in session.execute(query))
    return models


def require_steps(connection: Connection, step_ids: Sequence[str], advice: str) -> None:
    """Make sure that steps are stored.

    Raises:
        StoreError: naming one that is not, and what to do.
    """
    for batch in batches(step_ids):
        stored = set(connection.scalars(select(StepRow.id).where(StepRow.id.in_(batch))))
        for step_id in batch:
            if step_id not in stored:
                raise StoreError(f"Step {step_id} is not in the store: {advice}.")


def count_tokens(step: Step) -> int | None:
    """Return a model step's prompt and completion tokens: by ids, else as reported, else None."""
    ids = step.token_ids
    if ids is not None:
        return len(ids)
    reported = [step.usage[name] for name in ("prompt_tokens", "completion_tokens") if name in step.usage]
    # Whoever reports them may report nonsense, which no column takes.
    is_count = all(type(count) is int and 0 <= count < _MOST_TOKENS for count in reported)
    return sum(reported) if reported and is_count else None


def _plain_tool(tool: ToolSchema) -> dict[str, object]:
    return {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
