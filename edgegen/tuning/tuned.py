"""From a checkpoint and a budget to a recipe file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgegen.author import AuthoredModel, author_model, open_checkpoint
from edgegen.author.decoder import Decoder
from edgegen.bundle import generation_parameters, open_exact_tokenizer
from edgegen.convert.candidates import check_candidates, recipe_entries
from edgegen.convert.recipe_file import format_entries
from edgegen.convert.spec import ExportSpec, check_spec, fitting_spec
from edgegen.errors import ConversionError, EdgegenError, OutputError
from edgegen.files import atomic_output, refuse_overwrite
from edgegen.tuning.budget import Budget, require_possible
from edgegen.tuning.matrices import Matrices
from edgegen.tuning.search import TUNED, RecipeQuality, Search, Sensitivity
from edgegen.verification import TEXT

# Those that engines run on CPU and GPU; where the two int4 of a size differ, that is measured.
DEFAULT_WEIGHTS = (
    "int4_octav",
    "int4_block128_octav",
    "int4_block64_octav",
    "int4_block32_octav",
    "int4_block32",
    "int8",
)
DEFAULT_TOKENS = 1024
MIN_TOKENS = 32
# A longer text is measured in parts, each of which begins with the start token.
_PART_TOKENS = 512


@dataclass(frozen=True)
class TunedWeight:
    """One matrix, and what was chosen for it.

    Attributes:
        name: The parameter's name.
        value_count: Its values.
        chosen: The candidate.
        sensitivities: What was there to choose from.
    """

    name: str
    value_count: int
    chosen: str
    sensitivities: tuple[Sensitivity, ...]


@dataclass(frozen=True)
class Tuning:
    """What the search found.

    Attributes:
        checkpoint: The folder.
        output: The recipe file.
        budget: What it was made for.
        spec: The signatures that the sizes are those of.
        tokens: Tokens of the text, start tokens included.
        tuned: The recipe that was written.
        uniform: Recipes that store all matrices as one candidate, where it can hold all.
        weights: Each matrix.
    """

    checkpoint: Path
    output: Path
    budget: Budget
    spec: ExportSpec
    tokens: int
    tuned: RecipeQuality
    uniform: tuple[RecipeQuality, ...]
    weights: tuple[TunedWeight, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        found = {**asdict(self), "checkpoint": str(self.checkpoint), "output": str(self.output)}
        return {"schema": "edgegen.tuning/1", **found}


def tune(
    checkpoint: str | Path,
    output: str | Path,
    budget: Budget,
    *,
    weights: Sequence[str] = DEFAULT_WEIGHTS,
    text: str = TEXT,
    tokens: int = DEFAULT_TOKENS,
    prefill_lens: Sequence[int] | None = None,
    force: bool = False,
) -> Tuning:
    """Find a recipe for a budget and write it as a recipe file.

    Memory: one layer in float32 and one copy of it, half a gigabyte for what the variants have
    made of the text, and all of the embedding or head with a copy where an algorithm such as
    OCTAV looks at all rows.

    Args:
        checkpoint: The folder of a decoder.
        output: The `.json` to write; it appears only when complete.
        budget: What the recipe may cost.
        weights: Keys of `edgegen.convert.candidates.CANDIDATES`.
        text: What the model is asked about; cut to `tokens`.
        tokens: How many tokens of it, start token included.
        prefill_lens: T of each prefill signature of the build that sizes are counted for.
        force: Replace an existing file.

    Raises:
        EdgegenError: whatever is wrong with the input, or a budget that no recipe meets.
    """
    output = Path(output)
    if output.suffix != ".json":
        raise OutputError(
            f"output {output} does not end in .json, which tells a recipe file from a name",
            f"name it {output.with_suffix('.json')}",
        )
    refuse_overwrite(output, force=force)
    check_candidates(weights)
    model = author_model(open_checkpoint(checkpoint))
    model.checkpoint.refuse_own(output)
    if not isinstance(model.module, Decoder):
        raise ConversionError(
            f"the checkpoint is a model of the kind {model.kind}, and tuning is for decoders",
            "choose one of the recipes that `edgegen list recipes` prints",
        )
    longest = model.config.max_position_embeddings
    spec = fitting_spec(longest, prefill_lens)
    check_spec(spec, longest)
    parts = _parts(model, text, tokens)
    matrices = Matrices(model, spec, tuple(weights))
    require_possible(budget, matrices)
    search = Search(matrices, parts)
    names = search.tuned(budget)
    tuned, *uniform = search.measure({TUNED: names, **search.uniform()})
    with atomic_output(output, force=force) as temporary:
        temporary.write_text(format_entries(recipe_entries(names)))
    return Tuning(
        checkpoint=Path(checkpoint),
        output=output,
        budget=budget,
        spec=spec,
        tokens=sum(map(len, parts)),
        tuned=tuned,
        uniform=tuple(uniform),
        weights=tuple(
            TunedWeight(
                name,
                model.sources[name].value_count,
                candidate,
                tuple(search.sensitivities[name].values()),
            )
            for name, candidate in names.items()
        ),
    )


def _parts(model: AuthoredModel, text: str, count: int) -> list[tuple[int, ...]]:
    """Cut the first `count` tokens of a text into parts."""
    tokenizer = open_exact_tokenizer(model.checkpoint.path, vocab_size=model.config.vocab_size)
    start = tokenizer.piece_id(
        generation_parameters(model.checkpoint, tokenizer, needs_start=False).start_token
    )
    first = () if start is None else (start,)
    ids = tokenizer.encode(text)
    longest = min(_PART_TOKENS, model.config.max_position_embeddings) - len(first)
    parts: list[tuple[int, ...]] = []
    while ids and count > len(first):
        taken = min(longest, count - len(first))
        parts.append((*first, *ids[:taken]))
        ids, count = ids[taken:], count - len(parts[-1])
    if (found := sum(map(len, parts))) < MIN_TOKENS:
        raise EdgegenError(
            f"there are {found} tokens to measure on, expected at least {MIN_TOKENS}",
            "give a longer text, or more --tokens",
        )
    return parts
