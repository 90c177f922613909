"""Token texts from a model's files, without torch or transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from flashtrace_agent.errors import ModelFileError
from flashtrace_agent.models import DEFAULT_MODEL
from flashtrace_agent.prompt.local_tokenizer import LocalTokenizer, find_tokenizer
from flashtrace_agent.prompt.token_text import TokenText

TEXT = "<|user|>Wie heißt das 東京 Tower?\n <think>🚀</think>"


def byte_level() -> Tokenizer:
    """Return a byte-level tokenizer with an added token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({piece: index for index, piece in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<|user|>"])
    return made


def words() -> Tokenizer:
    """Return a tokenizer of whole words, which is decoded step by step."""
    made = Tokenizer(models.WordLevel({"[UNK]": 0, "Wie": 1, "das": 2, "Tower": 3}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


@pytest.mark.parametrize("make", [byte_level, words])
def test_it_reads_tokens_as_transformers_does(tmp_path: Path, make: Any) -> None:
    made = make()
    made.save(str(tmp_path / "tokenizer.json"))
    ids = [*made.encode(TEXT).ids, 100_000]
    found = find_tokenizer(str(tmp_path))
    assert found is not None
    reference = PreTrainedTokenizerFast(tokenizer_file=str(found))
    ours = TokenText(LocalTokenizer(found), ids)
    assert ours.pieces == TokenText(reference, ids).pieces
    assert make is words or ours.text == TEXT


@pytest.mark.parametrize("name", ["no/such-model", "gpt-4o", "a served model: 3", "../..", ""])
def test_a_model_that_is_not_here_has_no_tokenizer(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_tokenizer(name) is None


@pytest.mark.parametrize("content", ["", "{}", '{"model": '])
def test_a_file_that_holds_no_tokenizer_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(ModelFileError, match=r"tokenizer\.json cannot be read as a tokenizer .*fetch"):
        LocalTokenizer(path)


@pytest.mark.model
def test_the_default_models_tokens(default_model: Any) -> None:
    found = find_tokenizer(DEFAULT_MODEL)
    assert found is not None
    ids = default_model.tokenizer(TEXT)["input_ids"]
    assert TokenText(LocalTokenizer(found), ids).pieces == TokenText(default_model.tokenizer, ids).pieces
