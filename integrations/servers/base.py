"""What every source of token ids answers, and how servers are asked."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.message import Message, ToolSchema
from flashtrace_agent.trace import Step

TIMEOUT_S = 60.0

MAX_ANSWER = 256 * 1024 * 1024
"""Bytes of an answer: a million token ids take some ten million."""

KEY_VARIABLE = "FLASHTRACE_AGENT_SERVER_KEY"
"""The server's API key, sent as a bearer token; in the environment, so that no list of processes shows it."""


class ServerError(FlashTraceError):
    """A model server cannot be reached, or answers what it should not."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a chat request was made of.

    Attributes:
        keep_reasoning: send earlier reasoning back, which most clients do not do.
    """

    messages: Sequence[Message]
    tools: Sequence[ToolSchema] = ()
    model: str | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    keep_reasoning: bool = False

    @classmethod
    def of(cls, step: Step, *, keep_reasoning: bool = False) -> Conversation:
        """Return the request of a recorded model step."""
        kwargs = step.settings.get("template_kwargs")
        given = dict(kwargs) if isinstance(kwargs, Mapping) else {}
        return cls(step.input, step.tools, step.model, given, keep_reasoning)

    def openai_messages(self, answer: Message | None = None) -> list[dict[str, Any]]:
        """Return the messages as a chat-completions request has them, an answer at their end."""
        messages = [_openai_message(message, self.keep_reasoning) for message in self.messages]
        return messages if answer is None else [*messages, _openai_message(answer, True)]

    def openai_request(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the body of a request with these messages, the tools and the template's variables."""
        body: dict[str, Any] = {"messages": list(messages)}
        if self.tools:
            body["tools"] = self.openai_tools()
        if self.template_kwargs:
            body["chat_template_kwargs"] = dict(self.template_kwargs)
        return body

    def openai_tools(self) -> list[dict[str, Any]]:
        """Return the tools as a chat-completions request has them."""
        return [tool.to_openai() for tool in self.tools]


class TokenSource(ABC):
    """Something that knows which ids a conversation becomes."""

    name: str
    """How reasons speak of it."""

    @abstractmethod
    def prompt_ids(self, conversation: Conversation) -> list[int]:
        """Return the ids of the prompt, up to where the assistant begins to write.

        Raises:
            FlashTraceError: if they cannot be had.
        """

    @abstractmethod
    def whole_ids(self, conversation: Conversation, answer: Message) -> list[int]:
        """Return the ids of the prompt with an answer after it, possibly without its end-of-turn token.

        Raises:
            FlashTraceError: if they cannot be had.
        """

    def end_of_turn(self) -> int | None:
        """Return the id of the token that ends a turn, None where it is not known."""
        return None


def ask(url: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Send JSON to a server (or only ask, without a body) and return the object it answers.

    Raises:
        ServerError: if there is no answer, or it is none of JSON's objects.
    """
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get(KEY_VARIABLE):
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - http or https, checked where named
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - see above
            answer = json.loads(response.read(MAX_ANSWER))
    except urllib.error.HTTPError as error:
        said = error.read(300).decode("utf-8", "replace").strip()
        raise ServerError(
            f"{url} answers {error.code} ({said}): check the server's kind and model."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ServerError(f"{url} cannot be asked ({error}): check that the server runs there.") from error
    if not isinstance(answer, dict):
        raise ServerError(f"{url} answers something else than a model server would: check the address.")
    return answer


def ids_in(answer: Mapping[str, Any], key: str, url: str) -> list[int]:
    """Return the token ids in an answer.

    Raises:
        ServerError: if they are not there.
    """
    ids = answer.get(key)
    if not isinstance(ids, list) or not all(type(token) is int and token >= 0 for token in ids):
        raise ServerError(f"{url} answers without token ids in {key!r}: check the server's kind and version.")
    return ids


def text_in(answer: Any, url: str, *path: str) -> str:
    """Return the text at a path of an answer.

    Raises:
        ServerError: if it is not there.
    """
    for key in path:
        answer = answer.get(key) if isinstance(answer, Mapping) else None
    if not isinstance(answer, str):
        raise ServerError(
            f"{url} answers without a text in {'.'.join(path)!r}: check the server's kind and version."
        )
    return answer


def _openai_message(message: Message, keep_reasoning: bool) -> dict[str, Any]:
    data: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning is not None and keep_reasoning:
        data["reasoning_content"] = message.reasoning
    if message.tool_calls:
        data["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": call.arguments
                    if isinstance(call.arguments, str)
                    else json.dumps(dict(call.arguments), ensure_ascii=False),
                },
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        data["tool_call_id"] = message.tool_call_id
    return data
