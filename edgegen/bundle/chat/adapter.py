"""Rewriting a chat template for LiteRT-LM's own template engine.

That is minijinja, which differs from Hugging Face's jinja2 in what it is given and what it knows
(docs/how-to/prompt-and-sampler.md lists it): messages are lists of parts, `bos_token` and
`eos_token` are empty, and the newline at a template's end is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from edgegen.errors import CheckpointError

# Marks of what is an answer in training data, which say nothing here. Another block stands in for
# them, so that the space around goes where it went.
_MARKS = ("generation", "endgeneration")
_NO_MARK = " set edgegen_mark = 0 "
# Messages with their parts joined to one text. Those with other parts (pictures) stay.
_TEXTS = (
    "{%- set edgegen = namespace(messages=[]) -%}"
    "{%- for message in messages -%}"
    "{%- if message.content is string or message.content is undefined -%}"
    "{%- set edgegen.messages = edgegen.messages + [message] -%}"
    "{%- else -%}"
    "{%- set part = namespace(text='', all=true) -%}"
    "{%- for item in message.content -%}"
    "{%- if item.type == 'text' -%}{%- set part.text = part.text + item.text -%}"
    "{%- else -%}{%- set part.all = false -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if part.all -%}"
    "{%- set edgegen.messages = edgegen.messages + [dict(message, content=part.text)] -%}"
    "{%- else -%}{%- set edgegen.messages = edgegen.messages + [message] -%}{%- endif -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- set messages = edgegen.messages -%}"
)
# To find what a next question adds, the engine renders the chat so far, without generation
# prompt, and with the question, and takes what the second text has more; the first must be its
# beginning. By then the model has written the answer and a stop token, nothing after it. So the
# chat so far is rendered with some next question, and ends where the stop token does.
_NEXT = "edgegen-next-question"
_ASK = (
    "{%- set edgegen_asks = edgegen_next and not add_generation_prompt and messages"
    " and messages[-1].role == 'assistant' -%}"
    "{%- if edgegen_asks -%}"
    f"{{%- set messages = messages + [{{'role': 'user', 'content': '{_NEXT}'}}] -%}}"
    "{%- endif -%}"
)
_BEGIN = "{%- set edgegen_text -%}"
# The engine puts the start token first by itself.
_END = (
    "{%- endset -%}"
    "{%- if edgegen_start and edgegen_text[:edgegen_start|length] == edgegen_start -%}"
    "{%- set edgegen_text = edgegen_text[edgegen_start|length:] -%}{%- endif -%}"
    "{%- if edgegen_asks -%}"
    "{%- set edgegen_text = edgegen_text.split(edgegen_next)[0] -%}{%- endif -%}"
    "{{- edgegen_text -}}"
)
# Ends an adapted tag without taking whitespace from the template, as a block's end would.
_NOTHING = "{{ '' }}"


def adapt_template(
    template: str,
    variables: Mapping[str, str],
    *,
    start_token: str = "",
    before_question: str = "",
) -> str:
    """Return a template that renders in LiteRT-LM's engine as `template` does in transformers.

    It renders the same in jinja2, too, but for the start token, and for a chat that ends with an
    answer and asks for no other.

    Args:
        template: Hugging Face's template.
        variables: What its own variables stand for, such as `bos_token`.
        start_token: What the engine puts first; at the beginning of the text it is left out.
        before_question: What the template writes between an answer's stop token and the next
            question, if it is known.

    Raises:
        CheckpointError: the template is no Jinja.
    """
    # jinja2 drops one newline at the end, and the space before a block at the beginning.
    source = _without_marks(re.sub(r"\r\n|\r", "\n", template)).removesuffix("\n")
    source = re.sub(r"\A[ \t]+(?={%(?!\+)|{#(?!\+))", "", source)
    settings = {
        **{name: value for name, value in variables.items() if name in template},
        "edgegen_start": start_token,
        "edgegen_next": before_question + _NEXT if before_question else "",
    }
    prelude = "".join(
        f"{{%- set {name} = {json.dumps(value, ensure_ascii=False)} -%}}"
        for name, value in settings.items()
        if name.isidentifier()
    )
    return f"{prelude}{_TEXTS}{_ASK}{_BEGIN}{_NOTHING}{source}{_NOTHING}{_END}"


def _without_marks(source: str) -> str:
    """Replace the marks, but not what looks like them in raw text, texts and comments."""
    if not any(mark in source for mark in _MARKS):
        return source
    import jinja2

    kept, position, block = "", 0, False
    try:
        tokens = jinja2.Environment(keep_trailing_newline=True).lexer.tokeniter(source, None)
        for _, kind, value in tokens:
            # Space that a sign cuts off is in no token.
            start = source.index(value, position)
            end = start + len(value)
            marked = block and kind == "name" and value in _MARKS
            kept += source[position:start] + (_NO_MARK if marked else value)
            position = end
            # The name of a block is what comes first in it.
            block = kind == "block_begin" or (block and kind == "whitespace")
    except jinja2.TemplateSyntaxError as error:
        raise CheckpointError(
            f"the chat template cannot be used: line {error.lineno}: {error.message}",
            "take the template that the model was published with, or none: --chat-template none",
        ) from None
    return kept + source[position:]
