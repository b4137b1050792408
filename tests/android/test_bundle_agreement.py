"""The app's bundle reader and edgegen's: of good and bad bundles they say the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgegen.bundle import open_bundle
from edgegen.bundle.contents import RuntimeHints
from edgegen.bundle.formats import write_contents
from edgegen.bundle.parameters import Sampler
from edgegen.contract import TASK_MODEL
from tests.android.agreement import difference, kotlin_reads, python_reads
from tests.bundle.mutations import Base, mutate

_MUTATED = 17
_KINDS = ("refused", "opened")


@pytest.fixture(scope="module")
def good(demo_task: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The demo in both formats, and one that says all that can be said."""
    folder = tmp_path_factory.mktemp("good")
    contents = open_bundle(demo_task).contents
    talkative = replace(
        contents,
        parameters=replace(
            contents.parameters,
            prompt_prefix_user="U: ",
            prompt_suffix_user="\n",
            prompt_prefix_model="M: ",
            prompt_prefix_system="S: ",
            system_prompt="Sei höflich 😀.",
            sampler=Sampler(True, 0.7, 40, 0.9, 3),
            max_tokens=128,
            max_output_tokens=32,
            supports_thinking=True,
            template_tokens={"eos_token": "</s>"},
            sources={"sampler.top_k": "given"},
        ),
        hints=RuntimeHints("gemma3", {TASK_MODEL: ("cpu", "gpu")}, "0.18.0"),
    )
    return [
        demo_task,
        write_contents(contents, folder / "demo.litertlm").path,
        write_contents(talkative, folder / "talkative.task").path,
        write_contents(talkative, folder / "talkative.litertlm").path,
    ]


def test_they_agree_on_good_bundles_and_on_bad_ones(
    kotlin_tool: list[str], good: list[Path], tmp_path: Path
) -> None:
    paths = [*good, *_spoiled(good, tmp_path)]
    assert len(paths) >= 20
    differences = []
    seen = set()
    for path, told in zip(paths, kotlin_reads(kotlin_tool, paths), strict=True):
        seen.add("refused" if "refused" in told else "opened")
        found = difference(told, python_reads(path))
        if found is not None:
            differences.append(f"{path.name}: {found}")
    assert differences == []
    assert seen == set(_KINDS)
    opened = kotlin_reads(kotlin_tool, good)
    assert not [told["refused"] for told in opened if "refused" in told]
    assert opened[3]["parameters"]["system_prompt"] == "Sei höflich 😀."
    assert opened[3]["backends"] == {TASK_MODEL: ["cpu", "gpu"]}
    assert opened[0]["kv_cache_len"] > 0


def test_a_difference_would_be_seen(kotlin_tool: list[str], good: list[Path]) -> None:
    told, expected = kotlin_reads(kotlin_tool, good[:1])[0], python_reads(good[0])
    assert difference(told, expected) is None
    assert difference({**told, "kv_cache_len": 1}, expected) is not None
    assert difference({"refused": "no"}, expected) == "kotlin: no; python: None"


def _spoiled(good: list[Path], folder: Path) -> list[Path]:
    bases = []
    for path in good:
        spans = {member.name: (member.offset, member.size) for member in open_bundle(path).members}
        bases.append(Base(path.read_bytes(), spans))
    paths = []
    for seed in range(_MUTATED):
        which = seed % len(good)
        # Seeds 0 and 1 of 25 are slow kinds of mutations, of which one each is enough.
        name, content = mutate(bases[which], seed // len(good) + (0 if seed < 8 else 24))
        path = folder / f"{seed}-{name}{good[which].suffix}"
        path.write_bytes(content)
        paths.append(path)
    return paths
