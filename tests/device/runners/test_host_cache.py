"""The folder for prepared weights beside a bundle, and what killed benchmarks leave of it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgegen.device.runners.host_cache import cache_folder

HOLD = (
    "import sys, time; from pathlib import Path; "
    "from edgegen.device.runners.host_cache import cache_folder; "
    "held = cache_folder(Path(sys.argv[1])); folder = held.__enter__(); "
    "(folder / 'weights').write_bytes(b'x' * 1000); print(folder, flush=True); time.sleep(600)"
)


def test_what_a_killed_benchmark_left_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        assert (held / "weights").is_file()
        with cache_folder(tmp_path) as folder:  # another's, still in use, is left alone
            assert folder != held
            assert folder.parent == tmp_path
            assert (held / "weights").is_file()
        assert not folder.exists()
        os.kill(process.pid, signal.SIGKILL)
    assert (held / "weights").is_file()
    with cache_folder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_such_folder_is_left(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "weights").touch()
    (tmp_path / ".edgegen-bench-link").symlink_to(other)
    (tmp_path / ".edgegen-bench-file").touch()
    with cache_folder(tmp_path):
        pass
    assert (other / "weights").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".edgegen-bench-file",
        ".edgegen-bench-link",
        "other",
    ]


def test_two_of_one_process_do_not_take_each_other_for_stale(tmp_path: Path) -> None:
    with cache_folder(tmp_path) as first, cache_folder(tmp_path) as second:
        assert first.is_dir()
        assert second.is_dir()


def test_a_folder_that_is_taken_for_stale_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def take(name: int, operation: int) -> None:
        if not taken:
            (folder,) = tmp_path.glob(".edgegen-bench-*")
            taken.append(folder)
            folder.rmdir()

    monkeypatch.setattr("fcntl.flock", take)
    with cache_folder(tmp_path) as folder:
        assert folder.is_dir()
        assert taken not in ([], [folder])


def test_a_disk_without_locks_has_a_folder_that_nobody_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOTSUP, "no locks")

    monkeypatch.setattr("fcntl.flock", refuse)
    with cache_folder(tmp_path) as first, cache_folder(tmp_path) as second:
        assert first.is_dir()
        assert first.parent == second.parent == tmp_path


def test_a_folder_that_others_hold_each_time_is_made_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise BlockingIOError

    beside, elsewhere = tmp_path / "beside", tmp_path / "elsewhere"
    beside.mkdir()
    elsewhere.mkdir()
    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    with cache_folder(beside) as folder:
        assert folder.parent == elsewhere
    assert list(beside.iterdir()) == list(elsewhere.iterdir()) == []
