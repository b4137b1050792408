from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edgegen.bundle import SentencePieceTokenizer, open_bundle, write_bundle
from edgegen.bundle.contents import RuntimeHints
from edgegen.bundle.derive import convert_bundle, edit_bundle
from edgegen.bundle.parameters import Sampler
from edgegen.errors import BundleError, OutputError, TokenizerError
from edgegen.provenance import hash_files, provenance_path
from tests.bundle.litertlm_files import FULL, HINTS


@pytest.fixture(params=[".task", ".litertlm"])
def bundle(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    fake_tflite: Path,
    tokenizer: SentencePieceTokenizer,
) -> Path:
    return write_bundle(
        fake_tflite, tokenizer, FULL, tmp_path / f"m{request.param}", hints=HINTS
    ).path


def models(path: Path) -> bytes:
    offset, size = open_bundle(path).model_span
    return path.read_bytes()[offset : offset + size]


def test_converting_says_what_is_lost(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    parameters = dataclasses.replace(FULL, enable_bytes_to_unicode_mapping=True)
    source = write_bundle(
        fake_tflite, tokenizer, parameters, tmp_path / "a.litertlm", hints=HINTS
    ).path

    there = convert_bundle(source, tmp_path / "b.task")
    assert there.not_carried == (
        "system_prompt, pad_token, pad_token_id, sampler, max_tokens, max_output_tokens, "
        "chat_template, supports_thinking: no engine reads them from a .task; they are kept in "
        "the member EDGEGEN_GENERATION, for edgegen and the app",
        "the model type qwen3",
        "that TF_LITE_PREFILL_DECODE may run on cpu, gpu only",
        "the least runtime version, 0.18.1",
    )
    assert there.bundle.parameters == parameters
    assert there.bundle.hints == RuntimeHints()

    back = convert_bundle(there.bundle.path, tmp_path / "c.litertlm")
    assert back.not_carried == ("enable_bytes_to_unicode_mapping: LiteRT-LM knows no such mapping",)
    assert models(back.bundle.path) == models(source) == fake_tflite.read_bytes()


def test_provenance_is_handed_on(bundle: Path, tmp_path: Path) -> None:
    provenance_path(bundle).write_text('{"schema": "edgegen.provenance/1", "recipe": "none"}')
    made = edit_bundle(bundle, tmp_path / f"n{bundle.suffix}", parameters={"top_k": 3})

    record = json.loads(made.provenance.read_text())
    assert record["recipe"] == "none"
    assert record["bundle_sha256"] == hash_files([made.bundle.path], "")[made.bundle.path.name]
    (step,) = record["derived"]
    assert step["operation"] == "edit"
    assert step["from_sha256"] == hash_files([bundle], "")[bundle.name]
    assert step["tools"]["edgegen"]

    again = convert_bundle(made.bundle.path, tmp_path / "last.litertlm")
    steps = json.loads(again.provenance.read_text())["derived"]
    assert [step["operation"] for step in steps] == ["edit", "convert"]


def test_an_edit_changes_what_it_was_told_and_nothing_else(bundle: Path, tmp_path: Path) -> None:
    made = edit_bundle(
        bundle,
        tmp_path / f"n{bundle.suffix}",
        parameters={"stop_tokens": ("<end_of_turn>",), "temperature": 0.5, "system_prompt": "Hm."},
    ).bundle

    assert made.parameters == dataclasses.replace(
        FULL,
        stop_tokens=("<end_of_turn>",),
        stop_token_ids=(),
        sampler=dataclasses.replace(FULL.sampler, temperature=0.5),
        system_prompt="Hm.",
    )
    assert made.parameters.sources["sampler.temperature"] == "edit"
    assert made.hints == open_bundle(bundle).hints
    assert models(made.path) == models(bundle)


def test_a_bundle_may_be_edited_in_its_place(bundle: Path) -> None:
    before = models(bundle)
    with pytest.raises(OutputError, match="exists"):
        edit_bundle(bundle, bundle, parameters={"seed": 1})

    made = edit_bundle(bundle, bundle, parameters={"seed": 1}, force=True)

    assert made.bundle.parameters.sampler.seed == 1
    assert models(bundle) == before


def test_hints_are_edited(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    source = write_bundle(fake_tflite, tokenizer, FULL, tmp_path / "m.litertlm").path
    made = edit_bundle(source, tmp_path / "n.litertlm", hints={"min_runtime_version": "0.19"})
    assert made.bundle.hints == RuntimeHints(min_runtime_version="0.19")

    task = convert_bundle(source, tmp_path / "m.task").bundle.path
    with pytest.raises(BundleError) as caught:
        edit_bundle(task, tmp_path / "n.task", hints={"min_runtime_version": "0.19"})
    assert caught.value.message == (
        f"{task} has no place for min_runtime_version, only a .litertlm has"
    )


def test_an_edit_keeps_the_format(bundle: Path, tmp_path: Path) -> None:
    other = ".task" if bundle.suffix == ".litertlm" else ".litertlm"
    with pytest.raises(BundleError) as caught:
        edit_bundle(bundle, tmp_path / f"n{other}")
    assert caught.value.message == f"{bundle} is a {bundle.suffix}, the output n{other} is not"
    assert caught.value.hint == "convert it first: edgegen bundle convert"


def test_a_token_that_the_tokenizer_lacks_is_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="stop token '<nowhere>' is not a piece of"):
        edit_bundle(
            bundle, tmp_path / f"n{bundle.suffix}", parameters={"stop_tokens": ("<nowhere>",)}
        )
    assert not (tmp_path / f"n{bundle.suffix}").exists()


def test_what_edgegen_has_no_name_for_is_kept(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    from litert_lm_builder import LitertLmFileBuilder
    from litert_lm_builder.litertlm_builder import DType, Metadata, TfLiteModelType
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    from edgegen.bundle.litertlm_sections import Item, read_header
    from edgegen.bundle.reading import read_member

    message = llm_metadata_pb2.LlmMetadata()
    message.start_token.token_str = "<s>"
    message.stop_tokens.add().token_str = "</s>"
    message.jinja_prompt_template = "{{ messages }}"
    message.channels.add().channel_name = "thought"
    message.llm_model_type.gemma3.image_tensor_height = 7
    (tmp_path / "llm.pb").write_bytes(message.SerializeToString())
    (tmp_path / "tokenizer.model").write_bytes(tokenizer.proto)
    (tmp_path / "extra").write_bytes(b"who knows")
    source = tmp_path / "foreign.litertlm"
    builder = (
        LitertLmFileBuilder()
        .add_system_metadata(Metadata("Authors", "somebody", DType.STRING))
        .add_llm_metadata(str(tmp_path / "llm.pb"))
        .add_sentencepiece_tokenizer(str(tmp_path / "tokenizer.model"))
        .add_tflite_model(
            str(fake_tflite), TfLiteModelType.PREFILL_DECODE, prefer_activation_type="fp16"
        )
        .add_tflite_model(str(fake_tflite), TfLiteModelType.AUDIO_FRONTEND)
        .add_generic_binary_data(
            str(tmp_path / "extra"),
            [Metadata("name", "theirs", DType.STRING), Metadata("level", 7, DType.INT32)],
        )
    )
    with source.open("wb") as file:
        builder.build(file)

    made = edit_bundle(source, tmp_path / "n.litertlm", parameters={"pad_token": "</s>"}).bundle

    told = llm_metadata_pb2.LlmMetadata.FromString(
        read_member(made.path, made.member("METADATA"), 10_000)
    )
    message.pad_token.token_str = "</s>"
    assert told == message
    header = read_header(made.path)
    assert header.system["Authors"] == Item("StringValue", "somebody")
    kept = {section.name: section for section in header.sections}
    model = kept["TFLiteModel tf_lite_prefill_decode"]
    assert model.items["prefer_activation_type"] == Item("StringValue", "fp16")
    theirs = [s for s in header.sections if s.items.get("name") == Item("StringValue", "theirs")]
    assert [section.items["level"] for section in theirs] == [Item("Int32", 7)]
    assert kept["TFLiteModel tf_lite_audio_frontend"].size == fake_tflite.stat().st_size
    extra = next(m for m in made.members if m.name == "GenericBinaryData" and m.role is None)
    assert read_member(made.path, extra, 100) == b"who knows"

    lost = convert_bundle(source, tmp_path / "n.task").not_carried
    assert "the section TFLiteModel {'model_type': 'tf_lite_audio_frontend'}" in lost
    for name in ("jinja_prompt_template", "channels", "llm_model_type"):
        assert f"{name} of LlmMetadata" in lost


def test_members_of_a_task_that_edgegen_has_no_name_for_are_kept(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    import zipfile

    source = write_bundle(fake_tflite, tokenizer, FULL, tmp_path / "m.task").path
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr("README", b"who knows")

    made = edit_bundle(source, tmp_path / "n.task", parameters={"seed": 2}).bundle
    with zipfile.ZipFile(made.path) as archive:
        assert archive.testzip() is None
        assert archive.read("README") == b"who knows"

    assert "the member README" in convert_bundle(source, tmp_path / "n.litertlm").not_carried


def test_samplers_are_edited_from_nothing(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    plain = dataclasses.replace(FULL, sampler=Sampler())
    source = write_bundle(fake_tflite, tokenizer, plain, tmp_path / "m.task").path
    made = edit_bundle(source, tmp_path / "n.task", parameters={"do_sample": False})
    assert made.bundle.parameters.sampler == Sampler(do_sample=False)


def test_fields_of_metadata_that_edgegen_has_no_name_for_are_kept(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    import zipfile

    from edgegen.bundle.reading import read_member

    source = write_bundle(fake_tflite, tokenizer, FULL, tmp_path / "m.task").path
    unknown = b"\xaa\x06\x03abc"  # field 101, three bytes
    with zipfile.ZipFile(source) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(source, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content + (unknown if name == "METADATA" else b""))

    made = edit_bundle(source, tmp_path / "n.task", parameters={"seed": 2}).bundle

    assert read_member(made.path, made.member("METADATA"), 10_000).endswith(unknown)


def test_a_template_can_be_taken_away(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    from edgegen.bundle.llm_metadata import template_of

    source = write_bundle(fake_tflite, tokenizer, FULL, tmp_path / "m.litertlm").path
    made = edit_bundle(source, tmp_path / "n.litertlm", parameters={"chat_template": "none"}).bundle

    assert made.parameters.chat_template is None
    assert made.foreign is not None
    assert template_of(made.foreign.metadata) is None


def test_a_new_template_makes_new_prompt_texts(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    source = write_bundle(fake_tflite, tokenizer, FULL, tmp_path / "m.task").path
    old = dataclasses.replace(
        FULL,
        sources=dict.fromkeys([f for f in vars(FULL) if f.startswith("prompt_")], "chat template"),
    )
    write_bundle(fake_tflite, tokenizer, old, source, force=True)
    template = (
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}</s>{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    made = edit_bundle(source, tmp_path / "n.task", parameters={"chat_template": template}).bundle

    assert made.parameters.prompt_prefix_user == "[user]"
    assert made.parameters.prompt_prefix_model == "[assistant]"


def test_who_asks_for_a_temperature_samples(bundle: Path, tmp_path: Path) -> None:
    greedy = edit_bundle(
        bundle, tmp_path / f"g{bundle.suffix}", parameters={"do_sample": False}
    ).bundle.path
    made = edit_bundle(
        greedy, tmp_path / f"n{bundle.suffix}", parameters={"temperature": 0.7, "top_k": 40}
    ).bundle
    assert made.parameters.sampler.do_sample is True


def test_more_tokens_than_the_cache_has_are_refused(demo_task: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        edit_bundle(demo_task, tmp_path / "n.task", parameters={"max_tokens": 513})
    assert caught.value.message == "max_tokens is 513, but the KV cache has 512 slots"


def test_damaged_steps_of_provenance_are_told(bundle: Path, tmp_path: Path) -> None:
    provenance_path(bundle).write_text('{"derived": 5}')
    with pytest.raises(BundleError) as caught:
        edit_bundle(bundle, tmp_path / f"n{bundle.suffix}", parameters={"seed": 1})
    assert caught.value.message == (
        f"{provenance_path(bundle)} is damaged: its `derived` is no list"
    )


def test_what_was_found_of_the_source_is_not_said_of_the_edited(
    bundle: Path, tmp_path: Path
) -> None:
    record = {"check": {"text": "old"}, "chat_template": {"same": True}, "recipe": "none"}
    provenance_path(bundle).write_text(json.dumps(record))
    made = edit_bundle(
        bundle, tmp_path / f"n{bundle.suffix}", parameters={"stop_tokens": ("<end_of_turn>",)}
    )

    found = json.loads(made.provenance.read_text())
    assert "check" not in found
    assert found["generation_parameters"]["stop_tokens"] == ["<end_of_turn>"]
    assert found["derived"][0]["changed"] == ["stop_tokens"]
    assert found["derived"][0]["found_before"] == {
        "check": {"text": "old"},
        "chat_template": {"same": True},
    }


def test_an_edit_does_not_hide_damage(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    source = write_bundle(fake_tflite, tokenizer, FULL, tmp_path / "m.task").path
    offset, size = open_bundle(source).model_span
    content = bytearray(source.read_bytes())
    content[offset + size - 1] ^= 1
    source.write_bytes(content)
    for suffix in (".task", ".litertlm"):
        with pytest.raises(BundleError) as caught:
            convert_bundle(source, tmp_path / f"n{suffix}")
        assert caught.value.message.startswith(
            f"the data at byte {offset} of {source} is damaged: its CRC-32 is "
        )
        assert not (tmp_path / f"n{suffix}").exists()
