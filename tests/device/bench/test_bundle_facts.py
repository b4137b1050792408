from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from edgegen.bundle.formats import open_bundle
from edgegen.bundle.inspect import inspect_bundle
from edgegen.bundle.weight_reads import read_weight_reads
from edgegen.demo import CHECKPOINT
from edgegen.device.bench.bundle_facts import padded_tokens, read_bundle_facts
from edgegen.pipeline import build
from edgegen.provenance import provenance_path


def test_a_bundle_is_told_by_its_graph_and_its_record(demo_task: Path) -> None:
    facts = read_bundle_facts(open_bundle(demo_task))

    assert facts.name == demo_task.name
    assert facts.sha256 == hashlib.sha256(demo_task.read_bytes()).hexdigest()
    assert facts.size_bytes == demo_task.stat().st_size
    assert facts.recipe == "dynamic_wi8_afp32"
    assert (facts.kv_cache_len, facts.prefill_lens) == (512, (16, 32, 128))
    config = json.loads((CHECKPOINT / "config.json").read_text())
    head = config["hidden_size"] // config["num_attention_heads"]
    per_layer = 2 * config["num_key_value_heads"] * head * 4  # K and V, float32
    assert facts.kv_bytes_per_token == config["num_hidden_layers"] * per_layer
    assert facts.weight_bytes == sum(one.nbytes for one in inspect_bundle(demo_task).weights)


@pytest.mark.parametrize("recipe", ["none", "dynamic_wi8_afp32"])
def test_a_table_that_the_head_multiplies_by_counts_whole(
    demo_bundle: Callable[[str], Path], recipe: str
) -> None:
    found = read_weight_reads(open_bundle(demo_bundle(recipe)))

    assert found.per_decode_bytes == found.stored_bytes


def test_a_table_that_is_only_looked_up_counts_with_one_row(tmp_path: Path) -> None:
    config = json.loads((CHECKPOINT / "config.json").read_text())
    assert config["tie_word_embeddings"]
    checkpoint = tmp_path / "untied"
    shutil.copytree(CHECKPOINT, checkpoint)
    weights = load_file(checkpoint / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone() + 1
    save_file(weights, checkpoint / "model.safetensors")
    untied = {**config, "tie_word_embeddings": False}
    (checkpoint / "config.json").write_text(json.dumps(untied))
    made = build(checkpoint, tmp_path / "untied.task", prefill_lens=(16,), kv_cache_len=64)
    found = read_weight_reads(made.bundle)

    assert found.per_decode_bytes is not None
    rows, width = config["vocab_size"], config["hidden_size"]
    assert found.stored_bytes - found.per_decode_bytes == (rows - 1) * width  # of int8


def test_a_bundle_without_a_record_has_no_recipe(demo_task: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "model.task"
    bundle.write_bytes(demo_task.read_bytes())
    assert read_bundle_facts(open_bundle(bundle)).recipe is None

    provenance_path(bundle).write_text("{")
    assert read_bundle_facts(open_bundle(bundle)).recipe is None


@pytest.mark.parametrize(
    ("tokens", "padded"),
    # What LiteRT-LM was seen to run: the longest that fits, again and again, then the shortest.
    [(0, 0), (1, 16), (16, 16), (17, 32), (33, 48), (101, 112), (128, 128), (129, 144), (161, 176)],
)
def test_prompts_are_padded_as_the_runtime_does(tokens: int, padded: int) -> None:
    assert padded_tokens((16, 32, 128), tokens) == padded


def test_without_signatures_nothing_is_known_of_padding() -> None:
    assert padded_tokens((), 5) is None
