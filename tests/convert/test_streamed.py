"""Streamed conversion gives the bytes of ordinary conversion and ai-edge-quantizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import edgegen
from edgegen import demo
from edgegen.author import AuthoredModel
from edgegen.author.reference import reference_logits
from edgegen.contract import CACHE_UPDATE, COMPOSITES, GROUP_NORM, RUNTIME_BMM, SDPA
from edgegen.convert import ExportSpec, TfliteModel
from edgegen.convert.interpreter import TfliteSession
from edgegen.convert.parity import compare_logits
from edgegen.convert.recipes import RECIPES
from edgegen.convert.reduction import find_reduction
from tests.author.test_parity import DECODERS
from tests.convert.ordinary import (
    convert_ordinarily,
    convert_to_floats,
    differences,
    quantize_ordinarily,
)
from tests.hf import save_checkpoint, tiny_config

SPEC = ExportSpec(prefill_lens=(8, 16), kv_cache_len=64)
# The others are made by ai-edge-quantizer itself.
STREAMED = [name for name, recipe in RECIPES.items() if recipe.activation_bits is None]
MODELS: dict[str, dict[str, Any]] = {
    "tied": {},
    "untied, biases": {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True},
}


# Sizes that all blocks divide; enough layers that some are stamped out and not traced.
ALL_RECIPES: dict[str, dict[str, Any]] = {
    "qwen3": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "head_dim": 32,
        "num_hidden_layers": 8,
        "max_window_layers": 2,
    },
    # With biases, and layer norms.
    "stablelm": {
        "hidden_size": 128,
        "intermediate_size": 192,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 6,
        "partial_rotary_factor": 0.5,
    },
}


@dataclass(frozen=True)
class Both:
    """A model in every recipe, streamed, and its float32 file by ordinary conversion."""

    model: AuthoredModel
    streamed: dict[str, TfliteModel]
    floats: Path


@pytest.fixture(
    scope="module",
    params=["demo", *(pytest.param(name, marks=pytest.mark.slow) for name in ALL_RECIPES)],
)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder, spec = tmp_path_factory.mktemp("both"), SPEC
    if request.param == "demo":
        checkpoint, spec = demo.CHECKPOINT, ExportSpec(demo.PREFILL_LENS, demo.KV_CACHE_LEN)
    else:
        checkpoint = folder / "hf"
        save_checkpoint(checkpoint, tiny_config(request.param, **ALL_RECIPES[request.param]))
    model = edgegen.author_model(edgegen.open_checkpoint(checkpoint))
    # The demo model has as many layers as have to be traced; the others are stamped out.
    assert (find_reduction(model.module) is None) is (request.param == "demo")
    outputs = {recipe: folder / f"{recipe}.tflite" for recipe in STREAMED}
    streamed = edgegen.convert_recipes(model, outputs, spec=spec)
    return Both(model, streamed, convert_to_floats(model, spec, folder / "floats.tflite"))


@pytest.mark.parametrize("recipe", STREAMED)
def test_every_recipe_has_the_ordinary_bytes(tmp_path: Path, both: Both, recipe: str) -> None:
    ordinary = quantize_ordinarily(both.model, both.floats, recipe, tmp_path / "o.tflite")

    assert differences(ordinary, both.streamed[recipe].path) == []


# Each uses weights in a way of its own: joined experts, matrices split, vectors cut out of
# kernels, tables beside the embedding, heads with a bias.
TELLING = ("falcon", "lfm2", "qwen3_moe")
# Ordinary conversion computes ahead of time with constant matrices (a head that is scaled), so
# its graphs have fewer operators, and a second matrix where the head is tied.
FOLDED_ORDINARILY = (
    "gemma2",
    "gemma3n",
    "gemma3n_text",
    "gemma4",
    "gemma4_text",
    "granite",
    "smollm3",
)
# Ordinary conversion fails where one row goes through `down(act(up(x)))` with biases.
REFUSED_ORDINARILY = ("gpt2", "phi")


@pytest.mark.parametrize(
    "model_type",
    [
        pytest.param(name, marks=[] if name in TELLING else [pytest.mark.slow])
        for name in DECODERS
        if name not in ("llama", *REFUSED_ORDINARILY, *FOLDED_ORDINARILY)
    ],
)
def test_every_architecture_has_the_ordinary_bytes(tmp_path: Path, model_type: str) -> None:
    save_checkpoint(tmp_path / "hf", tiny_config(model_type))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path / "hf"))
    spec = ExportSpec(prefill_lens=(8,), kv_cache_len=32)

    streamed = edgegen.convert_model(model, tmp_path / "s.tflite", spec=spec)
    ordinary = convert_ordinarily(model, spec, streamed.recipe, tmp_path / "o.tflite")

    assert differences(ordinary, streamed.path) == []


@pytest.mark.slow
@pytest.mark.parametrize("model_type", REFUSED_ORDINARILY)
def test_what_ordinary_conversion_refuses_is_streamed(tmp_path: Path, model_type: str) -> None:
    """When the converter learns it, these belong to the test above."""
    save_checkpoint(tmp_path / "hf", tiny_config(model_type))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path / "hf"))
    spec = ExportSpec(prefill_lens=(8,), kv_cache_len=32)

    edgegen.convert_model(model, tmp_path / "s.tflite", spec=spec)
    with pytest.raises(ValueError, match="found invalid output rank, expected 3 but got 4"):
        convert_ordinarily(model, spec, "none", tmp_path / "o.tflite")


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
    # The blocks of the last two are whole matrices, whatever else they should be.
    recipes = (
        "dynamic_wi4b32_afp32",
        "dynamic_wi4_mse_afp32",
        "dynamic_wi4b32_octav_afp32",
        "dynamic_wi4c_hr_afp32",
    )
    whole = {recipe: tmp_path / f"{recipe}.whole" for recipe in recipes}
    blocks = {recipe: tmp_path / f"{recipe}.blocks" for recipe in recipes}
    made = edgegen.convert_recipes(model, whole, spec=SPEC)
    monkeypatch.setattr("edgegen.convert.stream.BLOCK_BYTES", block_bytes)

    again = edgegen.convert_recipes(model, blocks, spec=SPEC)

    for recipe in recipes:
        assert whole[recipe].read_bytes() == blocks[recipe].read_bytes(), recipe
        errors = zip(
            made[recipe].quantization_errors, again[recipe].quantization_errors, strict=True
        )
        assert all(a.rmse == pytest.approx(b.rmse, rel=1e-5) for a, b in errors)


def test_rows_of_zeros_do_not_spoil_the_model(tmp_path: Path) -> None:
    """ai-edge-quantizer gives them a scale of 0, for which XNNPACK refuses the whole model."""
    save_checkpoint(tmp_path / "hf", tiny_config())
    state = load_file(tmp_path / "hf" / "model.safetensors")
    state["model.embed_tokens.weight"][90:] = 0  # a padded vocabulary
    state["model.layers.0.mlp.up_proj.weight"][3] = 0
    state["model.layers.1.mlp.up_proj.weight"][:, :32] = 1e-12
    save_file(state, tmp_path / "hf" / "model.safetensors", metadata={"format": "pt"})
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path / "hf"))
    recipes = (
        "dynamic_wi4b32_afp32",
        "dynamic_wi4_octav_afp32",
        "dynamic_wi4b32_octav_afp32",
        "dynamic_wi4_mse_afp32",
        "dynamic_wi4c_hr_afp32",
    )
    outputs = {recipe: tmp_path / f"{recipe}.tflite" for recipe in recipes}
    tokens = [int(i * 37 % 90) for i in range(30)]

    for recipe, made in edgegen.convert_recipes(model, outputs, spec=SPEC).items():
        found = TfliteSession(made.path).score(tokens, 20)
        expected = reference_logits(model, tokens, made.grid_sources).numpy()[20:]
        assert compare_logits(expected, found).cosine > 0.99, recipe


# A model that has what the boundary is drawn around, where `llama` has not.
COMPOSITE_MODELS = {GROUP_NORM: "gpt2"}
TOGETHER = tuple(name for name in COMPOSITES if name not in (GROUP_NORM, SDPA))


@pytest.mark.parametrize("wanted", [*[(name,) for name in COMPOSITES], TOGETHER], ids="+".join)
def test_composites_convert_and_stay_right_on_the_cpu(
    tmp_path: Path, wanted: tuple[str, ...]
) -> None:
    """Off by default, but each boundary must convert, alone and with others, and compute the same.

    LiteRT's interpreter computes what stands inside a boundary.
    """
    save_checkpoint(tmp_path / "hf", tiny_config(COMPOSITE_MODELS.get(wanted[0], "llama")))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path / "hf"))
    spec = ExportSpec(SPEC.prefill_lens, SPEC.kv_cache_len, wanted)

    made = edgegen.convert_model(model, tmp_path / "c.tflite", spec=spec, recipe="none")

    assert [n for n in wanted if n.encode() not in made.path.read_bytes()] == []
    tokens = [int(i * 37 % 96) for i in range(30)]
    found = TfliteSession(made.path).score(tokens, 20)
    parity = compare_logits(reference_logits(model, tokens).numpy()[20:], found)
    assert parity.max_abs_diff < 1e-4


def test_the_session_fills_the_param_tensor_as_litert_lm_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the call begins, and twice where its last real token ends; padding does not count."""
    save_checkpoint(tmp_path / "hf", tiny_config())
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path / "hf"))
    spec = ExportSpec((8,), 32, (CACHE_UPDATE, RUNTIME_BMM))
    session = TfliteSession(edgegen.convert_model(model, tmp_path / "c.tflite", spec=spec).path)
    seen = []

    def spied(run: Callable[..., Any]) -> Callable[..., Any]:
        def call(**inputs: Any) -> Any:
            seen.append(inputs["param_tensor"].tolist())
            return run(**inputs)

        return call

    runners = {name: spied(run) for name, run in session._runners.items()}
    monkeypatch.setattr(session, "_runners", runners)

    session.score(list(range(1, 13)), 11)

    assert seen == [
        [[[[0, 8, 8, 0, 0, 0, 0]]]],
        [[[[8, 11, 11, 0, 0, 0, 0]]]],
        [[[[11, 12, 12, 0, 0, 0, 0]]]],
    ]
