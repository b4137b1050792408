from __future__ import annotations

import dataclasses
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.bundle.metadata import metadata_bytes, parse_metadata
from edgegen.bundle.parameters import (
    METADATA_FIELDS,
    PROMPT_FIELDS,
    GenerationParameters,
    Sampler,
)
from edgegen.errors import BundleError

# What a C string and a protobuf string can both hold.
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
PARAMETERS = st.builds(
    GenerationParameters,
    start_token=TEXTS,
    stop_tokens=st.lists(TEXTS, max_size=4).map(tuple),
    enable_bytes_to_unicode_mapping=st.booleans(),
    **dict.fromkeys(PROMPT_FIELDS, TEXTS),
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


PLAIN = GenerationParameters("<s>", ("</s>",))


@pytest.mark.parametrize(
    "parameters",
    [
        PLAIN,
        CHAT,
        dataclasses.replace(PLAIN, enable_bytes_to_unicode_mapping=True),
        dataclasses.replace(PLAIN, system_prompt="Be brief.\n", prompt_prefix_user="<U>"),
        dataclasses.replace(PLAIN, sampler=Sampler(top_k=3), max_tokens=9, chat_template="{{x}}"),
    ],
)
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
            system_prompt=parameters.system_prompt,
            **{
                **{name: getattr(parameters, name) for name in METADATA_FIELDS},
                "stop_tokens": list(parameters.stop_tokens),
            },
        )
    )

    with zipfile.ZipFile(tmp_path / "theirs.task") as theirs:
        assert metadata_bytes(parameters) == theirs.read("METADATA")


@pytest.mark.parametrize("affixed", [False, True])
def test_a_system_prompt_stands_where_no_affix_of_the_system_does(affixed: bool) -> None:
    prefix = "<S>" if affixed else ""
    parameters = dataclasses.replace(PLAIN, system_prompt="é", prompt_prefix_system=prefix)

    found = parse_metadata(metadata_bytes(parameters))

    # MediaPipe's bundler refuses both, its generator drops the prefix.
    assert found == dataclasses.replace(parameters, system_prompt="" if affixed else "é")


@pytest.mark.parametrize("data", [b"\x3a\x01\x01", b"\x38\x01", b"\x3a\x02\x02\x01"])
def test_the_mapping_of_bytes_is_read_packed_or_not(data: bytes) -> None:
    assert parse_metadata(data).enable_bytes_to_unicode_mapping


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
    others = b"\x78\x01" + b"\x09" + bytes(8) + b"\x15" + bytes(4) + b"\x5a\x02UR"

    assert parse_metadata(others + b"\x32\x03<s>") == GenerationParameters("<s>", ())


def test_a_nul_character_is_refused_rather_than_cut_off() -> None:
    with pytest.raises(BundleError, match="holds a NUL character"):
        metadata_bytes(GenerationParameters("<s>", ("</s>",), prompt_prefix_user="a\0b"))


def test_a_missing_bundler_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgegen.bundle import mediapipe_generator

    mediapipe_generator._loaded.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BundleError) as caught:
        metadata_bytes(GenerationParameters("<s>", ("</s>",)))
    assert caught.value.message == (
        "writing a bundle needs MediaPipe's bundler, which cannot be imported: No module named "
        "'mediapipe'"
    )
    assert 'pip install "edgegen[convert]"' in str(caught.value.hint)


def test_another_layout_of_mediapipe_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgegen.bundle import mediapipe_generator

    mediapipe_generator._loaded.cache_clear()
    monkeypatch.setattr(mediapipe_generator, "_CORE", "json")  # which has no such module
    with pytest.raises(BundleError, match="which cannot be imported: No module named 'json"):
        metadata_bytes(GenerationParameters("<s>", ("</s>",)))


def test_writing_metadata_imports_next_to_nothing() -> None:
    code = (
        "import sys; from edgegen.bundle.metadata import metadata_bytes\n"
        "from edgegen.bundle.parameters import GenerationParameters\n"
        "metadata_bytes(GenerationParameters('<s>', ('</s>',)))\n"
        "print(sorted({'torch', 'jax', 'cv2', 'mediapipe'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
