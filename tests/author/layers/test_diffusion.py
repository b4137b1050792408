"""The blocks of diffusion models: against torch and diffusers, and through TFLite."""

from __future__ import annotations

from collections.abc import Callable

import litert_torch
import pytest
import torch
from torch import nn

from edgegen.author.layers.group_norm import GroupNorm
from edgegen.author.layers.resample import Downsample2D, Upsample2D
from edgegen.author.layers.resnet_block import ResnetBlock2D
from edgegen.author.layers.spatial_attention import (
    GEGLU,
    BasicTransformerBlock,
    CrossAttention,
    Transformer2D,
)
from edgegen.author.layers.timestep import TimestepEmbedding, Timesteps
from tests.author.tflite import convert

IMAGE = (1, 16, 6, 10)
TEXT = (1, 7, 20)
PIXELS = (1, 60, 16)
TEMB = (1, 12)


def group_norm() -> GroupNorm:
    return GroupNorm(num_groups=4, num_channels=16, eps=1e-5)


def resnet(out_channels: int = 24, scale: float = 1.0, act_fn: str = "silu") -> ResnetBlock2D:
    return ResnetBlock2D(
        in_channels=16,
        out_channels=out_channels,
        temb_channels=12,
        groups=4,
        eps=1e-5,
        act_fn=act_fn,
        output_scale_factor=scale,
    )


def transformer(linear: bool = False) -> Transformer2D:
    return Transformer2D(
        in_channels=16,
        num_attention_heads=2,
        num_layers=2,
        cross_attention_dim=20,
        norm_num_groups=4,
        use_linear_projection=linear,
    )


def transformer_block() -> BasicTransformerBlock:
    return BasicTransformerBlock(dim=16, num_attention_heads=2, cross_attention_dim=20)


def timesteps(channels: int = 16, flip: bool = True, shift: float = 0.0) -> Timesteps:
    return Timesteps(num_channels=channels, flip_sin_to_cos=flip, downscale_freq_shift=shift)


def randomized(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        fan_in = max(1, parameter[0].numel()) if parameter.dim() > 1 else 1
        spread = fan_in**-0.5 if parameter.dim() > 1 else 0.3
        values = torch.randn(parameter.shape, generator=generator) * spread
        # Scales of norms stand around 1, and so may biases.
        parameter.data.copy_(values if parameter.dim() > 1 else 1 + values)
    return module.eval()


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def assert_same(
    ours: nn.Module,
    theirs: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    their_inputs: tuple[torch.Tensor | None, ...] | None = None,
) -> None:
    """Load their random weights, names included, and compare."""
    ours.load_state_dict(randomized(theirs).state_dict())
    expected = theirs(*(their_inputs or inputs))
    expected = expected[0] if isinstance(expected, tuple) else expected
    torch.testing.assert_close(ours.eval()(*inputs), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("groups", [1, 4, 16])
@pytest.mark.parametrize("mean", [0.0, 10.0])
def test_group_norm_is_that_of_torch(groups: int, mean: float) -> None:
    x = 3 * random(2, 16, 6, 10) + mean * random(1, 16, 1, 1)
    theirs = nn.GroupNorm(groups, 16, eps=1e-5)

    assert_same(GroupNorm(num_groups=groups, num_channels=16, eps=1e-5), theirs, (x,))


def test_group_norm_keeps_its_eps() -> None:
    x = 1e-3 * random(*IMAGE)
    theirs = nn.GroupNorm(4, 16, eps=1e-2)

    assert_same(GroupNorm(num_groups=4, num_channels=16, eps=1e-2), theirs, (x,))


@pytest.mark.parametrize("channels", [16, 17])
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_timesteps_are_those_of_diffusers(channels: int, flip: bool, shift: float) -> None:
    embeddings = pytest.importorskip("diffusers.models.embeddings")
    steps = torch.tensor([0.0, 1.0, 521.0, 999.0])

    assert_same(
        timesteps(channels, flip, shift), embeddings.Timesteps(channels, flip, shift), (steps,)
    )


def test_timesteps_take_whole_numbers() -> None:
    steps = torch.tensor([3, 500], dtype=torch.int32)

    torch.testing.assert_close(timesteps()(steps), timesteps()(steps.float()))


@pytest.mark.parametrize("act_fn", ["silu", "gelu"])
def test_timestep_embedding_is_that_of_diffusers(act_fn: str) -> None:
    embeddings = pytest.importorskip("diffusers.models.embeddings")
    theirs = embeddings.TimestepEmbedding(16, 12, act_fn=act_fn)

    ours = TimestepEmbedding(in_channels=16, time_embed_dim=12, act_fn=act_fn)

    assert_same(ours, theirs, (random(2, 16),))


@pytest.mark.parametrize("size", [(6, 10), (5, 7)])
def test_downsampling_is_that_of_diffusers(size: tuple[int, int]) -> None:
    downsampling = pytest.importorskip("diffusers.models.downsampling")
    theirs = downsampling.Downsample2D(16, use_conv=True, padding=1, name="op")

    assert_same(Downsample2D(channels=16), theirs, (random(2, 16, *size),))


def test_upsampling_is_that_of_diffusers() -> None:
    upsampling = pytest.importorskip("diffusers.models.upsampling")

    theirs = upsampling.Upsample2D(16, use_conv=True)

    assert_same(Upsample2D(channels=16), theirs, (random(2, 16, 5, 7),))


@pytest.mark.parametrize("out_channels", [16, 24])
@pytest.mark.parametrize(
    ("act_fn", "scale"),
    [("silu", 1.0), ("silu", 1.5), ("swish", 1.0), ("gelu", 1.0), ("relu", 1.0)],
)
def test_resnet_block_is_that_of_diffusers(out_channels: int, scale: float, act_fn: str) -> None:
    module = pytest.importorskip("diffusers.models.resnet")
    theirs = module.ResnetBlock2D(
        in_channels=16,
        out_channels=out_channels,
        temb_channels=12,
        groups=4,
        eps=1e-5,
        non_linearity=act_fn,
        output_scale_factor=scale,
    )

    ours = resnet(out_channels, scale, act_fn)

    assert_same(ours, theirs, (random(2, *IMAGE[1:]), random(2, 12, seed=2)))


def test_attention_is_that_of_diffusers() -> None:
    module = pytest.importorskip("diffusers.models.attention_processor")
    theirs = module.Attention(query_dim=16, cross_attention_dim=20, heads=2, dim_head=8)

    ours = CrossAttention(query_dim=16, cross_attention_dim=20, heads=2)

    assert_same(ours, theirs, (random(2, *PIXELS[1:]), random(2, *TEXT[1:], seed=2)))


def test_geglu_is_that_of_diffusers() -> None:
    activations = pytest.importorskip("diffusers.models.activations")

    assert_same(GEGLU(dim_in=16, dim_out=24), activations.GEGLU(16, 24), (random(*PIXELS),))


def test_transformer_block_is_that_of_diffusers() -> None:
    attention = pytest.importorskip("diffusers.models.attention")
    theirs = attention.BasicTransformerBlock(16, 2, 8, cross_attention_dim=20)
    x, text = random(*PIXELS), random(*TEXT, seed=2)

    assert_same(transformer_block(), theirs, (x, text), (x, None, text))


@pytest.mark.parametrize("linear", [False, True])
def test_transformer_is_that_of_diffusers(linear: bool) -> None:
    module = pytest.importorskip("diffusers.models.transformers.transformer_2d")

    class Theirs(module.Transformer2DModel):  # type: ignore[misc, name-defined]
        def forward(self, x: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
            return super().forward(x, encoder_hidden_states=text, return_dict=False)[0]

    theirs = Theirs(
        2,
        8,
        in_channels=16,
        num_layers=2,
        cross_attention_dim=20,
        norm_num_groups=4,
        use_linear_projection=linear,
    )

    assert_same(transformer(linear), theirs, (random(*IMAGE), random(*TEXT, seed=2)))


CONVERTED: dict[str, tuple[Callable[[], nn.Module], tuple[tuple[int, ...], ...]]] = {
    "group norm": (group_norm, (IMAGE,)),
    "timesteps": (timesteps, ((1,),)),
    "timestep embedding": (
        lambda: TimestepEmbedding(in_channels=16, time_embed_dim=12, act_fn="silu"),
        ((1, 16),),
    ),
    "downsampling": (lambda: Downsample2D(channels=16), (IMAGE,)),
    "upsampling": (lambda: Upsample2D(channels=16), (IMAGE,)),
    "resnet block": (resnet, (IMAGE, TEMB)),
    "self-attention": (
        lambda: CrossAttention(query_dim=16, cross_attention_dim=16, heads=2),
        (PIXELS, PIXELS),
    ),
    "cross-attention": (
        lambda: CrossAttention(query_dim=16, cross_attention_dim=20, heads=2),
        (PIXELS, TEXT),
    ),
    "GEGLU": (lambda: GEGLU(dim_in=16, dim_out=24), (PIXELS,)),
    "transformer block": (transformer_block, (PIXELS, TEXT)),
    "transformer, convolutions": (transformer, (IMAGE, TEXT)),
    "transformer, matrices": (lambda: transformer(linear=True), (IMAGE, TEXT)),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_block_says_the_same_in_tflite(name: str) -> None:
    make, shapes = CONVERTED[name]
    module = randomized(make())
    inputs = tuple(random(*shape, seed=10 + i) for i, shape in enumerate(shapes))

    converted = convert(module, inputs)

    with torch.no_grad():
        expected = module(*inputs)
    found = torch.from_numpy(converted.run(inputs))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    assert max(converted.ranks) <= 4, "GPU delegates refuse more dimensions"
    assert "CUSTOM" not in converted.operators


def test_steps_of_a_whole_schedule_say_the_same_in_tflite() -> None:
    """Large angles are where a sine loses its digits."""
    module = timesteps(320)
    converted = convert(module, (torch.zeros(1),))

    for step in (0.0, 1.0, 500.0, 981.0, 999.0):
        inputs = (torch.tensor([step]),)
        found = torch.from_numpy(converted.run(inputs))
        torch.testing.assert_close(found, module(*inputs), atol=1e-3, rtol=0.0)


def test_images_stay_in_the_layout_of_tflite(monkeypatch: pytest.MonkeyPatch) -> None:
    """One turn on the way in and one on the way out; between, no image is copied."""
    # As the converter lays out a graph of real size, for which its better search is too slow.
    monkeypatch.setattr(litert_torch.config, "layout_optimize_partitioner", "GREEDY")
    module = randomized(
        nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), group_norm(), nn.Conv2d(16, 16, 1))
    )

    converted = convert(module, (random(*IMAGE),))

    assert converted.operators["TRANSPOSE"] == 2
