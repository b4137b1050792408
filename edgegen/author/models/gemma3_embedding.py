"""EmbeddingGemma: a Gemma 3 that looks both ways and turns a text into one vector.

Its `config.json` says `gemma3_text`, with `use_bidirectional_attention`. The pooling and the
dense layers lie in the folders that sentence-transformers writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgegen.author.config import FULL_ATTENTION, SLIDING_ATTENTION
from edgegen.author.config_reader import ConfigReader
from edgegen.author.encoder import Dense, Encoder
from edgegen.author.layers import make_rope
from edgegen.author.layers.bidirectional import BidirectionalAttention, BidirectionalMask
from edgegen.author.models import gemma3_text
from edgegen.author.models.gemma import gemma_norm
from edgegen.author.models.gemma3_text import (
    Gemma3Config,
    gemma3_layer,
    read_text,
    with_two_rotations,
)
from edgegen.author.models.llama import LAYER_NAMES
from edgegen.author.sentence_transformers import SECTION, Head, read_head
from edgegen.author.weights import WeightMap, same_names
from edgegen.errors import ConfigError

KIND = "encoder"


@dataclass(frozen=True)
class EmbeddingConfig(Gemma3Config):
    """HF's `Gemma3TextConfig`, and what follows the model.

    Attributes:
        head: Dense layers and whether the result has unit length.
    """

    head: Head


def read_config(raw: Mapping[str, Any]) -> EmbeddingConfig:
    """Sort every key of an EmbeddingGemma `config.json`, and of the modules beside it."""
    head = read_head(raw.get(SECTION))
    rest = {key: value for key, value in raw.items() if key != SECTION}
    reader = ConfigReader.of_checkpoint(with_two_rotations(rest))
    reader.flag("use_bidirectional_attention", True)  # it chose this file
    fields = dict(vars(read_text(reader)))
    for parameters in fields["rope"].values():
        if parameters.rope_type in ("dynamic", "longrope"):
            raise ConfigError(
                f"config.json has rope_type={parameters.rope_type!r}, expected one that does not "
                "change with the length of the text",
                "only embeddings without it are authored",
            )
    if fields["sliding_window"] is not None:
        # The config counts both sides together; HF's `Gemma3TextConfig` halves it so.
        fields["sliding_window"] = fields["sliding_window"] // 2 + 1
    width = fields["hidden_size"]
    for dense in head.dense:
        if dense.in_features != width:
            raise ConfigError(
                f"{dense.folder}/config.json has in_features={dense.in_features}, expected {width}",
                "the folders must be of the same model",
            )
        width = dense.out_features
    fields["model_type"] = "gemma3_embedding"
    return EmbeddingConfig(**fields, head=head)


def build(config: EmbeddingConfig) -> Encoder:
    """Make the encoder, as HF's `Gemma3TextModel` and what follows it."""
    windows = {FULL_ATTENTION: None, SLIDING_ATTENTION: config.sliding_window}
    return Encoder(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        layers=[
            gemma3_layer(config, layer_type, BidirectionalAttention)
            for layer_type in config.layer_types
        ],
        norm=gemma_norm(config.hidden_size, config.norm_eps),
        ropes={name: make_rope(config.head_dim, p) for name, p in config.rope.items()},
        masks={name: BidirectionalMask(windows[name]) for name in sorted(set(config.layer_types))},
        embedding_multiplier=config.hidden_size**0.5,
        dense=[
            Dense(
                in_features=dense.in_features,
                out_features=dense.out_features,
                bias=dense.bias,
                activation=dense.activation,
            )
            for dense in config.head.dense
        ],
        normalize=config.head.normalize,
    )


def weight_map(config: EmbeddingConfig) -> WeightMap:
    """Names are HF's own, without the `model.` of a decoder; dense layers lie in folders."""
    folders = [
        same_names(f"{dense.folder}.linear.", ("weight", "bias"), f"dense.{index}.linear.")
        for index, dense in enumerate(config.head.dense)
    ]
    return (
        *same_names("", ("embed_tokens.weight", "norm.weight")),
        *same_names("layers.{layer}.", LAYER_NAMES, "layers.{layer}."),
        *(entry for entries in folders for entry in entries),
    )


def tiny_config() -> dict[str, Any]:
    """Return a config whose window, halved, is shorter than the tests' texts."""
    return {**gemma3_text.tiny_config(), "use_bidirectional_attention": True}
