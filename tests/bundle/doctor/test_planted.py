"""Twelve planted defects, each found by the check that is there for it; good bundles pass."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgegen.bundle import GenerationParameters, SentencePieceTokenizer
from edgegen.bundle.doctor import BundleHealth, Finding, check_bundle
from edgegen.provenance import provenance_path
from tests.bundle.doctor import plants
from tests.bundle.doctor.models import Made
from tests.bundle.doctor.plants import Convert

ROOT = Path(__file__).parents[3]


def only_failure(health: BundleHealth, check: str) -> Finding:
    """Return the one finding that fails, which must be of that check."""
    failures = [finding for finding in health.findings if finding.verdict == "fail"]
    assert [finding.check for finding in failures] == [check], failures
    assert failures[0].hint
    assert health.verdict == "fail"
    return failures[0]


@pytest.fixture
def planted(
    tmp_path: Path, tokenizer: SentencePieceTokenizer, converted: Convert
) -> Callable[[Made], BundleHealth]:
    """Check a small model, without engines."""

    def check(made: Made) -> BundleHealth:
        path = plants.bundle(converted(made), tokenizer, tmp_path / "planted.task")
        return check_bundle(path, engines=False)

    return check


def test_the_small_model_without_a_defect_passes(planted: Callable[[Made], BundleHealth]) -> None:
    health = planted(Made())

    assert health.verdict == "pass", health.findings


@pytest.mark.parametrize("suffix", [".task", ".litertlm"])
def test_the_demo_bundle_passes(demo_task: Path, tmp_path: Path, suffix: str) -> None:
    path = plants.changed(demo_task, tmp_path / f"demo{suffix}")

    health = check_bundle(path, engines=False)

    assert health.verdict == "pass", health.findings
    assert {f.check for f in health.findings if f.verdict == "skipped"} <= {"template", "checksums"}


@pytest.mark.parametrize("suffix", [".task", ".litertlm"])
def test_a_chat_bundle_passes(demo_task: Path, tmp_path: Path, suffix: str) -> None:
    health = check_bundle(plants.chat(demo_task, tmp_path / f"chat{suffix}"), engines=False)

    assert health.verdict == "pass", health.findings
    (said,) = health.of("template")
    assert said.reason == "answers end with '<end_of_turn>', a stop token"


@pytest.mark.parametrize(
    ("stop", "says"),
    [
        ("e", "stop token 'e' is an ordinary piece (id "),
        ("<|im_end|>", "stop token '<|im_end|>' is no piece of the tokenizer, where it is "),
        ("<unk>", "the tokenizer's end of text '</s>' is not among the stop tokens '<unk>', and"),
    ],
)
def test_a_wrong_stop_token(demo_task: Path, tmp_path: Path, stop: str, says: str) -> None:
    path = plants.changed(
        demo_task, tmp_path / "x.task", parameters=GenerationParameters("<s>", (stop,))
    )

    finding = only_failure(check_bundle(path, engines=False), "tokens")

    assert finding.reason.startswith(says)


def test_a_stop_at_the_line_end_is_no_failure(demo_task: Path, tmp_path: Path) -> None:
    parameters = GenerationParameters("<s>", ("</s>", "\n"))
    path = plants.changed(demo_task, tmp_path / "x.task", parameters=parameters)

    (finding,) = check_bundle(path, engines=False).of("tokens")

    assert finding.verdict == "warn"
    assert finding.reason.startswith(r"stop token '\n' is an ordinary piece (id ")


def test_a_vocabulary_larger_than_the_tokenizer(
    demo_task: Path, tmp_path: Path, tokenizer: SentencePieceTokenizer
) -> None:
    path = plants.changed(demo_task, tmp_path / "x.task", tokenizer=tokenizer)

    finding = only_failure(check_bundle(path, engines=False), "vocabulary")

    assert finding.reason == (
        "the tokenizer has 320 pieces, the model 2048 logits: LiteRT-LM ends with an error at the "
        "first id from 320 on"
    )


def test_a_scatter_based_update_of_the_cache(planted: Callable[[Made], BundleHealth]) -> None:
    health = planted(Made(prefill_lens=(8,), scatter=True))

    assert health.failed == ("cache-writes", "gpu-operators")
    (writes,), (gpu,) = health.of("cache-writes"), health.of("gpu-operators")
    assert writes.reason == (
        "prefill_8 writes kv_cache_k_0 by STABLEHLO_SCATTER, row by row to the places that "
        "input_pos names: an engine pads short chunks with places that are none, so prompts "
        "shorter than a prefill spoil the cache (wrong text on the CPU), and GPU delegates refuse "
        "the operator"
    )
    assert gpu.reason == (
        "STABLEHLO_SCATTER, which LiteRT-LM's GPU delegate and MediaPipe's web engine refuse: "
        "prefill_8 (2, layer 0), decode (2, layer 0)"
    )


def test_a_mask_gathered_from_a_table(planted: Callable[[Made], BundleHealth]) -> None:
    finding = only_failure(planted(Made(prefill_lens=(8,), gathered_mask=True)), "gpu-operators")

    assert finding.reason == (
        "GATHER_ND, which LiteRT-LM's GPU delegate and MediaPipe's web engine refuse: "
        "decode (1, before the layers)"
    )
    assert "compute the mask from input_pos" in str(finding.hint)


def test_no_decode(planted: Callable[[Made], BundleHealth]) -> None:
    finding = only_failure(planted(Made(decode=False)), "signatures")

    assert finding.reason == (
        "there is no signature 'decode' among: prefill_8, prefill_16: LiteRT-LM does not create an "
        "engine of it"
    )


def test_a_wrong_layout_of_the_cache(planted: Callable[[Made], BundleHealth]) -> None:
    finding = only_failure(planted(Made(prefill_lens=(8,), tokens_first=True)), "caches")

    assert finding.reason == (
        "kv_cache_k_0 is [1, 64, 2, 8] with the slots in dimension 1, expected [1, K, S, H] with S "
        "in dimension 2: LiteRT-LM takes dimension 2 for the cache's length and refuses prompts of "
        "2 tokens and more"
    )


def test_a_compressed_member(demo_task: Path, tmp_path: Path) -> None:
    path = plants.zipped(demo_task, tmp_path / "x.task", plants.AS_MEDIAPIPE, zipfile.ZIP_DEFLATED)

    finding = only_failure(check_bundle(path, engines=False), "container")

    assert finding.reason == (
        f"member TF_LITE_PREFILL_DECODE of {path} is compressed, engines map stored members only; "
        "LiteRT-LM and MediaPipe's web engine refuse it: they map members as they lie (`Expected "
        "uncompressed zip archive`)"
    )


def test_an_order_and_places_that_an_engine_cannot_map(demo_task: Path, tmp_path: Path) -> None:
    path = plants.zipped(demo_task, tmp_path / "x.task", plants.METADATA_FIRST, zipfile.ZIP_STORED)

    health = check_bundle(path, engines=False)

    finding = only_failure(health, "layout")
    assert "its first member is METADATA" in finding.reason
    assert "MediaPipe's web engine knows a .task by `PK` at byte 4" in finding.reason
    (place,) = (f for f in health.of("layout") if f.verdict == "warn")
    assert "member TF_LITE_PREFILL_DECODE begins at byte" in place.reason


def test_a_truncated_model(demo_task: Path, tmp_path: Path) -> None:
    path = plants.cut_model(demo_task, tmp_path / "x.task")

    finding = only_failure(check_bundle(path, engines=False), "model")

    assert finding.reason.startswith(f"the TFLite model in {path} is damaged: buffer ")
    assert " should end at byte " in finding.reason


def test_a_template_without_a_stop_token(demo_task: Path, tmp_path: Path) -> None:
    path = plants.chat(demo_task, tmp_path / "x.task", stop="</s>")

    finding = only_failure(check_bundle(path, engines=False), "template")

    assert finding.reason == (
        "answers end with '<end_of_turn>', which is no stop token ('</s>', '</s>'): the model "
        "would go on and play the user"
    )


def test_a_cache_shorter_than_a_prefill(planted: Callable[[Made], BundleHealth]) -> None:
    finding = only_failure(planted(Made(kv_cache_len=16, prefill_lens=(8, 32))), "prefill")

    assert finding.reason == (
        "the cache has 16 slots, prefill_32 fills 32 at once: no prompt can use it, and its graph "
        "drops what does not fit"
    )


@pytest.mark.parametrize(
    "texts", [("*.md", "docs"), ("*.py", "edgegen")], ids=["prose", "programs"]
)
def test_a_wrong_tokenizer_of_the_same_size(
    demo_task: Path, tmp_path: Path, texts: tuple[str, str]
) -> None:
    """No size, no name and no token tells; only what the model expects of texts does."""
    pattern, folder = texts
    lines = [
        line
        for path in sorted((ROOT / folder).rglob(pattern))
        for line in path.read_text().splitlines()
        if line.strip()
    ]
    other = plants.other_tokenizer(demo_task, lines)
    path = plants.changed(demo_task, tmp_path / "x.task", tokenizer=other)

    static = check_bundle(path, engines=False)
    health = check_bundle(path, skip=["cpu", "gpu", "web"])

    assert static.verdict == "pass", static.findings
    finding = only_failure(health, "tokenizer-fit")
    assert "though the model is sure of other tokens" in finding.reason


def test_the_right_tokenizer_fits(demo_task: Path, demo_task_f32: Path) -> None:
    for path in (demo_task, demo_task_f32):
        (finding,) = check_bundle(path, only=["tokenizer-fit"]).findings
        assert finding.verdict == "pass", finding


def test_the_record_tells_of_another_tokenizer(demo_task: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.task"
    path.write_bytes(demo_task.read_bytes())
    record = json.loads(provenance_path(demo_task).read_text())
    assert record["tokenizer"]["file"] == "tokenizer.model"
    record["tokenizer"]["sha256"] = "0" * 64
    provenance_path(path).write_text(json.dumps(record))

    warned, passed = check_bundle(path, only=["tokenizer-fit"]).findings

    assert (warned.verdict, passed.verdict) == ("warn", "pass")
    assert warned.reason == (
        "the tokenizer is not the one that the record beside the bundle tells of"
    )


def test_of_an_untrained_model_nothing_is_told(
    tmp_path: Path, tokenizer: SentencePieceTokenizer, converted: Convert
) -> None:
    path = plants.bundle(converted(Made()), tokenizer, tmp_path / "x.task")

    (finding,) = check_bundle(path, only=["tokenizer-fit"]).findings

    assert finding.verdict == "warn"
    assert "it prefers no token over others, as untrained models do" in finding.reason
