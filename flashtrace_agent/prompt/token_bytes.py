"""The bytes each token id stands for, for the kinds of tokenizers that there are.

Byte-level BPE (GPT-2's scheme: Llama-3, Qwen, SmolLM) writes each byte as one printable
character. SentencePiece (Llama-2, Mistral, Gemma) writes a space as ``▁`` and a byte it has no
piece for as ``<0xE2>``. Added tokens are meant literally in both. Anything else is decoded step
by step, which is exact for every tokenizer whose decoding goes from left to right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

Kind = Literal["byte-level", "sentencepiece", "other"]

_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


def token_bytes(tokenizer: Any, ids: Sequence[int]) -> list[bytes]:
    """Return the UTF-8 bytes of each token; together they are the sequence's text.

    An id that the tokenizer does not know, as padding rows of an embedding matrix have, has
    no bytes.
    """
    kind, strips_space = _kind(tokenizer)
    if kind == "other":
        return _decode_stepwise(tokenizer, ids)
    added = {index: str(token).encode() for index, token in tokenizer.added_tokens_decoder.items()}
    known = dict(added)
    unknown = sorted(set(ids) - known.keys())
    pieces = tokenizer.convert_ids_to_tokens(unknown)
    read = _byte_level if kind == "byte-level" else _sentencepiece
    known.update((index, read(piece) if piece else b"") for index, piece in zip(unknown, pieces, strict=True))
    result = [known[index] for index in ids]
    if strips_space and result and ids[0] not in added and result[0].startswith(b" "):
        result[0] = result[0][1:]  # the space that the tokenizer puts before every text
    return result


def _kind(tokenizer: Any) -> tuple[Kind, bool]:
    """Return a tokenizer's kind and whether its decoder removes a space at the very start."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        # transformers' Python tokenizers: GPT-2's lineage carries its byte table.
        if hasattr(tokenizer, "byte_decoder"):
            return "byte-level", False
        return ("sentencepiece", True) if hasattr(tokenizer, "sp_model") else ("other", False)
    if backend.decoder is None:
        return "other", False
    state = json.loads(backend.decoder.__getstate__())
    steps = state["decoders"] if state["type"] == "Sequence" else [state]
    types = {step["type"] for step in steps}
    if types <= {"ByteLevel", "Fuse"} and "ByteLevel" in types:
        return "byte-level", False
    if types == {"Metaspace"}:
        return "sentencepiece", steps[0].get("prepend_scheme", "always") != "never"
    if types <= {"Replace", "ByteFallback", "Fuse", "Strip"} and _replaces_only_space(steps):
        strips = any(step["type"] == "Strip" and step["start"] for step in steps)
        return "sentencepiece", strips
    return "other", False


def _replaces_only_space(steps: list[dict[str, Any]]) -> bool:
    replacements = [step for step in steps if step["type"] == "Replace"]
    return bool(replacements) and all(
        step["pattern"] == {"String": "▁"} and step["content"] == " " for step in replacements
    )


@cache
def _byte_of_char() -> dict[str, int]:
    """Return GPT-2's table: the byte for which each printable character stands."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in set(printable))
    table.update((chr(256 + index), byte) for index, byte in enumerate(others))
    return table


def _byte_level(piece: str) -> bytes:
    table = _byte_of_char()
    try:
        return bytes([table[char] for char in piece])
    except KeyError:
        return piece.encode("utf-8", "replace")  # not in the byte alphabet: meant literally


def _sentencepiece(piece: str) -> bytes:
    byte = _BYTE_PIECE.fullmatch(piece)
    return bytes([int(byte.group(1), 16)]) if byte else piece.replace("▁", " ").encode("utf-8", "replace")


def _decode_stepwise(tokenizer: Any, ids: Sequence[int]) -> list[bytes]:
    """Decode ever longer beginnings, each from the last place where a character was complete."""

    def decode(start: int, end: int) -> str:
        text = tokenizer.decode(
            list(ids[start:end]), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return str(text)

    result: list[bytes] = []
    context, done = 0, 0  # tokens before `done` are settled; those from `context` on give context
    for end in range(1, len(ids) + 1):
        before, now = decode(context, done), decode(context, end)
        complete = not now.endswith("�") or end == len(ids)
        new = now[len(before) :] if complete else ""
        result.append(new.encode("utf-8", "replace"))
        if new:
            context, done = done, end
    return result
