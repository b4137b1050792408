from __future__ import annotations

import copy
import dataclasses
import io
import struct
from pathlib import Path

import pytest

from edgegen.bundle import GenerationParameters, SentencePieceTokenizer, open_bundle, write_bundle
from edgegen.bundle.contents import RuntimeHints
from edgegen.bundle.formats import write_contents
from edgegen.bundle.litertlm_sections import MAX_HEADER_BYTES, Items, read_header
from edgegen.bundle.parameters import Sampler
from edgegen.errors import BundleError
from edgegen.files import insert_gap
from tests.bundle.conftest import PARAMETERS

FULL = GenerationParameters(
    start_token="<s>",
    stop_tokens=("</s>", "<end_of_turn>"),
    prompt_prefix_user="<u>",
    prompt_suffix_user="</u>\n",
    prompt_prefix_model="<m>",
    prompt_prefix_system="<sys>",
    system_prompt="Be brief.",
    start_token_id=1,
    stop_token_ids=(2, 4),
    pad_token="</s>",
    pad_token_id=2,
    sampler=Sampler(do_sample=True, temperature=0.7, top_k=40, top_p=0.95, seed=7),
    max_tokens=256,
    max_output_tokens=64,
    chat_template="{% for m in messages %}{{ m.content }}{% endfor %}",
    template_tokens={"bos_token": "<s>"},
    supports_thinking=True,
)
HINTS = RuntimeHints(
    llm_model_type="qwen3",
    backend_constraints={"TF_LITE_PREFILL_DECODE": ("cpu", "gpu"), "TF_LITE_EMBEDDER": ("cpu",)},
    min_runtime_version="0.18.1",
)


@pytest.fixture
def bundle(tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer) -> Path:
    return write_bundle(
        fake_tflite,
        tokenizer,
        FULL,
        tmp_path / "model.litertlm",
        more_models={"TF_LITE_EMBEDDER": fake_tflite},
        hints=HINTS,
    ).path


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


@pytest.mark.parametrize("suffix", [".task", ".litertlm"])
@pytest.mark.parametrize("movable", [True, False], ids=["gap", "no gap"])
def test_a_consumed_model_becomes_the_same_bundle(
    tmp_path: Path,
    fake_tflite: Path,
    tokenizer: SentencePieceTokenizer,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    movable: bool,
) -> None:
    moved = []

    def gap(path: Path, nbytes: int) -> bool:
        moved.append(movable and insert_gap(path, nbytes))
        return moved[-1]

    monkeypatch.setattr("edgegen.bundle.formats.insert_gap", gap)
    copied = write_bundle(fake_tflite, tokenizer, FULL, tmp_path / f"copied{suffix}").path

    consumed = write_bundle(
        fake_tflite, tokenizer, FULL, tmp_path / f"consumed{suffix}", consume=True
    ).path

    assert consumed.read_bytes() == copied.read_bytes()
    assert not fake_tflite.exists()
    assert moved == [movable, movable] if movable else moved == [False]


def test_a_model_is_moved_without_a_copy_where_the_file_system_can(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 10_000)

    done = insert_gap(path, 16384)

    assert path.read_bytes()[16384 if done else 0 :] == b"abc" * 10_000


@pytest.mark.parametrize(
    ("sampler", "read_back"),
    [
        (Sampler(), Sampler()),
        (Sampler(do_sample=False, top_k=3), Sampler(do_sample=False)),
        (Sampler(temperature=0.0), Sampler(do_sample=False)),
        (
            Sampler(do_sample=True, top_k=20),
            Sampler(do_sample=True, temperature=1.0, top_k=20, top_p=1.0),
        ),
        (Sampler(seed=3), Sampler(do_sample=True, temperature=1.0, top_k=50, top_p=1.0, seed=3)),
    ],
)
def test_samplers_as_the_runtime_has_them(
    tokenizer: SentencePieceTokenizer, sampler: Sampler, read_back: Sampler
) -> None:
    from edgegen.bundle.llm_metadata import llm_metadata_bytes, parse_llm_metadata

    parameters = dataclasses.replace(PARAMETERS, sampler=sampler)
    data = llm_metadata_bytes(parameters, RuntimeHints(), None)

    assert parse_llm_metadata(data, tokenizer)[0].sampler == read_back


def test_tokens_by_id_are_read_as_pieces(tokenizer: SentencePieceTokenizer) -> None:
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    from edgegen.bundle.llm_metadata import parse_llm_metadata

    message = llm_metadata_pb2.LlmMetadata()
    message.start_token.token_ids.ids.append(1)
    message.stop_tokens.add().token_ids.ids.append(2)
    parameters, _ = parse_llm_metadata(message.SerializeToString(), tokenizer)
    assert (parameters.start_token, parameters.stop_tokens) == ("<s>", ("</s>",))

    message.stop_tokens.add().token_ids.ids.extend([5, 6])
    with pytest.raises(BundleError) as caught:
        parse_llm_metadata(message.SerializeToString(), tokenizer)
    assert caught.value.message == (
        "LlmMetadata names a token of several ids, [5, 6], expected one"
    )


def test_damaged_metadata_is_told(tokenizer: SentencePieceTokenizer) -> None:
    from edgegen.bundle.llm_metadata import parse_llm_metadata

    with pytest.raises(BundleError) as caught:
        parse_llm_metadata(b"\xff\xff", tokenizer)
    assert caught.value.message.startswith("LlmMetadata (2 bytes) is damaged: ")


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


def changed(bundle: Path, at: int, content: bytes) -> Path:
    data = bytearray(bundle.read_bytes())
    data[at : at + len(content)] = content
    bundle.write_bytes(data)
    return bundle


@pytest.mark.parametrize(
    ("at", "content", "message"),
    [
        (8, struct.pack("<L", 2), "{path} is of format version 2.7.0, expected 1.x"),
        (24, struct.pack("<Q", 31), "{path} is damaged: its header would end at byte 31 of {size}"),
        (
            24,
            struct.pack("<Q", 2**40),
            "{path} is damaged: its header would end at byte 1099511627776 of {size}",
        ),
    ],
)
def test_a_damaged_header_is_told(bundle: Path, at: int, content: bytes, message: str) -> None:
    size = bundle.stat().st_size
    with pytest.raises(BundleError) as caught:
        open_bundle(changed(bundle, at, content))
    assert caught.value.message == message.format(path=bundle, size=size)


def test_the_header_is_bounded(bundle: Path) -> None:
    with bundle.open("r+b") as file:
        file.truncate(MAX_HEADER_BYTES * 3)
    end = MAX_HEADER_BYTES + 33
    with pytest.raises(BundleError) as caught:
        open_bundle(changed(bundle, 24, struct.pack("<Q", end)))
    assert "its header would end at" in caught.value.message


def test_a_cut_off_bundle_is_told(bundle: Path) -> None:
    size = bundle.stat().st_size
    with bundle.open("r+b") as file:
        file.truncate(size - 1)
    with pytest.raises(BundleError) as caught:
        open_bundle(bundle)
    assert caught.value.message == (
        f"section GenericBinaryData of {bundle} should end at byte {size}, the file ends at "
        f"{size - 1}"
    )


def repacked(bundle: Path, change: object) -> Path:
    """Change the header's tables."""
    import flatbuffers
    from litert_lm_builder import litertlm_header_schema_py_generated as schema
    from litert_lm_builder.litertlm_builder import DType, Metadata

    def pairs(items: Items) -> list[object]:
        return [
            Metadata(key, item.value, DType.STRING).to_key_value_pair()
            for key, item in items.items()
        ]

    header = read_header(bundle)
    root = schema.LiteRTLMMetaDataT(
        systemMetadata=schema.SystemMetadataT(entries=pairs(header.system)),
        sectionMetadata=schema.SectionMetadataT(
            objects=[
                schema.SectionObjectT(
                    items=pairs(section.items),
                    dataType=getattr(schema.AnySectionDataType, section.data_type),
                    beginOffset=section.offset,
                    endOffset=section.offset + section.size,
                )
                for section in header.sections
            ]
        ),
    )
    change(root)  # type: ignore[operator]
    builder = flatbuffers.Builder(0)
    builder.Finish(root.Pack(builder))
    packed = bytes(builder.Output())
    assert 32 + len(packed) <= 16384
    data = bundle.read_bytes()
    head = data[:24] + struct.pack("<Q", 32 + len(packed)) + packed
    bundle.write_bytes(head.ljust(16384, b"\0") + data[16384:])
    return bundle


def test_sections_over_each_other_are_refused(bundle: Path) -> None:
    def change(root: object) -> None:
        objects = root.sectionMetadata.objects  # type: ignore[attr-defined]
        objects[1].beginOffset = objects[0].beginOffset

    with pytest.raises(BundleError) as caught:
        open_bundle(repacked(bundle, change))
    assert caught.value.message == (
        f"{bundle} is damaged: section TFLiteModel tf_lite_embedder begins inside section "
        "TFLiteModel tf_lite_prefill_decode"
    )


def test_two_sections_of_a_kind_are_refused(bundle: Path) -> None:
    def change(root: object) -> None:
        objects = root.sectionMetadata.objects  # type: ignore[attr-defined]
        objects[1].items = objects[0].items

    with pytest.raises(BundleError) as caught:
        open_bundle(repacked(bundle, change))
    assert (
        caught.value.message == f"{bundle} has several sections TFLiteModel tf_lite_prefill_decode"
    )


@pytest.mark.parametrize(
    ("count", "what"),
    [(65, "it lists 65 sections, expected at most 64")],
)
def test_lists_are_bounded(bundle: Path, count: int, what: str) -> None:
    def change(root: object) -> None:
        metadata = root.sectionMetadata  # type: ignore[attr-defined]
        metadata.objects = metadata.objects[:1] * count

    with pytest.raises(BundleError) as caught:
        open_bundle(repacked(bundle, change))
    assert caught.value.message == f"{bundle} is damaged: {what}"


def test_items_are_bounded(bundle: Path) -> None:
    def change(root: object) -> None:
        entries = root.systemMetadata  # type: ignore[attr-defined]
        entries.entries = entries.entries[:1] * 65

    with pytest.raises(BundleError) as caught:
        open_bundle(repacked(bundle, change))
    assert caught.value.message == (
        f"{bundle} is damaged: a list has 65 items, expected at most 64"
    )


@pytest.mark.parametrize("missing", ["LlmMetadataProto", "TFLiteModel", "SP_Tokenizer"])
def test_a_missing_section_is_told(bundle: Path, missing: str) -> None:
    from litert_lm_builder import litertlm_header_schema_py_generated as schema

    kind = getattr(schema.AnySectionDataType, missing)

    def change(root: object) -> None:
        metadata = root.sectionMetadata  # type: ignore[attr-defined]
        metadata.objects = [item for item in metadata.objects if item.dataType != kind]

    with pytest.raises(BundleError, match="has no member"):
        open_bundle(repacked(bundle, change))


def test_a_section_cannot_name_itself_the_model(bundle: Path) -> None:
    """Only the kind of a section tells what it is; a name of one's own choice does not."""

    def change(root: object) -> None:
        objects = root.sectionMetadata.objects  # type: ignore[attr-defined]
        objects[-1].items[0].value.value = "TF_LITE_PREFILL_DECODE"

    opened = open_bundle(repacked(bundle, change))

    assert opened.model_span[0] == 16384
    assert [member.role for member in opened.members][-1] is None


def test_two_side_sections_are_refused(bundle: Path) -> None:
    def change(root: object) -> None:
        objects = root.sectionMetadata.objects  # type: ignore[attr-defined]
        last = copy.copy(objects[-1])
        last.beginOffset = last.endOffset
        objects.append(last)

    with pytest.raises(BundleError) as caught:
        open_bundle(repacked(bundle, change))
    assert caught.value.message == (
        f"{bundle} has several sections that are its EDGEGEN_GENERATION"
    )


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("temperature", float("nan"), "temperature is out of range, expected 0 to 100"),
        ("p", 1.5, "top_p is out of range, expected 0 to 1"),
        ("k", -3, "top_k is out of range, expected 1 to 2147483647"),
        ("seed", -5, "seed is out of range, expected 0 to 2147483647"),
    ],
)
def test_samplers_that_cannot_be_are_refused(
    tokenizer: SentencePieceTokenizer, field: str, value: float, says: str
) -> None:
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    from edgegen.bundle.llm_metadata import parse_llm_metadata

    message = llm_metadata_pb2.LlmMetadata()
    sampler = message.sampler_params
    sampler.type, sampler.k, sampler.p, sampler.temperature = sampler.TOP_P, 40, 0.9, 1.0
    setattr(sampler, field, value)
    with pytest.raises(BundleError) as caught:
        parse_llm_metadata(message.SerializeToString(), tokenizer)
    assert caught.value.message == f"LlmMetadata says what cannot be: {says}"


def test_a_model_with_another_name_is_copied(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    before = fake_tflite.read_bytes()
    (tmp_path / "other").hardlink_to(fake_tflite)

    write_bundle(fake_tflite, tokenizer, FULL, tmp_path / "m.task", consume=True)

    assert (tmp_path / "other").read_bytes() == before


@pytest.mark.parametrize("suffix", [".task", ".litertlm"])
def test_what_cannot_be_written_is_found_before_the_model_moves(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer, suffix: str
) -> None:
    before = fake_tflite.read_bytes()
    broken = dataclasses.replace(FULL, system_prompt="x" * 2_000_000)
    with pytest.raises(BundleError, match="side section"):
        write_bundle(fake_tflite, tokenizer, broken, tmp_path / f"m{suffix}", consume=True)
    assert fake_tflite.read_bytes() == before


def test_another_file_is_not_a_litertlm(tmp_path: Path) -> None:
    path = tmp_path / "m.litertlm"
    path.write_bytes(b"LITERTL?" + bytes(100))
    with pytest.raises(BundleError) as caught:
        read_header(path)
    assert caught.value.message == (
        f"{path} (108 bytes) is not a .litertlm file: it begins with b'LITERTL?', expected "
        "b'LITERTLM'"
    )


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
