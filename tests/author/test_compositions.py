"""Decoder layers of any composition: against a plain implementation, and through TFLite.

A failure names the composition in full. To look at one alone, paste that into
`tests.author.composition_checks.check([Composition(...)])`.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from edgegen.author.layers import ACTIVATIONS
from tests.author.composition_checks import Verdict, check
from tests.author.compositions import (
    FORMS,
    HEAD_NORMS,
    MASKS,
    MLPS,
    NORMS,
    ROPES,
    Composition,
    compositions,
)

COUNT = 200
PACK_SIZE = 25


def drawn() -> list[Composition]:
    """Draw the same compositions each time, no two alike."""
    found: dict[Composition, None] = {}

    @settings(
        max_examples=COUNT + 20,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(compositions)
    def collect(composition: Composition) -> None:
        found[composition] = None

    collect()
    return list(found)[:COUNT]


COMPOSITIONS = drawn()
PACKS = [COMPOSITIONS[i : i + PACK_SIZE] for i in range(0, len(COMPOSITIONS), PACK_SIZE)]


@pytest.fixture(scope="module")
def verdicts() -> Iterator[list[Future[list[Verdict]]]]:
    """Of each pack; two are converted at a time, because the converter uses one core."""
    # Started anew and not forked: torch has threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), context) as pool:
        futures = [pool.submit(check, pack) for pack in PACKS]
        yield futures
        for future in futures:
            future.cancel()


@pytest.mark.parametrize("index", range(len(PACKS)))
def test_compositions_agree(verdicts: list[Future[list[Verdict]]], index: int) -> None:
    complaints = [verdict.complaint for verdict in verdicts[index].result() if verdict.complaint]

    assert not complaints, "\n\n".join(complaints)


def test_two_hundred_compositions_agree(verdicts: list[Future[list[Verdict]]]) -> None:
    found = [verdict for pack in verdicts for verdict in pack.result()]
    agreed = sum(not verdict.complaint for verdict in found)
    print(
        f"{agreed} of {len(found)} compositions agree; farthest from the plain implementation"
        f" {max(v.plain for v in found):.1e}, TFLite from torch {max(v.tflite for v in found):.1e}"
    )

    assert len({verdict.composition for verdict in found}) >= COUNT
    assert agreed == len(found)


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("form", FORMS),
        ("norm", NORMS),
        ("head_norm", HEAD_NORMS),
        ("mask", MASKS),
        ("mlp", MLPS),
        ("hidden_act", ACTIVATIONS),
        ("num_attention_heads", range(1, 9)),
        ("num_key_value_heads", range(1, 9)),
        ("sinks", (False, True)),
        ("own_v", (False, True)),
        ("norm_first", (False, True)),
        ("bias", (False, True)),
        ("readers", (0, 1)),
        ("padding", (0, 1, 2)),
        ("second_padded", (False, True)),
    ],
)
def test_each_setting_is_among_them(setting: str, values: tuple[object, ...]) -> None:
    counts = Counter(getattr(composition, setting) for composition in COMPOSITIONS)

    assert all(counts[value] >= 3 for value in values), counts


def test_each_rotation_is_among_them() -> None:
    counts = Counter(c.rope and c.rope.rope_type for c in COMPOSITIONS)
    odd = sum(c.head_dim % 2 for c in COMPOSITIONS if c.rope)
    past_trained = sum(sum(c.calls) > c.rope.trained for c in COMPOSITIONS if c.rope)

    assert all(counts[kind] >= 3 for kind in ROPES), counts
    assert odd >= 10
    assert past_trained >= 10
