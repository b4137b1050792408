"""The model's entry points: names, types and shapes are those that the runtimes go by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from edgegen.bundle.doctor.findings import Remark, failed, passed, skipped, warned
from edgegen.bundle.doctor.graph import SignatureGraph
from edgegen.bundle.doctor.subject import Subject
from edgegen.bundle.flatbuffer import Signature, TensorInfo
from edgegen.contract import (
    CACHE_PREFIXES,
    DECODE,
    INPUT_POS,
    KV_CACHE_K_PREFIX,
    KV_CACHE_V_PREFIX,
    LOGITS,
    MASK,
    TOKENS,
    kv_cache_v,
    prefill_length,
    prefill_signature,
)

_EMBEDDINGS = "embeddings"
_CACHE_TYPES = ("FLOAT32", "FLOAT16")
_WRITES = ("DYNAMIC_UPDATE_SLICE",)
_AGAIN = "convert the checkpoint again with edgegen"
# Of the cache; a smallest prefill that takes up more of it makes conversations end early.
_LARGE_SHARE = 8
_SHOWN, _SHOWN_NAMES = 3, 16


def model(subject: Subject) -> Iterator[Remark]:
    """The flatbuffer is whole: every table and every constant lies within the file."""
    graphs = subject.graphs  # raises what is wrong
    for graph in graphs.values():
        for tensor in graph.tensors:
            if tensor.size and tensor.nbytes is not None and tensor.size != tensor.nbytes:
                yield failed(
                    f"constant {tensor.name!r} of {graph.name} has {tensor.size} bytes, expected "
                    f"{tensor.nbytes} for {tensor.dtype} {list(tensor.shape)}",
                    "the model is damaged: build, download or copy it again",
                )
                return
    operators = sum(len(graph.operators) for graph in graphs.values())
    yield passed(f"{len(graphs)} signatures, {operators} operators, every constant in the file")


def signatures(subject: Subject) -> Iterator[Remark]:
    """`decode` and `prefill_{T}` are there, and take and give what the engines expect."""
    found = subject.signatures
    names = ", ".join([*found][:_SHOWN_NAMES]) or "none"
    prefills = [name for name in found if prefill_length(name)]
    faults = []
    if DECODE not in found:
        faults.append(f"there is no signature {DECODE!r} among: {names}")
    if not prefills:
        faults.append(f"there is no signature {prefill_signature(128)!r} or alike among: {names}")
    for name in (*prefills, *([DECODE] if DECODE in found else [])):
        faults += _signature_faults(found[name], prefill_length(name) or 1)
    if DECODE in found:
        faults += _logits_faults(found[DECODE])
    for fault in faults[:_SHOWN]:
        yield failed(f"{fault}: LiteRT-LM does not create an engine of it", _AGAIN)
    if len(faults) > _SHOWN:
        yield failed(f"{len(faults) - _SHOWN} more such faults", _AGAIN)
    if not faults:
        yield passed(names)


def _signature_faults(signature: Signature, count: int) -> Iterator[str]:
    wanted = {TOKENS: (1, count), INPUT_POS: (count,)}
    if _EMBEDDINGS in signature.inputs:  # an embedder of its own takes the tokens
        del wanted[TOKENS]
    for name, shape in wanted.items():
        entry = signature.inputs.get(name)
        if entry is None:
            yield f"{signature.name} has no input {name!r}"
        elif (entry.dtype, entry.shape) != ("INT32", shape):
            yield f"{signature.name}: {name} is {_told(entry)}, expected INT32 {list(shape)}"


def _logits_faults(decode: Signature) -> Iterator[str]:
    logits = decode.outputs.get(LOGITS)
    if logits is None:
        yield f"{DECODE} has no output {LOGITS!r}"
    elif logits.dtype != "FLOAT32" or logits.shape[:-1] != (1, 1):
        yield f"{DECODE}: {LOGITS} is {_told(logits)}, expected FLOAT32 [1, 1, V]"


def caches(subject: Subject) -> Iterator[Remark]:
    """The same caches in every signature, in and out, with the slots in dimension 2 of K."""
    found = {
        name: signature
        for name, signature in subject.signatures.items()
        if name == DECODE or prefill_length(name)
    }
    if not found:
        yield skipped("there is neither decode nor prefill")
        return
    first = next(iter(found.values()))
    reference = _caches(first.inputs)
    if not reference:
        yield failed("there is no KV cache among the inputs", _AGAIN)
        return
    for signature in found.values():
        for kind, ends in (("inputs", signature.inputs), ("outputs", signature.outputs)):
            if _caches(ends) != reference:
                odd = _first_difference(reference, _caches(ends))
                yield failed(
                    f"the caches among the {kind} of {signature.name} are not those that "
                    f"{first.name} takes: {odd}; what one call writes the next would not read",
                    _AGAIN,
                )
                return
    odd_types = sorted({entry.dtype for entry in reference.values()} - {*_CACHE_TYPES})
    if odd_types:
        yield warned(
            f"caches are {', '.join(odd_types)}, measured are {' and '.join(_CACHE_TYPES)}"
        )
    yield from _layouts(subject, reference, found)


def _layouts(
    subject: Subject, reference: Mapping[str, TensorInfo], found: Mapping[str, Signature]
) -> Iterator[Remark]:
    axes = _slot_axes(subject.graphs.values(), reference)
    with_mask = all(MASK in signature.inputs for signature in found.values())
    pairs = 0
    for name, k in reference.items():
        if not name.startswith(KV_CACHE_K_PREFIX):
            continue
        v = reference.get(kv_cache_v(0).replace("0", name.removeprefix(KV_CACHE_K_PREFIX)))
        axis = axes.get(name, _guessed_axis(k.shape, subject.dimensions.prefill_lens))
        if len(k.shape) != 4 or v is None:
            missing = "there is no V cache to it" if v is None else "expected four dimensions"
            yield failed(f"{name} is {_told(k)}: {missing}", _AGAIN)
            return
        if axis != 2:
            say = warned if with_mask else failed
            yield say(
                f"{name} is {list(k.shape)} with the slots in dimension {axis}, expected "
                f"[1, K, S, H] with S in dimension 2: LiteRT-LM takes dimension 2 for the "
                f"cache's length and refuses prompts of {k.shape[2]} tokens and more"
                + (", unless there is a mask input, as here" if with_mask else ""),
                _AGAIN,
            )
            return
        pairs += 1
        usual = (k.shape[0], k.shape[1], k.shape[3], k.shape[2])
        if v.shape not in (usual, k.shape):
            yield failed(
                f"V cache of {name} is {list(v.shape)}, expected [1, K, H, S] {list(usual)}", _AGAIN
            )
            return
    length = subject.dimensions.kv_cache_len
    others = len(reference) - 2 * pairs
    more = f", {others} other caches" if others else ""
    kinds = "/".join(sorted({entry.dtype for entry in reference.values()}))
    yield passed(f"{pairs} layers with K and V of {length} slots, {kinds}{more}")


def prefill(subject: Subject) -> Iterator[Remark]:
    """Prefill lengths fit the cache; which prompts are refused for their padding."""
    lens, cache = subject.dimensions.prefill_lens, _cache_length(subject)
    if not lens or cache is None:
        yield skipped("there is no prefill, or no KV cache of a known length")
        return
    too_long = [length for length in lens if length > cache]
    if too_long:
        yield failed(
            f"the cache has {cache} slots, prefill_{too_long[0]} fills {too_long[0]} at once: no "
            "prompt can use it, and its graph drops what does not fit",
            "build with a longer --kv-cache-len, or without that --prefill",
        )
        return
    refused = dead_zone(lens, cache)
    last = cache - lens[0]
    later = (
        f"in a conversation, LiteRT-LM takes no further prompt once more than {last} of {cache} "
        f"slots are used, since the smallest prefill pads to {lens[0]}"
    )
    if refused:
        shown = f"{refused[0]} to {refused[-1]}" if len(refused) > 1 else str(refused[0])
        yield warned(
            f"prompts of {shown} tokens are refused (`Prefill input length exceeds available state "
            f"entries`), though the cache has {cache} slots; {later}",
            f"build with a --kv-cache-len that {lens[0]} divides, or with a smaller --prefill",
        )
    elif lens[0] * _LARGE_SHARE > cache:
        yield warned(
            f"{later} (`Chosen prefill work group size exceeds available state entries`)",
            "build with a smaller --prefill beside the others, such as 16",
        )
    else:
        yield passed(f"lengths {', '.join(map(str, lens))} in {cache} slots; {later}")


def dead_zone(lens: Sequence[int], cache: int) -> tuple[int, ...]:
    """Return the lengths of first prompts, start token included, whose padding overruns the cache.

    LiteRT-LM takes the largest prefill that fits the rest, again and again, and pads what is left
    to the smallest. Prompts of `cache` tokens and more are refused for another reason.

    Args:
        lens: Prefill lengths, ascending.
        cache: Slots of the cache.
    """
    refused = []
    for prompt in range(max(1, cache - lens[0] + 1), cache):
        rest = prompt
        for length in reversed(lens):
            rest %= length
        end = prompt if rest == 0 else prompt - rest + lens[0]
        if end > cache:
            refused.append(prompt)
    return tuple(refused)


def _cache_length(subject: Subject) -> int | None:
    """Return S, from the operators that write the cache where they tell."""
    length = subject.dimensions.kv_cache_len
    decode = subject.signatures.get(DECODE) or next(iter(subject.signatures.values()), None)
    if decode is None:
        return length
    entries = _caches(decode.inputs)
    axes = _slot_axes(subject.graphs.values(), entries)
    told = {entries[name].shape[axis] for name, axis in axes.items()}
    return min(told) if told else length


def _slot_axes(
    graphs: Iterable[SignatureGraph], entries: Mapping[str, TensorInfo]
) -> dict[str, int]:
    """Return for K and V caches the dimension along which prefill or decode writes them.

    It is the one in which the written block is shorter than the cache.
    """
    axes: dict[str, int] = {}
    for graph in graphs:
        for name, number in graph.outputs.items():
            maker = graph.maker(number)
            if name not in entries or maker is None or maker.name not in _WRITES:
                continue
            if min(maker.inputs[:2], default=-1) < 0 or len(maker.inputs) < 2:
                continue
            cache, block = (graph.tensors[i].shape for i in maker.inputs[:2])
            differing = [i for i, (a, b) in enumerate(zip(cache, block, strict=False)) if b < a]
            if len(differing) == 1 and name.startswith((KV_CACHE_K_PREFIX, KV_CACHE_V_PREFIX)):
                axes[name] = differing[0]
    return axes


def _guessed_axis(shape: Sequence[int], prefill_lens: Sequence[int]) -> int:
    """Return where the slots of a K cache must be if its writes do not tell: prefills fit there."""
    if len(shape) != 4 or not prefill_lens or shape[2] >= prefill_lens[0]:
        return 2
    return 1 if shape[1] > shape[2] else 2


def _caches(ends: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    return {name: entry for name, entry in ends.items() if name.startswith(CACHE_PREFIXES)}


def _first_difference(one: Mapping[str, TensorInfo], other: Mapping[str, TensorInfo]) -> str:
    for name in sorted({*one, *other}):
        if name not in other:
            return f"{name} is missing"
        if name not in one:
            return f"{name} is one more"
        if one[name] != other[name]:
            return f"{name} is {_told(other[name])}, not {_told(one[name])}"
    return "nothing"


def _told(entry: TensorInfo) -> str:
    return f"{entry.dtype} {list(entry.shape)}"
