"""Recipes from JSON files: what each entry does, and everything that is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import edgegen
from edgegen.author import AuthoredModel
from edgegen.author.reference import reference_logits
from edgegen.cli import main
from edgegen.convert import ExportSpec, TfliteModel
from edgegen.convert.graph import Weight, WeightUse
from edgegen.convert.interpreter import TfliteSession
from edgegen.convert.parity import compare_logits
from edgegen.convert.plan import plan_weights
from edgegen.convert.recipes import find_recipe
from edgegen.convert.skeleton import trace_skeleton
from edgegen.errors import ConversionError
from tests.convert.ordinary import convert_to_floats, differences, quantize_ordinarily
from tests.hf import save_checkpoint, tiny_config

SPEC = ExportSpec((8,), 64)
GOOD = {"pattern": ".*", "weights": "int8"}


def written(folder: Path, content: Any) -> str:
    path = folder / "mine.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> AuthoredModel:
    folder = tmp_path_factory.mktemp("hf")
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4}
    config = tiny_config(tie_word_embeddings=False, num_key_value_heads=2, head_dim=32, **sizes)
    save_checkpoint(folder, config)
    return edgegen.author_model(edgegen.open_checkpoint(folder))


@pytest.fixture(scope="module")
def traced(model: AuthoredModel) -> dict[str, bytes]:
    return trace_skeleton(model, SPEC)


Convert = Callable[[list[dict[str, str]]], TfliteModel]


@pytest.fixture
def converted(
    tmp_path: Path,
    model: AuthoredModel,
    traced: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Convert:
    """Convert the model with these entries; it was traced once for all tests."""
    monkeypatch.setattr("edgegen.convert.skeleton.trace_skeleton", lambda *_: traced)

    def convert(entries: list[dict[str, str]]) -> TfliteModel:
        recipe = written(tmp_path, entries)
        return edgegen.convert_model(model, tmp_path / "m.tflite", spec=SPEC, recipe=recipe)

    return convert


def test_the_last_entry_counts_and_the_rest_stays_float(converted: Convert) -> None:
    made = converted(
        [
            {"pattern": r"layers\.\d+\.", "weights": "int4", "granularity": "block32"},
            {"pattern": "o_proj", "weights": "int8", "algorithm": "octav"},
            {"pattern": "up_proj", "weights": "float16"},
            {"pattern": "layers.0.mlp.up_proj", "weights": "float32"},
            {"pattern": "q_proj", "weights": "int8", "algorithm": "mse", "mode": "weight_only"},
        ]
    )

    found = {e.name: (e.bits, e.granularity, e.algorithm) for e in made.quantization_errors}
    block = (4, "block32", "min_max_uniform_quantize")
    assert found["embed_tokens.weight"] == (32, "none", "no_quantize")
    assert found["lm_head.weight"] == (32, "none", "no_quantize")
    for layer in ("layers.0", "layers.1"):
        names = {name.split(".")[3]: name for name in found if name.startswith(layer)}
        assert found[names["k_proj"]] == found[names["down_proj"]] == block
        assert found[names["o_proj"]] == (8, "channel", "OCTAV")
        assert found[names["q_proj"]] == (8, "channel", "MSE")
    assert found["layers.0.mlp.up_proj.weight"] == (32, "none", "no_quantize")
    assert found["layers.1.mlp.up_proj.weight"] == (16, "none", "float_casting")


MIXED = [
    {"pattern": ".*", "weights": "int4", "granularity": "block64", "algorithm": "octav"},
    {"pattern": "embed|lm_head", "weights": "int8"},
    {"pattern": r"layers\.1\.", "weights": "float16"},
    {"pattern": "down_proj", "weights": "int4", "granularity": "block128"},
    {"pattern": "o_proj", "weights": "int4", "mode": "weight_only", "algorithm": "mse"},
    {"pattern": "v_proj", "weights": "float32"},
]


def test_it_gives_the_ordinary_bytes_and_computes_what_torch_does(
    tmp_path: Path, converted: Convert
) -> None:
    made = converted(MIXED)

    floats = convert_to_floats(made.source, SPEC, tmp_path / "f.tflite")
    ordinary = quantize_ordinarily(made.source, floats, made.recipe, tmp_path / "o.tflite")

    assert differences(ordinary, made.path) == []
    tokens = [int(i * 37 % 96) for i in range(30)]
    expected = reference_logits(made.source, tokens, made.grid_sources).numpy()[20:]
    parity = compare_logits(expected, TfliteSession(made.path).score(tokens, 20))
    assert parity.cosine > find_recipe(made.recipe).min_cosine


def test_errors_are_those_of_the_grid(converted: Convert) -> None:
    made = converted([GOOD, {"pattern": "mlp", "weights": "int4"}])

    assert {e.name for e in made.quantization_errors} == {p.weight.name for p in made.plans}
    for error in made.quantization_errors:
        exact = made.source.sources[error.name].read().astype(np.float64)
        change = made.grid_sources[error.name].read() - exact
        assert error.rmse == pytest.approx(np.sqrt(np.mean(change**2)), rel=1e-4)
        ratio = np.sum(exact**2) / np.sum(change**2)
        assert error.sqnr_db == pytest.approx(10 * np.log10(ratio), abs=1e-3)


def test_floats_have_no_error(converted: Convert) -> None:
    made = converted([{"pattern": ".*", "weights": "float32"}])

    assert all((e.rmse, e.sqnr_db) == (0, None) for e in made.quantization_errors)


def test_the_command_takes_files_beside_names_and_tells_the_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "hf", tiny_config())
    recipes = f"none,{written(tmp_path, [GOOD])}"
    output = str(tmp_path / "m-{recipe}.tflite")
    command = ["convert", str(tmp_path / "hf"), "-o", output, "--recipe", recipes]

    assert main([*command, "--prefill", "8", "--kv-cache-len", "64", "--json"]) == 0

    rows = json.loads(capsys.readouterr().out)
    assert [Path(row["path"]).name for row in rows] == ["m-none.tflite", "m-mine.tflite"]
    assert rows[1]["quantization_errors"][0].keys() == {
        "name", "bits", "granularity", "algorithm", "rmse", "sqnr_db"
    }  # fmt: skip
    assert all(e["sqnr_db"] > 30 for e in rows[1]["quantization_errors"])


UNREADABLE = {
    "[": "mine.json is not valid JSON: Expecting value",
    "{}": "mine.json holds an object, expected a list of entries",
    "[]": "mine.json holds an empty list, expected a list of entries",
    '"int8"': "mine.json holds a text, expected a list of entries",
    "[8]": "entry 1 of .*mine.json is a number, expected an object",
}


@pytest.mark.parametrize("content", UNREADABLE)
def test_what_is_no_list_of_entries(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConversionError, match=UNREADABLE[content]) as raised:
        find_recipe(written(tmp_path, content))
    assert raised.value.hint


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(
        ConversionError, match=r"absent.json cannot be read: No such file"
    ) as raised:
        find_recipe(str(tmp_path / "absent.json"))
    assert "edgegen list recipes" in (raised.value.hint or "")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConversionError, match=r"b.json cannot be read: not a text"):
        find_recipe(str(tmp_path / "b.json"))


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"patern": "x"}, "has an unknown key 'patern'", "did you mean 'pattern'?"),
    ({"pattern": 3}, "pattern is not a text", "an entry is like"),
    ({"weights": "int3"}, "weights is 'int3'", "did you mean 'int"),
    ({"granularity": "block16"}, "granularity is 'block16'", "did you mean 'block"),
    ({"algorithm": "minmax"}, "algorithm is 'minmax'", "did you mean 'min_max'?"),
    ({"mode": 8}, "mode is 8", "known: dynamic, weight_only"),
    ({"pattern": "(q"}, r"the pattern '\(q' is no regular expression: missing \)", "backslash"),
    (
        {"weights": "float16", "mode": "dynamic"},
        "says mode, but float16 weights have none",
        "leave 'mode' out",
    ),
    (
        {"granularity": "block32"},
        "no int8 with granularity block32, algorithm min_max, mode dynamic",
        "blocks are for int4",
    ),
    (
        {"weights": "int4", "granularity": "block32", "mode": "weight_only"},
        "no int4 with granularity block32, algorithm min_max, mode weight_only",
        "blocks are for int4",
    ),
    (
        {"weights": "int4", "granularity": "block32", "algorithm": "mse"},
        "no int4 with granularity block32, algorithm mse, mode dynamic",
        "not for mse",
    ),
]


@pytest.mark.parametrize(("change", "message", "hint"), WRONG, ids=lambda v: str(v)[:40])
def test_an_entry_that_is_none(
    tmp_path: Path, change: dict[str, Any], message: str, hint: str
) -> None:
    entries = [{"pattern": "a", "weights": "int8"}, GOOD | change]
    with pytest.raises(ConversionError, match=f"entry 2 of .*{message}") as raised:
        find_recipe(written(tmp_path, entries))
    assert hint in (raised.value.hint or "")


@pytest.mark.parametrize("key", ["pattern", "weights"])
def test_an_entry_without_what_it_needs(tmp_path: Path, key: str) -> None:
    entry = {k: v for k, v in GOOD.items() if k != key}
    with pytest.raises(ConversionError, match=f"entry 1 of .* says no {key}"):
        find_recipe(written(tmp_path, [entry]))


def test_a_pattern_given_twice(tmp_path: Path) -> None:
    entries = [GOOD, {"pattern": "mlp", "weights": "int4"}, GOOD]
    with pytest.raises(ConversionError, match=r"entry 3 of .* the pattern '\.\*' of entry 1 again"):
        find_recipe(written(tmp_path, entries))


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path, converted: Convert) -> None:
    with pytest.raises(
        ConversionError, match=r"pattern 'ffn' matches none of the model's 16 weights"
    ):
        converted([GOOD, {"pattern": "ffn", "weights": "int4"}])
    assert list(tmp_path.glob("*.tflite*")) == []


def test_columns_that_the_files_blocks_do_not_divide(converted: Convert) -> None:
    message = re.escape("columns, which blocks of 256 do not divide")
    with pytest.raises(ConversionError, match=message):
        converted([{"pattern": ".*", "weights": "int4", "granularity": "block256"}])


def test_what_the_library_would_pass_over(tmp_path: Path) -> None:
    """It has no blocks for convolutions, and would store floats without a word."""
    graph = schema.ModelT()
    code, operator, subgraph = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT()
    code.builtinCode = schema.BuiltinOperator.CONV_2D
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1], [2]
    subgraph.operators, graph.operatorCodes, graph.subgraphs = [operator], [code], [subgraph]
    weight = Weight("conv_in.weight", (32, 3, 3, 32), 0, (WeightUse(0, 1, (0,)),))
    entries = [GOOD, {"pattern": "conv", "weights": "int4", "granularity": "block32"}]
    message = r"does not store conv_in\.weight, a weight of CONV_2D, as the recipe's pattern 'conv'"
    with pytest.raises(ConversionError, match=message) as raised:
        plan_weights(graph, [weight], find_recipe(written(tmp_path, entries)))
    assert "add an entry for it after that one" in (raised.value.hint or "")
    assert plan_weights(graph, [weight], find_recipe(written(tmp_path, [GOOD])))[0].bits == 8
