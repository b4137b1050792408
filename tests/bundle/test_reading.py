"""Files that the operating system does not let us read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgegen.bundle import SentencePieceTokenizer, inspect_bundle, open_bundle, write_bundle
from edgegen.bundle.contents import Member
from edgegen.bundle.flatbuffer import read_model
from edgegen.bundle.reading import read_member
from edgegen.errors import BundleError
from tests.bundle.conftest import PARAMETERS

NOBODY = 65534


@pytest.fixture
def unreadable(tmp_path: Path) -> Iterator[Path]:
    """A file that this process, were it root, may not read either."""
    path = tmp_path / "secret.task"
    path.touch(mode=0o000)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    yield path
    if root:
        os.seteuid(0)


READERS: list[Callable[[Path], object]] = [
    open_bundle,
    inspect_bundle,
    lambda path: read_model(path, (0, 8)),
    lambda path: read_member(path, Member("METADATA", 0, 8), 8),
    lambda path: write_bundle(
        path, SentencePieceTokenizer(path, b""), PARAMETERS, path.with_name("out.task")
    ),
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.usefixtures("unchecked_output")
def test_a_file_without_permission_is_explained(
    unreadable: Path, read: Callable[[Path], object]
) -> None:
    with pytest.raises(
        BundleError, match=rf"cannot read {unreadable}: Permission denied"
    ) as caught:
        read(unreadable)
    assert "permissions" in str(caught.value.hint)


@pytest.fixture
def unchecked_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `write_bundle` reach its input, whatever its output and tokenizer are."""
    monkeypatch.setattr("edgegen.bundle.formats.refuse_overwrite", lambda path, force: None)
    monkeypatch.setattr("edgegen.bundle.formats.check_tokens", lambda *_, **__: None)


def test_a_disk_that_fails_is_explained() -> None:
    """Reading a process's memory at 0 is an error of input, as a bad sector is."""
    with pytest.raises(BundleError, match="cannot read /proc/self/mem: Input/output error"):
        open_bundle("/proc/self/mem")
