from __future__ import annotations

from pathlib import Path

import pytest

from edgegen.device.bench.cell import labels
from edgegen.device.bench.matrix import Matrix, parse_mask, read_matrix
from edgegen.device.bench.method import Method
from edgegen.device.bench.workload import Workload
from edgegen.errors import DeviceError

FULL = """
bundles = ["a.task", "sub/b.litertlm"]
devices = ["host", "R5CT10ABCDE"]
delegates = ["cpu", "gpu"]
tests = ["pp512", "tg128@d1024"]
threads = [1, 4]
activations = "f16"
cpu_masks = ["f0"]
engine_dir = "engine"
app = "org.example.app"
repeats = 7
warmup = 2
cooldown_s = 1.5
max_celsius = 40
timeout_s = 60
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "matrix.toml"
    path.write_text(text)
    return path


def test_a_file_says_all_that_arguments_can(tmp_path: Path) -> None:
    assert read_matrix(write(tmp_path, FULL)) == Matrix(
        bundles=(tmp_path / "a.task", tmp_path / "sub/b.litertlm"),
        devices=("host", "R5CT10ABCDE"),
        delegates=("cpu", "gpu"),
        tests=(Workload(512, 0), Workload(0, 128, 1024)),
        threads=(1, 4),
        activations=("f16",),
        cpu_masks=(0xF0,),
        engine_dir=tmp_path / "engine",
        app="org.example.app",
        method=Method(7, 2, 1.5, 40, timeout_s=60),
    )


def test_one_of_a_kind_needs_no_list(tmp_path: Path) -> None:
    assert read_matrix(write(tmp_path, 'bundles = "a.task"')) == Matrix((tmp_path / "a.task",))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "{} names no bundles", 'name them: bundles = ["model.task"]'),
        ("bundles = []", "{} names no bundles", 'name them: bundles = ["model.task"]'),
        ('bundles = [""]', "bundles of {} is '', expected a text", "correct it there"),
        ("bundles = 3", "bundles of {} is 3, expected a text", "correct it there"),
        (
            'bundles = "a"\ndelegates = "npu"',
            "delegates of {} is 'npu', expected a name of a delegate (cpu, gpu)",
            "correct it there",
        ),
        (
            'bundles = "a"\nrepeats = 0',
            "repeats of {} is 0, expected a whole number",
            "correct it there",
        ),
        (
            'bundles = "a"\nthreads = [1, true]',
            "threads of {} is True, expected a whole number",
            "correct it there",
        ),
        (
            'bundles = "a"\ncpu_masks = "xyz"',
            "cpu_masks of {} is 'xyz', expected a mask of CPUs in hex, such as 'f0'",
            "correct it there",
        ),
        ('bundles = "a"\nrunner = ["x"]', "runner of {} is ['x'], expected a text", None),
        ('bundles = "a"\ndevices = []', "devices of {} is empty", "leave it out, or name one"),
        (
            'bundles = "a"\nsample_interval_s = inf',
            "sample_interval_s of {} is inf, expected a number of at most a week's seconds",
            "correct it there",
        ),
        ('bundles = "a"\ntimeout_s = 0', "timeout_s of {} is 0, expected more", None),
        (
            'bundles = "a"\ntests = "pp0"',
            "'pp0' names no test",
            None,
        ),
    ],
)
def test_what_a_file_may_not_say(tmp_path: Path, text: str, message: str, hint: str | None) -> None:
    path = write(tmp_path, text)

    with pytest.raises(DeviceError) as caught:
        read_matrix(path)
    assert caught.value.message == message.format(path)
    if hint is not None:
        assert caught.value.hint == hint


def test_an_unknown_key_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    path = write(tmp_path, 'bundles = "a"\nrepeat = 3')

    with pytest.raises(DeviceError) as caught:
        read_matrix(path)
    assert caught.value.message == f"{path} has the unknown key 'repeat'"
    assert str(caught.value.hint).startswith("did you mean 'repeats'? (known: activations, app, ")


def test_files_that_are_no_toml_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "bundles = [")
    with pytest.raises(DeviceError) as caught:
        read_matrix(path)
    assert caught.value.message.startswith(f"{path} is no TOML: ")

    with pytest.raises(DeviceError) as caught:
        read_matrix(tmp_path / "none.toml")
    assert (
        caught.value.message
        == f"{tmp_path / 'none.toml'} cannot be read: No such file or directory"
    )
    assert caught.value.hint == "check the path"

    path.write_bytes(b"#" * (1024**2 + 1))
    with pytest.raises(DeviceError) as caught:
        read_matrix(path)
    assert caught.value.message == f"{path} is larger than 1 MiB, expected a matrix of bundles"


def test_bundles_of_one_name_are_told_apart_by_their_folders() -> None:
    assert labels([Path("x/a.task"), Path("y/b.task")]) == ["a", "b"]
    assert labels([Path("x/a.task"), Path("y/a.task"), Path("b.task")]) == [
        *("x-a.task", "y-a.task", "b")
    ]
    assert labels([Path("x/a.task"), Path("x/a.litertlm")]) == ["x-a.task", "x-a.litertlm"]
    assert labels([Path("p/x/a.task"), Path("q/x/a.task")]) == ["x-a.task-1", "x-a.task-2"]


@pytest.mark.parametrize(
    ("text", "mask"),
    [("f0", 0xF0), ("0x3", 3), ("0", None), ("-1", None), ("", None), ("f" * 400, None)],
)
def test_masks_are_hexadecimal(text: str, mask: int | None) -> None:
    assert parse_mask(text) == mask
