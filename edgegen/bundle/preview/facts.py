"""What the page is told about a bundle, since it cannot look into one itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgegen import __version__
from edgegen.bundle import open_bundle
from edgegen.bundle.contents import Bundle
from edgegen.bundle.dimensions import read_dimensions
from edgegen.bundle.metadata import parse_metadata
from edgegen.bundle.parameters import Sampler
from edgegen.bundle.preview.web_engine import WebEngine
from edgegen.bundle.reading import read_member
from edgegen.bundle.task import MAX_METADATA_BYTES
from edgegen.contract import TASK_METADATA
from edgegen.errors import BundleError

ROLES = ("system", "user", "model")


@dataclass(frozen=True)
class BundleFacts:
    """What the page shows, and what it puts prompts together from.

    Attributes:
        path: The bundle, absolute.
        file_bytes: Its size.
        kv_cache_len: Tokens that a conversation may have.
        prefill_lens: Prompt lengths that have a signature, ascending.
        num_hidden_layers: Layers that have a KV cache.
        vocab_size: Logits per token.
        start_token: Piece that the engine puts before every prompt; may be empty.
        stop_tokens: Pieces, any of which ends the answer.
        template: For each of `ROLES` the text before and after what it says.
        system_prompt: What the model is told first, without prefix and suffix; may be empty.
        engine_system_prompt: What of it is in METADATA itself, where MediaPipe's engine finds it:
            it puts that before every prompt as it is. Empty, or the same as `system_prompt`.
        sampler: `temperature`, `top_k` and `seed` to begin with; those that nobody said are
            `None`. The engine has no `top_p`.
        max_output_tokens: Tokens of an answer to begin with, at most `kv_cache_len`.
    """

    path: Path
    file_bytes: int
    kv_cache_len: int
    prefill_lens: tuple[int, ...]
    num_hidden_layers: int
    vocab_size: int | None
    start_token: str
    stop_tokens: tuple[str, ...]
    template: dict[str, tuple[str, str]]
    system_prompt: str
    engine_system_prompt: str
    sampler: dict[str, float | int | None]
    max_output_tokens: int

    def for_page(self, engine: WebEngine) -> dict[str, Any]:
        """Return what the page reads, as values that JSON knows; without the folder's name."""
        return {
            **asdict(self),
            "path": None,
            "name": self.path.name,
            "engine_version": engine.version,
            "edgegen_version": __version__,
        }


def read_facts(path: str | Path) -> BundleFacts:
    """Read the facts of a `.task` bundle; no weights are read.

    Raises:
        BundleError: it is no bundle, damaged, or its model has no KV cache.
    """
    if Path(path).suffix == ".litertlm":
        raise BundleError(
            f"{path} is a .litertlm bundle, MediaPipe's web engine runs .task bundles",
            "make a .task of the same model and preview that",
        )
    bundle = open_bundle(path)
    dimensions = read_dimensions(bundle)
    if dimensions.kv_cache_len is None:
        raise BundleError(
            f"the model in {bundle.path} has no KV cache, expected one that decodes",
            "preview bundles of language models; `edgegen inspect` shows the signatures",
        )
    parameters = bundle.parameters
    return BundleFacts(
        path=bundle.path.resolve(),
        file_bytes=bundle.path.stat().st_size,
        kv_cache_len=dimensions.kv_cache_len,
        prefill_lens=dimensions.prefill_lens,
        num_hidden_layers=dimensions.num_hidden_layers,
        vocab_size=dimensions.vocab_size,
        start_token=parameters.start_token,
        stop_tokens=tuple(parameters.stop_tokens),
        template={
            role: (
                getattr(parameters, f"prompt_prefix_{role}"),
                getattr(parameters, f"prompt_suffix_{role}"),
            )
            for role in ROLES
        },
        system_prompt=parameters.system_prompt,
        engine_system_prompt=_engine_system_prompt(bundle),
        sampler=_sampler(parameters.sampler),
        max_output_tokens=min(
            parameters.max_output_tokens or dimensions.kv_cache_len, dimensions.kv_cache_len
        ),
    )


def _engine_system_prompt(bundle: Bundle) -> str:
    data = read_member(bundle.path, bundle.member(TASK_METADATA), MAX_METADATA_BYTES)
    return parse_metadata(data).system_prompt


def _sampler(said: Sampler) -> dict[str, float | int | None]:
    if said.do_sample is False or said.temperature == 0:
        return {"temperature": 0.0, "top_k": 1, "seed": said.seed}
    return {"temperature": said.temperature, "top_k": said.top_k, "seed": said.seed}
