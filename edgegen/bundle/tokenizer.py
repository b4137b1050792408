"""The SentencePiece tokenizer that a `.task` carries, from whatever tokenizer a checkpoint has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgegen.bundle.tokenizers.proto import NO_PIECE, Piece, PieceType, with_pieces
from edgegen.bundle.tokenizers.tokenizer_json import FILE_NAME, read_tokenizer_json
from edgegen.errors import TokenizerError

if TYPE_CHECKING:
    from edgegen.bundle.tokenizers.hugging_face import HfTokenizer

# Names under which checkpoints keep the SentencePiece proto, in order of preference.
TOKENIZER_FILES = ("tokenizer.model", "spiece.model")
# The largest published ones (262 k pieces) have 5 MB.
MAX_TOKENIZER_BYTES = 128 * 1024**2
# Models have more rows than their tokenizers have ids, to a multiple of 64 or 128, seldom to more:
# Phi-2's 51 200 for 50 295 are the most by share, one in 57.
MOST_PADDING = 16

_OTHER_KINDS = ("vocab.json", "merges.txt", "tiktoken.model", "vocab.txt")


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
        except (RuntimeError, UnicodeDecodeError) as error:  # its words may be no text
            raise TokenizerError(
                f"{self.path} ({len(self.proto)} bytes) is not a SentencePiece model",
                "download or copy the file again; Git LFS pointers and cut-off downloads "
                "look like this",
            ) from error
        return processor

    @property
    def vocab_size(self) -> int:
        """Number of ids that text may become; they run from 0 to one less.

        A converted tokenizer has more pieces, which are virtual.
        """
        return self._size

    @property
    def piece_count(self) -> int:
        """Number of all pieces, virtual ones included."""
        return int(self._processor.vocab_size())

    @cached_property
    def _size(self) -> int:
        found = int(self._processor.piece_to_id(NO_PIECE))
        if self._processor.id_to_piece(found) == NO_PIECE:
            return found
        return self.piece_count

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
        try:
            return str(self._processor.decode(list(ids)))
        except UnicodeDecodeError as error:
            # Pieces may be bytes, and not all lists of bytes are text.
            return bytes(error.object).decode(errors="replace")

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without start or stop tokens."""
        return [list(ids) for ids in self._processor.encode(list(texts))]

    def decode_batch(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each list of ids.

        Raises:
            TokenizerError: an id is not in the vocabulary.
        """
        try:
            return [str(text) for text in self._processor.decode([list(i) for i in ids])]
        except (UnicodeDecodeError, IndexError):
            return [self.decode(i) for i in ids]

    def piece_id(self, piece: str) -> int | None:
        """Return the id of exactly this piece, or `None` if there is no such piece."""
        found = int(self._processor.piece_to_id(piece))
        if found >= self.vocab_size:
            return None
        # SentencePiece answers unknown pieces with the id of <unk>.
        return found if self._processor.id_to_piece(found) == piece else None

    def id_piece(self, token_id: int) -> str:
        """Return the piece of an id.

        Raises:
            TokenizerError: the id is not in the vocabulary.
        """
        self._check_id(token_id)
        return str(self._processor.id_to_piece(token_id))

    def id_byte(self, token_id: int) -> int | None:
        """Return the byte that an id stands for by its type, or `None` if it is spelled.

        Raises:
            TokenizerError: the id is not in the vocabulary.
        """
        piece = self.id_piece(token_id)  # such are called <0x41>
        return int(piece[3:5], 16) if self._processor.is_byte(token_id) else None

    def _check_id(self, token_id: int) -> None:
        if not 0 <= token_id < self.vocab_size:
            raise TokenizerError(
                f"token id {token_id} is outside the tokenizer {self.path}, "
                f"which has {self.vocab_size} pieces",
                "the configs and the tokenizer are of different models; take all files from one",
            )


def open_tokenizer(
    folder: str | Path, *, vocab_size: int | None = None, max_mismatch_rate: float = 0.0
) -> SentencePieceTokenizer:
    """Open the tokenizer of a checkpoint folder, as a `.task` carries it.

    That is its SentencePiece model, with the added tokens of `tokenizer.json` where that has
    more; or, without one, `tokenizer.json` converted through the gate. Ids that the model has
    logits for and the tokenizer does not are filled up with unused pieces, since engines stop
    with an error at the first id outside the tokenizer.

    Args:
        folder: The checkpoint folder.
        vocab_size: The model's `vocab_size`.
        max_mismatch_rate: Share of the gate's comparisons that may differ.

    Raises:
        TokenizerError: there is none, it is of another kind, it is damaged, or its conversion
            does not pass the gate.
    """
    directory = Path(folder)
    path = _find(directory)
    if path is None:
        from edgegen.bundle.tokenizers.convert import convert_tokenizer

        return convert_tokenizer(
            directory / FILE_NAME, vocab_size=vocab_size, max_mismatch_rate=max_mismatch_rate
        ).tokenizer
    size = path.stat().st_size
    if size > MAX_TOKENIZER_BYTES:
        raise TokenizerError(
            f"{path} has {size} bytes, expected at most {MAX_TOKENIZER_BYTES}",
            "this is not a tokenizer; download the file again",
        )
    proto = path.read_bytes()
    return _filled(SentencePieceTokenizer(path, proto), directory / FILE_NAME, vocab_size)


def open_exact_tokenizer(
    folder: str | Path, *, vocab_size: int | None = None
) -> SentencePieceTokenizer | HfTokenizer:
    """Open the tokenizer of a checkpoint folder as it is, of whichever kind.

    Args:
        folder: The checkpoint folder.
        vocab_size: The model's; a SentencePiece model is filled up to it.

    Raises:
        TokenizerError: there is none, it is of another kind, or it is damaged.
    """
    if _find(Path(folder)) is not None:
        return open_tokenizer(folder, vocab_size=vocab_size)
    from edgegen.bundle.tokenizers.hugging_face import open_hf_tokenizer

    return open_hf_tokenizer(Path(folder) / FILE_NAME)


def needs_conversion(folder: str | Path) -> bool:
    """Tell whether a `.task` of this checkpoint takes a converted `tokenizer.json`.

    Raises:
        TokenizerError: there is no tokenizer, or one of another kind.
    """
    return _find(Path(folder)) is None


def require_most_ids(path: Path, found: int, vocab_size: int | None) -> None:
    """Refuse a tokenizer that lacks more ids than models are padded with.

    Raises:
        TokenizerError: more than a sixteenth of the model's ids have no piece.
    """
    if vocab_size is not None and found < vocab_size - vocab_size // MOST_PADDING:
        raise TokenizerError(
            f"{path} has {found} pieces but the model's vocab_size is {vocab_size}",
            "the tokenizer is another model's, or added tokens are missing: take all files from "
            "one checkpoint",
        )


def _filled(
    tokenizer: SentencePieceTokenizer, added_from: Path, vocab_size: int | None
) -> SentencePieceTokenizer:
    """Append the pieces that a SentencePiece model lacks, if there are any."""
    has_json = added_from.is_file()
    if vocab_size is None and not has_json:
        return tokenizer
    pieces: dict[int, Piece] = {}
    if has_json:
        for token in read_tokenizer_json(added_from).added_tokens:
            if token.id >= tokenizer.vocab_size:
                pieces[token.id] = Piece(token.content, type=PieceType.USER_DEFINED)
    stop = max(vocab_size or 0, max(pieces, default=-1) + 1)
    require_most_ids(
        tokenizer.path, max([tokenizer.vocab_size, *(i + 1 for i in pieces)]), vocab_size
    )
    extra = [
        pieces.get(number) or Piece(f"<unused {number}>", type=PieceType.UNUSED)
        for number in range(tokenizer.vocab_size, stop)
    ]
    if not extra:
        return tokenizer
    return SentencePieceTokenizer(tokenizer.path, with_pieces(tokenizer.proto, extra))


def _find(folder: Path) -> Path | None:
    """Return the SentencePiece model, or `None` if there is a `tokenizer.json` instead."""
    for name in TOKENIZER_FILES:
        if (folder / name).is_file():
            return folder / name
    if (folder / FILE_NAME).is_file():
        return None
    others = [name for name in _OTHER_KINDS if (folder / name).is_file()]
    if others:
        raise TokenizerError(
            f"{folder} holds {', '.join(others)} but no {', '.join(TOKENIZER_FILES)} or "
            f"{FILE_NAME}",
            "load the tokenizer with transformers' AutoTokenizer and save it: that writes a "
            f"{FILE_NAME}, which can be converted",
        )
    raise TokenizerError(
        f"{folder} holds no tokenizer, expected {', '.join(TOKENIZER_FILES)} or {FILE_NAME}",
        f"copy the model's tokenizer.model or {FILE_NAME} into the folder",
    )
