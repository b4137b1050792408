"""Prefixes and suffixes: how they are joined, and how they are read off a template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgegen.bundle.chat.conversations import ASSISTANT, SYSTEM, USER, Conversation, talk
from edgegen.bundle.chat.rendering import Rendering
from edgegen.bundle.parameters import GenerationParameters

_FIELD_ROLES = {USER: "user", ASSISTANT: "model", SYSTEM: "system"}
# Texts that no template writes itself, changes, or asks anything about.
_MARKS = ("Zq1xa", "Zq2xb", "Zq3xc", "Zq4xd")
_SYSTEM_MARK = "Zq0xs"


def render_with_affixes(parameters: GenerationParameters, conversation: Conversation) -> str:
    """Return a conversation as prefixes and suffixes frame it, without the start token.

    Each message stands between its role's prefix and suffix; the generation prompt is the model's
    prefix. The parameters' system prompt goes before conversations that have none. Our tools
    hand this text to an engine as it is.
    """
    texts = [
        _affix(parameters, "prefix", role) + text + _affix(parameters, "suffix", role)
        for role, text in conversation.with_system(parameters.system_prompt).turns
    ]
    return "".join(texts) + (parameters.prompt_prefix_model if conversation.generation else "")


def render_as_litert_lm(
    parameters: GenerationParameters, conversation: Conversation, *, answers_generated: bool = True
) -> str:
    """Return what the model reads when LiteRT-LM 0.18 itself chats from a `.task`.

    It knows the user's prefix and what METADATA says follows the user's text, which is the
    user's suffix with the model's prefix. A system prompt stays bare, and nothing follows an
    answer but the stop token that the model itself wrote. (Where the tokenizer's piece 105 is
    `<start_of_turn>` it takes the model for a Gemma 3, and METADATA's texts for nothing: then it
    writes what Gemma 3's template writes.)

    Args:
        parameters: What METADATA says.
        conversation: The chat; the app passes its system prompt as the first message.
        answers_generated: Whether the model wrote the answers, or the app passed them along.
    """
    after_user = parameters.prompt_suffix_user + parameters.prompt_prefix_model
    stop = next(
        (t for t in parameters.stop_tokens if parameters.prompt_suffix_model.startswith(t)), ""
    )
    written = ""
    turns = conversation.turns
    for number, (role, text) in enumerate(turns):
        if role == USER:
            answered = number + 1 < len(turns) and turns[number + 1][0] == ASSISTANT
            asked = number + 1 == len(turns) and conversation.generation
            written += parameters.prompt_prefix_user + text
            written += after_user if answered or asked else ""
        else:
            written += text + (stop if role == ASSISTANT and answers_generated else "")
    return written


def _affix(parameters: GenerationParameters, part: str, role: str) -> str:
    return str(getattr(parameters, f"prompt_{part}_{_FIELD_ROLES[role]}"))


@dataclass(frozen=True)
class Derived:
    """What was read off a template.

    Attributes:
        texts: The fields of `GenerationParameters`, those of the system only where it has one.
        default_system: The system prompt that the template itself puts before conversations
            without one; empty where it puts none.
        starts: Whether it writes the start token first.
        error: Why nothing could be read off, or `None`.
    """

    texts: Mapping[str, str]
    default_system: str = ""
    starts: bool = True
    error: str | None = None


PROBES = (
    talk(_MARKS[0], generation=False),
    talk(_MARKS[0]),
    talk(*_MARKS[:2], generation=False),
    talk(*_MARKS[:3]),
    talk(_MARKS[0], system=_SYSTEM_MARK),
)


def derive(start_token: str, probes: list[Rendering], *, own_system: bool = False) -> Derived:
    """Read prefixes and suffixes off the renderings of `PROBES`.

    What comes out is a guess until it is proven on other conversations (`fit_template`).

    Args:
        start_token: What the engine puts first.
        probes: A rendering for each of `PROBES`.
        own_system: Conversations will have a system prompt, so that the template's does not count.
    """
    bare, question, answered, dialog, instructed = (
        None if probe.text is None else without_start(start_token, probe.text) for probe in probes
    )
    for rendering in (probes[1], probes[3]):
        if rendering.text is None:
            return Derived({}, error=f"it refuses a plain conversation: {rendering.error}")
    opening, talked = _parts(question, _MARKS[:1]), _parts(dialog, _MARKS[:3])
    if opening is None or talked is None:
        return Derived({}, error="it does not write the texts once each and in their order")
    first, begin_answer = opening
    _, before_answer, between, _ = talked
    ended = _parts(answered, _MARKS[:2])
    if ended and between.startswith(ended[2]) and first.endswith(between[len(ended[2]) :]):
        prefix_user = between[len(ended[2]) :]
    else:
        prefix_user = _common_end(first, between)
    suffix_model = between[: len(between) - len(prefix_user)]
    suffix_user = _suffix_user(_parts(bare, _MARKS[:1]), begin_answer, before_answer, suffix_model)
    texts = {
        "prompt_prefix_user": prefix_user,
        "prompt_suffix_user": suffix_user,
        "prompt_prefix_model": begin_answer[len(suffix_user) :],
        "prompt_suffix_model": suffix_model,
    }
    system = _system(_parts(instructed, (_SYSTEM_MARK, _MARKS[0])), prefix_user)
    default = ""
    if system and not own_system:
        default, header = _default_system(
            first[: len(first) - len(prefix_user)], system, prefix_user
        )
        system["prompt_prefix_system"] = header
    starts = bool(start_token) and str(probes[1].text).startswith(start_token)
    return Derived({**texts, **system}, default, starts)


def _suffix_user(
    bare: list[str] | None, begin_answer: str, before_answer: str, suffix_model: str
) -> str:
    """Tell where the question's end ends and the answer's beginning begins."""
    if bare is not None:
        # Without generation prompt there is nothing but the end, or some other end of it all.
        for end in (bare[1], suffix_model):
            if bare[1].startswith(end) and begin_answer.startswith(end):
                return end
    return common_start(before_answer, begin_answer)


def _default_system(injected: str, system: Mapping[str, str], prefix_user: str) -> tuple[str, str]:
    """Return the system prompt that the template puts itself, and the prefix before it."""
    prefix, suffix = system["prompt_prefix_system"], system["prompt_suffix_system"]
    header = prefix_user.replace("user", "system")
    if injected == prefix + suffix and header != prefix_user and prefix.startswith(header):
        # An empty system prompt: what its prefix holds beyond a header becomes the prompt.
        return prefix[len(header) :], header
    if injected.startswith(prefix) and injected.endswith(suffix):
        return injected[len(prefix) : len(injected) - len(suffix)], prefix
    return "", prefix


def _system(parts: list[str] | None, prefix_user: str) -> dict[str, str]:
    if parts is None or not parts[1].endswith(prefix_user):
        return {}
    suffix = parts[1][: len(parts[1]) - len(prefix_user)]
    return {"prompt_prefix_system": parts[0], "prompt_suffix_system": suffix}


def without_start(start_token: str, text: str) -> str:
    """Return a rendering without the start token that the engine itself puts first."""
    return text[len(start_token) :] if start_token and text.startswith(start_token) else text


def _parts(text: str | None, marks: tuple[str, ...]) -> list[str] | None:
    """Return what stands before, between and after the marks, if each is there once, in order."""
    parts, rest = [], text
    for mark in marks:
        if rest is None or rest.count(mark) != 1:
            return None
        before, rest = rest.split(mark)
        parts.append(before)
    return None if rest is None else [*parts, rest]


def common_start(one: str, other: str) -> str:
    """Return what both texts begin with."""
    size = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        size += 1
    return one[:size]


def _common_end(one: str, other: str) -> str:
    return common_start(one[::-1], other[::-1])[::-1]
