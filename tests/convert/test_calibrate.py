"""Static recipes: activations with scales that a text fixed ahead of time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

import edgegen
from edgegen import demo
from edgegen.author import AuthoredModel
from edgegen.author.reference import reference_logits
from edgegen.bundle import open_tokenizer
from edgegen.conversion import convert_checkpoint
from edgegen.convert import ExportSpec, TfliteModel, convert_recipes
from edgegen.convert.interpreter import TfliteSession
from edgegen.convert.parity import compare_logits
from edgegen.errors import ConversionError
from edgegen.pipeline import build
from tests.engines.architectures import save_random

VERSE = Path(__file__).parents[2] / "scripts" / "tinyshakespeare.txt"
STATIC, EXACTER, DYNAMIC = "static_wi8_ai8", "static_wi8_ai16", "dynamic_wi8_afp32"
SPEC = ExportSpec(prefill_lens=(16, 128), kv_cache_len=512)


@pytest.fixture(scope="module")
def model() -> AuthoredModel:
    return edgegen.author_model(edgegen.open_checkpoint(demo.CHECKPOINT))


@pytest.fixture(scope="module")
def tokens() -> list[int]:
    """Of verse that the model was not trained on."""
    tokenizer = open_tokenizer(demo.CHECKPOINT)
    return [1, *tokenizer.encode(VERSE.read_text()[-55_000:])]


@pytest.fixture(scope="module")
def made(
    model: AuthoredModel, tokens: Sequence[int], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, TfliteModel]:
    folder = tmp_path_factory.mktemp("static")
    outputs = {name: folder / f"{name}.tflite" for name in (STATIC, EXACTER, DYNAMIC)}
    return convert_recipes(model, outputs, spec=SPEC, calibration=tokens[:2000])


def graph_of(path: Path) -> object:
    return flatbuffer_utils.convert_bytearray_to_object(bytearray(path.read_bytes()))


@pytest.mark.parametrize(("recipe", "kl", "top1"), [(STATIC, 0.01, 0.9), (EXACTER, 0.001, 0.98)])
def test_it_stays_near_on_another_text(
    made: dict[str, TfliteModel],
    model: AuthoredModel,
    tokens: Sequence[int],
    recipe: str,
    kl: float,
    top1: float,
) -> None:
    text = [1, *tokens[-300:]]
    found = TfliteSession(made[recipe].path).score(text, 0)
    parity = compare_logits(reference_logits(model, text).numpy(), found)
    assert parity.kl < kl
    assert parity.top1_agreement > top1


@pytest.mark.parametrize(
    ("recipe", "dtype"), [(STATIC, schema.TensorType.INT8), (EXACTER, schema.TensorType.INT16)]
)
def test_every_product_takes_integers_of_fixed_scales(
    made: dict[str, TfliteModel], recipe: str, dtype: int
) -> None:
    graph = graph_of(made[recipe].path)
    codes = [code.builtinCode for code in graph.operatorCodes]
    for subgraph in graph.subgraphs:
        products = [
            operator
            for operator in subgraph.operators
            if codes[operator.opcodeIndex] == schema.BuiltinOperator.FULLY_CONNECTED
        ]
        assert products
        for operator in products:
            activation = subgraph.tensors[operator.inputs[0]]
            weight = subgraph.tensors[operator.inputs[1]]
            assert activation.type == dtype
            assert len(activation.quantization.scale) == 1
            assert weight.type == schema.TensorType.INT8
            assert len(weight.quantization.scale) == weight.shape[0]


@pytest.mark.parametrize("recipe", [STATIC, EXACTER])
def test_caches_and_logits_stay_floats(made: dict[str, TfliteModel], recipe: str) -> None:
    graph = graph_of(made[recipe].path)
    for definition in graph.signatureDefs:
        tensors = graph.subgraphs[definition.subgraphIndex].tensors
        types = {
            item.name.decode(): tensors[item.tensorIndex].type
            for item in (*definition.inputs, *definition.outputs)
        }
        assert types.pop("tokens") == types.pop("input_pos") == schema.TensorType.INT32
        assert set(types.values()) == {schema.TensorType.FLOAT32}


@pytest.mark.parametrize("recipe", [STATIC, EXACTER])
def test_weights_are_those_of_the_dynamic_recipe(made: dict[str, TfliteModel], recipe: str) -> None:
    """So that its plans, grid and errors are true of the static ones, too."""

    def matrices(path: Path) -> set[bytes]:
        content = path.read_bytes()
        graph = graph_of(path)
        found = set()
        for buffer in graph.buffers:
            data = buffer.data
            if data is None and buffer.offset > 1:
                data = np.frombuffer(content[buffer.offset : buffer.offset + buffer.size], np.uint8)
            if data is not None and len(data) > 30_000:
                found.add(np.asarray(data, np.uint8).tobytes())
        return found

    static, dynamic = matrices(made[recipe].path), matrices(made[DYNAMIC].path)
    assert len(dynamic) == len(made[DYNAMIC].plans)
    assert static == dynamic
    assert made[recipe].plans == made[DYNAMIC].plans
    assert made[recipe].quantization_errors == made[DYNAMIC].quantization_errors
    assert all(error.rmse > 0 for error in made[recipe].quantization_errors)
    assert made[recipe].path.stat().st_size < 1.2 * made[DYNAMIC].path.stat().st_size


def test_a_bundle_of_it_passes_the_self_check(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = build(
        demo.CHECKPOINT,
        tmp_path / "m.task",
        prefill_lens=(16,),
        kv_cache_len=256,
        recipe=STATIC,
        calibration=VERSE.read_text()[-20_000:],
    )
    assert made.check is not None
    assert made.check.parity.cosine > 0.99
    assert capfd.readouterr().out == ""  # the library prints


# --- what is refused ---------------------------------------------------------------------


def refusal(tmp_path: Path, recipe: str, text: str | None) -> tuple[str, str | None]:
    with pytest.raises(ConversionError) as raised:
        convert_checkpoint(
            demo.CHECKPOINT,
            str(tmp_path / "m.tflite"),
            recipes=[recipe],
            calibration=text,
            prefill_lens=(16,),
        )
    assert list(tmp_path.iterdir()) == []
    return raised.value.message, raised.value.hint


def test_without_a_text(tmp_path: Path) -> None:
    assert refusal(tmp_path, STATIC, None) == (
        "the recipe static_wi8_ai8 fixes the scales of activations, for which it needs a text",
        "give one like what the model will read with --calibration FILE",
    )


def test_too_short_a_text(tmp_path: Path) -> None:
    message, hint = refusal(tmp_path, STATIC, "Good night, good night!")
    assert message.startswith("there are ")
    assert message.endswith(" tokens to calibrate on, expected at least 64")
    assert hint == "give a longer text"


def test_too_small_a_cache(tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as raised:
        convert_checkpoint(
            demo.CHECKPOINT,
            str(tmp_path / "m.tflite"),
            recipes=[STATIC],
            calibration=VERSE.read_text()[:2000],
            prefill_lens=(16,),
            kv_cache_len=48,
        )
    assert raised.value.message == (
        "a KV cache of 48 tokens has no room for the 64 that calibration needs"
    )
    assert raised.value.hint == "pass --kv-cache-len 64 or more"


def test_a_text_for_nothing(tmp_path: Path) -> None:
    assert refusal(tmp_path, DYNAMIC, "Good night, good night!") == (
        "a calibration text was given, which dynamic_wi8_afp32 cannot use",
        "leave --calibration out, or choose a static recipe",
    )


def test_a_model_that_the_library_cannot_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgegen.convert.calibrate._MOST_FLOAT_BYTES", 10_000_000)
    message, hint = refusal(tmp_path, STATIC, VERSE.read_text()[:2000])
    assert message.startswith("the model takes 1")
    assert message.endswith(" bytes in float32, and static recipes hold one of at most 10,000,000")
    assert hint == "choose a dynamic recipe, which streams"


def test_a_model_that_is_no_decoder(tmp_path: Path) -> None:
    save_random(tmp_path / "t5", "t5")
    with pytest.raises(ConversionError) as raised:
        convert_checkpoint(
            tmp_path / "t5", str(tmp_path / "m.tflite"), recipes=[STATIC], calibration="O, speak"
        )
    assert raised.value.message == (
        "the recipe static_wi8_ai8 is for decoders; the model is of the kind encoder-decoder"
    )
    assert raised.value.hint == "choose a dynamic recipe"
