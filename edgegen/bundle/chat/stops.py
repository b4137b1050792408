"""The token that a chat template ends answers with, which must be a stop token."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from edgegen.bundle.chat.affixes import PROBES, derive
from edgegen.bundle.chat.rendering import render_template
from edgegen.bundle.parameters import GenerationParameters

PieceId = Callable[[str], int | None]

# What special tokens look like: `<|im_end|>`, `</s>`, `<end_of_turn>`, `[/INST]`.
_SPECIAL = re.compile(r"<[^<>\s]{1,60}>|\[[^\[\]\s]{1,60}\]")


def end_of_answer(parameters: GenerationParameters) -> str:
    """Return what stands between an answer and the next question.

    That is the model's suffix, or what the chat template writes where no suffix is known; empty
    where neither is, or where the template cannot be taken apart.

    Raises:
        CheckpointError: the template is no Jinja, or takes too much time or memory.
    """
    if parameters.has_prompt_texts or parameters.chat_template is None:
        return parameters.prompt_suffix_model
    renderings = render_template(
        parameters.chat_template,
        [c.with_system(parameters.system_prompt) for c in PROBES],
        parameters.template_tokens,
    )
    derived = derive(parameters.start_token, renderings)
    return derived.texts.get("prompt_suffix_model", "")


def end_token(parameters: GenerationParameters, piece_id: PieceId | None = None) -> str | None:
    """Return the special token that answers end with, or `None` if they end with none.

    Args:
        parameters: Their texts or their template say how answers end.
        piece_id: Tells the id of a piece of the tokenizer; without it, a special token is known
            by what it looks like.
    """
    end = end_of_answer(parameters).lstrip()
    known = [*parameters.stop_tokens, *parameters.template_tokens.values()]
    for token in sorted(filter(None, known), key=len, reverse=True):
        if end.startswith(token):
            return token
    found = _SPECIAL.match(end)
    if found is None or (piece_id is not None and piece_id(found[0]) is None):
        return None
    return found[0]


def missing_stops(
    parameters: GenerationParameters, piece_id: PieceId | None = None
) -> tuple[str, ...]:
    """Return the tokens that end answers but are no stop tokens: the model would never stop."""
    token = end_token(parameters, piece_id)
    return () if token is None or token in parameters.stop_tokens else (token,)


def unreachable_stops(parameters: GenerationParameters) -> tuple[str, ...]:
    """Return all stop tokens, if answers end with something but with none of them; else nothing.

    A stop token more does no harm: models have one for texts and one for turns.
    """
    end = end_of_answer(parameters).lstrip()
    if not end or any(end.startswith(token) for token in parameters.stop_tokens):
        return ()
    return parameters.stop_tokens


def with_template_stops(
    parameters: GenerationParameters, piece_id: PieceId | None = None
) -> GenerationParameters:
    """Return the parameters with the token that ends answers among the stop tokens.

    Ids of stop tokens are forgotten where one is added whose id is not known.
    """
    missing = missing_stops(parameters, piece_id)
    if not missing:
        return parameters
    ids = [piece_id(token) if piece_id else None for token in missing]
    known = len(parameters.stop_token_ids) == len(parameters.stop_tokens)
    said = parameters.sources.get("stop_tokens")
    return replace(
        parameters,
        stop_tokens=(*parameters.stop_tokens, *missing),
        stop_token_ids=(
            (*parameters.stop_token_ids, *(i for i in ids if i is not None))
            if known and None not in ids
            else ()
        ),
        sources={
            **parameters.sources,
            "stop_tokens": f"{said}, chat template" if said else "chat template",
        },
    )
