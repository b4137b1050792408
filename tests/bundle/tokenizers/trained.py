"""Tokenizers of the published kinds, trained in a second on text that code makes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from edgegen.bundle.tokenizers import corpus_lines

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def training_text() -> list[str]:
    """Return made text of all kinds, and this project's own code."""
    code = [p.read_text() for p in sorted(Path(__file__).parents[3].glob("edgegen/bundle/*.py"))]
    return [text for _, text in corpus_lines(300, seed=7)] + code


def byte_level(
    *pre: Any, normalizer: Any = None, regex: bool = True, size: int = 3000
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*pre, level])
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    # Published vocabularies have every row of up to three digits.
    digits = [f"{n:03}" for n in range(1000)] * 90 + [f"{n:02}" for n in range(100)] * 900
    tokenizer.train_from_iterator(
        [*training_text(), *(digits if size > 4000 else ())],
        trainers.BpeTrainer(
            vocab_size=size,
            show_progress=False,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return tokenizer


def split(pattern: str) -> Any:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def gpt2() -> Tokenizer:
    return byte_level()


def smollm() -> Tokenizer:
    return byte_level(pre_tokenizers.Digits(individual_digits=True))


def llama3() -> Tokenizer:
    """Words that are one token are taken as that, however merging would go."""
    tokenizer = byte_level(split(LLAMA3), regex=False, size=4500)
    content = json.loads(tokenizer.to_str())
    content["model"]["ignore_merges"] = True
    return Tokenizer.from_str(json.dumps(content))


def qwen2() -> Tokenizer:
    pattern = LLAMA3.replace("{1,3}", "")
    return byte_level(split(pattern), normalizer=normalizers.NFC(), regex=False)


def llama2(texts: list[str] | None = None, vocab_size: int = 3000) -> Tokenizer:
    """BPE over characters with a token for each byte, as Llama-2 has it."""
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    lines = training_text() if texts is None else texts
    words = [f"\u2581{w}" for text in lines for w in text.replace("\0", "").split(" ")]
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.train_from_iterator(
        words, trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, special_tokens=names)
    )
    content = json.loads(trained.to_str())
    content["model"].update(byte_fallback=True, fuse_unk=True)
    steps = [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    trained.normalizer = normalizers.Sequence(steps)
    trained.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    whole = json.loads(trained.to_str())
    content.update(normalizer=whole["normalizer"], decoder=whole["decoder"], added_tokens=[])
    return Tokenizer.from_str(json.dumps(content))


def unigram() -> Tokenizer:
    """As T5 has it: text in compatibility form, spaces made one."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(_nmt_nfkc()),
            normalizers.Strip(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.train_from_iterator(
        [text for text in training_text() if text.isascii()],
        trainers.UnigramTrainer(
            vocab_size=1000, show_progress=False, special_tokens=["<unk>"], unk_token="<unk>"
        ),
    )
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(content))


def _nmt_nfkc() -> bytes:
    """Return the charsmap that SentencePiece's trainer puts into every model."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c"] * 9),
        model_writer=model,
        vocab_size=6,
        model_type="char",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    return bytes(proto.normalizer_spec.precompiled_charsmap)


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        training_text()[:500],
        trainers.WordPieceTrainer(vocab_size=500, show_progress=False, special_tokens=["[UNK]"]),
    )
    return tokenizer


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "gpt2": gpt2,
    "smollm": smollm,
    "llama3": llama3,
    "qwen2": qwen2,
    "llama2": llama2,
    "unigram": unigram,
    "wordpiece": wordpiece,
}


def with_added(tokenizer: Tokenizer, *contents: str) -> Tokenizer:
    tokenizer.add_tokens([AddedToken(content, normalized=False) for content in contents])
    return tokenizer
