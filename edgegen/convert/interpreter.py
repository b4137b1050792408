"""Running a converted model's signatures on this machine, for checks of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from edgegen.author.layers.mask import MASKED
from edgegen.contract import (
    CACHE_PREFIXES,
    DECODE,
    INPUT_POS,
    LOGITS,
    MASK,
    PARAM_TENSOR,
    PARAM_TENSOR_SHAPE,
    TOKENS,
    prefill_length,
    prefill_signature,
)
from edgegen.convert.spec import prefill_chunks
from edgegen.errors import ConversionError


class TfliteSession:
    """One conversation with a converted model: a KV cache that prefill and decode extend.

    Args:
        path: A `.tflite` with the signatures of `edgegen.contract`.
        num_threads: Threads of the CPU kernels; `None` leaves the choice to the runtime.
    """

    def __init__(self, path: Path, *, num_threads: int | None = None) -> None:
        self._interpreter = Interpreter(model_path=str(path), num_threads=num_threads)
        signatures = self._interpreter.get_signature_list()
        self.prefill_lens = tuple(
            sorted(n for n in map(prefill_length, signatures) if n is not None)
        )
        if DECODE not in signatures or not self.prefill_lens:
            raise ConversionError(
                f"{path} has signatures {sorted(signatures)}, expected prefill_N and decode",
                "convert the checkpoint again with `edgegen build`",
            )
        self._runners = {name: self._interpreter.get_signature_runner(name) for name in signatures}
        details = self._runners[DECODE].get_input_details()
        self._cache: dict[str, npt.NDArray[Any]] = {
            name: np.zeros(item["shape"], item["dtype"])
            for name, item in details.items()
            if name.startswith(CACHE_PREFIXES)
        }
        self._has_params = PARAM_TENSOR in details
        self._kv_cache_len = int(details[MASK]["shape"][-1]) if MASK in details else None
        self.position = 0

    def prefill(self, tokens: Sequence[int]) -> None:
        """Put `tokens` into the cache with the calls that LiteRT-LM would make."""
        for start, length in prefill_chunks(len(tokens), self.prefill_lens):
            part = list(tokens[start : start + length])
            padded = np.zeros((1, length), np.int32)
            padded[0, : len(part)] = part
            positions = np.zeros(length, np.int32)
            positions[: len(part)] = np.arange(len(part)) + self.position
            self._run(prefill_signature(length), padded, positions, len(part))
            self.position += len(part)

    def decode(self, token: int) -> npt.NDArray[np.float32]:
        """Put one token into the cache and return the logits `[V]` after it."""
        found = self._run(
            DECODE, np.array([[token]], np.int32), np.array([self.position], np.int32), 1
        )
        self.position += 1
        logits: npt.NDArray[np.float32] = found[LOGITS].reshape(-1)
        return logits

    def score(self, tokens: Sequence[int], prompt_tokens: int) -> npt.NDArray[np.float32]:
        """Return the logits `[T - prompt_tokens, V]` after each token past the prompt."""
        self.prefill(tokens[:prompt_tokens])
        return np.stack([self.decode(token) for token in tokens[prompt_tokens:]])

    def _run(
        self,
        signature: str,
        tokens: npt.NDArray[np.int32],
        positions: npt.NDArray[np.int32],
        count: int,
    ) -> dict[str, Any]:
        """Run a signature on tokens of which the first `count` are real."""
        outputs: dict[str, Any] = self._runners[signature](**self._inputs(tokens, positions, count))
        self._cache = {name: outputs[name] for name in self._cache}
        return outputs

    def _inputs(
        self, tokens: npt.NDArray[np.int32], positions: npt.NDArray[np.int32], count: int
    ) -> dict[str, npt.NDArray[Any]]:
        inputs = {TOKENS: tokens, INPUT_POS: positions, **self._cache}
        if self._has_params:
            params = np.zeros(PARAM_TENSOR_SHAPE, np.int32)
            params[..., 0] = self.position
            params[..., 1:3] = self.position + count
            inputs[PARAM_TENSOR] = params
        if self._kv_cache_len is not None:
            hidden = np.arange(self._kv_cache_len) > positions[:, None]
            inputs[MASK] = np.where(hidden, MASKED, 0).astype(np.float32)[None, None]
        return inputs
