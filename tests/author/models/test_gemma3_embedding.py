"""EmbeddingGemma against transformers' layers, with pooling and dense layers computed here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, PreTrainedModel

import edgegen
from edgegen.author import AuthoredModel
from edgegen.author.encoder import EMBEDDING, LENGTH
from edgegen.author.models import architecture
from edgegen.contract import TOKENS
from edgegen.errors import CheckpointError, ConfigError
from tests.author.parity import random_tokens
from tests.hf import tiny_config

FULL, SLIDING = "full_attention", "sliding_attention"
PADDED = 40
ST = "sentence_transformers.models."
POOLING = {
    "word_embedding_dimension": 64,
    "pooling_mode_cls_token": False,
    "pooling_mode_mean_tokens": True,
    "pooling_mode_max_tokens": False,
    "pooling_mode_mean_sqrt_len_tokens": False,
    "pooling_mode_weightedmean_tokens": False,
    "pooling_mode_lasttoken": False,
    "include_prompt": True,
}
IDENTITY, TANH = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Tanh"
DENSE = [
    {"in_features": 64, "out_features": 80, "bias": False, "activation_function": IDENTITY},
    {"in_features": 80, "out_features": 48, "bias": True, "activation_function": TANH},
]
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "multi-query": {"num_key_value_heads": 1},
    "biases": {"attention_bias": True},
    "full first": {"layer_types": [FULL, SLIDING, SLIDING]},
    "wide window": {"sliding_window": 100},
    "odd window": {"sliding_window": 12},
}


def save_encoder(folder: Path, config: dict[str, Any]) -> PreTrainedModel:
    torch.manual_seed(0)
    values = {key: value for key, value in config.items() if key != "model_type"}
    model = AutoModel.from_config(AutoConfig.for_model(config["model_type"], **values)).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, 1.5 / parameter.shape[-1] ** 0.5)
        else:
            parameter.data.uniform_(0.5, 1.5)
    model.save_pretrained(folder)
    _save_pooling(folder)
    listed = [("", "Transformer"), ("1_Pooling", "Pooling")]
    (folder / "modules.json").write_text(
        json.dumps([{"idx": 0, "name": "0", "path": p, "type": ST + kind} for p, kind in listed])
    )
    return model


def _save_pooling(folder: Path, **pooling: Any) -> None:
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({**POOLING, **pooling}))


def save_modules(folder: Path, **pooling: Any) -> list[dict[str, torch.Tensor]]:
    """Write what sentence-transformers writes; return the tensors of the dense layers."""
    listed, stored = [("", "Transformer"), ("1_Pooling", "Pooling")], []
    _save_pooling(folder, **pooling)
    for index, config in enumerate(DENSE, start=2):
        path = folder / f"{index}_Dense"
        path.mkdir()
        (path / "config.json").write_text(json.dumps(config))
        tensors = {
            "linear.weight": torch.randn(config["out_features"], config["in_features"]) / 8,
            **({"linear.bias": torch.randn(config["out_features"])} if config["bias"] else {}),
        }
        save_file(tensors, path / "model.safetensors")
        stored.append(tensors)
        listed.append((path.name, "Dense"))
    listed.append((f"{len(listed)}_Normalize", "Normalize"))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": ST + kind}
        for i, (path, kind) in enumerate(listed)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    return stored


@torch.no_grad()
def embed(model: AuthoredModel, tokens: torch.Tensor, filler: int = 0) -> torch.Tensor:
    """Run our signature on `tokens [1, T]`, padded to 40."""
    count = tokens.shape[1]
    padded = torch.full((1, PADDED), filler, dtype=torch.int32)
    padded[:, :count] = tokens
    inputs = {TOKENS: padded, LENGTH: torch.tensor([count], dtype=torch.int32)}
    run = _Run(model.module)
    return torch.func.functional_call(run, prefixed(model), (inputs,))[EMBEDDING]


class _Run(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return self.model.run("encode_40", inputs)


def prefixed(model: AuthoredModel) -> dict[str, torch.Tensor]:
    return {f"model.{name}": tensor for name, tensor in model.load_state().items()}


@torch.no_grad()
def pooled(model: PreTrainedModel, tokens: torch.Tensor) -> torch.Tensor:
    return model(input_ids=tokens, use_cache=False).last_hidden_state.mean(1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_mean_of_the_hidden_states_equals_transformers(tmp_path: Path, variant: str) -> None:
    theirs = save_encoder(tmp_path, tiny_config("gemma3_embedding", **VARIANTS[variant]))
    ours = edgegen.author_model(edgegen.open_checkpoint(tmp_path))
    for count in (1, 7, 31, 40):
        tokens = random_tokens(97, count=count)
        expected = pooled(theirs, tokens)

        torch.testing.assert_close(embed(ours, tokens), expected, atol=1e-4, rtol=1e-4)


def test_dense_layers_in_folders_follow_the_mean(tmp_path: Path) -> None:
    theirs = save_encoder(tmp_path, tiny_config("gemma3_embedding"))
    first, second = save_modules(tmp_path)
    checkpoint = edgegen.open_checkpoint(tmp_path)
    ours = edgegen.author_model(checkpoint)
    tokens = random_tokens(97, count=23)
    x = pooled(theirs, tokens) @ first["linear.weight"].T
    x = torch.tanh(x @ second["linear.weight"].T + second["linear.bias"])

    found = embed(ours, tokens, filler=5)

    expected = torch.nn.functional.normalize(x, dim=-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert {path.parent.name for path in checkpoint.files} == {
        tmp_path.name,
        "2_Dense",
        "3_Dense",
    }


def test_signatures_and_inputs(tmp_path: Path) -> None:
    save_encoder(tmp_path, tiny_config("gemma3_embedding"))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path))

    assert model.config.model_type == "gemma3_embedding"
    assert model.module.signatures([8, 32, 8]) == {"encode_32": 32, "encode_8": 8}
    inputs = model.module.sample_inputs("encode_8", 8, 64)
    assert {name: list(x.shape) for name, x in inputs.items()} == {TOKENS: [1, 8], LENGTH: [1]}


def test_the_window_counts_both_sides() -> None:
    config = architecture("gemma3_embedding").read_config(
        tiny_config("gemma3_embedding", sliding_window=512)
    )
    assert config.sliding_window == 257


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooling_mode_cls_token": True}, "pooling_mode_cls_token=True, expected False"),
        ({"include_prompt": False}, "include_prompt=False, expected True"),
        ({"layers": 4}, "1_Pooling/config.json asks for features .* does not author: layers=4"),
    ],
)
def test_another_pooling_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    save_encoder(tmp_path, tiny_config("gemma3_embedding"))
    save_modules(tmp_path, **change)

    with pytest.raises(ConfigError, match=message):
        edgegen.author_model(edgegen.open_checkpoint(tmp_path))


def test_other_modules_are_refused(tmp_path: Path) -> None:
    save_encoder(tmp_path, tiny_config("gemma3_embedding"))
    save_modules(tmp_path)
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules[2]["type"] = ST + "LayerNorm"
    (tmp_path / "modules.json").write_text(json.dumps(modules))

    with pytest.raises(ConfigError, match="lists Transformer, Pooling, LayerNorm, Dense, Normal"):
        edgegen.author_model(edgegen.open_checkpoint(tmp_path))


def test_dense_layers_of_another_size_are_refused(tmp_path: Path) -> None:
    save_encoder(tmp_path, tiny_config("gemma3_embedding"))
    save_modules(tmp_path)
    config = tmp_path / "3_Dense" / "config.json"
    config.write_text(json.dumps({**DENSE[1], "in_features": 81}))

    with pytest.raises(ConfigError, match=r"3_Dense/config.json has in_features=81, expected 80"):
        edgegen.author_model(edgegen.open_checkpoint(tmp_path))


@pytest.mark.parametrize("missing", ["1_Pooling/config.json", "2_Dense/model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    save_encoder(tmp_path, tiny_config("gemma3_embedding"))
    save_modules(tmp_path)
    (tmp_path / missing).unlink()

    with pytest.raises(CheckpointError, match=f"{missing} is missing"):
        edgegen.open_checkpoint(tmp_path)


@pytest.mark.parametrize("path", ["../2_Dense", "..", "/etc", 3])
def test_a_module_outside_of_the_folder_is_refused(tmp_path: Path, path: Any) -> None:
    save_encoder(tmp_path, tiny_config("gemma3_embedding"))
    save_modules(tmp_path)
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules[2]["path"] = path
    (tmp_path / "modules.json").write_text(json.dumps(modules))

    with pytest.raises(CheckpointError, match="expected the name of a class and of a folder"):
        edgegen.open_checkpoint(tmp_path)


@pytest.mark.parametrize("content", ["{}", "[3]", "[", "[" * 100_000])
def test_a_damaged_list_of_modules_is_refused(tmp_path: Path, content: str) -> None:
    save_encoder(tmp_path, tiny_config("gemma3_embedding"))
    (tmp_path / "modules.json").write_text(content)

    with pytest.raises(CheckpointError, match=r"modules.json (is not valid JSON|holds no list)"):
        edgegen.open_checkpoint(tmp_path)


def test_a_rotation_that_depends_on_the_length_is_refused() -> None:
    changes = {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}
    with pytest.raises(ConfigError, match="rope_type='dynamic', expected one that does not"):
        architecture("gemma3_embedding").read_config(tiny_config("gemma3_embedding", **changes))


def test_an_embedding_model_without_its_modules_is_refused(tmp_path: Path) -> None:
    save_encoder(tmp_path, tiny_config("gemma3_embedding"))
    (tmp_path / "modules.json").unlink()

    with pytest.raises(
        CheckpointError, match=r"modules\.json is missing, which says how"
    ) as raised:
        edgegen.open_checkpoint(tmp_path)
    assert "download modules.json and the folders" in (raised.value.hint or "")


def test_modules_in_config_json_are_refused(tmp_path: Path) -> None:
    save_encoder(tmp_path, tiny_config("gemma3_embedding"))
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sentence_transformers": [{}]}))

    with pytest.raises(CheckpointError, match="sentence_transformers of its own, expected modules"):
        edgegen.open_checkpoint(tmp_path)
