"""The process that renders templates of unknown origin: little time, little memory, no files.

The request is one JSON document on stdin, the answer one on stdout. The environment is that of
transformers' `apply_chat_template`: the same sandbox, whitespace control and extras.
"""

from __future__ import annotations

import datetime
import json
import resource
import sys
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MAX_MEMORY_BYTES = 1024**3
MAX_RENDERED_CHARACTERS = 1024**2
_MAX_REASON_CHARACTERS = 300


class _GenerationBlock(Extension):
    """`{% generation %}`, which marks answers in training data and renders as its content."""

    tags = {"generation"}  # noqa: RUF012 - declared so by jinja2

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class _PlainNamespace(Namespace):
    """A namespace without Python's own attributes, through which sandboxes have been left."""

    def __init__(*args: Any, **values: Any) -> None:
        # `self` is taken from args, so that a template may name a value so.
        for name in dict(*args[1:], **values):
            _refuse_own(name)
        Namespace.__init__(*args, **values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_own(name)
        super().__setitem__(name, value)


def _refuse_own(name: object) -> None:
    if str(name).startswith("__"):
        raise jinja2.exceptions.SecurityError(f"a namespace may not hold {name}")


def environment(now: datetime.datetime) -> ImmutableSandboxedEnvironment:
    """Return jinja2's environment for chat templates, whose `strftime_now` tells `now`."""

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationBlock, jinja2.ext.loopcontrols],
    )
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = now.strftime
    made.globals["namespace"] = _PlainNamespace
    return made


def render_all(request: dict[str, Any]) -> dict[str, Any]:
    """Render a request's conversations; what fails is told as `error`.

    Args:
        request: `template`, `variables`, `now` (ISO 8601) and `conversations`, each with
            `messages` and `add_generation_prompt`.
    """
    try:
        made = environment(datetime.datetime.fromisoformat(request["now"]))
        template = made.from_string(request["template"])
    except Exception as error:
        return {"error": _reason(error)}
    return {"renderings": [_render(template, c, request) for c in request["conversations"]]}


def _render(
    template: jinja2.Template, conversation: dict[str, Any], request: dict[str, Any]
) -> dict[str, str]:
    pieces, size = [], 0
    context = {"tools": None, "documents": None, **request["variables"], **conversation}
    try:
        for piece in template.generate(**context):
            size += len(piece)
            if size > MAX_RENDERED_CHARACTERS:
                return {"error": f"it writes more than {MAX_RENDERED_CHARACTERS} characters"}
            pieces.append(piece)
    except Exception as error:
        return {"error": _reason(error)}
    return {"text": "".join(pieces)}


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"it takes more than {MAX_MEMORY_BYTES} bytes of memory"
    if isinstance(error, RecursionError):
        return "it calls itself without end"
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"line {error.lineno}: {str(error.message)[:_MAX_REASON_CHARACTERS]}"
    return str(error)[:_MAX_REASON_CHARACTERS] or type(error).__name__


def main() -> None:
    """Serve the request on stdin under the limits."""
    request = json.load(sys.stdin)
    seconds = int(request["cpu_s"])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # pipes are no files
    answer = json.dumps(render_all(request))
    sys.stdout.write(answer)
    sys.stdout.flush()
