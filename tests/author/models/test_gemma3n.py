"""Gemma 3n with its other parts: what its config.json may say beside the text part."""

from __future__ import annotations

import pytest

from edgegen.author.models import architecture
from edgegen.errors import ConfigError
from tests.hf import tiny_config


def test_the_text_part_reads_as_the_text_model() -> None:
    published = {
        "architectures": ["Gemma3nForConditionalGeneration"],
        "audio_soft_tokens_per_image": 188,
        "audio_token_id": 262273,
        "boa_token_id": 256000,
        "boi_token_id": 255999,
        "eoa_token_id": 262272,
        "eoi_token_id": 262144,
        "eos_token_id": [1, 106],
        "image_token_id": 262145,
        "initializer_range": 0.02,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.53.0.dev0",
        "vision_soft_tokens_per_image": 256,
    }
    found = architecture("gemma3n").read_config(tiny_config("gemma3n", **published))

    text = architecture("gemma3n_text")
    assert found == text.read_config(text.tiny_config())


def test_what_is_not_known_beside_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not author: video_config="):
        architecture("gemma3n").read_config(tiny_config("gemma3n", video_config={"hidden_size": 3}))
