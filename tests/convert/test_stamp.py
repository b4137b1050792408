"""Graphs whose layers were stamped out are those that tracing every layer makes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert.tools import flatbuffer_utils
from torch import nn

import edgegen
from edgegen.author import AuthoredModel
from edgegen.author.decoder import Decoder
from edgegen.convert import ExportSpec, skeleton
from edgegen.convert.reduction import Reduction, find_reduction, reduce_model
from edgegen.convert.stamp import UnlikeLayersError, stamp
from edgegen.convert.stand_ins import UnknownConstantError, VectorUse, find_uses, stand_in
from edgegen.convert.trace import is_streamed, trace_signature
from tests.convert.ordinary import differences
from tests.hf import save_checkpoint, tiny_config

SPEC = ExportSpec((8,), 32)
# With enough layers that some are left out, and a period is stamped twice where it is short.
LAYERS = {
    "ernie4_5": 6,
    "exaone4": 10,
    "falcon": 6,
    "gemma": 6,
    "gemma2": 10,
    "gemma3_text": 12,
    "gpt2": 6,
    "granite": 6,
    "hunyuan_v1_dense": 6,
    "llama": 7,
    "ministral": 12,
    "mistral": 6,
    "olmo2": 6,
    "phi": 6,
    "phi3": 6,
    "qwen2": 8,
    "qwen3": 8,
    "qwen3_moe": 8,
    "smollm3": 9,
    "stablelm": 6,
}
QUICK = ("gemma2", "llama", "qwen3_moe")


def deep(model_type: str, folder: Path, layers: int, **changes: Any) -> AuthoredModel:
    """Make a model whose layers repeat the pattern of the tiny one's."""
    config = tiny_config(model_type, **changes)
    if types := config.get("layer_types"):
        config["layer_types"] = [types[i % len(types)] for i in range(layers)]
    save_checkpoint(folder, {**config, "num_hidden_layers": layers})
    return edgegen.author_model(edgegen.open_checkpoint(folder))


def traced(model: AuthoredModel, signature: str, **options: Any) -> Any:
    """Trace one signature, as a `ModelT`."""
    tokens = model.module.signatures(SPEC.prefill_lens)[signature]
    content = trace_signature(model, SPEC, signature, tokens, **options)
    return flatbuffer_utils.convert_bytearray_to_object(bytearray(content))


def write(part: Any, path: Path) -> Path:
    path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(part))
    return path


@pytest.mark.parametrize("signature", ["prefill_8", "decode"])
@pytest.mark.parametrize(
    "model_type",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in LAYERS],
)
def test_it_is_the_graph_of_all_layers(tmp_path: Path, model_type: str, signature: str) -> None:
    model = deep(model_type, tmp_path / "hf", LAYERS[model_type])
    reduction = find_reduction(model.module)
    assert reduction is not None
    assert reduction.traced < LAYERS[model_type]
    reduced = reduce_model(model, reduction)
    part = traced(reduced, signature, with_stand_ins=True)

    stamp(
        part,
        find_uses(part, vectors_of(reduced)),
        reduction,
        (reduced.module, model.module),
        lambda name: model.sources[name].read(),
    )

    whole = write(traced(model, signature), tmp_path / "whole.tflite")
    assert not differences(whole, write(part, tmp_path / "stamped.tflite"))


def vectors_of(model: AuthoredModel) -> dict[str, tuple[int, ...]]:
    return {n: s.shape for n, s in model.sources.items() if not is_streamed(s.shape)}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> AuthoredModel:
    return deep("llama", tmp_path_factory.mktemp("llama"), 7)


@pytest.fixture(scope="module")
def llama_part(llama: AuthoredModel) -> Callable[[], Any]:
    """The reduced model's prefill, anew for each who changes it."""
    reduction = find_reduction(llama.module)
    assert reduction is not None
    reduced = reduce_model(llama, reduction)
    content = trace_signature(reduced, SPEC, "prefill_8", 8, with_stand_ins=True)
    return lambda: flatbuffer_utils.convert_bytearray_to_object(bytearray(content))


def stamp_llama(
    part: Any, model: AuthoredModel, vector: Callable[[str], Any] | None = None
) -> None:
    reduction = find_reduction(model.module)
    assert reduction is not None
    reduced = reduce_model(model, reduction)
    stamp(
        part,
        find_uses(part, vectors_of(reduced)),
        reduction,
        (reduced.module, model.module),
        vector or (lambda name: model.sources[name].read()),
    )


def test_the_comparison_sees_a_swapped_vector_and_a_swapped_wire(
    llama: AuthoredModel, llama_part: Callable[[], Any], tmp_path: Path
) -> None:
    right, swapped, crossed = llama_part(), llama_part(), llama_part()
    other = {4: 3, 3: 4}

    def of_another_layer(name: str) -> Any:
        for a, b in other.items():
            if name == f"layers.{a}.input_layernorm.weight":
                return llama.sources[f"layers.{b}.input_layernorm.weight"].read()
        return llama.sources[name].read()

    stamp_llama(right, llama)
    stamp_llama(swapped, llama, of_another_layer)
    stamp_llama(crossed, llama)
    # The residual of one stamped layer's feed-forward block, taken from the one before.
    adds = [o for o in crossed.subgraphs[0].operators if len(o.inputs) == 2][-8:]
    adds[-1].inputs = [adds[-2].inputs[0], adds[-1].inputs[1]]

    paths = [
        write(part, tmp_path / f"{i}.tflite") for i, part in enumerate((right, swapped, crossed))
    ]
    assert any("constant data" in text for text in differences(paths[0], paths[1]))
    assert differences(paths[0], paths[2])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where graphs are kept by the tests that convert."""
    return tmp_path_factory.mktemp("kept")


def test_conversion_traces_but_a_few_layers(
    llama: AuthoredModel, kept: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the worker as here; the files with all layers traced are the same."""
    monkeypatch.setenv("EDGEGEN_CACHE_DIR", str(kept))
    parts = []
    run = skeleton._traced

    def seen(*arguments: Any) -> dict[str, bytes]:
        parts.append((arguments[-1], run(*arguments)))
        return parts[-1][1]

    monkeypatch.setattr(skeleton, "_traced", seen)
    made = edgegen.convert_model(llama, tmp_path / "stamped.tflite", spec=SPEC)
    monkeypatch.setattr(skeleton, "find_reduction", lambda _: None)
    whole = edgegen.convert_model(llama, tmp_path / "whole.tflite", spec=SPEC)

    assert [reduction and reduction.traced for reduction, _ in parts] == [4, None]
    few, all_layers = (len(part["decode"]) for _, part in parts)
    assert few < 0.8 * all_layers
    assert not differences(whole.path, made.path)


class TestReduction:
    def test_layers_of_one_kind(self, llama: AuthoredModel) -> None:
        assert find_reduction(llama.module) == Reduction(7, template=2, period=1, copies=3)

    def test_places_and_templates(self) -> None:
        reduction = Reduction(12, template=3, period=2, copies=2)

        assert reduction.traced == 8
        assert [reduction.place(i) for i in range(8)] == [0, 1, 2, 3, 4, 9, 10, 11]
        assert reduction.stamped() == [(5, 3), (6, 4), (7, 3), (8, 4)]

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda layers: layers[3].mlp.__dict__.update(act_fn=None), id="plain"),
            pytest.param(
                lambda layers: setattr(
                    layers[3].input_layernorm, "weight", nn.Parameter(torch.empty(97))
                ),
                id="shape",
            ),
            pytest.param(
                lambda layers: setattr(layers[3], "mlp", nn.Identity()), id="another class"
            ),
        ],
    )
    def test_a_layer_unlike_the_others_is_traced(
        self, tmp_path: Path, change: Callable[[Any], None]
    ) -> None:
        model = deep("llama", tmp_path, 7)
        module: Any = model.module
        change(module.layers)
        assert find_reduction(module) is None

    def test_a_vector_of_one_number_could_not_be_told(self, llama: AuthoredModel) -> None:
        module: Any = copy.deepcopy(llama.module)
        module.extra = nn.Parameter(torch.empty(1))
        assert find_reduction(module) is None

    def test_other_decoders_are_traced_whole(self, llama: AuthoredModel) -> None:
        class Other(Decoder):
            pass

        module: Any = copy.deepcopy(llama.module)
        module.__class__ = Other
        assert find_reduction(module) is None


class TestWhatCannotBeStamped:
    """The caller traces every layer instead; see the last test."""

    def test_a_constant_that_was_computed_with(
        self, llama: AuthoredModel, llama_part: Callable[[], Any]
    ) -> None:
        part = llama_part()
        uses = find_uses(part, vectors_of(llama))
        index, use = next(iter(uses.items()))
        values = stand_in(use.name, llama.sources[use.name].shape)
        part.buffers[index].data = np.frombuffer((values * np.float32(3)).tobytes(), np.uint8)

        with pytest.raises(UnknownConstantError, match="computed from a vector"):
            find_uses(part, vectors_of(llama))

    def test_a_layer_that_takes_from_one_that_is_not_its_neighbour(
        self, llama: AuthoredModel, llama_part: Callable[[], Any]
    ) -> None:
        part = llama_part()
        operators = part.subgraphs[0].operators
        # The last of four layers, which is a part of one in prefill, takes from the second.
        far = operators[len(operators) * 9 // 20]
        operators[-1].inputs = [far.outputs[0], *operators[-1].inputs[1:]]

        with pytest.raises(UnlikeLayersError, match="not its neighbour"):
            stamp_llama(part, llama)

    def test_interleaved_layers(self, llama: AuthoredModel, llama_part: Callable[[], Any]) -> None:
        part = llama_part()
        part.subgraphs[0].operators.reverse()

        with pytest.raises(UnlikeLayersError, match="interleaved"):
            stamp_llama(part, llama)

    def test_a_layer_without_weights(
        self, llama: AuthoredModel, llama_part: Callable[[], Any]
    ) -> None:
        part = llama_part()
        part.signatureDefs[0].inputs = part.signatureDefs[0].inputs[:2]

        with pytest.raises(UnlikeLayersError, match="nothing of its own"):
            stamp_llama(part, llama)

    def test_layers_with_different_operators(
        self, llama: AuthoredModel, llama_part: Callable[[], Any]
    ) -> None:
        part = llama_part()
        operators = part.subgraphs[0].operators
        place = len(operators) // 2
        operators.insert(place, operators[place])

        with pytest.raises(UnlikeLayersError, match=r"different operators|not its neighbour"):
            stamp_llama(part, llama)

    def test_inner_graphs(self, llama: AuthoredModel, llama_part: Callable[[], Any]) -> None:
        part = llama_part()
        part.subgraphs *= 2

        with pytest.raises(UnlikeLayersError, match="inner graphs"):
            stamp_llama(part, llama)

    def test_a_vector_of_another_layer(
        self, llama: AuthoredModel, llama_part: Callable[[], Any]
    ) -> None:
        part = llama_part()
        reduction = find_reduction(llama.module)
        assert reduction is not None
        reduced = reduce_model(llama, reduction)
        uses = find_uses(part, vectors_of(reduced))
        far = {
            index: VectorUse(use.name.replace("layers.0.", "layers.3."), use.plus_one)
            for index, use in uses.items()
        }

        with pytest.raises(UnlikeLayersError, match="a vector of another"):
            stamp(
                part,
                far,
                reduction,
                (reduced.module, llama.module),
                lambda name: llama.sources[name].read(),
            )

    def test_every_layer_is_traced_then(
        self,
        llama: AuthoredModel,
        kept: Path,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def unlike(*_: object) -> None:
            raise UnlikeLayersError("they are purple")

        monkeypatch.setenv("EDGEGEN_CACHE_DIR", str(kept))
        monkeypatch.setattr(skeleton, "stamp", unlike)
        with caplog.at_level("INFO", logger="edgegen.convert"):
            made = edgegen.convert_model(llama, tmp_path / "m.tflite", spec=SPEC, recipe="none")

        assert "every layer is traced: they are purple" in caplog.text
        assert made.path.stat().st_size > 1000
