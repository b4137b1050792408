from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgegen.author.checkpoint import Checkpoint
from edgegen.bundle import GenerationParameters, SentencePieceTokenizer, generation_parameters
from edgegen.bundle.parameters import Sampler, within_cache
from edgegen.errors import BundleError, CheckpointError, TokenizerError


def checkpoint(
    config: dict[str, Any] | None = None,
    generation: dict[str, Any] | None = None,
    tokenizer: dict[str, Any] | None = None,
    path: Path = Path("ckpt"),
) -> Checkpoint:
    return Checkpoint(path, config or {}, generation or {}, tokenizer or {}, {}, (), 0)


PLAIN = {"bos_token_id": 1, "eos_token_id": 2}


def test_ids_of_the_config_become_pieces(tokenizer: SentencePieceTokenizer) -> None:
    assert generation_parameters(checkpoint(PLAIN), tokenizer) == GenerationParameters(
        start_token="<s>", stop_tokens=("</s>",), start_token_id=1, stop_token_ids=(2,)
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


def test_a_bundle_that_needs_no_start_token_may_go_without(
    tokenizer: SentencePieceTokenizer,
) -> None:
    without = checkpoint(PLAIN, tokenizer={"add_bos_token": False})

    found = generation_parameters(without, tokenizer, needs_start=False)

    assert (found.start_token, found.start_token_id) == ("", None)
    assert generation_parameters(checkpoint(PLAIN), tokenizer, needs_start=False).start_token


SAMPLING = {
    "do_sample": True,
    "temperature": 0.6,
    "top_k": 40,
    "top_p": 0.9,
    "max_length": 4096,
    "max_new_tokens": 256,
    "pad_token_id": 0,
}


def test_sampling_and_lengths_are_those_of_the_generation_config(
    tokenizer: SentencePieceTokenizer,
) -> None:
    found = generation_parameters(checkpoint(PLAIN, SAMPLING), tokenizer)

    assert found.sampler == Sampler(do_sample=True, temperature=0.6, top_k=40, top_p=0.9)
    assert (found.max_tokens, found.max_output_tokens) == (4096, 256)
    assert (found.pad_token, found.pad_token_id) == ("<unk>", 0)
    assert found.sources == {
        "start_token": "config.json",
        "stop_tokens": "config.json",
        **dict.fromkeys(
            [
                "pad_token",
                "max_tokens",
                "max_output_tokens",
                "sampler.do_sample",
                "sampler.temperature",
                "sampler.top_k",
                "sampler.top_p",
            ],
            "generation_config.json",
        ),
    }


def test_a_name_of_half_a_character_is_refused(tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(TokenizerError) as caught:
        generation_parameters(checkpoint(PLAIN, tokenizer={"eos_token": "\ud800"}), tokenizer)

    assert caught.value.message == (
        "tokenizer_config.json: eos_token holds half a character, which UTF-8 cannot write"
    )
    assert caught.value.hint == "correct eos_token in tokenizer_config.json"


@pytest.mark.parametrize(
    ("pad", "expected"),
    [
        ({"pad_token": "</s>"}, ("</s>", 2)),
        ({"pad_token": "<pad>"}, (None, None)),  # nothing depends on it
        ({"pad_token_id": -1}, (None, None)),
        ({"pad_token_id": 10**6}, (None, None)),
    ],
)
def test_a_pad_token_counts_if_the_tokenizer_has_it(
    tokenizer: SentencePieceTokenizer, pad: dict[str, Any], expected: Any
) -> None:
    found = generation_parameters(checkpoint({**PLAIN, **pad}, tokenizer=pad), tokenizer)

    assert (found.pad_token, found.pad_token_id) == expected


@pytest.mark.parametrize(
    ("generation", "message"),
    [
        ({"temperature": "hot"}, "temperature is text, expected a number"),
        ({"temperature": -1}, "temperature is out of range, expected 0 to 100"),
        ({"temperature": float("nan")}, "temperature is out of range, expected 0 to 100"),
        ({"top_p": 1.5}, "top_p is out of range, expected 0 to 1"),
        ({"top_k": True}, "top_k is true or false, expected a whole number"),
        ({"do_sample": 1}, "do_sample is a number, expected true or false"),
        ({"max_length": 0}, "max_length is out of range, expected 1 to 2147483647"),
        ({"max_new_tokens": [1]}, "max_new_tokens is a list, expected a whole number"),
    ],
)
def test_a_generation_config_that_cannot_be_is_refused(
    tokenizer: SentencePieceTokenizer, generation: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        generation_parameters(checkpoint(PLAIN, generation), tokenizer)

    (key,) = generation
    assert caught.value.message == f"ckpt/generation_config.json: {message}"
    assert caught.value.hint == f"correct {key} there, or remove it"


def test_given_goes_before_toml_and_toml_before_the_files(
    tokenizer: SentencePieceTokenizer, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('max_tokens = 99\nsystem_prompt = "é"\n[sampler]\ntop_k = 7\ntop_p = 0.5\n')

    found = generation_parameters(
        checkpoint(PLAIN, SAMPLING), tokenizer, toml=own, top_k=3, seed=5, max_output_tokens=None
    )

    assert found.sampler == Sampler(True, 0.6, 3, 0.5, 5)
    assert (found.max_tokens, found.system_prompt, found.max_output_tokens) == (99, "é", 256)
    assert found.sources["sampler.top_k"] == found.sources["sampler.seed"] == "given"
    assert found.sources["sampler.top_p"] == found.sources["system_prompt"] == "own.toml"
    assert found.sources["sampler.temperature"] == "generation_config.json"


def test_a_given_value_that_cannot_be_is_refused(tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(BundleError) as caught:
        generation_parameters(checkpoint(PLAIN), tokenizer, temperature="hot")

    assert caught.value.message == ("generation parameter temperature is text, expected a number")
    assert caught.value.hint == "correct temperature, or leave it out"


def test_an_id_follows_from_its_token(tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(TypeError, match="no generation parameter 'start_token_id'"):
        generation_parameters(checkpoint(PLAIN), tokenizer, start_token_id=3)


@pytest.mark.parametrize(("said", "expected"), [(None, 512), (4096, 512), (300, 300)])
def test_a_conversation_is_no_longer_than_the_cache(said: int | None, expected: int) -> None:
    parameters = GenerationParameters("<s>", ("</s>",), max_tokens=said)

    found = within_cache(parameters, 512)

    assert found.max_tokens == expected
    assert found.sources == ({} if said == 300 else {"max_tokens": "length of the KV cache"})
