"""The model of how engines join prefixes and suffixes, against the engines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.bundle import SentencePieceTokenizer, open_bundle, write_bundle
from edgegen.bundle.chat.affixes import (
    PROBES,
    derive,
    render_as_litert_lm,
    render_with_affixes,
    without_start,
)
from edgegen.bundle.chat.conversations import CLASSES, Conversation, talk
from edgegen.bundle.chat.rendering import Rendering
from edgegen.bundle.parameters import GenerationParameters
from tests.bundle.chat.litert_lm_chat import chat
from tests.bundle.chat.oracle import as_transformers, parameters_of
from tests.engines.mediapipe_web import texts_in_browser

TEXTS = {
    "prompt_prefix_user": "<U>",
    "prompt_suffix_user": "</U>\n",
    "prompt_prefix_model": "<M> ",
    "prompt_suffix_model": "</M>",
    "prompt_prefix_system": "<S>",
    "prompt_suffix_system": "</S>",
}
AFFIXED = GenerationParameters("<s>", ("</s>", "</M>"), **TEXTS)  # type: ignore[arg-type]


def test_each_message_stands_between_its_roles_affixes() -> None:
    dialog = talk("q", " a\n", "", system="s")

    assert render_with_affixes(AFFIXED, dialog) == ("<S>s</S><U>q</U>\n<M>  a\n</M><U></U>\n<M> ")
    assert render_with_affixes(AFFIXED, replace(dialog, generation=False)).endswith("<U></U>\n")


def test_the_parameters_system_prompt_begins_what_has_none() -> None:
    own = replace(AFFIXED, system_prompt="Be brief.")

    assert render_with_affixes(own, talk("q")) == "<S>Be brief.</S><U>q</U>\n<M> "
    assert render_with_affixes(own, talk("q", system="s")) == "<S>s</S><U>q</U>\n<M> "


MARKS = ("Zq1xa", "Zq2xb", "Zq3xc", "Zq0xs", "<s>", "user", "\n", " ", "</s>")
RENDERINGS = st.lists(st.sampled_from(MARKS), max_size=9).map("".join).map(Rendering)


@given(
    probes=st.lists(
        RENDERINGS | st.just(Rendering(None, "no")), min_size=len(PROBES), max_size=len(PROBES)
    ),
    own_system=st.booleans(),
)
def test_whatever_a_template_writes_something_or_nothing_is_read_off(
    probes: list[Rendering], own_system: bool
) -> None:
    found = derive("<s>", probes, own_system=own_system)

    assert (found.error is None) == bool(found.texts)
    if found.error is None:
        # At least what it was read off comes out again.
        texts = {**dict.fromkeys(TEXTS, ""), **found.texts}
        parameters = replace(AFFIXED, **texts)  # type: ignore[arg-type]
        begun = without_start("<s>", str(probes[1].text))
        assert begun.endswith(render_with_affixes(parameters, PROBES[1]))


def rebundled(task: Path, output: Path, **changes: object) -> Path:
    bundle = open_bundle(task)
    offset, size = bundle.model_span
    model = output.with_suffix(".tflite")
    model.write_bytes(task.read_bytes()[offset : offset + size])
    tokenizer = changes.pop("tokenizer", bundle.tokenizer)
    assert isinstance(tokenizer, SentencePieceTokenizer)
    parameters = replace(bundle.parameters, **changes)  # type: ignore[arg-type]
    return write_bundle(model, tokenizer, parameters, output).path


def test_litert_lm_joins_given_messages_so(demo_task: Path, tmp_path: Path) -> None:
    bundle = rebundled(demo_task, tmp_path / "chat.task", **TEXTS)
    conversations = [c for group in CLASSES.values() for c in group if c.generation]

    found = chat(bundle, [list(c.turns) for c in conversations], "hello")

    assert found["rendered"] == [
        render_as_litert_lm(AFFIXED, conversation, answers_generated=False)
        for conversation in conversations
    ]


def test_after_an_answer_litert_lm_keeps_the_stop_token_alone(
    demo_task: Path, tmp_path: Path
) -> None:
    # The demo model writes whole lines: with the newline for a stop token, each answer is a line.
    affixes = {
        "prompt_prefix_user": "Q: ",
        "prompt_suffix_user": "!\n",
        "prompt_prefix_model": "A: ",
        "prompt_suffix_model": "\n</A>",
    }
    bundle = rebundled(demo_task, tmp_path / "chat.task", stop_tokens=("</s>", "\n"), **affixes)
    parameters = open_bundle(bundle).parameters

    rounds = chat(bundle, [], "hello")["rounds"]

    so_far = 1  # the start token
    turns: list[str] = []
    for number, found in enumerate(rounds):
        turns.append("hello")
        whole = render_as_litert_lm(parameters, talk(*turns))
        before = render_as_litert_lm(parameters, Conversation(talk(*turns[:-1]).turns, False))
        assert found["fed"] == whole[len(before) if number else 0 :]
        # The model wrote one token after its answer: the stop token.
        so_far += found["fed_tokens"] + found["answer_tokens"] + 1
        assert found["tokens_so_far"] == so_far
        assert 0 < found["answer_tokens"] < 100
        assert "\n" not in found["answer"]
        turns.append(found["answer"])


def test_with_gemmas_tokenizer_litert_lm_writes_what_gemma_3_writes(
    demo_task: Path, tmp_path: Path
) -> None:
    from sentencepiece import sentencepiece_model_pb2

    bundle = open_bundle(demo_task)
    model = sentencepiece_model_pb2.ModelProto.FromString(bundle.tokenizer.proto)
    model.trainer_spec.byte_fallback = False  # 105 is one of the bytes here
    for piece in model.pieces:
        piece.type = piece.NORMAL if piece.type == piece.BYTE else piece.type
    model.pieces[105].piece = "<start_of_turn>"
    tokenizer = SentencePieceTokenizer(Path("gemma.model"), model.SerializeToString())
    task = rebundled(demo_task, tmp_path / "gemma.task", tokenizer=tokenizer, **TEXTS)
    conversations = [c for group in CLASSES.values() for c in group if c.generation]

    found = chat(task, [list(c.turns) for c in conversations], "hello")

    gemma = parameters_of("gemma3")
    assert found["rendered"] == [
        without_start("<bos>", as_transformers(gemma, conversation))
        for conversation in conversations
    ]


@pytest.mark.slow
@pytest.mark.web
def test_mediapipes_web_engine_knows_metadatas_system_prompt_alone(
    demo_task: Path, tmp_path: Path
) -> None:
    """It puts that first, as it is, and no prefix or suffix around anything."""

    def texts(name: str, prompts: list[str], **changes: object) -> list[str]:
        task = rebundled(demo_task, tmp_path / name, **changes)
        return texts_in_browser(task, prompts, max_tokens=512, output_tokens=8, force_f32=True)

    plain = texts("plain.task", ["hello", "KING:\nMy lord, hello"])

    assert texts("framed.task", ["hello"], **TEXTS) == plain[:1]
    assert texts("begun.task", [" hello"], system_prompt="KING:\nMy lord,") == plain[1:]
    assert plain[0] != plain[1]
