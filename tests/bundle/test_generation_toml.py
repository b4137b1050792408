from __future__ import annotations

from pathlib import Path

import pytest

from edgegen.bundle.generation_toml import read_parameters_file
from edgegen.errors import BundleError

FULL = """\
start_token = "<s>"
stop_tokens = ["</s>", "<end_of_turn>"]
prompt_prefix_user = "Q: "
enable_bytes_to_unicode_mapping = true
max_tokens = 1024
chat_template_file = "chat.jinja"

[sampler]
temperature = 0
top_k = 40
seed = 7
"""


def test_all_of_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(FULL)
    (tmp_path / "chat.jinja").write_text("{{ 'é' }}", encoding="utf-8")

    assert read_parameters_file(tmp_path / "own.toml") == {
        "start_token": "<s>",
        "stop_tokens": ("</s>", "<end_of_turn>"),
        "prompt_prefix_user": "Q: ",
        "enable_bytes_to_unicode_mapping": True,
        "max_tokens": 1024,
        "chat_template": "{{ 'é' }}",
        "do_sample": False,
        "temperature": 0.0,
        "top_k": 40,
        "seed": 7,
    }


NAMES = (
    "chat_template, chat_template_file, enable_bytes_to_unicode_mapping, max_output_tokens, "
    "max_tokens, pad_token, prompt_prefix_model, prompt_prefix_system, prompt_prefix_user, "
    "prompt_suffix_model, prompt_suffix_system, prompt_suffix_user, sampler, start_token, "
    "stop_tokens, supports_thinking, system_prompt"
)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "stop_token = ['x']",
            "{path} has an unknown key 'stop_token'",
            f"did you mean 'stop_tokens'? (known: {NAMES})",
        ),
        (
            "temperature = 1",
            "{path} has an unknown key 'temperature'",
            "put it into the table [sampler]",
        ),
        (
            "[sampler]\ntemprature = 1",
            "{path} has an unknown key 'sampler.temprature'",
            "did you mean 'temperature'? (known: do_sample, seed, temperature, top_k, top_p)",
        ),
        ("sampler = 3", "{path}: sampler is a number, expected an object", "correct sampler"),
        (
            "[sampler]\ntop_k = 0",
            "{path}: sampler.top_k is out of range, expected 1 to 2147483647",
            "correct sampler.top_k",
        ),
        (
            "[sampler]\ntop_p = inf",
            "{path}: sampler.top_p is out of range, expected 0 to 1",
            "correct sampler.top_p",
        ),
        (
            "stop_tokens = [1]",
            "{path}: stop_tokens is a number, expected text",
            "correct stop_tokens",
        ),
        (
            "max_tokens = 1979-05-27",
            "{path}: max_tokens is date, expected a whole number",
            "correct max_tokens",
        ),
        (
            "start_token_id = 1",
            "{path} has an unknown key 'start_token_id'",
            f"did you mean 'start_token'? (known: {NAMES})",
        ),
        (
            "a = ",
            "{path} is not valid TOML: Invalid value (at end of document)",
            "correct the file at that place",
        ),
        (
            "chat_template = 'none'\nchat_template_file = 'x'",
            "{path} says both chat_template and chat_template_file",
            "leave one of them out",
        ),
        (
            "chat_template_file = 'x'",
            "{folder}/x cannot be read: No such file or directory",
            "check the path",
        ),
        (
            "chat_template_file = 'own.toml'",
            "{path} cannot be the chat template: it is no Jinja template, there is neither {{{{ "
            "nor {{% in it",
            "correct chat_template_file",
        ),
        (
            "chat_template = 'chat.jinja'",
            "{path}: chat_template is 'chat.jinja', which is neither a Jinja template nor a file "
            "that is there, and the only known name is 'none'",
            "check the path: --chat-template FILE, or chat_template_file in a TOML file",
        ),
        ("#" * (1024**2 + 1), "{path} has more than 1048576 bytes", "this is not the right file"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, message: str, hint: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(BundleError) as caught:
        read_parameters_file(path)

    assert caught.value.message == message.format(path=path, folder=tmp_path)
    assert caught.value.hint == hint


def test_a_name_is_for_who_looks_it_up(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("chat_template = 'tool_use'")

    found = read_parameters_file(tmp_path / "own.toml", template_names=True)

    assert found == {"chat_template": "tool_use"}


def test_a_template_that_is_too_long_is_explained(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("chat_template_file = 'chat.jinja'")
    (tmp_path / "chat.jinja").write_text("{{ 1 }}" + "x" * 262144)
    with pytest.raises(BundleError) as caught:
        read_parameters_file(tmp_path / "own.toml")

    assert caught.value.message == (
        f"{tmp_path}/chat.jinja cannot be the chat template: it has 262151 characters, expected at "
        "most 262144"
    )
    assert caught.value.hint == "correct chat_template_file"


def test_a_file_that_is_no_text_is_explained(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_bytes(b"\xff")
    with pytest.raises(BundleError) as caught:
        read_parameters_file(tmp_path / "own.toml")

    assert caught.value.message == f"{tmp_path}/own.toml cannot be read: not a text in UTF-8"


def test_the_example_in_the_docs_can_be_read(tmp_path: Path) -> None:
    docs = Path(__file__).parents[2] / "docs" / "how-to" / "prompt-and-sampler.md"
    example = docs.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "mine.toml").write_text(example, encoding="utf-8")

    found = read_parameters_file(tmp_path / "mine.toml")

    assert (found["max_tokens"], found["temperature"], found["chat_template"]) == (
        1024,
        0.7,
        "none",
    )
