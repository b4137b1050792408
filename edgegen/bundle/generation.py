"""How the engine is to start, stop and frame a conversation: the bundle's METADATA."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgegen.bundle.tokenizer import SentencePieceTokenizer
from edgegen.errors import TokenizerError, did_you_mean

if TYPE_CHECKING:
    from edgegen.author.checkpoint import Checkpoint


@dataclass(frozen=True)
class GenerationParameters:
    """What the bundle tells the engine about tokens and prompts.

    Attributes:
        start_token: Piece put before every prompt.
        stop_tokens: Pieces, any of which ends the answer.
        prompt_prefix_user: Text before what the user says.
        prompt_suffix_user: Text after it.
        prompt_prefix_model: Text before what the model answers.
        prompt_suffix_model: Text after it.
        prompt_prefix_system: Text before the system instruction.
        prompt_suffix_system: Text after it.
    """

    start_token: str
    stop_tokens: tuple[str, ...]
    prompt_prefix_user: str = ""
    prompt_suffix_user: str = ""
    prompt_prefix_model: str = ""
    prompt_suffix_model: str = ""
    prompt_prefix_system: str = ""
    prompt_suffix_system: str = ""


def generation_parameters(
    checkpoint: Checkpoint,
    tokenizer: SentencePieceTokenizer,
    **overrides: str | Iterable[str],
) -> GenerationParameters:
    """Read the start and stop tokens of a checkpoint and check them against its tokenizer.

    Ids come from `generation_config.json`, else `config.json`; names in
    `tokenizer_config.json` fill in a missing start token and add to the stop tokens (chat
    models name their end of turn there). `overrides` are fields of `GenerationParameters`
    and go before all files.

    Raises:
        TokenizerError: no stop token is known, an id is outside the tokenizer, or a start or
            stop token is not exactly one piece of it.
        TypeError: an override is not a field.
    """
    fields = [field.name for field in dataclasses.fields(GenerationParameters)]
    for name in overrides:
        if name not in fields:
            raise TypeError(f"no generation parameter {name!r}; {did_you_mean(name, fields)}")
    values: dict[str, Any] = {
        name: value if isinstance(value, str) else tuple(value) for name, value in overrides.items()
    }
    if "start_token" not in values:
        values["start_token"] = _start_token(checkpoint, tokenizer)
    stops = values.get("stop_tokens")
    if stops is None:
        stops = _stop_tokens(checkpoint, tokenizer)
    values["stop_tokens"] = (stops,) if isinstance(stops, str) else tuple(stops)
    parameters = GenerationParameters(**values)
    check_tokens(parameters, tokenizer)
    return parameters


def check_tokens(parameters: GenerationParameters, tokenizer: SentencePieceTokenizer) -> None:
    """Raise `TokenizerError` unless every start and stop token is one piece of `tokenizer`.

    MediaPipe's bundler documents this check but does not make it; the engine would then
    never stop.
    """
    if not parameters.stop_tokens:
        raise TokenizerError(
            "no stop token is known, expected at least one: the model would never stop",
            "set eos_token_id in generation_config.json, or pass stop_tokens",
        )
    if not parameters.start_token:
        raise TokenizerError(
            "no start token is known, and LiteRT-LM aborts on a bundle without one",
            "set bos_token_id in generation_config.json, or pass start_token",
        )
    stops = (("stop", token) for token in parameters.stop_tokens)
    for role, token in (("start", parameters.start_token), *stops):
        if tokenizer.piece_id(token) is None:
            raise TokenizerError(
                f"{role} token {token!r} is not a piece of {tokenizer.path}, where it is "
                f"{len(tokenizer.encode(token))} pieces",
                f"name a {role} token that the tokenizer has; tokens that only "
                "tokenizer.json or added_tokens.json know cannot be bundled",
            )


def _start_token(checkpoint: Checkpoint, tokenizer: SentencePieceTokenizer) -> str:
    if checkpoint.tokenizer_config.get("add_bos_token") is False:
        raise TokenizerError(
            f"{checkpoint.path / 'tokenizer_config.json'} has add_bos_token = false, but engines "
            "put a start token before every prompt: the answers would not be the checkpoint's",
            "if the model takes a start token all the same, pass it as start_token",
        )
    ids = _ids(checkpoint, "bos_token_id")
    if ids:
        return tokenizer.id_piece(ids[0])
    return _named(checkpoint.tokenizer_config, "bos_token") or ""


def _stop_tokens(checkpoint: Checkpoint, tokenizer: SentencePieceTokenizer) -> tuple[str, ...]:
    tokens = [tokenizer.id_piece(i) for i in _ids(checkpoint, "eos_token_id")]
    named = _named(checkpoint.tokenizer_config, "eos_token")
    if named is not None:
        tokens.append(named)
    return tuple(dict.fromkeys(tokens))


def _ids(checkpoint: Checkpoint, key: str) -> list[int]:
    for file, config in (
        ("generation_config.json", checkpoint.generation_config),
        ("config.json", checkpoint.config),
    ):
        value = config.get(key)
        if value is None:
            continue
        ids = value if isinstance(value, list) else [value]
        # bool is an int in Python, but `true` is no token id.
        if not all(isinstance(i, int) and not isinstance(i, bool) for i in ids):
            raise TokenizerError(
                f"{checkpoint.path / file} has {key} = {value!r}, expected a number or a list "
                "of numbers",
                f"correct {key}, or remove it to use the next file that names it",
            )
        return list(ids)
    return []


def _named(tokenizer_config: Mapping[str, Any], key: str) -> str | None:
    value = tokenizer_config.get(key)
    if isinstance(value, Mapping):  # transformers saves AddedToken objects like this
        value = value.get("content")
    if value is not None and not isinstance(value, str):
        raise TokenizerError(
            f"tokenizer_config.json has {key} = {value!r}, expected text",
            f"correct {key} in tokenizer_config.json",
        )
    return value or None
