"""From a checkpoint folder of any kind of model to `.tflite` files without a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgegen.author import (
    AuthoredModel,
    Checkpoint,
    author_model,
    merge_adapter,
    open_checkpoint,
)
from edgegen.bundle import generation_parameters, open_exact_tokenizer
from edgegen.convert import ExportSpec, TfliteModel, convert_recipes
from edgegen.convert.recipes import find_recipe
from edgegen.convert.spec import fitting_spec
from edgegen.convert.target import check_target
from edgegen.convert.trace import is_streamed
from edgegen.errors import CheckpointError, ConversionError, OutputError


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
    model = author_model(open_checkpoint_with(checkpoint, lora, lora_scale))
    check_target_of(target, recipes, composites, model)
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
    tokens = calibration_tokens(model, recipes, calibration)
    return convert_recipes(model, outputs, spec=spec, calibration=tokens, force=force)


def check_target_of(
    target: str | None, recipes: Sequence[str], composites: Sequence[str], model: AuthoredModel
) -> None:
    """Refuse recipes and composites that `target` does not run.

    Raises:
        ConversionError: one does not run there.
    """
    if target is not None:
        weights = [name for name, source in model.sources.items() if is_streamed(source.shape)]
        for name in recipes:
            check_target(target, find_recipe(name), composites, weights)


def open_checkpoint_with(
    checkpoint: str | Path, lora: str | Path | None, lora_scale: float | None
) -> Checkpoint:
    """Open a checkpoint, with a LoRA adapter merged where one is given.

    Raises:
        CheckpointError: the folder or the adapter cannot be used, or a scale has no adapter.
    """
    if lora is not None:
        return merge_adapter(open_checkpoint(checkpoint), lora, lora_scale)
    if lora_scale is not None:
        raise CheckpointError(
            f"a LoRA scale of {lora_scale} was given, but no adapter", "give its folder with --lora"
        )
    return open_checkpoint(checkpoint)


def calibration_tokens(
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
    tokenizer = open_exact_tokenizer(model.checkpoint.path, vocab_size=model.config.vocab_size)
    start = tokenizer.piece_id(
        generation_parameters(model.checkpoint, tokenizer, needs_start=False).start_token
    )
    return (*(() if start is None else (start,)), *tokenizer.encode(text))
