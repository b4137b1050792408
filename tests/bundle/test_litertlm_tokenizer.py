"""`.litertlm` bundles that carry a `tokenizer.json`."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from edgegen.bundle import (
    GenerationParameters,
    SentencePieceTokenizer,
    open_bundle,
    write_bundle,
)
from edgegen.bundle.derive import convert_bundle
from edgegen.bundle.formats import write_contents
from edgegen.bundle.litertlm_sections import read_header
from edgegen.bundle.tokenizers.hugging_face import HfTokenizer, open_hf_tokenizer
from edgegen.bundle.tokenizers.tokenizer_json import MAX_BYTES
from edgegen.contract import TASK_METADATA
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
        _ = open_bundle(spoiled(bundle, (100).to_bytes(8, "little") + b"????")).tokenizer
    assert caught.value.message.startswith(f"the tokenizer of {bundle} is damaged: Error -3")


@pytest.mark.parametrize("said", [0, 99, 10_000])
def test_another_size_than_was_said_is_told(bundle: Path, said: int) -> None:
    packed = said.to_bytes(8, "little") + zlib.compress(b" " * 100)
    with pytest.raises(BundleError) as caught:
        _ = open_bundle(spoiled(bundle, packed)).tokenizer
    assert caught.value.message == (
        f"the tokenizer of {bundle} should have {said} bytes unpacked, and has not"
    )


def test_a_zip_bomb_stays_small(bundle: Path) -> None:
    from edgegen.metering import peak_rss_bytes

    bomb = (50).to_bytes(8, "little") + zlib.compress(bytes(1_000_000), 9)
    before = peak_rss_bytes()
    with pytest.raises(BundleError, match="50 bytes unpacked, and has not"):
        _ = open_bundle(spoiled(bundle, bomb)).tokenizer
    after = peak_rss_bytes()
    assert before is not None
    assert after is not None
    assert after - before < 64 * 1024**2


def test_what_is_no_tokenizer_is_told(bundle: Path) -> None:
    with pytest.raises(EdgegenError, match="is not JSON"):
        _ = open_bundle(
            spoiled(bundle, (3).to_bytes(8, "little") + zlib.compress(b"{{{"))
        ).tokenizer


@pytest.mark.parametrize("said", [MAX_BYTES + 1, 2**63])
def test_more_than_a_tokenizer_has_is_not_unpacked(bundle: Path, said: int) -> None:
    packed = said.to_bytes(8, "little") + zlib.compress(b" " * 100)
    with pytest.raises(BundleError) as caught:
        _ = open_bundle(spoiled(bundle, packed)).tokenizer
    assert caught.value.message == (
        f"the tokenizer of {bundle} should have {said} bytes unpacked, expected at most {MAX_BYTES}"
    )


def test_opening_a_bundle_does_not_read_its_tokenizer(bundle: Path) -> None:
    opened = open_bundle(spoiled(bundle, b"junk"))
    assert opened.parameters.stop_tokens == ("</s>",)
    with pytest.raises(BundleError):
        _ = opened.tokenizer


def test_the_tokenizer_is_read_where_a_token_is_named_by_its_id(bundle: Path) -> None:
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    member = open_bundle(bundle).member(TASK_METADATA)
    data = bytearray(bundle.read_bytes())
    message = llm_metadata_pb2.LlmMetadata()
    message.ParseFromString(bytes(data[member.offset : member.offset + member.size]))
    message.ClearField("start_token")  # which makes room
    message.stop_tokens[0].token_ids.ids.append(0)
    content = message.SerializeToString()
    # What is left of the section is a field that nobody knows.
    rest = member.size - len(content) - 4
    content += b"\x92\x7d" + bytes([rest & 127 | 128, rest >> 7]) + bytes(rest)
    assert len(content) == member.size
    data[member.offset : member.offset + member.size] = content
    bundle.write_bytes(data)
    assert open_bundle(bundle).parameters.stop_tokens == ("<s>",)

    with pytest.raises(BundleError, match="the tokenizer of"):
        open_bundle(spoiled(bundle, (1).to_bytes(8, "little") + b"????"))


LISTS = (b"[" + b"[]," * 2_000_000 + b"[]]", "2000002 lists and objects, expected at most 1500000")
NUMBERS = (b"[" + b"0," * 2_000_001 + b"0]", "2000001 commas, expected at most 2000000")


@pytest.mark.parametrize(("bomb", "message"), [LISTS, NUMBERS], ids=["lists", "numbers"])
def test_json_that_would_fill_the_memory_is_not_read(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, bomb: bytes, message: str
) -> None:
    packed = len(bomb).to_bytes(8, "little") + zlib.compress(bomb, 9)
    member = open_bundle(bundle).member("HF_TOKENIZER")
    with bundle.open("ab") as file:  # the section may be longer than the one that was
        file.write(bytes(len(packed)))
    data = bytearray(bundle.read_bytes())
    data[-len(packed) :] = packed
    bundle.write_bytes(data)
    opened = open_bundle(bundle)
    moved = replace(member, offset=len(data) - len(packed), size=len(packed))
    members = tuple(moved if m.role == member.role else m for m in opened.members)
    monkeypatch.setattr(json, "loads", lambda _: pytest.fail("it was read"))
    with pytest.raises(TokenizerError) as caught:
        _ = replace(opened, members=members).tokenizer
    assert caught.value.message == f"{bundle} is a tokenizer.json of {message}"


def test_a_task_does_not_take_it(tmp_path: Path, fake_tflite: Path, tokenizer: HfTokenizer) -> None:
    with pytest.raises(BundleError) as caught:
        write_bundle(fake_tflite, tokenizer, PARAMETERS, tmp_path / "m.task")
    assert caught.value.message == (
        f"{tokenizer.path} is a tokenizer.json, and a .task carries SentencePiece models"
    )
    assert not (tmp_path / "m.task").exists()


@pytest.fixture
def real(
    demo_task: Path, tmp_path: Path, tokenizer: HfTokenizer, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A model with 2048 logits, and this tokenizer, which has fewer ids than would be let pass."""
    monkeypatch.setattr("edgegen.bundle.tokenizer.MOST_PADDING", 1)
    contents = replace(open_bundle(demo_task).contents, tokenizer=tokenizer, parameters=PARAMETERS)
    return write_contents(contents, tmp_path / "real.litertlm").path


def test_a_task_of_it_has_a_converted_tokenizer_and_says_what_that_costs(
    real: Path, tmp_path: Path, tokenizer: HfTokenizer
) -> None:
    made = convert_bundle(real, tmp_path / "m.task", max_mismatch_rate=0.05)

    found = made.bundle.tokenizer
    assert isinstance(found, SentencePieceTokenizer)
    assert found.encode("to be or not to be") == tokenizer.encode("to be or not to be")
    assert found.vocab_size == 2048 > tokenizer.vocab_size
    (lost,) = [line for line in made.not_carried if line.startswith("the tokenizer.json: ")]
    assert re.fullmatch(
        r"the tokenizer\.json: of \d+ texts \d+ have other tokens, or come back otherwise, in the "
        r"SentencePiece model that stands for it",
        lost,
    )


def test_a_conversion_with_losses_is_refused_unless_allowed(real: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="cannot be converted without loss") as caught:
        convert_bundle(real, tmp_path / "m.task")
    assert "--max-mismatch-rate" in str(caught.value.hint)
    assert not (tmp_path / "m.task").exists()


def test_a_task_needs_the_start_token_that_a_litertlm_may_lack(
    fake_tflite: Path, tmp_path: Path, tokenizer: HfTokenizer
) -> None:
    bare = GenerationParameters(start_token="", stop_tokens=("</s>",))
    source = write_bundle(fake_tflite, tokenizer, bare, tmp_path / "m.litertlm").path
    with pytest.raises(TokenizerError, match="no start token is known"):
        convert_bundle(source, tmp_path / "m.task")
