"""What the engines must say: transformers, and torch with a recipe's stored weights."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

import edgegen
from edgegen.author.tensor_source import TensorSource
from edgegen.bundle import SentencePieceTokenizer, open_tokenizer


@dataclass(frozen=True)
class Greedy:
    """A greedy continuation.

    Attributes:
        ids: The tokens, stop token included where there is one.
        margins: For each token the lead of its logit over the next best.
        text: What the tokens spell, without the stop token.
    """

    ids: tuple[int, ...]
    margins: tuple[float, ...]
    text: str

    def agrees_with(self, text: str, tokenizer: SentencePieceTokenizer) -> int:
        """Count the leading tokens that `text` spells, too."""
        spelled = (tokenizer.decode(list(self.ids[: n + 1])) for n in range(len(self.ids)))
        return next((n for n, t in enumerate(spelled) if not text.startswith(t)), len(self.ids))


@dataclass
class Reference:
    """transformers' model of a checkpoint folder in float32, with its tokenizer."""

    model: PreTrainedModel
    tokenizer: SentencePieceTokenizer
    known: dict[tuple[str, int], Greedy] = field(default_factory=dict)

    def prompt_ids(self, prompt: str) -> list[int]:
        return [self.model.config.bos_token_id, *self.tokenizer.encode(prompt)]

    @torch.no_grad()
    def greedy(self, prompt: str, tokens: int) -> Greedy:
        if (prompt, tokens) not in self.known:
            ids = torch.tensor([self.prompt_ids(prompt)])
            out = self.model.generate(
                ids,
                do_sample=False,
                max_new_tokens=tokens,
                pad_token_id=2,
                output_logits=True,
                return_dict_in_generate=True,
            )
            made = out.sequences[0, ids.shape[1] :].tolist()
            best = torch.cat(out.logits).topk(2).values
            stop = self.model.generation_config.eos_token_id
            self.known[prompt, tokens] = Greedy(
                tuple(made),
                tuple((best[:, 0] - best[:, 1]).tolist()),
                self.tokenizer.decode([token for token in made if token != stop]),
            )
        return self.known[prompt, tokens]


@functools.cache
def hf_reference(checkpoint: Path) -> Reference:
    """Open a checkpoint with transformers, as its author meant it."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    for name in ("temperature", "top_k", "top_p"):  # greedy search would warn about them
        setattr(model.generation_config, name, None)
    return Reference(model, open_tokenizer(checkpoint))


def with_weights(checkpoint: Path, sources: Mapping[str, TensorSource]) -> Reference:
    """Open a checkpoint with transformers, and put other values in place of its weights."""
    reference = copy.deepcopy(hf_reference(checkpoint))
    reference.known.clear()
    stored_names = edgegen.author_model(edgegen.open_checkpoint(checkpoint)).sources
    parameters = dict(reference.model.named_parameters())
    with torch.no_grad():
        for name, entry in sources.items():
            parameters[stored_names[name].name].copy_(torch.from_numpy(entry.read()))
    return reference
