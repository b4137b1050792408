"""Bundles with one defect each, made as their authors would make them; and good ones."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from edgegen.bundle import GenerationParameters, SentencePieceTokenizer, open_bundle
from edgegen.bundle.chat.fit import with_prompt_texts
from edgegen.bundle.contents import Contents, Part
from edgegen.bundle.formats import write_contents
from edgegen.contract import TASK_METADATA, TASK_MODEL, TASK_TOKENIZER
from tests.bundle.conftest import PARAMETERS
from tests.bundle.doctor.models import Made

Convert = Callable[[Made], Path]

TURN_END = "<end_of_turn>"
TEMPLATE = (
    "{% for message in messages %}<start_of_turn>{{ message.role }}\n{{ message.content }}"
    "<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>assistant\n{% endif %}"
)


def bundle(
    tflite: Path,
    tokenizer: SentencePieceTokenizer,
    output: Path,
    parameters: GenerationParameters = PARAMETERS,
) -> Path:
    """Bundle a model without the checks that `write_bundle` makes first."""
    models = {TASK_MODEL: Part(tflite, 0, tflite.stat().st_size)}
    return write_contents(Contents(models, tokenizer, parameters), output).path


def changed(source: Path, output: Path, **changes: object) -> Path:
    """Write a bundle anew with other contents."""
    return write_contents(replace(open_bundle(source).contents, **changes), output).path


def chat_tokenizer(tokenizer: SentencePieceTokenizer) -> SentencePieceTokenizer:
    """Give up the two rarest characters for the tokens around a turn."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(tokenizer.proto)
    for piece, name in zip(proto.pieces[-2:], ("<start_of_turn>", TURN_END), strict=True):
        piece.piece = name
        piece.type = sentencepiece_model_pb2.ModelProto.SentencePiece.USER_DEFINED
    return SentencePieceTokenizer(tokenizer.path, proto.SerializeToString())


def chat(demo_task: Path, output: Path, stop: str = TURN_END) -> Path:
    """The shipped model as a chat model; what it answers is verse all the same."""
    parameters = GenerationParameters("<s>", ("</s>", stop), chat_template=TEMPLATE)
    parameters, _ = with_prompt_texts(parameters)
    return changed(
        demo_task,
        output,
        tokenizer=chat_tokenizer(open_bundle(demo_task).tokenizer),
        parameters=parameters,
    )


def other_tokenizer(demo_task: Path, lines: list[str]) -> SentencePieceTokenizer:
    """A tokenizer of the same kind and size as the shipped one, trained on other texts."""
    size = open_bundle(demo_task).tokenizer.vocab_size
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=size,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        num_threads=1,
        minloglevel=2,
    )
    return SentencePieceTokenizer(Path("other.model"), model.getvalue())


def zipped(demo_task: Path, output: Path, order: tuple[str, ...], method: int) -> Path:
    """What a zip program makes of the members."""
    opened, whole = open_bundle(demo_task), demo_task.read_bytes()
    with zipfile.ZipFile(output, "w", compression=method) as archive:
        for name in order:
            member = opened.member(name)
            archive.writestr(name, whole[member.offset : member.offset + member.size])
    return output


def cut_model(demo_task: Path, output: Path) -> Path:
    """Bundle what a download that was cut off left of the model."""
    opened = open_bundle(demo_task)
    offset, size = opened.model_span
    cut = output.with_suffix(".tflite")
    cut.write_bytes(demo_task.read_bytes()[offset : offset + size * 9 // 10])
    return bundle(cut, opened.tokenizer, output)


AS_MEDIAPIPE = (TASK_MODEL, TASK_TOKENIZER, TASK_METADATA)
METADATA_FIRST = (TASK_METADATA, TASK_TOKENIZER, TASK_MODEL)
