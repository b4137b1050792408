"""Whether and how tokens are drawn, as checkpoints and users say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgegen.bundle import SentencePieceTokenizer, generation_parameters
from edgegen.bundle.parameters import Sampler
from tests.bundle.test_generation import PLAIN, checkpoint


@pytest.mark.parametrize(
    ("generation", "do_sample"),
    [
        ({"temperature": 0.6}, False),
        ({"top_p": 0.9, "do_sample": None}, False),
        ({"top_k": 40, "do_sample": True}, True),
        ({"max_length": 100}, None),
    ],
)
def test_without_do_sample_a_checkpoint_is_greedy_as_in_transformers(
    tokenizer: SentencePieceTokenizer, generation: dict[str, Any], do_sample: bool | None
) -> None:
    found = generation_parameters(checkpoint(PLAIN, generation), tokenizer)

    assert found.sampler.do_sample is do_sample
    source = {False: "transformers' default", True: "generation_config.json", None: None}
    assert found.sources.get("sampler.do_sample") == source[do_sample]


def test_transformers_draws_nothing_without_do_sample() -> None:
    """What the test before this one rests on."""
    from transformers import GenerationConfig

    assert not GenerationConfig.from_dict({"temperature": 0.6, "top_k": 40}).do_sample


@pytest.mark.parametrize(
    ("given", "do_sample"),
    [
        ({"temperature": 0.7}, True),
        ({"top_k": 5}, True),
        ({"top_p": 0.5}, True),
        ({"temperature": 0.0}, False),
        ({"temperature": 0.7, "do_sample": False}, False),
        ({"temperature": 0.0, "do_sample": True}, True),
        ({"seed": 3}, False),  # what the checkpoint says
    ],
)
def test_who_names_a_temperature_wants_it_used(
    tokenizer: SentencePieceTokenizer, tmp_path: Path, given: dict[str, Any], do_sample: bool
) -> None:
    greedy = checkpoint(PLAIN, {"do_sample": False})
    own = tmp_path / "own.toml"
    own.write_text(
        "[sampler]\n" + "".join(f"{name} = {value}\n".lower() for name, value in given.items())
    )

    found = generation_parameters(greedy, tokenizer, **given)
    from_file = generation_parameters(greedy, tokenizer, toml=own)

    assert found.sampler.do_sample is from_file.sampler.do_sample is do_sample
    if "seed" not in given:
        assert found.sources["sampler.do_sample"] == "given"
        assert from_file.sources["sampler.do_sample"] == "own.toml"


def test_a_top_k_of_0_says_nothing(tokenizer: SentencePieceTokenizer) -> None:
    found = generation_parameters(checkpoint(PLAIN, {"top_k": 0}), tokenizer)

    assert found.sampler == Sampler()
