"""Which tokenizer a bundle carries, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgegen.bundle import SentencePieceTokenizer
from edgegen.bundle.tokenizers import try_convert
from edgegen.bundle.tokenizers.beside import compare_beside
from edgegen.carried_tokenizer import CarriedTokenizer, check_engine_name, tokenizer_notes
from edgegen.errors import TokenizerError
from tests.bundle.tokenizers.trained import KINDS


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


def test_another_tokenizer_beside_tokenizer_json_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    KINDS["llama2"]().save(str(path))
    proto = try_convert(path).tokenizer.proto
    same = SentencePieceTokenizer(tmp_path / "tokenizer.model", proto)
    report = compare_beside(same, path, max_mismatch_rate=0.001)
    assert report.mismatches <= 1

    # Two words have changed places.
    number = same.vocab_size // 2
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto.FromString(proto)
    one, two = model.pieces[number], model.pieces[number + 1]
    one.piece, two.piece = two.piece, one.piece
    other = SentencePieceTokenizer(tmp_path / "tokenizer.model", model.SerializeToString())
    with pytest.raises(TokenizerError) as caught:
        compare_beside(other, path)
    told = compare_beside(other, path, max_mismatch_rate=1.0)
    assert caught.value.message.startswith(
        f"{other.path} is another tokenizer than {path}: {told.mismatches} mismatches in "
        f"{told.texts} texts (rate {told.mismatch_rate:.2g}, allowed 0); of "
    )
    assert caught.value.hint == (
        "take both from one checkpoint; or remove the one that the model was not trained with; "
        "or allow the rate with --max-mismatch-rate: the model then sees other tokens in such "
        "texts"
    )
    (note,) = tokenizer_notes(CarriedTokenizer(other, beside=told))
    assert note.startswith(
        f"tokenizer.model is carried, and differs from tokenizer.json beside it: "
        f"{told.mismatches} mismatches in {told.texts} texts; of "
    )
