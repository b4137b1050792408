"""What `--mask-input` and `--kv-cache-dtype` make, in torch and in the engines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import edgegen
from edgegen.author.reference import reference_logits
from edgegen.bundle import GenerateRequest, generate, generation_parameters, open_tokenizer
from edgegen.contract import CACHE_PREFIXES, DECODE, MASK
from edgegen.conversion import convert_checkpoint
from edgegen.convert import ExportSpec, TfliteModel, convert_recipes
from edgegen.convert.interpreter import TfliteSession
from edgegen.convert.parity import compare_logits
from edgegen.errors import ConversionError
from tests.engines.architectures import AuthoredReference, save_random, save_with_tokenizer

SPECS = {
    option: ExportSpec(prefill_lens=(16,), kv_cache_len=64, **{option: value})
    for option, value in (("mask_input", True), ("kv_cache_dtype", "float16"))
}
CASES = [
    ("mask_input", "llama"),
    ("mask_input", "gemma2"),  # every second layer has a window
    ("mask_input", "falcon"),  # heads that lean
    ("kv_cache_dtype", "llama"),
    ("kv_cache_dtype", "gemma3n_text"),  # layers that read another's cache
    ("kv_cache_dtype", "lfm2"),  # caches of convolutions
]
MASKED = [case for case in CASES if case[0] == "mask_input"]
FLOAT, INT8 = "none", "dynamic_wi8_afp32"
# Longer than the window, and two calls of prefill, the second one padded.
PROMPT = "What light through yonder window breaks? It is the east, and Juliet"
SHORT_PROMPT = "O, speak again"
TOKENS = 24
TIE = 2e-3


@dataclass(frozen=True)
class Made:
    """A checkpoint, and what was made of it."""

    option: str
    folder: Path
    tflite: dict[str, TfliteModel]
    bundles: dict[str, Path]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    option, model_type = request.param
    folder = save_with_tokenizer(tmp_path_factory.mktemp(model_type) / "hf", model_type)
    model = edgegen.author_model(edgegen.open_checkpoint(folder))
    outputs = {recipe: folder.parent / f"{recipe}.tflite" for recipe in (FLOAT, INT8)}
    tflite = convert_recipes(model, outputs, spec=SPECS[option])
    tokenizer = open_tokenizer(folder)
    parameters = generation_parameters(model.checkpoint, tokenizer)
    bundles = {}
    for recipe, one in tflite.items():
        path = folder.parent / f"{recipe}.task"
        bundles[recipe] = edgegen.write_bundle(one.path, tokenizer, parameters, path).path
    return Made(option, folder, tflite, bundles)


def assert_says(made: Made, recipe: str, prompt: str, text: str) -> None:
    reference = AuthoredReference.of(made.folder, made.tflite[recipe].grid_sources)
    expected = reference.greedy(prompt, TOKENS)
    assert len(expected.ids) >= 8, "too short an answer to tell anything"
    same = expected.agrees_with(text, reference.tokenizer)
    assert same == len(expected.ids) or expected.margins[same] < TIE, (same, text, expected.text)


def test_each_signature_is_as_asked(made: Made) -> None:
    interpreter = Interpreter(str(made.tflite[FLOAT].path))
    for name, tokens in SPECS[made.option].signatures.items():
        runner = interpreter.get_signature_runner(name)
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        caches = [n for n in inputs if n.startswith(CACHE_PREFIXES)]
        assert caches
        wide = made.option == "mask_input"
        for one in caches:
            expected = np.float32 if wide else np.float16
            assert inputs[one]["dtype"] == outputs[one]["dtype"] == expected
        assert (MASK in inputs) is wide
        if wide:
            assert list(inputs[MASK]["shape"]) == [1, 1, tokens, 64]
            assert inputs[MASK]["dtype"] == np.float32


def test_logits_are_those_of_torch(made: Made) -> None:
    tokens = [1, *(int(i * 37 % 2000) for i in range(40))]
    found = TfliteSession(made.tflite[FLOAT].path).score(tokens, 21)
    expected = reference_logits(made.tflite[FLOAT].source, tokens).numpy()[21:]
    parity = compare_logits(expected, found)
    # Of float16 caches 11 bits are left; the logits' standard deviation is above 1.
    assert parity.max_abs_diff < (1e-3 if made.option == "mask_input" else 0.02)
    assert np.std(expected) > 0.05


@pytest.mark.parametrize("made", MASKED, indirect=True, ids="-".join)
def test_the_mask_decides_what_is_seen(made: Made) -> None:
    """What the runtime hides has no effect, and would have had one."""

    def last(first: int, *, hide_first: bool) -> np.ndarray:
        session = TfliteSession(made.tflite[FLOAT].path)
        runner = session._runners[DECODE]
        caches = session._cache
        for position, token in enumerate((first, 5)):
            mask = np.where(np.arange(64) > position, -1e4, 0).astype(np.float32)
            if hide_first and position == 1:
                mask[0] = -3e38  # as large as a runtime's own may be
            found = runner(
                tokens=np.array([[token]], np.int32),
                input_pos=np.array([position], np.int32),
                mask=mask.reshape(1, 1, 1, 64),
                **caches,
            )
            caches = {name: found[name] for name in caches}
        return found["logits"]

    assert np.abs(last(7, hide_first=True) - last(9, hide_first=True)).max() < 1e-6
    assert np.abs(last(7, hide_first=False) - last(9, hide_first=False)).max() > 1e-3


def test_litert_lm_on_the_cpu_fills_it(made: Made) -> None:
    request = GenerateRequest(PROMPT, max_output_tokens=TOKENS, apply_prompt_template=False)
    text = "".join(generate(made.bundles[FLOAT], request))
    assert_says(made, FLOAT, PROMPT, text)


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
def test_litert_lm_on_the_gpu_fills_it(made: Made) -> None:
    request = GenerateRequest(
        SHORT_PROMPT,
        max_output_tokens=TOKENS,
        apply_prompt_template=False,
        delegate="gpu",
        activations="f32",
    )
    generation = generate(made.bundles[INT8], request)
    assert_says(made, INT8, SHORT_PROMPT, "".join(generation))
    gpu = [d for d in generation.result().delegations if "GPU" in d.delegate]
    assert gpu
    assert all(d.nodes_delegated == d.nodes_total and d.partitions == 1 for d in gpu)


@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        ({"mask_input": True}, "a mask input", "leave --mask-input out"),
        (
            {"kv_cache_dtype": "float16"},
            "a KV cache of float16",
            "leave --kv-cache-dtype out",
        ),
    ],
)
@pytest.mark.parametrize(
    ("name", "kind"), [("t5", "encoder-decoder"), ("unet_2d_condition", "diffusion")]
)
def test_other_kinds_have_neither(
    tmp_path: Path, options: dict[str, Any], what: str, hint: str, name: str, kind: str
) -> None:
    save_random(tmp_path / "hf", name)
    with pytest.raises(ConversionError) as raised:
        convert_checkpoint(tmp_path / "hf", str(tmp_path / "m.tflite"), recipes=[FLOAT], **options)
    assert raised.value.message == (
        f"{what} was asked for, which decoders have; the model is of the kind {kind}"
    )
    assert raised.value.hint == hint
