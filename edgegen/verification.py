"""The parity ladder: from transformers down to the bundle in its engine, rung by rung.

Each rung compares two neighbours on one text, so that the rung that fails says where the fault
is; within a converted model its caches then say in which layer, and its tensors at which operator
(`edgegen.ladder`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgegen.author import AuthoredModel, author_model, open_checkpoint
from edgegen.author.decoder import Decoder
from edgegen.bundle import Bundle, open_bundle, open_exact_tokenizer
from edgegen.bundle.dimensions import read_dimensions
from edgegen.bundle.engine_types import Delegate
from edgegen.convert import ExportSpec
from edgegen.convert.recipes import find_recipe
from edgegen.convert.spec import fitting_spec
from edgegen.errors import BundleError, ConversionError, EngineError
from edgegen.ladder import Ladder, Rung
from edgegen.progress import stage
from edgegen.provenance import provenance_path

DEFAULT_RECIPE = "dynamic_wi8_afp32"
DEFAULT_TOKENS = 64
TEXT = """\
It was a bright morning when the old captain walked down to the harbour, and the gulls were
already crying over the boats. "We sail before noon," he said, "whether the wind is with us or
not." Nobody answered him. The boy who kept the ropes looked up at the sky, then at the water,
and thought of his mother, who had asked him to stay at home until the spring.
"""


@dataclass(frozen=True)
class Verification:
    """The whole ladder.

    Attributes:
        checkpoint: The folder.
        bundle: The bundle that was verified; `None` if one was made for it.
        recipe: How its weights are stored.
        spec: Its signatures.
        delegate: Who computed in the engine.
        tokens: Tokens of the text, start token included.
        rungs: From the checkpoint to the engine.
    """

    checkpoint: Path
    bundle: Path | None
    recipe: str
    spec: ExportSpec
    delegate: Delegate
    tokens: int
    rungs: tuple[Rung, ...]

    @property
    def passed(self) -> bool:
        """Whether no rung failed."""
        return all(rung.status != "failed" for rung in self.rungs)

    def as_dict(self) -> dict[str, Any]:
        """Return the ladder as plain JSON values."""
        return {
            "schema": "edgegen.verification/1",
            "passed": self.passed,
            **asdict(self),
            "checkpoint": str(self.checkpoint),
            "bundle": None if self.bundle is None else str(self.bundle),
        }


def verify(
    checkpoint: str | Path,
    *,
    bundle: str | Path | None = None,
    recipe: str | None = None,
    text: str = TEXT,
    tokens: int = DEFAULT_TOKENS,
    delegate: Delegate = "cpu",
    prefill_lens: Sequence[int] | None = None,
    kv_cache_len: int | None = None,
) -> Verification:
    """Climb down the parity ladder of a checkpoint.

    Disk: the model in float32 and once more as the recipe stores it, in the folder for temporary
    files. Memory: that of the interpreter with the float32 model; with transformers installed,
    its float32 model.

    Args:
        checkpoint: The folder.
        bundle: A bundle that was made from it; by default one is made and thrown away.
        recipe: How weights are stored; by default what the bundle's provenance says, or the
            usual recipe.
        text: What the models are asked about; cut to `tokens`.
        tokens: How many tokens of it, start token included.
        delegate: Who computes in the engine.
        prefill_lens: T of each prefill signature, where no bundle says it.
        kv_cache_len: S, where no bundle says it.

    Raises:
        EdgegenError: whatever is wrong with the input. What a rung finds is no error.
    """
    model = author_model(open_checkpoint(checkpoint))
    if model.kind != "decoder":
        raise ConversionError(
            f"the checkpoint is a model of the kind {model.kind}, and the ladder is for decoders",
            "compare the .tflite of `edgegen convert` with the model's own code",
        )
    given = None if bundle is None else open_bundle(bundle)
    if given is None:
        longest = model.config.max_position_embeddings
        spec = fitting_spec(longest, prefill_lens, kv_cache_len)
        name = recipe or DEFAULT_RECIPE
    else:
        name, spec = _read_bundle(given, model, recipe)
    chosen = find_recipe(name)
    # Of a user's own recipe nothing is measured.
    if chosen.delegates and delegate not in chosen.delegates:
        raise EngineError(
            f"the recipe {name} does not run right on the delegate {delegate}, expected "
            f"one of: {', '.join(chosen.delegates)}",
            "`edgegen list recipes` tells which recipe runs where",
        )
    tokenizer = open_exact_tokenizer(checkpoint, vocab_size=model.config.vocab_size)
    with tempfile.TemporaryDirectory(prefix="edgegen-verify-") as scratch:
        ladder = Ladder(
            model, chosen, name, spec, tokenizer, delegate, given, Path(scratch), text, tokens
        )
        steps = (
            ladder.rung_transformers,
            ladder.rung_float,
            ladder.rung_weights,
            ladder.rung_quantized,
            ladder.rung_engine,
        )
        rungs = []
        with stage("verify", len(steps), "rungs") as advance:
            for step in steps:
                rungs.append(step())
                advance(1)
    return Verification(
        checkpoint=Path(checkpoint),
        bundle=None if given is None else given.path,
        recipe=name,
        spec=spec,
        delegate=delegate,
        tokens=len(ladder.tokens),
        rungs=tuple(rungs),
    )


def _read_bundle(
    bundle: Bundle, model: AuthoredModel, recipe: str | None
) -> tuple[str, ExportSpec]:
    """Read from a bundle and the record beside it what it was made with."""
    sidecar = provenance_path(bundle.path)
    try:
        record = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.is_file() else {}
        adapter, spec = record.get("adapter"), record.get("spec", {})
        made_with: dict[str, Any] = {
            "composites": tuple(spec.get("composites", ())),
            "mask_input": bool(spec.get("mask_input", False)),
            "kv_cache_dtype": str(spec.get("kv_cache_dtype", "float32")),
        }
    except (ValueError, AttributeError, TypeError) as error:
        raise BundleError(
            f"{sidecar} is not the record of a build: {error}",
            "remove it and name the bundle's recipe with --recipe",
        ) from error
    if adapter is not None:
        raise BundleError(
            f"{bundle.path} has the adapter {adapter['name']} merged in, which the checkpoint "
            "has not",
            "merge the adapter into the checkpoint first, and verify that",
        )
    name = recipe or record.get("recipe")
    if name is None:
        raise BundleError(
            f"there is no {sidecar} that tells the recipe of {bundle.path}",
            "name it with --recipe",
        )
    found = read_dimensions(bundle)
    decoder = model.module
    assert isinstance(decoder, Decoder)
    layers = sum(bool(names) for names in decoder.cache_names())
    vocab_size = model.config.vocab_size
    if (found.num_hidden_layers, found.vocab_size) != (layers, vocab_size):
        raise BundleError(
            f"{bundle.path} has {found.num_hidden_layers} layers with a cache and "
            f"{found.vocab_size} logits, the checkpoint {layers} and {vocab_size}",
            "name the checkpoint that the bundle was made from",
        )
    assert found.kv_cache_len is not None
    return str(name), ExportSpec(found.prefill_lens, found.kv_cache_len, **made_with)
