"""A merged adapter reaches the bundle: matrices that stream, and vectors that are traced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import edgegen
from edgegen import demo
from edgegen.author import author_model, merge_adapter, open_checkpoint
from edgegen.author.reference import reference_logits
from edgegen.convert import ExportSpec, convert_model
from edgegen.convert.interpreter import TfliteSession
from edgegen.convert.parity import compare_logits
from edgegen.errors import CheckpointError, OutputError
from tests.adapters import PROJECTIONS, peft_logits, save_adapter
from tests.hf import save_checkpoint, tiny_config

SPEC = ExportSpec(prefill_lens=(8, 16), kv_cache_len=64)
TOKENS = [int(i * 37 % 96) for i in range(30)]


@pytest.mark.parametrize("tied", [True, False])
def test_the_converted_model_computes_what_peft_does(tmp_path: Path, tied: bool) -> None:
    base = tmp_path / "hf"
    save_checkpoint(base, tiny_config(tie_word_embeddings=tied))
    adapter = save_adapter(
        tmp_path / "adapter",
        base,
        target_modules=[*PROJECTIONS, "embed_tokens"],
        modules_to_save=["norm"],
    )
    model = author_model(merge_adapter(open_checkpoint(base), adapter))

    made = convert_model(model, tmp_path / "m.tflite", spec=SPEC, recipe="none")

    found = TfliteSession(made.path).score(TOKENS, 20)
    torch_logits = reference_logits(model, TOKENS).numpy()[20:]
    assert compare_logits(torch_logits, found).max_abs_diff < 1e-3
    peft = peft_logits(base, adapter, TOKENS, merge=False).numpy()[20:]
    assert compare_logits(peft, found).max_abs_diff < 1e-3
    # Negative control: with the base's own norms or matrices the logits are others.
    plain = reference_logits(author_model(open_checkpoint(base)), TOKENS).numpy()[20:]
    assert compare_logits(plain, found).max_abs_diff > 0.1


def test_a_build_merges_the_adapter_and_records_it(tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter", demo.CHECKPOINT, target_modules=["q_proj"])
    output = tmp_path / "m.task"

    made = edgegen.build(
        demo.CHECKPOINT,
        output,
        prefill_lens=demo.PREFILL_LENS,
        kv_cache_len=demo.KV_CACHE_LEN,
        recipe="none",
        lora=adapter,
        lora_scale=0.5,
    )

    assert made.check is not None
    assert made.check.parity.max_abs_diff < 1e-3
    record = json.loads(made.provenance.read_text())
    assert record["adapter"]["name"] == "adapter"
    assert record["adapter"]["scale"] == 0.5
    assert set(record["adapter"]["sha256"]) == {"adapter_model.safetensors", "adapter_config.json"}
    assert set(record["checkpoint"]["sha256"]) == {
        "config.json",
        "model.safetensors",
        "tokenizer.model",
    }
    sizes = [path.stat().st_size for path in demo.CHECKPOINT.glob("*.safetensors")]
    assert made.checkpoint_bytes > sum(sizes) - 100_000


def test_a_build_does_not_replace_a_file_of_its_adapter(tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter", demo.CHECKPOINT, target_modules=["q_proj"])
    (adapter / "m.task").write_bytes(b"")
    with pytest.raises(OutputError, match="a file of the adapter itself"):
        edgegen.build(demo.CHECKPOINT, adapter / "m.task", lora=adapter, force=True)


def test_a_scale_without_an_adapter(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"scale of 0\.5 was given, but no adapter") as raised:
        edgegen.build(demo.CHECKPOINT, tmp_path / "m.task", lora_scale=0.5)
    assert "--lora" in (raised.value.hint or "")


def test_the_command_line_passes_both_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edgegen.cli import main

    seen: dict[str, object] = {}

    def build(checkpoint: Path, output: Path, **options: object) -> None:
        seen.update(options)
        raise CheckpointError("stop here")

    monkeypatch.setattr("edgegen.pipeline.build", build)
    words = ["build", str(demo.CHECKPOINT), "-o", str(tmp_path / "m.task")]
    assert main([*words, "--lora", "some/adapter", "--lora-scale", "0.25", "-v"]) == 1
    assert (seen["lora"], seen["lora_scale"]) == (Path("some/adapter"), 0.25)


def test_the_tracing_process_sees_a_relative_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "hf", tiny_config())
    save_adapter(tmp_path / "adapter", tmp_path / "hf", modules_to_save=["norm"])
    monkeypatch.chdir(tmp_path)
    model = author_model(merge_adapter(open_checkpoint("hf"), "adapter"))

    made = convert_model(model, "m.tflite", spec=SPEC, recipe="none")

    found = torch.from_numpy(TfliteSession(made.path).score(TOKENS, 20))
    torch.testing.assert_close(found, reference_logits(model, TOKENS)[20:], rtol=0, atol=1e-3)
