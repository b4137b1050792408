from __future__ import annotations

import io
from pathlib import Path

import pytest

from edgegen.bundle import SentencePieceTokenizer, open_bundle, write_bundle
from edgegen.bundle.contents import RuntimeHints
from edgegen.bundle.formats import write_contents
from edgegen.bundle.litertlm_sections import read_header
from edgegen.errors import BundleError
from tests.bundle.litertlm_files import FULL, HINTS, full_bundle


@pytest.fixture
def bundle(tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer) -> Path:
    return full_bundle(tmp_path, fake_tflite, tokenizer)


def test_a_bundle_holds_what_went_in(
    bundle: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    opened = open_bundle(bundle)

    assert opened.format == "litertlm"
    assert opened.parameters == FULL
    assert opened.hints == HINTS
    assert opened.tokenizer.proto == tokenizer.proto
    assert [member.name for member in opened.members] == [
        "TFLiteModel tf_lite_prefill_decode",
        "TFLiteModel tf_lite_embedder",
        "SP_Tokenizer",
        "LlmMetadataProto",
        "GenericBinaryData",
    ]
    content = bundle.read_bytes()
    for tag in ("TF_LITE_PREFILL_DECODE", "TF_LITE_EMBEDDER"):
        member = opened.member(tag)
        assert member.offset % 16384 == 0
        span = content[member.offset : member.offset + member.size]
        assert span == fake_tflite.read_bytes()


def test_litert_lm_builders_reader_finds_the_same(bundle: Path) -> None:
    from litert_lm_builder import litertlm_peek

    out = io.StringIO()
    litertlm_peek.peek_litertlm_file(str(bundle), None, out)
    told = out.getvalue()

    for said in (
        "tf_lite_prefill_decode",
        "backend_constraint, Value (String): cpu,gpu",
        'min_runtime_version: "0.18.1"',
        "max_num_tokens: 256",
        "qwen3",
        "temperature: 0.7",
        'prefix: "<u>"',
    ):
        assert said in told, told


def test_the_same_input_gives_the_same_bytes_and_other_input_another_id(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    def made(name: str) -> Path:
        return write_bundle(fake_tflite, tokenizer, FULL, tmp_path / f"{name}.litertlm").path

    first, again = made("first"), made("again")
    assert first.read_bytes() == again.read_bytes()

    fake_tflite.write_bytes(fake_tflite.read_bytes()[:-1] + b"?")
    other = made("other")
    assert read_header(other).system["uuid"] != read_header(first).system["uuid"]


def test_an_unknown_model_type_is_refused(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    with pytest.raises(BundleError) as caught:
        write_bundle(
            fake_tflite,
            tokenizer,
            FULL,
            tmp_path / "m.litertlm",
            hints=RuntimeHints(llm_model_type="qwen4"),
        )
    assert caught.value.message == "LiteRT-LM knows no model type 'qwen4'"
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("did you mean 'qwen3'?")


def test_an_unknown_tag_is_refused(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    with pytest.raises(BundleError) as caught:
        write_bundle(
            fake_tflite,
            tokenizer,
            FULL,
            tmp_path / "m.litertlm",
            more_models={"TF_LITE_EMBEDER": fake_tflite},
        )
    assert caught.value.message == "bundles hold no model by the tag 'TF_LITE_EMBEDER'"


def test_the_other_formats_name_is_told(bundle: Path) -> None:
    path = bundle.rename(bundle.with_suffix(".task"))
    with pytest.raises(BundleError) as caught:
        open_bundle(path)
    assert caught.value.message == (
        f"{path} is a bundle, but its name does not end in .litertlm and engines go by that"
    )


def test_there_and_back_again(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    first = write_bundle(fake_tflite, tokenizer, FULL, tmp_path / "first.task")
    there = write_contents(first.contents, tmp_path / "there.litertlm")
    back = write_contents(there.contents, tmp_path / "back.task")

    assert there.parameters == FULL
    assert back.path.read_bytes() == first.path.read_bytes()
