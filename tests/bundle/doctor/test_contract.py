"""Lengths of prompts that the padding of prefill leaves no room for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.bundle import SentencePieceTokenizer
from edgegen.bundle.doctor import check_bundle
from edgegen.bundle.doctor.contract import dead_zone
from edgegen.convert.spec import prefill_chunks
from tests.bundle.doctor import plants
from tests.bundle.doctor.models import Made
from tests.bundle.doctor.plants import Convert


@pytest.mark.parametrize(
    ("lens", "cache", "refused"),
    [
        ((8, 16), 64, ()),
        ((8, 16), 60, (57, 58, 59)),
        ((128,), 1280, ()),
        ((128,), 1000, tuple(range(897, 1000))),
        ((16, 128), 1000, tuple(range(993, 1000))),
        ((1,), 7, ()),
    ],
)
def test_the_dead_zone(lens: tuple[int, ...], cache: int, refused: tuple[int, ...]) -> None:
    assert dead_zone(lens, cache) == refused


@given(
    lens=st.lists(st.integers(1, 40), min_size=1, max_size=3, unique=True).map(sorted),
    cache=st.integers(40, 200),
)
def test_the_dead_zone_is_where_the_exporter_sees_an_overrun(lens: list[int], cache: int) -> None:
    def overruns(prompt: int) -> bool:
        position, length = prefill_chunks(prompt, tuple(lens))[-1]
        return position + length > cache

    assert dead_zone(lens, cache) == tuple(p for p in range(1, cache) if overruns(p))


def test_a_dead_zone_is_told_in_tokens(
    tmp_path: Path, tokenizer: SentencePieceTokenizer, converted: Convert
) -> None:
    made = Made(kv_cache_len=60, prefill_lens=(8, 16))
    path = plants.bundle(converted(made), tokenizer, tmp_path / "x.task")

    (finding,) = check_bundle(path, only=["prefill"]).findings

    assert finding.verdict == "warn"
    assert finding.reason == (
        "prompts of 57 to 59 tokens are refused (`Prefill input length exceeds available state "
        "entries`), though the cache has 60 slots; in a conversation, LiteRT-LM takes no further "
        "prompt once more than 52 of 60 slots are used, since the smallest prefill pads to 8"
    )


def test_a_large_smallest_prefill_ends_conversations_early(
    tmp_path: Path, tokenizer: SentencePieceTokenizer, converted: Convert
) -> None:
    path = plants.bundle(
        converted(Made(kv_cache_len=64, prefill_lens=(16,))), tokenizer, tmp_path / "x.task"
    )

    (finding,) = check_bundle(path, only=["prefill"]).findings

    assert finding.verdict == "warn"
    assert finding.reason == (
        "in a conversation, LiteRT-LM takes no further prompt once more than 48 of 64 slots are "
        "used, since the smallest prefill pads to 16 (`Chosen prefill work group size exceeds "
        "available state entries`)"
    )
