from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgegen.author.checkpoint import Checkpoint
from edgegen.bundle import GenerationParameters, SentencePieceTokenizer, generation_parameters
from edgegen.errors import TokenizerError


def checkpoint(
    config: dict[str, Any] | None = None,
    generation: dict[str, Any] | None = None,
    tokenizer: dict[str, Any] | None = None,
) -> Checkpoint:
    return Checkpoint(Path("ckpt"), config or {}, generation or {}, tokenizer or {}, {}, (), 0)


PLAIN = {"bos_token_id": 1, "eos_token_id": 2}


def test_ids_of_the_config_become_pieces(tokenizer: SentencePieceTokenizer) -> None:
    assert generation_parameters(checkpoint(PLAIN), tokenizer) == GenerationParameters(
        start_token="<s>", stop_tokens=("</s>",)
    )


def test_the_generation_config_goes_before_the_config(tokenizer: SentencePieceTokenizer) -> None:
    found = generation_parameters(checkpoint(PLAIN, {"eos_token_id": [3, 2]}), tokenizer)

    assert found.start_token == "<s>"
    assert found.stop_tokens == ("<end_of_turn>", "</s>")


@pytest.mark.parametrize("eos", ["<end_of_turn>", {"content": "<end_of_turn>", "lstrip": False}])
def test_the_tokenizers_eos_adds_to_the_stop_tokens(
    tokenizer: SentencePieceTokenizer, eos: Any
) -> None:
    found = generation_parameters(checkpoint(PLAIN, tokenizer={"eos_token": eos}), tokenizer)

    assert found.stop_tokens == ("</s>", "<end_of_turn>")


def test_the_tokenizers_names_stand_in_for_missing_ids(tokenizer: SentencePieceTokenizer) -> None:
    names = {"bos_token": "<s>", "eos_token": "</s>"}
    found = generation_parameters(checkpoint(tokenizer=names), tokenizer)

    assert (found.start_token, found.stop_tokens) == ("<s>", ("</s>",))


def test_overrides_go_before_all_files(tokenizer: SentencePieceTokenizer) -> None:
    found = generation_parameters(
        checkpoint(PLAIN),
        tokenizer,
        stop_tokens=["<end_of_turn>"],
        prompt_prefix_user="user: ",
    )

    assert found.stop_tokens == ("<end_of_turn>",)
    assert found.prompt_prefix_user == "user: "


def test_one_stop_token_may_be_given_as_text(tokenizer: SentencePieceTokenizer) -> None:
    found = generation_parameters(checkpoint(PLAIN), tokenizer, stop_tokens="<end_of_turn>")

    assert found.stop_tokens == ("<end_of_turn>",)


def test_an_override_with_a_wrong_name_is_named(tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(TypeError, match="did you mean 'prompt_prefix_user'"):
        generation_parameters(checkpoint(PLAIN), tokenizer, prompt_prefix_usr="x")


def test_no_stop_token_is_refused(tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(TokenizerError, match="no stop token is known") as caught:
        generation_parameters(checkpoint({"bos_token_id": 1}), tokenizer)
    assert "eos_token_id" in str(caught.value.hint)


def test_no_start_token_is_refused(tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(TokenizerError, match="no start token is known") as caught:
        generation_parameters(checkpoint({"eos_token_id": 2}), tokenizer)
    assert "bos_token_id" in str(caught.value.hint)


def test_a_checkpoint_that_wants_no_start_token_needs_a_decision(
    tokenizer: SentencePieceTokenizer,
) -> None:
    without = checkpoint(PLAIN, tokenizer={"add_bos_token": False})
    with pytest.raises(TokenizerError, match="add_bos_token = false"):
        generation_parameters(without, tokenizer)

    assert generation_parameters(without, tokenizer, start_token="<s>").start_token == "<s>"


@pytest.mark.parametrize("field", ["start", "stop"])
def test_a_token_that_is_several_pieces_is_refused(
    tokenizer: SentencePieceTokenizer, field: str
) -> None:
    override: dict[str, str] = {"start_token" if field == "start" else "stop_tokens": "<|im_end|>"}
    with pytest.raises(TokenizerError, match=rf"{field} token '<\|im_end\|>' is not a piece"):
        generation_parameters(checkpoint(PLAIN), tokenizer, **override)


def test_an_id_outside_the_tokenizer_is_refused(tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(TokenizerError, match="token id 32007 is outside the tokenizer"):
        generation_parameters(checkpoint({**PLAIN, "eos_token_id": 32007}), tokenizer)


@pytest.mark.parametrize("value", ["</s>", True, [1, None], 1.5])
def test_an_id_that_is_no_number_is_refused(tokenizer: SentencePieceTokenizer, value: Any) -> None:
    with pytest.raises(TokenizerError, match=r"config\.json has eos_token_id = .*a number"):
        generation_parameters(checkpoint({**PLAIN, "eos_token_id": value}), tokenizer)


def test_a_name_that_is_no_text_is_refused(tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(TokenizerError, match="eos_token = 7, expected text"):
        generation_parameters(checkpoint(PLAIN, tokenizer={"eos_token": 7}), tokenizer)
