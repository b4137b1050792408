"""All stages in one call: from a checkpoint folder to a checked bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgegen.author import (
    Adapter,
    AuthoredModel,
    author_model,
)
from edgegen.bundle import (
    Bundle,
    GenerationParameters,
    generation_parameters,
    open_bundle,
    write_bundle,
)
from edgegen.bundle.chat.fit import TemplateFit, with_prompt_texts
from edgegen.bundle.chat.runtime import RuntimeFit
from edgegen.bundle.chat.stops import with_template_stops
from edgegen.bundle.contents import Tokenizer, tokenizer_sha256
from edgegen.bundle.formats import check_bundle_name, check_metadata
from edgegen.bundle.parameters import within_cache
from edgegen.bundle.task import SUFFIX as TASK_SUFFIX
from edgegen.bundle.tokenizers.convert import LITERT_LM
from edgegen.bundle.tokenizers.mapped import mapped, mapped_back
from edgegen.bundle.tokenizers.tokenizer_json import FILE_NAME as TOKENIZER_JSON
from edgegen.carried_tokenizer import (
    CarriedTokenizer,
    carried_tokenizer,
    check_engine_name,
    tokenizer_notes,
)
from edgegen.conversion import calibration_tokens, check_target_of, open_checkpoint_with
from edgegen.convert import ExportSpec, TfliteModel, convert_model
from edgegen.convert.recipes import find_recipe
from edgegen.convert.spec import check_spec, fitting_spec
from edgegen.errors import ConversionError, TokenizerError
from edgegen.files import disk_errors, publish, refuse_overwrite
from edgegen.metering import StageCost, StageMeter
from edgegen.planning import BuildPlan, plan_model
from edgegen.provenance import hash_files, provenance_path, write_provenance
from edgegen.self_check import Expectation, SelfCheck, check_engine, check_model, check_template


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
        notes: What the user should know of the bundle.
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
    notes: tuple[str, ...] = ()

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
            "notes": list(self.notes),
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
    parameters_file: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    engine: str = LITERT_LM,
    max_mismatch_rate: float | None = None,
    check: bool = True,
    force: bool = False,
) -> Build:
    """Make a bundle from a checkpoint folder: `.task` or `.litertlm`, by the output's name.

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
        parameters_file: A TOML file of generation parameters that go before the checkpoint's.
        parameters: Fields of `GenerationParameters`, and of its sampler, that go before both.
        engine: Who is to read the `.task` of a checkpoint that has only a `tokenizer.json` with
            byte-level BPE: `litert-lm`, or `mediapipe`, whose mapping of bytes METADATA then
            switches on. See `convert_tokenizer`.
        max_mismatch_rate: The share of the gate's comparisons in which the tokenizer of the bundle
            may differ from `tokenizer.json`: where that is converted for a `.task` (0 by default),
            and where a SentencePiece model is beside it (0.01 by default).
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
        model = author_model(open_checkpoint_with(checkpoint, lora, lora_scale))
        _require_decoder(model)
        check_target_of(target, [recipe], composites, model)
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
        check_engine_name(engine, path)
        carried = carried_tokenizer(model, path.suffix, engine, max_mismatch_rate)
        tokenizer = carried.tokenizer
        _require_known_ids(tokenizer, model.config.vocab_size)
        generation, fit = _generation(
            model, tokenizer, path.suffix, parameters_file, parameters or {}
        )
        generation = within_cache(generation, spec.kv_cache_len)
        if carried.maps_bytes:
            generation = replace(generation, enable_bytes_to_unicode_mapping=True)
        check_metadata(path, tokenizer, generation)
        tokens = calibration_tokens(model, [recipe], calibration)
        predicted = plan_model(model, spec, [recipe])
    with disk_errors(path):
        # Beside the output, so that the finished files move there by name alone.
        scratch = tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)
    with scratch as name:
        prepared = _Prepared(model, carried, generation, fit, spec, recipe, tokens, path.suffix)
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
        notes=tuple(_notes(carried, fit)),
    )


def _generation(
    model: AuthoredModel,
    tokenizer: Tokenizer,
    suffix: str,
    toml: str | Path | None,
    given: Mapping[str, Any],
) -> tuple[GenerationParameters, TemplateFit | None]:
    """Read the generation parameters, and for a `.task` the prompt texts of the template."""
    task = suffix == TASK_SUFFIX
    generation = generation_parameters(
        model.checkpoint, tokenizer, toml=toml, needs_start=task, **given
    )
    generation = with_template_stops(generation, tokenizer.piece_id)
    if not task:  # a .litertlm carries the template itself
        return generation, None
    return with_prompt_texts(generation)


def _notes(carried: CarriedTokenizer, fit: TemplateFit | None) -> Iterator[str]:
    yield from tokenizer_notes(carried)
    if fit is not None:
        yield from fit.notes


def _require_decoder(model: AuthoredModel) -> None:
    if model.kind != "decoder":
        raise ConversionError(
            f"the checkpoint is a model of the kind {model.kind}, and a .task bundle holds a "
            "decoder",
            "`edgegen convert` makes a .tflite of it, which LiteRT runs",
        )


def _require_known_ids(tokenizer: Tokenizer, vocab_size: int) -> None:
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
    carried: CarriedTokenizer
    generation: GenerationParameters
    fit: TemplateFit | None
    spec: ExportSpec
    recipe: str
    calibration: tuple[int, ...] | None
    suffix: str


def _make(
    prepared: _Prepared, scratch: Path, meter: StageMeter, *, check: bool
) -> tuple[Bundle, SelfCheck | None, dict[str, Any]]:
    model, recipe, carried = prepared.model, prepared.recipe, prepared.carried
    tokenizer = carried.tokenizer
    with meter.measure("convert"):
        tflite: TfliteModel = convert_model(
            model,
            scratch / "model.tflite",
            spec=prepared.spec,
            recipe=recipe,
            calibration=prepared.calibration,
        )
    expected, checked = None, None
    template: TemplateFit | RuntimeFit | None = prepared.fit
    if check:
        with meter.measure("check model"):
            expected = check_model(tflite, carried.as_read, prepared.generation.start_token)
    with meter.measure("bundle"):
        # The model has done its service as a file of its own: it becomes part of the bundle.
        bundle = write_bundle(
            tflite.path,
            tokenizer,
            prepared.generation,
            scratch / f"bundle{prepared.suffix}",
            consume=True,
        )
    if expected is not None:
        with meter.measure("check engine"):
            checked = _check_engine(bundle, expected, carried)
            if bundle.format == "litertlm" and prepared.generation.chat_template is not None:
                template = check_template(bundle, prepared.generation)
    with meter.measure("provenance"):
        adapter = model.checkpoint.adapter
        added = () if adapter is None else adapter.files
        inputs = [path for path in model.checkpoint.files if path not in added]
        inputs += [model.checkpoint.path / "config.json", tokenizer.path]
        conversion, beside = carried.conversion, carried.beside
        if beside is not None:
            inputs.append(model.checkpoint.path / TOKENIZER_JSON)
        converted = None if conversion is None else conversion.to_json()
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
            "tokenizer": {
                "file": tokenizer.path.name,
                "sha256": tokenizer_sha256(tokenizer),
                "conversion": converted,
                "tokenizer_json": None if beside is None else beside.to_json(),
            },
            "generation_parameters": asdict(prepared.generation),
            "chat_template": None if template is None else template.as_dict(),
            "bundle_sha256": hash_files([bundle.path], "hash bundle")[bundle.path.name],
            "check": None if checked is None else asdict(checked),
            "stages": [asdict(cost) for cost in meter.costs],
        }
    return bundle, checked, record


def _check_engine(bundle: Bundle, expected: Expectation, carried: CarriedTokenizer) -> SelfCheck:
    """Let LiteRT-LM continue the prompt, mapped for it where only MediaPipe's engine would map."""
    if not carried.maps_bytes:
        return check_engine(bundle, expected, carried.tokenizer)
    prompt = mapped(expected.prompt)
    checked = check_engine(bundle, replace(expected, prompt=prompt), carried.tokenizer)
    text = mapped_back(checked.text).decode(errors="replace")
    return replace(checked, prompt=expected.prompt, text=text)


def _adapter_record(adapter: Adapter) -> dict[str, Any]:
    return {
        "name": adapter.path.resolve().name,
        "scale": adapter.scale,
        "sha256": hash_files(adapter.files, "hash adapter"),
    }
