"""The LlmMetadata section of a `.litertlm`: LiteRT-LM's words for generation parameters.

The message's classes come with litert-lm-builder.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgegen.bundle.contents import GENERIC_MODEL, RuntimeHints, Tokenizer
from edgegen.bundle.parameter_values import CHECKS, SAMPLER_CHECKS
from edgegen.bundle.parameters import ROLES, GenerationParameters, Sampler
from edgegen.errors import BundleError, did_you_mean

_OURS = (
    "start_token",
    "stop_tokens",
    "pad_token",
    "prompt_templates",
    "sampler_params",
    "max_num_tokens",
    "supports_thinking",
    "min_runtime_version",
)


def llm_metadata_bytes(
    parameters: GenerationParameters,
    hints: RuntimeHints,
    template: str | None,
    base: bytes = b"",
) -> bytes:
    """Serialize what a `.litertlm` says of generation.

    Args:
        parameters: Generation parameters.
        hints: The model type and the least runtime version.
        template: The chat template in the runtime's own dialect of Jinja; `None` keeps that of
            `base`.
        base: A message whose other fields stay.

    Raises:
        BundleError: the model type is not one of LiteRT-LM's.
    """
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    message = llm_metadata_pb2.LlmMetadata()
    message.ParseFromString(base)
    for name in _OURS:
        message.ClearField(name)
    if parameters.start_token:
        message.start_token.token_str = parameters.start_token
    for token in parameters.stop_tokens:
        message.stop_tokens.add().token_str = token
    if parameters.pad_token is not None:
        message.pad_token.token_str = parameters.pad_token
    if parameters.has_prompt_texts:
        for role in ROLES:
            affixes = getattr(message.prompt_templates, role)
            affixes.prefix = getattr(parameters, f"prompt_prefix_{role}")
            affixes.suffix = getattr(parameters, f"prompt_suffix_{role}")
    _set_sampler(message.sampler_params, parameters.sampler)
    if parameters.max_tokens is not None:
        message.max_num_tokens = parameters.max_tokens
    if template is not None:
        message.jinja_prompt_template = template
    if parameters.supports_thinking:
        message.supports_thinking = True
    if hints.min_runtime_version is not None:
        message.min_runtime_version = hints.min_runtime_version
    known = [field.name for field in message.llm_model_type.DESCRIPTOR.fields]
    if hints.llm_model_type not in known:
        raise BundleError(
            f"LiteRT-LM knows no model type {hints.llm_model_type!r}",
            did_you_mean(hints.llm_model_type, known),
        )
    getattr(message.llm_model_type, hints.llm_model_type).SetInParent()
    content: bytes = message.SerializeToString(deterministic=True)
    return content


def parse_llm_metadata(
    data: bytes, tokenizer: Tokenizer
) -> tuple[GenerationParameters, RuntimeHints]:
    """Read the section back; a template in it is not taken for Hugging Face's.

    Args:
        data: The section.
        tokenizer: Tells the pieces where the section names tokens by their ids.

    Raises:
        BundleError: the bytes are not such a message, or tokens are given in several pieces.
        TokenizerError: an id is outside the tokenizer.
    """
    from google.protobuf.message import DecodeError
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    message = llm_metadata_pb2.LlmMetadata()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise BundleError(
            f"LlmMetadata ({len(data)} bytes) is damaged: {error}", "build or download it again"
        ) from error
    affixes = {
        f"prompt_{part}_{role}": getattr(getattr(message.prompt_templates, role), part)
        for role in ROLES
        for part in ("prefix", "suffix")
    }
    pad = _piece(message.pad_token, tokenizer)
    parameters = GenerationParameters(
        start_token=_piece(message.start_token, tokenizer),
        stop_tokens=tuple(_piece(token, tokenizer) for token in message.stop_tokens),
        **affixes,
        pad_token=pad or None,
        sampler=_sampler(message.sampler_params),
        max_tokens=None if message.max_num_tokens == 0 else message.max_num_tokens,
        supports_thinking=message.supports_thinking,
    )
    _check_values(parameters)
    hints = RuntimeHints(
        llm_model_type=message.llm_model_type.WhichOneof("model_type") or GENERIC_MODEL,
        min_runtime_version=message.min_runtime_version or None,
    )
    return parameters, hints


def _check_values(parameters: GenerationParameters) -> None:
    for name, check in {**CHECKS, **SAMPLER_CHECKS}.items():
        holder: Any = parameters.sampler if name in SAMPLER_CHECKS else parameters
        value = None if name == "sampler" else getattr(holder, name, None)
        try:
            if value is not None and name not in ("sources", "template_tokens"):
                check(name, value)
        except ValueError as error:
            raise BundleError(
                f"LlmMetadata says what cannot be: {error}", "make the bundle again"
            ) from error


def further_fields(data: bytes) -> tuple[str, ...]:
    """Return the names of the fields that are set and that edgegen's parameters do not hold."""
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    message = llm_metadata_pb2.LlmMetadata.FromString(data)
    return tuple(
        field.name
        for field, value in message.ListFields()
        if field.name not in _OURS and (field.name != "llm_model_type" or _says_more(value))
    )


def _says_more(model_type: Any) -> bool:
    """Tell whether a model type has fields of its own."""
    return any(chosen.ListFields() for _, chosen in model_type.ListFields())


def template_of(data: bytes) -> str | None:
    """Return the chat template in the runtime's own dialect, if there is one."""
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    return llm_metadata_pb2.LlmMetadata.FromString(data).jinja_prompt_template or None


def without_template(data: bytes) -> bytes:
    """Return the message without its chat template."""
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    message = llm_metadata_pb2.LlmMetadata.FromString(data)
    message.ClearField("jinja_prompt_template")
    content: bytes = message.SerializeToString(deterministic=True)
    return content


def merged_with_side(
    told: GenerationParameters, side: GenerationParameters
) -> GenerationParameters:
    """Return what LlmMetadata says, with the rest from the side section.

    The runtime reads LlmMetadata alone, so where both speak that counts.
    """
    changed = {
        name: value
        for name, value in vars(told).items()
        if name not in ("sources", "system_prompt", "max_output_tokens", "chat_template")
        and name not in ("start_token_id", "stop_token_ids", "pad_token_id", "template_tokens")
        and name != "enable_bytes_to_unicode_mapping"
        and not (name == "sampler" and _same_sampling(told.sampler, side.sampler))
        and value != getattr(side, name)
    }
    for token in ("start_token", "pad_token"):
        if token in changed:
            changed[f"{token}_id"] = None
    if "stop_tokens" in changed:
        changed["stop_token_ids"] = ()
    sources = {**side.sources, **dict.fromkeys(changed, "LlmMetadata")}
    return replace(side, **changed, sources=sources)


def _set_sampler(message: Any, sampler: Sampler) -> None:
    """Write a sampler as LiteRT-LM has them: greedy, or the k likeliest with p and temperature."""
    if sampler == Sampler():
        return
    if sampler.do_sample is False or sampler.temperature == 0:
        message.type = message.GREEDY
    else:
        message.type = message.TOP_P
        # What is not said is as in transformers' GenerationConfig; 0 would be taken literally.
        message.k = 50 if sampler.top_k is None else sampler.top_k
        message.p = 1.0 if sampler.top_p is None else sampler.top_p
        message.temperature = 1.0 if sampler.temperature is None else sampler.temperature
    if sampler.seed is not None:
        message.seed = sampler.seed


def _sampler(message: Any) -> Sampler:
    seed = message.seed if message.HasField("seed") else None
    if message.type == message.GREEDY:
        return Sampler(do_sample=False, seed=seed)
    if message.type == message.TYPE_UNSPECIFIED:
        return Sampler(seed=seed)
    return Sampler(
        do_sample=True,
        # Stored in 32 bits; seven digits are all there is.
        temperature=round(message.temperature, 7),
        top_k=None if message.k == 0 else message.k,
        top_p=round(message.p, 7) if message.type == message.TOP_P else None,
        seed=seed,
    )


def _same_sampling(told: Sampler, side: Sampler) -> bool:
    """Tell whether two samplers are one to the runtime, which keeps less."""
    from litert_lm_builder.runtime.proto import sampler_params_pb2

    written = []
    for sampler in (told, side):
        message = sampler_params_pb2.SamplerParameters()
        _set_sampler(message, sampler)
        written.append(message)
    return bool(written[0] == written[1])


def _piece(token: Any, tokenizer: Tokenizer) -> str:
    if token.HasField("token_str"):
        return str(token.token_str)
    ids = list(token.token_ids.ids)
    if len(ids) > 1:
        raise BundleError(
            f"LlmMetadata names a token of several ids, {ids[:8]}, expected one",
            "edgegen reads bundles whose start and stop tokens are one piece each",
        )
    return tokenizer.id_piece(ids[0]) if ids else ""
