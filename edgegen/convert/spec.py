"""What to export: which signatures, how long a cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgegen.contract import (
    CACHE_UPDATE,
    COMPOSITES,
    DECODE,
    KV_CACHE_DTYPES,
    RUNTIME_BMM,
    prefill_signature,
)
from edgegen.errors import ConversionError, did_you_mean

MIN_KV_CACHE_LEN = 8


@dataclass(frozen=True)
class ExportSpec:
    """The signatures of one model.

    Attributes:
        prefill_lens: T of each `prefill_{T}` signature, ascending.
        kv_cache_len: S, room for prompt and answer together, in tokens.
        composites: Names of the runtime boundaries to draw, of `edgegen.contract.COMPOSITES`.
        mask_input: Whether each signature of a decoder has the input `mask`, in which the runtime
            says what each token sees, instead of computing that from the positions. A layer's
            sliding window narrows it.
        kv_cache_dtype: What a decoder's caches hold between calls, of `KV_CACHE_DTYPES`. The graph
            computes in float32 either way.

    Raises:
        ConversionError: a composite or the caches' type is unknown, or they exclude each other.
    """

    prefill_lens: tuple[int, ...] = (16, 128, 512)
    kv_cache_len: int = 1280
    composites: tuple[str, ...] = ()
    mask_input: bool = False
    kv_cache_dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefill_lens", tuple(sorted(set(self.prefill_lens))))
        for name in self.composites:
            if name not in COMPOSITES:
                raise ConversionError(
                    f"there is no composite '{name}'", did_you_mean(name, COMPOSITES)
                )
        if self.kv_cache_dtype not in KV_CACHE_DTYPES:
            raise ConversionError(
                f"a KV cache cannot hold {self.kv_cache_dtype}",
                f"choose one of {', '.join(KV_CACHE_DTYPES)}",
            )
        own_layout = [name for name in (CACHE_UPDATE, RUNTIME_BMM) if name in self.composites]
        if own_layout and self.kv_cache_dtype != "float32":
            raise ConversionError(
                f"{own_layout[0]} is drawn around float32 caches, not {self.kv_cache_dtype}",
                "leave out the one or the other",
            )

    @property
    def signatures(self) -> dict[str, int]:
        """Each signature's name and its T, the longest prefill first, `decode` last."""
        lens = sorted(self.prefill_lens, reverse=True)
        return {**{prefill_signature(n): n for n in lens}, DECODE: 1}


def check_spec(spec: ExportSpec, max_position_embeddings: int) -> None:
    """Refuse what the runtimes could not run, or would run wrongly.

    Raises:
        ConversionError: no prefill length, one longer than the cache, a cache longer than the
            model's positions, or lengths whose padding would overrun the cache.
    """
    lens, cache = spec.prefill_lens, spec.kv_cache_len
    if not lens or min(lens) < 1:
        raise ConversionError(
            f"prefill lengths are {list(lens)}, expected one or more positive numbers",
            "for example --prefill 16,128,512",
        )
    if max(lens) > cache:
        raise ConversionError(
            f"prefill length {max(lens)} is longer than the KV cache of {cache} tokens",
            f"pass --kv-cache-len {max(lens)} or more, or a shorter --prefill",
        )
    if cache > max_position_embeddings:
        raise ConversionError(
            f"KV cache of {cache} tokens is longer than the {max_position_embeddings} positions "
            "the model was trained for",
            f"pass --kv-cache-len {max_position_embeddings} or less",
        )
    if cache < MIN_KV_CACHE_LEN:
        raise ConversionError(
            f"KV cache of {cache} tokens has no room for a prompt and an answer, expected at "
            f"least {MIN_KV_CACHE_LEN}",
            f"pass --kv-cache-len {MIN_KV_CACHE_LEN} or more",
        )
    overrun = _first_overrun(lens, cache)
    if overrun is not None:
        prompt, position = overrun
        raise ConversionError(
            f"with prefill lengths {list(lens)} a prompt of {prompt} tokens ends in a chunk of "
            f"{lens[0]} at position {position}, past the KV cache of {cache}: the runtime would "
            "shift the chunk over earlier tokens",
            _fitting(lens, cache, max_position_embeddings),
        )


def fitting_spec(
    max_position_embeddings: int,
    prefill_lens: Sequence[int] | None = None,
    kv_cache_len: int | None = None,
    composites: Sequence[str] = (),
    *,
    mask_input: bool = False,
    kv_cache_dtype: str = "float32",
) -> ExportSpec:
    """Fill in what was not asked for, so that it fits the model and what was."""
    usual = ExportSpec()
    cache = min(usual.kv_cache_len, max_position_embeddings)
    if kv_cache_len is not None:
        cache = kv_cache_len
    if prefill_lens is None:
        prefill_lens = [n for n in usual.prefill_lens if n <= cache] or [cache]
    smallest = min(prefill_lens, default=0)
    if kv_cache_len is None and 0 < smallest <= cache:
        cache -= cache % smallest  # a prompt's last chunk is padded to the smallest length
    return ExportSpec(tuple(prefill_lens), cache, tuple(composites), mask_input, kv_cache_dtype)


def check_encoder_lens(spec: ExportSpec, longest: int) -> None:
    """Refuse lengths of an encoder's input that are not positive or that it cannot take.

    Raises:
        ConversionError: no length, or one out of bounds.
    """
    lens = spec.prefill_lens
    if not lens or min(lens) < 1:
        raise ConversionError(
            f"input lengths are {list(lens)}, expected one or more positive numbers",
            "for example --prefill 128,512",
        )
    if max(lens) > longest:
        raise ConversionError(
            f"input length {max(lens)} is longer than the {longest} tokens that the model takes",
            f"pass a --prefill of {longest} or less",
        )


def _fitting(lens: tuple[int, ...], cache: int, longest: int) -> str:
    smallest = lens[0]
    if any(n % smallest for n in lens):
        multiples = ",".join(str(-(-n // smallest) * smallest) for n in lens)
        return f"make each length a multiple of the smallest: --prefill {multiples}"
    above = -(-cache // smallest) * smallest
    fitting = above if above <= longest else above - smallest
    return f"make the cache a multiple of {smallest}: --kv-cache-len {fitting}"


def prefill_chunks(prompt: int, prefill_lens: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the (position, signature length) calls that LiteRT-LM makes for a prompt.

    The largest length that fits is used again and again; the rest is padded to the smallest.
    """
    chunks, position = [], 0
    while position < prompt:
        rest = prompt - position
        length = max((n for n in prefill_lens if n <= rest), default=min(prefill_lens))
        chunks.append((position, length))
        position += min(length, rest)
    return chunks


def _first_overrun(lens: tuple[int, ...], cache: int) -> tuple[int, int] | None:
    """Find a prompt whose last, padded chunk would not fit, as (prompt, position)."""
    # A chunk reaches past its prompt by less than its length, so only the longest can overrun.
    for prompt in range(max(1, cache - lens[0] + 1), cache):
        position, length = prefill_chunks(prompt, lens)[-1]
        if position + length > cache:
            return prompt, position
    return None
