"""A tiny random checkpoint of each architecture, with the shipped model's tokenizer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import edgegen
from edgegen import demo
from edgegen.author import AuthoredModel
from edgegen.author.decoder import Decoder
from edgegen.author.models import ARCHITECTURES, architecture
from edgegen.author.tensor_source import TensorSource
from edgegen.bundle import SentencePieceTokenizer, open_tokenizer
from tests.engines.reference import Greedy
from tests.hf import save_checkpoint, tiny_config

DECODERS = [name for name in ARCHITECTURES if architecture(name).KIND == "decoder"]
OTHERS = [name for name in ARCHITECTURES if name not in DECODERS]
_TOKENIZER_FILES = ("tokenizer.model", "tokenizer_config.json", "generation_config.json")


def save_with_tokenizer(folder: Path, model_type: str) -> Path:
    """Write the architecture's tiny model, with a vocabulary that the tokenizer can spell."""
    vocab_size = open_tokenizer(demo.CHECKPOINT).vocab_size
    changes = {
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "vocab_size": vocab_size,
        "vocab_size_per_layer_input": vocab_size,
        # Past it longrope turns all that was said before anew, which no cache can follow:
        # transformers then starts again, the engines go on.
        "original_max_position_embeddings": 64,
        "max_position_embeddings": 128,
    }
    config = tiny_config(model_type)
    text = config.get("text_config", config)
    ours = ("bos_token_id", "eos_token_id", "pad_token_id")
    text = {**text, **{key: v for key, v in changes.items() if key in text or key in ours}}
    save_checkpoint(folder, {**config, "text_config": text} if "text_config" in config else text)
    for name in _TOKENIZER_FILES:
        shutil.copy(demo.CHECKPOINT / name, folder / name)
    return folder


def save_random(folder: Path, name: str) -> None:
    """Write the tiny model of an architecture that is no decoder, as its authors would."""
    from tests.author import test_unet
    from tests.author.models import test_gemma3_embedding, test_t5

    config = tiny_config(name)
    match name:
        case "t5":
            test_t5.save_random(folder, config)
        case "gemma3_embedding":
            test_gemma3_embedding.save_encoder(folder, config)
            test_gemma3_embedding.save_modules(folder)
        case _:
            test_unet.save_checkpoint(folder, config, seed=0)


@dataclass
class AuthoredReference:
    """The authored module in float32, perhaps with other weights than its own.

    `tests/author/test_parity.py` shows that the module is transformers' own.
    """

    model: AuthoredModel
    state: dict[str, torch.Tensor]
    tokenizer: SentencePieceTokenizer

    @classmethod
    def of(
        cls, folder: Path, sources: Mapping[str, TensorSource] | None = None
    ) -> AuthoredReference:
        model = edgegen.author_model(edgegen.open_checkpoint(folder))
        state = {
            name: torch.from_numpy(source.read())
            for name, source in (sources or model.sources).items()
        }
        return cls(model, state, open_tokenizer(folder))

    @torch.no_grad()
    def greedy(self, prompt: str, count: int) -> Greedy:
        decoder = self.model.module
        assert isinstance(decoder, Decoder)
        ids = [1, *self.tokenizer.encode(prompt)]
        caches = decoder.empty_caches(len(ids) + count)
        made: list[int] = []
        margins: list[float] = []
        call: Sequence[int] = ids
        position = 0
        while len(made) < count and (not made or made[-1] != 2):
            positions = torch.arange(position, position + len(call), dtype=torch.int32)
            logits, caches = torch.func.functional_call(
                decoder, self.state, (torch.tensor([call], dtype=torch.int32), positions, caches)
            )
            best = logits[0, -1].topk(2)
            made.append(int(best.indices[0]))
            margins.append(float(best.values[0] - best.values[1]))
            position += len(call)
            call = made[-1:]
        text = self.tokenizer.decode([token for token in made if token != 2])
        return Greedy(tuple(made), tuple(margins), text)
