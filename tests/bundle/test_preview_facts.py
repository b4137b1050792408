"""What the preview's page is told of a bundle's parameters, and which bundles it refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from edgegen.bundle import open_bundle
from edgegen.bundle.derive import edit_bundle
from edgegen.bundle.preview import BundleFacts, facts, read_facts
from edgegen.errors import BundleError


def edited(demo_task: Path, folder: Path, **parameters: Any) -> BundleFacts:
    """The facts of the demo bundle with other parameters."""
    return read_facts(edit_bundle(demo_task, folder / "m.task", parameters=parameters).bundle.path)


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        ({"temperature": 0.3, "top_k": 7, "seed": 5}, (0.3, 7, 5)),
        ({"temperature": 0.3, "top_k": 7, "do_sample": False}, (0.0, 1, None)),
        ({"do_sample": False, "seed": 5}, (0.0, 1, 5)),
        ({"temperature": 0.0}, (0.0, 1, None)),
        ({"top_p": 0.5}, (0.7, 40, None)),
    ],
)
def test_the_sampler_is_the_bundles(
    demo_task: Path, tmp_path: Path, sampler: dict[str, Any], expected: Any
) -> None:
    found = edited(demo_task, tmp_path, **sampler).sampler

    assert (found["temperature"], found["top_k"], found["seed"]) == expected


@pytest.mark.parametrize(("said", "expected"), [(None, 512), (20, 20), (4096, 512)])
def test_the_length_of_answers_is_the_bundles(
    demo_task: Path, tmp_path: Path, said: int | None, expected: int
) -> None:
    assert edited(demo_task, tmp_path, max_output_tokens=said).max_output_tokens == expected


def test_a_system_prompt_is_the_engines_where_metadata_holds_it(
    demo_task: Path, tmp_path: Path
) -> None:
    bare = edited(demo_task, tmp_path, system_prompt="Two houses.")
    (tmp_path / "framed").mkdir()
    framed = edited(
        demo_task, tmp_path / "framed", system_prompt="Two houses.", prompt_suffix_system="\n"
    )

    assert (bare.system_prompt, bare.engine_system_prompt) == ("Two houses.", "Two houses.")
    assert (framed.system_prompt, framed.engine_system_prompt) == ("Two houses.", "")


def test_a_bundle_of_no_language_model_is_refused(demo_task: Path, monkeypatch) -> None:
    plain = dataclasses.replace(facts.read_dimensions(open_bundle(demo_task)), kv_cache_len=None)
    monkeypatch.setattr(facts, "read_dimensions", lambda bundle: plain)
    with pytest.raises(BundleError) as caught:
        read_facts(demo_task)
    assert caught.value.message == (
        f"the model in {demo_task} has no KV cache, expected one that decodes"
    )


def test_the_other_kind_of_bundle_is_refused(tmp_path: Path) -> None:
    """The engine would say that it `could not find gpu_artisan .bin file` in it."""
    path = tmp_path / "model.litertlm"
    with pytest.raises(BundleError) as caught:
        read_facts(path)
    assert caught.value.message == (
        f"{path} is a .litertlm bundle, MediaPipe's web engine runs .task bundles"
    )
    assert caught.value.hint == "make a .task of the same model and preview that"
