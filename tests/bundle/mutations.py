"""Ways to spoil a bundle: what falls over in the field, and what somebody might try on purpose."""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Mutation = Callable[["Base", random.Random], bytes]

_NUMBERS = (0, 1, 2, 3, 4, 7, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_LARGE = (*_NUMBERS, 2**33, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_NAMES = (
    "../../evil",
    "/etc/passwd",
    "C:\\evil",
    "a/../../b",
    "..\\..\\evil",
    "\0",
    "",
    ".",
    "x" * 5000,
    "\ud7ff\U0001f600",
    "TF_LITE_PREFILL_DECODE/",
    "METADATA ",
)
_DOCUMENTS = (
    "[" * 100_000,
    '{"format": "edgegen.generation", "version": 1e999}',
    '{"format": "edgegen.generation", "version": 1, "parameters": {}}',
    '{"a": ' * 5000 + "1" + "}" * 5000,
    "\ufeff{}",
    "NaN",
    "1" * 100_000,
)


@dataclass(frozen=True)
class Base:
    """A good bundle.

    Attributes:
        content: Its bytes.
        spans: Name -> (offset, size) of each member.
    """

    content: bytes
    spans: dict[str, tuple[int, int]]

    @property
    def is_task(self) -> bool:
        return not self.content.startswith(b"LITERTLM")

    def members(self) -> dict[str, bytes]:
        return {name: self.content[a : a + n] for name, (a, n) in self.spans.items()}

    def structure(self, rng: random.Random) -> int:
        """Return a place where a flipped byte is likely to matter."""
        name = rng.choice([*self.spans, ""])
        offset, size = self.spans.get(name, (0, 0))
        if name and rng.random() < 0.8:
            return offset + rng.randrange(size)
        ends = (
            range(min(64, len(self.content))),
            range(len(self.content) - 700, len(self.content)),
        )
        return max(0, rng.choice(rng.choice(ends)))


def truncated(base: Base, rng: random.Random) -> bytes:
    cuts = [rng.randrange(len(base.content)), rng.randrange(256), len(base.content) - 1]
    return base.content[: rng.choice(cuts)]


def bits_flipped(base: Base, rng: random.Random) -> bytes:
    content = bytearray(base.content)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        content[base.structure(rng)] ^= 1 << rng.randrange(8)
    return bytes(content)


def numbers_replaced(base: Base, rng: random.Random) -> bytes:
    """Offsets, sizes and counts that lie."""
    content = bytearray(base.content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        form = rng.choice(("<H", "<L", "<Q"))
        width = struct.calcsize(form)
        place = min(base.structure(rng), len(content) - width) // rng.choice((1, 4)) * 1
        struct.pack_into(form, content, place, rng.choice(_LARGE) % 2 ** (8 * width))
    return bytes(content)


def counts_in_the_model(base: Base, rng: random.Random) -> bytes:
    """Vectors of a flatbuffer that claim to be long: a count stands before its elements."""
    offset, size = next(span for name, span in base.spans.items() if "TF" in name.upper())
    content = bytearray(base.content)
    for _ in range(rng.choice((1, 4, 16))):
        place = offset + 4 * rng.randrange(size // 4)
        (count,) = struct.unpack_from("<L", content, place)
        if count < 10_000:
            struct.pack_into("<L", content, place, rng.choice((count * 1000 + 1, 10**6, 2**29)))
    return bytes(content)


def pieces_moved(base: Base, rng: random.Random) -> bytes:
    content = base.content
    a, b = sorted(rng.randrange(len(content)) for _ in range(2))
    kinds = (
        content[:a] + content[b:],
        content[:b] + content[a:b] + content[b:],
        content[:a] + rng.randbytes(b - a) + content[b:],
        content[:a] + bytes(b - a) + content[b:],
        content + content[a:b],
        rng.randbytes(rng.randrange(4096)) + content,
    )
    return rng.choice(kinds)


def packed_anew(base: Base, rng: random.Random) -> bytes:
    """A zip whose directory is right and whose members are not."""
    members = base.members()
    names = [*members]
    victim = rng.choice(names)
    kind = rng.randrange(7)
    method = zipfile.ZIP_STORED
    if kind == 0:
        members[victim] = members[victim][: rng.randrange(len(members[victim]) + 1)]
    elif kind == 1:
        members[victim] = bits(members[victim], rng)
    elif kind == 2:
        members[rng.choice(_NAMES).encode("utf-8", "replace").decode()] = b"evil"
    elif kind == 3:  # a bomb: a thousand times its size
        members[victim] = bytes(20 * 1024**2)
        method = zipfile.ZIP_DEFLATED
    elif kind == 4:
        members |= {f"M{i}": b"" for i in range(rng.choice((10, 100, 3000)))}
    elif kind == 5:
        members["EDGEGEN_GENERATION"] = rng.choice(_DOCUMENTS).encode()
    else:
        names = [*names, victim]  # twice
    out = io.BytesIO(b"\0\0\0\0" if rng.random() < 0.9 else b"")
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "a", compression=method) as archive:
        for name in dict.fromkeys(members) if kind != 6 else names:
            # What comes after a NUL, `zipfile` leaves out itself.
            archive.writestr(name.partition("\0")[0] or " ", members[name], method)
    content = out.getvalue()
    return bits(content, rng) if rng.random() < 0.2 else content


def sections_spoiled(base: Base, rng: random.Random) -> bytes:
    """A `.litertlm` whose header is right and whose sections are not."""
    content = bytearray(base.content)
    name = rng.choice([*base.spans])
    offset, size = base.spans[name]
    part = bytes(content[offset : offset + size])
    kind = rng.randrange(4)
    if kind == 0:
        part = bits(part, rng)
    elif kind == 1:
        part = zlib.compress(bytes(50 * 1024**2))[:size]
    elif kind == 2:
        part = rng.choice(_DOCUMENTS).encode()[:size]
    else:
        part = rng.randbytes(size)
    content[offset : offset + size] = part.ljust(size, b"\0")
    return bytes(content)


def text_spoiled(base: Base, rng: random.Random) -> bytes:
    """Values of the side section that are no such values, or a template that does not end."""
    name = next((n for n in base.spans if n in ("EDGEGEN_GENERATION", "GenericBinaryData")), None)
    if name is None:
        return bits_flipped(base, rng)
    offset, size = base.spans[name]
    document = json.loads(base.content[offset : offset + size])
    values = (
        -1,
        2**70,
        1e300,
        None,
        [],
        [[[]]],
        {"": ""},
        "x" * 1000,
        True,
        ["</s>"] * 300,
        "{% for i in range(10**9) %}{% endfor %}",
        "{{ 'x' * 10**10 }}",
        "{{ messages[0].__class__.__mro__ }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    )
    target = document["parameters"] if rng.random() < 0.8 else document
    target[rng.choice([*target, "chat_template", "unknown"])] = rng.choice(values)
    text = json.dumps(document).encode()
    if not base.is_task:
        return base.content[:offset] + text[:size].ljust(size) + base.content[offset + size :]
    out = io.BytesIO(b"\0\0\0\0")
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "a") as archive:
        for member, data in base.members().items():
            archive.writestr(member, text if member == name else data)
    return out.getvalue()


def model_multiplied(base: Base, rng: random.Random) -> bytes:
    """A small model that claims to be large: signatures, graphs or tensors many times over."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    name, (offset, size) = next(
        item for item in base.spans.items() if "PREFILL_DECODE" in item[0].upper()
    )
    model = schema.ModelT.InitFromObj(
        schema.Model.GetRootAs(base.content[offset : offset + size], 0)
    )
    times = rng.choice((10, 100, 300, 2000))
    kind = rng.randrange(4)
    if kind == 0:
        model.signatureDefs = _renamed(model.signatureDefs, times)
    elif kind == 1:
        model.subgraphs = model.subgraphs * min(times, 100)
    elif kind == 2:
        for tensor in model.subgraphs[0].tensors:
            tensor.name = b"x" * (times * 100)
    else:
        model.subgraphs[0].tensors[0].shape = [1] * times
        model.operatorCodes = model.operatorCodes * min(times, 100)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    spoiled = bytes(builder.Output())
    if not base.is_task:
        # The sections lie where they lay: what does not fit is cut off.
        return (
            base.content[:offset]
            + spoiled[:size].ljust(size, b"\0")
            + base.content[offset + size :]
        )
    out = io.BytesIO(b"\0\0\0\0")
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "a") as archive:
        for member, data in base.members().items():
            archive.writestr(member, spoiled if member == name else data)
    return out.getvalue()


def _renamed(definitions: list[Any], times: int) -> list[Any]:
    made = []
    for number in range(times):
        definition = copy.copy(definitions[number % len(definitions)])
        definition.signatureKey = f"prefill_{number + 1}".encode()
        made.append(definition)
    return made


def bits(data: bytes, rng: random.Random) -> bytes:
    spoiled = bytearray(data)
    for _ in range(rng.choice((1, 2, 8)) if spoiled else 0):
        spoiled[rng.randrange(len(spoiled))] ^= 1 << rng.randrange(8)
    return bytes(spoiled)


COMMON: tuple[Mutation, ...] = (
    truncated,
    bits_flipped,
    bits_flipped,
    numbers_replaced,
    numbers_replaced,
    counts_in_the_model,
    counts_in_the_model,
    pieces_moved,
)
OF_TASK: tuple[Mutation, ...] = (*COMMON, packed_anew, packed_anew, packed_anew)
OF_LITERTLM: tuple[Mutation, ...] = (*COMMON, sections_spoiled, sections_spoiled, sections_spoiled)


def mutate(base: Base, seed: int) -> tuple[str, bytes]:
    """Return the mutation's name and the spoiled bundle; the same seed gives the same."""
    rng = random.Random(seed)
    mutations = OF_TASK if base.is_task else OF_LITERTLM
    # Each template is rendered in a process of its own, and a model is built anew: not too often.
    slow = {0: text_spoiled, 1: model_multiplied}
    mutation = slow.get(seed % 25) or rng.choice(mutations)
    return mutation.__name__, mutation(base, rng)
