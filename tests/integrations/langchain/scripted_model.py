"""A chat model that says what a script tells it to, and tools for its agents."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool


def call(name: str, arguments: dict[str, Any], id: str = "call_0") -> dict[str, Any]:
    """Return a tool call as LangChain writes it."""
    return {"name": name, "args": arguments, "id": id, "type": "tool_call"}


class ScriptedModel(BaseChatModel):
    """Gives the scripted answers in order; an exception in the script is raised."""

    script: list[Any]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": "scripted-1", "temperature": 0.5}

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _next(self) -> AIMessage:
        item = self.script.pop(0)
        if isinstance(item, BaseException):
            raise item
        return AIMessage(item) if isinstance(item, str) else item

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next())])


class StreamingModel(ScriptedModel):
    """Streams each scripted answer word by word."""

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        message = self._next()
        for word in str(message.content).split(" "):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word + " "))
        if message.tool_calls:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_calls=message.tool_calls))
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="", response_metadata={"finish_reason": "stop"}, chunk_position="last"
            )
        )


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def fail(reason: str) -> str:
    """Raise an error."""
    raise ValueError(reason)


rendezvous = threading.Barrier(2)


@tool
def meet(who: str) -> str:
    """Wait until the other call is running too."""
    rendezvous.wait(120)
    return f"met {who}"
