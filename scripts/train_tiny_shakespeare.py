"""Train the tiny Llama-shape model that edgegen ships, and write it as a Hugging Face folder.

The result is what `make demo` and the tests convert, so it is stored exactly as a user's
checkpoint would be: `config.json`, bf16 `model.safetensors`, a SentencePiece `tokenizer.model`
and the tokenizer and generation configs beside it. Training data is the public-domain
Shakespeare text next to this script.

    python scripts/train_tiny_shakespeare.py --out edgegen/demo/tiny_shakespeare

Everything is seeded; on another processor the last bits of the weights may differ.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).parent
SEED = 1616
VOCAB_SIZE = 2048
CONTEXT = 256
VALIDATION_SHARE = 0.08
PROMPTS = ("ROMEO:\n", "To be, or not to be", "KING RICHARD III:\nNow is the winter")


def train_tokenizer(text: str) -> bytes:
    """A 2 k byte-fallback BPE that keeps line ends, since verse is made of lines."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.splitlines()),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCAB_SIZE,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        # A word is the same token at the start of the prompt and at the start of a line.
        add_dummy_prefix=False,
        user_defined_symbols=["\n"],
        unk_id=0,
        bos_id=1,
        eos_id=2,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def batches(ids: torch.Tensor, starts: torch.Tensor, size: int, generator: torch.Generator):
    """Yield `[B, T]` windows that begin, after `<s>`, at the first token of a line."""
    bos = torch.ones((size, 1), dtype=torch.long)
    while True:
        picks = starts[torch.randint(len(starts), (size,), generator=generator)]
        yield torch.cat([bos, torch.stack([ids[p : p + CONTEXT] for p in picks])], dim=1)


def line_starts(ids: torch.Tensor, newline: int) -> torch.Tensor:
    starts = (ids[:-1] == newline).nonzero().squeeze(1) + 1
    return starts[starts < len(ids) - CONTEXT]


def add_dropout(model: LlamaForCausalLM, rate: float, generator_seed: int) -> None:
    """Residual dropout through hooks: `LlamaForCausalLM` has none, and the text is small."""
    torch.manual_seed(generator_seed)

    def drop(module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(output, rate, training=module.training)

    model.model.embed_tokens.register_forward_hook(drop)
    for layer in model.model.layers:
        layer.self_attn.o_proj.register_forward_hook(drop)
        layer.mlp.down_proj.register_forward_hook(drop)


@torch.no_grad()
def validation_loss(model: LlamaForCausalLM, ids: torch.Tensor) -> float:
    """Mean nats per token over the whole held-out end of the text, in windows of 256."""
    model.eval()
    windows = ids[: len(ids) // CONTEXT * CONTEXT].view(-1, CONTEXT)
    windows = torch.cat([torch.ones((len(windows), 1), dtype=torch.long), windows], dim=1)
    total = sum(
        model(input_ids=part, labels=part).loss.item() * len(part) for part in windows.split(16)
    )
    model.train()
    return total / len(windows)


@torch.no_grad()
def sample(model: LlamaForCausalLM, tokenizer: sentencepiece.SentencePieceProcessor, prompt: str):
    torch.manual_seed(SEED)
    ids = torch.tensor([[1, *tokenizer.encode(prompt)]])
    out = model.eval().generate(
        ids, do_sample=True, temperature=0.7, top_k=40, max_new_tokens=80, pad_token_id=2
    )
    return tokenizer.decode(out[0, 1:].tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    text = (HERE / "tinyshakespeare.txt").read_text(encoding="utf-8")
    split = int(len(text) * (1 - VALIDATION_SHARE))
    tokenizer_model = train_tokenizer(text[:split])
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=tokenizer_model)
    train_ids = torch.tensor(tokenizer.encode(text[:split]))
    valid_ids = torch.tensor(tokenizer.encode(text[split:]))
    print(f"{len(train_ids)} training tokens, {len(valid_ids)} validation tokens", flush=True)

    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        dtype="bfloat16",
    )
    model = LlamaForCausalLM(config).float()
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters", flush=True)
    add_dropout(model, 0.2, SEED)
    decay = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        lr=args.learning_rate,
        betas=(0.9, 0.95),
    )
    newline = tokenizer.piece_to_id("\n")
    data = batches(
        train_ids,
        line_starts(train_ids, newline),
        args.batch,
        torch.Generator().manual_seed(SEED),
    )
    best, best_state, started = math.inf, None, time.monotonic()
    for step in range(args.steps):
        warm = min(1.0, (step + 1) / 60)
        rate = (
            args.learning_rate * warm * (0.05 + 0.475 * (1 + math.cos(math.pi * step / args.steps)))
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        window = next(data)
        loss = model(input_ids=window, labels=window).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 99 or step == args.steps - 1:
            valid = validation_loss(model, valid_ids)
            if valid < best:
                best = valid
                best_state = {k: v.to(torch.bfloat16) for k, v in model.state_dict().items()}
            print(
                f"step {step + 1} train {loss.item():.3f} validation {valid:.3f} "
                f"{time.monotonic() - started:.0f} s",
                flush=True,
            )

    assert best_state is not None
    best_state.pop("lm_head.weight", None)  # tied to the embedding
    save_file(best_state, args.out / "model.safetensors", metadata={"format": "pt"})
    model.load_state_dict(best_state, strict=False)  # what is measured is what is stored
    final = validation_loss(model, valid_ids)
    (args.out / "config.json").write_text(config.to_json_string())
    (args.out / "tokenizer.model").write_bytes(tokenizer_model)
    for name, content in {
        "tokenizer_config.json": {
            "tokenizer_class": "LlamaTokenizer",
            "add_bos_token": True,
            "add_eos_token": False,
            "add_prefix_space": False,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "clean_up_tokenization_spaces": False,
            "model_max_length": 1024,
        },
        "generation_config.json": {
            "bos_token_id": 1,
            "eos_token_id": 2,
            "do_sample": True,
            "temperature": 0.7,
            "top_k": 40,
        },
        "training.json": {
            "seed": SEED,
            "steps": args.steps,
            "batch": args.batch,
            "learning_rate": args.learning_rate,
            "parameters": parameters,
            "validation_loss_nats_per_token": round(final, 4),
            "samples": {prompt: sample(model, tokenizer, prompt) for prompt in PROMPTS},
        },
    }.items():
        (args.out / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    print(f"validation {final:.4f} nats per token", flush=True)


if __name__ == "__main__":
    main()
