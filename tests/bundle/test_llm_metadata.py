"""LlmMetadata of a `.litertlm`: what it cannot say as it is said, and what is damaged."""

from __future__ import annotations

import dataclasses

import pytest

from edgegen.bundle import SentencePieceTokenizer
from edgegen.bundle.contents import RuntimeHints
from edgegen.bundle.parameters import Sampler
from edgegen.errors import BundleError
from tests.bundle.conftest import PARAMETERS


@pytest.mark.parametrize(
    ("sampler", "read_back"),
    [
        (Sampler(), Sampler()),
        (Sampler(do_sample=False, top_k=3), Sampler(do_sample=False)),
        (Sampler(temperature=0.0), Sampler(do_sample=False)),
        (
            Sampler(do_sample=True, top_k=20),
            Sampler(do_sample=True, temperature=1.0, top_k=20, top_p=1.0),
        ),
        (Sampler(seed=3), Sampler(do_sample=True, temperature=1.0, top_k=50, top_p=1.0, seed=3)),
    ],
)
def test_samplers_as_the_runtime_has_them(
    tokenizer: SentencePieceTokenizer, sampler: Sampler, read_back: Sampler
) -> None:
    from edgegen.bundle.llm_metadata import llm_metadata_bytes, parse_llm_metadata

    parameters = dataclasses.replace(PARAMETERS, sampler=sampler)
    data = llm_metadata_bytes(parameters, RuntimeHints(), None)

    assert parse_llm_metadata(data, tokenizer)[0].sampler == read_back


def test_tokens_by_id_are_read_as_pieces(tokenizer: SentencePieceTokenizer) -> None:
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    from edgegen.bundle.llm_metadata import parse_llm_metadata

    message = llm_metadata_pb2.LlmMetadata()
    message.start_token.token_ids.ids.append(1)
    message.stop_tokens.add().token_ids.ids.append(2)
    parameters, _ = parse_llm_metadata(message.SerializeToString(), tokenizer)
    assert (parameters.start_token, parameters.stop_tokens) == ("<s>", ("</s>",))

    message.stop_tokens.add().token_ids.ids.extend([5, 6])
    with pytest.raises(BundleError) as caught:
        parse_llm_metadata(message.SerializeToString(), tokenizer)
    assert caught.value.message == (
        "LlmMetadata names a token of several ids, [5, 6], expected one"
    )


def test_damaged_metadata_is_told(tokenizer: SentencePieceTokenizer) -> None:
    from edgegen.bundle.llm_metadata import parse_llm_metadata

    with pytest.raises(BundleError) as caught:
        parse_llm_metadata(b"\xff\xff", tokenizer)
    assert caught.value.message.startswith("LlmMetadata (2 bytes) is damaged: ")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("temperature", float("nan"), "temperature is out of range, expected 0 to 100"),
        ("p", 1.5, "top_p is out of range, expected 0 to 1"),
        ("k", -3, "top_k is out of range, expected 1 to 2147483647"),
        ("seed", -5, "seed is out of range, expected 0 to 2147483647"),
    ],
)
def test_samplers_that_cannot_be_are_refused(
    tokenizer: SentencePieceTokenizer, field: str, value: float, says: str
) -> None:
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    from edgegen.bundle.llm_metadata import parse_llm_metadata

    message = llm_metadata_pb2.LlmMetadata()
    sampler = message.sampler_params
    sampler.type, sampler.k, sampler.p, sampler.temperature = sampler.TOP_P, 40, 0.9, 1.0
    setattr(sampler, field, value)
    with pytest.raises(BundleError) as caught:
        parse_llm_metadata(message.SerializeToString(), tokenizer)
    assert caught.value.message == f"LlmMetadata says what cannot be: {says}"
