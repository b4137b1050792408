"""Measuring what each matrix costs, and choosing.

On a short text luck has a part in what is measured, and a search would pick the lucky ones; so
each loss is joined with what the matrix's squared error predicts, to which the KL divergence is
nearly proportional. Such losses are small and nearly independent, so that they add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edgegen.convert.allocation import Frontier, Option
from edgegen.convert.sensitivity import Divergence, divergences, mean_squared_errors
from edgegen.errors import ConversionError
from edgegen.tuning.budget import Budget
from edgegen.tuning.matrices import Matrices

TUNED = "tuned"
# A search for the smallest size ends when it is known to that share.
_SIZE_SHARE = 1 / 256


@dataclass(frozen=True)
class Sensitivity:
    """What one matrix costs, stored as one candidate.

    Attributes:
        candidate: A key of `edgegen.convert.candidates.CANDIDATES`.
        nbytes: Its values and scales.
        kl: Mean KL divergence, measured, when nothing else is quantized.
        expected_kl: Between that and what the squared error predicts; what the search goes by.
    """

    candidate: str
    nbytes: int
    kl: float
    expected_kl: float


@dataclass(frozen=True)
class RecipeQuality:
    """A whole recipe.

    Attributes:
        name: `tuned`, or the candidate that all matrices are stored as.
        weight_bytes: Values and scales of all matrices.
        bits_per_weight: The same for each value.
        tflite_bytes: Size of the file, as planned.
        predicted_kl: Sum of the single matrices' expected ones.
        kl: Measured with all of them, in nats.
        top1_agreement: Share of positions after which the same token is likeliest.
    """

    name: str
    weight_bytes: int
    bits_per_weight: float
    tflite_bytes: int
    predicted_kl: float
    kl: float
    top1_agreement: float


class Search:
    """What is measured on one text, cut into parts."""

    def __init__(self, matrices: Matrices, parts: list[tuple[int, ...]]) -> None:
        self.matrices = matrices
        self.parts = parts
        self.sensitivities = self._sensitivities()
        self._measured: dict[tuple[tuple[str, str], ...], Divergence] = {}

    def _sensitivities(self) -> dict[str, dict[str, Sensitivity]]:
        """Measure each matrix as each of its candidates, and nothing else."""
        known = self.matrices
        errors = {
            name: mean_squared_errors(known.model.sources[name], list(plans.values()))
            for name, plans in known.plans.items()
        }
        singles = [{name: p} for name, plans in known.plans.items() for p in plans.values()]
        found = iter(divergences(known.model, self.parts, singles, told="sensitivity"))
        made = {}
        for name, plans in known.plans.items():
            kls = [next(found).kl for _ in plans]
            if not all(map(math.isfinite, kls)):
                raise ConversionError(
                    f"the model's logits on the text are no numbers, with {name} as "
                    f"{known.listed} or without",
                    "the checkpoint is damaged or training diverged",
                )
            # One factor for the matrix, mostly from what moves its values furthest.
            factor = sum(kls) / sum(errors[name]) if any(errors[name]) else 0.0
            made[name] = {
                candidate: Sensitivity(
                    candidate, known.nbytes(name, stored), kl, math.sqrt(kl * factor * error)
                )
                for (candidate, stored), kl, error in zip(
                    plans.items(), kls, errors[name], strict=True
                )
            }
        return made

    def measure(self, recipes: Mapping[str, Mapping[str, str]]) -> list[RecipeQuality]:
        """Measure whole recipes, each once: under their names, the candidate of each matrix."""
        keys = {title: tuple(chosen.items()) for title, chosen in recipes.items()}
        new = [key for key in dict.fromkeys(keys.values()) if key not in self._measured]
        plans = self.matrices.plans
        variants = [{name: plans[name][candidate] for name, candidate in key} for key in new]
        found = divergences(self.matrices.model, self.parts, variants, told="recipes")
        self._measured.update(zip(new, found, strict=True))
        return [self._quality(title, chosen) for title, chosen in keys.items()]

    def _quality(self, title: str, chosen: tuple[tuple[str, str], ...]) -> RecipeQuality:
        known, found = self.matrices, self._measured[chosen]
        stored = {name: known.plans[name][candidate] for name, candidate in chosen}
        nbytes = sum(known.nbytes(*item) for item in stored.items())
        return RecipeQuality(
            name=title,
            weight_bytes=nbytes,
            bits_per_weight=8 * nbytes / known.value_count,
            tflite_bytes=known.graph_bytes
            + sum(known.file_bytes(*item) for item in stored.items()),
            predicted_kl=sum(self.sensitivities[name][each].expected_kl for name, each in chosen),
            kl=found.kl,
            top1_agreement=found.top1_agreement,
        )

    def uniform(self) -> dict[str, dict[str, str]]:
        """Return the recipes that store all matrices as one candidate, where it can hold all."""
        plans = self.matrices.plans
        return {
            candidate: dict.fromkeys(plans, candidate)
            for candidate in self.matrices.candidates
            if all(candidate in held for held in plans.values())
        }

    def tuned(self, budget: Budget) -> dict[str, str]:
        """Return the candidate of each matrix that is best for a budget, going by the sums.

        Raises:
            ConversionError: the least KL that can be measured is above the budget's.
        """
        known, size = self.matrices, budget.size_in(self.matrices)
        frontier = Frontier(
            [
                [
                    Option(size(name, stored), self.sensitivities[name][candidate].expected_kl)
                    for candidate, stored in plans.items()
                ]
                for name, plans in known.plans.items()
            ]
        )
        if budget.is_quality:
            return self._smallest(frontier, budget.most)
        return known.named(frontier.best(budget.bytes_left(known)))

    def _smallest(self, frontier: Frontier, most_kl: float) -> dict[str, str]:
        """Halve the sizes, measuring each, down to the smallest of that quality."""
        budgets = frontier.budgets
        low, high = -1, len(budgets) - 1
        best = self.matrices.named(frontier.best(budgets[high]))
        (nearest,) = self.measure({TUNED: best})
        if nearest.kl > most_kl:
            raise ConversionError(
                f"a KL of {most_kl:g} nats cannot be had of {self.matrices.listed}: "
                f"the least is {nearest.kl:.2g}",
                "allow that, or add float16 to --weights",
            )
        while high - low > 1:
            middle = (low + high) // 2
            names = self.matrices.named(frontier.best(budgets[middle]))
            (quality,) = self.measure({TUNED: names})
            if quality.kl <= most_kl:
                high, best = middle, names
            else:
                low = middle
            if low >= 0 and budgets[high] - budgets[low] < _SIZE_SHARE * budgets[high]:
                break
        return best
