"""llama.cpp's server: ``POST /apply-template`` renders a chat, ``POST /tokenize`` makes ids of it.

``/apply-template`` takes what ``/v1/chat/completions`` takes and answers ``{prompt}``. ``/tokenize`` takes
``{content, add_special, parse_special}`` and answers ``{tokens}`` (``tools/server/README.md``). The server
itself tokenizes prompts with special tokens added, and its templates leave the BOS out.

A last message of the assistant is not rendered but left open for the model to go on: its words are put
after the prompt, its calls are dropped, and where the template thinks the request is refused
(``common/chat.cpp``). So the end of an answer is found in two other ways: calls by rendering what comes
after them, words by doing what the server does with an open message.
"""

from __future__ import annotations

from typing import Any

from flashtrace_agent.completion.parse import THINK_TAGS, opens_reasoning
from flashtrace_agent.message import Message

from .base import Conversation, ServerError, TokenSource, ask, ids_in, text_in


class LlamaCppServer(TokenSource):
    """A ``llama-server``, started with ``--jinja`` where tools are used.

    Args:
        url: its address, without ``/v1``.
    """

    name = "llama.cpp's /apply-template and /tokenize"

    def __init__(self, url: str) -> None:
        self._url = url

    def prompt_ids(self, conversation: Conversation) -> list[int]:
        return self._tokenize(self._rendered(conversation, conversation.openai_messages()))

    def whole_ids(self, conversation: Conversation, answer: Message) -> list[int]:
        prompt = self._rendered(conversation, conversation.openai_messages())
        if answer.tool_calls:
            return self._tokenize(self._with_calls(conversation, answer, prompt))
        return self._tokenize(prompt + _words(answer, prompt))

    def end_of_turn(self) -> int | None:
        """Return the id of the token that ``GET /props`` names as the end."""
        text = self._end()
        ids = self._tokenize(text, special=False) if text else []
        return ids[0] if len(ids) == 1 else None

    def _with_calls(self, conversation: Conversation, answer: Message, prompt: str) -> str:
        """Return the text up to the end of the turn that makes the calls: results must follow those."""
        messages = conversation.openai_messages(answer)
        messages += [
            {"role": "tool", "content": "", "tool_call_id": call.id, "name": call.name}
            for call in answer.tool_calls
        ]
        whole, end = self._rendered(conversation, messages), self._end()
        if not end or not whole.startswith(prompt) or end not in whole[len(prompt) :]:
            raise ServerError(
                f"{self._url} renders no turn with calls after the prompt: use --model instead."
            )
        return whole[: whole.index(end, len(prompt)) + len(end)]

    def _end(self) -> str:
        text = ask(f"{self._url}/props").get("eos_token")
        return text if isinstance(text, str) else ""

    def _rendered(self, conversation: Conversation, messages: list[dict[str, Any]]) -> str:
        url = f"{self._url}/apply-template"
        return text_in(ask(url, conversation.openai_request(messages)), url, "prompt")

    def _tokenize(self, text: str, *, special: bool = True) -> list[int]:
        url = f"{self._url}/tokenize"
        return ids_in(
            ask(url, {"content": text, "add_special": special, "parse_special": True}), "tokens", url
        )


def _words(answer: Message, prompt: str) -> str:
    """Return what a model wrote after a prompt, reasoning between the tags that nearly all use for it.

    Whether that is so is decided by the reported number of tokens, as everything here is.
    """
    if answer.reasoning is None:
        return answer.content
    opening_tag, closing_tag = THINK_TAGS[0]
    opening = "" if opens_reasoning(prompt) else f"{opening_tag}\n"
    return f"{opening}{answer.reasoning.strip(chr(10))}\n{closing_tag}\n\n{answer.content}"
