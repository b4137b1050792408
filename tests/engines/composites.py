"""The shipped model, or one that has the layers for it, with each composite drawn."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import edgegen
from edgegen import demo
from edgegen.author import AuthoredModel
from edgegen.author.layers import sdpa as sdpa_layer
from edgegen.author.layers.composites import bounded
from edgegen.bundle import Bundle, generation_parameters, open_tokenizer
from edgegen.contract import CACHE_UPDATE, COMPOSITES, GROUP_NORM, RUNTIME_BMM, SDPA
from edgegen.convert import ExportSpec, TfliteModel, convert_recipes
from edgegen.convert.trace import trace_signature
from tests.engines.architectures import save_with_tokenizer

SPEC = ExportSpec(prefill_lens=(16, 32), kv_cache_len=256)
FLOAT, INT8 = "none", "dynamic_wi8_afp32"
PLAIN = "nothing"
SHARED_HEADS = f"{SDPA} with shared heads"
# Row of the table in docs/architecture.md -> the composites drawn.
ROWS: dict[str, tuple[str, ...]] = {
    PLAIN: (),
    **{name: (name,) for name in COMPOSITES},
    f"{CACHE_UPDATE} + {RUNTIME_BMM}": (CACHE_UPDATE, RUNTIME_BMM),
    SHARED_HEADS: (SDPA,),
}
# The shipped model has no layer that a group norm could be.
_MODELS = {GROUP_NORM: "falcon"}
PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


@dataclass(frozen=True)
class Drawn:
    """A model with composites drawn, with float32 and with int8 weights."""

    checkpoint: Path
    tflite: Mapping[str, TfliteModel]
    bundles: Mapping[str, Bundle]


def draw(row: str, folder: Path) -> Drawn:
    """Convert and bundle a row's model."""
    checkpoint = demo.CHECKPOINT
    if row in _MODELS:
        checkpoint = save_with_tokenizer(folder / "hf", _MODELS[row])
    model = edgegen.author_model(edgegen.open_checkpoint(checkpoint))
    longest = min(SPEC.kv_cache_len, model.config.max_position_embeddings)
    spec = ExportSpec(SPEC.prefill_lens, longest, ROWS[row])
    outputs = {recipe: folder / f"{recipe}.tflite" for recipe in (FLOAT, INT8)}
    with pytest.MonkeyPatch.context() as patch:
        if row == SHARED_HEADS:
            patch.setattr(sdpa_layer, "_sdpa_composite", _sdpa_with_shared_heads)
            # In this process: the usual one for tracing would not see the line above.
            patch.setattr("edgegen.convert.skeleton.trace_skeleton", _trace_here)
        made = convert_recipes(model, outputs, spec=spec)
    tokenizer = open_tokenizer(checkpoint)
    parameters = generation_parameters(model.checkpoint, tokenizer)
    bundles = {
        recipe: edgegen.write_bundle(tflite.path, tokenizer, parameters, folder / f"{recipe}.task")
        for recipe, tflite in made.items()
    }
    return Drawn(checkpoint, made, bundles)


def table_row(row: str) -> list[str]:
    """Return what the page says of a row: CPU, its speed, GPU delegate, web engine."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("|")
    ]
    found = [cells[1:] for cells in lines if re.sub("`", "", cells[0]) == row]
    assert len(found) == 1, f"{PAGE.name} has {len(found)} rows for {row}"
    return found[0]


def _trace_here(model: AuthoredModel, spec: ExportSpec) -> dict[str, bytes]:
    signatures = model.module.signatures(spec.prefill_lens)
    return {name: trace_signature(model, spec, name, n) for name, n in signatures.items()}


def _sdpa_with_shared_heads(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor, scale: float
) -> torch.Tensor:
    """Draw the boundary before the heads of K and V are copied, as it is documented.

    `q [B, T, N, H]`, k `[B, K, S, H]`, v `[B, K, H, S]`; inside, the copies are made.
    """
    group = q.shape[2] // k.shape[1]

    def attend(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        k, v = (sdpa_layer._repeat_heads(x, group).transpose(1, 2) for x in (k, v))
        attended = torch.nn.functional.scaled_dot_product_attention(
            q.transpose(1, 2), k, v, attn_mask=mask, scale=scale
        )
        return attended.transpose(1, 2)

    k, v = k.permute(0, 2, 1, 3), v.permute(0, 3, 1, 2)  # [B, S, K, H]
    return bounded(SDPA, {"scale": scale}, attend, q, k, v, mask)
