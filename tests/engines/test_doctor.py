"""What the doctor says of engines, beside what the engines do."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from litert_lm_builder.runtime.proto import llm_metadata_pb2

from edgegen.bundle import (
    GenerateRequest,
    GenerationParameters,
    SentencePieceTokenizer,
    generate,
    open_bundle,
)
from edgegen.bundle.doctor import Finding, Limits, Settings, check_bundle
from edgegen.bundle.doctor import web as web_check
from edgegen.bundle.doctor.contract import dead_zone
from edgegen.bundle.doctor.subject import Subject
from edgegen.bundle.tokenizers import try_convert
from edgegen.errors import EngineError
from tests.bundle.conftest import train_tokenizer
from tests.bundle.doctor import plants
from tests.bundle.doctor.conftest import converted  # noqa: F401 - a fixture
from tests.bundle.doctor.models import Made
from tests.bundle.tokenizers.trained import byte_level
from tests.engines.availability import require_file, require_program
from tests.engines.mediapipe_web import HERE, PACKAGES

Convert = Callable[[Made], Path]


@pytest.fixture(scope="session")
def small_tokenizer() -> SentencePieceTokenizer:
    return SentencePieceTokenizer(Path("tokenizer.model"), train_tokenizer())


@pytest.fixture
def small(
    tmp_path: Path,
    small_tokenizer: SentencePieceTokenizer,
    converted: Convert,  # noqa: F811
) -> Callable[[Made], Path]:
    """Bundle a small decoder with random weights."""

    def make(made: Made) -> Path:
        return plants.bundle(converted(made), small_tokenizer, tmp_path / "small.task")

    return make


@pytest.fixture
def web() -> Settings:
    """Settings with MediaPipe's web engine; skip where a part is missing."""
    require_program("chromium", "chromium-browser", install="on Debian: apt-get install chromium")
    folder = require_file(HERE / "node_modules" / PACKAGES[0], "run make setup where npm is")
    return Settings(web_engine=folder)


def findings(path: Path, check: str, settings: Settings | None = None) -> tuple[Finding, ...]:
    return check_bundle(path, only=[check], settings=settings).findings


def assert_same_text(found: tuple[Finding, ...], engine: str) -> None:
    taken, said = found
    assert (taken.verdict, said.verdict) == ("pass", "pass"), found
    assert said.reason.startswith(f"{engine} says what the TFLite interpreter says, "), found


@pytest.mark.parametrize("suffix", [".task", ".litertlm"])
def test_the_cpu_takes_most_and_says_the_same(demo_task: Path, tmp_path: Path, suffix: str) -> None:
    path = plants.changed(demo_task, tmp_path / f"x{suffix}")

    found = findings(path, "cpu")

    assert_same_text(found, "LiteRT-LM on cpu")
    assert found[0].reason.startswith("XNNPACK takes ")
    for signature in ("prefill_16", "prefill_32", "prefill_128", "decode"):
        assert f"nodes of {signature} (9" in found[0].reason


def test_litert_lm_renders_the_chat_template_as_transformers_does(
    demo_task: Path, tmp_path: Path
) -> None:
    (finding,) = findings(plants.chat(demo_task, tmp_path / "chat.litertlm"), "runtime-template")

    assert finding.verdict == "pass", finding
    assert finding.reason.endswith(" conversations come out as transformers renders them")


def test_a_template_that_litert_lm_renders_otherwise(demo_task: Path, tmp_path: Path) -> None:
    """The one in the bundle is not the one that the bundle was made of."""
    path = plants.chat(demo_task, tmp_path / "chat.litertlm")
    content = path.read_bytes()
    message = llm_metadata_pb2.LlmMetadata()
    message.ParseFromString(open_bundle(path).foreign.metadata)
    template = message.jinja_prompt_template
    spoiled = template.replace("<end_of_turn>", "<END_OF_TURN>")
    assert len(spoiled) == len(template)
    path.write_bytes(content.replace(template.encode(), spoiled.encode()))

    (finding,) = findings(path, "runtime-template")

    assert finding.verdict == "fail"
    assert finding.reason.startswith("0 of ")
    assert "LiteRT-LM '..._of_turn>user\\nHello<END_OF_TURN>" in finding.reason


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
@pytest.mark.parametrize("suffix", [".task", pytest.param(".litertlm", marks=pytest.mark.slow)])
def test_the_gpu_takes_all_and_says_the_same(demo_task: Path, tmp_path: Path, suffix: str) -> None:
    found = findings(plants.changed(demo_task, tmp_path / f"x{suffix}"), "gpu")

    assert_same_text(found, "LiteRT-LM on gpu")
    assert found[0].reason.count("(100%)") == 4
    assert found[0].reason.endswith(" on SwiftShader Device (Subzero)")


@pytest.mark.web
def test_the_web_engine_opens_it_and_says_the_same(demo_task: Path, web: Settings) -> None:
    assert_same_text(findings(demo_task, "web", web), "MediaPipe's web engine")


@pytest.mark.web
def test_the_web_engine_puts_metadatas_system_prompt_before_the_prompt(
    demo_task: Path, tmp_path: Path, web: Settings
) -> None:
    parameters = replace(open_bundle(demo_task).parameters, system_prompt="GLOUCESTER:\n")
    path = plants.changed(demo_task, tmp_path / "x.task", parameters=parameters)

    assert_same_text(findings(path, "web", web), "MediaPipe's web engine")


@pytest.mark.web
def test_the_web_engine_maps_bytes_as_the_doctor_does(
    demo_task: Path, tmp_path: Path, web: Settings
) -> None:
    """The model has not learned this vocabulary, and continues it all the same."""
    path = tmp_path / "tokenizer.json"
    byte_level(size=2000).save(str(path))
    conversion = try_convert(path, engine="mediapipe", vocab_size=2048)
    parameters = GenerationParameters(
        "<|endoftext|>", ("<|im_end|>",), enable_bytes_to_unicode_mapping=True
    )
    bundle = plants.changed(
        demo_task, tmp_path / "x.task", tokenizer=conversion.tokenizer, parameters=parameters
    )

    assert_same_text(findings(bundle, "web", web), "MediaPipe's web engine")


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
@pytest.mark.parametrize(
    ("made", "reasons"),
    [
        (
            Made(prefill_lens=(8,), gathered_mask=True),
            [
                "decode: the delegate refuses GATHER_ND: Operation is not supported. "
                "(1, before the layers)"
            ],
        ),
        pytest.param(
            Made(prefill_lens=(8,), scatter=True),
            [
                "prefill_8: the delegate refuses STABLEHLO_SCATTER: Operation is not supported. "
                "(2, layer 0)"
            ],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["mask", "cache"],
)
def test_the_gpu_names_what_it_refuses_and_where(
    small: Callable[[Made], Path], made: Made, reasons: list[str]
) -> None:
    found = findings(small(made), "gpu")

    assert [finding.reason for finding in found] == reasons
    assert {finding.verdict for finding in found} == {"fail"}
    assert all(finding.hint for finding in found)


def test_without_vulkan_the_gpu_is_skipped(
    demo_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = {"VK_DRIVER_FILES": "/nowhere.json", "VK_ICD_FILENAMES": "/nowhere.json"}
    monkeypatch.setattr("edgegen.bundle.doctor.litert_lm.software_vulkan", lambda: nowhere)

    (finding,) = findings(demo_task, "gpu")

    assert finding.verdict == "skipped"
    assert finding.reason.startswith("there is no Vulkan to ask the GPU delegate on: ")
    assert finding.hint == "on Debian: apt-get install chromium, which brings one in software"


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
def test_an_abort_of_the_gpu_delegate_is_a_finding(demo_task_f32: Path) -> None:
    """It aborts the process (SIGABRT), which is not ours."""
    (finding,) = findings(demo_task_f32, "gpu")

    assert finding.verdict == "warn"
    assert finding.reason == ("the GPU delegate aborted: it cannot look up a float embedding table")


def test_a_scattered_cache_spoils_short_prompts_on_the_cpu(small: Callable[[Made], Path]) -> None:
    """Why `cache-writes` fails it: the same model, and the engine says something else."""
    taken, said = findings(small(Made(prefill_lens=(8,), scatter=True)), "cpu")

    assert taken.verdict == "pass"
    assert said.verdict == "fail"
    assert said.reason.startswith("LiteRT-LM on cpu continues 'The ")


def test_an_engine_without_memory_is_a_finding(demo_task: Path) -> None:
    limits = Limits(memory_bytes=30 * 1024**2)

    found = findings(demo_task, "cpu", Settings(limits=limits))

    assert [finding.verdict for finding in found] == ["fail"], found


@pytest.mark.slow
@pytest.mark.web
def test_the_web_engine_fails_where_the_doctor_says_so(
    small: Callable[[Made], Path], web: Settings
) -> None:
    found = findings(small(Made(prefill_lens=(8,), gathered_mask=True)), "web", web)

    assert found[-1].verdict == "fail", found


@pytest.mark.web
def test_a_browser_without_time_is_a_finding(demo_task: Path, web: Settings) -> None:
    """The interpreter has its answer before; the browser alone is too slow."""
    subject = Subject(demo_task, Settings(limits=Limits(), web_engine=web.web_engine))
    web_check.greedy_reference(subject, 0.1)
    subject.settings = Settings(limits=Limits(timeout_s=1), web_engine=web.web_engine)

    (remark,) = web_check.web(subject)

    assert remark.verdict == "fail"
    assert remark.reason == (
        "MediaPipe's web engine does not run it: the browser was not done in time and was ended"
    )


# --- what containers each engine takes, which `container` and `layout` go by -------------------


def opens(path: Path) -> str:
    """Return what LiteRT-LM says when it opens a file, which ours need not call a bundle."""
    import litert_lm

    try:
        with litert_lm.Engine(model_path=str(path), cache_dir=":nocache"):
            return "opens"
    except RuntimeError as error:
        return str(error)


@pytest.mark.parametrize(
    ("order", "method", "says"),
    [
        (plants.AS_MEDIAPIPE, zipfile.ZIP_STORED, "opens"),
        (plants.METADATA_FIRST, zipfile.ZIP_STORED, "opens"),
        (plants.AS_MEDIAPIPE, zipfile.ZIP_DEFLATED, "Failed to create LiteRT-LM engine"),
    ],
    ids=["stored", "metadata first", "compressed"],
)
def test_what_litert_lm_takes_of_a_zip_program(
    demo_task: Path, tmp_path: Path, order: tuple[str, ...], method: int, says: str
) -> None:
    path = plants.zipped(demo_task, tmp_path / "x.task", order, method)

    assert opens(path).startswith(says)


@pytest.mark.web
def test_the_web_engine_does_not_take_what_begins_as_a_zip(
    demo_task: Path, tmp_path: Path, web: Settings
) -> None:
    path = plants.zipped(demo_task, tmp_path / "x.task", plants.METADATA_FIRST, zipfile.ZIP_STORED)

    (finding,) = findings(path, "web", web)

    assert finding.verdict == "fail"
    assert "No model format matched" in finding.reason


def test_the_dead_zone_is_where_litert_lm_refuses(
    small: Callable[[Made], Path], small_tokenizer: SentencePieceTokenizer
) -> None:
    made = Made(kv_cache_len=60, prefill_lens=(8, 16))
    bundle = open_bundle(small(made))
    refused = []
    for tokens in (48, 55, 56, 57, 58, 59):
        prompt = "h" * (tokens - 1)  # the start token is one
        assert len(small_tokenizer.encode(prompt)) == tokens - 1
        request = GenerateRequest(prompt, max_output_tokens=1, apply_prompt_template=False)
        try:
            generate(bundle, request).result()
        except EngineError as error:
            refused.append((tokens, "exceeds available state entries" in error.message))

    predicted = dead_zone(made.prefill_lens, made.kv_cache_len)
    assert refused == [(tokens, True) for tokens in predicted]
    assert predicted == (57, 58, 59)


def test_a_piece_that_the_model_does_not_know_fails_on_the_cpu(
    small: Callable[[Made], Path],
) -> None:
    path = small(Made(vocab_size=262, prefill_lens=(8,)))
    request = GenerateRequest("to be or not", max_output_tokens=1, apply_prompt_template=False)

    with pytest.raises(EngineError, match="EMBEDDING_LOOKUP"):
        generate(path, request).result()
