"""Running one text through a converted model in several ways, and looking into its caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgegen.contract import prefill_length, prefill_signature
from edgegen.convert.interpreter import TfliteSession
from edgegen.convert.parity import Parity, compare_logits

TOKEN_BY_TOKEN = "token by token"


class ReplaySession(TfliteSession):
    """A session that can begin anew, with fewer of its prefill signatures.

    Args:
        path: As `TfliteSession`.
        num_threads: As `TfliteSession`.
    """

    def __init__(self, path: Path, *, num_threads: int | None = None) -> None:
        super().__init__(path, num_threads=num_threads)
        self.all_prefill_lens = self.prefill_lens

    @property
    def caches(self) -> dict[str, npt.NDArray[np.float32]]:
        """Each cache by its name, as the last call left it."""
        return dict(self._cache)

    def restart(self, prefill_lens: Sequence[int] | None = None) -> None:
        """Forget the conversation; of the prefill signatures use `prefill_lens` alone."""
        self._cache = {name: np.zeros_like(cache) for name, cache in self._cache.items()}
        self.position = 0
        self.prefill_lens = tuple(sorted(prefill_lens or self.all_prefill_lens))


@dataclass(frozen=True)
class PrefillParity:
    """The same prompt put into the cache in two ways, and the logits of what follows it.

    Attributes:
        reference: `token by token`, or the prefill signature.
        compared: The other prefill signature.
        prompt_tokens: Tokens of the prompt.
        parity: Logits of the tokens after the prompt.
    """

    reference: str
    compared: str
    prompt_tokens: int
    parity: Parity

    @property
    def compared_len(self) -> int | None:
        """T of the other prefill signature."""
        return prefill_length(self.compared)


def compare_prefills(
    session: ReplaySession, tokens: Sequence[int], prompt_tokens: int, kv_cache_len: int
) -> tuple[PrefillParity, ...]:
    """Compare each prefill signature with decoding token by token, and with each other.

    A signature whose padding would overrun the cache is left out.
    """
    logits: dict[str, npt.NDArray[np.float32]] = {}
    session.restart()
    logits[TOKEN_BY_TOKEN] = session.score(tokens, 0)[prompt_tokens:]
    for length in session.all_prefill_lens:
        if -(-prompt_tokens // length) * length <= kv_cache_len:
            session.restart((length,))
            logits[prefill_signature(length)] = session.score(tokens, prompt_tokens)
    names = list(logits)
    return tuple(
        PrefillParity(a, b, prompt_tokens, compare_logits(logits[a], logits[b]))
        for place, a in enumerate(names)
        for b in names[place + 1 :]
    )
