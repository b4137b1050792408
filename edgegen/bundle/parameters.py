"""What a bundle says about tokens, prompts and sampling, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

ROLES = ("user", "model", "system")


@dataclass(frozen=True)
class Sampler:
    """How the next token is picked; `None` leaves it to whoever runs the bundle.

    The names are those of Hugging Face's `generation_config.json`; `seed` is not of that file.

    Attributes:
        do_sample: Draw at random; `False` takes the likeliest token always.
        temperature: What logits are divided by, 0 or more.
        top_k: How many of the likeliest tokens are drawn from, at least 1.
        top_p: Least share of the probability that the tokens drawn from make up, 0 to 1.
        seed: Start of the random numbers.
    """

    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None


SAMPLER_FIELDS = tuple(f.name for f in dataclasses.fields(Sampler))


@dataclass(frozen=True)
class GenerationParameters:
    """What the bundle tells the engine, our tools and the app about tokens and prompts.

    METADATA of a `.task` holds the first group, the side section all of it
    (`edgegen.bundle.side_section`). Texts that are not said are empty, all else is `None`.

    Attributes:
        start_token: Piece that the engine puts before everything, once.
        stop_tokens: Pieces, any of which ends the answer.
        prompt_prefix_user: Text before what the user says.
        prompt_suffix_user: Text after it.
        prompt_prefix_model: Text before what the model answers.
        prompt_suffix_model: Text after it.
        prompt_prefix_system: Text before the system instruction.
        prompt_suffix_system: Text after it.
        enable_bytes_to_unicode_mapping: Whether MediaPipe maps bytes to characters as GPT-2
            does before it asks the tokenizer.
        system_prompt: The system instruction itself, without prefix and suffix.
        start_token_id: The id of `start_token`.
        stop_token_ids: The ids of `stop_tokens`, in their order; empty where unknown.
        pad_token: Piece that fills up short sequences.
        pad_token_id: Its id.
        sampler: How tokens are picked.
        max_tokens: Tokens of a whole conversation, start token and answers included.
        max_output_tokens: Tokens of one answer.
        chat_template: Hugging Face's template of conversations, in Jinja.
        template_tokens: What the template's own variables stand for, such as `bos_token`.
        supports_thinking: Whether the model may think in a block of its own before it answers.
        sources: Field (`sampler.top_k` for nested ones) -> where its value is from, for messages
            and provenance; two parameters may be equal with different sources.
    """

    start_token: str
    stop_tokens: tuple[str, ...]
    prompt_prefix_user: str = ""
    prompt_suffix_user: str = ""
    prompt_prefix_model: str = ""
    prompt_suffix_model: str = ""
    prompt_prefix_system: str = ""
    prompt_suffix_system: str = ""
    enable_bytes_to_unicode_mapping: bool = False

    system_prompt: str = ""
    start_token_id: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    pad_token: str | None = None
    pad_token_id: int | None = None
    sampler: Sampler = Sampler()
    max_tokens: int | None = None
    max_output_tokens: int | None = None
    chat_template: str | None = field(default=None, repr=False)
    template_tokens: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    supports_thinking: bool = False
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def has_prompt_texts(self) -> bool:
        """Whether any role has a prefix or a suffix."""
        return any(getattr(self, name) for name in PROMPT_FIELDS)


PROMPT_FIELDS = tuple(f"prompt_{part}_{role}" for role in ROLES for part in ("prefix", "suffix"))
# What METADATA of a `.task` has places for. It holds a system prompt only where no prefix or
# suffix of the system's is.
METADATA_FIELDS = (
    "start_token",
    "stop_tokens",
    *PROMPT_FIELDS,
    "enable_bytes_to_unicode_mapping",
)


def within_cache(parameters: GenerationParameters, kv_cache_len: int) -> GenerationParameters:
    """Return `parameters` whose `max_tokens` is at most the KV cache's length, and is said."""
    limit = parameters.max_tokens
    if limit is not None and limit <= kv_cache_len:
        return parameters
    return dataclasses.replace(
        parameters,
        max_tokens=kv_cache_len,
        sources={**parameters.sources, "max_tokens": "length of the KV cache"},
    )
