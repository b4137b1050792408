"""Generation parameters as the files of a checkpoint say them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgegen.bundle.parameter_values import CHECKS, DRAWING, SAMPLER_CHECKS, text
from edgegen.errors import CheckpointError, TokenizerError

if TYPE_CHECKING:
    from edgegen.author.checkpoint import Checkpoint
    from edgegen.bundle.generation import Pieces

_GENERATION, _CONFIG, _TOKENIZER = (
    "generation_config.json",
    "config.json",
    "tokenizer_config.json",
)
# Where generation_config.json says how to draw tokens, but not whether to.
_NOT_DRAWN = "transformers' default"
Found = tuple[Any, str] | None


class FromFiles:
    """Looks values up; each comes with the name of its file, `None` where no file says it."""

    def __init__(self, checkpoint: Checkpoint, tokenizer: Pieces) -> None:
        self._checkpoint, self._tokenizer = checkpoint, tokenizer

    def start_token(self, *, needs: bool) -> Found:
        """Return the token that the checkpoint puts first.

        Args:
            needs: Refuse a checkpoint that puts none first, for a bundle that must have one.
        """
        if self._checkpoint.tokenizer_config.get("add_bos_token") is False:
            if not needs:
                return None
            raise TokenizerError(
                f"{self._checkpoint.path / _TOKENIZER} has add_bos_token = false, but engines "
                "put a start token before every prompt: the answers would not be the checkpoint's",
                "if the model takes a start token all the same, pass it as start_token",
            )
        ids, file = self._ids("bos_token_id")
        if ids:
            return self._tokenizer.id_piece(ids[0]), file
        named = named_token(self._checkpoint.tokenizer_config, "bos_token")
        return None if named is None else (named, _TOKENIZER)

    def stop_tokens(self) -> Found:
        """Return the tokens of `eos_token_id`, with the tokenizer's own."""
        ids, file = self._ids("eos_token_id")
        tokens = [self._tokenizer.id_piece(i) for i in ids]
        named = named_token(self._checkpoint.tokenizer_config, "eos_token")
        files = [file] if tokens else []
        if named is not None and named not in tokens:
            tokens, files = [*tokens, named], [*files, _TOKENIZER]
        return (tuple(dict.fromkeys(tokens)), ", ".join(files)) if tokens else None

    def pad_token(self) -> Found:
        """Return the pad token, if the tokenizer has it: nothing depends on it."""
        named = named_token(self._checkpoint.tokenizer_config, "pad_token")
        if named is not None:
            return (named, _TOKENIZER) if self._tokenizer.piece_id(named) is not None else None
        ids, file = self._ids("pad_token_id")
        if not ids:
            return None
        try:
            return self._tokenizer.id_piece(ids[0]), file
        except TokenizerError:
            return None  # -1 and ids after the last stand for none

    def number(self, key: str, field: str) -> Found:
        """Return a count of `generation_config.json`."""
        value = self._checkpoint.generation_config.get(key)
        return None if value is None else (self._checked(key, value, CHECKS[field]), _GENERATION)

    def sampling(self, key: str) -> Found:
        """Return a sampler field of `generation_config.json`.

        transformers draws only where the file says `do_sample`; without it, it passes over a
        temperature that stands there. So it is greedy here, too, unless the file says nothing.
        """
        value = self._checkpoint.generation_config.get(key)
        if key == "do_sample" and value is None:
            drawing = any(self.sampling(name) is not None for name in DRAWING)
            return (False, _NOT_DRAWN) if drawing else None
        # transformers writes 0 for a top_k that leaves all tokens in.
        if value is None or key == "seed" or (key == "top_k" and value == 0):
            return None
        return self._checked(key, value, SAMPLER_CHECKS[key]), _GENERATION

    def _checked(self, key: str, value: object, check: Any) -> Any:
        try:
            return check(key, value)
        except ValueError as error:
            raise CheckpointError(
                f"{self._checkpoint.path / _GENERATION}: {error}",
                f"correct {key} there, or remove it",
            ) from None

    def _ids(self, key: str) -> tuple[list[int], str]:
        for file, config in (
            (_GENERATION, self._checkpoint.generation_config),
            (_CONFIG, self._checkpoint.config),
        ):
            value = config.get(key)
            if value is None:
                continue
            ids = value if isinstance(value, list) else [value]
            # bool is an int in Python, but `true` is no token id.
            if not all(isinstance(i, int) and not isinstance(i, bool) for i in ids):
                raise TokenizerError(
                    f"{self._checkpoint.path / file} has {key} = {value!r}, expected a number or "
                    "a list of numbers",
                    f"correct {key}, or remove it to use the next file that names it",
                )
            return list(ids), file
        return [], ""


def named_token(tokenizer_config: Mapping[str, Any], key: str) -> str | None:
    """Return a token that `tokenizer_config.json` names.

    Raises:
        TokenizerError: what it names is no text.
    """
    value = tokenizer_config.get(key)
    if isinstance(value, Mapping):  # transformers saves AddedToken objects like this
        value = value.get("content")
    if value is not None and not isinstance(value, str):
        raise TokenizerError(
            f"tokenizer_config.json has {key} = {value!r}, expected text",
            f"correct {key} in tokenizer_config.json",
        )
    try:
        return text(key, value) if value else None
    except ValueError as error:
        raise TokenizerError(
            f"tokenizer_config.json: {error}", f"correct {key} in tokenizer_config.json"
        ) from None
