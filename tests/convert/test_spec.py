"""Which signatures may be asked for, and how the engines would use them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.convert import ExportSpec
from edgegen.convert.spec import MIN_KV_CACHE_LEN, check_spec, prefill_chunks
from edgegen.errors import ConversionError


def test_signatures_are_named_as_the_runtimes_look_for_them() -> None:
    assert ExportSpec((128, 16, 16), 256).signatures == {
        "prefill_128": 128,
        "prefill_16": 16,
        "decode": 1,
    }


@pytest.mark.parametrize(
    ("prompt", "chunks"),
    # Seen in LiteRT-LM's log, by which signatures it prepares.
    [(16, [16]), (17, [16, 16]), (33, [32, 16]), (128, [128]), (161, [128, 32, 16])],
)
def test_prompts_are_cut_as_litert_lm_does(prompt: int, chunks: list[int]) -> None:
    assert [length for _, length in prefill_chunks(prompt, (16, 32, 128))] == chunks


@pytest.mark.parametrize(
    ("spec", "found", "hint"),
    [
        (ExportSpec((), 64), "prefill lengths are []", "--prefill"),
        (ExportSpec((0, 8), 64), "prefill lengths are [0, 8]", "--prefill"),
        (
            ExportSpec((128,), 64),
            "prefill length 128 is longer than the KV cache of 64",
            "--kv-cache-len 128",
        ),
        (ExportSpec((8,), 512), "longer than the 256 positions", "--kv-cache-len 256"),
        (ExportSpec((100,), 190), "past the KV cache of 190", "--kv-cache-len 200"),
        (ExportSpec((100,), 250), "past the KV cache of 250", "--kv-cache-len 200"),
        (ExportSpec((16, 100), 160), "past the KV cache of 160", "--prefill 16,112"),
        (ExportSpec((4,), 4), "no room for a prompt and an answer", "--kv-cache-len 8"),
    ],
)
def test_impossible_signatures_are_refused(spec: ExportSpec, found: str, hint: str) -> None:
    with pytest.raises(ConversionError) as raised:
        check_spec(spec, 256)
    assert found in raised.value.message
    assert hint in (raised.value.hint or "")


def test_long_caches_are_checked_at_once() -> None:
    """Quadratic work over Llama 3's own 131 072 positions took minutes."""
    calls = 0

    def count(*arguments: object) -> list[tuple[int, int]]:
        nonlocal calls
        calls += 1
        return prefill_chunks(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgegen.convert.spec.prefill_chunks", count)
        check_spec(ExportSpec((16, 128, 512), 131072), 131072)
    assert calls < 32


@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(1, 120))
def test_a_spec_is_refused_if_and_only_if_a_prompt_overruns_the_cache(
    lens: list[int], cache: int
) -> None:
    spec = ExportSpec(tuple(lens), cache)
    overruns = False
    for prompt in range(1, cache):
        chunks = prefill_chunks(prompt, spec.prefill_lens)
        overruns |= any(start + length > cache for start, length in chunks)
        covered = [start for start, _ in chunks] + [prompt]
        assert covered[0] == 0
        assert all(0 < b - a <= n for (a, n), b in zip(chunks, covered[1:], strict=True))
    try:
        check_spec(spec, 10_000)
    except ConversionError:
        assert overruns or max(lens) > cache or cache < MIN_KV_CACHE_LEN
    else:
        assert not overruns


def test_an_unknown_composite_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConversionError, match=r"no composite 'odml\.rmsnorm'") as caught:
        ExportSpec(composites=("odml.rmsnorm",))

    assert caught.value.hint is not None
    assert caught.value.hint.startswith("did you mean 'odml.rms_norm'?")


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (
            {"kv_cache_dtype": "int8"},
            "a KV cache cannot hold int8",
            "choose one of float32, float16",
        ),
        (
            {"kv_cache_dtype": "float16", "composites": ("odml.rms_norm", "odml.cache_update")},
            "odml.cache_update is drawn around float32 caches, not float16",
            "leave out the one or the other",
        ),
    ],
)
def test_caches_that_cannot_be(options: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(ConversionError) as raised:
        ExportSpec(**options)
    assert (raised.value.message, raised.value.hint) == (message, hint)
