"""How the engine is to start, stop, sample and frame a conversation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgegen.bundle.chat_files import find_template, template_tokens, thinks
from edgegen.bundle.checkpoint_values import FromFiles
from edgegen.bundle.generation_toml import NO_TEMPLATE as NO_TEMPLATE
from edgegen.bundle.generation_toml import check_no_name, read_parameters_file
from edgegen.bundle.parameter_values import CHECKS, SAMPLER_CHECKS, with_sampling
from edgegen.bundle.parameters import GenerationParameters as GenerationParameters
from edgegen.bundle.parameters import Sampler
from edgegen.errors import BundleError, TokenizerError, did_you_mean

if TYPE_CHECKING:
    from edgegen.author.checkpoint import Checkpoint

# Fields that may be given, by flag or in a file; the others follow from them.
_FOLLOWING = ("start_token_id", "stop_token_ids", "pad_token_id", "template_tokens", "sources")
GIVEN_FIELDS = tuple(
    name for name in (*CHECKS, *SAMPLER_CHECKS) if name not in (*_FOLLOWING, "sampler")
)


class Pieces(Protocol):
    """What is asked of a tokenizer here; all of edgegen's can tell it."""

    @property
    def path(self) -> Path:
        """Where it came from, for messages."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`."""

    def piece_id(self, piece: str) -> int | None:
        """Return the id of exactly this piece, or `None`."""

    def id_piece(self, token_id: int) -> str:
        """Return the piece of an id, or raise `TokenizerError`."""


def generation_parameters(
    checkpoint: Checkpoint,
    tokenizer: Pieces,
    *,
    toml: str | Path | None = None,
    needs_start: bool = True,
    **overrides: Any,
) -> GenerationParameters:
    """Read a checkpoint's generation parameters and check them against its tokenizer.

    `overrides` go before the file `toml`, which goes before the checkpoint's files:
    `generation_config.json`, else `config.json`, for ids and sampling; `tokenizer_config.json`
    for a missing start token, more stop tokens (chat models name their end of turn there) and
    the template's tokens; `chat_template.jinja`, else `tokenizer_config.json`, for the template.
    Prefixes and suffixes are taken as given: `edgegen.bundle.chat.fit` derives them.

    Args:
        checkpoint: The opened folder.
        tokenizer: Its tokenizer.
        toml: A file of `GIVEN_FIELDS`; see `edgegen.bundle.generation_toml`.
        needs_start: Refuse parameters without a start token, which a `.task` must have.
        overrides: `GIVEN_FIELDS`; `None` says nothing. `chat_template` is a template, the name
            of one of the checkpoint's, or `none`.

    Raises:
        BundleError: a value is not of its kind or out of its range, or `toml` cannot be used.
        CheckpointError: a file of the checkpoint says what cannot be.
        TokenizerError: no stop token is known, an id is outside the tokenizer, or a start or
            stop token is not exactly one piece of it.
        TypeError: an override is not a field.
    """
    values = _Values(
        checked_fields(overrides, template_names=True),
        {} if toml is None else read_parameters_file(Path(toml), template_names=True),
    )
    values.toml_name = "" if toml is None else Path(toml).name
    files = FromFiles(checkpoint, tokenizer)
    values.take("start_token", lambda: files.start_token(needs=needs_start))
    values.take("stop_tokens", files.stop_tokens)
    values.take("pad_token", files.pad_token)
    values.take("max_tokens", lambda: files.number("max_length", "max_tokens"))
    values.take("max_output_tokens", lambda: files.number("max_new_tokens", "max_output_tokens"))
    for name in SAMPLER_CHECKS:
        values.take(name, lambda name=name: files.sampling(name))
    for name in GIVEN_FIELDS:
        if name not in (*values.found, "chat_template", "supports_thinking"):
            values.take(name, lambda: None)
    values.set("chat_template", _template(checkpoint, values))
    template = values.found.get("chat_template")
    values.take("supports_thinking", lambda: _thinks(template))
    return _assembled(values, checkpoint, tokenizer, needs_start=needs_start)


class _Values:
    """Fields found so far and where each is from."""

    def __init__(self, given: Mapping[str, Any], toml: Mapping[str, Any]) -> None:
        self.given, self.toml, self.toml_name = given, toml, ""
        self.found: dict[str, Any] = {}
        self.sources: dict[str, str] = {}

    def said(self, name: str) -> tuple[Any, str] | None:
        """Return what a flag or the TOML file says, and which."""
        if name in self.given:
            return self.given[name], "given"
        return (self.toml[name], self.toml_name) if name in self.toml else None

    def take(self, name: str, from_files: Any) -> None:
        """Take a value from the first that has it; the files are asked last."""
        self.set(name, self.said(name) or from_files())

    def set(self, name: str, value: tuple[Any, str] | None) -> None:
        """Note a value with its source; `None` is no value."""
        if value is not None:
            self.found[name], source = value
            self.sources[f"sampler.{name}" if name in SAMPLER_CHECKS else name] = source


def checked_fields(overrides: Mapping[str, Any], *, template_names: bool = False) -> dict[str, Any]:
    """Return the fields that were given, each checked; `None` says nothing.

    Args:
        overrides: The fields. Where `do_sample` is not among them it follows from the others.
        template_names: `chat_template` may be a name, which the caller looks up in a checkpoint.

    Raises:
        BundleError: a value is not of its kind or out of its range.
        TypeError: a name is not one of `GIVEN_FIELDS`.
    """
    given = {}
    for name, value in overrides.items():
        if name not in GIVEN_FIELDS:
            raise TypeError(f"no generation parameter {name!r}; {did_you_mean(name, GIVEN_FIELDS)}")
        if value is None:
            continue
        if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
            value = list(value)
        try:
            given[name] = {**CHECKS, **SAMPLER_CHECKS}[name](name, value)
        except ValueError as error:
            raise BundleError(
                f"generation parameter {error}", f"correct {name}, or leave it out"
            ) from None
    if "chat_template" in given and not template_names:
        check_no_name("generation parameters", given["chat_template"])
    return with_sampling(given)


def _template(checkpoint: Checkpoint, values: _Values) -> tuple[str, str] | None:
    said = values.said("chat_template")
    if said is not None and said[0] == NO_TEMPLATE:
        return None
    found = find_template(checkpoint, None if said is None else said[0])
    return found if found is not None else said


def _thinks(template: str | None) -> tuple[bool, str] | None:
    return (True, "chat template") if template is not None and thinks(template) else None


def _assembled(
    values: _Values, checkpoint: Checkpoint, tokenizer: Pieces, *, needs_start: bool
) -> GenerationParameters:
    found = dict(values.found)
    sampler = Sampler(**{name: found.pop(name) for name in SAMPLER_CHECKS if name in found})
    found.setdefault("start_token", "")
    found.setdefault("stop_tokens", ())
    parameters = GenerationParameters(**found, sampler=sampler, sources=values.sources)
    check_tokens(parameters, tokenizer, needs_start=needs_start)
    stop_ids = (tokenizer.piece_id(token) for token in parameters.stop_tokens)
    pad, start = parameters.pad_token, parameters.start_token
    return dataclasses.replace(
        parameters,
        start_token_id=tokenizer.piece_id(start) if start else None,
        stop_token_ids=tuple(i for i in stop_ids if i is not None),
        pad_token_id=None if pad is None else tokenizer.piece_id(pad),
        template_tokens=(
            {} if parameters.chat_template is None else template_tokens(checkpoint, parameters)
        ),
    )


def check_tokens(
    parameters: GenerationParameters, tokenizer: Pieces, *, needs_start: bool = True
) -> None:
    """Raise `TokenizerError` unless every start and stop token is one piece of `tokenizer`.

    MediaPipe's bundler documents this check but does not make it; the engine would then
    never stop.
    """
    if not parameters.stop_tokens:
        raise TokenizerError(
            "no stop token is known, expected at least one: the model would never stop",
            "set eos_token_id in generation_config.json, or pass stop_tokens",
        )
    if not parameters.start_token and needs_start:
        raise TokenizerError(
            "no start token is known, and LiteRT-LM aborts on a bundle without one",
            "set bos_token_id in generation_config.json, or pass start_token",
        )
    stops = (("stop", token) for token in parameters.stop_tokens)
    starts = (("start", parameters.start_token),) if parameters.start_token else ()
    for role, token in (*starts, *stops):
        if tokenizer.piece_id(token) is None:
            raise TokenizerError(
                f"{role} token {token!r} is not a piece of {tokenizer.path}, where it is "
                f"{len(tokenizer.encode(token))} pieces",
                f"name a {role} token that the tokenizer has; tokens that only "
                "tokenizer.json or added_tokens.json know cannot be bundled",
            )
