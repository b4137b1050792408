from __future__ import annotations

import hashlib
import json
from pathlib import Path

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.bundle import SentencePieceTokenizer, inspect_bundle, open_bundle, write_bundle
from edgegen.bundle.flatbuffer import WeightStorage, read_model
from edgegen.errors import BundleError, EdgegenError
from edgegen.metering import peak_rss_bytes
from edgegen.progress import Advance, reporting
from tests.bundle.conftest import PARAMETERS


def test_the_demo_bundle_is_told_in_full(demo_task: Path) -> None:
    found = inspect_bundle(demo_task)

    assert found.format == "task"
    assert found.prefill_lens == (16, 32, 128)
    assert found.kv_cache_len == 512
    assert found.num_hidden_layers == 4
    assert found.vocab_size == 2048
    assert found.parameters == open_bundle(demo_task).parameters
    assert found.file_bytes == demo_task.stat().st_size
    assert found.sha256 == hashlib.sha256(demo_task.read_bytes()).hexdigest()


def test_signatures_have_names_types_and_shapes(demo_task: Path) -> None:
    by_name = {s.name: s for s in inspect_bundle(demo_task, sha256=False).signatures}

    assert sorted(by_name) == ["decode", "prefill_128", "prefill_16", "prefill_32"]
    prefill, decode = by_name["prefill_32"], by_name["decode"]
    assert (prefill.inputs["tokens"].dtype, prefill.inputs["tokens"].shape) == ("INT32", (1, 32))
    assert prefill.inputs["input_pos"].shape == (32,)
    assert decode.outputs["logits"].shape == (1, 1, 2048)
    assert "logits" not in prefill.outputs
    for name, cache in decode.inputs.items():
        if name.startswith("kv_cache"):
            assert decode.outputs[name] == cache
            assert cache.dtype == "FLOAT32"
    assert decode.operations["EMBEDDING_LOOKUP"] == 1
    assert decode.operations["DYNAMIC_UPDATE_SLICE"] == 2 * 4


def test_int8_weights_are_a_quarter_of_float_ones(demo_task: Path, demo_task_f32: Path) -> None:
    small = {w.dtype: w for w in inspect_bundle(demo_task, sha256=False).weights}
    large = {w.dtype: w for w in inspect_bundle(demo_task_f32, sha256=False).weights}

    assert small["INT8"].nbytes == small["INT8"].elements
    assert large["FLOAT32"].nbytes == 4 * large["FLOAT32"].elements
    assert "INT8" not in large
    assert small["INT8"].nbytes > 0.9 * large["FLOAT32"].nbytes / 4


def test_a_bare_model_and_its_bundle_tell_the_same(demo_task: Path, tmp_path: Path) -> None:
    offset, size = open_bundle(demo_task).model_span
    bare = tmp_path / "model.tflite"
    bare.write_bytes(demo_task.read_bytes()[offset : offset + size])

    model, bundle = inspect_bundle(bare), inspect_bundle(demo_task)

    assert model.format == "tflite"
    assert model.parameters is None
    assert model.members == ()
    assert (model.signatures, model.weights) == (bundle.signatures, bundle.weights)


def test_everything_becomes_json(demo_task: Path) -> None:
    told = json.loads(json.dumps(inspect_bundle(demo_task).as_dict()))

    assert told["path"] == str(demo_task)
    assert told["kv_cache_len"] == 512
    assert told["members"][0]["name"] == "TF_LITE_PREFILL_DECODE"
    assert told["signatures"][0]["inputs"]["tokens"]["dtype"] == "INT32"


@pytest.fixture
def copy(demo_task: Path, tmp_path: Path) -> Path:
    path = tmp_path / "copy.task"
    path.write_bytes(demo_task.read_bytes())
    return path


def test_provenance_beside_the_file_is_read(copy: Path) -> None:
    assert inspect_bundle(copy, sha256=False).provenance is None
    copy.with_name("copy.task.provenance.json").write_text('{"recipe": "none"}')

    assert inspect_bundle(copy, sha256=False).provenance == {"recipe": "none"}


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "is not valid JSON"), ("[1]", "holds a list, expected a JSON object")],
)
def test_damaged_provenance_is_refused(copy: Path, content: str, says: str) -> None:
    copy.with_name("copy.task.provenance.json").write_text(content)
    with pytest.raises(BundleError, match=says) as caught:
        inspect_bundle(copy, sha256=False)
    assert "remove copy.task.provenance.json" in str(caught.value.hint)


def test_provenance_of_absurd_size_is_not_read(copy: Path) -> None:
    with copy.with_name("copy.task.provenance.json").open("wb") as file:
        file.truncate(17 * 1024**2)
    with pytest.raises(BundleError, match="has 17825792 bytes, expected at most 16777216"):
        inspect_bundle(copy, sha256=False)


def test_hashing_is_a_stage_of_its_own(demo_task: Path) -> None:
    class Names:
        def __init__(self) -> None:
            self.started: list[tuple[str, int | None, str]] = []

        def start(self, name: str, total: int | None, unit: str) -> Advance:
            self.started.append((name, total, unit))
            return lambda amount: None

        def finish(self, name: str) -> None:
            pass

    names = Names()
    with reporting(names):
        inspect_bundle(demo_task)
        inspect_bundle(demo_task, sha256=False)

    assert names.started == [("hash bundle", demo_task.stat().st_size, "B")]


@settings(max_examples=150, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1))
def test_a_changed_model_is_refused_or_read_but_never_crashes(
    small_tflite: Path, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(small_tflite.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    changed = small_tflite.with_name("changed.tflite")
    changed.write_bytes(content)
    refusal = None
    try:
        inspect_bundle(changed, sha256=False)
    except EdgegenError as error:
        refusal = error
    assert refusal is None or refusal.hint


def test_a_cut_model_is_refused(small_tflite: Path) -> None:
    cut = small_tflite.with_name("cut.tflite")
    cut.write_bytes(small_tflite.read_bytes()[:40])
    with pytest.raises(BundleError, match=r"the TFLite model in .*cut\.tflite is damaged"):
        inspect_bundle(cut)


def tflite(external: tuple[int, int] | None) -> bytes:
    """A model of one int8 constant [2, 3], stored inside or at (offset, size) behind it."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    inside, empty = schema.BufferT(), schema.BufferT()
    inside.data = None if external else list(range(6))
    if external:
        inside.offset, inside.size = external
    tensors = []
    for index, dtype, shape in (
        (0, schema.TensorType.FLOAT32, [7]),
        (1, schema.TensorType.INT8, [2, 3]),
        (1, schema.TensorType.INT8, [2, 3]),
    ):
        tensor = schema.TensorT()
        tensor.buffer, tensor.type, tensor.shape = index, dtype, shape
        tensors.append(tensor)
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, [0], [1], []
    model.version, model.buffers, model.subgraphs = 3, [empty, inside], [graph]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.fixture(scope="module")
def small_tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.tflite"
    path.write_bytes(tflite(None))
    return path


def test_a_model_without_buffers_is_refused(tmp_path: Path, small_tflite: Path) -> None:
    model = schema.ModelT.InitFromPackedBuf(small_tflite.read_bytes())
    model.buffers = None
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    (tmp_path / "none.tflite").write_bytes(builder.Output())

    with pytest.raises(BundleError, match=r"the TFLite model in .*none\.tflite is damaged"):
        inspect_bundle(tmp_path / "none.tflite")


def test_a_shared_constant_counts_once(small_tflite: Path) -> None:
    assert inspect_bundle(small_tflite).weights == (WeightStorage("INT8", 1, 6, 6),)


def test_weights_behind_the_flatbuffer_are_counted_without_being_read(tmp_path: Path) -> None:
    size = 3 * 1024**3
    path = tmp_path / "large.tflite"
    path.write_bytes(tflite((4096, size)))
    with path.open("r+b") as file:
        file.truncate(4096 + size)  # a hole: it takes no space on the disk
    before = peak_rss_bytes()

    _, weights = read_model(path, (0, 4096 + size))

    after = peak_rss_bytes()
    assert weights == (WeightStorage("INT8", 1, 6, size),)
    assert before is not None
    assert after is not None
    assert after - before < 64 * 1024**2


def test_a_model_without_kv_cache_has_no_cache_length(
    tmp_path: Path, small_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    bundle = write_bundle(small_tflite, tokenizer, PARAMETERS, tmp_path / "odd.task")
    found = inspect_bundle(bundle.path)

    assert found.kv_cache_len is None
    assert found.vocab_size is None
    assert found.prefill_lens == ()
