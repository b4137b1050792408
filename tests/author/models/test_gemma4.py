"""Gemma 4 with its other parts: the text part of the multimodal checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgegen.author.models import architecture
from edgegen.errors import ConfigError
from tests.author.parity import assert_equal_logits
from tests.hf import tiny_config


def test_an_untied_head_equals_transformers(tmp_path: Path) -> None:
    config = tiny_config("gemma4", tie_word_embeddings=False)
    config["text_config"]["tie_word_embeddings"] = False
    assert_equal_logits(tmp_path, config, calls=["one go"])


def test_the_text_part_reads_as_the_text_model() -> None:
    text = architecture("gemma4_text")
    ids: dict[str, Any] = dict.fromkeys(
        ("boi_token_id", "eoi_token_id", "boa_token_id", "eoa_token_index"), 95
    )

    found = architecture("gemma4").read_config(tiny_config("gemma4", **ids))

    assert found == text.read_config(text.tiny_config())


def test_what_the_text_part_does_not_compute_is_refused() -> None:
    config = tiny_config("gemma4")
    config["text_config"]["enable_moe_block"] = True

    with pytest.raises(ConfigError, match="enable_moe_block=True, expected False"):
        architecture("gemma4").read_config(config)
