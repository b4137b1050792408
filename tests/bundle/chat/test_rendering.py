from __future__ import annotations

import time
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegen.bundle.chat import rendering
from edgegen.bundle.chat.conversations import CLASSES, Conversation, talk
from edgegen.bundle.chat.render_child import render_all
from edgegen.bundle.chat.rendering import NOW, Rendering, render_template
from edgegen.errors import CheckpointError
from tests.bundle.chat.oracle import as_transformers, parameters_of
from tests.bundle.chat.styles import STYLES

HINT = "take the template that the model was published with, or none: --chat-template none"
EXTRAS = """\
{% for message in messages %}
    {% if loop.index > 3 %}{% break %}{% endif %}
    {% generation %}{{ message | tojson }}{% endgeneration %}
{% endfor %}
{{ {'b': '<é>', 'a': [1, none]} | tojson(indent=2) }} {{ tools is none }} {{ documents }}
{% set ns = namespace(n=0) %}{% set ns.n = ns.n + 1 %}{{ ns.n }} {{ '%s' | format(bos_token) }}
"""


@pytest.mark.parametrize("style", [name for name in STYLES if name != "llama3.2"])
def test_every_style_renders_as_in_transformers(style: str) -> None:
    parameters = parameters_of(style)
    conversations = [c for group in CLASSES.values() for c in group]

    found = render_template(
        str(parameters.chat_template), conversations, parameters.template_tokens
    )

    for conversation, rendering_ in zip(conversations, found, strict=True):
        try:
            expected = Rendering(as_transformers(parameters, conversation))
        except jinja2.TemplateError as error:
            expected = Rendering(None, str(error))
        assert rendering_ == expected


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=1, max_size=5),
    generation=st.booleans(),
)
def test_the_extras_of_transformers_are_there(texts: list[str], generation: bool) -> None:
    parameters = parameters_of("chatml", chat_template=EXTRAS)
    conversation = talk(*texts, generation=generation)

    found = render_all(
        {
            "template": EXTRAS,
            "variables": dict(parameters.template_tokens),
            "now": NOW,
            "conversations": [messages(conversation)],
        }
    )

    assert found == {"renderings": [{"text": as_transformers(parameters, conversation)}]}


def messages(conversation: Conversation) -> dict[str, Any]:
    return {
        "messages": [{"role": role, "content": text} for role, text in conversation.turns],
        "add_generation_prompt": conversation.generation,
    }


def test_the_time_is_what_it_is_told_to_be() -> None:
    (found,) = render_template(
        "{{ strftime_now('%d %b %Y') }}", [talk("a")], {}, now="2031-01-02T03:04:05"
    )

    assert found == Rendering("02 Jan 2031")


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ raise_exception('only me') }}", "only me"),
        ("{{ 'a' * 10000000000 }}", "it takes more than 1073741824 bytes of memory"),
        (
            "{% for i in range(9000) %}{{ 'a' * 1000 }}{% endfor %}",
            "it writes more than 1048576 characters",
        ),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "it calls itself without end"),
        (
            "{{ ''.__class__.__mro__ }}",
            "access to attribute '__class__' of 'str' object is unsafe.",
        ),
        ("{{ messages.append(1) }}", "access to attribute 'append' of 'list' object is unsafe."),
        ("{{ namespace(__class__=1) }}", "a namespace may not hold __class__"),
        (
            "{% set n = namespace() %}{{ n.__setitem__('__x__', 1) }}",
            "'edgegen.bundle.chat.render_child._PlainNamespace object' has no attribute "
            "'__setitem__'",
        ),
    ],
)
def test_a_template_that_goes_too_far_is_stopped(template: str, error: str) -> None:
    assert render_template(template, [talk("a")], {}) == [Rendering(None, error)]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for", "the chat template cannot be used: line 1: unexpected 'end of template'"),
        (
            "a\n{% nonsense %}",
            "the chat template cannot be used: line 2: Encountered unknown tag 'nonsense'.",
        ),
        (
            "x" * (256 * 1024 + 1),
            "the chat template has 262145 characters, expected at most 262144",
        ),
    ],
)
def test_what_is_no_template_is_refused(template: str, message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        render_template(template, [talk("a")], {})

    assert (caught.value.message, caught.value.hint) == (message, HINT)


ENDLESS = (
    "{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}{{ messages }}"
)


def test_a_template_that_does_not_end_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        render_template(ENDLESS, [talk("a")], {}, timeout_s=0.9)

    assert caught.value.message == "the chat template was not rendered after 0.9 s"
    assert caught.value.hint == HINT
    assert time.monotonic() - began < 10


def test_a_process_that_is_killed_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_START_CHILD", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(CheckpointError) as caught:
        render_template("x", [talk("a")], {})

    assert caught.value.message == (
        "the chat template ended its process (exit status -9): it takes too much time or memory"
    )


def test_missing_jinja2_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        rendering, "_START_CHILD", "raise ModuleNotFoundError(\"No module named 'jinja2'\")"
    )
    with pytest.raises(CheckpointError) as caught:
        render_template("x", [talk("a")], {})

    assert caught.value.message == "chat templates need jinja2, which is not installed"
    assert caught.value.hint == "install it: pip install jinja2"
