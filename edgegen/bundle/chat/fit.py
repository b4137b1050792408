"""Proving on conversations that prefixes and suffixes say what a chat template says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgegen.bundle.chat.affixes import (
    PROBES,
    Derived,
    common_start,
    derive,
    render_as_litert_lm,
    render_with_affixes,
    without_start,
)
from edgegen.bundle.chat.conversations import (
    ASSISTANT,
    CLASSES,
    REQUIRED,
    SYSTEM,
    THINKING,
    Conversation,
    talk,
)
from edgegen.bundle.chat.rendering import Rendering, render_template
from edgegen.bundle.chat_files import thinks
from edgegen.bundle.parameters import PROMPT_FIELDS, GenerationParameters
from edgegen.errors import BundleError

_ANOTHER_DAY = "2031-01-02T03:04:05"
_SHOWN_CHARACTERS = 60
_SYSTEM_CLASS = "a system prompt"
_GEMMA = "<start_of_turn>"

TEMPLATE_SOURCE = "chat template"  # what `sources` says of texts that were derived


@dataclass(frozen=True)
class Difference:
    """A conversation that is framed in two ways.

    Attributes:
        conversation: The conversation.
        template: What the template writes, or why it refuses.
        texts: What the prefixes and suffixes write.
    """

    conversation: Conversation
    template: str
    texts: str

    def __str__(self) -> str:
        template, texts = around_difference(self.template, self.texts)
        return f"of ({self.conversation}) it makes {template!r}, prefixes and suffixes {texts!r}"


def around_difference(one: str, other: str) -> tuple[str, str]:
    """Return both texts, cut to the place where they first differ."""
    pairs = enumerate(zip(one, other, strict=False))
    at = next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
    begin = max(0, at - _SHOWN_CHARACTERS // 3)
    end = begin + _SHOWN_CHARACTERS
    cut = [
        ("..." if begin else "") + text[begin:end] + ("..." if end < len(text) else "")
        for text in (one, other)
    ]
    return cut[0], cut[1]


@dataclass(frozen=True)
class ClassFit:
    """How many conversations of one class come out the same, byte for byte.

    Attributes:
        name: The class, a key of `edgegen.bundle.chat.conversations.CLASSES`.
        required: Whether the template is refused where one differs.
        conversations: How many were tried.
        exact: How many were the same.
        reason: What the template does where they differ; empty where none does.
        difference: The first that differs.
    """

    name: str
    required: bool
    conversations: int
    exact: int
    reason: str = ""
    difference: Difference | None = None


@dataclass(frozen=True)
class TemplateFit:
    """What a chat template became, and how far that is the same.

    Attributes:
        texts: The `prompt_*` fields of `GenerationParameters`.
        system_prompt: The system prompt that every conversation begins with unless it has its
            own: the user's, or else the one that the template puts there itself.
        classes: How each class of conversations fared.
        notes: What is not the same but no reason to refuse, one sentence each.
        refusal: Why prefixes and suffixes are no use for this template, or `None`.
    """

    texts: Mapping[str, str]
    system_prompt: str
    classes: tuple[ClassFit, ...]
    notes: tuple[str, ...]
    refusal: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the texts may go into a bundle."""
        return self.refusal is None

    def as_dict(self) -> dict[str, Any]:
        """Return the fit as plain JSON values."""
        return {**asdict(self), "accepted": self.accepted}


def with_new_template(
    parameters: GenerationParameters,
) -> tuple[GenerationParameters, TemplateFit | None]:
    """Return the parameters with prompt texts of their template, which has just been changed.

    What was derived from the old one (`sources` says so) is derived anew, the system prompt and
    whether the model thinks included. What was given stays; where all was given, nothing is
    derived. Without a template the derived texts are dropped. There is no fit where nothing is
    derived; where there is one, it is of the texts that the template alone makes.

    Raises:
        BundleError: prefixes and suffixes cannot express the template.
        CheckpointError: the template is no Jinja, or takes too much time or memory.
    """
    fields = (*PROMPT_FIELDS, "system_prompt", "supports_thinking")
    derived = [n for n in fields if parameters.sources.get(n) == TEMPLATE_SOURCE]
    sources = {name: at for name, at in parameters.sources.items() if name not in derived}
    dropped: dict[str, Any] = {name: "" for name in derived if name != "supports_thinking"}
    thinking = parameters.supports_thinking and "supports_thinking" not in derived
    template = parameters.chat_template
    if not thinking and "supports_thinking" not in sources and template and thinks(template):
        thinking, sources["supports_thinking"] = True, TEMPLATE_SOURCE
    bare = replace(parameters, **dropped, supports_thinking=thinking, sources=sources)
    given: dict[str, Any] = {
        name: getattr(bare, name)
        for name in PROMPT_FIELDS
        if name not in derived and (getattr(bare, name) or name in sources)
    }
    if template is None or not any(name not in given for name in PROMPT_FIELDS):
        return bare, None
    if bare.has_prompt_texts and not any(name in derived for name in PROMPT_FIELDS):
        return bare, None
    blank: dict[str, Any] = dict.fromkeys(PROMPT_FIELDS, "")
    made, fit = with_prompt_texts(replace(bare, **blank))
    told = {name: at for name, at in made.sources.items() if name not in given}
    kept = {name: at for name, at in sources.items() if name in given}
    return replace(made, **given, sources={**told, **kept}), fit


def fit_template(parameters: GenerationParameters) -> TemplateFit:
    """Derive prefixes and suffixes from the parameters' chat template, and prove them.

    The start token, which engines put first, is not part of them. Where the parameters have a
    system prompt, conversations are those that begin with it.

    Raises:
        CheckpointError: the template is no Jinja, or takes too much time or memory.
        ValueError: the parameters have no template.
    """
    template = parameters.chat_template
    if template is None:
        raise ValueError("there is no chat template")
    cases = [
        (name, _asked(parameters, c))
        for name, conversations in CLASSES.items()
        if name != THINKING or parameters.supports_thinking or thinks(template)
        for c in conversations
    ]
    tried = [*PROBES, *(conversation for _, conversation in cases)]
    rendered = render_template(template, tried, parameters.template_tokens)
    probes = rendered[: len(PROBES)]
    derived = derive(parameters.start_token, probes, own_system=bool(parameters.system_prompt))
    if derived.error is not None:
        return TemplateFit({}, parameters.system_prompt, (), (), derived.error)
    trial = _with_texts(parameters, derived)
    renderings = dict(zip(tried, rendered, strict=True))
    classes = tuple(
        _fit_class(trial, name, [c for n, c in cases if n == name], renderings)
        for name in dict.fromkeys(name for name, _ in cases)
    )
    by_name = {found.name: found for found in classes}
    reason = _daily(template, parameters, cases, rendered[len(PROBES) :])
    refusal = reason or next(
        (
            f"{found.reason}: {found.difference}"
            for found in classes
            if found.required and found.reason
        ),
        None,
    )
    if by_name[_SYSTEM_CLASS].exact == 0 and not trial.system_prompt:
        # Not even a little of the system's texts is right, so that none is better.
        trial = replace(trial, prompt_prefix_system="", prompt_suffix_system="")
    notes = () if refusal else _notes(parameters, trial, derived, classes)
    texts = {name: getattr(trial, name) for name in PROMPT_FIELDS}
    return TemplateFit(texts, trial.system_prompt, classes, notes, refusal)


def with_prompt_texts(
    parameters: GenerationParameters,
) -> tuple[GenerationParameters, TemplateFit | None]:
    """Return the parameters with the prefixes and suffixes of their chat template.

    Those that were given stay; then, and without a template, there is no fit.

    Raises:
        BundleError: prefixes and suffixes cannot express the template.
        CheckpointError: the template is no Jinja, or takes too much time or memory.
    """
    if parameters.chat_template is None or parameters.has_prompt_texts:
        return parameters, None
    fit = fit_template(parameters)
    if fit.refusal is not None:
        raise BundleError(
            "the chat template cannot be written as prefixes and suffixes, which is all that a "
            f".task holds: {fit.refusal}",
            "give prompt_prefix_user and so on in a TOML file, do without: --chat-template none, "
            "or make a .litertlm, which carries the template itself",
        )
    sources = {**parameters.sources, **dict.fromkeys(PROMPT_FIELDS, TEMPLATE_SOURCE)}
    if fit.system_prompt != parameters.system_prompt:
        sources["system_prompt"] = TEMPLATE_SOURCE
    texts: dict[str, Any] = {**fit.texts, "system_prompt": fit.system_prompt}
    return replace(parameters, **texts, sources=sources), fit


def _asked(parameters: GenerationParameters, conversation: Conversation) -> Conversation:
    return conversation.with_system(parameters.system_prompt)


def _with_texts(parameters: GenerationParameters, derived: Derived) -> GenerationParameters:
    texts: dict[str, Any] = {
        **dict.fromkeys(PROMPT_FIELDS, ""),
        **derived.texts,
        "system_prompt": parameters.system_prompt or derived.default_system,
    }
    return replace(parameters, **texts)


def _fit_class(
    parameters: GenerationParameters,
    name: str,
    conversations: Sequence[Conversation],
    renderings: Mapping[Conversation, Rendering],
) -> ClassFit:
    differences = [
        found
        for conversation in conversations
        if (found := _difference(parameters, conversation, renderings[conversation])) is not None
    ]
    exact = len(conversations) - len(differences)
    if not differences:
        return ClassFit(name, name in REQUIRED, len(conversations), exact)
    first = differences[0]
    reason = _reason(parameters, name, first, renderings[first.conversation])
    return ClassFit(name, name in REQUIRED, len(conversations), exact, reason, first)


def _difference(
    parameters: GenerationParameters, conversation: Conversation, rendering: Rendering
) -> Difference | None:
    texts = render_with_affixes(parameters, conversation)
    if rendering.text is None:
        return Difference(conversation, f"error: {rendering.error}", texts)
    template = without_start(parameters.start_token, rendering.text)
    return None if template == texts else Difference(conversation, template, texts)


def _reason(
    parameters: GenerationParameters, name: str, found: Difference, rendering: Rendering
) -> str:
    """Say in a few words what the template does that the texts do not."""
    texts = found.texts
    if rendering.text is None:
        return f"it refuses {name}"
    if found.template == render_with_affixes(parameters, found.conversation.stripped()):
        return "it strips the space around texts"
    if (
        parameters.start_token
        and parameters.start_token in found.template + texts
        and (
            found.template.replace(parameters.start_token, "")
            == texts.replace(parameters.start_token, "")
        )
    ):
        return "it writes the start token within the conversation"
    if name == THINKING:
        return "it leaves the thinking out of earlier answers"
    system = next((text for role, text in found.conversation.turns if role == SYSTEM), None)
    if system is None:
        if found.template.endswith(texts):
            return "it puts a text of its own before the first question"
        if (extra := _before_answers(parameters, found)) is not None:
            return f"it writes {extra!r} before earlier answers, but not to begin the next one"
    elif not parameters.prompt_prefix_system:
        return "it writes the system prompt into the first question"
    elif (
        parameters.system_prompt not in (system, "") and parameters.system_prompt in found.template
    ):
        return f"it writes {parameters.system_prompt!r} before any system prompt"
    return "it frames messages differently by their place in the conversation"


def _before_answers(parameters: GenerationParameters, found: Difference) -> str | None:
    """Return what the template writes only before answers that are already there."""
    at = len(common_start(found.template, found.texts))
    answers = [text for role, text in found.conversation.turns if role == ASSISTANT]
    if not answers or not answers[0] or answers[0] not in found.template[at:]:
        return None
    extra = found.template[at : found.template.index(answers[0], at)]
    longer = replace(parameters, prompt_prefix_model=parameters.prompt_prefix_model + extra)
    again = render_with_affixes(longer, found.conversation)
    if found.conversation.generation:
        again = again[: len(again) - len(extra)]
    return extra if extra and again == found.template else None


def _daily(
    template: str,
    parameters: GenerationParameters,
    cases: Sequence[tuple[str, Conversation]],
    rendered: Sequence[Rendering],
) -> str | None:
    """Return a refusal if a conversation that must come out the same changes with the day."""
    if "strftime_now" not in template:
        return None
    needed = [(c, r) for (name, c), r in zip(cases, rendered, strict=True) if name in REQUIRED]
    later = render_template(
        template, [c for c, _ in needed], parameters.template_tokens, now=_ANOTHER_DAY
    )
    for (conversation, today), another in zip(needed, later, strict=True):
        if today != another:
            one, other = around_difference(str(today.text), str(another.text))
            return (
                "it writes the day's date into the prompt: "
                f"of ({conversation}) it makes {one!r} on one day and {other!r} on another"
            )
    return None


def _notes(
    given: GenerationParameters,
    fitted: GenerationParameters,
    derived: Derived,
    classes: Sequence[ClassFit],
) -> tuple[str, ...]:
    notes = [
        f"{found.name}: {found.reason} ({found.conversations - found.exact} of "
        f"{found.conversations} differ): {found.difference}"
        for found in classes
        if found.reason
    ]
    if not derived.starts and given.start_token:
        notes.append(
            f"the template writes no start token, but engines put {given.start_token!r} first"
        )
    if fitted.system_prompt != given.system_prompt:
        notes.append(
            "the template begins conversations that have no system prompt with "
            f"{fitted.system_prompt!r}, which became system_prompt: edgegen's tools pass it on, "
            "engines do not by themselves"
        )
    if _GEMMA in fitted.prompt_prefix_user:
        notes.append(
            "LiteRT-LM's own chat does not look at these texts where piece 105 of the tokenizer is "
            f"{_GEMMA!r}: it writes what Gemma 3's template writes"
        )
    if fitted.prompt_prefix_system or fitted.prompt_suffix_system:
        notes.append(
            "LiteRT-LM's own chat leaves a system message of a .task without prefix and suffix: "
            "pass it with them"
        )
    dialog = talk("q", "a", "r")
    own = render_as_litert_lm(fitted, dialog)
    if own != render_with_affixes(replace(fitted, system_prompt=""), dialog):
        lost = next(
            (
                fitted.prompt_suffix_model[len(stop) :]
                for stop in fitted.stop_tokens
                if fitted.prompt_suffix_model.startswith(stop)
            ),
            fitted.prompt_suffix_model,
        )
        notes.append(
            f"LiteRT-LM's own chat from a .task leaves out {lost!r} between an answer and the "
            "next question"
        )
    return tuple(notes)
