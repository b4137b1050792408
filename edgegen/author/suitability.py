"""Telling whether a checkpoint can be authored, and what is missing if not; no weights are read."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from edgegen.author.checkpoint import Checkpoint, open_checkpoint
from edgegen.author.features import FEATURES, words_for
from edgegen.errors import ConfigError, EdgegenError, WeightsError, did_you_mean

Verdict = Literal["supported", "nearly", "no"]
_MOST_PROBLEMS = 50
_MOST_LINES = 12


@dataclass(frozen=True)
class Suitability:
    """What `check_checkpoint` found.

    Attributes:
        verdict: `supported`; `nearly`, where a few named things are missing; or `no`.
        model_type: What the checkpoint says it is.
        closest: The architecture whose file fits best, if any.
        parameter_count: Parameters of the model, a tied matrix counted once; `None` where it
            cannot be built.
        missing: What would have to be there, in words.
        present: For an unknown architecture, what it asks for that blocks exist for.
        hint: What to do next.
    """

    verdict: Verdict
    model_type: str | None
    closest: str | None
    parameter_count: int | None
    missing: tuple[str, ...]
    present: tuple[str, ...]
    hint: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def check_checkpoint(path: str | Path) -> Suitability:
    """Tell whether the checkpoint in a folder can be authored.

    Raises:
        CheckpointError: the folder is not a readable checkpoint at all.
    """
    from edgegen.author.models import ARCHITECTURES, architecture_of

    checkpoint = open_checkpoint(path)
    found = checkpoint.config.get("model_type") or checkpoint.config.get("_class_name")
    model_type = found if isinstance(found, str) else None
    try:
        architecture_of(checkpoint.config)
    except ConfigError as error:
        if model_type is None:
            return _no(None, [error.message], error.hint)
        return _unknown_architecture(checkpoint, model_type, ARCHITECTURES)
    return _known_architecture(checkpoint, model_type)


def _known_architecture(checkpoint: Checkpoint, model_type: str | None) -> Suitability:
    from edgegen.author.models import architecture_name

    closest = str(architecture_name(checkpoint.config))
    config, problems, final = _accepted_part(checkpoint.config)
    missing = [_in_words(problem) for problem in problems]
    if config is None:
        assert final is not None
        return Suitability(
            "no", model_type, closest, None, (*missing, final.message), (), final.hint
        )
    differences, parameter_count, stored_error = _differences(checkpoint, config)
    if stored_error is not None:
        return Suitability(
            "no", model_type, closest, None, (*missing, stored_error.message), (), stored_error.hint
        )
    missing += differences
    if not missing:
        return Suitability("supported", model_type, closest, parameter_count, (), (), None)
    return Suitability(
        "nearly",
        model_type,
        closest,
        None,
        tuple(missing),
        (),
        f"teach edgegen/author/models/{closest}.py what is missing, or use a checkpoint without "
        "it; docs/how-to/author-a-model.md shows how",
    )


def _accepted_part(
    raw: Mapping[str, Any],
) -> tuple[dict[str, Any] | None, list[ConfigError], ConfigError | None]:
    """Drop what the architecture refuses until it accepts the rest.

    Returns:
        The accepted rest, or `None` if it cannot be had by dropping keys; what was refused; and
        the error that no dropping cures.
    """
    from edgegen.author.models import architecture_of

    rest = copy.deepcopy(dict(raw))
    problems: list[ConfigError] = []
    while len(problems) < _MOST_PROBLEMS:
        try:
            architecture_of(rest).read_config(rest)
        except ConfigError as error:
            if not error.keys or not all(_dropped(rest, path) for path in error.keys):
                return None, problems, error
            problems.append(error)
        else:
            return rest, problems, None
    return None, problems, problems.pop()


def _dropped(raw: dict[str, Any], path: tuple[str, ...]) -> bool:
    """Remove the key at `path`; tell whether it was there."""
    for name in path[:-1]:
        raw = raw.get(name, {})
    return raw.pop(path[-1], None) is not None


def _in_words(problem: ConfigError) -> str:
    features = sorted({words_for(path[-1]) for path in problem.keys if path[-1] in FEATURES})
    return f"{', '.join(features)}: {problem.message}" if features else problem.message


def _differences(
    checkpoint: Checkpoint, config: Mapping[str, Any]
) -> tuple[list[str], int | None, EdgegenError | None]:
    """Compare the tensors with those of the model that `config` describes."""
    from edgegen.author.model import author_model

    described = Checkpoint(
        checkpoint.path,
        config,
        checkpoint.generation_config,
        checkpoint.tokenizer_config,
        checkpoint.tensors,
        checkpoint.files,
        checkpoint.nbytes,
    )
    try:
        return [], author_model(described).parameter_count, None
    except WeightsError as error:
        lines = [f"tensor {line}" for line in error.differences] or [error.message]
        more = len(lines) - _MOST_LINES
        return lines[:_MOST_LINES] + ([f"{more} more tensors"] if more > 0 else []), None, None
    except EdgegenError as error:
        return [], None, error


def _unknown_architecture(
    checkpoint: Checkpoint, model_type: str, known: tuple[str, ...]
) -> Suitability:
    """Say what an architecture without a file asks for, and what it is close to."""
    asked = {FEATURES[k] for k, v in checkpoint.config.items() if v and k in FEATURES}
    lacking = sorted(feature.words for feature in asked if feature.block is None)
    present = sorted(f"{feature.words}: {feature.block}" for feature in asked if feature.block)
    closest = _closest(checkpoint, known)
    missing = [f"a file for the architecture {model_type}"]
    missing += [f"a block for {words}" for words in lacking]
    verdict: Verdict = "nearly" if closest and not lacking else "no"
    hint = did_you_mean(model_type, known)
    if closest:
        hint = (
            f"its tensors are named as those of {closest}: start from "
            f"edgegen/author/models/{closest}.py and docs/how-to/author-a-model.md"
        )
    return Suitability(verdict, model_type, closest, None, tuple(missing), tuple(present), hint)


def _closest(checkpoint: Checkpoint, known: tuple[str, ...]) -> str | None:
    """Return the architecture that knows most of the tensors' names, if it knows the most part.

    Of several that know as many, the one whose config refuses least.
    """
    from edgegen.author.models import architecture
    from edgegen.author.weights import known_names

    counts = {}
    for name in known:
        chosen = architecture(name)
        weight_map = chosen.weight_map(chosen.read_config(chosen.tiny_config()))
        counts[name] = len(known_names(weight_map, checkpoint.tensors))
    most = max(counts.values())
    if most <= len(checkpoint.tensors) / 2:
        return None
    tied = [name for name, count in counts.items() if count == most]
    return min(tied, key=lambda name: _refused({**checkpoint.config, "model_type": name}))


def _refused(config: Mapping[str, Any]) -> int:
    rest, problems, _ = _accepted_part(config)
    keys = sum(len(problem.keys) for problem in problems)
    return _MOST_PROBLEMS * 10 if rest is None else keys


def _no(model_type: str | None, missing: list[str], hint: str | None) -> Suitability:
    return Suitability("no", model_type, None, None, tuple(missing), (), hint)
