from __future__ import annotations

import shlex
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.bundle import GenerationParameters, SentencePieceTokenizer, open_bundle, write_bundle
from edgegen.bundle.task import MODEL_ALIGNMENT
from edgegen.errors import BundleError, EdgegenError, OutputError, TokenizerError
from edgegen.metering import peak_rss_bytes
from edgegen.progress import Advance, reporting
from tests.bundle.conftest import PARAMETERS


@pytest.fixture
def bundle(tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer) -> Path:
    return write_bundle(fake_tflite, tokenizer, PARAMETERS, tmp_path / "model.task").path


def test_a_bundle_holds_what_went_in(
    bundle: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    opened = open_bundle(bundle)
    offset, size = opened.model_span

    assert [m.name for m in opened.members] == [
        "TF_LITE_PREFILL_DECODE",
        "TOKENIZER_MODEL",
        "METADATA",
    ]
    assert opened.parameters == PARAMETERS
    assert opened.tokenizer.proto == tokenizer.proto
    assert bundle.read_bytes()[offset : offset + size] == fake_tflite.read_bytes()


def test_other_zip_readers_agree(bundle: Path, fake_tflite: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        assert archive.read("TF_LITE_PREFILL_DECODE") == fake_tflite.read_bytes()
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_model_can_be_mapped(bundle: Path) -> None:
    assert open_bundle(bundle).model_span[0] % MODEL_ALIGNMENT == 0


def test_the_same_input_gives_the_same_bytes(
    tmp_path: Path, bundle: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    again = write_bundle(fake_tflite, tokenizer, PARAMETERS, tmp_path / "again.task").path

    assert again.read_bytes() == bundle.read_bytes()


def test_memory_does_not_grow_with_the_model(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    size = 200 * 1024**2
    with fake_tflite.open("r+b") as file:
        file.truncate(size)
    write_bundle(fake_tflite, tokenizer, PARAMETERS, tmp_path / "first.task")  # loads libraries
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = peak_rss_bytes()

    write_bundle(fake_tflite, tokenizer, PARAMETERS, tmp_path / "second.task")

    after = peak_rss_bytes()
    assert before is not None
    assert after is not None
    assert after - before < size / 8


@pytest.mark.slow
def test_a_model_over_four_gigabytes_is_bundled(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    size = 4 * 1024**3 + 4096
    with fake_tflite.open("r+b") as file:
        file.truncate(size)

    bundle = write_bundle(fake_tflite, tokenizer, PARAMETERS, tmp_path / "large.task")

    assert bundle.model_span == (MODEL_ALIGNMENT, size)
    assert bundle.tokenizer.proto == tokenizer.proto
    with zipfile.ZipFile(bundle.path) as archive, archive.open("METADATA") as metadata:
        assert len(metadata.read()) == bundle.member("METADATA").size
    bundle.path.unlink()


def test_progress_adds_up_to_the_models_bytes(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    class Counter:
        def start(self, name: str, total: int | None, unit: str) -> Advance:
            self.name, self.total, self.unit, self.amounts = name, total, unit, []
            return self.amounts.append

        def finish(self, name: str) -> None:
            self.finished = name

    counter = Counter()
    with reporting(counter):
        bundle = write_bundle(fake_tflite, tokenizer, PARAMETERS, tmp_path / "model.task")

    assert (counter.name, counter.unit, counter.finished) == ("bundle", "B", "bundle")
    assert sum(counter.amounts) == counter.total == bundle.model_span[1]


def test_an_existing_file_is_kept_unless_forced(
    bundle: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    other = GenerationParameters("<s>", ("<end_of_turn>",))
    before = bundle.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        write_bundle(fake_tflite, tokenizer, other, bundle)
    assert bundle.read_bytes() == before

    assert write_bundle(fake_tflite, tokenizer, other, bundle, force=True).parameters == other


def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    class Stop:
        def start(self, name: str, total: int | None, unit: str) -> Advance:
            return self.stop

        def stop(self, amount: int) -> None:
            raise KeyboardInterrupt

        def finish(self, name: str) -> None:
            pass

    with pytest.raises(KeyboardInterrupt), reporting(Stop()):
        write_bundle(fake_tflite, tokenizer, PARAMETERS, tmp_path / "model.task")

    assert [path.name for path in tmp_path.iterdir()] == [fake_tflite.name]


@pytest.mark.parametrize("name", ["m.tflite", "noext", "m.TASK", "m.task.bak", ".task"])
def test_a_name_that_engines_do_not_open_is_refused_before_any_work(
    tmp_path: Path, tokenizer: SentencePieceTokenizer, name: str
) -> None:
    with pytest.raises(OutputError, match=r"does not end in \.task") as caught:
        write_bundle(tmp_path / "missing.tflite", tokenizer, PARAMETERS, tmp_path / name)
    assert f"{name}.task" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["m.litertlm", "no ext"])
def test_a_bundle_under_a_name_that_engines_do_not_open_is_to_be_renamed(
    bundle: Path, name: str
) -> None:
    renamed = bundle.rename(bundle.with_name(name))
    with pytest.raises(BundleError, match=r"is a bundle, but its name does not end in \.task") as c:
        open_bundle(renamed)

    subprocess.run(shlex.split(str(c.value.hint).removeprefix("rename it: ")), check=True)
    assert open_bundle(bundle.with_name(f"{name}.task")).parameters == PARAMETERS


def test_a_model_that_is_no_tflite_is_refused(
    tmp_path: Path, tokenizer: SentencePieceTokenizer
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x09\x12\x07pytorch")
    with pytest.raises(BundleError, match=r"model\.onnx is not a TFLite model"):
        write_bundle(tmp_path / "model.onnx", tokenizer, PARAMETERS, tmp_path / "out.task")


def test_a_missing_model_is_refused(tmp_path: Path, tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(BundleError, match=r"none\.tflite does not exist"):
        write_bundle(tmp_path / "none.tflite", tokenizer, PARAMETERS, tmp_path / "out.task")


def test_stop_tokens_are_checked_before_anything_is_written(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    with pytest.raises(TokenizerError, match="stop token '<eos>' is not a piece"):
        write_bundle(
            fake_tflite, tokenizer, GenerationParameters("<s>", ("<eos>",)), tmp_path / "out.task"
        )
    assert not (tmp_path / "out.task").exists()


def test_every_cut_is_noticed(tmp_path: Path, bundle: Path) -> None:
    whole = bundle.read_bytes()
    cut = tmp_path / "cut.task"

    # All cuts behind the model, and some inside of it.
    for size in (*range(0, MODEL_ALIGNMENT, 997), *range(len(whole) - 700, len(whole))):
        cut.write_bytes(whole[:size])
        with pytest.raises(BundleError, match=r"cut off|not a zip|damaged") as caught:
            open_bundle(cut)
        assert caught.value.hint


# The headers at the start and the directory at the end, not the contents between them.
PLACES = st.integers(-300, 99)


@settings(max_examples=300)
@given(changes=st.lists(st.tuples(PLACES, st.integers(0, 255)), min_size=1, max_size=4))
def test_a_changed_byte_is_refused_or_harmless_but_never_crashes(
    small_bundle: Path, changes: list[tuple[int, int]]
) -> None:
    changed = bytearray(small_bundle.read_bytes())
    for place, value in changes:
        changed[place] = value
    path = small_bundle.with_name("changed.task")
    path.write_bytes(changed)
    refusal = None
    try:
        open_bundle(path)
    except EdgegenError as error:
        refusal = error
    assert refusal is None or refusal.hint


@pytest.fixture(scope="module")
def small_bundle(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: SentencePieceTokenizer
) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    return write_bundle(folder / "model.tflite", tokenizer, PARAMETERS, folder / "model.task").path


def repack(bundle: Path, target: Path, **changes: bytes | None) -> Path:
    """Write the members of `bundle` anew, with other contents or without those that are None."""
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = changes.get(name, source.read(name))
            if content is not None:
                archive.writestr(name, content)
    return target


def test_a_bundle_packed_by_others_opens(tmp_path: Path, bundle: Path) -> None:
    opened = open_bundle(repack(bundle, tmp_path / "theirs.task"))

    assert opened.parameters == PARAMETERS
    assert opened.model_span[0] % MODEL_ALIGNMENT != 0


@pytest.mark.parametrize("name", ["TF_LITE_PREFILL_DECODE", "TOKENIZER_MODEL", "METADATA"])
def test_a_missing_member_is_named(tmp_path: Path, bundle: Path, name: str) -> None:
    without = repack(bundle, tmp_path / "less.task", **{name: None})
    with pytest.raises(BundleError, match=f"has no member {name}, it holds: "):
        open_bundle(without)


def test_a_model_member_that_is_no_tflite_is_refused(tmp_path: Path, bundle: Path) -> None:
    other = repack(bundle, tmp_path / "other.task", TF_LITE_PREFILL_DECODE=b"GGUF" + bytes(99))
    with pytest.raises(BundleError, match="is not a TFLite model"):
        open_bundle(other)


def test_metadata_of_absurd_size_is_not_read(tmp_path: Path, bundle: Path) -> None:
    absurd = repack(bundle, tmp_path / "absurd.task", METADATA=bytes(2 * 1024**2))
    with pytest.raises(BundleError, match=r"METADATA .* has 2097152 bytes, expected at most"):
        open_bundle(absurd)


def test_mediapipes_own_bundle_opens(tmp_path: Path, fake_tflite: Path, proto: bytes) -> None:
    from mediapipe.tasks.python.genai import bundler

    (tmp_path / "tokenizer.model").write_bytes(proto)
    bundler.create_bundle(
        bundler.BundleConfig(
            tflite_model=str(fake_tflite),
            tokenizer_model=str(tmp_path / "tokenizer.model"),
            start_token="<s>",
            stop_tokens=["</s>"],
            output_filename=str(tmp_path / "theirs.task"),
        )
    )

    assert open_bundle(tmp_path / "theirs.task").parameters == PARAMETERS
    whole = (tmp_path / "theirs.task").read_bytes()
    (tmp_path / "theirs.task").write_bytes(whole[:5000])
    with pytest.raises(BundleError, match="is cut off"):
        open_bundle(tmp_path / "theirs.task")


def test_it_is_what_mediapipes_bundler_writes(
    tmp_path: Path, fake_tflite: Path, tokenizer: SentencePieceTokenizer
) -> None:
    """The same members in the same order with the same bytes; only their places differ."""
    from mediapipe.tasks.python.genai import bundler

    (tmp_path / "tokenizer.model").write_bytes(tokenizer.proto)
    more = dict.fromkeys(
        (
            "TF_LITE_EMBEDDER",
            "TF_LITE_PER_LAYER_EMBEDDER",
            "TF_LITE_VISION_ENCODER",
            "TF_LITE_VISION_ADAPTER",
        ),
        fake_tflite,
    )
    bundler.create_bundle(
        bundler.BundleConfig(
            tflite_model=str(fake_tflite),
            tokenizer_model=str(tmp_path / "tokenizer.model"),
            start_token=PARAMETERS.start_token,
            stop_tokens=list(PARAMETERS.stop_tokens),
            output_filename=str(tmp_path / "theirs.task"),
            **{tag.lower().replace("tf_lite", "tflite"): str(path) for tag, path in more.items()},
        )
    )
    ours = write_bundle(
        fake_tflite, tokenizer, PARAMETERS, tmp_path / "ours.task", more_models=more
    ).path

    with zipfile.ZipFile(ours) as one, zipfile.ZipFile(tmp_path / "theirs.task") as two:
        assert one.namelist() == two.namelist()
        for name in one.namelist():
            assert one.read(name) == two.read(name)
