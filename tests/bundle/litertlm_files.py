"""What the tests of `.litertlm` bundles put into them."""

from __future__ import annotations

from pathlib import Path

from edgegen.bundle import GenerationParameters, SentencePieceTokenizer, write_bundle
from edgegen.bundle.contents import RuntimeHints
from edgegen.bundle.parameters import Sampler

FULL = GenerationParameters(
    start_token="<s>",
    stop_tokens=("</s>", "<end_of_turn>"),
    prompt_prefix_user="<u>",
    prompt_suffix_user="</u>\n",
    prompt_prefix_model="<m>",
    prompt_prefix_system="<sys>",
    system_prompt="Be brief.",
    start_token_id=1,
    stop_token_ids=(2, 4),
    pad_token="</s>",
    pad_token_id=2,
    sampler=Sampler(do_sample=True, temperature=0.7, top_k=40, top_p=0.95, seed=7),
    max_tokens=256,
    max_output_tokens=64,
    chat_template="{% for m in messages %}{{ m.content }}{% endfor %}",
    template_tokens={"bos_token": "<s>"},
    supports_thinking=True,
)
HINTS = RuntimeHints(
    llm_model_type="qwen3",
    backend_constraints={"TF_LITE_PREFILL_DECODE": ("cpu", "gpu"), "TF_LITE_EMBEDDER": ("cpu",)},
    min_runtime_version="0.18.1",
)


def full_bundle(folder: Path, tflite: Path, tokenizer: SentencePieceTokenizer) -> Path:
    """Write a `.litertlm` with all of it."""
    return write_bundle(
        tflite,
        tokenizer,
        FULL,
        folder / "model.litertlm",
        more_models={"TF_LITE_EMBEDDER": tflite},
        hints=HINTS,
    ).path
