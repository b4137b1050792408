"""Which tokenizer a bundle carries, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from sentencepiece import sentencepiece_model_pb2

from edgegen.bundle import SentencePieceTokenizer
from edgegen.bundle.tokenizers import try_convert
from edgegen.bundle.tokenizers.beside import MAX_MISMATCH_RATE, compare_beside, differences
from edgegen.bundle.tokenizers.gate import ClassResult, GateReport, Mismatch
from edgegen.carried_tokenizer import CarriedTokenizer, check_engine_name, tokenizer_notes
from edgegen.errors import TokenizerError
from tests.bundle.tokenizers.trained import llama2


def test_mediapipes_engine_opens_task_bundles_only() -> None:
    with pytest.raises(TokenizerError) as caught:
        check_engine_name("mediapipe", Path("m.litertlm"))
    assert caught.value.message == (
        "m.litertlm would be a .litertlm, and MediaPipe's engine opens .task only"
    )
    assert caught.value.hint == "name the output m.task, or leave --engine out"
    check_engine_name("mediapipe", Path("m.task"))
    check_engine_name("litert-lm", Path("m.litertlm"))


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(TokenizerError) as caught:
        check_engine_name("litert", Path("m.task"))
    assert (
        caught.value.message
        == "no engine 'litert'; did you mean 'litert-lm'? (known: litert-lm, mediapipe)"
    )
    assert caught.value.hint == "choose litert-lm or mediapipe"


WORDS = ["to be or not to be that is the question", "whether it is nobler in the mind"] * 9


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A small `tokenizer.json` of Llama-2's kind, and the SentencePiece model of it."""
    path = tmp_path_factory.mktemp("beside") / "tokenizer.json"
    llama2(WORDS, vocab_size=340).save(str(path))
    return path, try_convert(path).tokenizer.proto


def swapped(path: Path, proto: bytes, *words: str) -> SentencePieceTokenizer:
    """A model in which the first two words have changed places, the next two, and so on."""
    model = sentencepiece_model_pb2.ModelProto.FromString(proto)
    pieces = {piece.piece: piece for piece in model.pieces}
    for one, two in zip(words[::2], words[1::2], strict=True):
        pieces[one].piece, pieces[two].piece = two, one
    return SentencePieceTokenizer(path.with_name("tokenizer.model"), model.SerializeToString())


def test_a_few_other_texts_pass_with_a_note(beside: tuple[Path, bytes]) -> None:
    path, proto = beside
    tokenizer = swapped(path, proto, "\u2581nobler", "\u2581question")

    report = compare_beside(tokenizer, path)

    assert 0 < report.mismatch_rate <= MAX_MISMATCH_RATE == 0.01
    (note,) = tokenizer_notes(CarriedTokenizer(tokenizer, beside=report))
    assert note == (
        "tokenizer.model is carried as it is; the tokenizer.json beside it differs in a few texts: "
        "5 mismatches in 12915 texts (rate 0.00019); of vocabulary, 'nobler' is [314], by "
        "tokenizer.json [313]"
    )
    with pytest.raises(TokenizerError) as caught:
        compare_beside(tokenizer, path, max_mismatch_rate=0.0001)
    assert caught.value.message == (
        f"{tokenizer.path} and the tokenizer.json beside it are not the same tokenizer: 5 "
        "mismatches in 12915 texts (rate 0.00019); of vocabulary, 'nobler' is [314], by "
        "tokenizer.json [313]; allowed is a rate of 0.0001"
    )


def test_another_tokenizer_beside_is_refused(beside: tuple[Path, bytes]) -> None:
    path, proto = beside
    tokenizer = swapped(path, proto, "e", "o", "t", "i", "\u2581", "h")

    with pytest.raises(TokenizerError) as caught:
        compare_beside(tokenizer, path)

    assert compare_beside(tokenizer, path, max_mismatch_rate=1.0).mismatch_rate > 0.9
    assert caught.value.message == (
        f"{tokenizer.path} and the tokenizer.json beside it are not the same tokenizer: 25307 "
        "mismatches in 12915 texts (rate 0.98); of english, 'it know at' is "
        "[305, 263, 110, 280, 274, 263, 286], by tokenizer.json "
        "[305, 275, 110, 280, 274, 275, 286]; of latin-1, '\xb5 \xa7' is "
        "[263, 197, 184, 263, 197, 170], by tokenizer.json [275, 197, 184, 275, 197, 170]; of cjk, "
        "'\ub155' is [263, 238, 136, 152], by tokenizer.json [275, 238, 136, 152]; allowed is a "
        "rate of 0.01"
    )
    assert caught.value.hint == (
        "take both from one checkpoint, or remove the tokenizer.json if the model was trained with "
        "tokenizer.model; --max-mismatch-rate allows more, and the model then sees other tokens in "
        "such texts"
    )


def test_where_long_texts_part_is_shown() -> None:
    same = list(range(100, 140))
    example = Mismatch("text", [*same, 1, 2], [*same, 3])
    report = GateReport((ClassResult("code", 1, 1, 0, example),))

    assert differences(report) == (
        "1 mismatches in 1 texts (rate 0.5); of code, 'text' is [3], by tokenizer.json [1, 2]"
    )

    longer = GateReport((ClassResult("code", 1, 1, 0, Mismatch("text", same, [*same, 3])),))
    assert differences(longer).endswith("'text' is [3], by tokenizer.json []")
