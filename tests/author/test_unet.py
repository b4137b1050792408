"""The U-Net against diffusers' own class with random weights, and through TFLite."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import litert_torch
import pytest
import torch
from torch import nn

from edgegen.author import open_checkpoint
from edgegen.author.layers.spatial_attention import CrossAttention
from edgegen.author.models import unet_2d_condition
from edgegen.author.unet import ENCODER_HIDDEN_STATES, LATENT, NOISE, TIMESTEP, UNet2DCondition
from edgegen.author.weights import resolve
from edgegen.errors import ConfigError, WeightsError
from tests.author.tflite import Converted, convert
from tests.engines.compiled_gpu import run_on_gpu

STABLE_DIFFUSION_1 = {
    "_class_name": "UNet2DConditionModel",
    "_diffusers_version": "0.6.0",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 768,
    "down_block_types": [
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "DownBlock2D",
    ],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": [
        "UpBlock2D",
        "CrossAttnUpBlock2D",
        "CrossAttnUpBlock2D",
        "CrossAttnUpBlock2D",
    ],
}
THREE_LEVELS = {
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"],
    "block_out_channels": [16, 24, 32],
    "layers_per_block": [1, 2, 3],
    "transformer_layers_per_block": [1, 2, 3],
    "attention_head_dim": [2, 3, 4],
}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "Stable Diffusion 2": {"use_linear_projection": True, "upcast_attention": True},
    "three levels": THREE_LEVELS,
    "one level": {
        "down_block_types": ["CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D"],
        "block_out_channels": [16],
        "attention_head_dim": 2,
    },
    "one layer": {"layers_per_block": 1, "sample_size": 8},
    "time": {"time_embedding_dim": 40, "flip_sin_to_cos": False, "freq_shift": 1},
    "scaled middle": {"mid_block_scale_factor": 1.5, "norm_eps": 1e-3},
    "gelu": {"act_fn": "gelu"},
}


def tiny_config(**changes: Any) -> dict[str, Any]:
    return {**unet_2d_condition.tiny_config(), **changes}


def save_checkpoint(folder: Path, config: dict[str, Any], seed: int) -> nn.Module:
    """Write a checkpoint folder with diffusers, and return the model that it holds."""
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(seed)
    model = diffusers.UNet2DConditionModel.from_config(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, parameter[0].numel() ** -0.5)
        else:
            parameter.data.uniform_(0.5, 1.5)
    model.save_pretrained(folder)
    return model


def author(folder: Path) -> UNet2DCondition:
    """Fill our module through the weight map."""
    checkpoint = open_checkpoint(folder)
    config = unet_2d_condition.read_config(checkpoint.config)
    with torch.device("meta"):
        unet = unet_2d_condition.build(config)
    shapes = {name: tuple(p.shape) for name, p in unet.named_parameters()}
    sources = resolve(unet_2d_condition.weight_map(config), shapes, checkpoint.tensors)
    state = {name: torch.from_numpy(source.read()) for name, source in sources.items()}
    unet.load_state_dict(state, assign=True)
    return unet.eval()


def random_inputs(unet: UNet2DCondition, step: float = 481.0) -> dict[str, torch.Tensor]:
    inputs = unet.sample_inputs("denoise", 1, 0)
    return {
        LATENT: torch.randn(inputs[LATENT].shape),
        TIMESTEP: torch.full_like(inputs[TIMESTEP], step),
        ENCODER_HIDDEN_STATES: torch.randn(inputs[ENCODER_HIDDEN_STATES].shape),
    }


@torch.no_grad()
def assert_same_noise(ours: UNet2DCondition, theirs: nn.Module) -> None:
    for step in (0.0, 481.0, 999.0):
        inputs = random_inputs(ours, step)
        expected = theirs(
            inputs[LATENT], inputs[TIMESTEP], inputs[ENCODER_HIDDEN_STATES], return_dict=False
        )[0]
        assert expected.std() > 0.1, "nothing to compare"
        found = ours.run("denoise", inputs)[NOISE]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_that_of_diffusers(tmp_path: Path, seed: int) -> None:
    theirs = save_checkpoint(tmp_path, tiny_config(), seed)

    assert_same_noise(author(tmp_path), theirs)


@pytest.mark.parametrize("variant", VARIANTS)
def test_noise_is_that_of_diffusers_in_every_variant(tmp_path: Path, variant: str) -> None:
    theirs = save_checkpoint(tmp_path, tiny_config(**VARIANTS[variant]), seed=3)

    assert_same_noise(author(tmp_path), theirs)


def test_every_tensor_is_accounted_for(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, tiny_config(), seed=0)
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**content, "layers_per_block": 1}))

    with pytest.raises(WeightsError, match=r"unused   down_blocks\.0\.attentions\.1\."):
        author(tmp_path)


def test_stable_diffusion_authors_without_weights() -> None:
    config = unet_2d_condition.read_config(STABLE_DIFFUSION_1)
    with torch.device("meta"):
        unet = unet_2d_condition.build(config)

    assert sum(p.numel() for p in unet.parameters()) == 859_520_964
    assert unet.time_proj.frequencies.device.type == "cpu"
    assert config.num_hidden_layers < len(list(unet.parameters()))


def test_defaults_are_those_of_diffusers() -> None:
    named = {"_class_name", "sample_size", "cross_attention_dim"}
    bare = {key: value for key, value in STABLE_DIFFUSION_1.items() if key in named}

    assert unet_2d_condition.read_config(bare) == unet_2d_condition.read_config(STABLE_DIFFUSION_1)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"_class_name": "UNet2DModel"}, "_class_name='UNet2DModel', expected 'UNet2DCondition"),
        ({"sample_size": None}, "no sample_size"),
        ({"sample_size": [8]}, r"sample_size=\(8,\), expected a number above 0, or a list of 2"),
        ({"sample_size": 9}, r"sample_size=\(9, 9\), expected multiples of 2, since 1 blocks"),
        ({"block_out_channels": []}, r"block_out_channels=\(\), expected a number above 0"),
        ({"block_out_channels": [16, 0]}, r"block_out_channels=\(16, 0\), expected a number"),
        ({"block_out_channels": [16, 28]}, "expected multiples of norm_num_groups=8"),
        ({"block_out_channels": [16]}, "expected a list of 1 words, not of 2"),
        ({"attention_head_dim": 5}, r"attention_head_dim=\(5, 5\), expected numbers of heads"),
        ({"attention_head_dim": [2, 0]}, "expected a number above 0, or a list of 2"),
        ({"cross_attention_dim": [20, 24]}, "which attend to the same text"),
        ({"freq_shift": 8}, r"freq_shift=8\.0, expected less than half"),
        ({"down_block_types": ["AttnDownBlock2D", "DownBlock2D"]}, "AttnDownBlock2D"),
        ({"mid_block_type": "UNetMidBlock2D"}, "mid_block_type='UNetMidBlock2D', expected"),
        ({"resnet_time_scale_shift": "scale_shift"}, "expected 'default'"),
        ({"time_cond_proj_dim": 256}, "does not author: time_cond_proj_dim=256"),
        ({"addition_embed_type": "text_time"}, "does not author: addition_embed_type="),
        ({"act_fn": "tanh"}, "act_fn='tanh', expected one of gelu, relu, silu, swish"),
    ],
)
def test_what_is_not_authored_is_refused(changes: dict[str, Any], found: str) -> None:
    with pytest.raises(ConfigError, match=found) as caught:
        unet_2d_condition.read_config(tiny_config(**changes))

    assert caught.value.hint


@dataclass(frozen=True)
class Case:
    """A converted U-Net, inputs for it and what torch says to them."""

    converted: Converted
    unet: UNet2DCondition
    inputs: tuple[torch.Tensor, ...]
    noise: torch.Tensor


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("unet")
    save_checkpoint(folder, tiny_config(layers_per_block=1), seed=0)
    unet = author(folder)
    inputs = tuple(random_inputs(unet).values())
    with torch.no_grad():
        noise = unet(*inputs)
    with pytest.MonkeyPatch.context() as monkeypatch:
        # As the converter lays out a graph of real size, for which its better search is too slow.
        monkeypatch.setattr(litert_torch.config, "layout_optimize_partitioner", "GREEDY")
        return Case(convert(unet, inputs), unet, inputs, noise)


def test_tflite_says_the_same(case: Case) -> None:
    found = torch.from_numpy(case.converted.run(case.inputs))

    torch.testing.assert_close(found, case.noise, atol=1e-3, rtol=1e-3)


def test_graph_is_one_that_gpus_take(case: Case) -> None:
    operators = case.converted.operators

    assert max(case.converted.ranks) <= 4
    # torch's group norm would bring the latter, which the delegate refuses.
    assert not operators.keys() & {"CUSTOM", "BROADCAST_TO"}
    # The image turns on its way in and on its way out; all others are heads of attention.
    attentions = sum(isinstance(module, CrossAttention) for module in case.unet.modules())
    assert operators["TRANSPOSE"] == 2 + 4 * attentions


@pytest.mark.gpu
def test_gpu_says_the_same(case: Case, tmp_path: Path) -> None:
    model = tmp_path / "unet.tflite"
    model.write_bytes(case.converted.content)
    inputs = {f"args_{i}": value.numpy() for i, value in enumerate(case.inputs)}

    (output,) = run_on_gpu(model, None, inputs, tmp_path).values()
    found = torch.from_numpy(output)

    torch.testing.assert_close(found, case.noise, atol=1e-3, rtol=1e-3)


def test_inputs_and_outputs_have_names() -> None:
    unet = unet_2d_condition.build(unet_2d_condition.read_config(tiny_config()))
    inputs = unet.sample_inputs("denoise", 1, 0)

    assert unet.signatures([128]) == {"denoise": 1}
    assert {name: list(value.shape) for name, value in inputs.items()} == {
        "latent": [1, 4, 8, 12],
        "timestep": [1],
        "encoder_hidden_states": [1, 77, 20],
    }
    assert {name: list(value.shape) for name, value in unet.run("denoise", inputs).items()} == {
        "noise": [1, 3, 8, 12]
    }
