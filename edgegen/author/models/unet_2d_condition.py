"""The U-Net of Stable Diffusion 1.x and 2.x: diffusers' `UNet2DConditionModel`.

Its folder says `_class_name` where those of transformers say `model_type`. diffusers'
`attention_head_dim` is the number of heads: the name is a mistake that its configs keep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from edgegen.author.config_reader import ConfigReader
from edgegen.author.layers.activations import ACTIVATIONS
from edgegen.author.layers.group_norm import GroupNorm
from edgegen.author.layers.resample import Downsample2D, Upsample2D
from edgegen.author.layers.resnet_block import ResnetBlock2D
from edgegen.author.layers.spatial_attention import Transformer2D
from edgegen.author.layers.timestep import TimestepEmbedding, Timesteps
from edgegen.author.unet import DownBlock, MidBlock, UNet2DCondition, UpBlock
from edgegen.author.weights import Rename, WeightMap
from edgegen.errors import ConfigError

CLASS_NAME = "UNet2DConditionModel"

# The prompt length of CLIP, which wrote the texts that these models were trained with. The
# U-Net takes any length, so its config names none.
TEXT_TOKENS = 77

_DOWN, _CROSS_DOWN = "DownBlock2D", "CrossAttnDownBlock2D"
_UP, _CROSS_UP = "UpBlock2D", "CrossAttnUpBlock2D"

# Of the activations that diffusers' `get_activation` knows, those that are authored.
_ACT_FNS = ("gelu", "relu", "silu", "swish")

# One value is authored; every other computes something else.
_ONLY = {
    "_class_name": CLASS_NAME,
    "attention_type": "default",
    "center_input_sample": False,
    "class_embeddings_concat": False,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "downsample_padding": 1,
    "dual_cross_attention": False,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "only_cross_attention": False,
    "resnet_time_scale_shift": "default",
    "time_embedding_type": "positional",
}

_OTHER_BLOCKS = "read only by block types that are refused"
_HARMLESS = {
    "_diffusers_version": "where it came from",
    "_name_or_path": "where it came from",
    "addition_embed_type_num_heads": "read only with addition_embed_type, which is refused",
    "cross_attention_norm": _OTHER_BLOCKS,
    "dropout": "training only",
    "mid_block_only_cross_attention": _OTHER_BLOCKS,
    "resnet_out_scale_factor": _OTHER_BLOCKS,
    "resnet_skip_time_act": _OTHER_BLOCKS,
    "upcast_attention": "everything is computed in float32",
}


KIND = "diffusion"


@dataclass(frozen=True)
class UNet2DConditionConfig:
    """The U-Net's shape, under the names of diffusers' `config.json`.

    Attributes:
        sample_size: H and W of the latent image, in latent pixels.
        down_block_types, up_block_types: With attention to the text, or without.
        block_out_channels, layers_per_block, transformer_layers_per_block, cross_attention_dim:
            One for each block on the way down.
        attention_head_dim: Heads (the name is a mistake that diffusers keeps), likewise.
        time_embed_dim: Size of the timestep's embedding, diffusers' `time_embedding_dim`.
    """

    sample_size: tuple[int, int]
    in_channels: int
    out_channels: int
    down_block_types: tuple[str, ...]
    up_block_types: tuple[str, ...]
    block_out_channels: tuple[int, ...]
    layers_per_block: tuple[int, ...]
    transformer_layers_per_block: tuple[int, ...]
    cross_attention_dim: tuple[int, ...]
    attention_head_dim: tuple[int, ...]
    use_linear_projection: bool
    act_fn: str
    norm_num_groups: int
    norm_eps: float
    mid_block_scale_factor: float
    time_embed_dim: int
    flip_sin_to_cos: bool
    freq_shift: float

    @property
    def num_hidden_layers(self) -> int:
        """Residual and transformer blocks on the way down: fewer than there are tensors."""
        levels = zip(
            self.layers_per_block,
            self.transformer_layers_per_block,
            self.down_block_types,
            reversed(self.up_block_types),
            strict=True,
        )
        return sum(
            resnets * (1 + transformers if down == _CROSS_DOWN or up == _CROSS_UP else 1)
            for resnets, transformers, down, up in levels
        )


def read_config(raw: Mapping[str, Any]) -> UNet2DConditionConfig:
    """Sort every key of a U-Net's `config.json`.

    Raises:
        ConfigError: a key is missing, has a wrong value, or asks for the unknown.
    """
    reader = ConfigReader.of_checkpoint(raw)
    for key, only in _ONLY.items():
        reader.must_be(key, only)
    channels = reader.integers("block_out_channels", (320, 640, 1280, 1280), most=1 << 20)
    if not channels or 0 in channels:
        raise _wrong("block_out_channels", channels, "a number above 0 for each block")
    blocks = len(channels)

    def per_block(key: str, default: int) -> tuple[int, ...]:
        return _one_or_several(reader, raw, key, default, blocks)

    height, width = _one_or_several(reader, raw, "sample_size", None, 2)
    config = UNet2DConditionConfig(
        sample_size=(height, width),
        in_channels=reader.integer("in_channels", 4),
        out_channels=reader.integer("out_channels", 4),
        down_block_types=reader.words(
            "down_block_types", [_CROSS_DOWN] * 3 + [_DOWN], (_DOWN, _CROSS_DOWN), blocks
        ),
        up_block_types=reader.words(
            "up_block_types", [_UP] + [_CROSS_UP] * 3, (_UP, _CROSS_UP), blocks
        ),
        block_out_channels=channels,
        layers_per_block=per_block("layers_per_block", 2),
        transformer_layers_per_block=per_block("transformer_layers_per_block", 1),
        cross_attention_dim=per_block("cross_attention_dim", 1280),
        attention_head_dim=per_block("attention_head_dim", 8),
        use_linear_projection=reader.flag("use_linear_projection", False),
        act_fn=reader.word("act_fn", "silu", _ACT_FNS),
        norm_num_groups=reader.integer("norm_num_groups", 32),
        norm_eps=reader.number("norm_eps", 1e-5),
        mid_block_scale_factor=reader.number("mid_block_scale_factor", 1.0),
        time_embed_dim=reader.optional_integer("time_embedding_dim") or 4 * channels[0],
        flip_sin_to_cos=reader.flag("flip_sin_to_cos", True),
        freq_shift=reader.number("freq_shift", 0.0, least=0.0),
    )
    reader.finish(_HARMLESS)
    _check(config)
    return config


def _one_or_several(
    reader: ConfigReader, raw: Mapping[str, Any], key: str, default: int | None, count: int
) -> tuple[int, ...]:
    """Take one whole number that stands for `count`, or a list of them."""
    if not isinstance(raw.get(key), list):
        return (reader.integer(key, default),) * count
    values = reader.integers(key, (), most=1 << 20)
    if len(values) != count or 0 in values:
        raise _wrong(key, values, f"a number above 0, or a list of {count}")
    return values


def _check(config: UNet2DConditionConfig) -> None:
    halvings = len(config.block_out_channels) - 1
    if any(side % 2**halvings for side in config.sample_size):
        expected = f"multiples of {2**halvings}, since {halvings} blocks halve the image"
        raise _wrong("sample_size", config.sample_size, expected)
    if any(channels % config.norm_num_groups for channels in config.block_out_channels):
        expected = f"multiples of norm_num_groups={config.norm_num_groups}"
        raise _wrong("block_out_channels", config.block_out_channels, expected)
    heads = zip(config.block_out_channels, config.attention_head_dim, strict=True)
    if any(channels % number for channels, number in heads):
        expected = f"numbers of heads that divide block_out_channels={config.block_out_channels}"
        raise _wrong("attention_head_dim", config.attention_head_dim, expected)
    if config.freq_shift >= config.block_out_channels[0] // 2:
        expected = "less than half of the first of block_out_channels"
        raise _wrong("freq_shift", config.freq_shift, expected)
    if len(set(config.cross_attention_dim)) > 1:
        expected = "one number for all blocks, which attend to the same text"
        raise _wrong("cross_attention_dim", config.cross_attention_dim, expected)


def _wrong(key: str, value: object, expected: str) -> ConfigError:
    return ConfigError(
        f"config.json has {key}={value}, expected {expected}",
        "correct config.json, or use a checkpoint that edgegen can author",
    )


def build(config: UNet2DConditionConfig) -> UNet2DCondition:
    """Make the U-Net, as diffusers' `UNet2DConditionModel`."""
    channels = config.block_out_channels
    last = len(channels) - 1
    deepest = channels[last]

    def resnet(in_channels: int, out_channels: int, scale: float = 1.0) -> ResnetBlock2D:
        return ResnetBlock2D(
            in_channels=in_channels,
            out_channels=out_channels,
            temb_channels=config.time_embed_dim,
            groups=config.norm_num_groups,
            eps=config.norm_eps,
            act_fn=config.act_fn,
            output_scale_factor=scale,
        )

    def transformer(level: int) -> Transformer2D:
        return Transformer2D(
            in_channels=channels[level],
            num_attention_heads=config.attention_head_dim[level],
            num_layers=config.transformer_layers_per_block[level],
            cross_attention_dim=config.cross_attention_dim[level],
            norm_num_groups=config.norm_num_groups,
            use_linear_projection=config.use_linear_projection,
        )

    def down_block(level: int) -> DownBlock:
        inputs = [channels[max(level - 1, 0)]]
        inputs += [channels[level]] * (config.layers_per_block[level] - 1)
        crossed = config.down_block_types[level] == _CROSS_DOWN
        return DownBlock(
            resnets=[resnet(size, channels[level]) for size in inputs],
            attentions=[transformer(level) for _ in inputs] if crossed else [],
            downsampler=None if level == last else Downsample2D(channels=channels[level]),
        )

    def up_block(level: int) -> UpBlock:
        # One block more than on the way down: the last of them takes what entered this level.
        layers = config.layers_per_block[level]
        inputs = [channels[min(level + 1, last)]] + [channels[level]] * layers
        skips = [channels[level]] * layers + [channels[max(level - 1, 0)]]
        crossed = config.up_block_types[last - level] == _CROSS_UP
        return UpBlock(
            resnets=[
                resnet(size + skip, channels[level])
                for size, skip in zip(inputs, skips, strict=True)
            ],
            attentions=[transformer(level) for _ in inputs] if crossed else [],
            upsampler=None if level == 0 else Upsample2D(channels=channels[level]),
        )

    return UNet2DCondition(
        latent_shape=(config.in_channels, *config.sample_size),
        text_shape=(TEXT_TOKENS, config.cross_attention_dim[0]),
        conv_in=nn.Conv2d(config.in_channels, channels[0], kernel_size=3, padding=1),
        time_proj=Timesteps(
            num_channels=channels[0],
            flip_sin_to_cos=config.flip_sin_to_cos,
            downscale_freq_shift=config.freq_shift,
        ),
        time_embedding=TimestepEmbedding(
            in_channels=channels[0], time_embed_dim=config.time_embed_dim, act_fn=config.act_fn
        ),
        down_blocks=[down_block(level) for level in range(last + 1)],
        mid_block=MidBlock(
            resnets=[resnet(deepest, deepest, config.mid_block_scale_factor) for _ in range(2)],
            attention=transformer(last),
        ),
        up_blocks=[up_block(level) for level in range(last, -1, -1)],
        conv_norm_out=GroupNorm(
            num_groups=config.norm_num_groups, num_channels=channels[0], eps=config.norm_eps
        ),
        activation=ACTIVATIONS[config.act_fn],
        conv_out=nn.Conv2d(channels[0], config.out_channels, kernel_size=3, padding=1),
    )


def weight_map(config: UNet2DConditionConfig) -> WeightMap:
    """Names are diffusers' own."""
    return tuple(Rename(name, name) for name in _names())


def _names() -> Iterator[str]:
    attention = [f"{part}.weight" for part in ("to_q", "to_k", "to_v")]
    attention += ["to_out.0.weight", "to_out.0.bias"]
    block = [f"attn{i}.{tensor}" for i in (1, 2) for tensor in attention]
    block += _both("norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2")
    transformer = _both("norm", "proj_in", "proj_out")
    transformer += [f"transformer_blocks.{{block}}.{tensor}" for tensor in block]
    resnet = _both("norm1", "conv1", "time_emb_proj", "norm2", "conv2", "conv_shortcut")

    yield from _both("conv_in", "time_embedding.linear_1", "time_embedding.linear_2")
    for place in ("down_blocks.{level}", "mid_block", "up_blocks.{level}"):
        yield from (f"{place}.resnets.{{layer}}.{tensor}" for tensor in resnet)
        yield from (f"{place}.attentions.{{layer}}.{tensor}" for tensor in transformer)
    yield from _both("down_blocks.{level}.downsamplers.0.conv")
    yield from _both("up_blocks.{level}.upsamplers.0.conv")
    yield from _both("conv_norm_out", "conv_out")


def _both(*names: str) -> list[str]:
    return [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]


def tiny_config() -> dict[str, Any]:
    """Return a config in which no two sizes are equal, so that a mix-up shows."""
    return {
        "_class_name": CLASS_NAME,
        "sample_size": [8, 12],
        "in_channels": 4,
        "out_channels": 3,
        "down_block_types": [_CROSS_DOWN, _DOWN],
        "up_block_types": [_UP, _CROSS_UP],
        "block_out_channels": [16, 24],
        "layers_per_block": 2,
        "cross_attention_dim": 20,
        "attention_head_dim": [2, 3],
        "norm_num_groups": 8,
    }
