"""The bundle under examination: what several checks need, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgegen.bundle.contents import Bundle
from edgegen.bundle.dimensions import Dimensions, dimensions_of
from edgegen.bundle.doctor.graph import SignatureGraph, read_graphs
from edgegen.bundle.flatbuffer import Signature, WeightStorage, read_model
from edgegen.bundle.formats import open_bundle
from edgegen.bundle.tokenizer import SentencePieceTokenizer
from edgegen.bundle.tokenizers.mapped import MappedTokenizer
from edgegen.contract import TASK_MODEL

GIB = 1024**3


@dataclass(frozen=True)
class Limits:
    """What a check's own processes may take.

    Attributes:
        timeout_s: Seconds for each.
        memory_bytes: Bytes of memory of its own for each (RLIMIT_DATA); mapped files are not
            counted.
    """

    timeout_s: float = 300.0
    memory_bytes: int = 16 * GIB


@dataclass(frozen=True)
class Settings:
    """How thoroughly to look, and with what.

    Attributes:
        deep: Read every byte of the file, too.
        limits: For the processes of engines.
        web_engine: Folder of MediaPipe's web engine; `None` where there is none.
    """

    deep: bool = False
    limits: Limits = Limits()
    web_engine: Path | None = None


class Subject:
    """A bundle and what has been read of it so far.

    Every attribute raises `EdgegenError` where the bundle does not have it in a readable form.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self.settings = settings
        self.greedy: dict[str, list[Any]] = {}  # kept by `reference.greedy_reference`

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle, opened."""
        return open_bundle(self.path)

    @cached_property
    def tokenizer(self) -> Any:
        """Its tokenizer, as the engine that it is meant for reads it."""
        found = self.bundle.tokenizer
        if self.maps_bytes and isinstance(found, SentencePieceTokenizer):
            return MappedTokenizer(found.path, found.proto)
        return found

    @property
    def maps_bytes(self) -> bool:
        """Whether METADATA has MediaPipe's engine map bytes; LiteRT-LM passes over that."""
        return self.bundle.parameters.enable_bytes_to_unicode_mapping

    @cached_property
    def graphs(self) -> Mapping[str, SignatureGraph]:
        """The model's signatures, with their operators."""
        found = read_graphs(self.path, self.bundle.model_span)
        return {graph.name: graph for graph in found}

    @cached_property
    def _model(self) -> tuple[tuple[Signature, ...], tuple[WeightStorage, ...]]:
        # After `graphs`, which knows bounds.
        assert self.graphs is not None
        return read_model(self.path, self.bundle.model_span)

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The model's signatures, with what goes in and out."""
        return {signature.name: signature for signature in self._model[0]}

    @property
    def weights(self) -> tuple[WeightStorage, ...]:
        """What the model stores."""
        return self._model[1]

    @cached_property
    def dimensions(self) -> Dimensions:
        """The model's sizes."""
        return dimensions_of(tuple(self.signatures.values()))

    @property
    def backends(self) -> tuple[str, ...]:
        """Backends that the bundle names for its model; empty where it leaves that open."""
        return tuple(self.bundle.hints.backend_constraints.get(TASK_MODEL, ()))

    @property
    def promises_gpu(self) -> bool:
        """Whether the bundle itself says that it runs on a GPU."""
        return any(name.startswith("gpu") for name in self.backends)

    @property
    def excludes_gpu(self) -> bool:
        """Whether the bundle itself says that it does not."""
        return bool(self.backends) and not self.promises_gpu
