"""Cut a step's tokens into named segments, for any chat template.

1. The pieces of the prompt are listed: contents, reasoning, calls, schemas (`leaves`).
2. The prompt is rendered with markers around their strings, which gives their places in the
   rendered text (`markers`).
3. Those are carried over to the text of the ids that the model was really given (`alignment`).
4. Calls and schemas are widened to their whole JSON object (`objects`).
5. Characters become tokens. A token that straddles pieces belongs to the one that owns its
   first character outside the template. All other tokens are ``template``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

from flashtrace_agent.completion import Completion, opens_reasoning, parse_completion
from flashtrace_agent.errors import FlashTraceError
from flashtrace_agent.message import Message, ToolSchema
from flashtrace_agent.segment import Segment
from flashtrace_agent.span import Span
from flashtrace_agent.trace import Step

from .alignment import LONG, find_missing, map_ranges
from .chat_template import ChatTemplate, TemplateRefusedError, choose_template
from .leaves import Leaf, Piece, find_leaves
from .markers import Range, locate_leaves
from .objects import enclosing_object
from .template_messages import template_messages, template_tools
from .text_agents import is_text_agent
from .token_text import TokenText

TEMPLATE = "template"

PROMPT_END = 16
"""Tokens at a prompt's end among which it may open the reasoning."""


def prompt_segments(
    tokenizer: Any,
    messages: Sequence[Message],
    tools: Sequence[ToolSchema],
    prompt_ids: Sequence[int],
    *,
    chat_template: str | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
) -> list[Segment]:
    """Cut a prompt into segments that tile ``[0, len(prompt_ids))``.

    The ids need not come from rendering here: what of the conversation is not found in their
    text is left to ``template``. Nothing is raised for a conversation that does not fit.

    Args:
        tokenizer: the transformers tokenizer of the ids.
        messages: the conversation.
        tools: the tools on offer.
        prompt_ids: the ids the model was given.
        chat_template: Jinja source, as for `render_prompt`.
        template_kwargs: the template's variables, as for `render_prompt`.
    """
    token_text = TokenText(tokenizer, prompt_ids)
    actual = token_text.text
    template: ChatTemplate | None
    try:
        template = choose_template(
            tokenizer, messages, tools, chat_template=chat_template, template_kwargs=template_kwargs
        )
        rendered = template.render(messages, tools)
    except FlashTraceError:
        # Recorded with another template: everything is searched for in the text itself.
        template, rendered = None, ""
    conversation = {
        "messages": template_messages(messages, template.text if template else ""),
        "tools": template_tools(tools),
    }
    pieces, leaves = find_leaves(messages, conversation)
    if template is None:
        places: list[list[Range]] = [[] for _ in leaves]
        ranges: list[list[Range]] = [[] for _ in leaves]
        missing = list(range(len(leaves)))
        trimmed: set[str] = set()
    else:
        places, unmarked = locate_leaves(template, conversation, leaves, rendered)
        ranges, same = map_ranges(tokenizer, rendered, actual, places)
        # What the template here leaves out is not in the same text; in another it may be, but
        # a short string would only be found by chance.
        missing = [
            index
            for index, found in enumerate(ranges)
            if not found
            and (index in unmarked or places[index] or (not same and len(leaves[index].text) >= LONG))
        ]
        trimmed = _trimmed_kinds(template, conversation, leaves, rendered)
    find_missing(tokenizer, actual, pieces, leaves, ranges, missing, rendered, places)
    named = _widen(actual, pieces, leaves, ranges, conversation, trimmed)
    return _tile(token_text, named, offset=0, rest=None)


def step_segments(tokenizer: Any, step: Step, *, chat_template: str | None = None) -> list[Segment]:
    """Cut a model step's prompt and completion into segments that tile both.

    Args:
        tokenizer: the transformers tokenizer of the step's ids.
        step: a model step; its settings' ``template_kwargs`` and ``chat_template`` are used.
        chat_template: Jinja source, if it is not the one in the step's settings.

    Raises:
        FlashTraceError: if the step's prompt ids are unknown.
    """
    if step.prompt_ids is None:
        raise FlashTraceError(
            f"Step {step.id} has no prompt token ids: recover them from its messages before cutting it up."
        )
    prompt = prompt_segments(
        tokenizer,
        step.input,
        step.tools,
        step.prompt_ids,
        chat_template=chat_template or step.settings.get("chat_template"),
        template_kwargs=step.settings.get("template_kwargs"),
    )
    token_text, completion = parse_step(tokenizer, step)
    named = [(f"tool_call:{call.name}", -1, (call.body_start, call.body_end)) for call in completion.calls]
    named += [
        (f"tool_call:{call.name or 'invalid'}", -1, (call.start, call.end))
        for call in completion.invalid_calls
    ]
    named += [("answer", -1, span) for span in completion.answer_ranges]
    if completion.reasoning_range is not None:
        named.append(("reasoning", -1, completion.reasoning_range))
    return prompt + _tile(token_text, named, offset=len(step.prompt_ids), rest=-1)


def parse_step(tokenizer: Any, step: Step) -> tuple[TokenText, Completion]:
    """Return the text of a step's completion ids (none where unknown), and its parts."""
    token_text = TokenText(tokenizer, step.completion_ids or [])
    in_reasoning = opens_reasoning(TokenText(tokenizer, (step.prompt_ids or [])[-PROMPT_END:]).text)
    text_agent = is_text_agent(step.input, step.tools)
    return token_text, parse_completion(token_text.text, in_reasoning=in_reasoning, text_agent=text_agent)


def _trimmed_kinds(
    template: ChatTemplate, conversation: dict[str, Any], leaves: Sequence[Leaf], rendered: str
) -> set[str]:
    """Return the kinds of messages whose edges the template trims.

    Only those need care: in a trimming template, a line break before the content is the
    template's own even if the content began with one.
    """
    edged = {_kind(leaf, conversation) for leaf in leaves if leaf.lead or leaf.trail}
    trimmed: set[str] = set()
    for kind in edged:
        stripped = copy.deepcopy(conversation)
        for leaf in leaves:
            if _kind(leaf, conversation) == kind:
                _, index, key = leaf.path
                message = stripped["messages"][index]
                message[key] = message[key].strip()
        try:
            same = template.render_dicts(stripped["messages"], stripped["tools"]) == rendered
        except TemplateRefusedError:
            same = False
        if same:
            trimmed.add(kind)
    return trimmed


def _kind(leaf: Leaf, conversation: dict[str, Any]) -> str:
    if leaf.path[0] != "messages" or len(leaf.path) != 3:
        return "object"
    return f"{conversation['messages'][leaf.path[1]]['role']} {leaf.path[2]}"


def _widen(
    text: str,
    pieces: Sequence[Piece],
    leaves: Sequence[Leaf],
    ranges: Sequence[Sequence[Range]],
    conversation: dict[str, Any],
    trimmed: set[str],
) -> list[tuple[str, int | None, Range]]:
    """Return every piece that was found, with its name, message and whole range."""
    taken: list[tuple[int, Range]] = []
    hulls: dict[int, Range] = {}
    for leaf, found in zip(leaves, ranges, strict=True):
        if not found:
            continue
        if not pieces[leaf.piece].is_object:
            keep = _kind(leaf, conversation) not in trimmed
            taken += [(leaf.piece, _with_edges(text, leaf, span) if keep else span) for span in found]
            continue
        # A name may also stand in a list before the schemas: the last place is the schema's.
        start, end = found[-1]
        hull = hulls.get(leaf.piece, (start, end))
        hulls[leaf.piece] = (min(hull[0], start), max(hull[1], end))
    taken += hulls.items()
    taken.sort(key=lambda entry: entry[1])
    named: list[tuple[str, int | None, Range]] = []
    for position, (piece, span) in enumerate(taken):
        if pieces[piece].is_object:
            low = named[-1][2][1] if named else 0
            high = taken[position + 1][1][0] if position + 1 < len(taken) else len(text)
            span = enclosing_object(text, span, low, high)
        named.append((pieces[piece].name, pieces[piece].message, span))
    return named


def _with_edges(text: str, leaf: Leaf, span: Range) -> Range:
    """Add the whitespace at a content's edges, where the text has all of it, plain or as JSON."""
    start, end = span
    for lead in _printed(leaf.lead):
        if lead and text.endswith(lead, 0, start):
            start -= len(lead)
            break
    for trail in _printed(leaf.trail):
        if trail and text.startswith(trail, end):
            end += len(trail)
            break
    return start, end


def _printed(space: str) -> tuple[str, str, str]:
    return space, json.dumps(space, ensure_ascii=False)[1:-1], json.dumps(space)[1:-1]


def _tile(
    token_text: TokenText,
    named: Sequence[tuple[str, int | None, Range]],
    *,
    offset: int,
    rest: int | None,
) -> list[Segment]:
    """Turn character ranges into segments that tile the tokens, shifted by `offset`."""
    segments: list[Segment] = []
    done = 0

    def append(name: str, message: int | None, start: int, end: int) -> None:
        if start < end:
            segments.append(Segment(name, Span(offset + start, offset + end), message))

    for name, message, (start, end) in sorted(named, key=lambda entry: entry[2]):
        span = token_text.span(start, end)
        # Tokens before `done` belong to the piece that has the earlier characters of them.
        if span.end <= done:
            continue
        first = max(done, span.start)
        append(TEMPLATE, rest, done, first)
        append(name, message, first, span.end)
        done = span.end
    append(TEMPLATE, rest, done, token_text.n_tokens)
    return segments
