"""Gemma 3 with vision: where its text part lies, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import edgegen
from edgegen.author.models import architecture
from edgegen.errors import ConfigError, WeightsError
from tests.author.parity import TOKENS, assert_equal_logits, our_logits, random_tokens
from tests.hf import save_checkpoint, tiny_config


def with_text(**changes: Any) -> dict[str, Any]:
    config = tiny_config("gemma3")
    return {**config, "text_config": {**config["text_config"], **changes}}


def test_an_untied_head_equals_transformers(tmp_path: Path) -> None:
    config = with_text(tie_word_embeddings=False) | {"tie_word_embeddings": False}
    assert_equal_logits(tmp_path, config, calls=["one go"])


def test_the_names_of_newer_checkpoints_mean_the_same(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tiny_config("gemma3"))
    older = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    tokens = random_tokens(older.config.vocab_size)
    expected = our_logits(older, tokens, [TOKENS])
    stored = load_file(tmp_path / "model.safetensors")
    newer = {
        "model." + name.replace("language_model.model.", "language_model."): tensor
        for name, tensor in stored.items()
    }
    copy = stored["language_model.model.embed_tokens.weight"].clone()
    save_file({**newer, "lm_head.weight": copy}, tmp_path / "model.safetensors")

    found = our_logits(edgegen.author_model(edgegen.open_checkpoint(tmp_path)), tokens, [TOKENS])

    torch.testing.assert_close(found, expected, atol=0.0, rtol=0.0)


def test_a_tensor_of_no_known_part_is_named(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tiny_config("gemma3"))
    stored = load_file(tmp_path / "model.safetensors")
    save_file({**stored, "audio_tower.weight": torch.zeros(3)}, tmp_path / "model.safetensors")

    with pytest.raises(WeightsError, match=r"unused   audio_tower.weight  \[3\]"):
        edgegen.author_model(edgegen.open_checkpoint(tmp_path))


def test_what_the_published_4b_leaves_out_is_filled_in() -> None:
    config = architecture("gemma3").read_config(
        {
            "architectures": ["Gemma3ForConditionalGeneration"],
            "boi_token_index": 255999,
            "eoi_token_index": 256000,
            "eos_token_id": [1, 106],
            "image_token_index": 262144,
            "initializer_range": 0.02,
            "mm_tokens_per_image": 256,
            "model_type": "gemma3",
            "text_config": {
                "hidden_size": 2560,
                "intermediate_size": 10240,
                "model_type": "gemma3_text",
                "num_hidden_layers": 34,
                "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
                "sliding_window": 1024,
            },
            "torch_dtype": "bfloat16",
            "transformers_version": "4.50.0.dev0",
            "vision_config": {"model_type": "siglip_vision_model"},
        }
    )

    assert (config.vocab_size, config.num_attention_heads, config.head_dim) == (262208, 8, 256)
    assert (config.num_key_value_heads, config.max_position_embeddings) == (4, 131072)
    assert config.layer_types.count("full_attention") == 5
    assert config.rope["full_attention"].factor == 8.0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "gemma3"}, "has no text_config, in which a multimodal model describes"),
        (with_text(final_logit_softcapping=30.0), "final_logit_softcapping=30 in text_config"),
        (with_text(tie_word_embeddings=False), "tie_word_embeddings=True, but its text_config has"),
        (with_text(use_bidirectional_attention=True), "use_bidirectional_attention=True, expected"),
        (tiny_config("gemma3", moe=4), "does not author: moe=4"),
    ],
)
def test_what_it_does_not_compute_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        architecture("gemma3").read_config(config)
