"""`edgegen build` on random checkpoints, and how it fails: clearly, with nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch

import edgegen
from edgegen import demo
from edgegen.bundle import GenerateRequest, generate
from edgegen.provenance import provenance_path
from tests.engines.reference import hf_reference
from tests.hf import save_checkpoint, tiny_config

TOKENIZER = demo.CHECKPOINT / "tokenizer.model"
SHAPE = {"vocab_size": 2048, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 128}
# GQA ratio, tied or not, head_dim that is not hidden/heads.
RANDOM: dict[str, dict[str, Any]] = {
    "1:1 tied": {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 32},
    "3:1 untied": {
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "tie_word_embeddings": False,
    },
    "8:1 untied": {
        "num_attention_heads": 8,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "tie_word_embeddings": False,
        "attention_bias": True,
    },
}


def random_folder(folder: Path, **changes: Any) -> Path:
    save_checkpoint(folder, tiny_config(**SHAPE, **changes))
    (folder / "tokenizer.model").write_bytes(TOKENIZER.read_bytes())
    return folder


@pytest.mark.parametrize("variant", RANDOM)
def test_random_checkpoints_build_and_say_what_transformers_says(
    tmp_path: Path, variant: str
) -> None:
    config = RANDOM[variant]
    folder = random_folder(tmp_path / "hf", **config)
    assert config["head_dim"] != 96 / config["num_attention_heads"]

    made = edgegen.build(
        folder, tmp_path / "m.task", prefill_lens=(8, 32), kv_cache_len=128, recipe="none"
    )

    assert made.check is not None
    assert made.check.parity.max_abs_diff < 1e-3
    reference = hf_reference(folder)
    for prompt in ("To be, or not to be", "O"):
        request = GenerateRequest(prompt, max_output_tokens=24, apply_prompt_template=False)
        assert "".join(generate(made.bundle, request)) == reference.greedy(prompt, 24).text


def test_the_demo_build_leaves_a_checked_bundle_with_provenance(demo_task: Path) -> None:
    record = json.loads(provenance_path(demo_task).read_text())

    assert record["schema"] == "edgegen.provenance/1"
    assert record["recipe"] == "dynamic_wi8_afp32"
    assert set(record["checkpoint"]["sha256"]) == {
        "config.json",
        "model.safetensors",
        "tokenizer.model",
    }
    assert record["check"]["parity"]["cosine"] > 0.99
    assert record["tools"]["edgegen"] == edgegen.__version__
    assert {cost["name"] for cost in record["stages"]} >= {
        "author",
        "convert",
        "check model",
        "bundle",
        "check engine",
    }
    assert sorted(p.name for p in demo_task.parent.glob(".*")) == []


def test_a_wrong_model_does_not_pass_the_self_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: a model that computes something else must not become a bundle."""
    from edgegen.author.layers import norm

    folder = random_folder(tmp_path / "hf", **RANDOM["1:1 tied"])
    monkeypatch.setattr(  # only here: the tracing process computes the right thing
        norm.RMSNorm, "_scaled", lambda self, x, weight: x * weight
    )
    with pytest.raises(edgegen.EdgegenError, match="departs from torch: cosine") as raised:
        edgegen.build(folder, tmp_path / "m.task", prefill_lens=(8,), kv_cache_len=64)
    assert "--no-check" in (raised.value.hint or "")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hf"]


def test_a_wrong_start_token_does_not_pass_the_self_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: the engine must be asked what the model was asked."""
    from edgegen import self_check

    real = self_check.GenerateRequest
    folder = random_folder(tmp_path / "hf", **RANDOM["1:1 tied"])
    monkeypatch.setattr(
        self_check, "GenerateRequest", lambda prompt, **rest: real("Another " + prompt, **rest)
    )
    with pytest.raises(edgegen.EdgegenError, match="LiteRT-LM continues"):
        edgegen.build(folder, tmp_path / "m.task", prefill_lens=(8,), kv_cache_len=64)


# --- as the command line ---------------------------------------------------------------


def build_command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "edgegen", "build", *map(str, arguments)]


def edgegen_build(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return captured(build_command(*arguments))


def captured(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def expect_error(done: subprocess.CompletedProcess[str], found: str) -> None:
    assert done.returncode == 1, done
    assert done.stdout == ""
    error, hint = done.stderr.strip().splitlines()[-2:]
    assert error.startswith("error: ")
    assert found in done.stderr
    assert hint.startswith("hint: ")
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_folder(tmp_path_factory.mktemp("hf"), **RANDOM["1:1 tied"])


def spoiled(folder: Path, to: Path, spoil: Callable[[Path], object]) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    spoil(to)
    return to


def sharded_without_one(path: Path) -> None:
    (path / "model.safetensors").unlink()
    model = hf_reference(demo.CHECKPOINT).model
    model.save_pretrained(path, max_shard_size="2MB")
    sorted(path.glob("model-*.safetensors"))[0].unlink()


def word_tokenizer(path: Path) -> None:
    (path / "tokenizer.model").unlink()
    (path / "tokenizer.json").write_text('{"model": {"type": "BPE"}}')


def small_tokenizer(path: Path) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["to be or not to be"] * 9),
        model_prefix=str(path / "tokenizer"),
        vocab_size=11,
        minloglevel=2,
    )


def large_tokenizer(path: Path) -> None:
    save_checkpoint(path, tiny_config(**{**SHAPE, **RANDOM["1:1 tied"], "vocab_size": 2000}))


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "not a checkpoint folder": (lambda p: (p / "config.json").unlink(), "no config.json"),
    "unknown architecture": (
        lambda p: (p / "config.json").write_text('{"model_type": "mamba9"}'),
        "does not author the architecture 'mamba9'",
    ),
    "missing shard": (sharded_without_one, "is missing from"),
    "pickles only": (
        lambda p: (p / "model.safetensors").rename(p / "pytorch_model.bin"),
        "pickled weights only",
    ),
    "no tokenizer": (lambda p: (p / "tokenizer.model").unlink(), "tokenizer"),
    "another kind of tokenizer": (word_tokenizer, "tokenizer.json"),
    "too small a tokenizer": (small_tokenizer, "tokenizer"),
    "too large a tokenizer": (large_tokenizer, "has 2048 pieces, the model knows 2000 only"),
    "truncated weights": (
        lambda p: (p / "model.safetensors").write_bytes(
            (p / "model.safetensors").read_bytes()[:5000]
        ),
        "not a complete safetensors file",
    ),
}


@pytest.mark.parametrize("what", SPOILED)
def test_bad_input_ends_in_one_clear_error(folder: Path, tmp_path: Path, what: str) -> None:
    spoil, found = SPOILED[what]
    bad = spoiled(folder, tmp_path / "bad", spoil)
    expect_error(edgegen_build(bad, "-o", tmp_path / "m.task"), found)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad"]


def test_prefill_longer_than_the_cache(folder: Path, tmp_path: Path) -> None:
    done = edgegen_build(
        folder, "-o", tmp_path / "m.task", "--prefill", "64", "--kv-cache-len", "32"
    )
    expect_error(done, "prefill length 64 is longer than the KV cache of 32")


def test_an_unknown_composite(folder: Path, tmp_path: Path) -> None:
    done = edgegen_build(
        folder, "-o", tmp_path / "m.task", "--composites", "odml.swiglu,odml.rms-norm"
    )
    expect_error(done, "there is no composite 'odml.rms-norm'")
    assert "did you mean 'odml.rms_norm'?" in done.stderr


def test_a_composite_that_the_model_has_no_place_for(folder: Path, tmp_path: Path) -> None:
    done = edgegen_build(
        *(folder, "-o", tmp_path / "m.task", "--prefill", "8", "--composites", "odml.group_norm")
    )
    expect_error(done, "nothing in this model can be drawn as odml.group_norm")


def test_composites_asked_for_are_drawn(folder: Path, tmp_path: Path) -> None:
    names = ("odml.rope", "odml.cache_update", "odml.runtime_bmm")
    output = tmp_path / "m.task"

    done = edgegen_build(folder, "-o", output, "--prefill", "8", "--composites", ",".join(names))

    assert done.returncode == 0, done.stderr
    assert [name for name in names if name.encode() not in output.read_bytes()] == []


def test_an_existing_output_is_kept_unless_forced(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.task"
    output.write_bytes(b"mine")
    expect_error(edgegen_build(folder, "-o", output), "exists")
    assert output.read_bytes() == b"mine"

    done = edgegen_build(folder, "-o", output, "--force", "--no-check", "--prefill", "8", "--json")

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)["bundle_bytes"] == output.stat().st_size > 4


def test_an_output_that_engines_would_not_open(folder: Path, tmp_path: Path) -> None:
    """They go by the ending of the name."""
    expect_error(edgegen_build(folder, "-o", tmp_path / "model"), ".task")


def test_an_output_inside_its_own_checkpoint(folder: Path, tmp_path: Path) -> None:
    copy = spoiled(folder, tmp_path / "hf", lambda p: (p / "old.task").write_bytes(b"mine"))
    done = edgegen_build(copy, "-o", copy / "old.task", "--force")
    expect_error(done, "is a file of the checkpoint itself")
    assert (copy / "old.task").read_bytes() == b"mine"


@pytest.mark.parametrize("kv_cache_len", [8, 12])
def test_the_smallest_caches_pass_their_self_check(
    folder: Path, tmp_path: Path, kv_cache_len: int
) -> None:
    made = edgegen.build(folder, tmp_path / "m.task", prefill_lens=(4,), kv_cache_len=kv_cache_len)
    assert made.check is not None
    assert made.check.parity.tokens >= 1


def test_start_and_stop_tokens_and_prompt_texts_can_be_given(folder: Path, tmp_path: Path) -> None:
    done = edgegen_build(
        *(folder, "-o", tmp_path / "m.task", "--prefill", "8", "--start-token", "</s>"),
        *("--stop-token", "<s>", "--stop-token", "\n", "--prompt-prefix-user", "Q: "),
        *("--prompt-suffix-model", "!"),
    )
    assert done.returncode == 0, done.stderr
    assert "self-check passed" in done.stdout
    assert "peak memory (MiB)" in done.stdout
    parameters = edgegen.open_bundle(tmp_path / "m.task").parameters
    assert parameters.start_token == "</s>"
    assert parameters.stop_tokens == ("<s>", "\n")
    assert (parameters.prompt_prefix_user, parameters.prompt_suffix_model) == ("Q: ", "!")


def test_an_output_folder_that_does_not_exist(folder: Path, tmp_path: Path) -> None:
    expect_error(edgegen_build(folder, "-o", tmp_path / "a" / "m.task"), "does not exist")


def test_lengths_that_are_not_numbers_are_a_usage_error(folder: Path, tmp_path: Path) -> None:
    done = edgegen_build(folder, "-o", tmp_path / "m.task", "--prefill", "many")
    assert done.returncode == 2
    assert "expected numbers like 16,128,512" in done.stderr


def test_a_file_size_limit_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    # prlimit is util-linux's.
    limited = ["prlimit", "--fsize=400000"]
    done = captured([*limited, *build_command(folder, "-o", tmp_path / "m.task", "--prefill", "8")])
    expect_error(done, "no space left while writing")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 400 kB."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def test_a_full_disk_leaves_nothing_behind(folder: Path, small_disk: Path) -> None:
    done = edgegen_build(folder, "-o", small_disk / "m.task", "--prefill", "8")
    expect_error(done, "no space left while writing")
    assert list(small_disk.iterdir()) == []


def test_torch_seeds_are_left_alone(folder: Path) -> None:
    """Authoring must not draw random numbers that the caller's program counts on."""
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    edgegen.author_model(edgegen.open_checkpoint(folder))
    assert torch.equal(torch.rand(1), expected)
