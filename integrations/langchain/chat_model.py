"""A LangChain chat model over transformers that knows exactly what the model saw and wrote.

LangChain's own wrapper for in-process models leaves tools out of the prompt and reports no
token ids, so its runs cannot be explained. Here the chat template is rendered with the tools,
reasoning and tool calls are parsed from the exact text, and every answer carries the ids of its
prompt and completion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

from flashtrace_agent.completion.parse import END_TOKENS
from flashtrace_agent.engine.context import context_length
from flashtrace_agent.engine.kept import DEFAULT_BUDGET, kept_captures
from flashtrace_agent.errors import FlashTraceError, SequenceError
from flashtrace_agent.prompt.rendering import render_prompt

from .convert import from_langchain, offered_tools
from .generation import PrefixCache, Sampling, generate
from .turn import Turn


class ChatTransformers(BaseChatModel):
    """An agent's chat model running in this process, with tools, reasoning and streaming.

    ::

        model = ChatTransformers.from_pretrained("Qwen/Qwen3-8B", device_map="auto")
        agent = create_agent(model, tools)

    Reasoning goes to ``additional_kwargs["reasoning_content"]``, malformed tool calls to
    `invalid_tool_calls`, and the exact token ids to ``response_metadata["flashtrace"]``.
    The keys and values of the last sequence stay in memory for the next call, which usually
    begins with it; `forget` frees them.
    """

    model: Any = Field(repr=False, exclude=True)
    """A loaded transformers causal LM in evaluation mode."""
    tokenizer: Any = Field(repr=False, exclude=True)
    """Its tokenizer."""
    max_new_tokens: int = Field(default=512, ge=1)
    """Tokens written per answer at most; an answer that reaches it has finish reason ``length``."""
    temperature: float = Field(default=0.0, ge=0)
    """0 for the most likely token each time."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Draw from the most likely tokens that hold this share together."""
    top_k: int | None = Field(default=None, ge=1)
    """Draw from this many most likely tokens."""
    seed: int | None = None
    """Makes draws repeatable; each call starts from it."""
    stop: list[str] | None = None
    """Strings that end an answer; calls may give their own."""
    template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Variables for the chat template, such as ``{"enable_thinking": False}``."""
    chat_template: str | None = Field(default=None, repr=False)
    """Jinja source in place of the tokenizer's own template."""

    capture_bytes: int = Field(default=DEFAULT_BUDGET, ge=0)
    """Bytes kept so that explaining recent answers takes no forward pass; 0 keeps nothing."""

    _cache: PrefixCache = PrivateAttr(default_factory=PrefixCache)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        gguf_file: str | None = None,
        device_map: Any = None,
        dtype: Any = "auto",
        **params: Any,
    ) -> Self:
        """Load a model and its tokenizer.

        Args:
            name: catalogue name, local folder, path of a ``.gguf`` file, or Hugging Face id.
            gguf_file: name of a GGUF file inside the folder or repository.
            device_map: as in transformers; None leaves the model on the CPU.
            dtype: torch dtype, its name, or ``"auto"``.
            params: further fields of this class.

        Raises:
            ModelFileError: if there is no such model or its files cannot be read.
        """
        from flashtrace_agent.engine.loading import load_model

        model, tokenizer = load_model(name, gguf_file=gguf_file, device_map=device_map, dtype=dtype)
        return cls(model=model, tokenizer=tokenizer, **params)

    @property
    def model_name(self) -> str:
        """The name or path the model was loaded from, else its class."""
        return getattr(self.model.config, "_name_or_path", "") or type(self.model).__name__

    @property
    def context_length(self) -> int | None:
        """Tokens the model can hold, prompt and completion together; None where not stated."""
        return context_length(self.model.config)

    def forget(self) -> None:
        """Free the memory of the keys and values kept for the next call and for attribution."""
        self._cache.clear()
        kept_captures(self.model).clear()

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools on offer in its prompt.

        Raises:
            FlashTraceError: for a `tool_choice` other than None or ``"auto"``: nothing here
                can force a model to call.
        """
        if tool_choice not in (None, "auto"):
            raise FlashTraceError(
                f"ChatTransformers cannot force a tool call (tool_choice={tool_choice!r}): "
                "leave tool_choice out or give 'auto', and ask for the tool in the prompt."
            )
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    @property
    def _llm_type(self) -> str:
        return "flashtrace-transformers"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = ("max_new_tokens", "temperature", "top_p", "top_k", "seed", "template_kwargs")
        return {"model_name": self.model_name, **{name: getattr(self, name) for name in names}}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        turn = self._turn(messages, stop, kwargs)
        turn.run()
        return ChatResult(generations=[ChatGeneration(message=turn.message())])

    # LangChain's async methods run these two in an executor, which suits them: no lock is held
    # between tokens, so each may come from another thread.
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for message in self._turn(messages, stop, kwargs).chunks():
            chunk = ChatGenerationChunk(message=message)
            if run_manager is not None:
                run_manager.on_llm_new_token(str(message.content), chunk=chunk)
            yield chunk

    def _turn(self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]) -> Turn:
        """Render the prompt and prepare to run it.

        Raises:
            FlashTraceError: if there is no chat template that fits.
            SequenceError: if the prompt leaves no room in the model's context.
        """
        prompt = render_prompt(
            self.tokenizer,
            [from_langchain(message) for message in messages],
            offered_tools(options),
            chat_template=options.get("chat_template", self.chat_template),
            template_kwargs=options.get("template_kwargs", self.template_kwargs),
        )
        stop_ids = self._end_ids()
        kept_captures(self.model).set_budget(self.capture_bytes)
        tokens = generate(
            self.model,
            prompt.ids,
            max_new_tokens=self._room(len(prompt.ids), options.get("max_new_tokens", self.max_new_tokens)),
            stop_ids=stop_ids,
            sampling=Sampling(
                temperature=options.get("temperature", self.temperature),
                top_k=options.get("top_k", self.top_k),
                top_p=options.get("top_p", self.top_p),
                seed=options.get("seed", self.seed),
            ),
            cache=self._cache,
            keep=self.capture_bytes > 0,
        )
        return Turn(
            self.tokenizer,
            prompt,
            tokens,
            stop=stop or self.stop or (),
            stop_ids=stop_ids,
            model_name=self.model_name,
        )

    def _room(self, prompt: int, wanted: int) -> int:
        """Return how many tokens may follow a prompt of so many.

        Raises:
            SequenceError: if none may.
        """
        context = self.context_length
        if context is None:
            return wanted
        if prompt >= context:
            raise SequenceError(
                f"The prompt has {prompt} tokens and the model's context holds {context}: "
                "shorten the history or the tool descriptions, or take a model with a longer context."
            )
        return min(wanted, context - prompt)

    def _end_ids(self) -> frozenset[int]:
        """Return the ids that end an answer: the configured ones, and the known end-of-turn tokens.

        A model read from a GGUF file has no generation config, and would talk on past
        ``<|eot_id|>`` without the latter.
        """
        config = getattr(self.model, "generation_config", None)
        ends: set[int] = set()
        for value in (getattr(config, "eos_token_id", None), self.tokenizer.eos_token_id):
            ends.update(value if isinstance(value, list | tuple) else [] if value is None else [value])
        added = self.tokenizer.added_tokens_decoder
        ends.update(index for index, token in added.items() if token.special and str(token) in END_TOKENS)
        return frozenset(ends)
