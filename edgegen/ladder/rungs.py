"""The rungs, and the models they share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

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
from edgegen.bundle.contents import Tokenizer
from edgegen.bundle.engine_types import Delegate
from edgegen.contract import LOGITS
from edgegen.convert import ExportSpec, TfliteModel, convert_recipes
from edgegen.convert.agreement import Agreement, compare_on_text, worst_position
from edgegen.convert.calibrate import check_calibration
from edgegen.convert.departure import Departure, find_departure
from edgegen.convert.op_departure import find_op_departure
from edgegen.convert.parity import Logits
from edgegen.convert.recipes import Recipe, find_recipe
from edgegen.convert.replay import PrefillParity, ReplaySession, compare_prefills
from edgegen.errors import EdgegenError, EngineError
from edgegen.ladder.limits import first_exceeded, limits_of
from edgegen.ladder.oracle import NoOracleError, transformers_logits
from edgegen.self_check import greedy, near_tie, spelled

FLOAT = "none"
MIN_TOKENS = 8
_GENERATED = 16
_AFTER_PREFILL = 8
_COPY_BYTES = 4 * 1024**2

Status = Literal["passed", "failed", "skipped", "measured"]


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
    tokenizer: Tokenizer
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
        if self.recipe.activation_bits is not None:
            check_calibration(4 * self.model.parameter_count, len(ids), self.spec)
        if len(self.tokens) < MIN_TOKENS:
            raise EdgegenError(
                f"there are {len(self.tokens)} tokens to compare, expected at least {MIN_TOKENS}",
                "give a longer text, or more --tokens",
            )

    @cached_property
    def suffix(self) -> str:
        """What a bundle with this tokenizer ends in."""
        return ".task" if isinstance(self.tokenizer, SentencePieceTokenizer) else ".litertlm"

    @cached_property
    def parameters(self) -> GenerationParameters:
        """Start and stop tokens of the bundle."""
        if self.given is not None:
            return self.given.parameters
        return generation_parameters(
            self.model.checkpoint, self.tokenizer, needs_start=self.suffix == ".task"
        )

    @cached_property
    def made(self) -> dict[str, TfliteModel]:
        """The conversions in float32 and with the recipe, traced once."""
        names = dict.fromkeys((FLOAT, self.recipe_name))  # of which one may be a file's path
        outputs = {name: self.scratch / f"made-{i}.tflite" for i, name in enumerate(names)}
        # Of a recipe that needs a text, the one that is compared on does.
        needs_text = self.recipe.activation_bits is not None
        text = (*self.start, *self.tokenizer.encode(self.text)) if needs_text else None
        return convert_recipes(self.model, outputs, spec=self.spec, calibration=text)

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
            logits = transformers_logits(self.model.checkpoint.path, self.tokens)
        except NoOracleError as error:
            return Rung(name, "skipped", str(error))
        agreement = compare_on_text(logits, self.torch_logits, self.tokens)
        why = first_exceeded(find_recipe(FLOAT), agreement)
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
            output = self.scratch / f"verified{self.suffix}"
            bundle = self.given or write_bundle(
                self.shipped, self.tokenizer, self.parameters, output
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
        logits = session.score(self.tokens, 0)
        agreement = compare_on_text(reference, logits, self.tokens)
        prompt = max(1, len(self.tokens) - _AFTER_PREFILL)
        prefills = compare_prefills(session, self.tokens, prompt, self.spec.kv_cache_len)
        why = first_exceeded(recipe, agreement, self.spec.kv_cache_dtype)
        prefill_len = None
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
        del session  # the model is about to be loaded anew
        departure = self._departure(recipe, path, sources, prompt, prefill_len)
        if not departure.first and prefill_len is None:  # what departs comes after the caches
            position = worst_position(reference, logits)
            departure = self._with_operator(departure, path, sources, (LOGITS,), position)
        elif departure.first:
            departure = self._with_operator(
                departure, path, sources, departure.outputs, departure.position, prefill_len, prompt
            )
        return Rung(name, "failed", f"{why}; {departure.told}", agreement, prefills, departure)

    def _departure(
        self,
        recipe: Recipe,
        path: Path,
        sources: Mapping[str, TensorSource] | None,
        prompt: int,
        prefill_len: int | None,
    ) -> Departure:
        """Find the layer where a model departs, by what the prompt leaves in the caches."""
        decoder = self.model.module
        assert isinstance(decoder, Decoder)
        tokens = self.tokens[:prompt]
        return find_departure(
            ReplaySession(path, num_threads=_threads()),
            decoder,
            tokens,
            reference_run(self.model, tokens, sources)[1],
            limits_of(recipe, self.spec.kv_cache_dtype).max_cache_diff,
            prefill_len,
        )

    def _with_operator(
        self,
        departure: Departure,
        path: Path,
        sources: Mapping[str, TensorSource] | None,
        outputs: Sequence[str],
        position: int,
        prefill_len: int | None = None,
        prompt: int | None = None,
    ) -> Departure:
        """Find the operator, too, in the call that takes the token at `position`.

        Of a prefill that is one of those that put the first `prompt` tokens into the caches, with
        the same padding.
        """
        operator = find_op_departure(
            path,
            self.model,
            self.tokens[:prompt],
            position,
            outputs,
            sources=sources or self.model.sources,
            scratch=self.scratch,
            prefill_len=prefill_len,
            num_threads=_threads(),
        )
        return replace(departure, searched=position, operator=operator)


def _threads() -> int:
    return len(os.sched_getaffinity(0))
