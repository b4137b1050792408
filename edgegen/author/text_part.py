"""The text part of a multimodal checkpoint: its section of `config.json`, and its tensors.

Images and sounds are not authored. What belongs to them is named and left out; a prompt of text
alone computes the same without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgegen.author.config_reader import HARMLESS, ConfigReader
from edgegen.author.weights import Copy, Drop, Join, Rename, WeightMap
from edgegen.errors import ConfigError

_OTHER_PARTS = "belongs to images and sounds; the text part alone is authored"
# The keys beside `text_config`.
_BESIDE = {
    **HARMLESS,
    **dict.fromkeys(
        (
            "audio_config",
            "audio_soft_tokens_per_image",
            "audio_token_id",
            "boa_token_id",
            "boa_token_index",
            "boi_token_id",
            "boi_token_index",
            "eoa_token_id",
            "eoa_token_index",
            "eoi_token_id",
            "eoi_token_index",
            "image_token_id",
            "image_token_index",
            "mm_tokens_per_image",
            "video_token_id",
            "vision_config",
            "vision_soft_tokens_per_image",
        ),
        _OTHER_PARTS,
    ),
}
# Where a stored tensor of the text model may lie: as the hub has it, and as newer versions of
# transformers name it.
_PLACES = (
    ("language_model.model.", "language_model.lm_head."),
    ("model.language_model.", "lm_head."),
)


def read_text_config(raw: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `text_config` of a multimodal `config.json` as a config of its own.

    Args:
        raw: Content of `config.json`.
        defaults: What the text model's HF config class assumes. A section holds only what
            differs from that, unlike a `config.json` of a text model.

    Raises:
        ConfigError: there is no such section, or a key beside it is wrong or unknown.
    """
    reader = ConfigReader.of_checkpoint(raw)
    tied = reader.flag("tie_word_embeddings", True)
    section = raw.get("text_config")
    if reader.section("text_config") is None or not isinstance(section, Mapping):
        raise ConfigError(
            "config.json has no text_config, in which a multimodal model describes its text part",
            "pass a checkpoint folder with the config.json that transformers writes",
        )
    reader.finish(_BESIDE)
    text = {"tie_word_embeddings": tied, **defaults, **section}
    # transformers goes by the one beside.
    if text["tie_word_embeddings"] is not tied:
        raise ConfigError(
            f"config.json has tie_word_embeddings={tied!r}, but its text_config "
            f"has {text['tie_word_embeddings']!r}",
            "make both say what the checkpoint holds",
        )
    return text


def under_language_model(weight_map: WeightMap, others: Sequence[str]) -> WeightMap:
    """Return a text model's map for a checkpoint that holds it beside other parts.

    Args:
        weight_map: The map of the text model alone, with names under `model.`.
        others: Under what the other parts lie, without a leading `model.`.
    """
    moved = [_moved(entry, *place) for place in _PLACES for entry in weight_map]
    dropped = [
        Drop(f"{prefix}{other}.*", _OTHER_PARTS) for prefix in ("", "model.") for other in others
    ]
    return (*moved, *dropped)


def _moved(
    entry: Rename | Join | Drop | Copy, model: str, head: str
) -> Rename | Join | Drop | Copy:
    def place(name: str) -> str:
        if name.startswith("lm_head."):
            return head + name.removeprefix("lm_head.")
        return model + name.removeprefix("model.")

    match entry:
        case Rename():
            return Rename(entry.ours, place(entry.source), entry.views)
        case Join():
            return Join(entry.ours, tuple(place(name) for name in entry.sources), entry.dim)
        case Drop():
            return Drop(place(entry.source), entry.why)
        case Copy():
            return Copy(place(entry.source), of=place(entry.of))
