from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.bundle.chat.affixes import render_with_affixes, without_start
from edgegen.bundle.chat.conversations import Conversation, talk
from edgegen.bundle.chat.fit import (
    TemplateFit,
    fit_template,
    with_new_template,
    with_prompt_texts,
)
from edgegen.bundle.parameters import PROMPT_FIELDS, GenerationParameters
from edgegen.errors import BundleError
from tests.bundle.chat.oracle import as_transformers, parameters_of

CHATML = ("<|im_start|>user\n", "<|im_end|>\n", "<|im_start|>assistant\n", "<|im_end|>\n")
CHATML_SYSTEM = ("<|im_start|>system\n", "<|im_end|>\n")


def llama(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


LLAMA = (llama("user"), "<|eot_id|>", llama("assistant"), "<|eot_id|>")
GEMMA = (
    "<start_of_turn>user\n",
    "<end_of_turn>\n",
    "<start_of_turn>model\n",
    "<end_of_turn>\n",
)
NONE = ("", "")
# Style -> texts of user, model and system; the classes that are not the same, and why.
DERIVED: dict[str, tuple[tuple[str, ...], tuple[str, str], dict[str, str]]] = {
    "chatml": (CHATML, CHATML_SYSTEM, {}),
    "qwen2.5": (CHATML, CHATML_SYSTEM, {}),
    # The start token is the header's first token, and the engine writes it.
    "smollm2": (CHATML, ("system\n", "<|im_end|>\n"), {}),
    "llama3": (
        LLAMA,
        (llama("system"), "<|eot_id|>"),
        {"space around texts": "it strips the space around texts"},
    ),
    "llama3.1": (
        LLAMA,
        (llama("system"), "<|eot_id|>"),
        {
            "a system prompt": "it writes 'Cutting Knowledge Date: December 2023\\nToday Date: "
            "26 Jul 2024\\n\\n' before any system prompt",
            "space around texts": "it strips the space around texts",
        },
    ),
    "gemma": (
        GEMMA,
        NONE,
        {
            "a system prompt": "it refuses a system prompt",
            "space around texts": "it strips the space around texts",
        },
    ),
    "gemma3": (
        GEMMA,
        NONE,
        {
            "a system prompt": "it writes the system prompt into the first question",
            "space around texts": "it strips the space around texts",
        },
    ),
    "phi3": (
        ("<|user|>\n", "<|end|>\n", "<|assistant|>\n", "<|end|>\n"),
        ("<|system|>\n", "<|end|>\n"),
        dict.fromkeys(
            ("no generation prompt", "an answer at the end"),
            "it frames messages differently by their place in the conversation",
        ),
    ),
    "mistral-first": (
        ("[INST] ", " [/INST]", "", "</s>"),
        NONE,
        {"a system prompt": "it writes the system prompt into the first question"},
    ),
    "zephyr": (
        ("<|user|>\n", "</s>\n", "<|assistant|>\n", "</s>\n"),
        ("<|system|>\n", "</s>\n"),
        {},
    ),
    "qwen3": (
        CHATML,
        CHATML_SYSTEM,
        {
            "an answer at the end": "it writes '<think>\\n\\n</think>\\n\\n' before earlier "
            "answers, but not to begin the next one",
            "answers that think": "it leaves the thinking out of earlier answers",
        },
    ),
}
LATE = "LiteRT-LM's own chat from a .task leaves out '\\n' between an answer and the next question"
BARE = (
    "LiteRT-LM's own chat leaves a system message of a .task without prefix and suffix: pass it "
    "with them"
)


@pytest.mark.parametrize("style", DERIVED)
def test_a_style_that_affixes_can_express(style: str) -> None:
    texts, system, reasons = DERIVED[style]
    parameters, fit = with_prompt_texts(parameters_of(style))

    assert fit is not None
    assert fit.accepted
    names = [f"prompt_{part}_{role}" for role in ("user", "model") for part in ("prefix", "suffix")]
    assert tuple(getattr(parameters, name) for name in names) == texts
    assert (parameters.prompt_prefix_system, parameters.prompt_suffix_system) == system
    assert {found.name: found.reason for found in fit.classes if found.reason} == reasons
    assert all(f.exact == f.conversations > 0 for f in fit.classes if f.name not in reasons)
    assert parameters.sources["prompt_prefix_user"] == "chat template"


TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)


@pytest.mark.parametrize("style", DERIVED)
def test_what_was_accepted_holds_for_any_conversation(style: str) -> None:
    parameters, fit = with_prompt_texts(parameters_of(style))
    assert fit is not None
    reasons = DERIVED[style][2]
    # The template's default became the parameters' own: transformers puts it in by itself.
    systems = st.none() if "a system prompt" in reasons else st.none() | TEXT
    strips = "space around texts" in reasons

    @given(texts=st.lists(TEXT, min_size=1, max_size=7), system=systems)
    def holds(texts: list[str], system: str | None) -> None:
        conversation = talk(*texts[: len(texts) - 1 + len(texts) % 2], system=system)
        if strips:
            conversation = conversation.stripped()
        if "answers that think" in reasons:
            turns = tuple((role, text.replace("think>", "")) for role, text in conversation.turns)
            conversation = Conversation(turns)

        expected = as_transformers(parameters, conversation)

        assert without_start(parameters.start_token, expected) == render_with_affixes(
            parameters, conversation
        )

    holds()


def refusal(style: str, **changes: Any) -> BundleError:
    with pytest.raises(BundleError) as caught:
        with_prompt_texts(parameters_of(style, **changes))
    assert caught.value.hint == (
        "give prompt_prefix_user and so on in a TOML file, do without: --chat-template none, or "
        "make a .litertlm, which carries the template itself"
    )
    return caught.value


def said(reason: str) -> str:
    return (
        "the chat template cannot be written as prefixes and suffixes, which is all that a .task "
        f"holds: {reason}"
    )


def test_a_space_before_earlier_answers_alone_is_refused() -> None:
    assert refusal("mistral").message == said(
        "it writes ' ' before earlier answers, but not to begin the next one: of (user 'Hello', "
        "assistant 'Hi!', user 'Who are you?') it makes '[INST] Hello [/INST] Hi!</s>[INST] Who "
        "are you? [/INST]', prefixes and suffixes '[INST] Hello [/INST]Hi!</s>[INST] Who are you? "
        "[/INST]'"
    )


def test_a_start_token_before_every_question_stands_behind_the_answer() -> None:
    again = """{% for m in messages %}{{ bos_token if m.role == 'user' else '' }}{{ m.content }}\
{% if m.role == 'assistant' %}!{% endif %}{% endfor %}"""
    parameters, fit = fitted("mistral", chat_template=again)

    assert parameters.prompt_suffix_model == "!<s>"
    assert {found.name: found.reason for found in fit.classes if found.reason} == {
        "an answer at the end": "it writes the start token within the conversation",
    }


def test_todays_date_is_refused() -> None:
    assert refusal("llama3.2").message == said(
        "it writes the day's date into the prompt: of (user 'Hello') it makes '...er 2023\\nToday "
        "Date: 26 Jul 2024\\n\\n<|eot_id|><|start_header_id...' on one day and '...er 2023\\nToday "
        "Date: 02 Jan 2031\\n\\n<|eot_id|><|start_header_id...' on another"
    )


def test_a_system_prompt_that_the_template_refuses_is_refused() -> None:
    assert refusal("gemma", system_prompt="Be brief.").message == said(
        "it refuses one question: of (system 'Be brief.', user 'Hello') it makes 'error: System "
        "role not supported', prefixes and suffixes 'Be brief.<start_of_turn>user\\n"
        "Hello<end_of_turn>\\n<start_of_tu...'"
    )


def test_a_system_prompt_within_the_first_question_is_refused() -> None:
    assert refusal("gemma3", system_prompt="Be brief.").message == said(
        "it writes the system prompt into the first question: of (system 'Be brief.', user "
        "'Hello') it makes '<start_of_turn>user\\nBe brief.\\n\\nHello<end_of_turn>\\n<start_of_"
        "...', prefixes and suffixes 'Be brief.<start_of_turn>user\\nHello<end_of_turn>\\n"
        "<start_of_tu...'"
    )


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ messages | length }}", "it does not write the texts once each and in their order"),
        ("{{ raise_exception('no') }}", "it refuses a plain conversation: no"),
        (
            "{% for m in messages %}<{{ loop.index }}>{{ m.content }}{% endfor %}",
            "it puts a text of its own before the first question: of (user 'Hello') it makes "
            "'<1>Hello', prefixes and suffixes '>Hello'",
        ),
    ],
)
def test_other_templates_that_are_no_affixes(template: str, reason: str) -> None:
    assert refusal("chatml", chat_template=template).message == said(reason)


def fitted(style: str, **changes: Any) -> tuple[GenerationParameters, TemplateFit]:
    parameters, fit = with_prompt_texts(parameters_of(style, **changes))
    assert fit is not None
    return parameters, fit


def test_the_templates_own_system_prompt_becomes_the_parameters() -> None:
    parameters, fit = fitted("qwen2.5")

    assert parameters.system_prompt == "You are a small model."
    assert parameters.sources["system_prompt"] == "chat template"
    assert fit.notes == (
        "the template writes no start token, but engines put '<|endoftext|>' first",
        "the template begins conversations that have no system prompt with 'You are a small "
        "model.', which became system_prompt: edgegen's tools pass it on, engines do not by "
        "themselves",
        BARE,
        LATE,
    )


def test_the_users_system_prompt_goes_before_the_templates() -> None:
    parameters, fit = fitted("llama3.1", system_prompt="Be brief.", sources={"x": "y"})

    # With a prompt of the user's, the dates belong to the prefix.
    assert parameters.system_prompt == "Be brief."
    assert parameters.prompt_prefix_system == (
        f"{llama('system')}Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
    )
    by_name = {found.name: found for found in fit.classes}
    assert by_name["a system prompt"].exact == by_name["a system prompt"].conversations
    assert parameters.sources == {
        "x": "y",
        **dict.fromkeys((name for name in fit.texts), "chat template"),
    }


def test_what_is_the_same_everywhere_has_no_notes_but_of_the_engine() -> None:
    assert fitted("llama3")[1].notes == (
        "space around texts: it strips the space around texts (8 of 8 differ): of (user '  Hello') "
        "it makes '...r<|end_header_id|>\\n\\nHello<|eot_id|><|start_header_id|>assist...', "
        "prefixes and suffixes '...r<|end_header_id|>\\n\\n  Hello<|eot_id|><|start_header_id|>"
        "assi...'",
        BARE,
    )


def test_given_texts_stay_and_no_template_means_no_fit() -> None:
    own = parameters_of("gemma", prompt_prefix_user="Q: ")

    assert with_prompt_texts(own) == (own, None)
    assert with_prompt_texts(GenerationParameters("<s>", ("</s>",))) == (
        GenerationParameters("<s>", ("</s>",)),
        None,
    )


def changed(parameters: GenerationParameters, style: str | None) -> GenerationParameters:
    """What an edit hands over: another template, which the user gave."""
    template = None if style is None else parameters_of(style).chat_template
    sources = {**parameters.sources, "chat_template": "edit"}
    return replace(parameters, chat_template=template, sources=sources)


def test_what_came_from_the_old_template_comes_from_the_new_one() -> None:
    old, _ = fitted("qwen2.5")

    made, fit = with_new_template(changed(old, "zephyr"))

    assert fit is not None
    assert fit.accepted
    assert (made.prompt_prefix_user, made.prompt_suffix_user) == ("<|user|>\n", "<|im_end|>\n")
    # The old template's own system prompt went with it.
    assert (old.system_prompt, made.system_prompt) == ("You are a small model.", "")
    assert "system_prompt" not in made.sources
    assert made.sources["prompt_prefix_user"] == "chat template"
    expected, _ = with_prompt_texts(
        replace(parameters_of("qwen2.5"), chat_template=parameters_of("zephyr").chat_template)
    )
    assert made == replace(expected, supports_thinking=made.supports_thinking)


def test_what_the_user_gave_stays_when_the_template_changes() -> None:
    old, _ = fitted("chatml")
    mine = {"prompt_prefix_user": "Q: ", "prompt_suffix_system": "", "system_prompt": "Be brief."}
    old = replace(old, **mine, sources={**old.sources, **dict.fromkeys(mine, "edit")})

    made, fit = with_new_template(changed(old, "zephyr"))

    assert fit is not None
    assert {name: getattr(made, name) for name in mine} == mine
    assert {name: made.sources[name] for name in mine} == dict.fromkeys(mine, "edit")
    assert made.prompt_suffix_user == fit.texts["prompt_suffix_user"]
    assert made.prompt_prefix_model == "<|assistant|>\n"
    assert made.sources["prompt_prefix_model"] == "chat template"


@pytest.mark.parametrize("style", ["zephyr", None])
def test_texts_that_are_all_the_users_are_left_alone(style: str | None) -> None:
    for sources in ({}, dict.fromkeys(PROMPT_FIELDS, "given")):
        own = parameters_of("chatml", prompt_prefix_user="Q: ", sources=sources)

        made, fit = with_new_template(changed(own, style))

        assert (made, fit) == (changed(own, style), None)
        assert made.sources == {**sources, "chat_template": "edit"}


def test_without_a_template_what_came_from_it_is_dropped() -> None:
    old, _ = fitted(
        "qwen2.5", supports_thinking=True, sources={"supports_thinking": "chat template"}
    )

    made, fit = with_new_template(changed(old, None))

    assert fit is None
    assert not made.has_prompt_texts
    assert (made.system_prompt, made.supports_thinking) == ("", False)
    assert made.sources == {"chat_template": "edit"}


@pytest.mark.parametrize(
    ("before", "sources", "style", "after", "source"),
    [
        (False, {}, "qwen3", True, "chat template"),
        (False, {"supports_thinking": "given"}, "qwen3", False, "given"),
        (True, {"supports_thinking": "chat template"}, "chatml", False, None),
        (True, {"supports_thinking": "given"}, "chatml", True, "given"),
    ],
)
def test_whether_it_thinks_follows_the_new_template(
    before: bool, sources: dict[str, str], style: str, after: bool, source: str | None
) -> None:
    old, _ = fitted("chatml", supports_thinking=before, sources=sources)

    made, _ = with_new_template(changed(old, style))

    assert (made.supports_thinking, made.sources.get("supports_thinking")) == (after, source)


def test_a_new_template_that_is_no_affixes_is_refused() -> None:
    old, _ = fitted("chatml")
    with pytest.raises(BundleError) as caught:
        with_new_template(replace(changed(old, None), chat_template="chat.jinja"))

    assert caught.value.message == said("it does not write the texts once each and in their order")


def test_a_fit_is_plain_json() -> None:
    fit = fit_template(parameters_of("mistral"))

    told = fit.as_dict()
    assert told["accepted"] is False
    assert told["classes"][0] == {
        "name": "one question",
        "required": True,
        "conversations": 7,
        "exact": 7,
        "reason": "",
        "difference": None,
    }
    with pytest.raises(ValueError, match=re.escape("there is no chat template")):
        fit_template(GenerationParameters("<s>", ("</s>",)))
