"""Charsmaps: SentencePiece's rules that respell text, longest match first.

A charsmap is a double array (Darts) whose values point into a list of replacements. Keys are
bytes, not characters, so a rule may also take one byte of a character. SentencePiece's trainer
compiles charsmaps too, but only from whole characters.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping

# SentencePiece keeps this many matches of one place on its stack and looks no further.
MAX_NESTED_KEYS = 32

# The largest ones, of compatibility forms, have a quarter of a megabyte.
MAX_CHARSMAP_BYTES = 4 * 1024**2

_LEAF, _HAS_LEAF, _EXTENDED = 1 << 31, 1 << 8, 1 << 9


def compile_charsmap(rules: Mapping[bytes, bytes]) -> bytes:
    """Compile rules into what a NormalizerSpec's `precompiled_charsmap` holds.

    Args:
        rules: What to replace by what; neither holds a zero byte, no key is empty.

    Raises:
        ValueError: a rule holds a zero byte, or more than 32 keys begin one another.
    """
    texts = bytearray()
    places: dict[bytes, int] = {}
    for key, value in sorted(rules.items()):
        if not key or 0 in key or 0 in value:
            raise ValueError(f"rule {key!r} -> {value!r} is empty or holds a zero byte")
        if value not in places:
            places[value] = len(texts)
            texts += value + b"\0"
    units = _double_array({key: places[value] for key, value in rules.items()})
    trie = units.tobytes()
    return struct.pack("<I", len(trie)) + trie + bytes(texts)


def charsmap_fault(data: bytes) -> str | None:
    """Say what a charsmap is instead of one, or `None` if any text can be looked up in it.

    Libraries go from unit to unit without looking where the array ends. So every unit must lead
    to units of the array, and every value to the beginning of a character.
    """
    if not data:
        return None
    if len(data) > MAX_CHARSMAP_BYTES:
        return f"{len(data)} bytes, more than {MAX_CHARSMAP_BYTES}"
    size = int.from_bytes(data[:4], "little")
    if len(data) < 4 or not size or size % 1024 or len(data) < 4 + size:
        return f"{len(data)} bytes with a trie of {size}"
    texts = data[4 + size :]
    if texts[-1:] != b"\0" or not _is_text(texts):
        return "a trie without the texts that it leads to"
    units = array("I", data[4 : 4 + size])
    for place, unit in enumerate(units):
        if unit & _LEAF:
            value = unit ^ _LEAF
            sound = value < len(texts) and texts[value] & 0xC0 != 0x80
        else:
            base = place ^ unit >> 10 << ((unit & _EXTENDED) >> 6)
            sound = base | 255 < len(units) and not (unit & _HAS_LEAF and units[base] < _LEAF)
        if not sound:
            return f"a trie whose unit {place} leads out of it"
    return None


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _double_array(values: Mapping[bytes, int]) -> array[int]:
    """Lay the keys out as darts-clone reads them: a node's children stand at base ^ label."""
    keys = sorted(values)
    _check_nesting(keys)
    units = array("I", bytes(4 * 256))
    used = bytearray(256)
    used[0] = 1
    bases: set[int] = (
        set()
    )  # a node knows its children by label alone, so no two nodes share a base
    leaf = branch = 1  # where the last node with one child, with several, was put
    stack = [(0, 0, len(keys), 0)]  # node, keys from, to, depth
    while stack:
        node, start, stop, depth = stack.pop()
        children: list[tuple[int, int, int]] = []
        at = start
        while at < stop:
            label = keys[at][depth] if depth < len(keys[at]) else 0
            end = at + 1
            while end < stop and depth < len(keys[end]) and keys[end][depth] == label:
                end += 1
            children.append((label, at, end))
            at = end
        first = children[0][0]
        place = leaf if len(children) == 1 else branch
        while True:
            while place < len(used) and used[place]:
                place += 1
            base = place ^ first
            offset = base ^ node
            while len(used) <= base | 255:
                used.extend(bytes(256))
                units.extend([0] * 256)
            if (
                offset
                and base not in bases
                and (offset < 1 << 21 or not offset & 0xFF)
                and not any(used[base ^ label] for label, _, _ in children)
            ):
                break
            place += 1
        bases.add(base)
        if len(children) == 1:
            leaf = place
        else:
            branch = place
        units[node] |= offset << 10 if offset < 1 << 21 else offset << 2 | _EXTENDED
        for label, begin, end in children:
            used[base ^ label] = 1
            if label:
                units[base ^ label] |= label
                stack.append((base ^ label, begin, end, depth + 1))
            else:
                units[node] |= _HAS_LEAF
                units[base] = _LEAF | values[keys[begin]]
    _label_unused(units, used, bases)
    return units


def _label_unused(units: array[int], used: bytearray, bases: set[int]) -> None:
    """Give unused units labels that lead there from no node, or a zero byte would find them."""
    for block in range(0, len(units), 256):
        nobodys = next((base for base in range(block, block + 256) if base not in bases), block)
        for unit in range(block, block + 256):
            if not used[unit]:
                units[unit] |= unit & 0xFF ^ nobodys & 0xFF


def _check_nesting(keys: list[bytes]) -> None:
    open_keys: list[bytes] = []
    for key in keys:
        while open_keys and not key.startswith(open_keys[-1]):
            open_keys.pop()
        open_keys.append(key)
        if len(open_keys) > MAX_NESTED_KEYS:
            raise ValueError(f"more than {MAX_NESTED_KEYS} keys begin {key!r}")
