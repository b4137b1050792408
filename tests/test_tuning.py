"""The quality search on the shipped model: what it promises, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgegen
from edgegen import demo
from edgegen.author import AuthoredModel
from edgegen.author.reference import reference_logits
from edgegen.convert import ExportSpec
from edgegen.convert.candidates import CANDIDATES, recipe_entries
from edgegen.convert.interpreter import TfliteSession
from edgegen.convert.parity import compare_logits
from edgegen.convert.recipe_file import format_entries, read_recipe_file
from edgegen.convert.recipes import find_recipe
from edgegen.convert.sensitivity import divergences
from edgegen.errors import ConversionError, EdgegenError, OutputError
from edgegen.planning import plan
from edgegen.tuning import Budget, Tuning, tune
from edgegen.tuning.matrices import Matrices
from tests.engines.architectures import save_random

PREFILL = (16, 128)
BPW = Budget("bits_per_weight", 4.5)
# What `int4_block32` is called where all weights are stored so.
UNIFORM = {
    "int4_block32": "dynamic_wi4b32_afp32",
    "int4_block32_octav": "dynamic_wi4b32_octav_afp32",
}


def verse() -> str:
    return (Path(__file__).parents[1] / "scripts" / "tinyshakespeare.txt").read_text()


@pytest.fixture(scope="module")
def text() -> str:
    """From what the model was not trained on, its first half."""
    return verse()[-55_000:-28_000]


@pytest.fixture(scope="module")
def model() -> AuthoredModel:
    return edgegen.author_model(edgegen.open_checkpoint(demo.CHECKPOINT))


@pytest.fixture(scope="module")
def held_out() -> list[int]:
    """1 000 tokens of the second half, on which nothing was measured."""
    tokenizer = edgegen.bundle.open_tokenizer(demo.CHECKPOINT)
    return [1, *tokenizer.encode(verse()[-27_000:])[:999]]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, text: str) -> Tuning:
    """At 4.5 bits, on 512 tokens."""
    output = tmp_path_factory.mktemp("tuned") / "tuned.json"
    return tune(demo.CHECKPOINT, output, BPW, text=text, tokens=512, prefill_lens=PREFILL)


def test_a_mixed_recipe_is_nearer_than_uniform_int4_of_the_same_size(tuned: Tuning) -> None:
    uniform = {one.name: one for one in tuned.uniform}
    same_size = [one for one in tuned.uniform if one.bits_per_weight == 4.5]
    assert {one.name for one in same_size} == UNIFORM.keys()
    assert 4.45 < tuned.tuned.bits_per_weight <= 4.5
    assert tuned.tuned.weight_bytes <= same_size[0].weight_bytes
    assert tuned.tuned.tflite_bytes <= same_size[0].tflite_bytes + 2_000  # marks of the graph
    assert tuned.tuned.kl < min(one.kl for one in same_size)
    assert tuned.tuned.kl < 0.95 * uniform["int4_block32"].kl  # the usual one
    assert uniform["int8"].kl < tuned.tuned.kl < uniform["int4_block64_octav"].kl
    assert len({weight.chosen for weight in tuned.weights}) > 2


def test_it_is_nearer_on_a_text_that_it_was_not_made_for(
    tuned: Tuning, model: AuthoredModel, held_out: list[int]
) -> None:
    plans = Matrices(model, tuned.spec, tuple(CANDIDATES)).plans
    chosen = {weight.name: plans[weight.name][weight.chosen] for weight in tuned.weights}
    uniform = [{name: held[each] for name, held in plans.items()} for each in UNIFORM]
    first, *others = divergences(model, [held_out], [chosen, *uniform], told="x")
    assert first.kl < min(one.kl for one in others)


def test_what_single_matrices_cost_adds_up(tuned: Tuning) -> None:
    for one in (tuned.tuned, *tuned.uniform):
        assert one.predicted_kl == pytest.approx(one.kl, rel=0.25), one.name
    for weight in tuned.weights:
        by_name = {one.candidate: one for one in weight.sensitivities}
        assert by_name["int8"].kl < by_name["int4_octav"].kl / 20
        for one in weight.sensitivities:
            assert one.expected_kl == pytest.approx(one.kl, rel=0.4)
    assert tuned.tokens == 512


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured: for what ends before, or does not look at it."""

    def none(*_: object, **__: object) -> list[Any]:
        raise AssertionError("measured")

    monkeypatch.setattr("edgegen.tuning.search.divergences", none)


def test_the_file_reads_back_as_what_was_chosen(tuned: Tuning, model: AuthoredModel) -> None:
    entries, computes_in_int8 = read_recipe_file(tuned.output)
    assert computes_in_int8
    assert entries[0]["pattern"] == ".*"
    assert len(entries) < len(tuned.weights)
    chosen = {weight.name: weight.chosen for weight in tuned.weights}
    assert json.loads(tuned.output.read_text()) == recipe_entries(chosen)
    # As a build would store it: the plan knows that recipe's size.
    planned = plan(
        demo.CHECKPOINT,
        recipes=(str(tuned.output),),
        prefill_lens=PREFILL,
        kv_cache_lens=(tuned.spec.kv_cache_len,),
    )
    assert planned.recipes[0].tflite_bytes == tuned.tuned.tflite_bytes
    assert find_recipe(str(tuned.output)).is_strict


def test_the_same_input_makes_the_same_bytes(tmp_path: Path, text: str) -> None:
    def made(name: str) -> bytes:
        output = tmp_path / name
        weights = ("int4_block64", "int8")
        tune(
            demo.CHECKPOINT,
            output,
            Budget("bits_per_weight", 6),
            weights=weights,
            text=text,
            tokens=40,
            prefill_lens=(16,),
        )
        return output.read_bytes()

    first = made("a.json")
    assert made("b.json") == first
    assert len(json.loads(first)) > 2


def test_a_quality_is_kept_at_a_small_size(tmp_path: Path, text: str) -> None:
    def made(most: float) -> Tuning:
        output = tmp_path / "q.json"
        weights = ("int4_block32", "int8")
        return tune(
            demo.CHECKPOINT,
            output,
            Budget("kl", most),
            weights=weights,
            text=text,
            tokens=64,
            prefill_lens=(16,),
            force=True,
        )

    near, far = made(0.002), made(0.004)
    assert 0.001 < near.tuned.kl <= 0.002 < far.tuned.kl <= 0.004
    sizes = {one.name: one.weight_bytes for one in near.uniform}
    assert sizes["int4_block32"] < far.tuned.weight_bytes < near.tuned.weight_bytes < sizes["int8"]


def test_a_size_of_the_file_is_kept(tmp_path: Path, text: str) -> None:
    most = 2_400_000
    found = tune(
        demo.CHECKPOINT,
        tmp_path / "s.json",
        Budget("tflite_bytes", most),
        text=text,
        weights=("int4_block32", "int8", "float16", "float32"),
        tokens=32,
        prefill_lens=(16,),
    )
    assert 0.99 * most < found.tuned.tflite_bytes <= most
    float32 = {one.name: one for one in found.uniform}["float32"]
    assert float32.kl < 1e-9
    assert float32.bits_per_weight == 32


# --- what is refused ---------------------------------------------------------------------


def refusal(kind: type[EdgegenError], *arguments: Any, **options: Any) -> tuple[str, str]:
    with pytest.raises(kind) as raised:
        tune(*arguments, **{"prefill_lens": (16,), **options})
    return raised.value.message, raised.value.hint or ""


@pytest.mark.usefixtures("light")
class TestRefusedBeforeAnythingIsMeasured:
    def test_fewer_bits_than_there_can_be(self, tmp_path: Path) -> None:
        message, hint = refusal(
            ConversionError, demo.CHECKPOINT, tmp_path / "m.json", Budget("bits_per_weight", 4),
            weights=("int4_block32", "int8"),
        )  # fmt: skip
        assert message == (
            "4 bits a weight are too few: as int4_block32 or int8 the model takes at least 4.5"
        )
        assert hint == "ask for at least that, or add smaller ones to --weights"

    def test_a_smaller_file_than_there_can_be(self, tmp_path: Path) -> None:
        message, _ = refusal(
            ConversionError, demo.CHECKPOINT, tmp_path / "m.json", Budget("tflite_bytes", 10**6),
            weights=("int8",),
        )  # fmt: skip
        started = "1,000,000 bytes are too few: as int8 the model takes at least "
        assert message.startswith(started)
        least = int(message.removeprefix(started).replace(",", ""))
        int8 = plan(demo.CHECKPOINT, recipes=("dynamic_wi8_afp32",), prefill_lens=(16,))
        assert least == int8.recipes[0].tflite_bytes

    @pytest.mark.parametrize(
        ("budget", "told"),
        [
            (BPW, "32 bits a weight are no less than the 32 of float32"),
            (Budget("tflite_bytes", 0), "20,000,000 bytes are no less than the 1"),
        ],
    )
    def test_more_than_floats_take(self, tmp_path: Path, budget: Budget, told: str) -> None:
        budget = replace(budget, most=32 if budget is BPW else 20_000_000)
        message, hint = refusal(ConversionError, demo.CHECKPOINT, tmp_path / "m.json", budget)
        assert message.startswith(told)
        assert message.endswith(" of float32, so there is nothing to search")
        assert hint == "convert with the recipe none, or ask for less"

    @pytest.mark.parametrize(
        ("weights", "told", "hint"),
        [
            (("int4_block31",), "there is no way 'int4_block31' to store weights", "did you mean"),
            (("int8", "int8"), "int8 is given 2 times as a way to store weights", "name it once"),
        ],
    )
    def test_weights_that_are_none(
        self, tmp_path: Path, weights: tuple[str, ...], told: str, hint: str
    ) -> None:
        message, found = refusal(
            ConversionError, demo.CHECKPOINT, tmp_path / "m.json", BPW, weights=weights
        )
        assert message == told
        assert hint in found

    def test_a_matrix_that_none_can_hold(self, tmp_path: Path) -> None:
        message, hint = refusal(
            ConversionError, demo.CHECKPOINT, tmp_path / "m.json", BPW,
            weights=("int4_block128", "int4_block256"),
        )  # fmt: skip
        assert message == (
            "layers.0.mlp.down_proj.weight, with 704 columns, cannot be stored as "
            "int4_block128 or int4_block256"
        )
        assert hint == "add another to --weights, such as int8"

    def test_a_text_that_is_too_short(self, tmp_path: Path) -> None:
        message, hint = refusal(
            EdgegenError, demo.CHECKPOINT, tmp_path / "m.json", BPW, text="Good night, good night!"
        )
        assert message.startswith("there are ")
        assert message.endswith(" tokens to measure on, expected at least 32")
        assert hint == "give a longer text, or more --tokens"
        message, _ = refusal(EdgegenError, demo.CHECKPOINT, tmp_path / "m.json", BPW, tokens=31)
        assert message == "there are 31 tokens to measure on, expected at least 32"

    def test_a_model_that_is_no_decoder(self, tmp_path: Path) -> None:
        save_random(tmp_path / "t5", "t5")
        message, hint = refusal(ConversionError, tmp_path / "t5", tmp_path / "m.json", BPW)
        assert message.startswith("the checkpoint is a model of the kind ")
        assert message.endswith(", and tuning is for decoders")
        assert hint == "choose one of the recipes that `edgegen list recipes` prints"

    def test_an_output_that_exists(self, tmp_path: Path) -> None:
        (tmp_path / "m.json").write_text("[]")
        message, hint = refusal(OutputError, demo.CHECKPOINT, tmp_path / "m.json", BPW)
        assert message == f"output {tmp_path / 'm.json'} exists"
        assert "--force" in hint
        assert (tmp_path / "m.json").read_text() == "[]"

    def test_an_output_that_is_the_checkpoints_own(self, tmp_path: Path) -> None:
        folder = tmp_path / "hf"
        shutil.copytree(demo.CHECKPOINT, folder)
        before = (folder / "config.json").read_bytes()
        message, hint = refusal(OutputError, folder, folder / "config.json", BPW, force=True)
        assert message == f"output {folder / 'config.json'} is a file of the checkpoint itself"
        assert hint == "choose another name"
        assert (folder / "config.json").read_bytes() == before

    def test_an_output_that_no_recipe_option_would_read(self, tmp_path: Path) -> None:
        message, hint = refusal(OutputError, demo.CHECKPOINT, tmp_path / "mine.txt", BPW)
        assert message == (
            f"output {tmp_path / 'mine.txt'} does not end in .json, which tells a recipe file "
            "from a name"
        )
        assert hint == f"name it {tmp_path / 'mine.json'}"


def test_a_quality_that_cannot_be_had(tmp_path: Path) -> None:
    message, hint = refusal(
        ConversionError, demo.CHECKPOINT, tmp_path / "m.json", Budget("kl", 1e-7),
        weights=("int8",), tokens=32,
    )  # fmt: skip
    started = "a KL of 1e-07 nats cannot be had of int8: the least is "
    assert message.startswith(started)
    assert 1e-6 < float(message.removeprefix(started)) < 1e-3
    assert hint == "allow that, or add float16 to --weights"
    assert list(tmp_path.iterdir()) == []


def test_logits_that_are_no_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgegen.convert.sensitivity import Divergence

    monkeypatch.setattr(
        "edgegen.tuning.search.divergences",
        lambda model, parts, variants, told: [Divergence(float("nan"), 0.0)] * len(variants),
    )
    message, hint = refusal(
        ConversionError, demo.CHECKPOINT, tmp_path / "m.json", BPW, weights=("int4_block32",)
    )
    assert message == (
        "the model's logits on the text are no numbers, with embed_tokens.weight as "
        "int4_block32 or without"
    )
    assert hint == "the checkpoint is damaged or training diverged"


# --- the files ---------------------------------------------------------------------------


def test_an_entry_for_each_weight_that_is_not_as_most_are() -> None:
    chosen = {"a.weight": "int8", "b.weight": "int4_block32_octav", "c.weight": "int8"}
    assert format_entries(recipe_entries(chosen)) == (
        '[\n  {"pattern": ".*", "weights": "int8"},\n'
        '  {"pattern": "^b\\\\.weight$", "weights": "int4", "granularity": "block32", '
        '"algorithm": "octav"}\n]\n'
    )


Scored = Callable[[str], tuple[int, float]]


@pytest.fixture(scope="module")
def scored(
    tuned: Tuning, model: AuthoredModel, held_out: list[int], tmp_path_factory: Any
) -> Scored:
    """Of a recipe's `.tflite`: its size, and its KL from torch in float32."""
    folder = tmp_path_factory.mktemp("tflite")
    names = [str(tuned.output), *UNIFORM.values()]
    outputs = {name: folder / f"{index}.tflite" for index, name in enumerate(names)}
    made = edgegen.convert_recipes(model, outputs, spec=ExportSpec(PREFILL, 1024))
    stored = {plan.weight.name: plan for plan in made[names[0]].plans}
    for weight in tuned.weights:  # as the search meant it
        asked = CANDIDATES[weight.chosen]
        assert stored[weight.name].bits == int(asked["weights"].removeprefix("int"))
        block = asked.get("granularity", "block0").removeprefix("block")
        assert stored[weight.name].block_size == int(block)
    exact = reference_logits(model, held_out).numpy()

    def score(name: str) -> tuple[int, float]:
        logits = TfliteSession(made[name].path, num_threads=2).score(held_out, 0)
        return made[name].path.stat().st_size, compare_logits(exact, logits.astype(np.float32)).kl

    return score


@pytest.mark.slow
def test_the_mixed_file_is_nearer_than_uniform_ones_of_its_size(
    tuned: Tuning, scored: Scored
) -> None:
    size, kl = scored(str(tuned.output))
    assert size == pytest.approx(tuned.tuned.tflite_bytes, rel=0.02)
    for name in UNIFORM.values():
        other_size, other_kl = scored(name)
        assert size <= 1.005 * other_size, name
        assert kl < other_kl, name
