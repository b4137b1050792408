"""`docs/how-to/author-a-model.md`, followed to the letter in a copy of the tree."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "author-a-model.md"
MODEL_FILE = "edgegen/author/models/nemotron.py"
BIN = Path(sys.executable).parent
_TOO_LONG_S = 540
# They are meant for the tests of this tree.
_NOT_PASSED_ON = ("EDGEGEN_ARCHITECTURE_RESULTS", "PYTEST_ADDOPTS")


@dataclass(frozen=True)
class Block:
    """A fenced block of the page: ```<language> <option>=<value> ...."""

    language: str
    options: dict[str, str]
    content: str

    @property
    def command(self) -> str:
        return self.content.partition("\n")[0].removeprefix("$ ")

    @property
    def output(self) -> str:
        return self.content.partition("\n")[2]


def blocks(text: str) -> list[Block]:
    found = []
    for language, options, content in re.findall(
        r"^```(\w+)([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    ):
        pairs = [word.partition("=") for word in options.split()]
        found.append(Block(language, {name: value for name, _, value in pairs}, content))
    return found


BLOCKS = blocks(PAGE.read_text(encoding="utf-8"))
RUNS = [index for index, block in enumerate(BLOCKS) if "run" in block.options]


@dataclass
class Reader:
    """Someone who types the page into a clone, from top to bottom."""

    tree: Path
    position: int = 0
    results: dict[int, subprocess.CompletedProcess[str]] = field(default_factory=dict)

    def result_of(self, index: int) -> subprocess.CompletedProcess[str]:
        """Do what stands before the block and has not been done, then what it says."""
        while self.position <= index:
            block = BLOCKS[self.position]
            if "file" in block.options:
                self.append(block.options["file"], block.content)
            elif "run" in block.options:
                self.results[self.position] = self.run(block)
            self.position += 1
        return self.results[index]

    def append(self, name: str, content: str) -> None:
        path = self.tree / name
        path.parent.mkdir(exist_ok=True)
        before = path.read_text() + "\n\n" if path.exists() else ""
        path.write_text(before + content)

    def run(self, block: Block) -> subprocess.CompletedProcess[str]:
        path = self.tree / MODEL_FILE
        gone = block.options.get("without")
        whole = path.read_text() if gone else ""
        if gone:
            path.write_text("".join(x for x in whole.splitlines(True) if gone not in x))
        # The copy goes before the installed package, in processes that these start, too.
        program, *arguments = shlex.split(block.command)
        kept = {k: v for k, v in os.environ.items() if k not in _NOT_PASSED_ON}
        found = subprocess.run(
            [BIN / program, *arguments],
            cwd=self.tree,
            env={**kept, "PYTHONPATH": str(self.tree)},
            capture_output=True,
            text=True,
            timeout=_TOO_LONG_S,
            check=False,
        )
        if gone:
            path.write_text(whole)
        return found


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    assert not (ROOT / MODEL_FILE).exists(), "choose a model that edgegen does not come with"
    tree = tmp_path_factory.mktemp("clone")
    for name in ("edgegen", "tests"):
        shutil.copytree(
            ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
        )
    shutil.copy(ROOT / "pyproject.toml", tree)
    return Reader(tree)


def test_the_page_has_the_proofs() -> None:
    commands = "\n".join(BLOCKS[index].command for index in RUNS)

    assert commands.count("edgegen check") == 3
    assert "tests/author/test_parity.py" in commands
    assert "tests/engines/test_architectures.py" in commands


@pytest.mark.parametrize("index", RUNS, ids=lambda index: BLOCKS[index].command)
def test_command_does_what_the_page_shows(reader: Reader, index: int) -> None:
    block, found = BLOCKS[index], reader.result_of(index)

    if block.output:
        assert found.stdout == block.output, found.stderr
    else:
        assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_the_files_are_as_lint_wants_them(reader: Reader, arguments: list[str]) -> None:
    reader.result_of(RUNS[-1])
    files = {block.options["file"] for block in BLOCKS if "file" in block.options}
    ours = sorted(name for name in files if name.startswith(("edgegen/", "tests/")))
    assert MODEL_FILE in ours

    found = subprocess.run(
        [BIN / "ruff", *arguments, "--no-cache", *ours],
        cwd=reader.tree,
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 0, found.stdout
