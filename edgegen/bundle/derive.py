"""A bundle from another: the other format, or other metadata around the same weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgegen.bundle.chat.fit import with_new_template, with_prompt_texts
from edgegen.bundle.chat.stops import with_template_stops
from edgegen.bundle.contents import Bundle, Contents, RuntimeHints
from edgegen.bundle.dimensions import read_dimensions
from edgegen.bundle.formats import (
    FORMATS,
    check_bundle_name,
    format_of,
    open_bundle,
    write_contents,
)
from edgegen.bundle.generation import NO_TEMPLATE, check_tokens, checked_fields
from edgegen.bundle.generation_toml import read_parameters_file
from edgegen.bundle.inspect import read_provenance
from edgegen.bundle.llm_metadata import without_template
from edgegen.bundle.parameters import SAMPLER_FIELDS, GenerationParameters
from edgegen.bundle.tokenizers.convert import convert_tokenizer
from edgegen.bundle.tokenizers.hugging_face import HfTokenizer
from edgegen.errors import BundleError
from edgegen.files import atomic_output, refuse_overwrite
from edgegen.provenance import hash_files, provenance_path, tool_versions


@dataclass(frozen=True)
class Derived:
    """A bundle that was made from another.

    Attributes:
        bundle: It.
        provenance: The record beside it.
        not_carried: What the other format has no place for, and what else is to be known, in words.
    """

    bundle: Bundle
    provenance: Path
    not_carried: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "bundle": str(self.bundle.path),
            "bundle_bytes": self.bundle.path.stat().st_size,
            "provenance": str(self.provenance),
            "not_carried": list(self.not_carried),
        }


def convert_bundle(
    source: str | Path, output: str | Path, *, max_mismatch_rate: float = 0.0, force: bool = False
) -> Derived:
    """Write a bundle in the format that `output` is named after.

    Args:
        source: A `.task` or `.litertlm`.
        output: The file to write.
        max_mismatch_rate: Where a `tokenizer.json` has to become a SentencePiece model, the share
            of the gate's comparisons in which it may differ.
        force: Replace it if it exists.

    Raises:
        BundleError: the source is damaged.
        TokenizerError: its tokenizer has no SentencePiece model, or none that passes the gate.
        OutputError: the output cannot be written.
    """
    target = Path(output)
    check_bundle_name(target)
    bundle = open_bundle(source)
    contents, form = bundle.contents, FORMATS[format_of(target)]
    check_tokens(contents.parameters, contents.tokenizer, needs_start=form.needs_start)
    lost = [*form.not_carried(contents)]
    if format_of(target) == "task" and isinstance(contents.tokenizer, HfTokenizer):
        converted = convert_tokenizer(
            contents.tokenizer,
            vocab_size=read_dimensions(bundle).vocab_size,
            max_mismatch_rate=max_mismatch_rate,
        )
        contents = replace(contents, tokenizer=converted.tokenizer)
        if converted.report.mismatches:
            lost.append(
                f"the tokenizer.json: of {converted.report.texts} texts "
                f"{converted.report.mismatches} have other tokens, or come back otherwise, in the "
                "SentencePiece model that stands for it"
            )
    if format_of(target) == "task" and contents.parameters.chat_template is not None:
        parameters, fit = with_prompt_texts(contents.parameters)
        contents = replace(contents, parameters=parameters)
        lost += () if fit is None else fit.notes
    return _derive(bundle, contents, target, "convert", tuple(lost), force=force)


def edit_bundle(
    source: str | Path,
    output: str | Path,
    *,
    parameters_file: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    hints: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Derived:
    """Write a bundle again with other metadata; models and tokenizer stay as they are.

    Args:
        source: A `.task` or `.litertlm`.
        output: The file to write, of the same format; may be `source` with `force`.
        parameters_file: A TOML file of parameters to change.
        parameters: Fields of `GenerationParameters`, and of its sampler, to change; they go
            before the file.
        hints: Fields of `RuntimeHints` to change, for a `.litertlm`.
        force: Replace `output` if it exists.

    Raises:
        BundleError: the source is damaged, a value is not of its kind, or hints were given for
            a `.task`.
        TokenizerError: a start or stop token is not a piece of the bundle's tokenizer.
        OutputError: the output cannot be written.
    """
    target = Path(output)
    check_bundle_name(target)
    bundle = open_bundle(source)
    if format_of(target) != bundle.format:
        raise BundleError(
            f"{bundle.path} is a {FORMATS[bundle.format].suffix}, the output {target.name} is not",
            "convert it first: edgegen bundle convert",
        )
    if hints and bundle.format != "litertlm":
        raise BundleError(
            f"{bundle.path} has no place for {', '.join(hints)}, only a .litertlm has",
            "convert it first: edgegen bundle convert",
        )
    contents = bundle.contents
    given = {} if parameters_file is None else read_parameters_file(Path(parameters_file))
    changes = {**given, **checked_fields(parameters or {})}
    changed = _changed(contents.parameters, changes)
    if "max_tokens" in changes:
        _require_room(changes["max_tokens"], read_dimensions(bundle).kv_cache_len)
    notes: tuple[str, ...] = ()
    if "chat_template" in changes:
        foreign = contents.foreign
        if foreign is not None and bundle.format == "litertlm":
            kept = without_template(foreign.metadata)
            contents = replace(contents, foreign=replace(foreign, metadata=kept))
        else:
            changed, fit = with_new_template(changed)
            notes = () if fit is None else fit.notes
        changed = with_template_stops(changed, contents.tokenizer.piece_id)
    needs_start = FORMATS[bundle.format].needs_start
    check_tokens(changed, contents.tokenizer, needs_start=needs_start)
    told: RuntimeHints = replace(contents.hints, **(hints or {}))
    contents = replace(contents, parameters=changed, hints=told)
    named = [*changes, *(hints or {})]
    return _derive(bundle, contents, target, "edit", notes, changed=named, force=force)


def _require_room(max_tokens: int, kv_cache_len: int | None) -> None:
    if kv_cache_len is not None and max_tokens > kv_cache_len:
        raise BundleError(
            f"max_tokens is {max_tokens}, but the KV cache has {kv_cache_len} slots",
            f"give at most {kv_cache_len}, or build again with a longer --kv-cache-len",
        )


def _changed(parameters: GenerationParameters, changes: Mapping[str, Any]) -> GenerationParameters:
    """Return `parameters` with `changes`; ids of changed tokens are no longer known."""
    sampling = {name: value for name, value in changes.items() if name in SAMPLER_FIELDS}
    changes = {name: value for name, value in changes.items() if name not in sampling}
    if changes.get("chat_template") == NO_TEMPLATE:
        changes["chat_template"] = None
    forgotten: dict[str, Any] = {}
    if sampling:
        forgotten["sampler"] = replace(parameters.sampler, **sampling)
    if "start_token" in changes:
        forgotten["start_token_id"] = None
    if "stop_tokens" in changes:
        forgotten["stop_token_ids"] = ()
    named = [*changes, *(f"sampler.{name}" for name in sampling)]
    sources = {**parameters.sources, **dict.fromkeys(named, "edit")}
    return replace(parameters, **{**forgotten, **changes, "sources": sources})


def _derive(
    bundle: Bundle,
    contents: Contents,
    target: Path,
    operation: str,
    lost: tuple[str, ...],
    *,
    changed: Sequence[str] = (),
    force: bool,
) -> Derived:
    beside = provenance_path(target)
    for path in (target, beside):
        refuse_overwrite(path, force=force)
    # Read now: the output may replace the source.
    before = hash_files([bundle.path], "hash bundle")[bundle.path.name]
    record = read_provenance(bundle.path) or {}
    steps = record.pop("derived", [])
    if not isinstance(steps, list):
        raise BundleError(
            f"{provenance_path(bundle.path)} is damaged: its `derived` is no list",
            f"remove {provenance_path(bundle.path).name}, or build the bundle again",
        )
    # What was found out about the source does not hold for what comes out.
    found = {name: record.pop(name) for name in ("check", "chat_template") if name in record}
    made = write_contents(contents, target, force=force)
    derived = [
        *steps,
        {
            "operation": operation,
            "from_sha256": before,
            "from_format": bundle.format,
            "not_carried": list(lost),
            "changed": list(changed),
            "found_before": found,
            "tools": tool_versions(),
        },
    ]
    content = {
        "schema": "edgegen.provenance/1",
        **record,
        "generation_parameters": asdict(contents.parameters),
        "bundle_sha256": hash_files([target], "hash bundle")[target.name],
        "derived": derived,
    }
    with atomic_output(beside, force=force) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return Derived(made, beside, lost)
