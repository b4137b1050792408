"""The figures of two models' agreement on a text, and the limits that they are held to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgegen.convert.agreement import Agreement, compare_on_text, perplexity
from edgegen.convert.recipes import RECIPES, find_recipe
from edgegen.ladder.limits import LIMITS, first_exceeded, limits_of


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"cosine": float("nan")}, "cosine nan of the logits, expected at least 0.99999"),
        ({"kl": 0.5}, "KL 0.5 nats, expected at most 1e-06"),
        ({"perplexity": 12.0}, "perplexity 12 against 10, expected within 0.1%"),
        ({}, ""),
    ],
)
def test_each_limit_can_be_passed(values: dict[str, float], why: str) -> None:
    good = {"cosine": 1.0, "kl": 0.0, "reference_perplexity": 10.0, "perplexity": 10.0}
    rest = {"max_abs_diff": 0.0, "mean_abs_diff": 0.0, "top1_agreement": 1.0}
    made = Agreement(tokens=9, first_diverging_token=None, **{**good, **rest, **values})
    assert first_exceeded(find_recipe("none"), made) == why


def test_recipes_that_compute_in_float_have_the_narrow_limits() -> None:
    exact = [name for name, recipe in RECIPES.items() if limits_of(recipe) is LIMITS["float"]]
    assert {"none", "fp16", "weight_only_wi8_afp32"} <= set(exact)
    assert limits_of(find_recipe("dynamic_wi8_afp32")) is LIMITS["int8"]
    assert limits_of(find_recipe("dynamic_wi8_afp32"), "float16") is LIMITS["int8"]
    assert limits_of(find_recipe("none"), "float16") is LIMITS["float, float16 caches"]


def test_the_figures_on_a_text() -> None:
    generator = np.random.default_rng(0)
    reference = generator.standard_normal((5, 11)).astype(np.float32)
    found = reference.copy()
    found[3] = -found[3]
    tokens = [1, 2, 3, 4, 5]

    same = compare_on_text(reference, reference, tokens)
    other = compare_on_text(reference, found, tokens)

    nll = torch.nn.functional.cross_entropy(
        torch.from_numpy(reference[:-1]), torch.tensor(tokens[1:])
    )
    assert same.reference_perplexity == pytest.approx(float(torch.exp(nll)), rel=1e-5)
    assert same.perplexity == same.reference_perplexity == perplexity(reference, tokens)
    assert (same.max_abs_diff, same.first_diverging_token, same.top1_agreement) == (0.0, None, 1.0)
    assert (other.first_diverging_token, other.top1_agreement) == (3, 0.8)
    assert other.mean_abs_diff == pytest.approx(np.abs(2 * reference[3]).sum() / 55, rel=1e-5)
    assert other.kl > 0
    assert np.isfinite(perplexity(reference * 1e6, tokens))
