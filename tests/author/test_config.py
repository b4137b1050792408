"""Every key of config.json is used, known to be harmless, or an error that names it."""

from __future__ import annotations

from typing import Any

import pytest

from edgegen.author.models import architecture
from edgegen.errors import ConfigError
from tests.hf import tiny_config

FULL = "full_attention"


def read(**changes: Any):
    config = {key: value for key, value in tiny_config(**changes).items() if value is not ...}
    return architecture(config.get("model_type")).read_config(config)


def test_defaults_are_those_of_transformers() -> None:
    config = read(num_key_value_heads=..., head_dim=..., rms_norm_eps=..., rope_theta=...)

    assert (config.num_key_value_heads, config.head_dim) == (6, 16)
    assert (config.norm_eps, config.rope[FULL].rope_theta, config.hidden_act) == (
        1e-6,
        10000.0,
        "silu",
    )


def test_rope_is_read_from_the_older_and_the_newer_place() -> None:
    scaling = {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    older = read(rope_theta=5e5, rope_scaling={"type": "llama3", **scaling})
    newer = read(
        rope_theta=..., rope_parameters={"rope_type": "llama3", "rope_theta": 5e5, **scaling}
    )

    assert older == newer
    assert older.rope[FULL].original_max_position_embeddings == 64


def test_what_config_asks_with_null_is_not_asked() -> None:
    assert read(sliding_window=None, rope_scaling=None) == read()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"sliding_window": 4096}, "sliding_window=4096"),
        ({"logit_scale": 0.5, "qk_norm": True}, "logit_scale=0.5, qk_norm=True"),
        ({"hidden_size": ...}, "no hidden_size"),
        ({"hidden_size": "96"}, "hidden_size='96', expected a whole number from 1 to"),
        ({"hidden_size": True}, "hidden_size=True, expected a whole number from 1 to"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0, expected a whole number from 1 to"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps='small', expected a number"),
        ({"rms_norm_eps": float("nan")}, "expected a positive number of ordinary size"),
        ({"rope_theta": 10**400}, "rope_theta=1000"),
        ({"rope_theta": 10**9000}, "rope_theta=a huge number"),
        ({"vocab_size": 10**18}, "expected a whole number from 1 to 16777216"),
        (
            {
                "rope_parameters": {"rope_type": "default"},
                "rope_scaling": {"rope_type": "linear", "factor": 2.0},
            },
            "rope_parameters and rope_scaling, and they say different things",
        ),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings=1, expected true or false"),
        ({"hidden_act": "swish9"}, "hidden_act='swish9', expected one of gelu"),
        ({"rope_interleaved": True}, "rope_interleaved=True, expected False"),
        ({"rope_scaling": "linear"}, "rope_scaling='linear', expected an object"),
        ({"rope_scaling": {"rope_type": "spiral", "factor": 2.0}}, "rope_type='spiral'"),
        (
            {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "mscale": 1.0}},
            "rope_parameters in config.json asks for features that edgegen does not author: "
            "mscale=1.0",
        ),
        ({"num_key_value_heads": 4}, "not a multiple of num_key_value_heads=4"),
        ({"head_dim": 15}, "head_dim=15, expected an even number"),
        ({"quantization_config": {"bits": 4}}, "already quantized"),
        ({"auto_map": {"AutoModel": "modeling.Mine"}}, "its own modelling code"),
        ({"model_type": 7}, "model_type=7, expected a name"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5, but models of type llama"),
        (
            {"rope_scaling": {"type": "yarn", "factor": 2.0}, "rope_theta": 1.0},
            "rope_theta=1 with rope_type yarn, expected a number above 1",
        ),
        ({"num_attention_heads": 1 << 15}, "expected a whole number from 1 to 1024"),
        ({"head_dim": 1 << 15}, "expected a whole number from 1 to 2048"),
        ({"soup": "x" * 1000}, "soup='xxxx"),
    ],
)
def test_config_is_refused_by_name_and_value(changes: dict[str, Any], found: str) -> None:
    config = {k: v for k, v in {**tiny_config(), **changes}.items() if v is not ...}
    with pytest.raises(ConfigError) as raised:  # noqa: PT012 - either step may be the one
        chosen = architecture(config["model_type"])
        chosen.read_config(config)
    assert found in raised.value.message
    assert raised.value.hint


def test_an_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="does not author the architecture 'llamma'") as raised:
        architecture("llamma")
    assert "did you mean 'llama'?" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("model_type", "entries", "accepted"),
    [
        ("phi3", {"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"}, True),
        ("phi3", {"AutoTokenizer": "mine.Tokenizer"}, True),
        ("phi3", {"AutoModelForSequenceClassification": "mine.Classifier"}, True),
        ("phi3", {"AutoModelForCausalLM": "modeling_mine.Mine"}, False),
        ("phi3", {"AutoModelForSeq2SeqLM": "modeling_mine.Mine"}, False),
        ("t5", {"AutoModelForSeq2SeqLM": "modeling_mine.MyT5"}, False),
        ("t5", {"AutoModelForSeq2SeqLM": "modeling_t5.T5ForConditionalGeneration"}, True),
        ("llama", {"AutoModelForCausalLM": "modeling_llama.LlamaForCausalLM"}, False),
    ],
)
def test_code_of_a_checkpoint_counts_only_under_the_names_that_transformers_has(
    model_type: str, entries: dict[str, str], accepted: bool
) -> None:
    config = {**tiny_config(model_type), "auto_map": entries}
    if accepted:
        architecture(model_type).read_config(config)
        return
    with pytest.raises(ConfigError, match="its own modelling code"):
        architecture(model_type).read_config(config)


def test_a_feed_forward_size_out_of_all_bounds_is_refused() -> None:
    config = tiny_config("lfm2", block_auto_adjust_ff_dim=True, block_ffn_dim_multiplier=1e25)
    with pytest.raises(ConfigError, match="a feed-forward size of"):
        architecture("lfm2").read_config(config)


@pytest.mark.parametrize(
    ("model_type", "key"),
    [
        ("t5", "num_decoder_layers"),
        ("t5", "num_heads"),
        ("t5", "relative_attention_num_buckets"),
        ("lfm2", "conv_L_cache"),
        ("qwen3_moe", "num_experts"),
        ("gemma3n_text", "altup_num_inputs"),
    ],
)
def test_counts_are_bounded_before_anything_is_built(model_type: str, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}=1048576, expected a whole number"):
        architecture(model_type).read_config(tiny_config(model_type, **{key: 1 << 20}))
