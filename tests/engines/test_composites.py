"""What each engine makes of each composite: as the table in docs/architecture.md says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from ai_edge_litert.interpreter import Interpreter

import edgegen
from edgegen.bundle import GenerateRequest, generate
from edgegen.bundle.engine import Generation
from edgegen.contract import CACHE_UPDATE, GROUP_NORM, RMS_NORM, ROPE, RUNTIME_BMM, SWIGLU
from edgegen.convert import ExportSpec, TfliteModel
from edgegen.errors import EngineError
from tests.engines.architectures import AuthoredReference, save_random
from tests.engines.compiled_gpu import Refused, run_on_gpu
from tests.engines.composites import (
    FLOAT,
    INT8,
    PLAIN,
    ROWS,
    SHARED_HEADS,
    Drawn,
    draw,
    table_row,
)
from tests.engines.mediapipe_web import WebEngineError, generate_in_browser
from tests.engines.reference import Greedy
from tests.engines.test_other_kinds import differences, inputs_of, torch_outputs

# One call of prefill: in software only the first execution of each signature is reliable.
PROMPT = "O, speak again"
TOKENS = 32
TIE = 2e-3
DENOISE = "denoise"
RIGHT, WRONG, REFUSED = "right", "other text", "refused"

# The two that share a cache layout of the delegate's own go together or not at all.
GPU_REFUSALS = dict.fromkeys((CACHE_UPDATE, RUNTIME_BMM), "Failed to modify graph with delegate")
WEB_REFUSALS = {
    **dict.fromkeys(
        (CACHE_UPDATE, RUNTIME_BMM, f"{CACHE_UPDATE} + {RUNTIME_BMM}"),
        "Tensor can be used with BufferDescriptor only with TensorStorageType::BUFFER",
    ),
    # It leaves them to the CPU, and then says nothing for long.
    ROPE: f"STABLEHLO_COMPOSITE: {ROPE}",
    SWIGLU: f"STABLEHLO_COMPOSITE: {SWIGLU}",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Drawn]:
    @functools.cache
    def draw_once(row: str) -> Drawn:
        return draw(row, tmp_path_factory.mktemp("drawn"))

    return draw_once


def expected_of(made: Drawn, recipe: str) -> tuple[Greedy, AuthoredReference]:
    """Let torch speak, with the weights as the recipe stores them."""
    reference = AuthoredReference.of(made.checkpoint, made.tflite[recipe].grid_sources)
    expected = reference.greedy(PROMPT, TOKENS)
    assert len(set(expected.ids)) > 2, "too dull an answer to tell anything"
    return expected, reference


def verdict(made: Drawn, recipe: str, text: str) -> str:
    expected, reference = expected_of(made, recipe)
    same = expected.agrees_with(text, reference.tokenizer)
    print(f"{same} of {len(expected.ids)} tokens are torch's: {text!r}")
    return RIGHT if same == len(expected.ids) or expected.margins[same] < TIE else WRONG


def on_gpu(made: Drawn) -> Generation:
    return generate(
        made.bundles[INT8],
        GenerateRequest(
            PROMPT,
            max_output_tokens=TOKENS,
            apply_prompt_template=False,
            delegate="gpu",
            activations="f32",
        ),
    )


def fully_delegated(generation: Generation) -> bool:
    gpu = [d for d in generation.result().delegations if "GPU" in d.delegate]
    return bool(gpu) and all(d.nodes_delegated == d.nodes_total and d.partitions == 1 for d in gpu)


@pytest.mark.parametrize("row", ROWS)
def test_litert_lm_on_the_cpu_is_right(drawn: Callable[[str], Drawn], row: str) -> None:
    made = drawn(row)
    request = GenerateRequest(PROMPT, max_output_tokens=TOKENS, apply_prompt_template=False)

    text = "".join(generate(made.bundles[FLOAT], request))

    assert verdict(made, FLOAT, text) == RIGHT
    assert table_row(row)[0] == RIGHT


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
@pytest.mark.parametrize("row", ROWS)
def test_the_gpu_delegate_is_as_the_table_says(drawn: Callable[[str], Drawn], row: str) -> None:
    said = table_row(row)[2]
    generation = on_gpu(drawn(row))
    if row in GPU_REFUSALS:
        assert said == REFUSED
        with pytest.raises(EngineError, match=GPU_REFUSALS[row]):
            "".join(generation)
        return

    text = "".join(generation)

    assert fully_delegated(generation)
    assert said == verdict(drawn(row), INT8, text)


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
def test_attention_with_shared_heads_is_silently_wrong_on_the_gpu(
    drawn: Callable[[str], Drawn],
) -> None:
    """Why `odml.scaled_dot_product_attention` gets a copy of K and V for each query head.

    The boundary's K and V have fewer heads than its queries, which the CPU's kernel and what
    stands inside the boundary compute as torch does. The GPU takes every node, and says nothing.
    """
    made = drawn(SHARED_HEADS)
    cpu = "".join(
        generate(
            made.bundles[FLOAT],
            GenerateRequest(PROMPT, max_output_tokens=TOKENS, apply_prompt_template=False),
        )
    )
    generation = on_gpu(made)
    gpu = "".join(generation)
    expected, reference = expected_of(made, INT8)

    assert cpu == expected_of(made, FLOAT)[0].text
    assert fully_delegated(generation)
    same = expected.agrees_with(gpu, reference.tokenizer)
    assert same < len(expected.ids)
    # No near tie that rounding could decide.
    assert expected.margins[same] > 0.1, (same, expected.margins[same])
    # The same model drawn plainly is right there, so it is the boundary and nothing else.
    assert "".join(on_gpu(drawn(PLAIN))) == expected.text


@pytest.mark.web
@pytest.mark.parametrize("row", ROWS)
def test_mediapipes_engine_is_as_the_table_says(drawn: Callable[[str], Drawn], row: str) -> None:
    made = drawn(row)
    said = table_row(row)[3]
    length = made.tflite[INT8].spec.kv_cache_len
    generate_here = functools.partial(
        generate_in_browser,
        made.bundles[INT8].path,
        [PROMPT],
        max_tokens=length,
        output_tokens=TOKENS,
        force_f32=True,
    )
    if row in WEB_REFUSALS:
        assert said == REFUSED
        with pytest.raises(WebEngineError, match=WEB_REFUSALS[row]):
            generate_here()
        return

    text = generate_here()["generations"][0]["text"]

    assert said == verdict(made, INT8, text)


def converted(name: str, composite: str, folder: Path) -> TfliteModel:
    save_random(folder / "hf", name)
    model = edgegen.author_model(edgegen.open_checkpoint(folder / "hf"))
    spec = ExportSpec((16,), 32, (composite,))
    return edgegen.convert_model(model, folder / "m.tflite", spec=spec, recipe=FLOAT)


def test_group_norms_of_a_diffusion_model_are_right_on_the_cpu(tmp_path: Path) -> None:
    made = converted("unet_2d_condition", GROUP_NORM, tmp_path)
    inputs = inputs_of(made.source, DENOISE, 1)
    expected = torch_outputs(made.source, made.source.sources, DENOISE, inputs)

    found = Interpreter(model_path=str(made.path)).get_signature_runner(DENOISE)(
        **{key: tensor.numpy() for key, tensor in inputs.items()}
    )

    assert GROUP_NORM.encode() in made.path.read_bytes()
    assert differences(expected, found) < 1e-3


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("name", "composite", "signature"),
    [("unet_2d_condition", GROUP_NORM, DENOISE), ("t5", RMS_NORM, "encode_16")],
)
def test_litert_from_python_dies_of_a_composite_on_the_gpu(
    tmp_path: Path, name: str, composite: str, signature: str
) -> None:
    """Of any, even of one that LiteRT-LM's delegate computes rightly.

    So there is nobody here to ask about the group norms of images. When this fails, there is.
    """
    made = converted(name, composite, tmp_path)
    inputs = inputs_of(made.source, signature, 16)
    arrays = {key: tensor.numpy() for key, tensor in inputs.items()}

    with pytest.raises(Refused, match="status -11"):
        run_on_gpu(made.path, signature, arrays, tmp_path)
