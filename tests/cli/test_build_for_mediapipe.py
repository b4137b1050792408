"""`edgegen build --engine mediapipe`: a byte-level tokenizer whose bytes MediaPipe maps itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import edgegen
from edgegen.bundle.doctor import check_bundle
from edgegen.bundle.tokenizers import open_hf_tokenizer
from edgegen.bundle.tokenizers.mapped import MappedTokenizer
from edgegen.cli import main
from tests.bundle.tokenizers.trained import byte_level
from tests.hf import save_checkpoint, tiny_config

TEXT = "To be, or not to be: \u00fcber alles\n\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hf")
    ids = {"bos_token_id": 0, "eos_token_id": 2}
    save_checkpoint(folder, tiny_config(vocab_size=2048, max_position_embeddings=128, **ids))
    byte_level(size=2000).save(str(folder / "tokenizer.json"))
    return folder


def test_the_bundle_asks_for_the_mapping_and_passes_its_self_check(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "m.task"
    words = ["build", str(folder), "-o", str(output), "--engine", "mediapipe", "--json"]
    words += ["--prefill", "8,32", "--kv-cache-len", "128", "--max-mismatch-rate", "0.05"]

    assert main(words) == 0

    out, err = capsys.readouterr()
    assert err.endswith(
        "note: the tokenizer is for MediaPipe's own engine, which METADATA tells to map bytes; "
        "LiteRT-LM does not map them, and reads other tokens\n"
    )
    told = json.loads(out)["check"]
    assert told["parity"]["cosine"] > 0.99
    assert told["prompt"] == ("The quick brown fox jumps over the lazy dog, and then it runs home.")
    bundle = edgegen.open_bundle(output)
    assert bundle.parameters.enable_bytes_to_unicode_mapping
    record = json.loads((tmp_path / "m.task.provenance.json").read_text())
    assert record["tokenizer"]["conversion"]["enable_bytes_to_unicode_mapping"]
    original = open_hf_tokenizer(folder / "tokenizer.json")
    read = MappedTokenizer(output, bundle.tokenizer.proto)
    assert read.encode(TEXT) == original.encode(TEXT)
    assert read.decode(original.encode(TEXT)) == TEXT
    # Without the mapping, which LiteRT-LM does not make, they are others.
    assert bundle.tokenizer.encode(TEXT) != original.encode(TEXT)


def test_the_usual_bundle_does_not_ask_for_it(folder: Path, tmp_path: Path) -> None:
    made = edgegen.build(
        folder,
        tmp_path / "m.task",
        prefill_lens=(8,),
        kv_cache_len=64,
        max_mismatch_rate=0.05,
    )

    assert made.check is not None
    assert not made.bundle.parameters.enable_bytes_to_unicode_mapping


def test_a_litertlm_for_mediapipe_is_refused_at_once(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "m.litertlm"
    assert main(["build", str(folder), "-o", str(output), "--engine", "mediapipe"]) == 1
    assert capsys.readouterr().err == (
        f"error: {output} would be a .litertlm, and MediaPipe's engine opens .task only\n"
        "hint: name the output m.task, or leave --engine out\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_reads_it_as_mediapipes_engine_does(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.task"
    edgegen.build(
        folder,
        output,
        engine="mediapipe",
        prefill_lens=(8, 32),
        kv_cache_len=128,
        max_mismatch_rate=0.05,
        check=False,
    )

    found = check_bundle(output, only=["tokenizer", "cpu"]).findings

    assert [finding.verdict for finding in found if finding.check == "tokenizer"] == ["pass"]
    *_, said, warned = found
    assert said.verdict != "fail", said
    assert (warned.check, warned.verdict) == ("cpu", "warn")
    assert warned.reason == (
        "the tokenizer is for MediaPipe's engine, which METADATA has map bytes: LiteRT-LM does "
        "not, was given mapped text here, and reads other tokens in any app"
    )
    assert warned.hint == "for LiteRT-LM build it with --engine litert-lm"
