"""The process that runs a model in the TFLite interpreter, alone: native code may abort.

Every token goes through `decode`, one after the other: slow, and free of anything that an engine
does around a model.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgegen.contract import (
    CACHE_PREFIXES,
    DECODE,
    INPUT_POS,
    LOGITS,
    MASK,
    PARAM_TENSOR,
    TOKENS,
)

_HIDDEN = -1e4

Floats = npt.NDArray[np.float64]


class Session:
    """One conversation with the model: a cache that each token extends."""

    def __init__(self, path: str, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._runner = Interpreter(model_path=path, num_threads=threads).get_signature_runner(
            DECODE
        )
        self._details = self._runner.get_input_details()
        self._cache: dict[str, npt.NDArray[Any]] = {}
        self._position = 0
        self.restart()

    def restart(self) -> None:
        """Forget the conversation."""
        self._position = 0
        self._cache = {
            name: np.zeros(item["shape"], item["dtype"])
            for name, item in self._details.items()
            if name.startswith(CACHE_PREFIXES)
        }

    def logits_after(self, token: int) -> Floats:
        """Put one token into the cache; return the logits `[V]` after it."""
        inputs: dict[str, Any] = {
            TOKENS: np.array([[token]], np.int32),
            INPUT_POS: np.array([self._position], np.int32),
            **self._cache,
        }
        if PARAM_TENSOR in self._details:
            params = np.zeros(self._details[PARAM_TENSOR]["shape"], np.int32)
            params[..., 0] = self._position
            params[..., 1:3] = self._position + 1
            inputs[PARAM_TENSOR] = params
        if MASK in self._details:
            shape, dtype = self._details[MASK]["shape"], self._details[MASK]["dtype"]
            seen = np.broadcast_to(np.arange(shape[-1]) <= self._position, shape)
            inputs[MASK] = seen if dtype == np.bool_ else np.where(seen, 0, _HIDDEN).astype(dtype)
        found = self._runner(**inputs)
        self._cache = {name: found[name] for name in self._cache}
        self._position += 1
        logits: Floats = found[LOGITS].reshape(-1).astype(np.float64)
        return logits


def greedy(session: Session, ids: list[int], count: int) -> dict[str, Any]:
    """Continue greedily; `leads` are those of the best logit over the next, in deviations."""
    session.restart()
    for token in ids:
        logits = session.logits_after(token)
    made: list[int] = []
    leads: list[float] = []
    while len(made) < count:
        second, first = np.partition(logits, -2)[-2:]
        made.append(int(logits.argmax()))
        leads.append(float((first - second) / (logits.std() or 1.0)))
        if len(made) < count:
            logits = session.logits_after(made[-1])
    return {"ids": made, "leads": leads}


def score(session: Session, ids: list[int]) -> dict[str, Any]:
    """Return for each token but the first its surprise and what the model expected it to be.

    Both in nats: `-log p` of the token, and the entropy of the distribution it was drawn from.
    """
    session.restart()
    surprise, expected = [], []
    for token, following in itertools.pairwise(ids):
        logged = _log_softmax(session.logits_after(token))
        surprise.append(float(-logged[following]))
        expected.append(float(-(np.exp(logged) * logged).sum()))
    return {"surprise": surprise, "expected": expected}


def sample(session: Session, ids: list[int], count: int, seed: int) -> dict[str, Any]:
    """Continue by drawing each token with its probability."""
    session.restart()
    generator = np.random.default_rng(seed)
    for token in ids:
        logits = session.logits_after(token)
    made: list[int] = []
    while len(made) < count:
        logged = _log_softmax(logits)
        made.append(int(generator.choice(len(logged), p=np.exp(logged))))
        logits = session.logits_after(made[-1])
    return {"ids": made}


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max()
    logged: Floats = shifted - np.log(np.exp(shifted).sum())
    return logged


_ACTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "greedy": greedy,
    "score": score,
    "sample": sample,
}


def main(answers_fd: int) -> None:
    """Serve the request on stdin and answer on `answers_fd`."""
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_die_with_parent, daemon=True).start()
    session = Session(request["model"], request["threads"])
    found = [_ACTIONS[name](session, **values) for name, values in request["calls"]]
    with os.fdopen(answers_fd, "w", encoding="utf-8") as answers:
        answers.write(json.dumps({"done": found}) + "\n")


def _die_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)
