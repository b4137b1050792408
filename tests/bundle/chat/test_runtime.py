from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegen.bundle.chat import runtime
from edgegen.bundle.chat.adapter import adapt_template
from edgegen.bundle.chat.affixes import without_start
from edgegen.bundle.chat.conversations import Conversation, talk
from edgegen.bundle.chat.render_child import render_all
from edgegen.bundle.chat.rendering import NOW
from edgegen.bundle.chat.runtime import RuntimeFit, check_runtime_template, runtime_template
from edgegen.bundle.parameters import GenerationParameters
from edgegen.errors import CheckpointError, EngineError
from tests.bundle.chat.oracle import as_transformers, parameters_of
from tests.bundle.chat.styles import STYLES


@pytest.mark.parametrize("style", STYLES)
def test_the_runtime_renders_every_style_as_transformers_does(demo_task: Path, style: str) -> None:
    found = check_runtime_template(parameters_of(style), demo_task)

    assert found == RuntimeFit(39 if style == "qwen3" else 37, found.conversations, True)
    assert found.same


# Of some styles transformers' own template would not do; why, and how many come out right.
RAW = {
    "chatml": (
        0,
        "(user 'Hello') is refused by LiteRT-LM: invalid operation: tried to use + operator on "
        "unsupported types string and sequence (in template:2)",
    ),
    "qwen2.5": (
        0,
        "of (user 'Hello') transformers makes '...|>\\n<|im_start|>user\\nHello<|im_end|>\\n"
        "<|im_start|>assistant\\n', LiteRT-LM '...|>\\n<|im_start|>user\\n"
        '[{"type": "text", "text": "Hello"}]<|im_...\'',
    ),
    # This one knows of parts; but the newline after an answer would be lost.
    "gemma3": (
        37,
        "of (the second question of a chat) transformers makes '\\n<start_of_turn>user\\nZq3xc"
        "<end_of_turn>\\n<start_of_turn>model...', LiteRT-LM '<start_of_turn>user\\nZq3xc"
        "<end_of_turn>\\n<start_of_turn>model\\n'",
    ),
}


@pytest.mark.parametrize("style", RAW)
def test_the_check_tells_a_template_that_will_not_do(demo_task: Path, style: str) -> None:
    exact, difference = RAW[style]
    parameters = parameters_of(style)

    found = check_runtime_template(parameters, demo_task, template=parameters.chat_template)

    assert (found.exact, found.next_turn) == (exact, False)
    assert found.difference.replace('\\"', '"').replace("\\'", "'") == difference
    assert not found.same
    assert found.as_dict()["same"] is False


# Python's own that the runtime's engine does not know, and what it says.
UNKNOWN = {
    "{% for m in messages %}{{ m.content }}{% if loop.last %}{% break %}{% endif %}{% endfor %}": (
        "syntax error"
    ),
    "{{ messages[-1].content.upper() }}{{ messages[-1].content }}": "unknown method",
    "{{ messages[-1].get('content') }}": "unknown method",
    "{{ '%s' % messages[-1].content }}": "invalid operation",
    "{{ messages | tojson(indent=2) }}": "too many arguments",
}


@pytest.mark.parametrize("template", UNKNOWN)
def test_what_the_runtime_does_not_know_is_told(demo_task: Path, template: str) -> None:
    found = check_runtime_template(parameters_of("chatml", chat_template=template), demo_task)

    assert found.exact == 0
    assert found.difference.startswith("(user 'Hello') is refused by LiteRT-LM: ")
    assert UNKNOWN[template] in found.difference


TEXT = st.text(st.characters(exclude_categories=("Cs",)))


@pytest.mark.parametrize("style", [name for name in STYLES if name != "llama3.2"])
def test_the_runtimes_template_renders_the_same_in_jinja2_from_parts(style: str) -> None:
    parameters = parameters_of(style)
    adapted = runtime_template(parameters)

    @settings(max_examples=25)
    @given(texts=st.lists(TEXT, min_size=1, max_size=5), cut=st.integers(0, 9))
    def same(texts: list[str], cut: int) -> None:
        conversation = talk(*texts[: len(texts) - 1 + len(texts) % 2])
        answer = render_all(
            {
                "template": adapted,
                # As the runtime has it.
                "variables": {"bos_token": "", "eos_token": ""},
                "now": NOW,
                "conversations": [in_parts(conversation, cut)],
            }
        )

        expected = without_start(parameters.start_token, as_transformers(parameters, conversation))
        assert answer == {"renderings": [{"text": expected}]}

    same()


def in_parts(conversation: Conversation, cut: int) -> dict[str, object]:
    messages = [
        {
            "role": role,
            "content": [{"type": "text", "text": text[:cut]}, {"type": "text", "text": text[cut:]}],
        }
        for role, text in conversation.turns
    ]
    return {"messages": messages, "add_generation_prompt": conversation.generation}


@pytest.mark.parametrize(
    "template",
    [
        "\n x{{ messages[-1].content }}\n\n",
        "  {% if true %}\n a\n{% endif %} b {{ messages[-1].content }} \n",
    ],
)
def test_space_at_both_ends_is_kept(demo_task: Path, template: str) -> None:
    parameters = parameters_of("chatml", chat_template=template)

    found = check_runtime_template(parameters, demo_task)

    assert (found.exact, found.next_turn) == (found.conversations, None)
    assert found.same


MARKED = (
    "{% for m in messages %}{%- generation -%} {{ m.content }}{% endgeneration %}{% endfor %}",
    "{% for m in messages %}\n  {% generation %}\n  {{ m.content }}\n  {% endgeneration %}\n"
    "{% endfor %}",
    # In raw text they stay, but for `{% generation %}` itself: the runtime takes that out anywhere.
    "{# {% generation %} #}{% raw %}{%- generation %}{%- endgeneration %} {% endraw %}"
    "{{ '{%- generation -%}' }}{% for m in messages %}{%generation%} {{ m.content }}"
    "  {%- endgeneration-%} {% endfor %}",
)


@pytest.mark.parametrize("template", MARKED)
def test_marks_of_training_are_left_out(demo_task: Path, template: str) -> None:
    found = check_runtime_template(parameters_of("chatml", chat_template=template), demo_task)

    assert found.difference == ""
    assert found.same


SILENT = {
    "chat.jinja": "becomes 'chat.jinja'",
    "{{ messages | length }}" + "x" * 70: f"becomes '1{'x' * 59}'",
    "{{ raise_exception('no') }}": "is refused: no",
}


@pytest.mark.parametrize("template", SILENT)
def test_a_template_that_writes_nothing_of_what_is_said_will_not_do(template: str) -> None:
    # The engine makes the same of it, and is not even asked.
    found = check_runtime_template(parameters_of("chatml", chat_template=template), "no.task")

    assert (found.exact, found.next_turn, found.same) == (0, None, False)
    assert found.difference == (
        f"the template writes nothing of what is said: (user 'Hello') {SILENT[template]}"
    )


def test_marks_that_are_no_blocks_stay() -> None:
    template = "{% raw %}{% generation %}{% endraw %}{# {% generation %} #}{{ '{% generation %}' }}"

    assert template in adapt_template(template, {})
    with pytest.raises(CheckpointError) as caught:
        adapt_template("{% generation %}\n{{ ) }}", {})
    assert caught.value.message == "the chat template cannot be used: line 2: unexpected ')'"
    assert caught.value.hint == (
        "take the template that the model was published with, or none: --chat-template none"
    )


def test_pictures_stay_in_their_parts() -> None:
    adapted = runtime_template(parameters_of("gemma3"))
    parts = [{"type": "image"}, {"type": "text", "text": "What is this?"}]
    request = {
        "template": adapted,
        "variables": {},
        "now": NOW,
        "conversations": [
            {"messages": [{"role": "user", "content": parts}], "add_generation_prompt": True}
        ],
    }

    assert render_all(request) == {
        "renderings": [
            {
                "text": "<start_of_turn>user\n<start_of_image>What is this?<end_of_turn>\n"
                "<start_of_turn>model\n"
            }
        ]
    }


def test_no_template_stays_none() -> None:
    bare = GenerationParameters("<s>", ("</s>",))

    assert runtime_template(bare) is None
    with pytest.raises(ValueError, match="there is no chat template"):
        check_runtime_template(bare, "any.task")


def test_a_bundle_that_does_not_open_is_explained(tmp_path: Path) -> None:
    broken = tmp_path / "broken.task"
    broken.write_bytes(b"no bundle")
    with pytest.raises(EngineError) as caught:
        check_runtime_template(parameters_of("chatml"), broken)

    assert caught.value.message.startswith(
        "the engine did not render the chat template (exit status 1): "
    )
    assert caught.value.hint == f"check that the bundle runs: edgegen run {broken}"


def test_an_engine_that_takes_too_long_is_ended(demo_task: Path) -> None:
    with pytest.raises(EngineError) as caught:
        check_runtime_template(parameters_of("chatml"), demo_task, timeout_s=0.01)

    assert caught.value.message == "the engine had not rendered the chat template after 0.01 s"
    assert caught.value.hint == "allow more time, or check the template in a smaller bundle"


def test_a_missing_engine_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError) as caught:
        check_runtime_template(parameters_of("chatml"), "any.task")

    assert caught.value.message == (
        "LiteRT-LM is not installed, whose template engine is to be asked"
    )
    assert caught.value.hint == "install it for this Python: pip install litert-lm-api"
