from pathlib import Path

import pytest

import edgegen
from edgegen import demo
from edgegen.convert import ExportSpec
from tests.engines.mediapipe_web import WebEngineError, generate_in_browser, texts_in_browser
from tests.engines.reference import Reference, with_weights

pytestmark = pytest.mark.web

PROMPTS = ("ROMEO:\n", "To be, or not to be", "KING RICHARD III:\nNow is the winter")
KV_CACHE_LEN = 512


def test_mediapipes_engine_opens_the_demo_bundle_and_generates(demo_task: Path):
    """The engine on phones and in browsers is MediaPipe's; LiteRT-LM's word alone is not enough."""
    result = generate_in_browser(demo_task, PROMPTS, max_tokens=KV_CACHE_LEN, output_tokens=32)
    for prompt, generation in zip(PROMPTS, result["generations"], strict=True):
        assert generation["prompt"] == prompt
        assert generation["text"].strip(), generation
        assert len(generation["pieces"]) == 32 or generation["ended"] == "engine"
    refused = [line for line in result["log"] if line.startswith(("E ", "F ", "ERROR"))]
    assert refused == []


def test_the_engine_is_greedy(demo_task: Path):
    """Two fresh engines must say the same, or a comparison with torch would mean nothing."""
    once, again = generate_in_browser(
        demo_task, [PROMPTS[0]] * 2, max_tokens=KV_CACHE_LEN, output_tokens=16
    )["generations"]
    assert once["pieces"] == again["pieces"]


def test_a_damaged_bundle_is_an_error_and_not_silence(demo_task: Path, tmp_path: Path):
    damaged = tmp_path / "damaged.task"
    damaged.write_bytes(demo_task.read_bytes()[: demo_task.stat().st_size // 2])
    with pytest.raises(WebEngineError):
        generate_in_browser(damaged, PROMPTS[:1], max_tokens=KV_CACHE_LEN, output_tokens=4)


def test_a_missing_bundle_is_named(tmp_path: Path):
    with pytest.raises(WebEngineError, match=r"no file .*absent\.task"):
        generate_in_browser(tmp_path / "absent.task", [], max_tokens=16, output_tokens=4)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Torch with the weights of the int8 bundle: what a GPU engine computes with."""
    model = edgegen.author_model(edgegen.open_checkpoint(demo.CHECKPOINT))
    output = tmp_path_factory.mktemp("grid") / "m.tflite"
    tflite = edgegen.convert_model(model, output, spec=ExportSpec((16,), 64))
    return with_weights(demo.CHECKPOINT, tflite.grid_sources)


def test_its_float32_tokens_are_those_of_torch(demo_task: Path, grid: Reference):
    texts = texts_in_browser(
        demo_task, PROMPTS, max_tokens=KV_CACHE_LEN, output_tokens=48, force_f32=True
    )

    assert texts == [grid.greedy(prompt, 48).text for prompt in PROMPTS]


def test_its_float16_tokens_part_from_torchs_at_near_ties_only(demo_task: Path, grid: Reference):
    """Its usual precision. Where the texts part, the two best logits must be close together."""
    texts = texts_in_browser(demo_task, PROMPTS, max_tokens=KV_CACHE_LEN, output_tokens=48)

    for prompt, text in zip(PROMPTS, texts, strict=True):
        expected = grid.greedy(prompt, 48)
        same = expected.agrees_with(text, grid.tokenizer)
        print(f"{prompt!r}: {same} of {len(expected.ids)} tokens are torch's")
        assert same == len(expected.ids) or expected.margins[same] < 0.02
