"""What is checked when, and single findings that no planted defect brings about."""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgegen.bundle import GenerationParameters, SentencePieceTokenizer, open_bundle
from edgegen.bundle.contents import RuntimeHints
from edgegen.bundle.doctor import CHECKS, Settings, check_bundle
from edgegen.bundle.doctor.graph import read_graphs
from edgegen.bundle.flatbuffer import read_model
from edgegen.errors import BundleError, EdgegenError
from tests.bundle.doctor import plants
from tests.bundle.doctor.models import Made
from tests.bundle.doctor.plants import Convert


def test_every_check_needs_checks_that_come_before() -> None:
    names = list(CHECKS)
    for name, check in CHECKS.items():
        assert all(names.index(needed) < names.index(name) for needed in check.needs)


def test_every_check_says_something_of_a_good_bundle(demo_task: Path) -> None:
    health = check_bundle(demo_task, engines=False)

    said = {finding.check for finding in health.findings}
    assert said == {name for name, check in CHECKS.items() if not check.runs_engine}
    assert json.loads(json.dumps(health.as_dict()))["verdict"] == "pass"


def test_only_and_skip(demo_task: Path) -> None:
    only = check_bundle(demo_task, only=["memory", "container"])
    rest = check_bundle(demo_task, skip=["memory"], engines=False)

    assert [finding.check for finding in only.findings] == ["container", "memory"]
    assert "memory" not in {finding.check for finding in rest.findings}


def test_an_unknown_check_is_named(demo_task: Path) -> None:
    with pytest.raises(EdgegenError) as caught:
        check_bundle(demo_task, only=["gpus"])

    assert caught.value.message == "there is no check 'gpus'"
    assert str(caught.value.hint).startswith("did you mean 'gpu'? (known: ")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"LITERTLM" + bytes(30), b"\0" * 100])
def test_what_does_not_open_is_one_failure(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.task"
    path.write_bytes(content)

    health = check_bundle(path)

    assert health.failed == ("container",)
    assert {f.verdict for f in health.findings} == {"fail", "skipped"}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (first, *_) = check_bundle(tmp_path / "absent.task", engines=False).findings

    assert (first.check, first.verdict) == ("container", "fail")
    assert first.reason.endswith("absent.task does not exist, expected a .task or .litertlm file")


def test_members_over_each_other(demo_task: Path, tmp_path: Path) -> None:
    """A second header inside the model, to which the directory leads."""
    name = "TOKENIZER_MODEL"
    model = open_bundle(demo_task).member("TF_LITE_PREFILL_DECODE")
    with zipfile.ZipFile(demo_task) as archive:
        at = archive.getinfo(name).header_offset
    content = bytearray(demo_task.read_bytes())
    header = content[at : at + 30 + len(name)]
    header[28:30] = b"\0\0"  # no extra field
    inside = model.offset + 4096
    content[inside : inside + len(header)] = header
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(name.encode()))
    struct.pack_into("<L", content, entry + 42, inside)
    path = tmp_path / "x.task"
    path.write_bytes(content)

    (finding,) = check_bundle(path, only=["container"]).findings

    assert finding.verdict == "fail"
    assert finding.reason == (
        f"{path} is damaged: member {name} begins inside TF_LITE_PREFILL_DECODE"
    )


def test_bytes_that_changed(demo_task: Path, tmp_path: Path) -> None:
    member = open_bundle(demo_task).member("TF_LITE_PREFILL_DECODE")
    content = bytearray(demo_task.read_bytes())
    content[member.offset + member.size - 1] ^= 1
    path = tmp_path / "x.task"
    path.write_bytes(content)

    (finding,) = check_bundle(path, only=["checksums"], settings=Settings(deep=True)).findings

    assert finding.verdict == "fail"
    assert finding.reason.startswith("member TF_LITE_PREFILL_DECODE has the checksum ")
    assert finding.reason.endswith(": its bytes changed since it was written, and no engine looks")


@pytest.mark.parametrize(("deep", "verdict"), [(False, "pass"), (True, "fail")])
def test_another_bundle_than_the_record_says(
    demo_task: Path, tmp_path: Path, deep: bool, verdict: str
) -> None:
    path = tmp_path / "x.task"
    shutil.copy(demo_task, path)
    record = {"recipe": "none", "bundle_sha256": "0" * 64}
    (tmp_path / "x.task.provenance.json").write_text(json.dumps(record))

    (finding,) = check_bundle(path, only=["metadata"], settings=Settings(deep=deep)).findings

    assert finding.verdict == verdict
    assert ("made with recipe none" in finding.reason) is not deep


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 100_000])
def test_a_spoiled_record_is_a_warning(demo_task: Path, tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.task"
    shutil.copy(demo_task, path)
    (tmp_path / "x.task.provenance.json").write_text(content)

    (finding,) = check_bundle(path, only=["metadata"]).findings

    assert finding.verdict == "warn"
    assert finding.hint == "remove x.task.provenance.json"


@pytest.mark.parametrize(
    ("backends", "verdict"), [((), "warn"), (("cpu",), "warn"), (("cpu", "gpu"), "fail")]
)
def test_float_embeddings_fail_where_the_bundle_promises_the_gpu(
    demo_task_f32: Path, tmp_path: Path, backends: tuple[str, ...], verdict: str
) -> None:
    constraints = {"TF_LITE_PREFILL_DECODE": backends} if backends else {}
    path = plants.changed(
        demo_task_f32,
        tmp_path / "x.litertlm",
        hints=RuntimeHints(backend_constraints=constraints),
    )

    (finding,) = check_bundle(path, only=["quantization"]).findings

    assert finding.verdict == verdict
    assert "the embedding is FLOAT32, at which LiteRT-LM's GPU delegate aborts" in finding.reason


def test_weight_only_integers_are_told(demo_bundle: Callable[[str], Path]) -> None:
    path = demo_bundle("weight_only_wi8_afp32")

    reasons = [finding.reason for finding in check_bundle(path, only=["quantization"]).findings]

    assert any("INT8 with float arithmetic (weight-only)" in reason for reason in reasons), reasons


def test_what_is_meant_for_a_cpu_may_have_any_operator(
    tmp_path: Path, tokenizer: SentencePieceTokenizer, converted: Convert
) -> None:
    source = plants.bundle(
        converted(Made(prefill_lens=(8,), gathered_mask=True)), tokenizer, tmp_path / "x.task"
    )
    hints = RuntimeHints(backend_constraints={"TF_LITE_PREFILL_DECODE": ("cpu",)})
    path = plants.changed(source, tmp_path / "x.litertlm", hints=hints)

    (finding,) = check_bundle(path, only=["gpu-operators"]).findings

    assert finding.verdict == "warn"
    assert finding.reason.endswith(", but the bundle says that it runs on a CPU only")


def test_a_tokenizer_with_words_that_the_model_does_not_know(
    tmp_path: Path, tokenizer: SentencePieceTokenizer, converted: Convert
) -> None:
    path = plants.bundle(
        converted(Made(vocab_size=262, prefill_lens=(8,))), tokenizer, tmp_path / "x.task"
    )

    (finding,) = check_bundle(path, only=["vocabulary"]).findings

    assert finding.verdict == "fail"
    assert finding.reason.startswith("the tokenizer has 320 pieces, the model 262 logits: texts ")


def test_promised_lengths_beyond_the_cache(demo_task: Path, tmp_path: Path) -> None:
    parameters = replace(open_bundle(demo_task).parameters, max_tokens=4096)
    path = plants.changed(demo_task, tmp_path / "x.task", parameters=parameters)

    (finding,) = check_bundle(path, only=["lengths"]).findings

    assert finding.verdict == "warn"
    assert finding.reason == (
        "max_tokens 4096, but the KV cache has 512 slots; LiteRT-LM takes the cache's length "
        "instead"
    )


def test_a_template_that_refuses_a_question(demo_task: Path, tmp_path: Path) -> None:
    parameters = GenerationParameters("<s>", ("</s>",), chat_template="{{ raise_exception('no') }}")
    path = plants.changed(demo_task, tmp_path / "x.task", parameters=parameters)

    (finding,) = check_bundle(path, only=["template"]).findings

    assert finding.verdict == "fail"
    assert finding.reason == "the chat template does not render one question: no"


def test_a_model_of_endless_tables_is_refused(
    demo_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_bundle(demo_task)
    monkeypatch.setattr("edgegen.bundle.flatbuffer_bounds.MAX_ENTRIES", 1000)

    for read in (read_graphs, read_model):
        with pytest.raises(BundleError) as caught:
            read(demo_task, opened.model_span)
        assert caught.value.message == (
            f"the TFLite model in {demo_task} is damaged: it lists more than 1000 tensors and "
            "operators"
        )
