"""Spoiled bundles are refused in words, or examined; nothing else happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from edgegen.bundle import GenerationParameters, SentencePieceTokenizer
from edgegen.bundle.chat.fit import with_prompt_texts
from edgegen.bundle.tokenizers.hugging_face import HfTokenizer, open_hf_tokenizer
from tests.bundle import fuzzing
from tests.bundle.doctor import plants
from tests.bundle.doctor.conftest import converted  # noqa: F401 - a fixture
from tests.bundle.doctor.models import Made

Convert = Callable[[Made], Path]


@pytest.fixture(scope="module")
def bases(
    tmp_path_factory: pytest.TempPathFactory,
    tokenizer: SentencePieceTokenizer,
    converted: Convert,  # noqa: F811
) -> list[Path]:
    """A small chat model in both formats and with both kinds of tokenizers."""
    template = plants.TEMPLATE.replace("<start_of_turn>", "T:")
    parameters, _ = with_prompt_texts(
        GenerationParameters("<s>", ("</s>", "<end_of_turn>"), chat_template=template)
    )
    folder = tmp_path_factory.mktemp("fuzz")
    tflite = converted(Made())
    return [
        plants.bundle(tflite, tokenizer, folder / "base.task", parameters),
        plants.bundle(tflite, tokenizer, folder / "base.litertlm", parameters),
        plants.bundle(tflite, hf_tokenizer(folder), folder / "other.litertlm", parameters),
    ]


def hf_tokenizer(folder: Path) -> HfTokenizer:
    """A byte-level BPE over a few words, as `tokenizer.json`."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "</s>", plants.TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(["to be or not to be that is the question", "hello world"], trainer)
    made.save(str(folder / "tokenizer.json"))
    return open_hf_tokenizer(folder / "tokenizer.json")


def fuzzed(bases: list[Path], first: int, count: int) -> fuzzing.Tally:
    tally = fuzzing.fuzz(bases, range(first, first + count))
    print(tally)
    assert tally.troubles == [], str(tally)
    assert tally.count == count
    # Neither all refused nor all passed over: both would say that the spoiling is no good.
    assert tally.opened.total() > count / 20
    assert tally.refused.total() > count / 5
    assert tally.verdicts["fail"] > count / 3
    assert tally.slowest_s < fuzzing.HANG_S
    assert tally.largest_bytes < fuzzing.MEMORY_BYTES
    return tally


def test_two_hundred_spoiled_bundles(bases: list[Path]) -> None:
    fuzzed(bases, 0, 200)


@pytest.mark.slow
def test_six_thousand_spoiled_bundles(bases: list[Path]) -> None:
    fuzzed(bases, 0, 6000)


def test_the_harness_tells_what_must_not_be(
    bases: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spoiled bundle that takes too long, and a process that dies, are troubles."""
    monkeypatch.setattr(fuzzing, "HANG_S", -0.9)  # a tenth of a second for an answer

    tally = fuzzing.fuzz(bases, range(25 * 2, 25 * 2 + 1))

    assert len(tally.troubles) == 1
