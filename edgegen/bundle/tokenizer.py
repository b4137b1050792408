"""The SentencePiece tokenizer of a checkpoint, the only kind that a `.task` carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from edgegen.errors import TokenizerError

# Names under which checkpoints keep the SentencePiece proto, in order of preference.
TOKENIZER_FILES = ("tokenizer.model", "spiece.model")
# The largest published ones (262 k pieces) have 5 MB.
MAX_TOKENIZER_BYTES = 128 * 1024**2

_OTHER_KINDS = ("tokenizer.json", "vocab.json", "merges.txt", "tiktoken.model", "vocab.txt")


@dataclass(frozen=True)
class SentencePieceTokenizer:
    """A SentencePiece tokenizer, checked to load.

    Attributes:
        path: Where it came from, for messages.
        proto: The serialized model, as the bundle carries it.
    """

    path: Path
    proto: bytes = field(repr=False)

    @cached_property
    def _processor(self) -> Any:
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(self.proto)
        except RuntimeError as error:
            raise TokenizerError(
                f"{self.path} ({len(self.proto)} bytes) is not a SentencePiece model",
                "download or copy the file again; Git LFS pointers and cut-off downloads "
                "look like this",
            ) from error
        return processor

    @property
    def vocab_size(self) -> int:
        """Number of pieces; ids run from 0 to one less."""
        return int(self._processor.vocab_size())

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, without start or stop tokens."""
        return [int(i) for i in self._processor.encode(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`; control pieces give nothing.

        Raises:
            TokenizerError: an id is not in the vocabulary.
        """
        for i in ids:
            self._check_id(i)
        return str(self._processor.decode(list(ids)))

    def piece_id(self, piece: str) -> int | None:
        """Return the id of exactly this piece, or `None` if there is no such piece."""
        found = int(self._processor.piece_to_id(piece))
        # SentencePiece answers unknown pieces with the id of <unk>.
        return found if self._processor.id_to_piece(found) == piece else None

    def id_piece(self, token_id: int) -> str:
        """Return the piece of an id.

        Raises:
            TokenizerError: the id is not in the vocabulary.
        """
        self._check_id(token_id)
        return str(self._processor.id_to_piece(token_id))

    def _check_id(self, token_id: int) -> None:
        if not 0 <= token_id < self.vocab_size:
            raise TokenizerError(
                f"token id {token_id} is outside the tokenizer {self.path}, "
                f"which has {self.vocab_size} pieces",
                "the configs and the tokenizer are of different models; take all files from one",
            )


def open_tokenizer(folder: str | Path, *, vocab_size: int | None = None) -> SentencePieceTokenizer:
    """Open the SentencePiece tokenizer of a checkpoint folder.

    Args:
        folder: The checkpoint folder.
        vocab_size: The model's `vocab_size`; the tokenizer must cover all of it.

    Raises:
        TokenizerError: there is none, it is of another kind, it is damaged, or it has fewer
            pieces than the model has logits.
    """
    path = _find(Path(folder))
    size = path.stat().st_size
    if size > MAX_TOKENIZER_BYTES:
        raise TokenizerError(
            f"{path} has {size} bytes, expected at most {MAX_TOKENIZER_BYTES}",
            "this is not a tokenizer; download the file again",
        )
    tokenizer = SentencePieceTokenizer(path, path.read_bytes())
    if vocab_size is not None and tokenizer.vocab_size < vocab_size:
        raise TokenizerError(
            f"{path} has {tokenizer.vocab_size} pieces but the model's vocab_size is {vocab_size}",
            "the engine stops with an error at the first id outside the tokenizer: shrink the "
            f"model with model.resize_token_embeddings({tokenizer.vocab_size}), or use the "
            "tokenizer that has the added tokens",
        )
    return tokenizer


def _find(folder: Path) -> Path:
    for name in TOKENIZER_FILES:
        if (folder / name).is_file():
            return folder / name
    others = [name for name in _OTHER_KINDS if (folder / name).is_file()]
    if others:
        raise TokenizerError(
            f"{folder} holds {', '.join(others)} but no {' or '.join(TOKENIZER_FILES)}: "
            "a .task bundle carries SentencePiece tokenizers only",
            "if the model has a SentencePiece tokenizer, copy its tokenizer.model into the "
            "folder; other kinds cannot be bundled",
        )
    raise TokenizerError(
        f"{folder} holds no tokenizer, expected {' or '.join(TOKENIZER_FILES)}",
        "copy the model's tokenizer.model into the folder",
    )
