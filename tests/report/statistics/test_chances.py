"""The distributions against those inside scipy's tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edgegen.report.statistics import chances
from edgegen.report.statistics.chances import rank_sum_chances, signed_rank_chances


@pytest.mark.parametrize(("first", "second"), [(1, 1), (1, 6), (3, 3), (5, 5), (4, 9), (12, 7)])
def test_rank_sums_are_scipys(first: int, second: int) -> None:
    random = np.random.default_rng(first * second)
    ours = rank_sum_chances(first, second)

    assert ours.size == first * second + 1
    assert ours[-1] == 1
    for _ in range(20):
        one, other = random.normal(size=first), random.normal(size=second)
        theirs = stats.mannwhitneyu(one, other, alternative="less", method="exact")
        assert ours[int(theirs.statistic)] == pytest.approx(theirs.pvalue, rel=1e-9)


@pytest.mark.parametrize("pairs", [1, 2, 5, 8, 20, 40])
def test_signed_ranks_are_scipys(pairs: int) -> None:
    random = np.random.default_rng(pairs)
    ours = signed_rank_chances(pairs)

    assert ours.size == pairs * (pairs + 1) // 2 + 1
    assert ours[-1] == 1
    for _ in range(20):
        differences = random.normal(size=pairs)
        theirs = stats.wilcoxon(differences, alternative="less", method="exact")
        assert ours[int(theirs.statistic)] == pytest.approx(theirs.pvalue, rel=1e-9)


@pytest.mark.parametrize("sizes", [(60, 60), (20, 60), (60,)])
def test_the_normal_distribution_takes_over_on_the_careful_side(
    sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact_of = rank_sum_chances if len(sizes) == 2 else signed_rank_chances
    exact = exact_of(*sizes)
    monkeypatch.setattr(chances, "EXACT_PRODUCTS", 100)
    monkeypatch.setattr(chances, "EXACT_PAIRS", 10)
    # Past the cache, which holds what is exact.
    normal = exact_of.__wrapped__(*sizes)
    small = exact <= 0.01

    assert (normal >= exact)[small].all()
    assert np.abs(normal - exact)[small].max() < 5e-4
    assert np.abs(normal - exact).max() < 2e-3
