"""`ChatOpenAI` for a vLLM server, with what it throws away: token ids and reasoning.

vLLM reports the ids of prompt and completion where a request has ``return_token_ids``:
``prompt_token_ids`` beside the choices (in a stream, with the first chunk) and ``token_ids`` in
each choice (in a stream, those of the chunk). Reasoning comes as ``reasoning``, in versions
before as ``reasoning_content``. Here they end in the message, where the handler looks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from flashtrace_agent.errors import FlashTraceError

try:
    _ChatOpenAI: Any = import_module("langchain_openai").ChatOpenAI
except ModuleNotFoundError as error:
    raise FlashTraceError(
        "ChatVLLM needs one more package: pip install 'flashtrace-agent[openai]'."
    ) from error


class ChatVLLM(_ChatOpenAI):  # type: ignore[misc]  # typed where langchain-openai is installed, Any elsewhere
    """A chat model on a vLLM server whose runs have fidelity `exact`.

    Takes what `ChatOpenAI` takes::

        ChatVLLM(model="Qwen/Qwen3-8B", base_url="http://127.0.0.1:8000/v1", api_key="none")

    The chat template's variables go into ``extra_body={"chat_template_kwargs": {…}}``, as vLLM
    has it; they are recorded with the step.

    Raises:
        FlashTraceError: at import, if langchain-openai is not installed.
    """

    def _get_request_payload(self, input_: Any, *, stop: list[str] | None = None, **kwargs: Any) -> Any:
        payload = super()._get_request_payload(input_, stop=stop, **kwargs)
        payload["extra_body"] = {"return_token_ids": True, **(payload.get("extra_body") or {})}
        return payload

    def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> Any:
        result = super()._create_chat_result(response, generation_info)
        answer = response if isinstance(response, Mapping) else response.model_dump(warnings=False)
        for generation, choice in zip(result.generations, answer.get("choices") or (), strict=False):
            self._keep(generation.message, answer, choice, choice.get("message"))
        return result

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> Any:
        made = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        choice = next(iter(chunk.get("choices") or ()), None)
        if made is not None and choice is not None:
            self._keep(made.message, chunk, choice, choice.get("delta"))
        return made

    def _keep(self, message: Any, answer: Mapping[str, Any], choice: Mapping[str, Any], said: Any) -> None:
        """Put ids and reasoning into a message or a chunk; chunks add up to the whole."""
        prompt, completion = answer.get("prompt_token_ids"), choice.get("token_ids")
        known: dict[str, Any] = {}
        if prompt is not None:
            known["prompt_token_ids"] = list(prompt)
            variables = (self.extra_body or {}).get("chat_template_kwargs")
            if variables:
                known["template_kwargs"] = dict(variables)
        if completion is not None:
            known["completion_token_ids"] = list(completion)
        if known:
            message.response_metadata["flashtrace"] = known
        reasoning = (
            said.get("reasoning") or said.get("reasoning_content") if isinstance(said, Mapping) else None
        )
        if isinstance(reasoning, str) and reasoning:
            message.additional_kwargs["reasoning_content"] = reasoning
