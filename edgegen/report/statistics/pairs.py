"""Which runs of two things stood side by side in time."""

from __future__ import annotations

from collections.abc import Sequence

# Below this share of the shorter side in pairs, the runs were not interleaved.
_SHARE = 0.75
# Fewer cannot show anything: of n pairs all on one side, the signed ranks' p-value is 2 / 2^n.
_FEWEST = 8


def enough_pairs(pairs: int) -> bool:
    """Return whether so many pairs can show a difference by themselves."""
    return pairs >= _FEWEST


def interleaved_pairs(
    baseline_started_s: Sequence[float], candidate_started_s: Sequence[float]
) -> tuple[tuple[int, int], ...] | None:
    """Pair each run of one thing with the neighbouring run of the other, by their start times.

    For `compare(..., pairs=...)`. Runs between them, of third things, do not matter. A run whose
    partner failed stays alone.

    Args:
        baseline_started_s: When each run of the baseline began, in seconds since any time.
        candidate_started_s: The same for the candidate, since the same time.

    Returns:
        (index of the baseline's run, index of the candidate's) in order of time; `None` if the
        runs were not interleaved, as when one thing was measured after the other, or where all
        bear one time, so that nothing tells their order.
    """
    if len({*baseline_started_s, *candidate_started_s}) < 2:
        return None
    runs = sorted(
        [(started, 0, index) for index, started in enumerate(baseline_started_s)]
        + [(started, 1, index) for index, started in enumerate(candidate_started_s)]
    )
    pairs = []
    at = 0
    while at + 1 < len(runs):
        (_, side, index), (_, next_side, next_index) = runs[at], runs[at + 1]
        if side == next_side:
            at += 1
            continue
        pairs.append((index, next_index) if side == 0 else (next_index, index))
        at += 2
    fewest = min(len(baseline_started_s), len(candidate_started_s))
    return tuple(pairs) if pairs and len(pairs) >= _SHARE * fewest else None
