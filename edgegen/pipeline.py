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
from edgegen.convert.target import check_target
from edgegen.convert.trace import is_streamed
from edgegen.errors import CheckpointError, ConversionError, OutputError, TokenizerError
from edgegen.files import disk_errors, publish, refuse_overwrite
from edgegen.metering import StageCost, StageMeter
from edgegen.planning import BuildPlan, plan_model
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
        predicted: What `edgegen plan` says of it.
        stages: What each stage cost, in order.
        check: What the self-check found, `None` where it was not asked for.
    """

    bundle: Bundle
    provenance: Path
    parameter_count: int
    checkpoint_bytes: int
    spec: ExportSpec
    recipe: str
    predicted: BuildPlan
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
            "predicted": self.predicted.as_dict(),
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
    mask_input: bool = False,
    kv_cache_dtype: str = "float32",
    recipe: str = "dynamic_wi8_afp32",
    calibration: str | None = None,
    target: str | None = None,
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
        mask_input: Let the runtime say what each token sees; see `ExportSpec`.
        kv_cache_dtype: `float32` or `float16`; see `ExportSpec`.
        recipe: A key of `edgegen.convert.recipes.RECIPES`, or the path of a JSON file.
        calibration: A text like what the model will read, for recipes that need one.
        target: `cpu`, `gpu` or `both`: what must run there; by default nothing is asked.
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
    for taken in (path, provenance_path(path)):
        refuse_overwrite(taken, force=force)
    check_bundle_name(path)
    meter = StageMeter()
    with meter.measure("author"):
        find_recipe(recipe)
        model = author_model(_open(checkpoint, lora, lora_scale))
        _require_decoder(model)
        _check_target(target, [recipe], composites, model)
        longest = model.config.max_position_embeddings
        spec = fitting_spec(
            longest,
            prefill_lens,
            kv_cache_len,
            composites,
            mask_input=mask_input,
            kv_cache_dtype=kv_cache_dtype,
        )
        check_spec(spec, longest)
        model.checkpoint.refuse_own(path)
        tokenizer = open_tokenizer(checkpoint, vocab_size=model.config.vocab_size)
        _require_known_ids(tokenizer, model.config.vocab_size)
        generation = generation_parameters(model.checkpoint, tokenizer, **(parameters or {}))
        tokens = _calibration_tokens(model, [recipe], calibration)
        predicted = plan_model(model, spec, [recipe])
    with disk_errors(path):
        # Beside the output, so that the finished files move there by name alone.
        scratch = tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)
    with scratch as name:
        prepared = _Prepared(model, tokenizer, generation, spec, recipe, tokens)
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
        predicted=predicted,
        stages=tuple(meter.costs),
        check=checked,
    )


def _check_target(
    target: str | None, recipes: Sequence[str], composites: Sequence[str], model: AuthoredModel
) -> None:
    if target is not None:
        weights = [name for name, source in model.sources.items() if is_streamed(source.shape)]
        for name in recipes:
            check_target(target, find_recipe(name), composites, weights)


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
    calibration: str | None = None,
    target: str | None = None,
    prefill_lens: Sequence[int] | None = None,
    kv_cache_len: int | None = None,
    composites: Sequence[str] = (),
    mask_input: bool = False,
    kv_cache_dtype: str = "float32",
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
        calibration: A text like what the model will read, for recipes that need one.
        target: `cpu`, `gpu` or `both`: what must run there; by default nothing is asked.
        prefill_lens: T of each prefill or encode signature.
        kv_cache_len: S.
        composites: Names of `edgegen.contract.COMPOSITES` to draw; see `ExportSpec`.
        mask_input: Let the runtime say what each token sees; see `ExportSpec`.
        kv_cache_dtype: `float32` or `float16`; see `ExportSpec`.
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
    _check_target(target, recipes, composites, model)
    for path in outputs.values():
        model.checkpoint.refuse_own(path)
    if model.kind == "diffusion":
        if prefill_lens is not None or kv_cache_len is not None:
            raise ConversionError(
                "a diffusion model has no prefill and no KV cache, but lengths of them were given",
                "leave --prefill and --kv-cache-len out",
            )
        # Its one signature has no lengths.
        spec = ExportSpec(
            composites=tuple(composites), mask_input=mask_input, kv_cache_dtype=kv_cache_dtype
        )
    else:
        longest = model.config.max_position_embeddings
        spec = fitting_spec(
            longest,
            prefill_lens,
            kv_cache_len,
            composites,
            mask_input=mask_input,
            kv_cache_dtype=kv_cache_dtype,
        )
    tokens = _calibration_tokens(model, recipes, calibration)
    return convert_recipes(model, outputs, spec=spec, calibration=tokens, force=force)


def _calibration_tokens(
    model: AuthoredModel, recipes: Sequence[str], text: str | None
) -> tuple[int, ...] | None:
    """Return a text's tokens, start token included.

    Raises:
        ConversionError: a text was given that no recipe uses.
        TokenizerError: the checkpoint's tokenizer cannot be used.
    """
    if text is None or model.kind != "decoder":  # which converting refuses
        return None
    if all(find_recipe(name).activation_bits is None for name in recipes):
        raise ConversionError(
            f"a calibration text was given, which {' and '.join(recipes)} cannot use",
            "leave --calibration out, or choose a static recipe",
        )
    tokenizer = open_tokenizer(model.checkpoint.path, vocab_size=model.config.vocab_size)
    start = tokenizer.piece_id(generation_parameters(model.checkpoint, tokenizer).start_token)
    return (*(() if start is None else (start,)), *tokenizer.encode(text))


def _require_decoder(model: AuthoredModel) -> None:
    if model.kind != "decoder":
        raise ConversionError(
            f"the checkpoint is a model of the kind {model.kind}, and a .task bundle holds a "
            "decoder",
            "`edgegen convert` makes a .tflite of it, which LiteRT runs",
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
    calibration: tuple[int, ...] | None


def _make(
    prepared: _Prepared, scratch: Path, meter: StageMeter, *, check: bool
) -> tuple[Bundle, SelfCheck | None, dict[str, Any]]:
    model, tokenizer, recipe = prepared.model, prepared.tokenizer, prepared.recipe
    with meter.measure("convert"):
        tflite: TfliteModel = convert_model(
            model,
            scratch / "model.tflite",
            spec=prepared.spec,
            recipe=recipe,
            calibration=prepared.calibration,
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
