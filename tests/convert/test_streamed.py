"""Streamed conversion gives the bytes of ordinary conversion and ai-edge-quantizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import edgegen
from edgegen import demo
from edgegen.author.layers.composites import COMPOSITES
from edgegen.author.reference import reference_logits
from edgegen.convert import ExportSpec
from edgegen.convert.interpreter import TfliteSession
from edgegen.convert.parity import compare_logits
from edgegen.convert.recipes import RECIPES
from tests.author.test_parity import DECODERS
from tests.convert.ordinary import convert_ordinarily, differences
from tests.hf import save_checkpoint, tiny_config

SPEC = ExportSpec(prefill_lens=(8, 16), kv_cache_len=64)
MODELS: dict[str, dict[str, Any]] = {
    "tied": {},
    "untied, biases": {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_demo_model_has_the_ordinary_bytes(tmp_path: Path, recipe: str) -> None:
    model = edgegen.author_model(edgegen.open_checkpoint(demo.CHECKPOINT))
    spec = ExportSpec(demo.PREFILL_LENS, demo.KV_CACHE_LEN)

    streamed = edgegen.convert_model(model, tmp_path / "s.tflite", spec=spec, recipe=recipe)
    ordinary = convert_ordinarily(model, spec, recipe, tmp_path / "o.tflite")

    assert differences(ordinary, streamed.path) == []


# Each uses weights in a way of its own: joined experts, matrices turned around or split, vectors
# cut out of kernels, biases, tables beside the embedding, heads with a bias.
TELLING = ("falcon", "gemma3n_text", "gpt2", "lfm2", "phi", "qwen3_moe")


@pytest.mark.parametrize(
    "model_type",
    [
        pytest.param(name, marks=[] if name in TELLING else [pytest.mark.slow])
        for name in DECODERS
        if name != "llama"
    ],
)
def test_every_architecture_has_the_ordinary_bytes(tmp_path: Path, model_type: str) -> None:
    save_checkpoint(tmp_path / "hf", tiny_config(model_type))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path / "hf"))
    spec = ExportSpec(prefill_lens=(8,), kv_cache_len=32)

    streamed = edgegen.convert_model(model, tmp_path / "s.tflite", spec=spec)
    ordinary = convert_ordinarily(model, spec, streamed.recipe, tmp_path / "o.tflite")

    assert differences(ordinary, streamed.path) == []


@pytest.mark.parametrize("variant", MODELS)
def test_random_model_has_the_ordinary_bytes(tmp_path: Path, variant: str) -> None:
    save_checkpoint(tmp_path / "hf", tiny_config(**MODELS[variant]))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path / "hf"))

    streamed = edgegen.convert_model(model, tmp_path / "s.tflite", spec=SPEC)
    ordinary = convert_ordinarily(model, SPEC, streamed.recipe, tmp_path / "o.tflite")

    assert differences(ordinary, streamed.path) == []


def test_the_comparison_sees_another_recipe_and_one_other_byte(tmp_path: Path) -> None:
    """Negative control: the comparison above could fail."""
    save_checkpoint(tmp_path / "hf", tiny_config())
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path / "hf"))
    one = edgegen.convert_model(model, tmp_path / "a.tflite", spec=SPEC, recipe="none")
    other = edgegen.convert_model(model, tmp_path / "b.tflite", spec=SPEC)
    changed = tmp_path / "c.tflite"
    content = bytearray(one.path.read_bytes())
    # The weights end the file; zeros that align the end come after the last of them.
    last = max(i for i in range(len(content) - 64, len(content)) if content[i])
    content[last] ^= 1
    changed.write_bytes(content)

    assert differences(one.path, other.path)
    assert any("constant data" in text for text in differences(one.path, changed))


@pytest.mark.parametrize("block_bytes", [1, 4096])
def test_the_size_of_blocks_does_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    save_checkpoint(tmp_path / "hf", tiny_config())
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path / "hf"))
    options = {"spec": SPEC, "recipe": "dynamic_wi4b32_afp32"}
    whole = edgegen.convert_model(model, tmp_path / "a.tflite", **options)
    monkeypatch.setattr("edgegen.convert.stream.BLOCK_BYTES", block_bytes)

    blocks = edgegen.convert_model(model, tmp_path / "b.tflite", **options)

    assert whole.path.read_bytes() == blocks.path.read_bytes()


@pytest.mark.parametrize("composite", COMPOSITES)
def test_composites_convert_and_stay_right_on_the_cpu(tmp_path: Path, composite: str) -> None:
    """Off by default, but each boundary must convert alone and compute the same."""
    save_checkpoint(tmp_path / "hf", tiny_config())
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path / "hf"))
    spec = ExportSpec(SPEC.prefill_lens, SPEC.kv_cache_len, (composite,))

    made = edgegen.convert_model(model, tmp_path / "c.tflite", spec=spec, recipe="none")

    assert composite.encode() in made.path.read_bytes()
    tokens = [int(i * 37 % 96) for i in range(30)]
    found = TfliteSession(made.path).score(tokens, 20)
    parity = compare_logits(reference_logits(model, tokens).numpy()[20:], found)
    assert parity.max_abs_diff < 1e-4
