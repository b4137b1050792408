"""What an export for some delegates refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgegen import demo
from edgegen.contract import CACHE_UPDATE, RMS_NORM, RUNTIME_BMM
from edgegen.conversion import convert_checkpoint
from edgegen.convert.recipes import RECIPES, find_recipe
from edgegen.convert.target import TARGETS, check_target
from edgegen.errors import ConversionError
from edgegen.pipeline import build

WEIGHTS = ("embed_tokens.weight", "layers.0.mlp.up_proj.weight")
INT8 = {"pattern": ".*", "weights": "int8"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_refused_where_it_does_not_run(name: str) -> None:
    recipe = RECIPES[name]
    for target, delegates in TARGETS.items():
        if set(delegates) <= set(recipe.delegates):
            check_target(target, recipe, (), WEIGHTS)
            continue
        with pytest.raises(ConversionError) as raised:
            check_target(target, recipe, (), WEIGHTS)
        assert str(raised.value) == (
            f"the recipe {name} does not run right on the GPU delegate, but the target is {target}"
        )
        assert raised.value.hint is not None
        assert "dynamic_wi8_afp32" in raised.value.hint


def test_an_unknown_target() -> None:
    with pytest.raises(ConversionError, match="there is no target 'npu'") as raised:
        check_target("npu", RECIPES["none"], (), WEIGHTS)
    assert raised.value.hint == "the targets are cpu, gpu, both"


def test_composites_that_the_gpu_takes_together_only() -> None:
    recipe = RECIPES["dynamic_wi8_afp32"]
    check_target("both", recipe, (CACHE_UPDATE, RUNTIME_BMM, RMS_NORM), WEIGHTS)
    check_target("cpu", recipe, (CACHE_UPDATE,), WEIGHTS)
    for one, other in ((CACHE_UPDATE, RUNTIME_BMM), (RUNTIME_BMM, CACHE_UPDATE)):
        with pytest.raises(ConversionError) as raised:
            check_target("gpu", recipe, (one, RMS_NORM), WEIGHTS)
        assert str(raised.value) == (
            f"the GPU delegate refuses {one} without {other}, but the target is gpu"
        )
        assert raised.value.hint == "draw both or neither"


@pytest.mark.parametrize(
    ("entries", "float_weight"),
    [
        ([INT8, {"pattern": "mlp", "weights": "int4", "granularity": "block32"}], None),
        ([{"pattern": "mlp", "weights": "float32"}, INT8], None),
        ([{"pattern": "mlp", "weights": "int8"}], "embed_tokens.weight"),
        ([INT8, {"pattern": "mlp", "weights": "float16"}], "layers.0.mlp.up_proj.weight"),
        ([INT8, {"pattern": "mlp", "weights": "float32"}], "layers.0.mlp.up_proj.weight"),
        ([{**INT8, "mode": "weight_only"}], "embed_tokens.weight"),
    ],
    ids=["int8 and int4", "float32 overruled", "nothing said", "float16", "float32", "weight only"],
)
def test_recipes_of_the_users_own(
    tmp_path: Path, entries: list[dict[str, str]], float_weight: str | None
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(entries))
    recipe = find_recipe(str(path))

    check_target("cpu", recipe, (), WEIGHTS)
    if float_weight is None:
        check_target("both", recipe, (), WEIGHTS)
        return
    with pytest.raises(ConversionError) as raised:
        check_target("both", recipe, (), WEIGHTS)
    assert raised.value.message == (
        f"with the recipe mine the model computes with {float_weight} in floats, which GPU "
        "delegates do not run right, but the target is both"
    )
    assert raised.value.hint == "store it as int8 or int4 in the mode dynamic"


def test_it_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="the recipe fp16 does not run right"):
        build(demo.CHECKPOINT, tmp_path / "m.task", recipe="fp16", target="gpu")
    with pytest.raises(ConversionError, match="the recipe none does not run right"):
        convert_checkpoint(
            demo.CHECKPOINT,
            str(tmp_path / "m-{recipe}.tflite"),
            recipes=["dynamic_wi8_afp32", "none"],
            target="both",
        )
    assert list(tmp_path.iterdir()) == []
