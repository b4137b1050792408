"""Encoders, encoder-decoders and diffusion models: every signature in LiteRT, CPU and GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

import edgegen
from edgegen.author import AuthoredModel
from edgegen.author.tensor_source import TensorSource
from edgegen.convert import ExportSpec, TfliteModel, convert_recipes
from tests.engines.architectures import OTHERS, save_random
from tests.engines.compiled_gpu import Refused, run_on_gpu
from tests.engines.records import page_row, record

SPEC = ExportSpec(prefill_lens=(16,), kv_cache_len=32)
FLOAT, INT8 = "none", "dynamic_wi8_afp32"


@pytest.fixture(scope="module")
def convert(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], tuple[AuthoredModel, dict[str, TfliteModel]]]:
    known = {}

    def convert_once(name: str) -> tuple[AuthoredModel, dict[str, TfliteModel]]:
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            save_random(folder / "hf", name)
            model = edgegen.author_model(edgegen.open_checkpoint(folder / "hf"))
            outputs = {recipe: folder / f"{recipe}.tflite" for recipe in (FLOAT, INT8)}
            known[name] = model, convert_recipes(model, outputs, spec=SPEC)
        return known[name]

    return convert_once


def signatures(model: AuthoredModel) -> dict[str, int]:
    return model.module.signatures(SPEC.prefill_lens)


def inputs_of(model: AuthoredModel, name: str, tokens: int) -> dict[str, torch.Tensor]:
    """Fill a signature's inputs: some padding, a position in the middle, and noise."""
    torch.manual_seed(0)
    filled = {}
    for key, sample in model.module.sample_inputs(name, tokens, SPEC.kv_cache_len).items():
        if key == "tokens":
            filled[key] = torch.randint(1, 90, sample.shape, dtype=torch.int32)
        elif key == "length":
            filled[key] = torch.full_like(sample, max(1, tokens - 3))
        elif key == "input_pos":
            filled[key] = torch.tensor([5], dtype=torch.int32)
        elif key == "timestep":
            filled[key] = torch.full_like(sample, 481)
        elif key.endswith("mask"):
            filled[key] = torch.zeros(sample.shape)
        else:
            filled[key] = 0.5 * torch.randn(sample.shape)
    return filled


@torch.no_grad()
def torch_outputs(
    model: AuthoredModel,
    sources: Mapping[str, TensorSource],
    name: str,
    inputs: dict[str, torch.Tensor],
) -> dict[str, npt.NDArray[np.float32]]:
    state = {key: torch.from_numpy(source.read()) for key, source in sources.items()}
    module = model.module
    module.to_empty(device="cpu")
    module.load_state_dict(state)
    return {key: tensor.numpy() for key, tensor in module.run(name, inputs).items()}


def differences(
    expected: Mapping[str, npt.NDArray[np.float32]], found: Mapping[str, npt.NDArray[np.float32]]
) -> float:
    assert expected.keys() == found.keys()
    return max(float(np.abs(expected[key] - found[key]).max()) for key in expected)


@pytest.mark.parametrize("name", OTHERS)
def test_every_signature_computes_what_torch_computes(convert: Callable, name: str) -> None:
    model, made = convert(name)
    interpreter = Interpreter(model_path=str(made[FLOAT].path))
    worst = 0.0
    for signature, tokens in signatures(model).items():
        inputs = inputs_of(model, signature, tokens)
        found = interpreter.get_signature_runner(signature)(
            **{key: tensor.numpy() for key, tensor in inputs.items()}
        )
        worst = max(
            worst, differences(torch_outputs(model, model.sources, signature, inputs), found)
        )
    record(name, max_abs_diff=worst, cpu="torch's outputs (LiteRT)")
    assert worst < 1e-3


@pytest.mark.parametrize("name", OTHERS)
def test_no_tensor_has_more_than_four_dimensions(convert: Callable, name: str) -> None:
    _, made = convert(name)
    graph = flatbuffer_utils.convert_bytearray_to_object(bytearray(made[FLOAT].path.read_bytes()))

    ranks = {len(t.shape) for s in graph.subgraphs for t in s.tensors if t.shape is not None}

    assert max(ranks) <= 4


@pytest.mark.gpu
@pytest.mark.parametrize("name", OTHERS)
def test_the_gpu_delegate_is_as_the_page_says(convert: Callable, tmp_path: Path, name: str) -> None:
    model, made = convert(name)
    # Convolutions with int8 weights are refused ("Unable to parse bc coord for BATCH axis").
    recipe = FLOAT if model.kind == "diffusion" else INT8
    worst = 0.0
    for signature, tokens in signatures(model).items():
        inputs = inputs_of(model, signature, tokens)
        arrays = {key: tensor.numpy() for key, tensor in inputs.items()}
        try:
            found = run_on_gpu(made[recipe].path, signature, arrays, tmp_path)
        except Refused as refusal:
            record(name, gpu=f"{signature} refused: {refusal}")
            reason = page_row(name)[-1].removeprefix(f"{signature} refused: ")
            if reason not in str(refusal):
                raise
            return
        expected = torch_outputs(model, made[recipe].grid_sources, signature, inputs)
        worst = max(worst, differences(expected, found))
    assert worst < 1e-2
    verdict = "all nodes, torch's outputs" + (" (float32)" if recipe == FLOAT else "")
    record(name, gpu=verdict)
    assert page_row(name)[-1] == verdict
