"""Every architecture through the whole chain: TFLite, LiteRT-LM on the CPU, the GPU delegate."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.tools import flatbuffer_utils

import edgegen
from edgegen.author.reference import reference_logits
from edgegen.bundle import Bundle, GenerateRequest, generate, generation_parameters, open_tokenizer
from edgegen.bundle.engine import Generation
from edgegen.convert import ExportSpec, TfliteModel, convert_recipes
from edgegen.convert.interpreter import TfliteSession
from edgegen.convert.parity import compare_logits
from edgegen.errors import EngineError
from tests.engines.architectures import DECODERS, AuthoredReference, save_with_tokenizer
from tests.engines.records import page_row, record
from tests.engines.reference import Greedy, hf_reference

SPEC = ExportSpec(prefill_lens=(16,), kv_cache_len=64)
FLOAT, INT8 = "none", "dynamic_wi8_afp32"
# Longer than every tiny model's window, and two calls of prefill, the second one padded.
PROMPT = "What light through yonder window breaks? It is the east, and Juliet"
# One call: in software only the first execution of each signature is reliable.
SHORT_PROMPT = "O, speak again"
TOKENS = 24
TIE = 2e-3


@dataclass(frozen=True)
class Made:
    """One architecture's checkpoint, models and bundles."""

    folder: Path
    tflite: dict[str, TfliteModel]
    bundles: dict[str, Bundle]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    @functools.lru_cache(maxsize=1)  # the tests come grouped by architecture
    def make_once(model_type: str) -> Made:
        folder = save_with_tokenizer(tmp_path_factory.mktemp(model_type) / "hf", model_type)
        model = edgegen.author_model(edgegen.open_checkpoint(folder))
        outputs = {recipe: folder.parent / f"{recipe}.tflite" for recipe in (FLOAT, INT8)}
        made = convert_recipes(model, outputs, spec=SPEC)
        tokenizer = open_tokenizer(folder)
        parameters = generation_parameters(model.checkpoint, tokenizer)
        bundles = {
            recipe: edgegen.write_bundle(
                tflite.path, tokenizer, parameters, folder.parent / f"{recipe}.task"
            )
            for recipe, tflite in made.items()
        }
        return Made(folder, made, bundles)

    return make_once


def text_or_refusal(generation: Generation) -> tuple[str, str | None]:
    try:
        return "".join(generation), None
    except EngineError as error:
        return "", error.message


def assert_says(text: str, expected: Greedy, reference: Any) -> None:
    same = expected.agrees_with(text, reference.tokenizer)
    assert same == len(expected.ids) or expected.margins[same] < TIE, (same, text, expected.text)


@pytest.mark.parametrize("model_type", DECODERS, scope="module")
class TestArchitecture:
    def test_converted_logits_are_those_of_torch(
        self, make: Callable[[str], Made], model_type: str
    ) -> None:
        tflite = make(model_type).tflite[FLOAT]
        tokens = [1, *(int(i * 37 % 2000) for i in range(40))]

        found = TfliteSession(tflite.path).score(tokens, 21)

        expected = reference_logits(tflite.source, tokens).numpy()[21:]
        parity = compare_logits(expected, found)
        record(model_type, max_abs_diff=parity.max_abs_diff)
        assert np.std(expected) > 0.05
        assert parity.max_abs_diff < 1e-3

    def test_no_tensor_has_more_than_four_dimensions(
        self, make: Callable[[str], Made], model_type: str
    ) -> None:
        content = bytearray(make(model_type).tflite[FLOAT].path.read_bytes())
        graph = flatbuffer_utils.convert_bytearray_to_object(content)

        ranks = {len(t.shape) for s in graph.subgraphs for t in s.tensors if t.shape is not None}

        assert max(ranks) <= 4

    def test_litert_lm_on_the_cpu_says_what_transformers_says(
        self, make: Callable[[str], Made], model_type: str
    ) -> None:
        made = make(model_type)
        # What wraps a text model is not opened by transformers without its other parts.
        whole = "text_config" not in made.tflite[FLOAT].source.checkpoint.config
        reference = hf_reference(made.folder) if whole else AuthoredReference.of(made.folder)
        request = GenerateRequest(PROMPT, max_output_tokens=TOKENS, apply_prompt_template=False)

        text = "".join(generate(made.bundles[FLOAT], request))
        expected = reference.greedy(PROMPT, TOKENS)
        assert len(expected.ids) >= 8, "too short an answer to tell anything"

        assert_says(text, expected, reference)
        record(model_type, cpu="transformers' tokens" if whole else "torch's tokens")

    @pytest.mark.gpu
    @pytest.mark.usefixtures("software_gpu")
    def test_the_gpu_delegate_is_as_the_page_says(
        self, make: Callable[[str], Made], model_type: str
    ) -> None:
        made = make(model_type)
        grid = AuthoredReference.of(made.folder, made.tflite[INT8].grid_sources)
        request = GenerateRequest(
            SHORT_PROMPT,
            max_output_tokens=TOKENS,
            apply_prompt_template=False,
            delegate="gpu",
            activations="f32",
        )
        generation = generate(made.bundles[INT8], request)
        text, refusal = text_or_refusal(generation)
        if refusal is not None:
            record(model_type, gpu=f"refused: {refusal}")
            assert page_row(model_type)[-1] == f"refused: {refusal}"
            return
        delegations = [d for d in generation.result().delegations if "GPU" in d.delegate]
        assert delegations
        assert all(d.nodes_delegated == d.nodes_total and d.partitions == 1 for d in delegations)
        assert_says(text, grid.greedy(SHORT_PROMPT, TOKENS), grid)
        record(model_type, gpu="all nodes, torch's tokens")
        assert page_row(model_type)[-1] == "all nodes, torch's tokens"
