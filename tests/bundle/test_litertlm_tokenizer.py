"""`.litertlm` bundles that carry a `tokenizer.json`."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

from edgegen.bundle import (
    GenerationParameters,
    SentencePieceTokenizer,
    open_bundle,
    write_bundle,
)
from edgegen.bundle.derive import convert_bundle
from edgegen.bundle.litertlm_sections import read_header
from edgegen.bundle.tokenizers.hugging_face import HfTokenizer, open_hf_tokenizer
from edgegen.errors import BundleError, EdgegenError, TokenizerError

PARAMETERS = GenerationParameters(start_token="<s>", stop_tokens=("</s>",))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> HfTokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(["to be or not to be that is the question"] * 9, trainer)
    path = tmp_path_factory.mktemp("hf") / "tokenizer.json"
    made.save(str(path))
    return open_hf_tokenizer(path)


@pytest.fixture
def bundle(tmp_path: Path, fake_tflite: Path, tokenizer: HfTokenizer) -> Path:
    return write_bundle(fake_tflite, tokenizer, PARAMETERS, tmp_path / "m.litertlm").path


def test_the_tokenizer_is_carried_as_it_is(bundle: Path, tokenizer: HfTokenizer) -> None:
    found = open_bundle(bundle).tokenizer

    assert isinstance(found, HfTokenizer)
    assert found.file.text == tokenizer.file.text
    assert found.encode("to be, näh") == tokenizer.encode("to be, näh")


def test_litert_lm_builder_stores_it_the_same_way(
    bundle: Path, tokenizer: HfTokenizer, tmp_path: Path
) -> None:
    from litert_lm_builder import LitertLmFileBuilder
    from litert_lm_builder.litertlm_builder import DType, Metadata

    builder = LitertLmFileBuilder().add_system_metadata(Metadata("a", "b", DType.STRING))
    builder.add_hf_tokenizer(str(tokenizer.path))
    with (tmp_path / "theirs").open("wb") as file:
        builder.build(file)

    def section(path: Path) -> bytes:
        (found,) = (s for s in read_header(path).sections if s.data_type == "HF_Tokenizer_Zlib")
        return path.read_bytes()[found.offset : found.offset + found.size]

    assert section(bundle) == section(tmp_path / "theirs")


def spoiled(bundle: Path, content: bytes) -> Path:
    """Put other bytes in place of the packed tokenizer."""
    member = open_bundle(bundle).member("HF_TOKENIZER")
    data = bytearray(bundle.read_bytes())
    assert len(content) <= member.size
    data[member.offset : member.offset + member.size] = content.ljust(member.size, b"\0")
    bundle.write_bytes(data)
    return bundle


def test_what_is_not_zlibs_is_told(bundle: Path) -> None:
    with pytest.raises(BundleError) as caught:
        open_bundle(spoiled(bundle, (100).to_bytes(8, "little") + b"????"))
    assert caught.value.message.startswith(f"the tokenizer of {bundle} is damaged: Error -3")


@pytest.mark.parametrize("said", [0, 99, 10_000, 2**63])
def test_another_size_than_was_said_is_told(bundle: Path, said: int) -> None:
    packed = said.to_bytes(8, "little") + zlib.compress(b" " * 100)
    with pytest.raises(BundleError) as caught:
        open_bundle(spoiled(bundle, packed))
    assert caught.value.message == (
        f"the tokenizer of {bundle} should have {said} bytes unpacked, and has not"
    )


def test_a_zip_bomb_stays_small(bundle: Path) -> None:
    from edgegen.metering import peak_rss_bytes

    bomb = (50).to_bytes(8, "little") + zlib.compress(bytes(1_000_000), 9)
    before = peak_rss_bytes()
    with pytest.raises(BundleError, match="50 bytes unpacked, and has not"):
        open_bundle(spoiled(bundle, bomb))
    after = peak_rss_bytes()
    assert before is not None
    assert after is not None
    assert after - before < 64 * 1024**2


def test_what_is_no_tokenizer_is_told(bundle: Path) -> None:
    with pytest.raises(EdgegenError, match="is not JSON"):
        open_bundle(spoiled(bundle, (3).to_bytes(8, "little") + zlib.compress(b"{{{")))


def test_a_task_does_not_take_it(tmp_path: Path, fake_tflite: Path, tokenizer: HfTokenizer) -> None:
    with pytest.raises(BundleError) as caught:
        write_bundle(fake_tflite, tokenizer, PARAMETERS, tmp_path / "m.task")
    assert caught.value.message == (
        f"{tokenizer.path} is a tokenizer.json, and a .task carries SentencePiece models"
    )
    assert not (tmp_path / "m.task").exists()


def test_a_task_of_it_has_a_converted_tokenizer_and_says_what_that_costs(
    bundle: Path, tmp_path: Path, tokenizer: HfTokenizer
) -> None:
    made = convert_bundle(bundle, tmp_path / "m.task", max_mismatch_rate=0.05)

    found = made.bundle.tokenizer
    assert isinstance(found, SentencePieceTokenizer)
    assert found.encode("to be or not to be") == tokenizer.encode("to be or not to be")
    (lost,) = [line for line in made.not_carried if line.startswith("the tokenizer.json: ")]
    assert re.fullmatch(
        r"the tokenizer\.json: of \d+ texts \d+ have other tokens, or come back otherwise, in the "
        r"SentencePiece model that stands for it",
        lost,
    )


def test_a_conversion_with_losses_is_refused_unless_allowed(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="cannot be converted without loss") as caught:
        convert_bundle(bundle, tmp_path / "m.task")
    assert "--max-mismatch-rate" in str(caught.value.hint)
    assert not (tmp_path / "m.task").exists()


def test_a_task_needs_the_start_token_that_a_litertlm_may_lack(
    fake_tflite: Path, tmp_path: Path, tokenizer: HfTokenizer
) -> None:
    bare = GenerationParameters(start_token="", stop_tokens=("</s>",))
    source = write_bundle(fake_tflite, tokenizer, bare, tmp_path / "m.litertlm").path
    with pytest.raises(TokenizerError, match="no start token is known"):
        convert_bundle(source, tmp_path / "m.task")
