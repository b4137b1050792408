from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from edgegen.bundle import (
    GenerateRequest,
    MeasureRequest,
    SentencePieceTokenizer,
    engine_process,
    formats,
    generate,
    measure,
    open_bundle,
    write_bundle,
    zip_writer,
)
from edgegen.bundle.engine import WrongCountsError, measure_message
from edgegen.errors import BundleError, EngineError
from edgegen.provenance import provenance_path
from tests.bundle.conftest import train_tokenizer
from tests.processes import wait_for
from tests.signals import ORDINARY_SIGNALS

PROMPT = "To be, or not to be"
GREEDY = GenerateRequest(PROMPT, max_output_tokens=12)

# Starts a child whose engine says one piece and is stuck, as native code may be.
STUCK = (
    "import sys, time; fd, *sys.path[:] = sys.argv[1:]; "
    "from edgegen.bundle import engine_child; "
    "engine_child._ACTIONS['generate'] = "
    "lambda request, answer: (answer({'piece': 'x'}), time.sleep(600)); "
    "engine_child.main(int(fd))"
)

# Starts a child whose engine answers at once.
START = (
    "import sys; fd, *sys.path[:] = sys.argv[1:]; "
    "from edgegen.bundle import engine_child; "
    "engine_child._ACTIONS['{action}'] = lambda request, answer: answer({{'done': {done}}}); "
    "engine_child.main(int(fd))"
)


def rebundle(task: Path, output: Path, **changes: object) -> Path:
    """Write the bundle anew with other generation parameters or another tokenizer."""
    bundle = open_bundle(task)
    offset, size = bundle.model_span
    model = output.with_suffix(".tflite")
    model.write_bytes(task.read_bytes()[offset : offset + size])
    tokenizer = changes.pop("tokenizer", bundle.tokenizer)
    assert isinstance(tokenizer, SentencePieceTokenizer)
    parameters = replace(bundle.parameters, **changes)  # type: ignore[arg-type]
    return write_bundle(model, tokenizer, parameters, output).path


def test_pieces_add_up_to_the_text(demo_task: Path) -> None:
    generation = generate(demo_task, GREEDY)
    pieces = list(generation)
    result = generation.result()

    assert "".join(pieces) == result.text
    assert len(pieces) > 3
    assert result.finish == "max_output_tokens"
    assert result.output_tokens == 12
    assert result.prompt_tokens == 1 + len(open_bundle(demo_task).tokenizer.encode(PROMPT))


def test_what_it_took_is_told(demo_task: Path) -> None:
    result = generate(demo_task, GREEDY).result()

    assert result.init_ms > 0
    assert result.ttft_ms > 0
    assert result.decode_tokens_per_s > 0
    # More than the model, less than this process, which holds torch and converters.
    assert demo_task.stat().st_size < result.peak_rss_bytes < 500 * 1024**2
    taken = {d.signature: d for d in result.delegations}
    assert taken["decode"].delegate == "TfLiteXNNPackDelegate"
    assert 0 < taken["decode"].nodes_delegated < taken["decode"].nodes_total
    assert result.gpu_adapter is None


def test_temperature_zero_and_top_k_one_are_both_greedy(demo_task_f32: Path) -> None:
    texts = {
        generate(demo_task_f32, replace(GREEDY, **sampling)).result().text
        for sampling in (
            {},
            {"seed": 7},
            {"top_k": 1000, "top_p": 1.0},
            {"temperature": 1.5, "top_k": 1, "seed": 3},
        )
    }

    assert len(texts) == 1


def test_the_same_seed_gives_the_same_text_and_others_another(demo_task: Path) -> None:
    def text(seed: int) -> str:
        request = replace(GREEDY, temperature=1.5, top_k=500, top_p=1.0, seed=seed)
        return generate(demo_task, request).result().text

    assert text(1) == text(1)
    assert len({text(seed) for seed in range(1, 5)}) > 1


def test_the_prompt_template_is_put_around_the_prompt(demo_task_f32: Path, tmp_path: Path) -> None:
    framed = rebundle(
        demo_task_f32,
        tmp_path / "framed.task",
        prompt_prefix_user="KING:\n",
        prompt_suffix_user="\n",
        prompt_prefix_model="QUEEN:\n",
    )
    by_template = generate(framed, GREEDY).result()
    by_hand = generate(
        framed,
        replace(GREEDY, prompt=f"KING:\n{PROMPT}\nQUEEN:\n", apply_prompt_template=False),
    ).result()
    raw = generate(framed, replace(GREEDY, apply_prompt_template=False)).result()

    assert by_template.text == by_hand.text
    assert by_template.prompt_tokens == by_hand.prompt_tokens > raw.prompt_tokens


def test_a_stop_token_ends_the_answer(demo_task_f32: Path, tmp_path: Path) -> None:
    pieces = list(generate(demo_task_f32, replace(GREEDY, max_output_tokens=40)))
    tokenizer = open_bundle(demo_task_f32).tokenizer
    names = [piece.replace(" ", "\u2581") for piece in pieces]  # SentencePiece's space
    stop = next(name for name in names[4:] if tokenizer.piece_id(name) is not None)
    stopping = rebundle(demo_task_f32, tmp_path / "stop.task", stop_tokens=("</s>", stop))

    result = generate(stopping, replace(GREEDY, max_output_tokens=40)).result()

    assert result.finish == "stop_token"
    assert result.text == "".join(pieces[: names.index(stop)])


def test_a_full_cache_ends_the_answer_and_is_told(demo_task: Path, tmp_path: Path) -> None:
    # A piece that the model does not say, and </s> is no stop token any more.
    endless = rebundle(demo_task, tmp_path / "endless.task", stop_tokens=("<unk>",))

    result = generate(endless, replace(GREEDY, max_output_tokens=100_000)).result()

    assert result.finish == "kv_cache_full"
    assert result.prompt_tokens + result.output_tokens == 512


def test_the_engine_reads_zip64_bundles(
    demo_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a model over 2 GB gets, without the 2 GB.
    monkeypatch.setattr(zip_writer, "ZIP64_LIMIT", 1000)
    large = rebundle(demo_task, tmp_path / "large.task")

    assert b"PK\x06\x06" in large.read_bytes()  # the zip64 end of its directory
    assert generate(large, GREEDY).result().text == generate(demo_task, GREEDY).result().text


def test_nothing_is_left_beside_the_bundle(demo_task: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "model.task"
    bundle.write_bytes(demo_task.read_bytes())
    generate(bundle, GREEDY).result()
    measure(bundle, MeasureRequest(prefill_tokens=16, decode_tokens=4))

    assert [path.name for path in tmp_path.iterdir()] == ["model.task"]


def test_broken_provenance_beside_the_bundle_stops_nothing(demo_task: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "model.task"
    bundle.write_bytes(demo_task.read_bytes())
    provenance_path(bundle).write_text("{")

    assert generate(bundle, GREEDY).result().text == generate(demo_task, GREEDY).result().text


def test_a_link_runs_whatever_it_points_to(demo_task: Path, tmp_path: Path) -> None:
    """Download caches keep files under their hash; the engine goes by the extension."""
    blob, link = tmp_path / "d2c0ffee", tmp_path / "model.task"
    blob.write_bytes(demo_task.read_bytes())
    link.symlink_to(blob)

    assert generate(link, GREEDY).result().text
    assert measure(link, MeasureRequest(prefill_tokens=16, decode_tokens=4)).init_ms > 0


def test_a_cache_folder_is_used_where_one_is_given(demo_task: Path, tmp_path: Path) -> None:
    measure(demo_task, MeasureRequest(prefill_tokens=16, decode_tokens=4, cache_dir=tmp_path))

    assert any(tmp_path.iterdir())


def test_a_file_in_the_current_folder_is_not_imported(
    demo_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "litert_lm", "edgegen"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])

    assert generate(demo_task, GREEDY).result().text


def test_the_benchmark_runs_the_counts_asked_for(demo_task: Path) -> None:
    found = measure(demo_task, MeasureRequest(prefill_tokens=33, decode_tokens=9, threads=1))

    assert (found.prefill_tokens, found.decode_tokens) == (33, 9)
    numbers = asdict(found)
    for name in ("init_ms", "ttft_ms", "prefill_tokens_per_s", "decode_tokens_per_s"):
        assert numbers[name] > 0
    assert found.peak_rss_bytes > demo_task.stat().st_size


def test_counts_that_the_engine_cut_are_an_error(demo_task: Path) -> None:
    with pytest.raises(WrongCountsError) as caught:
        measure(demo_task, MeasureRequest(500, 13))
    assert caught.value.message == (
        "the engine ran 500 prefill and 12 decode tokens, expected 500 and 13"
    )
    assert caught.value.hint == (
        "ask for fewer tokens: prompt and answer must fit the KV cache, and a stop token ends the "
        "answer early"
    )


def test_a_prompt_that_fills_the_kv_cache_is_an_error(demo_task: Path) -> None:
    with pytest.raises(EngineError, match="512 tokens, expected fewer than the KV cache's 512"):
        measure(demo_task, MeasureRequest(512, 1))


@pytest.mark.parametrize(
    ("prefill", "decode", "depth"),
    # More than LiteRT-LM's own benchmark runs, prefill alone, decode alone, and behind a context.
    [(300, 200, 0), (33, 0, 0), (0, 9, 0), (40, 8, 100), (0, 8, 129), (40, 0, 1)],
)
def test_whatever_is_asked_for_is_run_as_such(
    demo_task: Path, prefill: int, decode: int, depth: int
) -> None:
    found = measure(demo_task, MeasureRequest(prefill, decode, depth))

    assert (found.prefill_tokens or 0, found.decode_tokens or 0) == (prefill, decode)
    assert (found.prefill_tokens is None) == (found.prefill_tokens_per_s is None) == (not prefill)
    assert (found.decode_tokens is None) == (found.decode_tokens_per_s is None) == (not decode)
    assert (found.ttft_ms is not None) == bool(prefill and decode and not depth)


def test_the_engine_is_pinned_to_the_cpus_of_the_mask(demo_task: Path) -> None:
    cpu = max(os.sched_getaffinity(0))
    seen: list[set[int]] = []
    asked = MeasureRequest(64, 128, cpu_mask=1 << cpu)
    message = measure_message(open_bundle(demo_task), asked)
    with engine_process.engine_process(message, 60) as child:
        for answer in child.answers():
            tasks = Path(f"/proc/{child.pid}/task").iterdir()
            seen += [os.sched_getaffinity(int(task.name)) for task in tasks]
            child.note(answer)

    assert seen
    assert all(cpus == {cpu} for cpus in seen)


@pytest.mark.parametrize("line", ["hello", "[1]", '{"done": 3}', "\\xff"])
def test_an_answer_that_is_none_is_an_error(
    demo_task: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    script = f"import os, sys; os.write(int(sys.argv[1]), b'{line}\\n')"
    monkeypatch.setattr(engine_process, "_START_CHILD", script)
    with pytest.raises(EngineError) as caught:
        generate(demo_task, GREEDY).result()
    assert caught.value.message == (
        f"the engine's process answered with what is no answer: '{line}'"
    )
    assert caught.value.hint == (
        "run it again; if it stays so, install litert-lm-api and edgegen anew"
    )


@pytest.mark.parametrize("rate", ["0.0", "-1.0", "float('nan')", "float('inf')"])
def test_a_rate_that_cannot_be_is_an_error(
    demo_task: Path, monkeypatch: pytest.MonkeyPatch, rate: str
) -> None:
    """LiteRT-LM reports zeros after errors."""
    done = (
        "{'init_ms': 1.0, 'ttft_ms': 1.0, 'prefill_tokens': 16, 'prefill_tokens_per_s': 1.0, "
        f"'decode_tokens': 4, 'decode_tokens_per_s': {rate}, 'peak_rss_bytes': 1}}"
    )
    monkeypatch.setattr(engine_process, "_START_CHILD", START.format(action="measure", done=done))
    with pytest.raises(EngineError, match="reported a time or rate that cannot be") as caught:
        measure(demo_task, MeasureRequest(prefill_tokens=16, decode_tokens=4))
    assert "-v" in str(caught.value.hint)


def test_a_missing_engine_is_explained(demo_task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litert_lm", None)
    for use in (
        lambda: generate(demo_task, GREEDY).result(),
        lambda: measure(demo_task, MeasureRequest(1, 1)),
    ):
        with pytest.raises(EngineError, match="LiteRT-LM is not installed") as caught:
            use()
        assert "pip install litert-lm-api" in str(caught.value.hint)


def test_a_prompt_that_does_not_fit_is_refused(demo_task: Path) -> None:
    with pytest.raises(EngineError, match="fewer than the KV cache's 512") as caught:
        generate(demo_task, replace(GREEDY, prompt="hello world " * 400)).result()
    assert "--kv-cache-len" in str(caught.value.hint)


def test_a_tokenizer_smaller_than_the_model_is_explained(demo_task: Path, tmp_path: Path) -> None:
    small = SentencePieceTokenizer(Path("small"), train_tokenizer(300))
    bundle = rebundle(demo_task, tmp_path / "small.task", tokenizer=small)
    request = replace(GREEDY, max_output_tokens=200)
    with pytest.raises(EngineError, match=r"token id \d+, but the bundle's tokenizer has 300"):
        generate(bundle, request).result()


def test_an_engine_that_aborts_is_explained_by_its_own_words(
    demo_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # LiteRT-LM aborts on a bundle without start token, which is why none is written.
    monkeypatch.setattr(formats, "check_tokens", lambda *_, **__: None)
    bundle = rebundle(demo_task, tmp_path / "startless.task", start_token="")
    with pytest.raises(EngineError, match="killed by SIGABRT") as caught:
        generate(bundle, GREEDY).result()
    assert "out of bounds" in caught.value.message
    assert "-v" in str(caught.value.hint)


def test_a_file_that_is_no_bundle_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "x.task").write_text("hello")
    for use in (
        lambda: generate(tmp_path / "x.task", GREEDY),
        lambda: measure(tmp_path / "x.task", MeasureRequest(1, 1)),
    ):
        with pytest.raises(BundleError, match="is not a zip file"):
            use()


def test_a_timeout_ends_the_engine(demo_task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_process, "_START_CHILD", STUCK)
    with pytest.raises(EngineError, match=r"not done after 0\.5 s") as caught:
        generate(demo_task, replace(GREEDY, timeout_s=0.5)).result()
    assert caught.value.hint
    assert children() == []


def test_leaving_early_ends_the_engine(demo_task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_process, "_START_CHILD", STUCK)
    with generate(demo_task, GREEDY) as generation:
        assert next(generation) == "x"
        assert len(children()) == 1

    assert children() == []
    with pytest.raises(EngineError, match="closed before its end"):
        generation.result()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_engine_dies_with_its_parent(demo_task: Path, end: signal.Signals) -> None:
    script = (
        "from edgegen.bundle import GenerateRequest, engine_process, generate; "
        f"engine_process._START_CHILD = {STUCK!r}; "
        f"pieces = generate({str(demo_task)!r}, GenerateRequest('a')); "
        "print(next(pieces), flush=True); next(pieces)"
    )
    with subprocess.Popen(
        [*ORDINARY_SIGNALS, sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"x\n"
        (engine,) = children(parent.pid)
        parent.send_signal(end)
        try:
            parent.wait(10)
        finally:
            parent.kill()

    assert wait_for(lambda: not alive(engine))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_output_tokens", 0),
        ("temperature", -0.1),
        ("top_k", 0),
        ("top_p", 1.1),
        ("seed", -1),
        ("delegate", "npu"),
        ("threads", 0),
        ("timeout_s", 0),
    ],
)
def test_impossible_requests_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{field} is {value!r}, expected"):
        GenerateRequest("x", **{field: value})  # type: ignore[arg-type]


def test_impossible_measurements_are_refused() -> None:
    with pytest.raises(ValueError, match="decode_tokens is -1, expected >= 0"):
        MeasureRequest(1, -1)
    with pytest.raises(ValueError, match=r"prefill_tokens \+ decode_tokens is 0, expected >= 1"):
        MeasureRequest(0, 0, depth=9)
    with pytest.raises(ValueError, match="cpu_mask is 0, expected > 0"):
        MeasureRequest(1, 1, cpu_mask=0)


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
def test_the_gpu_takes_everything_and_says_what_it_is(demo_task: Path) -> None:
    result = generate(demo_task, replace(GREEDY, delegate="gpu", max_output_tokens=4)).result()

    assert result.output_tokens == 4
    assert "SwiftShader" in str(result.gpu_adapter)
    taken = {d.signature: d for d in result.delegations}
    assert sorted(taken) == ["decode", "prefill_128", "prefill_16", "prefill_32"]
    for delegation in taken.values():
        assert delegation.delegate == "LITERT_WEBGPU"
        assert delegation.nodes_delegated == delegation.nodes_total
        assert delegation.partitions == 1


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
def test_float_weights_on_the_gpu_are_explained(demo_task_f32: Path) -> None:
    with pytest.raises(EngineError, match="cannot look up a float embedding table") as caught:
        generate(demo_task_f32, replace(GREEDY, delegate="gpu")).result()
    assert "--recipe dynamic_wi8_afp32" in str(caught.value.hint)


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
def test_weight_only_weights_on_the_gpu_are_explained(
    demo_bundle: Callable[[str], Path],
) -> None:
    request = replace(GREEDY, delegate="gpu")
    with pytest.raises(EngineError, match=r"crashed \(SIGSEGV\)") as caught:
        generate(demo_bundle("weight_only_wi8_afp32"), request).result()
    assert "--recipe dynamic_wi8_afp32" in str(caught.value.hint)


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
def test_a_machine_without_gpu_is_told_apart(
    demo_task: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "none.json"))
    monkeypatch.setenv("VK_ICD_FILENAMES", str(tmp_path / "none.json"))
    with pytest.raises(EngineError, match="finds no GPU on this machine") as caught:
        generate(demo_task, replace(GREEDY, delegate="gpu")).result()
    assert "--delegate cpu" in str(caught.value.hint)


def children(parent: int | None = None) -> list[int]:
    """Process ids of the running engine children of a process, this one by default."""
    parent = parent or os.getpid()
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = status.read_text().rsplit(")", 1)
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields.split()[1]) == parent and b"engine_child" in command:
            found.append(int(name.split(" ", 1)[0]))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
