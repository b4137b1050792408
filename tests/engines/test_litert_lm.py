"""The shipped model in LiteRT-LM, on CPU and GPU delegate, against transformers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import edgegen
from edgegen import demo
from edgegen.bundle import GenerateRequest, generate, open_tokenizer
from edgegen.bundle.engine_types import Activations
from edgegen.convert import ExportSpec, TfliteModel
from edgegen.convert.interpreter import TfliteSession
from edgegen.convert.parity import Parity, compare_logits
from edgegen.convert.recipes import RECIPES
from tests.engines.reference import Reference, hf_reference, with_weights

TEXT = """ROMEO:
But, soft! what light through yonder window breaks?
It is the east, and Juliet is the sun.
Arise, fair sun, and kill the envious moon,
Who is already sick and pale with grief,
That thou her maid art far more fair than she:
Be not her maid, since she is envious;
Her vestal livery is but sick and green
And none but fools do wear it; cast it off.
It is my lady, O, it is my love!
O, that she knew she were! She speaks, yet she says nothing: what of that?
Her eye discourses; I will answer it.
I am too bold, 'tis not to me she speaks.
"""
VERSE = Path(__file__).parents[2] / "scripts" / "tinyshakespeare.txt"
# Number of tokens, of which the start token is one -> why that number. Prefill has 16, 32 and 128.
LENGTHS = {
    2: "one token",
    9: "shorter than every bucket",
    16: "exactly the smallest bucket",
    17: "one more: a second, padded call",
    128: "exactly the largest bucket",
    145: "longer than the largest bucket",
    161: "three buckets, the last one padded",
    176: "three buckets, all of them full",
}


@pytest.fixture(scope="module")
def reference() -> Reference:
    return hf_reference(demo.CHECKPOINT)


def prompt_of(reference: Reference, length: int) -> str:
    """Cut the text to a prompt of exactly that many tokens."""
    ids = reference.tokenizer.encode(TEXT)[: length - 1]
    prompt = reference.tokenizer.decode(ids)
    assert len(reference.prompt_ids(prompt)) == length
    return prompt


@pytest.mark.parametrize("length", LENGTHS)
def test_float_bundle_says_what_transformers_says(
    demo_task_f32: Path, reference: Reference, length: int
) -> None:
    prompt = prompt_of(reference, length)
    request = GenerateRequest(prompt, max_output_tokens=64, apply_prompt_template=False)

    text = "".join(generate(demo_task_f32, request))

    assert text == reference.greedy(prompt, 64).text


# Least top-1 agreement and most KL (nats) with float weights on 1 000 tokens of verse.
# Measured: see the table in docs/reference/recipes.md.
QUALITY = {
    "none": (1.0, 1e-9),
    "fp16": (0.999, 1e-6),
    "weight_only_wi8_afp32": (0.97, 5e-4),
    "dynamic_wi8_afp32": (0.96, 2e-3),
    "dynamic_wi4b32_afp32": (0.88, 0.03),
    "dynamic_wi4b64_afp32": (0.87, 0.03),
    "dynamic_wi4_afp32": (0.87, 0.04),
    "weight_only_wi4_afp32": (0.87, 0.04),
    "dynamic_wi4_octav_afp32": (0.87, 0.03),
    "dynamic_wi4b32_octav_afp32": (0.88, 0.02),
    "dynamic_wi4_mse_afp32": (0.87, 0.03),
    "dynamic_wi8c_hr_afp32": (0.97, 5e-4),
    "dynamic_wi4c_hr_afp32": (0.87, 0.03),
    "dynamic_mixed48_afp32": (0.9, 0.02),
    "dynamic_mixed48_b32_afp32": (0.9, 0.02),
    "dynamic_mixed48_b32_octav_afp32": (0.91, 0.01),
    "dynamic_mixed48_hr_afp32": (0.9, 0.015),
    "dynamic_mixed28_octav_afp32": (0.7, 0.25),
    "static_wi8_ai8": (0.9, 0.01),
    "static_wi8_ai16": (0.97, 1e-3),
}


@functools.cache
def converted_once(folder: Path) -> dict[str, TfliteModel]:
    model = edgegen.author_model(edgegen.open_checkpoint(demo.CHECKPOINT))
    outputs = {recipe: folder / f"{recipe}.tflite" for recipe in RECIPES}
    verse = VERSE.read_text()
    # Not what it is asked about below.
    text = verse[int(len(verse) * 0.9) : int(len(verse) * 0.95)]
    calibration = [1, *open_tokenizer(demo.CHECKPOINT).encode(text)]
    return edgegen.convert_recipes(
        model, outputs, spec=ExportSpec((16, 128), 1024), calibration=calibration
    )


def converted(folder: Path, recipe: str) -> TfliteModel:
    return converted_once(folder)[recipe]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("converted")


@pytest.fixture(scope="module")
def verse_ids(reference: Reference) -> list[int]:
    """1 010 tokens of the text's end, which the model was not trained on."""
    text = VERSE.read_text()
    ids = reference.tokenizer.encode(text[int(len(text) * 0.95) :])
    return [reference.model.config.bos_token_id, *ids[:1009]]


@pytest.mark.parametrize("recipe", RECIPES)
def test_quality_on_a_thousand_tokens(
    folder: Path, reference: Reference, verse_ids: list[int], recipe: str
) -> None:
    parity = teacher_forced(folder, reference, verse_ids, recipe)

    top1, kl = QUALITY[recipe]
    assert parity.tokens == 1000
    assert parity.top1_agreement >= top1, parity
    assert parity.kl <= kl, parity


def teacher_forced(folder: Path, reference: Reference, ids: list[int], recipe: str) -> Parity:
    with torch.no_grad():
        expected = reference.model(torch.tensor([ids])).logits[0].numpy()
    found = TfliteSession(converted(folder, recipe).path, num_threads=2).score(ids, 10)
    return compare_logits(expected[10:].astype(np.float32), found)


def test_every_recipe_has_a_quality_threshold() -> None:
    assert QUALITY.keys() == RECIPES.keys()


GPU_RECIPES = [name for name, recipe in RECIPES.items() if "gpu" in recipe.delegates]
F32, USUAL = ("f32", 2e-3), (None, 0.05)
# All lengths and both kinds of activations for the first recipe of each weight type; the kernels
# of the others are the same, so one case of each will do, where there is time.
GPU_CASES = [
    *(
        pytest.param(recipe, length, *activations)
        for recipe in ("dynamic_wi8_afp32", "dynamic_wi4b32_afp32")
        for length in (9, 49, 176)
        for activations in (F32, USUAL)
    ),
    *(
        pytest.param(recipe, 9, *F32, marks=pytest.mark.slow)
        for recipe in GPU_RECIPES
        if recipe not in ("dynamic_wi8_afp32", "dynamic_wi4b32_afp32")
    ),
]


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
@pytest.mark.parametrize(("recipe", "length", "activations", "margin"), GPU_CASES)
def test_gpu_delegate_says_what_torch_says_with_the_stored_weights(
    demo_bundle: Callable[[str], Path],
    folder: Path,
    recipe: str,
    length: int,
    activations: Activations | None,
    margin: float,
) -> None:
    """The GPU computes with dequantized weights, so torch on the grid is the right reference.

    In software one run of each bucket for each process is reliable, hence these lengths. The
    delegate's usual activations are float16, so a near tie of the logits may go either way.
    """
    grid = with_weights(demo.CHECKPOINT, converted(folder, recipe).grid_sources)
    prompt = prompt_of(grid, length)
    request = GenerateRequest(
        prompt,
        max_output_tokens=32,
        apply_prompt_template=False,
        delegate="gpu",
        activations=activations,
    )

    generation = generate(demo_bundle(recipe), request)
    text = "".join(generation)

    expected = grid.greedy(prompt, 32)
    same = expected.agrees_with(text, grid.tokenizer)
    assert same == len(expected.ids) or expected.margins[same] < margin, (same, text)
    gpu = [d for d in generation.result().delegations if "GPU" in d.delegate]
    assert gpu
    assert all(d.nodes_delegated == d.nodes_total and d.partitions == 1 for d in gpu)
