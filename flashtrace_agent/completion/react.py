"""Text agents: ``Thought:`` / ``Action:`` / ``Action Input:`` / ``Observation:`` / ``Final Answer:``.

Read are, with any numbering (``Action 1:``), bold labels and full-width colons:

- LangChain's ReAct prompts, and the same in Chinese;
- a JSON blob ``{"action": …, "action_input": …}`` as the action, with or without a code fence, or
  as the whole text (LangChain's structured and conversational chat agents);
- ``Action: Search[entity]`` and ``Finish[answer]`` (the ReAct paper, arXiv 2210.03629);
- LlamaIndex, whose final answer is labelled ``Answer:``;
- Qwen-Agent's ``✿FUNCTION✿`` / ``✿ARGS✿`` / ``✿RESULT✿`` / ``✿RETURN✿``.

Whether a text is a text agent's cannot be seen from it alone, since anyone may write "Final
Answer:". So `instructs` asks the prompt whether that was wanted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from .json_spans import JsonError, Located, read_members, skip_space
from .pieces import Completion, InvalidCall, ParsedArgument, ParsedCall, trim

Kind = Literal["thought", "action", "input", "observation", "answer"]
Range = tuple[int, int]

INPUT = "input"
"""Name of the argument of a tool that is given plain text."""

_WORDS: dict[Kind, str] = {
    "input": "Action Input|行动输入|动作输入|操作输入",
    "action": "Action|行动|动作|操作",
    "thought": "Thought|思考|想法",
    "observation": "Observation|观察结果|观察",
    "answer": "Final Answer|Answer|最终答案|最终回答|答案",
}
_TAGS: dict[str, Kind] = {"FUNCTION": "action", "ARGS": "input", "RESULT": "observation", "RETURN": "answer"}
_LABEL = re.compile(
    r"^[ \t]*(?:[#>-]+[ \t]*)?(?:\*\*|__)?(?:"
    + "|".join(f"(?P<{kind}>{words})" for kind, words in _WORDS.items())
    + r")[ \t]*\d*[ \t]*(?:\*\*|__)?[ \t]*(?:[:：]|(?<=Observation)\s*\Z)(?:\*\*|__)?"
    + r"|✿(?P<tag>FUNCTION|ARGS|RESULT|RETURN)✿[ \t]*[:：]?",
    re.MULTILINE,
)
_BRACKETS = re.compile(r"([\w.-]+(?: [\w.-]+)*)[ \t]*(?:\[(.*)\]|\((.*)\))", re.DOTALL)
_FENCE_OPEN = re.compile(r"```[\w-]*[ \t]*\n?")
_FINISH = frozenset({"finish", "final answer", "final_answer", "finalanswer", "answer"})
_QUESTION = re.compile(r"^[ \t]*(?:\*\*)?(?:Question|问题)[ \t]*\d*(?:\*\*)?[ \t]*[:：]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Section:
    """A labelled part of a text: where its label and its value are, the value trimmed."""

    kind: Kind
    label: int
    start: int
    end: int


def instructs(prompt: str) -> bool:
    """Tell whether a prompt asks for such text: it shows how to act and how to go on or end."""
    kinds = {_kind(match) for match in _LABEL.finditer(prompt)}
    blob = "action_input" in prompt and '"action"' in prompt
    return blob or ("action" in kinds and bool(kinds & {"input", "observation", "answer"}))


def read(text: str, start: int, end: int) -> Completion | None:
    """Take a text agent's ``text[start:end]`` apart; None where it follows no such format.

    What a model writes after a result it made up (no framework lets it go on there) belongs to
    nothing: neither to the call nor to the answer.
    """
    sections = sections_of(text, start, end)
    cut = next((each.label for each in sections if each.kind == "observation"), end)
    sections = [each for each in sections if each.label < cut]
    calls, answers = _acts(text, sections, cut)
    if not calls and not answers:
        blob = _blob(text, *trim(text, start, cut))
        if blob is not None:
            fence = text.rfind("```", start, blob[0][0])
            _take(blob, text, fence if fence >= 0 else text.rindex("{", start, blob[0][0]), calls, answers)
    thought = _thought(text, sections, start, min([cut, *(c.start for c in calls), *(a[0] for a in answers)]))
    if not calls and not answers and not any(each.kind == "thought" for each in sections):
        return None
    found = tuple(span for span in answers if span[0] < span[1])
    return Completion(
        text=text,
        reasoning=text[slice(*thought)] if thought else None,
        reasoning_range=thought,
        answer="\n".join(text[slice(*span)] for span in found),
        answer_ranges=found,
        calls=tuple(call for call in calls if isinstance(call, ParsedCall)),
        invalid_calls=tuple(call for call in calls if isinstance(call, InvalidCall)),
    )


def scratchpad(text: str, start: int = 0, results: int = 0) -> list[tuple[str, int, int]]:
    """Name the parts of earlier rounds in a prompt's text: ``(segment name, start, end)`` in order.

    Args:
        text: a message's content.
        start: where the rounds begin; see `rounds_begin`.
        results: how many results there are before this text.

    Results are numbered ``tool_result:1`` and so on. Nothing is returned where nothing was done yet.
    """
    parts: list[tuple[str, int, int]] = []
    done = start
    for section in [*sections_of(text, start, len(text)), None]:
        if section is not None and section.kind != "observation":
            continue
        stop = len(text) if section is None else section.label
        round_ = read(text, done, stop) if done < stop else None
        if round_ is not None:
            parts += _named(round_)
        if section is not None:
            results += 1
            value_end = section.end
            if section.start < value_end:
                parts.append((f"tool_result:{results}", section.start, value_end))
            done = value_end
    acted = any(name.startswith(("tool_call", "tool_result")) for name, _, _ in parts)
    return sorted(parts, key=lambda part: part[1]) if acted else []


def rounds_begin(text: str) -> int:
    """Return where the rounds of a prompt begin: at the first label after its last question.

    Those before belong to the instructions. Where there are no rounds, the text's length is returned.
    """
    questions = list(_QUESTION.finditer(text))
    sections = sections_of(text, questions[-1].end(), len(text)) if questions else []
    return sections[0].label if sections else len(text)


def sections_of(text: str, start: int, end: int) -> list[Section]:
    """Return the labelled sections of ``text[start:end]`` in order.

    A final answer reaches to the end, whatever it says; labels inside a JSON blob are its words.
    """
    found: list[Section] = []
    position = start
    while match := _LABEL.search(text, position, end):
        kind = _kind(match)
        if match.start() > start and text[match.start() - 1] != "\n" and not match["tag"]:
            position = match.end()  # the search began within a line
            continue
        following = _LABEL.search(text, _after_value(text, match.end(), end, kind), end)
        stop = following.start() if following and kind != "answer" else end
        first, last = trim(text, match.end(), stop)
        found.append(Section(kind, match.start(), first, max(first, last)))
        position = stop
        if kind == "answer":
            break
    return found


def _kind(match: re.Match[str]) -> Kind:
    if match["tag"]:
        return _TAGS[match["tag"]]
    return next(kind for kind in _WORDS if match[kind])


def _after_value(text: str, start: int, end: int, kind: Kind) -> int:
    """Return where to look for the next label: behind the JSON object an action or input begins with."""
    if kind in ("action", "input"):
        first, _ = _unfenced(text, *trim(text, start, end))
        try:
            return _members(text, first, end)[1]
        except JsonError:
            return start
    return start


def _acts(text: str, sections: list[Section], cut: int) -> tuple[list[ParsedCall | InvalidCall], list[Range]]:
    calls: list[ParsedCall | InvalidCall] = []
    answers: list[Range] = []
    for index, section in enumerate(sections):
        following = sections[index + 1] if index + 1 < len(sections) else None
        if section.kind == "answer":
            answers.append((section.start, section.end))
        elif section.kind == "action":
            given = following if following and following.kind == "input" else None
            found = _act(text, section, given)
            if not isinstance(found, str):
                _take(found, text, section.label, calls, answers)
            elif found:
                end = min(section.end, (text.find("\n", section.start) + 1 or section.end + 1) - 1)
                calls.append(InvalidCall(text[section.label : end], found, section.label, end))
    return calls, answers


def _act(text: str, action: Section, given: Section | None) -> tuple[Range, Located | Range] | str:
    """Return the name's range and the input's, or what is wrong with the action."""
    if given is not None:
        start, end = _bare(text, action.start, action.end)
        if start == end:
            return "The action has no name."
        return (start, end), _unfenced(text, given.start, given.end)
    blob = _blob(text, action.start, action.end)
    if blob is not None:
        return blob
    match = _BRACKETS.fullmatch(text, action.start, action.end)
    if match:
        group = 2 if match[2] is not None else 3
        return match.span(1), match.span(group)
    if text[action.start : action.end].strip(" .`\"'").lower() in ("", "none", "n/a", "无"):
        return ""
    return "The action has no input."


def _take(
    found: tuple[Range, Located | Range],
    text: str,
    start: int,
    calls: list[ParsedCall | InvalidCall],
    answers: list[Range],
) -> None:
    """Add an action to the calls, or to the answers where it is the one that finishes."""
    name, given = found
    inner = given.inner if isinstance(given, Located) else given
    if text[slice(*name)].strip().lower() in _FINISH:
        answers.append(trim(text, *inner))
        return
    arguments = _arguments(text, given)
    end = max(inner[1], given.end if isinstance(given, Located) else 0, name[1])
    calls.append(
        ParsedCall(
            name=text[slice(*name)],
            arguments={argument.name: argument.value for argument in arguments},
            start=min(start, name[0]),
            end=end,
            name_start=name[0],
            name_end=name[1],
            body_start=name[0],
            body_end=end,
            argument_spans=arguments,
        )
    )


def _arguments(text: str, given: Located | Range) -> tuple[ParsedArgument, ...]:
    """Return an input's members, or the whole of it as one argument where it is no JSON object."""
    start, end = given.inner if isinstance(given, Located) else given
    try:
        members, stop = _members(text, start, end)
        if not text[stop:end].strip(" \t\r\n`"):
            return tuple(
                ParsedArgument(name, member.value, *member.inner) for name, member in members.items()
            )
    except JsonError:
        pass  # plain text, then
    value = given.value if isinstance(given, Located) else text[start:end]
    return (ParsedArgument(INPUT, value, start, end),) if start < end else ()


def _blob(text: str, start: int, end: int) -> tuple[Range, Located | Range] | None:
    """Read ``{"action": name, "action_input": …}``, fenced or not, also after some words."""
    fence = _FENCE_OPEN.search(text, start, end)
    position = skip_space(text, fence.end() if fence else start)
    try:
        members, _ = _members(text, position, end)
    except JsonError:
        return None
    name = members.get("action")
    if name is None or not isinstance(name.value, str) or not name.value.strip():
        return None
    return name.inner, members.get("action_input", Located({}, name.end, name.end))


def _members(text: str, start: int, end: int) -> tuple[dict[str, Located], int]:
    """Read the JSON object at `start`, which must not reach beyond `end`; see `read_members`."""
    if not text.startswith("{", start, end):
        raise JsonError("There is no JSON object", start)
    members, stop = read_members(text, start)
    if stop > end:
        raise JsonError("The JSON object goes on too far", end)
    return members, stop


def _thought(text: str, sections: list[Section], start: int, stop: int) -> Range | None:
    """Return where the thought is: what precedes the act, without its label and a fence before the act."""
    labels = [each for each in sections if each.kind == "thought" and each.label < stop]
    first = labels[0].start if labels and not text[start : labels[0].label].strip(" \t\n`") else start
    acts = [each.label for each in sections if each.kind != "thought"]
    span = trim(text, first, max(first, min([stop, *acts])))
    while text[slice(*span)].endswith("```") or text[slice(*span)].endswith("```json"):
        span = trim(text, span[0], text.rindex("```", *span))
    return span if span[0] < span[1] else None


def _named(round_: Completion) -> list[tuple[str, int, int]]:
    parts = [(f"tool_call:{call.name}", call.body_start, call.body_end) for call in round_.calls]
    parts += [("assistant", *span) for span in round_.answer_ranges]
    if round_.reasoning_range is not None:
        parts.append(("reasoning", *round_.reasoning_range))
    return parts


def _bare(text: str, start: int, end: int) -> Range:
    """Strip quotes, backticks and brackets around a name."""
    while start < end and text[start] in "`\"'*[ \n":
        start += 1
    while end > start and text[end - 1] in "`\"'*] \n":
        end -= 1
    return start, end


def _unfenced(text: str, start: int, end: int) -> Range:
    """Strip a code fence around a value, or the end of one that began before it."""
    opening = _FENCE_OPEN.match(text, start, end)
    if opening:
        start = opening.end()
    if text.endswith("```", start, end):
        end -= 3
    return trim(text, start, max(start, end))
