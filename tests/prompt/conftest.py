"""Small tokenizers of every kind, built here, so that these tests need no download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

PLAIN_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def _wrap(tokenizer: Tokenizer, template: str | None) -> Any:
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template)


@pytest.fixture(scope="session")
def byte_tokenizer() -> Any:
    """Return a ChatML tokenizer with one token per byte, so every segment edge is exact."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _wrap(tokenizer, PLAIN_CHATML)


@pytest.fixture(scope="session")
def merging_tokenizer() -> Any:
    """Return a byte-level BPE with merges, whose tokens straddle characters and words' edges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(["the tool answers 世界 to the user's\n\n question 👩 {}"] * 20, trainer)
    return _wrap(tokenizer, PLAIN_CHATML)


@pytest.fixture(scope="session")
def sentencepiece_tokenizer() -> Any:
    """Return a Llama-2-like tokenizer: ``▁`` for spaces, bytes for what it has no piece for."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdefghij"]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocab, merges=[], byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return _wrap(tokenizer, None)


@pytest.fixture(scope="session")
def wordpiece_tokenizer() -> Any:
    """Return a tokenizer that is neither byte-level nor SentencePiece."""
    vocab = {word: index for index, word in enumerate(["[UNK]", "play", "##ing", "##s", "the", "game"])}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return _wrap(tokenizer, None)


@pytest.fixture(scope="session")
def qwen_tokenizer(shared: Path) -> Any:
    """Return the real Qwen3 tokenizer with its template."""
    return AutoTokenizer.from_pretrained(str(shared / "data" / "qwen3_tokenizer"))


@pytest.fixture(scope="session")
def qwen_template(shared: Path) -> str:
    """Return the Jinja source of Qwen3's template."""
    return (shared / "data" / "templates" / "qwen3.jinja").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def llama_template(shared: Path) -> str:
    """Return the Jinja source of Llama-3.1's template."""
    return (shared / "data" / "templates" / "llama-3.1.jinja").read_text(encoding="utf-8")
