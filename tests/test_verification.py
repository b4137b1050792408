"""The parity ladder: right models pass every rung, wrong ones fail theirs and are told where."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import edgegen
from edgegen import demo
from edgegen.author.reference import reference_logits
from edgegen.bundle import GenerateRequest
from edgegen.cli import main
from edgegen.convert import ExportSpec
from edgegen.convert.replay import ReplaySession, compare_prefills
from edgegen.ladder import Rung
from edgegen.provenance import provenance_path
from edgegen.verification import Verification, verify
from tests.engines.architectures import save_with_tokenizer
from tests.hf import save_checkpoint, tiny_config

SPEC = ExportSpec((16, 32), 64)
LENS: dict[str, Any] = {"prefill_lens": SPEC.prefill_lens, "kv_cache_len": SPEC.kv_cache_len}
COUNT = 40
# Of this the shipped model is sure, so that float16 can tip few words.
VERSE = "ROMEO:\nBut, soft! what light through yonder window breaks?\nIt is the east, and Juliet"
TOKENIZER = ("tokenizer.model", "tokenizer_config.json", "generation_config.json")
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": 2048}
FOUR = {**IDS, "num_hidden_layers": 4, "max_position_embeddings": 128}


def save_four_layers(folder: Path, model_type: str, **changes: Any) -> Path:
    save_checkpoint(folder, tiny_config(model_type, **FOUR, **changes))
    for name in TOKENIZER:
        shutil.copy(demo.CHECKPOINT / name, folder / name)
    return folder


def bundle_of(folder: Path, output: Path, recipe: str) -> Path:
    """Make a bundle without asking whether it is right."""
    edgegen.build(folder, output, recipe=recipe, check=False, **LENS)
    return output


def statuses(found: Verification) -> list[str]:
    return [rung.status for rung in found.rungs]


# --- right models ------------------------------------------------------------------------


# Each climbs the whole ladder: half a minute and more.
OFTEN = [("demo", "none"), ("demo", "dynamic_wi8_afp32")]
CLIMBS = [
    pytest.param(name, recipe, marks=[] if (name, recipe) in OFTEN else [pytest.mark.slow])
    for name in ("demo", "qwen3", "gemma2", "lfm2")
    for recipe in ("none", "dynamic_wi8_afp32")
]


@pytest.mark.parametrize(("name", "recipe"), CLIMBS)
def test_a_right_model_passes_every_rung(tmp_path: Path, name: str, recipe: str) -> None:
    folder = demo.CHECKPOINT
    if name != "demo":
        folder = save_with_tokenizer(tmp_path / "hf", name)  # the same at each call

    found = verify(folder, recipe=recipe, tokens=COUNT, **LENS)

    exact = recipe == "none"
    middle = ["skipped", "skipped"] if exact else ["measured", "passed"]
    assert statuses(found) == ["passed", "passed", *middle, "passed"], found.rungs
    assert found.passed
    assert found.tokens == COUNT
    converted = [rung for rung in found.rungs if rung.prefills]
    assert len(converted) == (1 if exact else 2)
    for rung in converted:
        assert [(one.reference, one.compared) for one in rung.prefills] == [
            ("token by token", "prefill_16"),
            ("token by token", "prefill_32"),
            ("prefill_16", "prefill_32"),
        ]
    for rung in found.rungs[:2]:
        assert rung.agreement is not None
        assert rung.agreement.max_abs_diff < 1e-3
        assert rung.agreement.first_diverging_token is None


@pytest.mark.parametrize("recipe", ["none", "dynamic_wi8_afp32"])
def test_a_bundle_with_caches_and_masks_of_another_kind_passes(tmp_path: Path, recipe: str) -> None:
    bundle = tmp_path / "m.task"
    edgegen.build(
        demo.CHECKPOINT,
        bundle,
        recipe=recipe,
        check=False,
        kv_cache_dtype="float16",
        mask_input=True,
        **LENS,
    )

    found = verify(demo.CHECKPOINT, bundle=bundle, tokens=COUNT)

    assert found.passed, found.rungs
    assert found.spec == ExportSpec((16, 32), 64, mask_input=True, kv_cache_dtype="float16")


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
def test_the_engine_may_run_on_the_gpu() -> None:
    found = verify(
        demo.CHECKPOINT,
        recipe="dynamic_wi8_afp32",
        text=VERSE,
        tokens=COUNT,
        delegate="gpu",
        **LENS,
    )
    assert statuses(found) == ["passed", "passed", "measured", "passed", "passed"]
    engine = found.rungs[4]
    assert engine.name == "TFLite > LiteRT-LM on gpu"
    agreeing, _, text = engine.why.partition(" tokens agree, to ")
    assert int(agreeing) >= 4
    assert len(text) > 4


def test_a_recipe_of_the_users_own(tmp_path: Path) -> None:
    """Its file is named in place of a recipe; what it leaves out stays float32."""
    recipe = tmp_path / "mine.json"
    entries = [{"pattern": "mlp", "weights": "int8"}, {"pattern": "embed", "weights": "float16"}]
    recipe.write_text(json.dumps(entries))

    found = verify(demo.CHECKPOINT, recipe=str(recipe), tokens=COUNT, **LENS)

    assert statuses(found) == ["passed", "passed", "measured", "passed", "passed"]
    assert found.recipe == str(recipe)
    assert found.rungs[3].name == f"torch with weights as {recipe} > TFLite"
    stored, shipped = found.rungs[2].agreement, found.rungs[3].agreement
    assert stored is not None
    assert shipped is not None
    # It rounds the feed-forward's weights and what they meet, and so neither is exact.
    assert 1e-8 < stored.kl < 0.01
    assert 1e-8 < shipped.kl < 0.01


# --- wrong models ------------------------------------------------------------------------


def test_a_wrong_rotary_base_is_named_with_its_layer(tmp_path: Path) -> None:
    """Of four layers the last alone sees all, and turns with the base that is changed."""
    layers = ["sliding_attention"] * 3 + ["full_attention"]
    folder = save_four_layers(tmp_path / "hf", "gemma3_text", layer_types=layers)
    wrong = tmp_path / "wrong"
    shutil.copytree(folder, wrong)
    config = json.loads((wrong / "config.json").read_text())
    config["rope_parameters"]["full_attention"]["rope_theta"] = 100.0
    (wrong / "config.json").write_text(json.dumps(config))

    found = verify(folder, bundle=bundle_of(wrong, tmp_path / "m.task", "none"), tokens=COUNT)

    assert not found.passed
    assert statuses(found)[:3] == ["passed", "passed", "skipped"]
    rung = found.rungs[3]
    assert rung.status == "failed"
    assert rung.departure is not None
    assert [(one.layer, one.cache) for one in rung.departure.first] == [(3, "k")]
    assert rung.why.startswith("cosine ")
    assert "; layer 3 is the first to depart (token by token): k by up to " in rung.why
    sound = [one for one in rung.departure.layers if one.layer < 3]
    assert len(sound) == 6
    assert max(one.relative_diff for one in sound) < 1e-5
    operator = rung.departure.operator
    assert operator is not None
    assert (operator.operator, operator.module) == ("mul", "layers.3.self_attn")
    assert operator.source.startswith("author/layers/rope.py:")
    assert operator.source.endswith(", angles")
    assert rung.why.endswith(f"; {operator.told}")


PLACES = {
    "layers.2.self_attn.v_proj.weight": [(2, "v")],
    "layers.1.mlp.down_proj.weight": [(2, "k"), (2, "v")],
    "layers.3.mlp.down_proj.weight": [],
}


@pytest.mark.parametrize(
    "place",
    [pytest.param(place, marks=[] if ".1." in place else [pytest.mark.slow]) for place in PLACES],
)
def test_wrong_weights_are_named_with_their_layer(tmp_path: Path, place: str) -> None:
    folder = save_four_layers(tmp_path / "hf", "llama")
    wrong = tmp_path / "wrong"
    shutil.copytree(folder, wrong)
    weights = load_file(wrong / "model.safetensors")
    weights[f"model.{place}"] = weights[f"model.{place}"].roll(3, 0)
    save_file(weights, wrong / "model.safetensors", {"format": "pt"})
    bundle = bundle_of(wrong, tmp_path / "m.task", "dynamic_wi8_afp32")

    found = verify(folder, bundle=bundle, tokens=COUNT)

    assert statuses(found) == ["passed", "passed", "measured", "failed", "passed"]
    departure = found.rungs[3].departure
    assert departure is not None
    assert [(one.layer, one.cache) for one in departure.first] == PLACES[place]
    assert departure.operator is not None
    assert departure.operator.operator == "mm"
    assert departure.operator.module == place.removesuffix(".weight")
    if not PLACES[place]:
        assert (
            "; no cache departs (token by token), so what is wrong comes after"
            in found.rungs[3].why
        )


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_four_layers(tmp_path_factory.mktemp("llama") / "hf", "llama")


@pytest.fixture(scope="module")
def llama_bundle(llama: Path) -> Path:
    return bundle_of(llama, llama.parent / "m.task", "none")


def test_a_prefill_that_departs_from_decode_is_seen(
    llama: Path, llama_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = ReplaySession._run

    def spoiled(self: Any, signature: str, tokens: Any, positions: Any, count: int) -> Any:
        if signature == "prefill_32":
            tokens = np.where(tokens == tokens[0, 1], 7, tokens)
        return right(self, signature, tokens, positions, count)

    monkeypatch.setattr(ReplaySession, "_run", spoiled)
    found = verify(llama, bundle=llama_bundle, tokens=COUNT)

    rung = found.rungs[3]
    assert rung.status == "failed"
    assert rung.why.startswith("prefill_32 against token by token: cosine 0.")
    assert rung.agreement is not None
    assert rung.agreement.cosine > 0.99999
    assert "; layer 0 is the first to depart (prefill_32): k by up to " in rung.why
    assert rung.departure is not None
    operator = rung.departure.operator
    assert operator is not None
    assert (operator.operator, operator.module) == ("embedding", "embed_tokens")
    assert operator.signature == "prefill_32"


def test_another_text_of_the_engine_fails_its_rung(
    llama: Path, llama_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(prompt: str, **rest: Any) -> GenerateRequest:
        return GenerateRequest("Another " + prompt[8:], **rest)

    monkeypatch.setattr("edgegen.ladder.rungs.GenerateRequest", asked)
    rung = verify(llama, bundle=llama_bundle, tokens=COUNT).rungs[4]

    assert rung.status == "failed"
    assert rung.why.startswith("LiteRT-LM continues with ")
    assert ", expected '" in rung.why


def test_an_engine_that_fails_fails_its_rung(
    llama: Path, llama_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> object:
        raise edgegen.errors.EngineError("the engine has crashed")

    monkeypatch.setattr("edgegen.ladder.rungs.generate", refuse)
    rung = verify(llama, bundle=llama_bundle, tokens=COUNT).rungs[4]

    assert (rung.status, rung.why) == ("failed", "the engine has crashed")


def rung_of_transformers(llama: Path, llama_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Rung:
    """Only the first rung; the others are asked above."""
    for name in ("float", "weights", "quantized", "engine"):
        monkeypatch.setattr(
            f"edgegen.ladder.Ladder.rung_{name}", lambda self: Rung("not asked", "skipped")
        )
    return verify(llama, bundle=llama_bundle, tokens=COUNT).rungs[0]


def test_without_transformers_its_rung_is_skipped(
    llama: Path, llama_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    rung = rung_of_transformers(llama, llama_bundle, monkeypatch)
    assert (rung.status, rung.why) == ("skipped", "transformers is not installed")


def test_what_transformers_cannot_open_is_skipped(
    llama: Path, llama_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    def refuse(*_: object, **options: object) -> object:
        assert options["trust_remote_code"] is False
        assert options["local_files_only"] is True
        raise ValueError("an architecture of another day\nand more")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", refuse)
    rung = rung_of_transformers(llama, llama_bundle, monkeypatch)
    assert rung.status == "skipped"
    assert rung.why == "transformers cannot run the checkpoint: an architecture of another day"


def test_an_authored_module_that_departs_from_transformers_fails_the_first_rung(
    llama: Path, llama_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgegen.author.layers import norm

    monkeypatch.setattr(norm.RMSNorm, "_scaled", lambda self, x, weight: x * weight)
    rung = rung_of_transformers(llama, llama_bundle, monkeypatch)
    assert rung.status == "failed"
    assert rung.why.startswith("cosine ")


# --- prefills -----------------------------------------------------------------------------


def test_a_prefill_whose_padding_overruns_the_cache_is_left_out(
    llama: Path, llama_bundle: Path, tmp_path: Path
) -> None:
    bundle = edgegen.open_bundle(llama_bundle)
    offset, size = bundle.model_span
    path = tmp_path / "m.tflite"
    path.write_bytes(llama_bundle.read_bytes()[offset : offset + size])
    session = ReplaySession(path)
    tokens = [int(i * 37 % 96) for i in range(40)]

    found = compare_prefills(session, tokens, 33, 48)

    assert [one.compared for one in found] == ["prefill_16"]
    session.restart()
    assert all(not cache.any() for cache in session.caches.values())
    model = edgegen.author_model(edgegen.open_checkpoint(llama))
    expected = reference_logits(model, tokens).numpy()[20:]
    np.testing.assert_allclose(session.score(tokens, 20), expected, atol=1e-3)


# --- what is refused ---------------------------------------------------------------------


def refusal(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[str, str]:
    capsys.readouterr()  # what saving a checkpoint printed
    assert main(["verify", *map(str, words)]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    return error.removeprefix("error: "), hint.removeprefix("hint: ")


def test_a_bundle_of_another_model(
    capsys: pytest.CaptureFixture[str], llama_bundle: Path, tmp_path: Path
) -> None:
    copy, other = copied(llama_bundle, tmp_path, json.dumps), tmp_path / "other"
    save_checkpoint(other, tiny_config("llama", **{**FOUR, "num_hidden_layers": 2}))
    error, hint = refusal(capsys, other, "--bundle", copy)
    assert error == (f"{copy} has 4 layers with a cache and 2048 logits, the checkpoint 2 and 2048")
    assert hint == "name the checkpoint that the bundle was made from"


def copied(bundle: Path, folder: Path, record: Callable[[dict[str, Any]], str] | None) -> Path:
    copy = folder / "copy.task"
    shutil.copy(bundle, copy)
    if record is not None:
        content = json.loads(provenance_path(bundle).read_text())
        provenance_path(copy).write_text(record(content))
    return copy


def test_a_bundle_without_its_record(
    capsys: pytest.CaptureFixture[str], llama: Path, llama_bundle: Path, tmp_path: Path
) -> None:
    copy = copied(llama_bundle, tmp_path, None)
    error, hint = refusal(capsys, llama, "--bundle", copy)
    assert error == f"there is no {provenance_path(copy)} that tells the recipe of {copy}"
    assert hint == "name it with --recipe"


def test_a_bundle_with_a_damaged_record(
    capsys: pytest.CaptureFixture[str], llama: Path, llama_bundle: Path, tmp_path: Path
) -> None:
    copy = copied(llama_bundle, tmp_path, lambda record: "[1]")
    error, hint = refusal(capsys, llama, "--bundle", copy)
    assert error.startswith(f"{provenance_path(copy)} is not the record of a build: ")
    assert hint == "remove it and name the bundle's recipe with --recipe"


def test_a_bundle_with_an_adapter(
    capsys: pytest.CaptureFixture[str], llama: Path, llama_bundle: Path, tmp_path: Path
) -> None:
    copy = copied(
        llama_bundle, tmp_path, lambda record: json.dumps({**record, "adapter": {"name": "A"}})
    )
    error, hint = refusal(capsys, llama, "--bundle", copy)
    assert error == f"{copy} has the adapter A merged in, which the checkpoint has not"
    assert hint == "merge the adapter into the checkpoint first, and verify that"


def test_an_encoder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from tests.engines.architectures import save_random

    save_random(tmp_path / "t5", "t5")
    error, hint = refusal(capsys, tmp_path / "t5")
    assert error.endswith(", and the ladder is for decoders")
    assert hint.startswith("compare the .tflite of `edgegen convert`")


def test_a_delegate_that_the_recipe_does_not_run_on(
    capsys: pytest.CaptureFixture[str], llama: Path
) -> None:
    error, hint = refusal(capsys, llama, "--recipe", "none", "--delegate", "gpu")
    assert error == ("the recipe none does not run right on the delegate gpu, expected one of: cpu")
    assert hint == "`edgegen list recipes` tells which recipe runs where"


def test_a_text_that_is_too_short_or_no_text(
    capsys: pytest.CaptureFixture[str], llama: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    text.write_text("O")
    error, hint = refusal(capsys, llama, "--text", text)
    assert error.startswith("there are ")
    assert error.endswith(" tokens to compare, expected at least 8")
    assert hint == "give a longer text, or more --tokens"
    text.write_bytes(b"O \xff")
    error, hint = refusal(capsys, llama, "--text", text)
    assert error == f"{text} is not UTF-8 text: byte 2 cannot be read"
    assert hint == "save it as UTF-8 first, for example with iconv"


# --- the command -------------------------------------------------------------------------


def test_the_command_prints_a_table_or_json(
    capfd: pytest.CaptureFixture[str], llama: Path, llama_bundle: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    text.write_text("Now is the winter of our discontent made glorious summer by this sun of York.")
    words = ["verify", str(llama), "--bundle", str(llama_bundle), "--text", str(text)]
    assert main(words) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.startswith(f"{llama}, recipe none, ")
    assert "1  transformers > authored torch\n" in out
    assert "prefill_16 against token by token: cosine 1.000000" in out
    assert "5  TFLite > LiteRT-LM on cpu: " in out

    assert main([*words, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["schema"] == "edgegen.verification/1"
    assert told["passed"] is True
    assert [rung["status"] for rung in told["rungs"]].count("passed") == 4
    assert told["rungs"][1]["agreement"]["cosine"] > 0.99999
