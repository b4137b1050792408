"""The rungs of the parity ladder: two neighbours each, compared on the same text."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from edgegen.author import AuthoredModel
from edgegen.author.decoder import Decoder
from edgegen.author.reference import reference_logits, reference_run
from edgegen.author.tensor_source import TensorSource
from edgegen.bundle import (
    Bundle,
    GenerateRequest,
    GenerationParameters,
    SentencePieceTokenizer,
    generate,
    generation_parameters,
    write_bundle,
)
from edgegen.bundle.engine_types import Delegate
from edgegen.convert import ExportSpec, TfliteModel, convert_recipes
from edgegen.convert.agreement import Agreement, compare_on_text
from edgegen.convert.departure import Departure, find_departure
from edgegen.convert.parity import Logits
from edgegen.convert.recipes import Recipe, find_recipe
from edgegen.convert.replay import PrefillParity, ReplaySession, compare_prefills
from edgegen.errors import EdgegenError, EngineError
from edgegen.self_check import greedy, near_tie, spelled

FLOAT = "none"
MIN_TOKENS = 8
_GENERATED = 16
_AFTER_PREFILL = 8
_COPY_BYTES = 4 * 1024**2
_EXACT_COSINE = 0.9999

Status = Literal["passed", "failed", "skipped", "measured"]


@dataclass(frozen=True)
class Limits:
    """How far two neighbours may be apart, beside a recipe's own `min_cosine`.

    Attributes:
        max_kl: Mean KL divergence, in nats.
        max_perplexity_change: Change of the text's perplexity, as a share of the reference's.
        max_cache_diff: Above that share of its norm a layer's cache counts as departed.
    """

    max_kl: float
    max_perplexity_change: float
    max_cache_diff: float


# Models that compute in float32 differ from torch by the order of sums alone, those that compute
# in int8 also by the rounding of activations.
LIMITS = {
    "float": Limits(max_kl=1e-5, max_perplexity_change=0.01, max_cache_diff=1e-3),
    "int8": Limits(max_kl=0.25, max_perplexity_change=0.25, max_cache_diff=0.2),
}


def limits_of(recipe: Recipe) -> Limits:
    """Return the limits of models of that recipe."""
    return LIMITS["float" if recipe.min_cosine >= _EXACT_COSINE else "int8"]


@dataclass(frozen=True)
class Rung:
    """Two neighbours on the ladder.

    Attributes:
        name: What a user reads.
        status: `measured` where there is no limit to fail.
        why: What failed, why it was skipped, or what was said.
        agreement: Their logits on the text.
        prefills: Ways to put the same prompt into the cache, against each other.
        departure: Where the layers part, if the rung failed.
    """

    name: str
    status: Status
    why: str = ""
    agreement: Agreement | None = None
    prefills: tuple[PrefillParity, ...] = ()
    departure: Departure | None = None


@dataclass
class Ladder:
    """What the rungs share; models are made when a rung first asks for them.

    Attributes:
        model: The authored model, a decoder.
        recipe: How the model to ship stores its weights.
        recipe_name: What `find_recipe` finds it by.
        spec: Its signatures.
        tokenizer: The checkpoint's.
        delegate: Who computes in the engine.
        given: The bundle to verify; `None` to make one.
        scratch: A folder for what is made.
        text: What the models are asked about.
        count: How many tokens of it, start token included.

    Raises:
        EdgegenError: the text is too short.
    """

    model: AuthoredModel
    recipe: Recipe
    recipe_name: str
    spec: ExportSpec
    tokenizer: SentencePieceTokenizer
    delegate: Delegate
    given: Bundle | None
    scratch: Path
    text: str
    count: int

    def __post_init__(self) -> None:
        start = self.tokenizer.piece_id(self.parameters.start_token)
        self.start = () if start is None else (start,)
        ids = (*self.start, *self.tokenizer.encode(self.text))
        self.tokens = ids[: min(self.count, self.spec.kv_cache_len)]
        if len(self.tokens) < MIN_TOKENS:
            raise EdgegenError(
                f"there are {len(self.tokens)} tokens to compare, expected at least {MIN_TOKENS}",
                "give a longer text, or more --tokens",
            )

    @cached_property
    def parameters(self) -> GenerationParameters:
        """Start and stop tokens of the bundle."""
        if self.given is not None:
            return self.given.parameters
        return generation_parameters(self.model.checkpoint, self.tokenizer)

    @cached_property
    def made(self) -> dict[str, TfliteModel]:
        """The conversions in float32 and with the recipe, traced once."""
        names = dict.fromkeys((FLOAT, self.recipe_name))  # of which one may be a file's path
        outputs = {name: self.scratch / f"made-{i}.tflite" for i, name in enumerate(names)}
        return convert_recipes(self.model, outputs, spec=self.spec)

    @cached_property
    def shipped(self) -> Path:
        """The quantized model; that of the bundle where one was given."""
        if self.given is None:
            return self.made[self.recipe_name].path
        path = self.scratch / "given.tflite"
        offset, size = self.given.model_span
        with self.given.path.open("rb") as source, path.open("wb") as target:
            source.seek(offset)
            while size > 0 and (chunk := source.read(min(size, _COPY_BYTES))):
                target.write(chunk)
                size -= len(chunk)
        return path

    @cached_property
    def grid(self) -> Mapping[str, TensorSource]:
        """The model's tensors with the values that the recipe stores."""
        return self.made[self.recipe_name].grid_sources

    @cached_property
    def torch_logits(self) -> Logits:
        """The authored module's logits `[T, V]`."""
        logits: Logits = reference_logits(self.model, self.tokens).numpy()
        return logits

    @cached_property
    def grid_logits(self) -> Logits:
        """Those with the weights that the recipe stores."""
        logits: Logits = reference_logits(self.model, self.tokens, self.grid).numpy()
        return logits

    def rung_transformers(self) -> Rung:
        """Compare transformers, where it is installed, with the authored module."""
        name = "transformers > authored torch"
        try:
            # By name, since it is no dependency: whoever has it gets one more rung.
            transformers: Any = importlib.import_module("transformers")
        except ImportError:
            return Rung(name, "skipped", "transformers is not installed")
        import torch

        bars = transformers.utils.logging
        shown = bars.is_progress_bar_enabled()
        bars.disable_progress_bar()  # a library prints nothing
        try:
            opened = transformers.AutoModelForCausalLM.from_pretrained(
                self.model.checkpoint.path,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
            ).eval()
            with torch.no_grad():
                logits = opened(torch.tensor([self.tokens]), use_cache=False).logits[0]
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError) as error:
            first = str(error).strip().partition("\n")[0]
            return Rung(name, "skipped", f"transformers cannot run the checkpoint: {first}")
        finally:
            if shown:
                bars.enable_progress_bar()
        agreement = compare_on_text(logits.float().numpy(), self.torch_logits, self.tokens)
        why = _beyond(find_recipe(FLOAT), agreement)
        return Rung(name, "failed" if why else "passed", why, agreement)

    def rung_float(self) -> Rung:
        """Compare the authored module with its conversion in float32."""
        name, path = "authored torch > float TFLite", self.made[FLOAT].path
        return self._rung_tflite(name, find_recipe(FLOAT), path, self.torch_logits, None)

    def rung_weights(self) -> Rung:
        """Measure what storing the weights as the recipe does costs, which was asked for."""
        name = f"authored torch > its weights as {self.recipe_name}"
        if self.recipe_name == FLOAT:
            return Rung(name, "skipped", f"the recipe {FLOAT} stores the weights as they are")
        agreement = compare_on_text(self.torch_logits, self.grid_logits, self.tokens)
        return Rung(name, "measured", agreement=agreement)

    def rung_quantized(self) -> Rung:
        """Compare torch, with the weights that the recipe stores, and the model to ship."""
        name = f"torch with weights as {self.recipe_name} > TFLite"
        if self.recipe_name == FLOAT and self.given is None:
            return Rung(name, "skipped", "that is the float TFLite")
        return self._rung_tflite(name, self.recipe, self.shipped, self.grid_logits, self.grid)

    def rung_engine(self) -> Rung:
        """Compare the greedy text of the model with that of the bundle in LiteRT-LM."""
        name = f"TFLite > LiteRT-LM on {self.delegate}"
        generated = min(_GENERATED, self.spec.kv_cache_len // 2)
        prompt = self.text
        room = min(len(self.tokens), self.spec.kv_cache_len - generated - 1)
        while len(self.start) + len(self.tokenizer.encode(prompt)) > room:
            prompt = prompt[:-1]
        ids = [*self.start, *self.tokenizer.encode(prompt)]
        request = GenerateRequest(
            prompt,
            max_output_tokens=generated,
            delegate=self.delegate,
            apply_prompt_template=False,
            threads=_threads(),
        )
        if self.delegate == "gpu":
            made, sure = self._greedy_torch(ids, generated)
        else:
            session = ReplaySession(self.shipped, num_threads=_threads())
            made, sure = greedy(session, session.score(ids, len(ids) - 1)[-1], generated)
            del session  # the engine is about to load the model, too
        try:
            bundle = self.given or write_bundle(
                self.shipped, self.tokenizer, self.parameters, self.scratch / "verified.task"
            )
            text = generate(bundle, request).result().text
        except EngineError as error:
            return Rung(name, "failed", error.message)
        expected = spelled(made[:sure], bundle, self.tokenizer)
        if text.startswith(expected):
            return Rung(name, "passed", f"{sure} tokens agree, to {expected!r}")
        return Rung(name, "failed", f"LiteRT-LM continues with {text!r}, expected {expected!r}")

    def _greedy_torch(self, ids: list[int], count: int) -> tuple[list[int], int]:
        """Continue as torch does: on a GPU, integer weights become floats again."""
        made: list[int] = []
        while len(made) < count:
            logits = reference_logits(self.model, [*ids, *made], self.grid)[-1].numpy()
            if near_tie(logits, half_precision=True):
                break
            made.append(int(logits.argmax()))
        return made, len(made)

    def _rung_tflite(
        self,
        name: str,
        recipe: Recipe,
        path: Path,
        reference: Logits,
        sources: Mapping[str, TensorSource] | None,
    ) -> Rung:
        session = ReplaySession(path, num_threads=_threads())
        agreement = compare_on_text(reference, session.score(self.tokens, 0), self.tokens)
        prompt = max(1, len(self.tokens) - _AFTER_PREFILL)
        prefills = compare_prefills(session, self.tokens, prompt, self.spec.kv_cache_len)
        why, prefill_len = _beyond(recipe, agreement), None
        if not why:
            apart = [one for one in prefills if not one.parity.cosine >= recipe.min_cosine]
            if not apart:
                return Rung(name, "passed", "", agreement, prefills)
            first = apart[0]
            why = (
                f"{first.compared} against {first.reference}: cosine {first.parity.cosine:.6f}, "
                f"expected at least {recipe.min_cosine}"
            )
            prefill_len = first.compared_len
        tokens = self.tokens[:prompt]
        decoder = self.model.module
        assert isinstance(decoder, Decoder)
        departure = find_departure(
            session,
            decoder,
            tokens,
            reference_run(self.model, tokens, sources)[1],
            limits_of(recipe).max_cache_diff,
            prefill_len,
        )
        return Rung(name, "failed", f"{why}; {departure.told}", agreement, prefills, departure)


def _beyond(recipe: Recipe, found: Agreement) -> str:
    """Say which limit is passed; nothing if none is."""
    limits = limits_of(recipe)
    change = abs(found.perplexity / found.reference_perplexity - 1)
    if not found.cosine >= recipe.min_cosine:
        return f"cosine {found.cosine:.6f} of the logits, expected at least {recipe.min_cosine}"
    if not found.kl <= limits.max_kl:
        return f"KL {found.kl:.2g} nats, expected at most {limits.max_kl:g}"
    if not change <= limits.max_perplexity_change:
        return (
            f"perplexity {found.perplexity:.4g} against {found.reference_perplexity:.4g}, "
            f"expected within {limits.max_perplexity_change:.0%}"
        )
    return ""


def _threads() -> int:
    return len(os.sched_getaffinity(0))
