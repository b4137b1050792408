from __future__ import annotations

from dataclasses import replace

import pytest

from edgegen.bundle.chat.stops import (
    end_of_answer,
    end_token,
    missing_stops,
    unreachable_stops,
    with_template_stops,
)
from edgegen.bundle.parameters import GenerationParameters
from tests.bundle.chat.oracle import parameters_of
from tests.bundle.chat.styles import STYLES

ENDS = {
    "chatml": "<|im_end|>",
    "smollm2": "<|im_end|>",
    "qwen2.5": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "llama3.1": "<|eot_id|>",
    "llama3.2": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "gemma3": "<end_of_turn>",
    "phi3": "<|end|>",
    "mistral": "</s>",
    "mistral-first": "</s>",
    "llama2": "</s>",
    "zephyr": "</s>",
}


@pytest.mark.parametrize("style", STYLES)
def test_the_token_that_ends_answers(style: str) -> None:
    parameters = parameters_of(style)

    assert end_token(parameters) == ENDS[style]
    assert missing_stops(parameters) == unreachable_stops(parameters) == ()


@pytest.mark.parametrize("style", STYLES)
def test_a_stop_token_that_the_template_never_writes(style: str) -> None:
    wrong = replace(parameters_of(style), stop_tokens=("<other>",))

    assert missing_stops(wrong) == (ENDS[style],)
    assert unreachable_stops(wrong) == ("<other>",)


def test_a_missing_stop_token_is_added_with_its_id() -> None:
    wrong = replace(
        parameters_of("gemma"),
        stop_tokens=("<eos>",),
        stop_token_ids=(1,),
        sources={"stop_tokens": "config.json"},
    )
    ids = {"<eos>": 1, "<end_of_turn>": 107}

    found = with_template_stops(wrong, ids.get)

    assert (found.stop_tokens, found.stop_token_ids) == (("<eos>", "<end_of_turn>"), (1, 107))
    assert found.sources == {"stop_tokens": "config.json, chat template"}
    assert with_template_stops(found, ids.get) is found
    # Without a tokenizer the id is not known, and half the ids would be of no use.
    assert with_template_stops(wrong).stop_token_ids == ()


def test_what_the_tokenizer_does_not_know_is_no_token() -> None:
    template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<br>\n{% endfor %}[assistant]"
    parameters = replace(parameters_of("chatml"), chat_template=template)

    assert end_of_answer(parameters) == "<br>\n"
    assert end_token(parameters) == "<br>"
    assert end_token(parameters, {}.get) is None
    assert missing_stops(parameters, {}.get) == ()
    assert unreachable_stops(parameters) == ("<|im_end|>",)


def test_the_models_suffix_goes_before_the_template() -> None:
    own = replace(parameters_of("gemma"), prompt_prefix_user="Q: ", prompt_suffix_model=" </q>\n")

    assert end_of_answer(own) == " </q>\n"
    assert missing_stops(own) == ("</q>",)


def test_without_texts_and_template_nothing_is_known() -> None:
    bare = GenerationParameters("<s>", ("</s>",))

    assert (end_of_answer(bare), end_token(bare)) == ("", None)
    assert missing_stops(bare) == unreachable_stops(bare) == ()
