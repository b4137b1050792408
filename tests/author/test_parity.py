"""Authored modules against transformers' own classes with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import edgegen
from edgegen.author import AuthoredModel
from edgegen.author.models import ARCHITECTURES, architecture
from edgegen.author.reference import reference_logits
from tests.hf import save_checkpoint, tiny_config

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "untied": {"tie_word_embeddings": False},
    "multi-head": {"num_key_value_heads": 6},
    "multi-query": {"num_key_value_heads": 1},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "gelu": {"hidden_act": "gelu_pytorch_tanh"},
    "rope theta": {"rope_theta": 500000.0},
    "rope linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "rope llama3": {"rope_scaling": LLAMA3_ROPE},
}


def empty_cache(model: AuthoredModel, length: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    config = model.config
    k = torch.zeros(1, config.num_key_value_heads, length, config.head_dim)
    return [(k, k.transpose(2, 3).contiguous()) for _ in range(config.num_hidden_layers)]


@torch.no_grad()
def run(model: AuthoredModel, tokens: torch.Tensor, chunks: list[int]) -> torch.Tensor:
    """Run `tokens [1, T]` in calls of the given lengths; return all logits `[1, T, V]`."""
    state, caches = model.load_state(), empty_cache(model, 64)
    outputs, start = [], 0
    for length in chunks:
        positions = torch.arange(start, start + length, dtype=torch.int32)
        logits, caches = torch.func.functional_call(
            model.decoder,
            state,
            (tokens[:, start : start + length].int(), positions, caches),
            {"logits": "all"},
        )
        outputs.append(logits)
        start += length
    return torch.cat(outputs, dim=1)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_equal_transformers(tmp_path: Path, model_type: str, variant: str) -> None:
    theirs = save_checkpoint(tmp_path, tiny_config(model_type, **VARIANTS[variant]))
    ours = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    tokens = torch.randint(0, ours.config.vocab_size, (1, 40))

    with torch.no_grad():
        expected = theirs(tokens).logits

    torch.testing.assert_close(run(ours, tokens, [40]), expected, atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_prefill_in_chunks_then_token_by_token_equals_one_pass(
    tmp_path: Path, model_type: str
) -> None:
    save_checkpoint(tmp_path, tiny_config(model_type))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    tokens = torch.randint(0, model.config.vocab_size, (1, 24))

    once = run(model, tokens, [24])

    torch.testing.assert_close(run(model, tokens, [16, 4, 1, 1, 1, 1]), once, atol=5e-5, rtol=1e-4)


@torch.no_grad()
def test_padding_rows_of_a_short_chunk_do_not_show(tmp_path: Path) -> None:
    """The engines pad a chunk with position 0; only `input_pos[0]` may decide the write."""
    save_checkpoint(tmp_path, tiny_config())
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    tokens = torch.randint(0, model.config.vocab_size, (1, 6)).int()
    state, caches = model.load_state(), empty_cache(model, 64)
    padded = torch.cat([tokens[:, :5], torch.zeros(1, 11, dtype=torch.int32)], dim=1)
    positions = torch.cat([torch.arange(5), torch.zeros(11)]).int()

    _, caches = torch.func.functional_call(model.decoder, state, (padded, positions, caches))
    found, _ = torch.func.functional_call(
        model.decoder, state, (tokens[:, 5:], torch.tensor([5], dtype=torch.int32), caches)
    )

    torch.testing.assert_close(found[:, 0], run(model, tokens, [6])[:, 5], atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("tied", [True, False])
def test_streamed_reference_equals_the_module(tmp_path: Path, tied: bool) -> None:
    """The one-layer-at-a-time reference of the self-check is the same model."""
    save_checkpoint(tmp_path, tiny_config(tie_word_embeddings=tied, attention_bias=True))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    tokens = torch.randint(0, model.config.vocab_size, (1, 20))

    found = reference_logits(model, tokens[0].tolist())

    torch.testing.assert_close(found, run(model, tokens, [20])[0], atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_real_sizes_author_without_weights(model_type: str) -> None:
    """Authoring builds on the meta device, whatever the size: this one would take 30 GB."""
    sizes = {"hidden_size": 4096, "intermediate_size": 14336, "vocab_size": 128256}
    config = tiny_config(model_type, num_hidden_layers=32, **sizes)
    chosen = architecture(model_type)
    with torch.device("meta"):
        decoder = chosen.build(chosen.read_config(config))

    assert sum(p.numel() for p in decoder.parameters()) > 6e9
    assert decoder.inv_freq.device.type == "cpu"
