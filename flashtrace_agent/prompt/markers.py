"""Where each leaf lies in a rendered prompt, found by rendering a second time with markers.

1. Every leaf gets a marker character at both ends; markers are private-use characters that
   occur nowhere in the conversation.
2. If the marked text without its markers is the real text, the markers' places are exact.
3. If not, the template looked at some string (Qwen3 asks whether a user message starts with
   ``<tool_response>``), and marking that one changed the prompt. The leaves are halved until
   those are found; they stay unmarked and everything else is still exact.
"""

from __future__ import annotations

import copy
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from .chat_template import ChatTemplate, TemplateRefusedError
from .leaves import Leaf, Path

Range = tuple[int, int]

_FIRST_MARKER = 0xF0000  # supplementary private-use area A, and B after it
_LAST_MARKER = 0x10FFFD

_MAX_RENDERS = 48
"""Bound on the search for leaves that cannot be marked; those not decided by then go unmarked."""


def locate_leaves(
    template: ChatTemplate,
    conversation: dict[str, Any],
    leaves: Sequence[Leaf],
    text: str,
    *,
    add_generation_prompt: bool = True,
) -> tuple[list[list[Range]], set[int]]:
    """Find the ranges in the rendered `text` at which each leaf is printed.

    Returns:
        For each leaf its ranges, none where the template leaves it out or it could not be
        marked; and the indices of the leaves that could not be marked.
    """
    search = _Search(template, conversation, leaves, text, add_generation_prompt)
    search.add(list(range(len(search.markers) // 2)))
    return search.ranges, set(range(len(leaves))) - set(search.marked)


class _Search:
    """Grows the set of leaves that can be marked together."""

    def __init__(
        self,
        template: ChatTemplate,
        conversation: dict[str, Any],
        leaves: Sequence[Leaf],
        text: str,
        add_generation_prompt: bool,
    ) -> None:
        self.template = template
        self.conversation = conversation
        self.leaves = leaves
        self.text = text
        self.add_generation_prompt = add_generation_prompt
        # Markers suffice for 65,000 leaves; any further ones go unmarked.
        self.markers = _free_characters(text + json.dumps(conversation, ensure_ascii=False), 2 * len(leaves))
        self.marked: list[int] = []
        self.renders_left = _MAX_RENDERS
        self.ranges: list[list[Range]] = [[] for _ in leaves]

    def add(self, candidates: list[int]) -> None:
        """Mark as many of the candidates as the template lets pass unnoticed."""
        if not candidates or self.renders_left <= 0:
            return
        self.renders_left -= 1
        attempt = sorted(self.marked + candidates)
        ranges = self._try(attempt)
        if ranges is not None:
            self.marked, self.ranges = attempt, ranges
        elif len(candidates) > 1:
            middle = len(candidates) // 2
            self.add(candidates[:middle])
            self.add(candidates[middle:])

    def _try(self, marked: list[int]) -> list[list[Range]] | None:
        conversation = copy.deepcopy(self.conversation)
        by_path: dict[Path, list[int]] = defaultdict(list)
        for index in marked:
            by_path[self.leaves[index].path].append(index)
        for path, indices in by_path.items():
            container: Any = conversation
            for key in path[:-1]:
                container = container[key]
            container[path[-1]] = self._mark(container[path[-1]], indices)
        try:
            rendered = self.template.render_dicts(
                conversation["messages"],
                conversation["tools"],
                add_generation_prompt=self.add_generation_prompt,
            )
        except TemplateRefusedError:
            return None
        return self._read(rendered)

    def _mark(self, string: str, indices: list[int]) -> str:
        parts: list[str] = []
        done = 0
        for index in sorted(indices, key=lambda index: self.leaves[index].start):
            leaf = self.leaves[index]
            opening, closing = self.markers[2 * index : 2 * index + 2]
            parts += [string[done : leaf.start], opening, string[leaf.start : leaf.end], closing]
            done = leaf.end
        return "".join([*parts, string[done:]])

    def _read(self, rendered: str) -> list[list[Range]] | None:
        """Return each leaf's ranges, or None if the marked text is not the real one."""
        number = {marker: index for index, marker in enumerate(self.markers)}
        parts: list[str] = []
        opened: dict[int, int] = {}
        ranges: list[list[Range]] = [[] for _ in self.leaves]
        alone: list[tuple[int, int]] = []
        done = position = 0
        for match in re.finditer(f"[{chr(_FIRST_MARKER)}-{chr(_LAST_MARKER)}]", rendered):
            marker = number.get(match.group())
            if marker is None:
                continue
            parts.append(rendered[done : match.start()])
            position += match.start() - done
            done = match.end()
            leaf = marker // 2
            if marker % 2 == 0:
                opened[leaf] = position
            elif leaf in opened:
                ranges[leaf].append((opened.pop(leaf), position))
            else:
                alone.append((leaf, position))
        parts.append(rendered[done:])
        if "".join(parts) != self.text:
            return None
        # A template that cuts a string (at ``</think>``, or to a length) prints one marker of it.
        for leaf, end in alone:
            start = _common_suffix(self.leaves[leaf].text, self.text, end)
            if start < end and not ranges[leaf]:
                ranges[leaf].append((start, end))
        for leaf, start in opened.items():
            end = start + common_prefix(self.leaves[leaf].text, self.text[start:])
            if start < end and not ranges[leaf]:
                ranges[leaf].append((start, end))
        return ranges


def common_prefix(first: str, second: str) -> int:
    """Return the length of the longest common beginning, by bisection on slices."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_suffix(leaf: str, text: str, end: int) -> int:
    """Return where the longest end of `leaf` that ends at ``text[:end]`` begins."""
    before = text[max(0, end - len(leaf)) : end]
    return end - common_prefix(leaf[::-1], before[::-1])


def _free_characters(used: str, count: int) -> list[str]:
    """Return up to `count` private-use characters that do not occur in `used`."""
    taken = set(re.findall(f"[{chr(_FIRST_MARKER)}-{chr(_LAST_MARKER)}]", used))
    free: list[str] = []
    for point in range(_FIRST_MARKER, _LAST_MARKER + 1):
        if len(free) == count:
            break
        # The last two points of a plane are no characters.
        if point & 0xFFFE != 0xFFFE and chr(point) not in taken:
            free.append(chr(point))
    return free
