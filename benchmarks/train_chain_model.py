"""Train the small Qwen3-architecture model that solves the task ``chain``, and save it.

    python benchmarks/train_chain_model.py --output benchmarks/models/chain

Its answers go through reasoning whose every step is known by construction, so recursive attribution can
be compared with the true chain. Text, tokenizer and weights are all made here, in about ten minutes of
one core. Training stops once 98 % of unseen puzzles are solved, and the share on fresh ones is printed;
the weights in `benchmarks/models/chain` solved all 300.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from flashtrace_agent.eval.tasks.chain import CHAINS, LENGTH, WORDS, Chains, draw_chains

SPECIAL = ("<pad>", "<start>", "<user>", "<assistant>", "<end>", "<think>", "</think>", "<unk>")
TEMPLATE = (
    "{{ '<start>' }}{% for message in messages %}"
    "{{ '<' + message.role + '>' + message.content + '<end>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
QUESTIONS = 6
"""Questions about one set of statements in a training sequence; more to learn from a token read."""
STAGES = ((4, 1), (3, 2), (3, 3), (CHAINS, LENGTH))
"""Chains and their length, from looking up one statement to whole puzzles."""
MASTERED = 0.02
"""Mean loss, in nats a token, at which the next stage begins."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token a word."""
    vocabulary = {token: index for index, token in enumerate(SPECIAL)}
    for word in WORDS:
        vocabulary[f"▁{word}"] = len(vocabulary)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<start>",
        eos_token="<end>",
        unk_token="<unk>",
        chat_template=TEMPLATE,
    )


def build_model(vocabulary: int, width: int) -> Qwen3ForCausalLM:
    """Return the untrained model of 4 layers."""
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=4,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 64,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        bos_token_id=1,
        eos_token_id=4,
        pad_token_id=0,
    )
    return Qwen3ForCausalLM(config)


def completion(drawn: Chains) -> str:
    """Return the right completion of a prompt, as text."""
    return f"<think>{drawn.reasoning}</think> {drawn.chain[-1]}<end>"


def training_text(rng: random.Random, chains: int, length: int) -> str:
    """Return statements with several questions about them, each answered."""
    drawn = draw_chains(rng, chains, length)
    names = [name for name, _ in drawn.statements]
    asked = [drawn, *(drawn.about(rng.choice(names)) for _ in range(QUESTIONS - 1))]
    text = f"<start><user>{drawn.prompt}<end><assistant>{completion(drawn)}"
    for other in asked[1:]:
        text += f"<user> value of {other.chain[0]} ?<end><assistant>{completion(other)}"
    return text


def batch(tokenizer: Any, rng: random.Random, size: int, stage: int) -> tuple[Tensor, Tensor]:
    """Return ids and labels (size, n) of puzzles up to a stage; only what the assistant writes is learned."""
    chains, length = STAGES[stage] if rng.random() < 0.7 else rng.choice(STAGES[: stage + 1])
    encoded = [
        tokenizer(training_text(rng, chains, length), add_special_tokens=False).input_ids for _ in range(size)
    ]
    longest = max(map(len, encoded))
    ids = torch.zeros(size, longest, dtype=torch.long)
    for row, tokens in enumerate(encoded):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    user, assistant = (tokenizer.convert_tokens_to_ids(token) for token in ("<user>", "<assistant>"))
    # A token is the assistant's if the last role mark before it is.
    marks = torch.where(ids == assistant, 1, torch.where(ids == user, -1, 0))
    position = torch.arange(longest).expand_as(ids)
    last = torch.where(marks != 0, position, -1).cummax(dim=1).values
    written = torch.gather(marks, 1, last.clamp_min(0)) > 0
    labels = torch.where(written & (marks == 0) & (ids != 0), ids, -100)
    return ids, labels


@torch.no_grad()
def solved(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, rng: random.Random, count: int
) -> float:
    """Return the share of puzzles whose whole greedy completion is the right one."""
    right = 0
    for _ in range(count):
        drawn = draw_chains(rng)
        prompt = tokenizer(f"<start><user>{drawn.prompt}<end><assistant>", add_special_tokens=False).input_ids
        wanted = tokenizer(completion(drawn), add_special_tokens=False).input_ids
        # Greedy decoding writes exactly the wanted tokens if each is the most probable after the others.
        logits = model(torch.tensor([prompt + wanted]), logits_to_keep=len(wanted) + 1).logits[0, :-1]
        right += logits.argmax(-1).tolist() == wanted
    return right / count


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/models/chain"))
    parser.add_argument("--steps", type=int, default=12000, help="at most this many")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--width", type=int, default=128, help="about 0.8 million parameters at 128")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rng = random.Random(0)
    tokenizer = build_tokenizer()
    model = build_model(len(tokenizer), arguments.width)
    print(f"{model.num_parameters():,} parameters", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.01)
    started = time.monotonic()
    stage, recent = 0, 1.0
    for step in range(arguments.steps):
        warmth = min(1.0, (step + 1) / 200) * (1.0 - 0.9 * step / arguments.steps)
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * warmth
        ids, labels = batch(tokenizer, rng, arguments.batch, stage)
        loss = model(ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        recent = 0.95 * recent + 0.05 * float(loss.detach())
        if step % 100 == 0:
            seconds = time.monotonic() - started
            print(f"step {step:5d}  stage {stage}  loss {recent:.4f}  {seconds:.0f} s", flush=True)
        if recent < MASTERED and stage < len(STAGES) - 1:
            stage, recent = stage + 1, 1.0
        elif recent < MASTERED and step % 100 == 0:
            share = solved(model.eval(), tokenizer, random.Random(step), 100)
            model.train()
            print(f"step {step:5d}  solved {share:.0%}", flush=True)
            if share >= 0.98:
                break
    model.eval()
    share = solved(model, tokenizer, random.Random("fresh"), 300)
    print(f"solved {share:.1%} of 300 fresh puzzles")
    arguments.output.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(arguments.output)
    tokenizer.save_pretrained(arguments.output)


if __name__ == "__main__":
    main()
