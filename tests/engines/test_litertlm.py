"""The same model from a `.task` and from a `.litertlm`, in LiteRT-LM itself."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edgegen import demo
from edgegen.bundle import GenerateRequest, generate, open_bundle
from edgegen.bundle.contents import RuntimeHints
from edgegen.bundle.derive import convert_bundle, edit_bundle
from edgegen.bundle.formats import write_contents
from edgegen.errors import EngineError
from edgegen.pipeline import build

GREEDY = GenerateRequest("ROMEO:\n", max_output_tokens=24)
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ m['role'] | upper + ':\\n' + m['content'] + '\\n\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:\\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def litertlm(demo_task: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("litertlm")
    return convert_bundle(demo_task, folder / "demo.litertlm").bundle.path


def test_both_formats_say_the_same(demo_task: Path, litertlm: Path) -> None:
    assert generate(litertlm, GREEDY).result().text == generate(demo_task, GREEDY).result().text


@pytest.mark.gpu
@pytest.mark.usefixtures("software_gpu")
def test_the_gpu_delegate_takes_it_whole(litertlm: Path, demo_task: Path) -> None:
    request = replace(GREEDY, delegate="gpu", activations="f32")
    found = generate(litertlm, request).result()

    gpu = [d for d in found.delegations if "GPU" in d.delegate]
    assert gpu
    assert all(d.nodes_delegated == d.nodes_total for d in gpu)
    assert found.text == generate(demo_task, request).result().text


@pytest.mark.parametrize("kind", ["gemma3", "qwen3", "qwen2p5"])
def test_the_model_type_changes_nothing_of_a_plain_prompt(
    litertlm: Path, tmp_path: Path, kind: str
) -> None:
    contents = replace(open_bundle(litertlm).contents, hints=RuntimeHints(llm_model_type=kind))
    made = write_contents(contents, tmp_path / f"{kind}.litertlm").path

    assert generate(made, GREEDY).result().text == generate(litertlm, GREEDY).result().text


@pytest.mark.parametrize("backends", [("gpu",), ("npu",)])
def test_a_model_for_other_backends_is_refused_on_the_cpu(
    litertlm: Path, tmp_path: Path, backends: tuple[str, ...]
) -> None:
    made = edit_bundle(
        litertlm,
        tmp_path / "m.litertlm",
        hints={"backend_constraints": {"TF_LITE_PREFILL_DECODE": backends}},
    ).bundle.path
    with pytest.raises(EngineError) as caught:
        generate(made, GREEDY).result()
    assert "cpu" in caught.value.message.lower()


@pytest.mark.parametrize("suffix", [".task", ".litertlm"])
def test_a_chat_template_is_around_the_prompt(tmp_path: Path, suffix: str) -> None:
    checkpoint = tmp_path / "chat"
    shutil.copytree(demo.CHECKPOINT, checkpoint)
    (checkpoint / "chat_template.jinja").write_text(TEMPLATE)
    made = build(
        checkpoint,
        tmp_path / f"m{suffix}",
        prefill_lens=[16, 32],
        kv_cache_len=128,
        parameters={"system_prompt": "Speak."},
    ).bundle.path
    request = GenerateRequest("Hello", max_output_tokens=12)

    found = generate(made, request).result()

    written = replace(
        request,
        prompt="SYSTEM:\nSpeak.\n\nUSER:\nHello\n\nASSISTANT:\n",
        apply_prompt_template=False,
    )
    assert found.text == generate(made, written).result().text
    assert found.prompt_tokens == generate(made, written).result().prompt_tokens


def test_without_a_start_token_none_is_put_first(litertlm: Path, tmp_path: Path) -> None:
    bundle = open_bundle(litertlm)
    bare = replace(bundle.parameters, start_token="", start_token_id=None)
    made = write_contents(replace(bundle.contents, parameters=bare), tmp_path / "m.litertlm").path

    without = generate(made, GREEDY).result()
    spelled = generate(made, replace(GREEDY, prompt="<s>ROMEO:\n")).result()
    usual = generate(litertlm, GREEDY).result()

    assert without.prompt_tokens == usual.prompt_tokens - 1
    assert spelled.prompt_tokens != usual.prompt_tokens  # control pieces are not read from text


def test_a_template_that_the_runtime_renders_otherwise_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "chat"
    shutil.copytree(demo.CHECKPOINT, checkpoint)
    shouted = TEMPLATE.replace("m['content'] +", "m['content'].title() +")
    (checkpoint / "chat_template.jinja").write_text(shouted)
    with pytest.raises(EngineError) as caught:
        build(checkpoint, tmp_path / "m.litertlm", prefill_lens=[16], kv_cache_len=64)
    assert caught.value.message == (
        "LiteRT-LM renders the chat template otherwise than transformers: (user 'Hello') is "
        "refused by LiteRT-LM: unknown method: string has no method named title (in template:1)"
    )
    assert "--chat-template none" in str(caught.value.hint)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chat"]


def test_a_build_of_a_litertlm_says_how_its_template_fared(tmp_path: Path) -> None:
    checkpoint = tmp_path / "chat"
    shutil.copytree(demo.CHECKPOINT, checkpoint)
    (checkpoint / "chat_template.jinja").write_text(TEMPLATE)
    made = build(checkpoint, tmp_path / "m.litertlm", prefill_lens=[16], kv_cache_len=64)

    record = json.loads(made.provenance.read_text())["chat_template"]
    assert record["same"] is True
    assert record["exact"] == record["conversations"] > 30
