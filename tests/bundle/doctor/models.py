"""Small decoders with one fault each, made by the converter itself as its users would make them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import litert_torch
import torch
from ai_edge_quantizer import quantizer, recipe
from litert_torch.generative.custom_ops.dynamic_update_slice import dynamic_update_slice
from torch import nn

DIM, HEADS, KV_HEADS, HEAD_DIM = 32, 4, 2, 8


@dataclass(frozen=True)
class Made:
    """What a small decoder is like; the defaults are right."""

    vocab_size: int = 320
    kv_cache_len: int = 64
    prefill_lens: tuple[int, ...] = (8, 16)
    decode: bool = True
    scatter: bool = False
    gathered_mask: bool = False
    tokens_first: bool = False  # caches [1, S, K, H]
    quantized: bool = True


class SmallDecoder(nn.Module):
    """One layer of grouped attention; K [1, K, S, H] and V [1, K, H, S] unless told otherwise."""

    def __init__(self, made: Made) -> None:
        super().__init__()
        self.made = made
        self.embed = nn.Embedding(made.vocab_size, DIM)
        self.q = nn.Linear(DIM, HEADS * HEAD_DIM, bias=False)
        self.k = nn.Linear(DIM, KV_HEADS * HEAD_DIM, bias=False)
        self.v = nn.Linear(DIM, KV_HEADS * HEAD_DIM, bias=False)
        self.out = nn.Linear(HEADS * HEAD_DIM, DIM, bias=False)
        self.head = nn.Linear(DIM, made.vocab_size, bias=False)
        length = made.kv_cache_len
        table = torch.full((1, 1, length, length), -1e4).triu(1)
        self.register_buffer("table", table)

    def forward(
        self,
        tokens: torch.Tensor,
        input_pos: torch.Tensor,
        kv_cache_k_0: torch.Tensor,
        kv_cache_v_0: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        made, count = self.made, tokens.shape[1]
        x = self.embed(tokens)
        # [1, T, N*H] -> [1, K, T * N/K, H]
        q = self.q(x).view(1, count, KV_HEADS, HEADS // KV_HEADS, HEAD_DIM)
        q = q.permute(0, 2, 1, 3, 4).reshape(1, KV_HEADS, -1, HEAD_DIM)
        k = self.k(x).view(1, count, KV_HEADS, HEAD_DIM)
        v = self.v(x).view(1, count, KV_HEADS, HEAD_DIM)
        if made.tokens_first:
            k_all = self._write(kv_cache_k_0, k, input_pos, 1)
            v_all = self._write(kv_cache_v_0, v, input_pos, 1)
            keys, values = k_all.permute(0, 2, 3, 1), v_all.permute(0, 2, 1, 3)
        else:
            k_all = self._write(kv_cache_k_0, k.transpose(1, 2), input_pos, 2)
            v_all = self._write(kv_cache_v_0, v.permute(0, 2, 3, 1), input_pos, 3)
            keys, values = k_all.transpose(2, 3), v_all.transpose(2, 3)
        if made.gathered_mask:
            mask = self.table.index_select(2, input_pos)  # [1, 1, T, S]
        else:
            slots = torch.arange(made.kv_cache_len, dtype=torch.float32).view(1, 1, 1, -1)
            seen = slots <= input_pos.float().view(1, 1, -1, 1)
            mask = torch.where(seen, 0.0, -1e4)
        mask = mask.repeat_interleave(HEADS // KV_HEADS, dim=2)
        scores = (q @ keys) * HEAD_DIM**-0.5 + mask
        y = scores.softmax(-1) @ values
        y = y.reshape(1, KV_HEADS, count, -1, HEAD_DIM).permute(0, 2, 1, 3, 4)
        x = x + self.out(y.reshape(1, count, -1))
        caches = {"kv_cache_k_0": k_all, "kv_cache_v_0": v_all}
        return caches if count > 1 else {**caches, "logits": self.head(x)}

    def _write(
        self, cache: torch.Tensor, update: torch.Tensor, positions: torch.Tensor, axis: int
    ) -> torch.Tensor:
        update = update.narrow(axis, 0, min(update.shape[axis], self.made.kv_cache_len))
        if self.made.scatter:
            return cache.index_copy(axis, positions[: update.shape[axis]].long(), update)
        zero = torch.zeros((), dtype=torch.int32)
        start = [zero] * 4
        start[axis] = positions[0]
        return dynamic_update_slice(cache, update, start)


def convert(made: Made, folder: Path) -> Path:
    """Convert a small decoder with random weights."""
    torch.manual_seed(7)
    module = SmallDecoder(made).eval()
    length = made.kv_cache_len
    shape = (1, length, KV_HEADS, HEAD_DIM)
    caches = {
        "kv_cache_k_0": torch.zeros(
            shape if made.tokens_first else (1, KV_HEADS, length, HEAD_DIM)
        ),
        "kv_cache_v_0": torch.zeros(
            shape if made.tokens_first else (1, KV_HEADS, HEAD_DIM, length)
        ),
    }
    calls = {f"prefill_{n}": n for n in made.prefill_lens}
    converter = None
    for name, count in (calls | ({"decode": 1} if made.decode else {})).items():
        inputs = {
            "tokens": torch.zeros((1, count), dtype=torch.int32),
            "input_pos": torch.arange(count, dtype=torch.int32),
            **caches,
        }
        add = (converter or litert_torch).signature
        converter = add(name, module, sample_kwargs=inputs)
    path = folder / "model.tflite"
    with torch.no_grad():
        converter.convert(strict_export=False).export(str(path))
    if made.quantized:
        done = quantizer.Quantizer(str(path), recipe.dynamic_wi8_afp32()).quantize()
        path.write_bytes(done.quantized_model)
    return path
