from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.bundle.parameters import PROMPT_FIELDS, GenerationParameters, Sampler
from edgegen.bundle.side_section import (
    MAX_SIDE_SECTION_BYTES,
    merge_side_section,
    parse_side_section,
    side_section_bytes,
)
from edgegen.errors import BundleError

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
IDS = st.integers(0, 2**31 - 1)
COUNTS = st.none() | st.integers(1, 2**31 - 1)
TABLES = st.dictionaries(TEXTS, TEXTS, max_size=3)
PARAMETERS = st.builds(
    GenerationParameters,
    start_token=TEXTS,
    stop_tokens=st.lists(TEXTS, max_size=4).map(tuple),
    **dict.fromkeys(PROMPT_FIELDS, TEXTS),
    enable_bytes_to_unicode_mapping=st.booleans(),
    system_prompt=TEXTS,
    start_token_id=st.none() | IDS,
    stop_token_ids=st.lists(IDS, max_size=4).map(tuple),
    pad_token=st.none() | TEXTS,
    pad_token_id=st.none() | IDS,
    sampler=st.builds(
        Sampler,
        do_sample=st.none() | st.booleans(),
        temperature=st.none() | st.floats(0, 100),
        top_k=COUNTS,
        top_p=st.none() | st.floats(0, 1),
        seed=st.none() | IDS,
    ),
    max_tokens=COUNTS,
    max_output_tokens=COUNTS,
    chat_template=st.none() | TEXTS,
    template_tokens=TABLES,
    supports_thinking=st.booleans(),
    sources=TABLES,
)
PLAIN = GenerationParameters("<s>", ("</s>",))
HINT = "make the bundle again; engines run it all the same"


@given(parameters=PARAMETERS)
def test_what_is_written_reads_back_the_same(parameters: GenerationParameters) -> None:
    data = side_section_bytes(parameters)

    found = parse_side_section(data)
    assert found == parameters
    assert found.sources == parameters.sources
    assert side_section_bytes(found) == data


def test_only_what_is_said_is_written() -> None:
    parameters = dataclasses.replace(PLAIN, sampler=Sampler(top_k=3), system_prompt="é")

    assert json.loads(side_section_bytes(parameters)) == {
        "format": "edgegen.generation",
        "version": 1,
        "parameters": {
            "start_token": "<s>",
            "stop_tokens": ["</s>"],
            "sampler": {"top_k": 3},
            "system_prompt": "é",
        },
    }


@given(
    data=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "ignore"))
)
def test_any_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError) as caught:
        parse_side_section(data)
    assert caught.value.message.startswith(f"the side section ({len(data)} bytes) is damaged: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
NAMES = [field.name for field in dataclasses.fields(GenerationParameters)]


@given(name=st.sampled_from(NAMES), value=JSON)
def test_any_value_is_taken_as_it_is_or_refused(name: str, value: Any) -> None:
    data = document({"start_token": "<s>", "stop_tokens": ["</s>"], name: value})
    found, refusal = None, None
    try:
        found = parse_side_section(data)
    except BundleError as error:
        refusal = error
    if found is not None:
        assert parse_side_section(side_section_bytes(found)) == found
    else:
        assert refusal is not None
        assert f": {name}" in refusal.message
        assert refusal.hint == HINT


def document(parameters: Any, **changes: Any) -> bytes:
    whole = {"format": "edgegen.generation", "version": 1, "parameters": parameters, **changes}
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[]", "it does not say format = 'edgegen.generation'"),
        (document({}, format="x"), "it does not say format = 'edgegen.generation'"),
        (document({}, version=2), "it is of version 2, and this edgegen reads 1"),
        (document({}, version=True), "it is of version True, and this edgegen reads 1"),
        (document({}, more=1), "the document has an unknown name 'more'"),
        (document([]), "parameters is no object"),
        (document({"start_token": "<s>"}), "parameters says no stop_tokens"),
        (document({"prompt": 1}), "parameters has an unknown name 'prompt'"),
        (document({"sampler": {"x": 1}}), "parameters says no start_token"),
        (
            document({"start_token": "<s>", "stop_tokens": [], "sampler": {"x": 1}}),
            "sampler has an unknown name 'x'",
        ),
        (
            document({"start_token": "<s>", "stop_tokens": ["x"] * 257}),
            "stop_tokens has 257 entries, expected at most 256",
        ),
        (
            document({"start_token": "\ud800", "stop_tokens": []}),
            "start_token holds half a character, which UTF-8 cannot write",
        ),
        (b'{"format": 1, "format": 2}', "a name stands twice in one object"),
        (b"[" * 200_000, "maximum recursion depth exceeded"),
        (b'{"format": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    ],
)
def test_damage_is_explained(data: bytes, why: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse_side_section(data)

    start = f"the side section ({len(data)} bytes) is damaged: {why}"
    assert caught.value.message[: len(start)] == start
    assert caught.value.hint == HINT


def test_a_section_that_is_too_long_is_not_read() -> None:
    with pytest.raises(BundleError) as caught:
        parse_side_section(b" " * (MAX_SIDE_SECTION_BYTES + 1))

    assert caught.value.message == "the side section has 1048577 bytes, expected at most 1048576"
    assert caught.value.hint == "shorten the chat template or the system prompt"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sampler": Sampler(temperature=float("nan"))},
            "the generation parameters cannot be written: Out of range float values are not JSON "
            "compliant: nan",
        ),
        (
            {"system_prompt": "\ud800"},
            "the generation parameters cannot be written: 'utf-8' codec can't encode character "
            "'\\ud800' in position 130: surrogates not allowed",
        ),
    ],
)
def test_what_no_json_can_hold_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError) as caught:
        side_section_bytes(dataclasses.replace(PLAIN, **changes))

    assert caught.value.message == message
    assert caught.value.hint == "numbers must be finite and texts valid Unicode"


def test_metadata_counts_where_both_speak() -> None:
    side = GenerationParameters(
        "<s>",
        ("</s>",),
        prompt_prefix_user="old",
        start_token_id=1,
        stop_token_ids=(2,),
        system_prompt="kept",
        max_tokens=9,
        sources={"prompt_prefix_user": "x.toml", "max_tokens": "x.toml"},
    )
    told = GenerationParameters("<s>", ("<e>",), prompt_prefix_user="new")

    found = merge_side_section(told, side)

    assert found == dataclasses.replace(
        side, stop_tokens=("<e>",), stop_token_ids=(), prompt_prefix_user="new"
    )
    assert found.sources == {
        "prompt_prefix_user": "METADATA",
        "stop_tokens": "METADATA",
        "max_tokens": "x.toml",
    }
    own = dataclasses.replace(told, system_prompt="METADATA's", start_token="<b>")
    assert merge_side_section(own, side).system_prompt == "METADATA's"
    assert merge_side_section(own, side).start_token_id is None
