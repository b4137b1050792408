"""Where checkpoints keep their chat template, and what its variables stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgegen.bundle.checkpoint_values import named_token
from edgegen.bundle.parameter_values import MAX_ITEMS, MAX_TEXT_CHARACTERS, is_jinja
from edgegen.bundle.parameter_values import text as checked_text
from edgegen.bundle.parameters import GenerationParameters
from edgegen.errors import CheckpointError, did_you_mean

if TYPE_CHECKING:
    from edgegen.author.checkpoint import Checkpoint

# The newer place for the one that counts, and for others by their names.
TEMPLATE_FILE, TEMPLATE_FOLDER = "chat_template.jinja", "additional_chat_templates"
_CONFIG, _KEY, _DEFAULT = "tokenizer_config.json", "chat_template", "default"
_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")


def find_template(checkpoint: Checkpoint, asked: str | None) -> tuple[str, str] | None:
    """Return a template of the checkpoint and the file that it is from.

    Args:
        checkpoint: The opened folder.
        asked: The name of one, or a template; by default the one that transformers uses.

    Returns:
        `None` if there is none, or `asked` is a template itself.

    Raises:
        CheckpointError: there is none of that name, there are several and none is the default, or
            one is too long or no text that UTF-8 can hold.
    """
    found = _templates(checkpoint)
    if asked is not None:
        if asked in found or is_jinja(asked):
            return found.get(asked)
        raise CheckpointError(
            f"{checkpoint.path} has no chat template {asked!r:.80}, and no file is called so",
            did_you_mean(asked, [*found, "none"]),
        )
    if not found:
        return None
    if _DEFAULT not in found and len(found) > 1:
        raise CheckpointError(
            f"{checkpoint.path} has {len(found)} chat templates, but none is the default: "
            f"{', '.join(sorted(found))}",
            f"choose one: --chat-template {sorted(found)[0]}",
        )
    return found.get(_DEFAULT) or next(iter(found.values()))


def template_tokens(checkpoint: Checkpoint, parameters: GenerationParameters) -> dict[str, str]:
    """Return what the variables that transformers hands to a template stand for.

    That is every token that `tokenizer_config.json` names. Where it does not mention the start or
    the stop token, the engine's own stand in.
    """
    config = checkpoint.tokenizer_config
    tokens = {"bos_token": parameters.start_token, "eos_token": parameters.stop_tokens[0]}
    found = {name: token for name, token in tokens.items() if token and name not in config}
    for name, value in config.items():
        if not name.isidentifier():  # no template can ask for it
            continue
        if name in _TOKENS or (name.endswith("_token") and isinstance(value, str | Mapping)):
            token = named_token(config, name)
            if token is not None and len(found) < MAX_ITEMS:
                found[name] = token
    return found


def thinks(template: str) -> bool:
    """Tell whether a template knows of answers that begin with a block of thinking."""
    return re.search(r"enable_thinking|</think>|reasoning_content", template) is not None


def _templates(checkpoint: Checkpoint) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    value = checkpoint.tokenizer_config.get(_KEY)
    if isinstance(value, str):
        found[_DEFAULT] = (value, _CONFIG)
    elif value is not None:
        entries = value if isinstance(value, list) else [value]
        for entry in entries:
            name = entry.get("name") if isinstance(entry, Mapping) else None
            text = entry.get("template") if isinstance(entry, Mapping) else None
            if not isinstance(name, str) or not isinstance(text, str):
                raise CheckpointError(
                    f"{checkpoint.path / _CONFIG} has a {_KEY} that is neither text nor a list of "
                    "names with templates",
                    "take the file that the model was published with, or none: "
                    "--chat-template none",
                )
            found[name] = (text, _CONFIG)
    folder = checkpoint.path / TEMPLATE_FOLDER
    for path in sorted(folder.glob("*.jinja"))[:MAX_ITEMS] if folder.is_dir() else ():
        found[path.stem] = (_read(path), f"{TEMPLATE_FOLDER}/{path.name}")
    # As in transformers: where there is a file, the config's templates do not count.
    if (checkpoint.path / TEMPLATE_FILE).is_file():
        found[_DEFAULT] = (_read(checkpoint.path / TEMPLATE_FILE), TEMPLATE_FILE)
    for name, (text, file) in found.items():
        try:
            checked_text(f"the chat template {name!r} in {checkpoint.path / file}", text)
        except ValueError as error:
            raise CheckpointError(
                str(error), "this is no template that a model was published with"
            ) from None
    return found


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            # One byte more than the longest: what is cut off is still too long.
            return file.read(4 * MAX_TEXT_CHARACTERS + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text in UTF-8"
        raise CheckpointError(
            f"the chat template {path} cannot be read: {reason}", "download or copy it again"
        ) from None
