from __future__ import annotations

import dataclasses
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.bundle import GenerationParameters
from edgegen.bundle.metadata import metadata_bytes, parse_metadata
from edgegen.errors import BundleError

# What a C string and a protobuf string can both hold.
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
PARAMETERS = st.builds(
    GenerationParameters,
    start_token=TEXTS,
    stop_tokens=st.lists(TEXTS, max_size=4).map(tuple),
    **{
        field.name: TEXTS
        for field in dataclasses.fields(GenerationParameters)
        if field.name.startswith("prompt_")
    },
)
CHAT = GenerationParameters(
    "<s>",
    ("</s>", "<end_of_turn>"),
    prompt_prefix_user="<start_of_turn>user\n",
    prompt_suffix_user="<end_of_turn>\n",
    prompt_prefix_model="<start_of_turn>model\n",
    prompt_suffix_model="<end_of_turn>\n",
    prompt_prefix_system="é",
)


@pytest.mark.parametrize("parameters", [GenerationParameters("<s>", ("</s>",)), CHAT])
def test_the_bytes_are_those_of_mediapipes_own_bundler(
    tmp_path: Path, proto: bytes, fake_tflite: Path, parameters: GenerationParameters
) -> None:
    from mediapipe.tasks.python.genai import bundler

    (tmp_path / "tokenizer.model").write_bytes(proto)
    bundler.create_bundle(
        bundler.BundleConfig(
            tflite_model=str(fake_tflite),
            tokenizer_model=str(tmp_path / "tokenizer.model"),
            output_filename=str(tmp_path / "theirs.task"),
            **{**vars(parameters), "stop_tokens": list(parameters.stop_tokens)},
        )
    )

    with zipfile.ZipFile(tmp_path / "theirs.task") as theirs:
        assert metadata_bytes(parameters) == theirs.read("METADATA")


@settings(deadline=None)  # the first example loads MediaPipe
@given(parameters=PARAMETERS)
def test_what_mediapipe_writes_reads_back_the_same(parameters: GenerationParameters) -> None:
    assert parse_metadata(metadata_bytes(parameters)) == parameters


@given(data=st.binary(max_size=200))
def test_any_other_bytes_are_read_or_refused_but_never_crash(data: bytes) -> None:
    refusal = None
    try:
        parse_metadata(data)
    except BundleError as error:
        refusal = error
    assert refusal is None or ("METADATA" in refusal.message and refusal.hint)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x32\x05<s>", "a field is longer than what is left"),
        (b"\xff" * 11, "a number has no end"),
        (b"\x33", "unknown wire type 3"),
        (b"\x30\x01", "a number stands where text was expected"),
        (b"\x32\x01\xff", "utf-8"),
    ],
)
def test_damage_is_explained(data: bytes, why: str) -> None:
    with pytest.raises(BundleError, match=why):
        parse_metadata(data)


def test_the_users_template_of_older_bundles_is_read() -> None:
    assert parse_metadata(b"\x2a\x04</s>\x32\x03<s>\x42\x06\x12\x01U\x1a\x01E") == (
        GenerationParameters("<s>", ("</s>",), prompt_prefix_user="U", prompt_suffix_user="E")
    )


def test_fields_of_other_kinds_are_passed_over() -> None:
    others = b"\x38\x01" + b"\x09" + bytes(8) + b"\x15" + bytes(4) + b"\x5a\x02UR"

    assert parse_metadata(others + b"\x32\x03<s>") == GenerationParameters("<s>", ())


def test_a_nul_character_is_refused_rather_than_cut_off() -> None:
    with pytest.raises(BundleError, match="holds a NUL character"):
        metadata_bytes(GenerationParameters("<s>", ("</s>",), prompt_prefix_user="a\0b"))


def test_a_missing_bundler_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python.genai.bundler", None)
    with pytest.raises(BundleError, match="writing a bundle needs MediaPipe's bundler") as caught:
        metadata_bytes(GenerationParameters("<s>", ("</s>",)))
    assert 'pip install "edgegen[convert]"' in str(caught.value.hint)
