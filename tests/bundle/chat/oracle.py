"""transformers' own rendering of chat templates."""

from __future__ import annotations

import functools
from typing import Any

from edgegen.bundle.chat.conversations import Conversation
from edgegen.bundle.parameters import GenerationParameters
from tests.bundle.chat.styles import STYLES


def parameters_of(style: str, **changes: Any) -> GenerationParameters:
    """What a checkpoint of that style says."""
    template, tokens, stops = STYLES[style]
    values: dict[str, Any] = {"chat_template": template, "template_tokens": tokens, **changes}
    return GenerationParameters(tokens["bos_token"], stops, **values)


@functools.cache
def _tokenizer(tokens: tuple[tuple[str, str], ...]) -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
    return PreTrainedTokenizerFast(tokenizer_object=words, **dict(tokens))


def as_transformers(parameters: GenerationParameters, conversation: Conversation) -> str:
    """Return what `apply_chat_template` returns, or raise what it raises."""
    tokenizer = _tokenizer(tuple(parameters.template_tokens.items()))
    text: str = tokenizer.apply_chat_template(
        [{"role": role, "content": text} for role, text in conversation.turns],
        chat_template=parameters.chat_template,
        add_generation_prompt=conversation.generation,
        tokenize=False,
    )
    return text
