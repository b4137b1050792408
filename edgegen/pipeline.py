"""All stages in one call: from a checkpoint folder to a checked bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgegen.author import (
    Adapter,
    AuthoredModel,
    Checkpoint,
    author_model,
    merge_adapter,
    open_checkpoint,
)
from edgegen.bundle import (
    Bundle,
    GenerationParameters,
    SentencePieceTokenizer,
    generation_parameters,
    open_bundle,
    open_tokenizer,
    write_bundle,
)
from edgegen.bundle.task import check_bundle_name
from edgegen.convert import ExportSpec, TfliteModel, convert_model, convert_recipes
from edgegen.convert.recipes import find_recipe
from edgegen.convert.spec import check_spec, fitting_spec
from edgegen.errors import CheckpointError, ConversionError, OutputError, TokenizerError
from edgegen.files import disk_errors, publish, refuse_overwrite
from edgegen.metering import StageCost, StageMeter
from edgegen.provenance import hash_files, provenance_path, write_provenance
from edgegen.self_check import SelfCheck, self_check


@dataclass(frozen=True)
class Build:
    """A finished build.

    Attributes:
        bundle: The bundle.
        provenance: The record beside it.
        parameter_count: Parameters of the model.
        checkpoint_bytes: Size of the stored tensors it was made from.
        spec: Its signatures.
        recipe: How its weights are stored.
        stages: What each stage cost, in order.
        check: What the self-check found, `None` where it was not asked for.
    """

    bundle: Bundle
    provenance: Path
    parameter_count: int
    checkpoint_bytes: int
    spec: ExportSpec
    recipe: str
    stages: tuple[StageCost, ...]
    check: SelfCheck | None

    def as_dict(self) -> dict[str, Any]:
        """Return the build as plain JSON values."""
        return {
            "bundle": str(self.bundle.path),
            "bundle_bytes": self.bundle.path.stat().st_size,
            "provenance": str(self.provenance),
            "parameter_count": self.parameter_count,
            "checkpoint_bytes": self.checkpoint_bytes,
            "spec": asdict(self.spec),
            "recipe": self.recipe,
            "stages": [asdict(cost) for cost in self.stages],
            "check": None if self.check is None else asdict(self.check),
        }


def build(
    checkpoint: str | Path,
    output: str | Path,
    *,
    prefill_lens: Sequence[int] | None = None,
    kv_cache_len: int | None = None,
    composites: Sequence[str] = (),
    recipe: str = "dynamic_wi8_afp32",
    lora: str | Path | None = None,
    lora_scale: float | None = None,
    parameters: Mapping[str, Any] | None = None,
    check: bool = True,
    force: bool = False,
) -> Build:
    """Make a `.task` bundle from a checkpoint folder.

    Args:
        checkpoint: The folder.
        output: The bundle to write, with its provenance beside it. Both appear only when
            every stage has passed.
        prefill_lens: T of each prefill signature; by default those of `ExportSpec`.
        kv_cache_len: S; by default that of `ExportSpec`, or what the model was trained for
            where that is less.
        composites: Names of `edgegen.contract.COMPOSITES` to draw; see `ExportSpec`.
        recipe: A key of `edgegen.convert.recipes.RECIPES`, or the path of a JSON file.
        lora: The folder of a LoRA adapter, as peft saves it, to merge into the checkpoint.
        lora_scale: Multiplies the adapter's own scaling; 1.0 by default.
        parameters: Fields of `GenerationParameters` that go before the checkpoint's files.
        check: Run the self-check on the result.
        force: Replace an existing output.

    Raises:
        EdgegenError: whatever is wrong with the input, the output place or the result. What
            can be known before the long work starts is found before it.
    """
    path = Path(output)
    for target in (path, provenance_path(path)):
        refuse_overwrite(target, force=force)
    check_bundle_name(path)
    meter = StageMeter()
    with meter.measure("author"):
        find_recipe(recipe)
        model = author_model(_open(checkpoint, lora, lora_scale))
        _require_decoder(model)
        longest = model.config.max_position_embeddings
        spec = fitting_spec(longest, prefill_lens, kv_cache_len, composites)
        check_spec(spec, longest)
        _refuse_inputs(path, model.checkpoint)
        tokenizer = open_tokenizer(checkpoint, vocab_size=model.config.vocab_size)
        _require_known_ids(tokenizer, model.config.vocab_size)
        generation = generation_parameters(model.checkpoint, tokenizer, **(parameters or {}))
    with disk_errors(path):
        # Beside the output, so that the finished files move there by name alone.
        scratch = tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)
    with scratch as name:
        prepared = _Prepared(model, tokenizer, generation, spec, recipe)
        made, checked, record = _make(prepared, Path(name), meter, check=check)
        sidecar = Path(name) / "provenance.json"
        write_provenance(sidecar, record)
        # Both are finished: from here on there are only names to give.
        publish(made.path, path, force=force)
        publish(sidecar, provenance_path(path), force=force)
    return Build(
        bundle=open_bundle(path),
        provenance=provenance_path(path),
        parameter_count=model.parameter_count,
        checkpoint_bytes=model.checkpoint.nbytes,
        spec=spec,
        recipe=recipe,
        stages=tuple(meter.costs),
        check=checked,
    )


def _open(checkpoint: str | Path, lora: str | Path | None, lora_scale: float | None) -> Checkpoint:
    if lora is not None:
        return merge_adapter(open_checkpoint(checkpoint), lora, lora_scale)
    if lora_scale is not None:
        raise CheckpointError(
            f"a LoRA scale of {lora_scale} was given, but no adapter", "give its folder with --lora"
        )
    return open_checkpoint(checkpoint)


def convert_checkpoint(
    checkpoint: str | Path,
    output: str,
    *,
    recipes: Sequence[str] = ("dynamic_wi8_afp32",),
    prefill_lens: Sequence[int] | None = None,
    kv_cache_len: int | None = None,
    composites: Sequence[str] = (),
    lora: str | Path | None = None,
    lora_scale: float | None = None,
    force: bool = False,
) -> dict[str, TfliteModel]:
    """Make a `.tflite` for each recipe from a checkpoint folder of any kind of model.

    Args:
        checkpoint: The folder.
        output: The file to write; `{recipe}` in it stands for the recipe's name, and must be
            there if there are several.
        recipes: Keys of `edgegen.convert.recipes.RECIPES`, or paths of JSON files.
        prefill_lens: T of each prefill or encode signature.
        kv_cache_len: S.
        composites: Names of `edgegen.contract.COMPOSITES` to draw; see `ExportSpec`.
        lora: The folder of a LoRA adapter to merge.
        lora_scale: Multiplies the adapter's own scaling.
        force: Replace existing files.

    Returns:
        The converted model of each recipe.

    Raises:
        EdgegenError: whatever is wrong with the input or the output place.
    """
    outputs = {
        recipe: Path(output.replace("{recipe}", find_recipe(recipe).name)) for recipe in recipes
    }
    if len(set(outputs.values())) < len(outputs):
        raise OutputError(
            f"{len(outputs)} recipes would all be written to {output}",
            "put {recipe} into the name, as in 'model-{recipe}.tflite'",
        )
    model = author_model(_open(checkpoint, lora, lora_scale))
    for path in outputs.values():
        _refuse_inputs(path, model.checkpoint)
    if model.kind == "diffusion":
        if prefill_lens is not None or kv_cache_len is not None:
            raise ConversionError(
                "a diffusion model has no prefill and no KV cache, but lengths of them were given",
                "leave --prefill and --kv-cache-len out",
            )
        spec = ExportSpec(composites=tuple(composites))  # its one signature has no lengths
    else:
        longest = model.config.max_position_embeddings
        spec = fitting_spec(longest, prefill_lens, kv_cache_len, composites)
    return convert_recipes(model, outputs, spec=spec, force=force)


def _require_decoder(model: AuthoredModel) -> None:
    if model.kind != "decoder":
        raise ConversionError(
            f"the checkpoint is a model of the kind {model.kind}, and a .task bundle holds a "
            "decoder",
            "`edgegen convert` makes a .tflite of it, which LiteRT runs",
        )


def _refuse_inputs(output: Path, checkpoint: Checkpoint) -> None:
    """Raise `OutputError` if the output would replace a file of its own checkpoint or adapter."""
    folders = {"checkpoint": checkpoint.path}
    if checkpoint.adapter is not None:
        folders["adapter"] = checkpoint.adapter.path
    for what, folder in folders.items():
        if output.exists() and output.resolve().parent == folder.resolve():
            raise OutputError(
                f"output {output} is a file of the {what} itself", "choose another name"
            )


def _require_known_ids(tokenizer: SentencePieceTokenizer, vocab_size: int) -> None:
    if tokenizer.vocab_size > vocab_size:
        raise TokenizerError(
            f"the tokenizer has {tokenizer.vocab_size} pieces, the model knows {vocab_size} only",
            "text could become tokens that the model has no embedding for; use the tokenizer "
            "that the model was trained with",
        )


@dataclass(frozen=True)
class _Prepared:
    """What is known, and was checked, before the long work."""

    model: AuthoredModel
    tokenizer: SentencePieceTokenizer
    generation: GenerationParameters
    spec: ExportSpec
    recipe: str


def _make(
    prepared: _Prepared, scratch: Path, meter: StageMeter, *, check: bool
) -> tuple[Bundle, SelfCheck | None, dict[str, Any]]:
    model, tokenizer, recipe = prepared.model, prepared.tokenizer, prepared.recipe
    with meter.measure("convert"):
        tflite: TfliteModel = convert_model(
            model, scratch / "model.tflite", spec=prepared.spec, recipe=recipe
        )
    with meter.measure("bundle"):
        bundle = write_bundle(tflite.path, tokenizer, prepared.generation, scratch / "bundle.task")
    checked = None
    if check:
        with meter.measure("check"):
            checked = self_check(bundle, tflite, tokenizer)
    with meter.measure("provenance"):
        adapter = model.checkpoint.adapter
        added = () if adapter is None else adapter.files
        inputs = [path for path in model.checkpoint.files if path not in added]
        inputs += [model.checkpoint.path / "config.json", tokenizer.path]
        record = {
            "checkpoint": {
                "name": model.checkpoint.path.resolve().name,
                "model_type": model.config.model_type,
                "parameter_count": model.parameter_count,
                "sha256": hash_files(inputs, "hash checkpoint"),
            },
            "adapter": None if adapter is None else _adapter_record(adapter),
            "recipe": find_recipe(recipe).name,
            "quantization_errors": [asdict(error) for error in tflite.quantization_errors],
            "spec": asdict(prepared.spec),
            "generation_parameters": asdict(prepared.generation),
            "bundle_sha256": hash_files([bundle.path], "hash bundle")[bundle.path.name],
            "check": None if checked is None else asdict(checked),
            "stages": [asdict(cost) for cost in meter.costs],
        }
    return bundle, checked, record


def _adapter_record(adapter: Adapter) -> dict[str, Any]:
    return {
        "name": adapter.path.resolve().name,
        "scale": adapter.scale,
        "sha256": hash_files(adapter.files, "hash adapter"),
    }
