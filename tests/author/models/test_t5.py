"""T5 and its relatives against transformers' own class: encoding, then decoding step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Attention

import edgegen
from edgegen.author.layers.relative_bias import bucket_ranges
from edgegen.author.models import architecture
from edgegen.errors import ConfigError, WeightsError
from tests.hf import tiny_config

TEXT, PADDED, STEPS, KV_CACHE_LEN = 23, 32, 30, 48


def save_random(folder: Path, config: dict[str, Any], seed: int = 0) -> None:
    torch.manual_seed(seed)
    values = {key: value for key, value in config.items() if key != "model_type"}
    model = T5ForConditionalGeneration(AutoConfig.for_model("t5", **values))
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.data.uniform_(0.5, 1.5)
        elif "relative_attention_bias" in name:
            parameter.data.normal_(0.0, 1.0)
        else:
            parameter.data.normal_(0.0, 1.5 / parameter.shape[-1] ** 0.5)
    for name, parameter in model.named_parameters():
        if name.endswith((".q.weight", ".k.weight")):
            parameter.data *= config["d_kv"] ** -0.25  # scores are not scaled
    model.save_pretrained(folder)


@torch.no_grad()
def their_logits(folder: Path, text: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
    model = T5ForConditionalGeneration.from_pretrained(folder).eval()
    padded = torch.nn.functional.pad(text, (0, PADDED - TEXT), value=5)
    seen = (torch.arange(PADDED) < TEXT).long()[None]
    outputs: Any = model(
        input_ids=padded, attention_mask=seen, decoder_input_ids=answer[:, :1], use_cache=True
    )
    logits = [outputs.logits]
    encoded = (outputs.encoder_last_hidden_state,)
    for step in range(1, answer.shape[1]):
        outputs = model(
            encoder_outputs=encoded,
            attention_mask=seen,
            decoder_input_ids=answer[:, step : step + 1],
            past_key_values=outputs.past_key_values,
            use_cache=True,
        )
        logits.append(outputs.logits)
    return torch.cat(logits, dim=1)


@torch.no_grad()
def our_logits(folder: Path, text: torch.Tensor, answer: torch.Tensor, room: int) -> torch.Tensor:
    """Run the signatures as a runtime would, with what earlier calls left in the caches."""
    model = edgegen.author_model(edgegen.open_checkpoint(folder))
    module: Any = model.module
    module.load_state_dict(model.load_state(), assign=True)
    encode = f"encode_{room}"
    inputs = module.sample_inputs(encode, room, KV_CACHE_LEN)
    left_over = {name: torch.full(v.shape, 3.0) for name, v in inputs.items() if "cache" in name}
    padding = torch.full((1, room - TEXT), 9)
    inputs["tokens"] = torch.cat([text, padding], dim=1).int()
    inputs["length"] = torch.tensor([TEXT], dtype=torch.int32)
    state = module.run(encode, {**inputs, **left_over})
    assert state["cross_kv_cache_k_0"].shape[2] == KV_CACHE_LEN
    sample = module.sample_inputs("decode", 1, KV_CACHE_LEN)
    state |= {name: torch.zeros(v.shape) for name, v in sample.items() if name not in state}
    logits = []
    for step in range(answer.shape[1]):
        state["tokens"] = answer[:, step : step + 1].int()
        state["input_pos"] = torch.tensor([step], dtype=torch.int32)
        outputs = module.run("decode", {name: state[name] for name in sample})
        logits.append(outputs.pop("logits"))
        assert outputs.keys() < state.keys()
        state |= outputs
    return torch.cat(logits, dim=1)


def texts(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(0, 97, (1, TEXT), generator=generator)
    answer = torch.randint(0, 97, (1, STEPS), generator=generator)
    answer[0, 0] = 0
    return text, answer


def assert_equal_logits(folder: Path, seed: int = 0, room: int = PADDED) -> None:
    text, answer = texts(seed)
    expected = their_logits(folder, text, answer)
    assert expected.std() > 0.05, "the random model says the same everywhere"

    found = our_logits(folder, text, answer, room)

    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_logits_equal_transformers(tmp_path: Path, seed: int) -> None:
    save_random(tmp_path, tiny_config("t5"), seed)
    assert_equal_logits(tmp_path, seed)


@pytest.mark.parametrize("room", [TEXT, KV_CACHE_LEN])
def test_the_room_for_the_text_does_not_show(tmp_path: Path, room: int) -> None:
    save_random(tmp_path, tiny_config("t5"))
    assert_equal_logits(tmp_path, room=room)


VARIANTS: dict[str, dict[str, Any]] = {
    "T5": {"feed_forward_proj": "relu", "num_decoder_layers": None},
    "gated silu": {"feed_forward_proj": "gated-silu"},
    "gelu": {"feed_forward_proj": "gelu"},
    "published buckets": {
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
    },
    "one head": {"num_heads": 1},
    "not scaled": {"tie_word_embeddings": False},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_equal_transformers(tmp_path: Path, variant: str) -> None:
    save_random(tmp_path, tiny_config("t5", **VARIANTS[variant]))
    assert_equal_logits(tmp_path)


def test_a_head_of_its_own_and_what_older_files_store(tmp_path: Path) -> None:
    """As the published Flan-T5; transformers 5 writes such files no more, but reads them."""
    config = tiny_config("t5", tie_word_embeddings=False)
    save_random(tmp_path, config)
    rewrite_config(tmp_path, config)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    tensors["lm_head.weight"] = torch.randn(97, 60)
    tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"].clone()
    tensors["decoder.embed_tokens.weight"] = tensors["shared.weight"].clone()
    unused = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    tensors[unused] = torch.randn(12, 5)
    save_file(tensors, file, {"format": "pt"})

    assert_equal_logits(tmp_path)


def rewrite_config(folder: Path, config: dict[str, Any]) -> None:
    import json

    (folder / "config.json").write_text(json.dumps(config))


def test_another_head_than_the_tied_one_is_refused(tmp_path: Path) -> None:
    save_random(tmp_path, tiny_config("t5"))
    file = tmp_path / "model.safetensors"
    save_file({**load_file(file), "lm_head.weight": torch.randn(97, 60)}, file)

    with pytest.raises(WeightsError, match=r"ties lm_head\.weight to shared\.weight"):
        edgegen.author_model(edgegen.open_checkpoint(tmp_path))


@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (12, 20), (8, 64), (16, 9), (4, 3)])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_ranges_are_the_buckets_of_transformers(
    buckets: int, distance: int, bidirectional: bool
) -> None:
    ranges = bucket_ranges(buckets, distance, bidirectional=bidirectional)
    distances = torch.arange(-5000, 5000 if bidirectional else 1)

    expected = T5Attention._relative_position_bucket(
        distances, bidirectional=bidirectional, num_buckets=buckets, max_distance=distance
    )

    for value, bucket in zip(distances.tolist(), expected.tolist(), strict=True):
        found = [i for i, (first, last) in enumerate(ranges) if first <= value <= last]
        assert found == [bucket], value


def test_what_transformers_5_writes_reads_the_same(tmp_path: Path) -> None:
    read = architecture("t5").read_config
    for tied in (True, False):
        config = tiny_config("t5", tie_word_embeddings=tied)
        values = {key: value for key, value in config.items() if key != "model_type"}
        AutoConfig.for_model("t5", **values).save_pretrained(tmp_path)

        assert read(edgegen.author.checkpoint.read_json_object(tmp_path / "config.json")) == read(
            config
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"is_decoder": True}, "config.json has is_decoder=True, expected False"),
        ({"is_encoder_decoder": False}, "config.json has is_encoder_decoder=False, expected True"),
        ({"dense_act_fn": "relu"}, "config.json has dense_act_fn='relu', expected 'gelu_new'"),
        ({"d_model": None}, "config.json has no d_model, which the architecture needs"),
        (
            {"relative_attention_num_buckets": 7},
            "config.json has relative_attention_num_buckets=7 and "
            "relative_attention_max_distance=20, expected an even number of buckets, 4 or more, "
            "and a distance above half of it",
        ),
        (
            {"encoder_layers": 3},
            "config.json asks for features that edgegen does not author: encoder_layers=3",
        ),
    ],
)
def test_what_is_not_computed_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        architecture("t5").read_config(tiny_config("t5", **changes))

    assert raised.value.message == message
