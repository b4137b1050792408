"""The first operator that departs is named, whatever it is; where none departs, none is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgegen
from edgegen.author import AuthoredModel
from edgegen.author.decoder import Decoder
from edgegen.author.layers import attention
from edgegen.author.layers.activations import ACTIVATIONS
from edgegen.author.layers.kv_cache import update_k, update_v
from edgegen.author.layers.mask import MASKED, CausalMask
from edgegen.author.layers.rope import make_rope
from edgegen.author.rope_parameters import RopeParameters
from edgegen.author.tensor_source import TensorSource
from edgegen.contract import LOGITS, RMS_NORM, SWIGLU
from edgegen.convert import ExportSpec, TfliteModel, convert_recipes
from edgegen.convert.departure import Departure, LayerDeparture
from edgegen.convert.op_departure import OperatorDeparture, find_op_departure
from edgegen.convert.operator_trace import EXACT, relative_distance
from edgegen.convert.replay import ReplaySession
from edgegen.convert.tapped_model import TappedSession
from tests.hf import save_checkpoint, tiny_config

RECIPES = ("none", "dynamic_wi8_afp32")
TOKENS = [int(i * 37 % 96) for i in range(40)]
POSITION = 20
CACHES = {layer: (f"kv_cache_k_{layer}", f"kv_cache_v_{layer}") for layer in range(4)}
EVERYTHING = (*(name for names in CACHES.values() for name in names), LOGITS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama") / "hf"
    config = tiny_config(
        "llama", num_hidden_layers=4, max_position_embeddings=128, tie_word_embeddings=False
    )
    save_checkpoint(folder, config)
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, TfliteModel]:
    model = edgegen.author_model(edgegen.open_checkpoint(folder))
    outputs = {recipe: folder.parent / f"{recipe}.tflite" for recipe in RECIPES}
    return convert_recipes(model, outputs, spec=ExportSpec((16,), 64))


@pytest.fixture
def model(folder: Path) -> AuthoredModel:
    """Torch's side, of which each test may spoil its own."""
    return edgegen.author_model(edgegen.open_checkpoint(folder))


Find = Callable[..., OperatorDeparture | None]


@pytest.fixture
def find(made: dict[str, TfliteModel], tmp_path: Path) -> Find:
    def find(
        model: AuthoredModel, recipe: str, outputs: tuple[str, ...], **options: Any
    ) -> OperatorDeparture | None:
        sources = {**made[recipe].grid_sources, **options.pop("sources", {})}
        return find_op_departure(
            made[recipe].path,
            model,
            TOKENS,
            POSITION,
            outputs,
            sources=sources,
            scratch=tmp_path,
            num_threads=1,
            **options,
        )

    return find


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_is_named_where_nothing_departs(
    model: AuthoredModel, find: Find, recipe: str
) -> None:
    assert find(model, recipe, EVERYTHING) is None
    assert find(model, recipe, EVERYTHING[:-1], prefill_len=16) is None


# Of those with operators or caches of their own.
ODD = [
    *((name, ()) for name in ("falcon", "gemma2", "gemma3n", "gpt2", "lfm2", "phi", "qwen3_moe")),
    ("llama", (RMS_NORM, SWIGLU)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model_type", "composites"), ODD)
def test_nothing_departs_in_other_models(
    tmp_path: Path, model_type: str, composites: tuple[str, ...]
) -> None:
    save_checkpoint(tmp_path / "hf", tiny_config(model_type))
    model = edgegen.author_model(edgegen.open_checkpoint(tmp_path / "hf"))
    outputs = {recipe: tmp_path / f"{recipe}.tflite" for recipe in RECIPES}
    made = convert_recipes(model, outputs, spec=ExportSpec((16,), 64, composites))
    decoder = model.module
    assert isinstance(decoder, Decoder)
    caches = [name for names in decoder.cache_names() for name in names]
    for one in made.values():
        for prefill_len, names in ((None, [*caches, LOGITS]), (16, caches)):
            found = find_op_departure(
                one.path,
                model,
                TOKENS,
                POSITION,
                names,
                sources=one.grid_sources,
                scratch=tmp_path,
                prefill_len=prefill_len,
                num_threads=1,
            )
            assert found is None, (one.recipe, prefill_len, found)


def test_it_is_said_that_nothing_was_found() -> None:
    first = LayerDeparture(1, "k", 0.5, 0.3, "kv_cache_k_1", POSITION)
    found = Departure("token by token", (first,), (first,))
    assert (found.outputs, found.position) == (("kv_cache_k_1",), POSITION)
    assert found.told == "layer 1 is the first to depart (token by token): k by up to 0.5"
    searched = replace(found, searched=POSITION)
    assert searched.told == (f"{found.told}; in the call of token {POSITION} every operator agrees")


# --- one fault each ----------------------------------------------------------------------


def turn_layer_3_otherwise(module: Any) -> None:
    module.ropes["other"] = make_rope(
        module.layers[3].self_attn.head_dim, RopeParameters(rope_theta=100.0)
    )
    module.layers[3].self_attn.rope = "other"


def widen_epsilon(module: Any) -> None:
    module.layers[2].input_layernorm.eps = 0.3


def widen_last_epsilon(module: Any) -> None:
    module.norm.eps = 0.3


def swap_activation(module: Any) -> None:
    module.layers[1].mlp.activation = ACTIVATIONS["gelu"]


def scale_scores(module: Any) -> None:
    module.layers[0].self_attn.scale *= 1.5


def see_four_slots(module: Any) -> None:
    module.masks["full_attention"] = CausalMask(4)


def enlarge_logits(module: Any) -> None:
    module.logit_multiplier = 1.5


FAULTS = {
    turn_layer_3_otherwise: ("kv_cache_k_3", "mul", "layers.3.self_attn", "rope.py", "angles"),
    widen_epsilon: ("kv_cache_v_2", "add", "layers.2.input_layernorm", "norm.py", "_normalize"),
    widen_last_epsilon: (LOGITS, "add", "norm", "norm.py", "_normalize"),
    swap_activation: ("kv_cache_k_2", "gelu", "layers.1.mlp", "mlp.py", "forward"),
    scale_scores: ("kv_cache_v_1", "mul", "layers.0.self_attn", "sdpa.py", "sdpa"),
    see_four_slots: ("kv_cache_k_1", "sub", "layers.0.self_attn", "mask.py", "__call__"),
    enlarge_logits: (LOGITS, "mul", "the decoder", "decoder.py", "adjust_logits"),
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_operator_is_named(
    model: AuthoredModel, find: Find, fault: Callable[[Any], None], recipe: str
) -> None:
    output, operator, module, file, function = FAULTS[fault]
    fault(model.module)

    found = find(model, recipe, (output,))

    assert found is not None
    assert (found.operator, found.module) == (operator, module)
    assert found.source.startswith("author/")
    assert f"{file}:" in found.source
    assert found.source.endswith(f", {function}")
    assert (found.signature, found.position) == ("decode", POSITION)
    assert found.nearest is None or found.nearest > EXACT
    assert found.told == f"the first operator to depart is {operator} of {module} ({found.source})"


class Rolled(TensorSource):
    """A tensor whose rows are shifted."""

    def __init__(self, source: TensorSource) -> None:
        self.source = source
        self.name, self.shape = source.name, source.shape

    def read_rows(self, start: int, stop: int) -> np.ndarray:
        return np.roll(self.source.read(), 3, 0)[start:stop]

    def require_float(self) -> None:
        self.source.require_float()


MATRICES = {
    "layers.2.self_attn.v_proj": CACHES[2],
    "layers.1.self_attn.q_proj": CACHES[2],
    "layers.0.self_attn.o_proj": CACHES[1],
    "layers.1.mlp.up_proj": CACHES[2],
    "layers.3.mlp.down_proj": (LOGITS,),
    "lm_head": (LOGITS,),
    "embed_tokens": CACHES[0],
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("matrix", MATRICES)
def test_a_wrong_matrix_is_named(
    made: dict[str, TfliteModel], model: AuthoredModel, find: Find, matrix: str, recipe: str
) -> None:
    name = f"{matrix}.weight"
    wrong = {name: Rolled(made[recipe].grid_sources[name])}

    found = find(model, recipe, MATRICES[matrix], sources=wrong)

    assert found is not None
    if matrix == "lm_head":  # whose matrix the decoder multiplies with by itself
        assert (found.operator, found.module) == ("mm", "the decoder")
        assert found.source.endswith(", head")
    else:
        expected = "embedding" if matrix == "embed_tokens" else "mm"
        assert (found.operator, found.module) == (expected, matrix)


def test_an_operator_is_named_in_a_prefill_signature(model: AuthoredModel, find: Find) -> None:
    turn_layer_3_otherwise(model.module)
    found = find(model, "none", ("kv_cache_k_3",), prefill_len=16)
    assert found is not None
    assert (found.operator, found.module) == ("mul", "layers.3.self_attn")
    assert (found.signature, found.position) == ("prefill_16", 16)


def test_a_wrong_rearrangement_is_named_at_the_next_operator_or_the_output(
    model: AuthoredModel, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swapped(cache: Any, k: Any, v: Any, step: Any) -> Any:
        v = torch.cat([v[:, :, 1:], v[:, :, :1]], dim=2)
        return update_k(cache[0], k, step.start), update_v(cache[1], v, step.start)

    monkeypatch.setattr(attention, "update_kv", swapped)

    at_the_output = find(model, "none", ("kv_cache_v_0",))
    assert at_the_output is not None
    assert at_the_output.operator == "dynamic_update_slice"
    assert at_the_output.module == "layers.0.self_attn"
    later = find(model, "none", ("kv_cache_v_1",))
    assert later is not None
    assert (later.operator, later.module) == ("bmm_4d", "layers.0.self_attn")


# --- how they are told apart ---------------------------------------------------------------


def test_beside_masked_slots_small_differences_count() -> None:
    scores = np.array([1.0, 2.0, MASKED, MASKED + 1.5, MASKED], np.float32)
    other = np.array([1.0, 2.1, MASKED + 0.5, MASKED, MASKED], np.float32)
    seen = np.array([1.0, 2.0, 3.0, MASKED, MASKED], np.float32)
    assert relative_distance(scores, scores) == 0
    assert relative_distance(scores, other) == pytest.approx(0.1 / 5**0.5, rel=1e-5)
    assert relative_distance(scores, seen) == relative_distance(seen, scores) == np.inf
    assert relative_distance(scores, np.full(5, np.nan, np.float32)) == np.inf
    assert relative_distance(np.zeros(3), np.full(3, 2.0)) == pytest.approx(12**0.5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_looking_on_changes_nothing(
    made: dict[str, TfliteModel], tmp_path: Path, recipe: str
) -> None:
    tapped = TappedSession(made[recipe].path, "decode", tmp_path, num_threads=1)
    plain = ReplaySession(made[recipe].path, num_threads=1)
    np.testing.assert_array_equal(tapped.score(TOKENS, 16), plain.score(TOKENS, 16))
    call = tapped.last
    assert call is not None
    assert (call.tokens.item(), call.positions.item()) == (TOKENS[-1], 39)
    assert set(call.outputs) == set(EVERYTHING)
    assert sum(tap.rounds for tap in call.taps) == (0 if recipe == "none" else 29)
    # The cache before the call, and not after it.
    assert not call.caches["kv_cache_k_0"][:, :, 39:].any()
    assert call.outputs["kv_cache_k_0"][:, :, 39].any()
