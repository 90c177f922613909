"""Draw messages as a chat, and tool calls with their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import streamlit as st

from flashtrace_agent.message import Message, ToolCall, ToolSchema
from flashtrace_agent.trace import Step

from .text import call_text, clip, duration, plain, pretty

_AVATARS = {
    "system": ":material/settings:",
    "user": ":material/person:",
    "assistant": ":material/smart_toy:",
    "tool": ":material/build:",
}


def show_tools(tools: Sequence[ToolSchema]) -> None:
    """Show the offered tools, folded."""
    if not tools:
        return
    names = ", ".join(tool.name for tool in tools)
    with st.expander(f"Offered tools ({len(tools)}): {plain(clip(names))}", icon=":material/handyman:"):
        for tool in tools:
            st.markdown(f"**{plain(tool.name)}**  {plain(tool.description)}")
            st.json(dict(tool.parameters), expanded=False)


def show_history(messages: Sequence[Message]) -> None:
    """Show what the model was given: system prompt and worked examples folded, the rest as a chat."""
    calls = {call.id: call for message in messages for call in message.tool_calls}
    for kind, group in groupby(messages, key=_kind):
        members = list(group)
        if kind == "chat":
            for message in members:
                show_message(message, calls)
        elif kind == "system":
            for message in members:
                size = f"{len(message.content):,} characters"
                with st.expander(
                    f"System prompt ({size}): {plain(clip(message.content, 60))}", icon=_AVATARS["system"]
                ):
                    st.code(message.content, language=None, wrap_lines=True)
        else:
            count = sum(message.role == "user" for message in members)
            label = f"Worked examples ({count or len(members)})"
            with st.expander(label, icon=":material/school:"):
                for message in members:
                    show_message(message, calls)


def show_message(message: Message, calls: Mapping[str, ToolCall]) -> None:
    """Show one message; a tool's result names the call it answers, found in `calls` by id."""
    with st.chat_message(message.role, avatar=_AVATARS[message.role]):
        if message.role == "tool":
            call = calls.get(message.tool_call_id or "")
            answered = call_text(call) if call else message.tool_call_id or "a call that is not here"
            st.caption(f"result of {plain(answered)}")
            show_result(message.content, failed=message.status == "error")
            return
        if message.reasoning:
            show_reasoning(message.reasoning)
        if message.content:
            st.text(message.content)
        for made in message.tool_calls:
            st.code(call_text(made), language="python", wrap_lines=True)
        if not (message.content or message.reasoning or message.tool_calls):
            st.caption("empty message")


def show_reasoning(reasoning: str) -> None:
    """Show the model's reasoning, set apart from what it said."""
    with st.container(border=True, gap=None):
        st.caption(":material/psychology: reasoning")
        st.text(reasoning.strip("\n"))


def show_result(text: str, *, failed: bool = False) -> None:
    """Show what a tool returned, as JSON where it is JSON."""
    if failed:
        st.error(plain(text), icon=":material/error:")
        return
    if not text:
        st.caption("an empty text")
        return
    body, language = pretty(text)
    st.code(body, language=language, wrap_lines=True)


def show_call(call: ToolCall, result: Step | None, *, unknown: bool) -> None:
    """Show a call the model made in this step with the tool step that answered it."""
    st.code(call_text(call), language="python", wrap_lines=True)
    if unknown:
        st.error(f"No tool called **{plain(call.name)}** was offered to the model\\.", icon=":material/help:")
    if result is None:
        st.caption("No result of this call was recorded.")
    elif result.status == "error":
        st.error(plain(result.error or "The tool failed without a message."), icon=":material/error:")
    elif result.result is not None:
        took = duration(result.started_at, result.ended_at)
        st.caption(":material/subdirectory_arrow_right: result" + (f" after {plain(took)}" if took else ""))
        show_result(result.result)
    else:
        st.caption("The tool has not returned yet.")


def _kind(message: Message) -> str:
    if message.example:
        return "example"
    return "system" if message.role == "system" else "chat"
