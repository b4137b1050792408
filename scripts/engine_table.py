"""What every engine says of one bundle, beside torch with the weights as the bundle stores them.

    python scripts/engine_table.py

builds the shipped model as a `.task` and as a `.litertlm` (with a SentencePiece and with a Hugging
Face tokenizer), has each engine continue a few prompts greedily, and prints how many tokens are
torch's and by how much torch preferred its own token where they part.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import edgegen
from edgegen import demo
from edgegen.bundle import GenerateRequest, generate, open_bundle
from edgegen.bundle.derive import convert_bundle
from edgegen.bundle.formats import write_contents
from edgegen.bundle.tokenizers.hugging_face import open_hf_tokenizer
from edgegen.convert import ExportSpec
from edgegen.pipeline import build
from tests.engines.mediapipe_web import texts_in_browser
from tests.engines.reference import Greedy, Reference, with_weights
from tests.engines.swiftshader import swiftshader_environment

PROMPTS = ("ROMEO:\n", "To be, or not to be", "KING RICHARD III:\nNow is the winter")
TOKENS = 48


def hf_tokenizer(folder: Path) -> Path:
    """Write the demo's SentencePiece model as a tokenizer.json, by transformers' own converter."""
    from transformers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(demo.CHECKPOINT)
    made.backend_tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def spoken(bundle: Path, reference: Reference, prompt: str, delegate: str, activations: str) -> str:
    """Continue a prompt with LiteRT-LM."""
    request = GenerateRequest(
        prompt,
        max_output_tokens=TOKENS,
        apply_prompt_template=False,
        delegate="gpu" if delegate == "gpu" else "cpu",
        activations="f32" if activations == "f32" else None,
    )
    return generate(bundle, request).result().text


def row(name: str, texts: list[str], expected: list[Greedy], reference: Reference) -> str:
    """Return a line of the table."""
    cells = []
    for text, greedy in zip(texts, expected, strict=True):
        same = greedy.agrees_with(text, reference.tokenizer)
        cells.append(
            f"all {same}"
            if same == len(greedy.ids)
            else f"{same} of {len(greedy.ids)}, margin {greedy.margins[same]:.4f}"
        )
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Build, ask and print."""
    os.environ.update(swiftshader_environment())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task = build(
            demo.CHECKPOINT,
            folder / "demo.task",
            prefill_lens=demo.PREFILL_LENS,
            kv_cache_len=demo.KV_CACHE_LEN,
        ).bundle.path
        sentencepiece = convert_bundle(task, folder / "sp.litertlm").bundle.path
        contents = replace(
            open_bundle(sentencepiece).contents, tokenizer=open_hf_tokenizer(hf_tokenizer(folder))
        )
        hugging_face = write_contents(contents, folder / "hf.litertlm").path
        model = edgegen.author_model(edgegen.open_checkpoint(demo.CHECKPOINT))
        tflite = edgegen.convert_model(model, folder / "m.tflite", spec=ExportSpec((16,), 64))
        reference = with_weights(demo.CHECKPOINT, tflite.grid_sources)
        expected = [reference.greedy(prompt, TOKENS) for prompt in PROMPTS]
        print("| engine | " + " | ".join(json.dumps(prompt) for prompt in PROMPTS) + " |")
        print("|---" * (len(PROMPTS) + 1) + "|")
        ways: dict[str, Callable[[], list[str]]] = {}
        for title, path in (
            (".task", task),
            (".litertlm, SentencePiece", sentencepiece),
            (".litertlm, tokenizer.json", hugging_face),
        ):
            ways[f"LiteRT-LM CPU, {title}"] = lambda path=path: [
                spoken(path, reference, prompt, "cpu", "") for prompt in PROMPTS
            ]
        for title, path in ((".task", task), (".litertlm, tokenizer.json", hugging_face)):
            for activations in ("f32", "usual"):
                ways[f"LiteRT-LM GPU ({activations}), {title}"] = (
                    lambda path=path, activations=activations: [
                        spoken(path, reference, prompt, "gpu", activations) for prompt in PROMPTS
                    ]
                )
        for f32 in (True, False):
            ways[f"MediaPipe web ({'f32' if f32 else 'f16'}), .task"] = lambda f32=f32: (
                texts_in_browser(
                    task,
                    PROMPTS,
                    max_tokens=demo.KV_CACHE_LEN,
                    output_tokens=TOKENS,
                    force_f32=f32,
                )
            )
        for title, ask in ways.items():
            print(row(title, ask(), expected, reference), flush=True)


if __name__ == "__main__":
    main()
