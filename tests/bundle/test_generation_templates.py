"""Which chat template of a checkpoint counts, and which cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgegen.bundle import SentencePieceTokenizer, generation_parameters
from edgegen.bundle.generation import checked_fields
from edgegen.errors import BundleError, CheckpointError
from tests.bundle.test_generation import PLAIN, checkpoint


@pytest.mark.parametrize("value", ["chat.jinja", "default", ""])
def test_without_a_checkpoint_there_is_no_template_to_name(value: str) -> None:
    with pytest.raises(BundleError) as caught:
        checked_fields({"chat_template": value})

    assert caught.value.message == (
        f"generation parameters: chat_template is {value!r}, which is neither a Jinja template nor "
        "a file that is there, and the only known name is 'none'"
    )
    assert caught.value.hint == (
        "check the path: --chat-template FILE, or chat_template_file in a TOML file"
    )


@pytest.mark.parametrize("value", ["none", "{{ messages }}", "{% if true %}x{% endif %}"])
def test_a_template_and_none_need_no_checkpoint(value: str) -> None:
    assert checked_fields({"chat_template": value}) == {"chat_template": value}


def test_what_no_template_can_ask_for_is_no_variable(tokenizer: SentencePieceTokenizer) -> None:
    config = {"chat_template": "{{ messages }}", "\ud800_token": "<s>", "a b_token": "<s>"}
    found = generation_parameters(checkpoint(PLAIN, tokenizer=config), tokenizer)

    assert found.template_tokens == {"bos_token": "<s>", "eos_token": "</s>"}


def test_the_template_of_the_tokenizer_config(tokenizer: SentencePieceTokenizer) -> None:
    config = {
        "chat_template": "{{ bos_token }}</think>",
        "bos_token": {"content": "<s>"},
        "pad_token": None,
        "image_token": "<end_of_turn>",
        "add_bos_token": True,
    }
    found = generation_parameters(checkpoint(PLAIN, tokenizer=config), tokenizer)

    assert found.chat_template == "{{ bos_token }}</think>"
    # What the config does not mention is the engine's; what it calls null is not there.
    assert found.template_tokens == {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "image_token": "<end_of_turn>",
    }
    assert found.supports_thinking
    assert found.sources["chat_template"] == "tokenizer_config.json"
    assert found.sources["supports_thinking"] == "chat template"


SEVERAL = [
    {"name": "default", "template": "{{ 1 }}"},
    {"name": "tool_use", "template": "{{ 2 }}"},
]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, ("{{ 1 }}", "tokenizer_config.json")),
        ("tool_use", ("{{ 2 }}", "tokenizer_config.json")),
        ("rag", ("{{ 3 }}", "additional_chat_templates/rag.jinja")),
        ("{{ 4 }}", ("{{ 4 }}", "given")),
        ("none", (None, None)),
    ],
)
def test_one_template_of_several(
    tokenizer: SentencePieceTokenizer, tmp_path: Path, asked: str | None, expected: Any
) -> None:
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("{{ 3 }}")
    several = checkpoint(PLAIN, tokenizer={"chat_template": SEVERAL}, path=tmp_path)

    found = generation_parameters(several, tokenizer, chat_template=asked)

    assert (found.chat_template, found.sources.get("chat_template")) == expected


def test_the_templates_own_file_goes_before_the_config(
    tokenizer: SentencePieceTokenizer, tmp_path: Path
) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ 5 }}é\n", encoding="utf-8")
    both = checkpoint(PLAIN, tokenizer={"chat_template": "{{ 1 }}"}, path=tmp_path)

    found = generation_parameters(both, tokenizer)

    assert (found.chat_template, found.sources["chat_template"]) == (
        "{{ 5 }}é\n",
        "chat_template.jinja",
    )


@pytest.mark.parametrize(
    ("value", "asked", "message", "hint"),
    [
        (
            SEVERAL,
            "tool_us",
            "{path} has no chat template 'tool_us', and no file is called so",
            "did you mean 'tool_use'? (known: default, none, tool_use)",
        ),
        (
            SEVERAL,
            "templates/chat.jinja",
            "{path} has no chat template 'templates/chat.jinja', and no file is called so",
            "known: default, none, tool_use",
        ),
        (
            "{{ '\ud800' }}",
            None,
            "the chat template 'default' in {path}/tokenizer_config.json holds half a character, "
            "which UTF-8 cannot write",
            "this is no template that a model was published with",
        ),
        (
            [{"name": "a", "template": "x"}, {"name": "b", "template": "y"}],
            None,
            "{path} has 2 chat templates, but none is the default: a, b",
            "choose one: --chat-template a",
        ),
        (
            [{"name": "a"}],
            None,
            "{path}/tokenizer_config.json has a chat_template that is neither text nor a list of "
            "names with templates",
            "take the file that the model was published with, or none: --chat-template none",
        ),
        (
            "x" * 262145,
            None,
            "the chat template 'default' in {path}/tokenizer_config.json has 262145 characters, "
            "expected at most 262144",
            "this is no template that a model was published with",
        ),
    ],
)
def test_templates_that_cannot_be_used(
    tokenizer: SentencePieceTokenizer,
    tmp_path: Path,
    value: Any,
    asked: str | None,
    message: str,
    hint: str,
) -> None:
    broken = checkpoint(PLAIN, tokenizer={"chat_template": value}, path=tmp_path)
    with pytest.raises(CheckpointError) as caught:
        generation_parameters(broken, tokenizer, chat_template=asked)

    assert caught.value.message == message.format(path=tmp_path)
    assert caught.value.hint == hint


def test_a_template_file_that_is_no_text_is_refused(
    tokenizer: SentencePieceTokenizer, tmp_path: Path
) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(CheckpointError) as caught:
        generation_parameters(checkpoint(PLAIN, path=tmp_path), tokenizer)

    assert caught.value.message == (
        f"the chat template {tmp_path / 'chat_template.jinja'} cannot be read: not a text in UTF-8"
    )
    assert caught.value.hint == "download or copy it again"
