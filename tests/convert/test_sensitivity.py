"""Variants carried along on one walk: the same as running each by itself."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from ai_edge_quantizer import qtyping

import edgegen
from edgegen import demo
from edgegen.author import AuthoredModel
from edgegen.author.reference import reference_logits
from edgegen.convert import sensitivity
from edgegen.convert.candidates import CANDIDATES, plan_as
from edgegen.convert.grid import GridSource
from edgegen.convert.parity import compare_logits
from edgegen.convert.plan import WeightPlan
from edgegen.convert.quantize import grid_rows
from edgegen.convert.sensitivity import Variant, divergences, mean_squared_errors
from tests.hf import save_checkpoint, tiny_config

TOKENS = [1, 5, 3, 90, 7, 7, 12, 40, 2, 33, 61, 8]
FULLY_CONNECTED = qtyping.TFLOperationName.FULLY_CONNECTED
# With shared caches and inputs for each layer; learned positions; convolutions; a head of its own
# with a bias; experts.
SHAPES = ("gemma3n", "gpt2", "lfm2", "phi", "qwen3_moe", "gemma4")


def plan(model: AuthoredModel, name: str, candidate: str = "int4") -> WeightPlan:
    made = plan_as(candidate, name, model.sources[name].shape, [FULLY_CONNECTED])
    assert made is not None
    return made


def matrices(model: AuthoredModel) -> list[str]:
    return [name for name, source in model.sources.items() if len(source.shape) == 2]


def one_by_one(model: AuthoredModel, tokens: list[int], variant: Variant) -> tuple[float, float]:
    sources = {
        name: GridSource.of(source, variant[name]) if name in variant else source
        for name, source in model.sources.items()
    }
    reference = reference_logits(model, tokens).numpy()
    parity = compare_logits(reference, reference_logits(model, tokens, sources).numpy())
    return parity.kl, parity.top1_agreement


@pytest.mark.parametrize("model_type", SHAPES)
def test_one_walk_measures_what_many_runs_do(
    tmp_path: Path, model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, tiny_config(model_type))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    names = matrices(model)
    singles: list[Variant] = [{name: plan(model, name)} for name in names]
    octav: list[Variant] = [{n: plan(model, n, "int4_octav")} for n in (names[0], names[-1])]
    whole: Variant = {name: plan(model, name, "int8") for name in names}
    # So small that the vocabulary comes in many blocks, and the variants in several rounds.
    monkeypatch.setattr(sensitivity, "_BLOCK_BYTES", 40_000)
    monkeypatch.setattr(sensitivity, "_STATE_BYTES", 30_000)

    variants = [*singles, *octav, whole, {}]
    found = divergences(model, [TOKENS], variants, told="x")

    for variant, one in zip(variants, found, strict=True):
        kl, top1 = one_by_one(model, TOKENS, variant)
        assert one.kl == pytest.approx(kl, rel=1e-3, abs=1e-7), list(variant)
        assert one.top1_agreement == pytest.approx(top1), list(variant)
    assert found[-1].kl == 0
    assert sum(one.kl > 1e-5 for one in found) > len(names) / 2  # not all of nothing


def test_parts_count_by_their_tokens(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tiny_config("llama"))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    variant = {"embed_tokens.weight": plan(model, "embed_tokens.weight")}
    parts = [TOKENS, TOKENS[:3]]

    (found,) = divergences(model, parts, [variant], told="x")

    (long,), (short,) = (divergences(model, [part], [variant], told="x") for part in parts)
    assert found.kl == pytest.approx((12 * long.kl + 3 * short.kl) / 15)
    assert found.top1_agreement == pytest.approx(
        (12 * long.top1_agreement + 3 * short.top1_agreement) / 15
    )


def test_weights_are_held_a_layer_at_a_time(tmp_path: Path) -> None:
    sizes = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4}
    save_checkpoint(tmp_path, tiny_config("llama", num_hidden_layers=8, **sizes))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    names = matrices(model)
    layer = sum(4 * model.sources[n].value_count for n in names if n.startswith("layers.0."))
    largest = max(4 * model.sources[name].value_count for name in names)
    variants: list[Variant] = [{name: plan(model, name)} for name in names]
    variants.append({name: plan(model, name) for name in names})

    tracemalloc.start()
    try:
        divergences(model, [TOKENS], variants, told="x")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # Torch's own tensors are not seen: the activations, a few kilobytes each.
    assert layer < most < 2 * layer + 4 * largest < 8 * layer


def test_a_sample_tells_the_error_of_a_large_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    model = edgegen.author_model(edgegen.open_checkpoint(demo.CHECKPOINT))
    name = "layers.1.mlp.down_proj.weight"
    source = model.sources[name]
    plans = [plan(model, name, each) for each in ("int4", "int8", "float32")]
    values = source.read()

    exact = mean_squared_errors(source, plans)
    assert exact == pytest.approx(
        [float(np.square(grid_rows(p, values) - values).mean()) for p in plans], rel=1e-3
    )
    monkeypatch.setattr(sensitivity, "_SAMPLE_VALUES", 30_000)
    sampled = mean_squared_errors(source, plans)
    assert sampled == pytest.approx(exact, rel=0.1)
    assert sampled != exact


def test_every_candidate_is_one_that_recipe_files_know() -> None:
    for name in CANDIDATES:
        made = plan_as(name, "layers.0.mlp.up_proj.weight", (64, 256), [FULLY_CONNECTED])
        assert made is not None, name
        assert made.bits == int(name.split("_")[0].lstrip("intfloa"))


def test_blocks_that_do_not_divide_the_rows_are_no_plan() -> None:
    assert plan_as("int4_block256", "x", (4, 704), [FULLY_CONNECTED]) is None
    assert plan_as("int4_block64", "x", (4, 704), [FULLY_CONNECTED]) is not None
