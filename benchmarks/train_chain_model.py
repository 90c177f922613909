"""Train the small Qwen3-architecture model that solves the task ``chain``, and save it.

    python benchmarks/train_chain_model.py --output benchmarks/models/chain

Its answers go through reasoning whose every step is known by construction, so recursive attribution can
be compared with the true chain. Text, tokenizer and weights are all made here; about half an hour on
one core. Training stops once 98 % of unseen puzzles are solved, and the share on fresh ones is printed.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from flashtrace_agent.eval.tasks.chain import WORDS, Chains, draw_chains

SPECIAL = ("<pad>", "<start>", "<user>", "<assistant>", "<end>", "<think>", "</think>", "<unk>")
TEMPLATE = (
    "{{ '<start>' }}{% for message in messages %}"
    "{{ '<' + message.role + '>' + message.content + '<end>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
QUESTIONS = 4
"""Questions about one set of statements in a training sequence; more to learn from a token read."""


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


def build_model(vocabulary: int) -> Qwen3ForCausalLM:
    """Return the untrained model: 4 layers of width 256, about 2.5 million parameters."""
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
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


def batch(
    tokenizer: PreTrainedTokenizerFast, rng: random.Random, size: int, stage: float
) -> tuple[Tensor, Tensor]:
    """Return ids and labels (size, n); only what the assistant writes is learned.

    `stage` in [0, 1] says how far the puzzles have grown to their full size.
    """
    chains = 2 + (rng.random() < stage)
    length = rng.randint(2, 2 + round(2 * stage)) if rng.random() < 0.3 else 2 + round(2 * stage)
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
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rng = random.Random(0)
    tokenizer = build_tokenizer()
    model = build_model(len(tokenizer))
    print(f"{model.num_parameters():,} parameters", flush=True)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
        lr=arguments.rate,
        betas=(0.9, 0.98),
    )
    started = time.monotonic()
    for step in range(arguments.steps):
        progress = step / arguments.steps
        warmth = min(1.0, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * max(warmth, 0.02)
        ids, labels = batch(tokenizer, rng, arguments.batch, min(1.0, progress / 0.35))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 100 == 0:
            print(
                f"step {step:5d}  loss {float(loss.detach()):.4f}  {time.monotonic() - started:.0f} s",
                flush=True,
            )
        if step % 500 == 499 and progress > 0.35:
            share = solved(model.eval(), tokenizer, random.Random(step), 100)
            model.train()
            print(f"step {step:5d}  solved {share:.0%}", flush=True)
            if share >= 0.98 and progress > 0.5:
                break
    model.eval()
    share = solved(model, tokenizer, random.Random("fresh"), 300)
    print(f"solved {share:.1%} of 300 fresh puzzles")
    arguments.output.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(arguments.output)
    tokenizer.save_pretrained(arguments.output)


if __name__ == "__main__":
    main()
